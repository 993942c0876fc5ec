//! The test that most lessons run with other parameters: clients write and read, and things go wrong.
//!
//! Three rounds. In each, for five seconds, every client puts keys of its own and now and then scans
//! them all and compares; meanwhile the network and the regions are changed under them. Then the
//! network is made whole, perhaps all stores are restarted, and every client finds what it wrote.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use proto::StoreId;
use proto::metapb::Peer;
use raftstore::Config;
use runtime::units::Bytes;

use crate::cluster::{Cluster, millis, settings};
use crate::filter::Filter;
use crate::world::run;

/// What goes wrong, and for how many.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "any of them may go with any other")]
pub(crate) struct Trouble {
    pub(crate) clients: u64,
    /// Messages are lost; more and more of them, where nothing else clears the network.
    pub(crate) unreliable: bool,
    /// All stores are stopped and started after each round.
    pub(crate) crash: bool,
    /// The stores are parted in two, again and again.
    pub(crate) partitions: bool,
    /// The log is cut at so many entries.
    pub(crate) max_log: Option<u64>,
    /// Peers come and go, in the first round.
    pub(crate) conf_change: bool,
    /// Regions are split when they are a few hundred bytes large.
    pub(crate) split: bool,
}

const ROUNDS: u32 = 3;

/// How long a change of a region's peers may take: the five seconds in which the network may be such
/// that nobody can be elected, and as many in which it is whole again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tells tasks that they should end.
type Stop = Rc<Cell<bool>>;

/// Runs the test.
pub(crate) fn generic(trouble: Trouble) {
    let mut config = settings();
    if let Some(count) = trouble.max_log {
        config.log_gc_count = count;
    }
    if trouble.split {
        config = Config {
            region_size_max: Bytes::new(300),
            region_size_split: Bytes::new(200),
            ..config
        };
    }
    run(5, &config, async |cluster| {
        cluster.sleep(millis(1000)).await;
        let regions_are_still = Stop::default();
        for _ in 0..ROUNDS {
            let written = trouble.disturb(&cluster, &regions_are_still).await;
            if trouble.crash {
                restart(&cluster).await;
            }
            check_and_delete(&cluster, &written).await;
            if let Some(count) = trouble.max_log.filter(|count| *count > 0) {
                cluster.sleep(millis(1000)).await;
                check_logs(&cluster, 2 * count).await;
            }
            if trouble.split {
                let first = cluster.region("").await;
                assert!(!first.end_key.is_empty(), "the first region was not split: {first:?}");
            }
        }
    });
}

impl Trouble {
    /// One round of writing while things go wrong. Answers how many keys each client has put.
    async fn disturb(self, cluster: &Rc<Cluster>, regions_are_still: &Stop) -> Vec<u64> {
        let stop = Stop::default();
        let clients: Vec<_> = (0..self.clients)
            .map(|id| cluster.spawn(client(Rc::clone(cluster), id, Rc::clone(&stop))))
            .collect();
        let mut chaos = None;
        if self.unreliable || self.partitions {
            cluster.sleep(millis(300)).await;
            let task = disturb_network(Rc::clone(cluster), self, Rc::clone(&stop));
            chaos = Some(cluster.spawn(task));
        }
        if self.conf_change {
            cluster.sleep(millis(100)).await;
            let task = change_peers(Rc::clone(cluster), Rc::clone(regions_are_still));
            drop(cluster.spawn(task));
        }
        cluster.sleep(millis(5000)).await;
        stop.set(true);
        regions_are_still.set(true);
        if let Some(chaos) = chaos {
            chaos.await;
            cluster.network().clear_filters();
            cluster.sleep(millis(500)).await;
        }
        let mut written = Vec::new();
        for client in clients {
            written.push(client.await);
        }
        written
    }
}

fn key(client: u64, number: u64) -> String {
    format!("{client} {number:08}")
}

fn value(client: u64, number: u64) -> String {
    format!("x {client} {number} y")
}

/// Puts and scans keys of its own until it is told to stop; answers how many it has put.
async fn client(cluster: Rc<Cluster>, id: u64, stop: Stop) -> u64 {
    let (mut count, mut all) = (0, String::new());
    while !stop.get() {
        if cluster.chance(|rng| rng.chance(1, 2)) {
            cluster.put(&key(id, count), &value(id, count)).await;
            all += &value(id, count);
            count += 1;
        } else {
            let found = cluster.scan(&key(id, 0), &key(id, count)).await.concat();
            assert_eq!(found, all, "client {id} does not find what it has put");
        }
    }
    count
}

/// Parts the stores and loses messages, always in new ways.
async fn disturb_network(cluster: Rc<Cluster>, trouble: Trouble, stop: Stop) {
    while !stop.get() {
        if trouble.partitions {
            let is_here = |_: &StoreId| cluster.chance(|rng| rng.chance(1, 2));
            let (here, there): (Vec<_>, Vec<_>) = cluster.stores().into_iter().partition(is_here);
            cluster.network().clear_filters();
            cluster.network().add_filter(Filter::partition(here, there));
        }
        if trouble.unreliable {
            cluster.network().add_filter(Filter::Lossy);
        }
        let pause = cluster.chance(|rng| rng.below(200));
        cluster.sleep(millis(500 + pause)).await;
    }
}

/// Adds and removes peers of any region.
async fn change_peers(cluster: Rc<Cluster>, stop: Stop) {
    while !stop.get() {
        let stores = cluster.stores();
        let region = cluster.chance(|rng| cluster.scheduler().random_region(rng));
        let store = cluster.chance(|rng| rng.pick(&stores).copied());
        if let (Some(region), Some(store)) = (region, store) {
            match region.peer_on_store(store).copied() {
                Some(peer) if region.peers.len() > 1 => {
                    let id = region.region_id();
                    cluster.must_remove_peer_within(PATIENCE, id, peer).await;
                }
                Some(_) => {}
                None => {
                    let id = cluster.scheduler().next_id();
                    let peer = Peer { id, store_id: store.get() };
                    cluster.must_add_peer_within(PATIENCE, region.region_id(), peer).await;
                }
            }
        }
        let pause = cluster.chance(|rng| rng.below(200));
        cluster.sleep(millis(pause)).await;
    }
}

async fn restart(cluster: &Cluster) {
    for store in cluster.stores() {
        cluster.stop(store);
    }
    cluster.sleep(millis(500)).await;
    for store in cluster.stores() {
        cluster.start(store);
    }
}

/// Every value is there once and in order. Then all are deleted, each client's one by one.
async fn check_and_delete(cluster: &Rc<Cluster>, written: &[u64]) {
    let mut deletions = Vec::new();
    for (id, count) in (0..).zip(written.iter().copied()) {
        let found = cluster.scan(&key(id, 0), &key(id, count)).await;
        let expected: Vec<String> = (0..count).map(|number| value(id, number)).collect();
        assert_eq!(found, expected, "what is left of client {id}");
        let cluster = Rc::clone(cluster);
        let deleter = Rc::clone(&cluster);
        deletions.push(cluster.spawn(async move {
            for number in 0..count {
                deleter.delete(&key(id, number)).await;
            }
        }));
    }
    for deletion in deletions {
        deletion.await;
    }
}

/// No region's log is longer than it may be, on any store.
async fn check_logs(cluster: &Cluster, most: u64) {
    let mut from = String::new();
    loop {
        let region = cluster.region(&from).await;
        cluster.check_logs(region.region_id(), most);
        if region.end_key.is_empty() {
            return;
        }
        from = String::from_utf8_lossy(&region.end_key).into_owned();
    }
}
