//! The course's tests of lesson 3B: leaders and peers are moved about, and regions are split.

use bytes::Bytes;
use engine::Cf;
use proto::StoreId;
use proto::metapb::Peer;
use raftstore::{Command, Config, RegionError};
use runtime::units::Bytes as Size;

use crate::client::get;
use crate::cluster::{millis, settings};
use crate::filter::Filter;
use crate::generic::{Trouble, generic};
use crate::world::run;

/// The peer of a number on the store of the same number.
fn own(number: u64) -> Peer {
    Peer { id: number, store_id: number }
}

#[test]
fn transfer_leader() {
    run(5, &settings(), async |cluster| {
        let region = cluster.region("").await;
        for number in 1..=5 {
            cluster.must_transfer_leader(region.id, own(number)).await;
        }
    });
}

#[test]
fn basic_conf_change() {
    run(5, &settings(), async |cluster| {
        cluster.must_transfer_leader(1, own(1)).await;
        for number in 2..=5 {
            cluster.must_remove_peer(1, own(number)).await;
        }
        cluster.put("k1", "v1").await;
        cluster.must_lack(2, Cf::Default, "k1").await;

        cluster.must_add_peer(1, own(2)).await;
        cluster.put("k2", "v2").await;
        assert_eq!(cluster.get("k2").await.as_deref(), Some("v2"));
        cluster.must_hold(2, Cf::Default, "k1", "v1").await;
        cluster.must_hold(2, Cf::Default, "k2", "v2").await;
        assert!(cluster.region("k1").await.epoch().conf_ver > 1);
        cluster.must_lack(5, Cf::Default, "k1").await;

        cluster.must_add_peer(1, own(3)).await;
        cluster.must_remove_peer(1, own(2)).await;
        cluster.put("k3", "v3").await;
        assert_eq!(cluster.get("k3").await.as_deref(), Some("v3"));
        for (key, value) in [("k1", "v1"), ("k2", "v2"), ("k3", "v3")] {
            cluster.must_hold(3, Cf::Default, key, value).await;
        }
        // A peer that is removed takes its data with it.
        cluster.must_lack(2, Cf::Default, "k1").await;
        cluster.must_lack(2, Cf::Default, "k2").await;

        // The same peer may come again, though its tombstone is there.
        cluster.must_add_peer(1, own(2)).await;
        for (key, value) in [("k1", "v1"), ("k2", "v2"), ("k3", "v3")] {
            cluster.must_hold(2, Cf::Default, key, value).await;
        }

        cluster.must_remove_peer(1, own(2)).await;
        cluster.must_add_peer(1, Peer { id: 4, store_id: 2 }).await;
        cluster.must_remove_peer(1, own(3)).await;
        cluster.put("k4", "v4").await;
        cluster.must_hold(2, Cf::Default, "k1", "v1").await;
        cluster.must_hold(2, Cf::Default, "k4", "v4").await;
        cluster.must_lack(3, Cf::Default, "k1").await;
        cluster.must_lack(3, Cf::Default, "k4").await;
    });
}

#[test]
fn conf_change_remove_leader() {
    run(5, &settings(), async |cluster| {
        cluster.must_transfer_leader(1, own(1)).await;
        cluster.must_remove_peer(1, own(1)).await;
        cluster.put("k0", "v0").await;
        cluster.must_lack(1, Cf::Default, "k0").await;

        cluster.must_add_peer(1, own(1)).await;
        cluster.must_transfer_leader(1, own(1)).await;
        cluster.put("k1", "v1").await;
        cluster.must_hold(1, Cf::Default, "k0", "v0").await;
        cluster.must_hold(1, Cf::Default, "k1", "v1").await;

        for number in 2..=4 {
            cluster.must_remove_peer(1, own(number)).await;
        }
        // It leads a group of two: the other one must learn that it is alone.
        cluster.must_remove_peer(1, own(1)).await;
        cluster.put("k2", "v2").await;
        cluster.must_lack(1, Cf::Default, "k2").await;

        cluster.must_add_peer(1, own(1)).await;
        cluster.put("k3", "v3").await;
        cluster.must_lack(3, Cf::Default, "k3").await;
        cluster.must_hold(1, Cf::Default, "k3", "v3").await;
    });
}

