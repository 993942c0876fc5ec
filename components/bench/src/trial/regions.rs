//! Puts into eight regions whose leaders are spread over the stores, in turn with puts into one region. The
//! regions of a store share its threads, its engines and their syncs.
//!
//! Leaders are moved here as an administrator would: the scheduler leaves stores alone whose numbers of leaders
//! differ by fewer than ten.

use proto::metapb::Peer;

use super::cluster::{Cluster, REPORTS, Settings};
use super::contest::{contest, ratio, table};
use super::report::{Report, Target};
use super::{Ground, Result};
use crate::keys::key;
use crate::workload::Workload;

const REGIONS: u64 = 8;

pub(super) async fn run(ground: &Ground<'_>) -> Result<Report> {
    let settings = Settings { stores: &REPORTS, ..Settings::default() };
    let one = Cluster::start(ground, 3, settings).await?;
    let eight = Cluster::start(ground, 3, settings).await?;
    spread_out(&eight, ground.wish.keys).await?;
    let systems = [("one region", one.address.as_str()), ("eight regions", &eight.address)];
    let results = contest(ground, &systems, Workload::Put, None).await?;
    let ratio = ratio(&results, "eight regions", "one region");
    let what = "puts into eight regions / into one";
    Ok(Report::new(table(&results)).figure(what, ratio, Target::AtLeast(0.8)))
}

/// Cuts the keys into regions of equal size, and has stores lead them in turn.
async fn spread_out(cluster: &Cluster<'_>, keys: u64) -> Result<()> {
    let admin = cluster.client.admin();
    for part in 1..REGIONS {
        let start = key(keys * part / REGIONS);
        admin.split(start.clone()).await?;
        // The scheduler gives ids for the next one only to a region that it has heard of.
        let heard = async || {
            let found = cluster.client.scheduler().region(&start).await.ok()??;
            (found.region.start_key == start).then_some(())
        };
        cluster.ground.eventually("a region that was split off", heard).await?;
    }
    for part in 0..REGIONS {
        let (leader, region) = cluster.leader(&key(keys * part / REGIONS)).await?;
        let to = turn(region.peers.clone(), part);
        if to.store_id != leader {
            admin.transfer_leader(&region, to).await?;
        }
    }
    Ok(())
}

/// The peer whose turn it is, in the order of the stores.
fn turn(mut peers: Vec<Peer>, part: u64) -> Peer {
    peers.sort_unstable_by_key(|peer| peer.store_id);
    let place = part % peers.len() as u64;
    peers[usize::try_from(place).expect("a few peers")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_lead_in_turn_however_peers_are_listed() {
        let peer = |store_id| Peer { id: 10 + store_id, store_id };
        let stores: Vec<u64> =
            (0..8).map(|part| turn(vec![peer(5), peer(1), peer(4)], part).store_id).collect();
        assert_eq!(stores, [1, 4, 5, 1, 4, 5, 1, 4]);
    }
}
