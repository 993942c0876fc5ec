//! How often puts wait for a disk: what many clients ask for at the same time is to share one sync.
//!
//! Counted is what a store asks of its engines. What RocksDB syncs by itself when it writes a sorted file, a
//! few times for tens of megabytes, is not in it.

use super::cluster::{Cluster, REPORTS, Settings};
use super::report::{Report, Table, Target, shown};
use super::{Ground, Result};
use crate::keys::key;
use crate::number::float;

/// Writes of the log's engine that had to be on disk.
const LOG: &str = "tinykv_engine_raft_write_seconds_count{durability=\"synced\"}";

/// Those of the engine of the data.
const DATA: &str = "tinykv_engine_kv_write_seconds_count{durability=\"synced\"}";

pub(super) async fn run(ground: &Ground<'_>) -> Result<Report> {
    let settings = Settings { stores: &REPORTS, ..Settings::default() };
    let cluster = Cluster::start(ground, 3, settings).await?;
    let (wish, keys) = (ground.wish, ground.wish.keys);
    ground.put(cluster.clients().await?, keys, wish.warm_up, "puts to warm up").await?;
    let clients = cluster.clients().await?;
    let (leader, _) = cluster.leader(&key(0)).await?;
    let before = (cluster.counts(LOG).await?, cluster.counts(DATA).await?);
    let measured = ground.put(clients, keys, wish.seconds, "puts").await?;
    let after = (cluster.counts(LOG).await?, cluster.counts(DATA).await?);
    let puts = float(measured.counts.done);
    let log = differences(&before.0, &after.0);
    let data = differences(&before.1, &after.1);
    let mut table =
        Table::new(&["store", "puts", "syncs of the log", "a put", "syncs of the data", "a put"]);
    let mut of_leader = f64::NAN;
    for (store, (log, data)) in cluster.stores.iter().zip(log.iter().zip(&data)) {
        let leads = store.id == leader;
        let each = |syncs: u64| float(syncs) / puts;
        if leads {
            of_leader = each(*log);
        }
        table.row([
            format!("{}{}", store.id, if leads { ", leads" } else { "" }),
            format!("{puts:.0}"),
            log.to_string(),
            shown(each(*log)),
            data.to_string(),
            shown(each(*data)),
        ]);
    }
    let most = float(data.into_iter().max().unwrap_or_default()) / puts;
    Ok(Report::new(table)
        .figure("syncs of the leader's log for a put", of_leader, Target::AtMost(0.05))
        .figure("syncs of the data for a put", most, Target::AtMost(0.001)))
}

fn differences(before: &[u64], after: &[u64]) -> Vec<u64> {
    before.iter().zip(after).map(|(before, after)| after.saturating_sub(*before)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_before_does_not_count() {
        assert_eq!(differences(&[1, 2, 3], &[1, 5, 10]), [0, 3, 7]);
    }
}
