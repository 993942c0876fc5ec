//! How long the log is kept, and for whom.

use std::collections::BTreeSet;

use proto::eraftpb::ConfChangeType::AddNode;
use runtime::units::Period;

use super::cluster::{Cluster, FIRST, peer, short_logs};
use super::net::to_store;
use crate::config::Config;
use crate::snapshot::SnapKey;

/// Which snapshots were sent to a store since this was asked last.
fn snapshots_to(cluster: &Cluster, store: u64) -> BTreeSet<u64> {
    let sent = cluster.net.sent().into_iter().filter(|message| to_store(message) == store);
    let carried = sent.filter_map(|message| {
        let snapshot = message.message.as_ref()?.snapshot.as_ref()?;
        Some(SnapKey::of(snapshot, message.region_id).index)
    });
    carried.collect()
}

fn write_for(cluster: &mut Cluster, ticks: u32) {
    for number in 0..ticks {
        cluster.put("k", &number.to_string());
        cluster.tick(1);
    }
}

fn log_length(cluster: &Cluster, store: u64) -> u64 {
    let status = cluster.status(store, FIRST).unwrap();
    status.last_index + 1 - status.first_index
}

#[test]
fn a_new_member_needs_one_snapshot_however_long_that_takes_under_writes() {
    // Slow is what takes the snapshot in, or what builds it.
    for slow in [3, 1] {
        let mut cluster = Cluster::new(3, &[1, 2], short_logs());
        cluster.lead(FIRST, 1);
        write_for(&mut cluster, 10);
        cluster.at(slow).holds_region = true;
        cluster.change(FIRST, AddNode, peer(3));
        write_for(&mut cluster, 30);
        if slow == 1 {
            // As if it had been built at once, and only been reported late.
            assert!(log_length(&cluster, 1) > 20, "{}", cluster.show());
        }
        cluster.at(slow).holds_region = false;
        cluster.converge(FIRST);
        let sent = snapshots_to(&cluster, 3);
        assert_eq!(sent.len(), 1, "store {slow} is slow: {sent:?}");
        write_for(&mut cluster, 20);
        assert!(log_length(&cluster, 1) < 20, "{}", cluster.show());
    }
}

#[test]
fn a_dead_follower_that_waited_for_a_snapshot_does_not_keep_the_log_for_ever() {
    let config = Config { snapshot_period_max: Period::secs(3), ..short_logs() };
    let mut cluster = Cluster::new(3, &[1, 2], config);
    cluster.lead(FIRST, 1);
    write_for(&mut cluster, 10);
    cluster.at(3).holds_region = true;
    cluster.change(FIRST, AddNode, peer(3));
    cluster.tick(4);
    assert_eq!(snapshots_to(&cluster, 3).len(), 1);
    cluster.isolate(3);
    write_for(&mut cluster, 20);
    assert!(log_length(&cluster, 1) > 15, "it may come back: {}", cluster.show());
    write_for(&mut cluster, 20);
    assert!(log_length(&cluster, 1) < 15, "it has had its time: {}", cluster.show());
}
