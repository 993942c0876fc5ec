//! The course's tests of lesson 2B: a replicated store that loses messages and is restarted.

use proto::StoreId;

use crate::cluster::settings;
use crate::filter::Filter;
use crate::generic::{Trouble, generic};
use crate::world::run;

#[test]
fn basic() {
    generic(Trouble { clients: 1, ..Trouble::default() });
}

#[test]
fn concurrent() {
    generic(Trouble { clients: 5, ..Trouble::default() });
}

#[test]
fn unreliable() {
    generic(Trouble { clients: 5, unreliable: true, ..Trouble::default() });
}

#[test]
fn one_partition() {
    run(5, &settings(), async |cluster| {
        let region = cluster.region("").await;
        let leader = StoreId::new(cluster.leader(region.id).await.store_id);
        let stores = region.peers.iter().map(|peer| StoreId::new(peer.store_id));
        let others: Vec<StoreId> = stores.filter(|store| *store != leader).collect();
        let [first, second, third, fourth] = others[..] else { panic!("{region:?}") };

        // The leader is with the majority.
        cluster.network().add_filter(Filter::partition([leader, first, second], [third, fourth]));
        cluster.put("k1", "v1").await;
        assert_eq!(cluster.get("k1").await.as_deref(), Some("v1"));
        for store in [third, fourth] {
            cluster.must_lack(store.get(), engine::Cf::Default, "k1").await;
        }
        cluster.network().clear_filters();

        // The old leader is with the minority, and the others elect another one.
        cluster.network().add_filter(Filter::partition([leader, first], [second, third, fourth]));
        assert_eq!(cluster.get("k1").await.as_deref(), Some("v1"));
        cluster.put("k1", "changed").await;
        for store in [leader, first] {
            cluster.must_hold(store.get(), engine::Cf::Default, "k1", "v1").await;
        }
        cluster.network().clear_filters();

        // The old leader follows.
        cluster.put("k2", "v2").await;
        cluster.must_hold(leader.get(), engine::Cf::Default, "k2", "v2").await;
        cluster.must_hold(leader.get(), engine::Cf::Default, "k1", "changed").await;
    });
}

#[test]
fn many_partitions_one_client() {
    generic(Trouble { clients: 1, partitions: true, ..Trouble::default() });
}

#[test]
fn many_partitions_many_clients() {
    generic(Trouble { clients: 5, partitions: true, ..Trouble::default() });
}

#[test]
fn persist_one_client() {
    generic(Trouble { clients: 1, crash: true, ..Trouble::default() });
}

#[test]
fn persist_concurrent() {
    generic(Trouble { clients: 5, crash: true, ..Trouble::default() });
}

#[test]
fn persist_concurrent_unreliable() {
    generic(Trouble { clients: 5, unreliable: true, crash: true, ..Trouble::default() });
}

#[test]
fn persist_partition() {
    generic(Trouble { clients: 5, crash: true, partitions: true, ..Trouble::default() });
}

#[test]
fn persist_partition_unreliable() {
    let all = Trouble { unreliable: true, crash: true, partitions: true, ..Trouble::default() };
    generic(Trouble { clients: 5, ..all });
}
