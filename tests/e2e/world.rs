//! A cluster with a client, and questions to the scheduler.

use std::collections::BTreeMap;

use bytes::Bytes;
use client::scheduler::RegionAndLeader;
use client::{Client, Config};
use tests::cluster::{Cluster, Settings};
use tests::eventually;

/// A cluster, and a client of it.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) client: Client,
}

/// Settings with which everything that takes minutes takes less than a second, and few rows make a region.
pub(crate) fn quick() -> Settings {
    Settings {
        scheduler: vec!["schedule.max-interval=200ms"],
        store: vec![
            "raftstore.region-heartbeat-period=200ms",
            "raftstore.store-heartbeat-period=200ms",
            "raftstore.split-check-period=200ms",
            "raftstore.region-size-max=128KiB",
            "raftstore.region-size-split=64KiB",
            "raftstore.log-gc-period=500ms",
            "raftstore.log-gc-count=100",
        ],
    }
}

impl World {
    /// So many stores, with three replicas of the one region that there is.
    pub(crate) async fn start(stores: usize) -> Self {
        let world = World::with(Cluster::start(stores, &quick())).await;
        world.wait_for_replicas().await;
        world
    }

    pub(crate) async fn with(cluster: Cluster) -> Self {
        let client = Client::connect(&[cluster.address()], Config::default()).await.unwrap();
        World { cluster, client }
    }

    pub(crate) async fn regions(&self) -> Vec<RegionAndLeader> {
        self.client.scheduler().scan_regions(b"", b"", 0).await.unwrap()
    }

    /// Waits until each region has three replicas and a leader.
    pub(crate) async fn wait_for_replicas(&self) {
        eventually("three replicas of everything", async || {
            let regions = self.regions().await;
            let is_whole =
                |found: &RegionAndLeader| found.region.peers.len() == 3 && found.leader.is_some();
            (!regions.is_empty() && regions.iter().all(is_whole)).then_some(())
        })
        .await;
    }

    /// The id of the store at a place.
    pub(crate) async fn store_id(&self, place: usize) -> u64 {
        let address = self.cluster.store_address(place);
        let stores = self.client.scheduler().stores(false).await.unwrap();
        stores.iter().find(|store| store.address == address).expect("it has registered").id
    }

    /// The place of the store that leads a key's region.
    pub(crate) async fn leader_of(&self, key: &[u8]) -> usize {
        let scheduler = self.client.scheduler();
        let leader = eventually("a leader", async || {
            scheduler.region(key).await.unwrap().and_then(|found| found.leader)
        })
        .await;
        let store = scheduler.store(leader.store_id).await.unwrap().expect("it leads");
        self.cluster.place_of(&store.address)
    }

    /// How many peers each store has, by its id.
    pub(crate) async fn peers(&self) -> BTreeMap<u64, usize> {
        let mut peers = BTreeMap::new();
        for found in self.regions().await {
            for peer in found.region.peers {
                *peers.entry(peer.store_id).or_default() += 1;
            }
        }
        peers
    }

    /// Writes rows in transactions of a hundred; answers what must be there from now on.
    pub(crate) async fn fill(&self, rows: u32) -> BTreeMap<Bytes, Bytes> {
        let mut written = BTreeMap::new();
        for part in 0..rows.div_ceil(100) {
            let mut txn = self.client.begin().await.unwrap();
            for number in part * 100..rows.min((part + 1) * 100) {
                let (key, value) = (key(number), value(number));
                txn.put(key.clone(), value.clone()).unwrap();
                written.insert(key, value);
            }
            txn.commit().await.unwrap();
        }
        written
    }

    /// All rows as of now. A read of many regions may run out of time while one store after the other is
    /// found to be away; nothing speaks against another one.
    pub(crate) async fn rows(&self) -> Vec<(Bytes, Bytes)> {
        eventually("a read of all rows", async || {
            let txn = self.client.begin().await.unwrap();
            match txn.scan("row", "rox", usize::MAX).await {
                Ok(found) => Some(found),
                Err(error) => {
                    assert!(error.is_retryable(), "{error}");
                    None
                }
            }
        })
        .await
    }

    /// Reads all rows as of now, and compares.
    pub(crate) async fn expect(&self, rows: &BTreeMap<Bytes, Bytes>) {
        let found = self.rows().await;
        let missing: Vec<_> = rows.iter().filter(|row| !has(&found, row)).take(3).collect();
        assert!(
            missing.is_empty() && found.len() == rows.len(),
            "{} rows: {missing:?}",
            found.len()
        );
    }
}

fn has(found: &[(Bytes, Bytes)], (key, value): &(&Bytes, &Bytes)) -> bool {
    let place = found.binary_search_by(|(other, _)| other.cmp(key));
    place.is_ok_and(|place| found[place].1 == **value)
}

pub(crate) fn key(number: u32) -> Bytes {
    format!("row{number:06}").into()
}

/// A kibibyte that no other row has.
pub(crate) fn value(number: u32) -> Bytes {
    format!("{number:06}").repeat(171).into()
}
