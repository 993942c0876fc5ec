//! Puts while a snapshot travels: a region of 96 MiB with three replicas gets a fourth one on a store that
//! is new, because the scheduler wants four wherever there are so many stores.
//!
//! ```text
//!   the load    ... warming up | puts before | the new store starts | puts meanwhile     |
//!                                                                   ^ it is a member     ^ it has it all
//! ```
//!
//! The region is never split here, however large it is. Its rows lie beside those of the load.

use std::time::Duration;

use client::Admin;
use proto::metapb::Region;
use runtime::clock::Instant;

use super::cluster::{Cluster, REPORTS, Settings};
use super::report::{Report, Table, Target, shown};
use super::watch::Watch;
use super::{Ground, Result, TrialError};
use crate::fill::fill;
use crate::keys::key;
use crate::number::{float, spread};

/// How long rows of the region are, keys included.
const ROW_BYTES: u64 = 1024;
const KEY_BYTES: u64 = 16;

/// How many keys the load puts, again and again: it is not to change the size of the region.
const LOAD_KEYS: u64 = 1000;

/// How long the load goes on unless it is ended: longer than everything may take.
const ENOUGH: Duration = Duration::from_mins(30);

/// How often is looked where the snapshot is.
const LOOK: Duration = Duration::from_millis(20);

const SENT: &str = "tinykv_stores_snapshot_bytes_total";

/// One snapshot.
struct Travel {
    before: f64,
    meanwhile: f64,
    took: Duration,
    mib: f64,
}

pub(super) async fn run(ground: &Ground<'_>) -> Result<Report> {
    let mut table =
        Table::new(&["round", "MiB", "seconds", "puts a second before", "meanwhile", "ratio"]);
    let mut ratios = Vec::new();
    for round in 1..=ground.wish.rounds {
        let Travel { before, meanwhile, took, mib } = once(ground).await?;
        ratios.push(meanwhile / before);
        table.row([
            round.to_string(),
            format!("{mib:.0}"),
            shown(took.as_secs_f64()),
            format!("{before:.0}"),
            format!("{meanwhile:.0}"),
            shown(meanwhile / before),
        ]);
    }
    let what = "puts while a snapshot travels / before";
    Ok(Report::new(table).figure(what, spread(ratios).median, Target::AtLeast(0.4)))
}

async fn once(ground: &Ground<'_>) -> Result<Travel> {
    let whole = ["raftstore.region-size-max=2TiB", "raftstore.region-size-split=1TiB"];
    let stores: Vec<&str> = REPORTS.into_iter().chain(whole).collect();
    let settings = Settings { scheduler: &["replication.max-replicas=4"], stores: &stores };
    let mut cluster = Cluster::start(ground, 3, settings).await?;
    let value_bytes = usize::try_from(ROW_BYTES - KEY_BYTES).expect("a row is small");
    let rows = ground.wish.region_mib * (1 << 20) / ROW_BYTES;
    fill(&cluster.system(value_bytes, true).await?, LOAD_KEYS + rows, 1).await?;
    let watch = Watch::new(&ground.clock, ENOUGH);
    let clients = watch.over(cluster.clients().await?);
    tokio::select! {
        ended = ground.put(clients, LOAD_KEYS, ENOUGH, "puts") => {
            ended.and(Err(TrialError::Missing("a snapshot".to_owned())))
        }
        travel = travel(ground, &mut cluster, &watch) => travel,
    }
}

/// A moment, and how many puts there were until then.
type Mark = (Instant, u64);

/// Adds a store, and counts puts.
async fn travel(ground: &Ground<'_>, cluster: &mut Cluster<'_>, watch: &Watch) -> Result<Travel> {
    let mark = || (ground.clock.now(), watch.count());
    let led = cluster.leader(&key(0)).await?;
    tokio::time::sleep(ground.wish.warm_up).await;
    let quiet = mark();
    tokio::time::sleep(ground.wish.seconds).await;
    let before = rate(quiet, mark());
    // The store says that it is ready when all of this is over.
    let admin = cluster.client.admin();
    let (added, followed) = tokio::join!(cluster.add_store(), follow(ground, &admin, &led, mark));
    added?;
    let (begin, end) = followed?;
    let sent: u64 = cluster.counts(SENT).await?.iter().sum();
    let mib = float(sent) / float(1 << 20);
    let took = end.0.since(begin.0);
    Ok(Travel { before, meanwhile: rate(begin, end), took, mib })
}

/// From when a region has one more member to when that has all the data.
async fn follow(
    ground: &Ground<'_>,
    admin: &Admin,
    (leader, region): &(u64, Region),
    mark: impl Fn() -> Mark,
) -> Result<(Mark, Mark)> {
    let state = async |store| admin.region_state(store, region.id).await.ok();
    let joined = async || {
        let peers = state(*leader).await?.region?.peers;
        peers.into_iter().find(|peer| !region.peers.contains(peer))
    };
    let newcomer = ground.eventually_after(LOOK, "a fourth replica", joined).await?.store_id;
    let begin = mark();
    let arrived = async || state(newcomer).await.filter(|state| state.applied_index > 0);
    ground.eventually_after(LOOK, "a snapshot that arrived", arrived).await?;
    // What comes after the snapshot is applied when the snapshot is a part of the store's data.
    let led = ground.eventually_after(LOOK, "a leader", async || state(*leader).await).await?;
    let level =
        async || state(newcomer).await.filter(|state| state.applied_index >= led.committed_index);
    ground.eventually_after(LOOK, "a snapshot that is installed", level).await?;
    Ok((begin, mark()))
}

/// Puts a second in between.
fn rate((begin, from): Mark, (end, to): Mark) -> f64 {
    float(to - from) / end.since(begin).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_what_came_in_between() {
        let at = |ms| Instant::from_start(Duration::from_millis(ms));
        let rate = rate((at(1000), 500), (at(1500), 1500));
        assert!((rate - 2000.0).abs() < 1e-6, "{rate}");
    }
}
