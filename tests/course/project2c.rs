//! The course's tests of lesson 2C that need a cluster: logs are cut, and whoever missed something gets
//! a snapshot. The others of this lesson are about Raft alone.

use engine::Cf;
use proto::StoreId;
use raftstore::Config;

use crate::cluster::{millis, settings};
use crate::filter::Filter;
use crate::generic::{Trouble, generic};
use crate::world::run;

const SNAPSHOT: Trouble = Trouble {
    clients: 5,
    unreliable: false,
    crash: false,
    partitions: false,
    max_log: Some(100),
    conf_change: false,
    split: false,
};

#[test]
fn one_snapshot() {
    let config = Config { log_gc_count: 10, ..settings() };
    run(3, &config, async |cluster| {
        cluster.put_cf(Cf::Lock, "k1", "v1").await;
        cluster.put_cf(Cf::Lock, "k2", "v2").await;
        cluster.must_hold(1, Cf::Lock, "k1", "v1").await;
        cluster.must_hold(1, Cf::Lock, "k2", "v2").await;
        let states = cluster.apply_states(1.into());
        assert_eq!(states.len(), 3);
        for (store, _, cut) in states {
            assert_eq!(cut, (5, 5), "the log of {store:?} is cut already");
        }

        let [one, two, three] = [1, 2, 3].map(StoreId::new);
        cluster.network().add_filter(Filter::partition([one], [two, three]));
        for number in 100..115 {
            cluster.put_cf(Cf::Lock, &format!("k{number}"), &format!("v{number}")).await;
        }
        cluster.delete_cf(Cf::Lock, "k2").await;
        cluster.sleep(millis(500)).await;
        cluster.must_lack(1, Cf::Lock, "k100").await;
        cluster.network().clear_filters();

        // The log does not have it any more.
        cluster.must_hold(1, Cf::Lock, "k1", "v1").await;
        cluster.must_hold(1, Cf::Lock, "k100", "v100").await;
        cluster.must_lack(1, Cf::Lock, "k2").await;

        cluster.stop(one);
        cluster.start(one);
        cluster.must_hold(1, Cf::Lock, "k1", "v1").await;
        cluster.check_logs(1.into(), 20);
    });
}

#[test]
fn snapshot_recover() {
    generic(Trouble { clients: 1, crash: true, ..SNAPSHOT });
}

#[test]
fn snapshot_recover_many_clients() {
    generic(Trouble { clients: 20, crash: true, ..SNAPSHOT });
}

#[test]
fn snapshot_unreliable() {
    generic(Trouble { unreliable: true, ..SNAPSHOT });
}

#[test]
fn snapshot_unreliable_recover() {
    generic(Trouble { unreliable: true, crash: true, ..SNAPSHOT });
}

#[test]
fn snapshot_unreliable_recover_concurrent_partition() {
    generic(Trouble { unreliable: true, crash: true, partitions: true, ..SNAPSHOT });
}