const CONF_CHANGE: Trouble = Trouble {
    clients: 5,
    unreliable: false,
    crash: false,
    partitions: false,
    max_log: None,
    conf_change: true,
    split: false,
};

#[test]
fn conf_change_recover() {
    generic(Trouble { clients: 1, crash: true, ..CONF_CHANGE });
}

#[test]
fn conf_change_recover_many_clients() {
    generic(Trouble { clients: 20, crash: true, ..CONF_CHANGE });
}

#[test]
fn conf_change_unreliable() {
    generic(Trouble { unreliable: true, ..CONF_CHANGE });
}

#[test]
fn conf_change_unreliable_recover() {
    generic(Trouble { unreliable: true, crash: true, ..CONF_CHANGE });
}

const CONF_CHANGE_SNAPSHOT: Trouble =
    Trouble { unreliable: true, crash: true, max_log: Some(100), ..CONF_CHANGE };

#[test]
fn conf_change_snapshot_unreliable_recover() {
    generic(CONF_CHANGE_SNAPSHOT);
}

#[test]
fn conf_change_snapshot_unreliable_recover_concurrent_partition() {
    generic(Trouble { partitions: true, ..CONF_CHANGE_SNAPSHOT });
}

#[test]
fn one_split() {
    let config =
        Config { region_size_max: Size::new(800), region_size_split: Size::new(500), ..settings() };
    run(5, &config, async |cluster| {
        cluster.put("k1", "v1").await;
        cluster.put("k2", "v2").await;
        let whole = cluster.region("k1").await;
        assert_eq!(whole.id, cluster.region("k2").await.id);

        let fifth = [StoreId::new(5)];
        cluster.network().add_filter(Filter::partition((1..=4).map(StoreId::new), fifth));
        for number in 100..200 {
            cluster.put(&format!("k{number}"), &format!("v{number}")).await;
        }
        cluster.sleep(millis(200)).await;
        cluster.network().clear_filters();

        let (left, right) = (cluster.region("k1").await, cluster.region("k2").await);
        assert_ne!(left.id, right.id, "it is split and reported within a moment");
        assert_eq!(left.start_key, whole.start_key);
        assert_eq!(left.end_key, right.start_key);
        assert_eq!(right.end_key, whole.end_key);

        let wrong = cluster.ask_leader(&left, Command::Write(vec![get("k2")]), millis(1000)).await;
        match wrong {
            Some(Err(RegionError::KeyNotInRegion { key, .. })) => {
                assert_eq!(key, Bytes::from_static(b"k2"));
            }
            other => panic!("a key of the right part is asked of the left one: {other:?}"),
        }
        cluster.must_hold(5, Cf::Default, "k100", "v100").await;
    });
}

const SPLIT: Trouble = Trouble { conf_change: false, split: true, ..CONF_CHANGE };

#[test]
fn split_recover() {
    generic(Trouble { clients: 1, crash: true, ..SPLIT });
}

#[test]
fn split_recover_many_clients() {
    generic(Trouble { clients: 20, crash: true, ..SPLIT });
}

#[test]
fn split_unreliable() {
    generic(Trouble { unreliable: true, ..SPLIT });
}

#[test]
fn split_unreliable_recover() {
    generic(Trouble { unreliable: true, crash: true, ..SPLIT });
}

#[test]
fn split_conf_change_snapshot_unreliable_recover() {
    generic(Trouble { split: true, ..CONF_CHANGE_SNAPSHOT });
}

#[test]
fn split_conf_change_snapshot_unreliable_recover_concurrent_partition() {
    generic(Trouble { partitions: true, split: true, ..CONF_CHANGE_SNAPSHOT });
}
