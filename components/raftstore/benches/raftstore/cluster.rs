//! Stores in one process: real threads and disks, and no network.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use engine::{Engines, Layout, OpenMode, Recovery, Rocks};
use proto::metapb::{Peer, Region, Store};
use proto::raft_serverpb::RaftMessage;
use proto::schedulerpb::StoreStats;
use proto::{RegionId, StoreId};
use raftstore::snapshot::{self, Limits, SnapKey, SnapManager};
use raftstore::{
    Config, Node, RegionHeartbeat, Router, SchedulerClient, SchedulerError, Setup, Transport,
    Unsent, bootstrap,
};
use runtime::Rng;
use runtime::clock::SystemClock;
use runtime::metrics::Metrics;
use runtime::worker::Alarm;

/// Who can be reached, and the snapshots of each.
#[derive(Default)]
pub(crate) struct Network(RwLock<BTreeMap<u64, (Router, Arc<SnapManager>)>>);

impl Network {
    fn find(&self, store: u64) -> Option<(Router, Arc<SnapManager>)> {
        self.0.read().expect("no thread panics while it holds the map").get(&store).cloned()
    }
}

/// Hands messages over at once, and snapshots by a thread of their own.
struct Direct(Arc<Network>);

impl Transport for Direct {
    fn send(&self, message: RaftMessage) -> Result<(), Unsent> {
        let unknown = Unsent { why: "there is no such store" };
        let (from, to) =
            (message.from_peer.unwrap_or_default(), message.to_peer.unwrap_or_default());
        let (target, target_files) = self.0.find(to.store_id).ok_or(unknown)?;
        let carried = message.message.as_ref().and_then(|inner| inner.snapshot.clone());
        let Some(carried) = carried else {
            target.raft_message(Box::new(message));
            return Ok(());
        };
        let (own, own_files) = self.0.find(from.store_id).ok_or(unknown)?;
        let body = move || {
            let key = SnapKey::of(&carried, message.region_id);
            let data = prost::Message::decode(carried.data.clone()).expect("our own snapshot");
            let moved = snapshot::transfer(&own_files, &target_files, key, &data);
            let region = RegionId::new(message.region_id);
            if moved.is_ok() {
                target.raft_message(Box::new(message));
            }
            own.snapshot_sent(region, to.id, key, moved.is_ok());
        };
        runtime::worker::Thread::spawn("snapshot", &Alarm::ignored(), body)
            .map(drop)
            .map_err(|_| Unsent { why: "no thread" })
    }
}

/// A scheduler that gives numbers and remembers nothing.
struct Numbers(AtomicU64);

impl SchedulerClient for Numbers {
    fn alloc_id(&self) -> Result<u64, SchedulerError> {
        Ok(self.0.fetch_add(1, Ordering::SeqCst))
    }
    fn is_bootstrapped(&self) -> Result<bool, SchedulerError> {
        Ok(true)
    }
    fn bootstrap(&self, _store: &Store, _region: &Region) -> Result<bool, SchedulerError> {
        Ok(false)
    }
    fn put_store(&self, _store: &Store) -> Result<(), SchedulerError> {
        Ok(())
    }
    fn store_heartbeat(&self, _stats: &StoreStats) -> Result<(), SchedulerError> {
        Ok(())
    }
    fn region_heartbeat(&self, _heartbeat: RegionHeartbeat) -> Result<(), SchedulerError> {
        Ok(())
    }
    fn ask_split(&self, region: &Region) -> Result<(RegionId, Vec<u64>), SchedulerError> {
        let id = RegionId::new(self.alloc_id()?);
        let peers = region.peers.iter().map(|_| self.alloc_id()).collect::<Result<_, _>>()?;
        Ok((id, peers))
    }
    fn region(&self, _id: RegionId) -> Result<Option<Region>, SchedulerError> {
        Ok(None)
    }
}

/// A store that runs.
pub(crate) struct Member {
    pub(crate) node: Node,
    pub(crate) engines: Engines,
}

/// Stores with the same regions on all of them.
pub(crate) struct Cluster {
    pub(crate) members: Vec<Member>,
}

impl Cluster {
    /// As many stores and regions as asked for. The regions are cut at `r0000001`, `r0000002`, ...
    pub(crate) fn start(dir: &Path, stores: u64, regions: u64, config: &Config) -> Cluster {
        let network = Arc::new(Network::default());
        let scheduler = Arc::new(Numbers(AtomicU64::new(1_000_000)));
        let prepared: Vec<_> = (1..=stores)
            .map(|store| {
                let dir = dir.join(store.to_string());
                let engines = open(&dir);
                let id = StoreId::new(store);
                bootstrap::bootstrap_store(&engines, 1, id).expect("a new disk");
                for region in layout(stores, regions) {
                    bootstrap::write_initial_region(&engines, &region, false).expect("a new disk");
                }
                (id, dir, engines)
            })
            .collect();
        let members = prepared.into_iter().map(|(store, dir, engines)| {
            let snapshots = open_snapshots(&dir.join("snap"));
            let setup = Setup {
                config: config.clone(),
                engines: engines.clone(),
                store,
                transport: Arc::new(Direct(Arc::clone(&network))),
                scheduler: Arc::clone(&scheduler) as Arc<dyn SchedulerClient>,
                snapshots: Arc::clone(&snapshots),
                clock: Arc::new(SystemClock),
                rng: Rng::new(store.get()),
                log: slog::Logger::root(slog::Discard, slog::o!()),
            };
            let node = Node::start(setup, &Alarm::ignored(), &Metrics::new("unread"))
                .expect("the store starts");
            let reach = (node.router().clone(), snapshots);
            network.0.write().expect("nobody panicked").insert(store.get(), reach);
            Member { node, engines }
        });
        Cluster { members: members.collect() }
    }

    /// Stops all stores.
    pub(crate) fn stop(self) {
        for member in self.members {
            member.node.stop().expect("the store stops");
        }
    }
}

/// A region for each part of the key space, with a peer on each store.
fn layout(stores: u64, regions: u64) -> impl Iterator<Item = Region> {
    let border = move |number: u64| {
        if number == 0 || number == regions { String::new() } else { format!("r{number:07}") }
    };
    (0..regions).map(move |number| {
        let id = number + 1;
        let peers = (1..=stores).map(|store| Peer { id: id * 10 + store, store_id: store });
        Region::new(RegionId::new(id), border(number), border(number + 1)).with_peers(peers)
    })
}

fn open(dir: &Path) -> Engines {
    std::fs::create_dir_all(dir).expect("a place for the data");
    let config = engine::Config::default();
    let mode = OpenMode::CreateIfMissing;
    let kv = Rocks::open(&dir.join("kv"), Layout::Kv, &config, mode, Recovery::PointInTime);
    let raft = Rocks::open(&dir.join("raft"), Layout::Raft, &config, mode, Recovery::Strict);
    Engines::new(Arc::new(kv.expect("it opens")), Arc::new(raft.expect("it opens")))
}

fn open_snapshots(dir: &Path) -> Arc<SnapManager> {
    let limits = Limits {
        space_bytes: 8 << 30,
        builds: 4,
        sends: 4,
        receives: 4,
        age: std::time::Duration::from_hours(1),
    };
    let log = slog::Logger::root(slog::Discard, slog::o!());
    Arc::new(SnapManager::open(dir, limits, log).expect("a new directory"))
}
