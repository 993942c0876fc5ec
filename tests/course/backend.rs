//! What a cluster runs on: threads and real disks, or simulated time.
//!
//! The tests know only [`Backend`]. What survives when a store goes down, its disks, the network and
//! the scheduler, is the [`Ground`], which both backends share.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use engine::{Engines, Faults, Faulty, Layout};
use proto::StoreId;
use proto::metapb::{Peer, Region, Store};
use raftstore::snapshot::{Limits, SnapManager};
use raftstore::{
    Answer, Command, Config, Header, LocalRead, Router, SchedulerClient, Setup, bootstrap,
};
use runtime::Rng;
use runtime::clock::Clock;
use runtime::reply::Reply;
use sim::store::scheduler::{Scripted, through_router};
use slog::Logger;
use tempfile::TempDir;

use crate::network::Network;

/// What lets stores run, and time pass.
pub(crate) trait Backend {
    /// The time since the test began.
    fn now(&self) -> Duration;

    /// Lets time pass until something was answered, or until this time has come.
    fn pass(&self, until: Duration);

    /// Starts a store on its disks.
    fn start(&self, store: StoreId);

    /// Ends a store; its disks stay.
    fn stop(&self, store: StoreId);

    /// Sends a command to a store that runs.
    fn command(&self, store: StoreId, header: Header, command: Command, reply: Reply<Answer>);

    /// Reads from a store that runs, without asking its peer.
    fn read(&self, store: StoreId, header: &Header) -> LocalRead;
}

/// What a store writes to.
pub(crate) enum Medium {
    /// Real files.
    Files(Engines),
    /// Memory that forgets what was not synced when the power goes: the kv engine and the raft engine.
    Memory(Arc<Faulty>, Arc<Faulty>),
}

impl Medium {
    /// Empty memory.
    pub(crate) fn memory() -> Self {
        let empty = |layout| Arc::new(Faulty::new(layout, Faults::none()));
        Medium::Memory(empty(Layout::Kv), empty(Layout::Raft))
    }

    fn engines(&self) -> Engines {
        match self {
            Medium::Files(engines) => engines.clone(),
            Medium::Memory(kv, raft) => Engines::new(kv.clone(), raft.clone()),
        }
    }
}

/// The disks of a store.
pub(crate) struct Disks {
    pub(crate) store: StoreId,
    medium: RefCell<Medium>,
    snapshots: PathBuf,
}

impl Disks {
    /// The engines of a store, as they are until the power goes.
    pub(crate) fn engines(&self) -> Engines {
        self.medium.borrow().engines()
    }

    /// Of what was not synced only the older part survives, on each disk another one.
    pub(crate) fn lose_power(&self, rng: &mut Rng) {
        let mut medium = self.medium.borrow_mut();
        if let Medium::Memory(kv, raft) = &mut *medium {
            for engine in [kv, raft] {
                let keep = rng.below(engine.pending_batches() as u64 + 1);
                *engine = Arc::new(engine.crash(usize::try_from(keep).unwrap_or(usize::MAX)));
            }
        }
    }
}

/// What survives when a store goes down.
pub(crate) struct Ground {
    pub(crate) config: Config,
    pub(crate) disks: Vec<Disks>,
    pub(crate) network: Arc<Network>,
    pub(crate) scheduler: Arc<Scripted>,
    pub(crate) rng: Rng,
    log: Logger,
    /// Goes last, with everything in it.
    _folder: TempDir,
}

/// The region that every store of a new cluster holds.
const FIRST_REGION: u64 = 1;

impl Ground {
    /// `stores` founded stores that hold one region together, each with a peer of its own number.
    pub(crate) fn found(
        stores: u64,
        config: Config,
        folder: TempDir,
        (rng, log): (Rng, Logger),
        open: impl Fn(&Path) -> Medium,
    ) -> Self {
        let ids = (1..=stores).map(StoreId::new);
        let peers = ids.clone().map(|store| Peer { id: store.get(), store_id: store.get() });
        let region = Region::new(FIRST_REGION.into(), "", "").with_peers(peers);
        let scheduler = Scripted::new(stores + 1);
        let disks = ids.map(|store| {
            let home = folder.path().join(store.get().to_string());
            let medium = open(&home);
            let engines = medium.engines();
            bootstrap::bootstrap_store(&engines, 0, store).expect("the disks are empty");
            bootstrap::write_initial_region(&engines, &region, true).expect("the disks work");
            bootstrap::clear_prepare(&engines).expect("the disks work");
            Disks { store, medium: RefCell::new(medium), snapshots: home.join("snap") }
        });
        let disks: Vec<Disks> = disks.collect();
        for disk in &disks {
            let store = Store { id: disk.store.get(), ..Store::default() };
            scheduler.bootstrap(&store, &region).expect("the region is good");
            scheduler.put_store(&store).expect("it takes every store");
        }
        let network = Arc::new(Network::new(rng.fork("network")));
        let scheduler = Arc::new(scheduler);
        Ground { config, disks, network, scheduler, rng, log, _folder: folder }
    }

    /// The disks of a store.
    pub(crate) fn disks(&self, store: StoreId) -> &Disks {
        self.disks.iter().find(|disks| disks.store == store).expect("the cluster has this store")
    }

    /// What a store is made of that starts now, for the `turn`th time.
    pub(crate) fn setup(
        &self,
        store: StoreId,
        turn: u64,
        clock: Arc<dyn Clock>,
    ) -> (Setup, Arc<SnapManager>) {
        let disks = self.disks(store);
        let config = self.config.clone();
        let limits = Limits {
            space_bytes: config.snapshot_space_max.get(),
            builds: config.snapshots_at_once,
            sends: config.snapshots_at_once,
            receives: config.snapshots_at_once,
            age: config.snapshot_age_max.get(),
        };
        let snapshots = SnapManager::open(&disks.snapshots, limits, self.log.clone());
        let snapshots = Arc::new(snapshots.expect("the folder can be used"));
        let setup = Setup {
            config,
            engines: disks.engines(),
            store,
            transport: self.network.clone(),
            scheduler: self.scheduler.clone(),
            snapshots: Arc::clone(&snapshots),
            clock,
            rng: self.rng.fork(&format!("store {store}, start {turn}")),
            log: self.log.clone(),
        };
        (setup, snapshots)
    }

    /// The store runs: others may speak to it.
    pub(crate) fn connect(&self, router: &Router, snapshots: Arc<SnapManager>) {
        self.network.connect(router.clone(), snapshots);
        self.scheduler.attach(router.store(), through_router(router.clone()));
    }

    /// The store is about to go down.
    pub(crate) fn disconnect(&self, store: StoreId) {
        self.network.disconnect(store);
        self.scheduler.detach(store);
    }

    /// Where the store keeps its files.
    pub(crate) fn home(&self, store: StoreId) -> &Path {
        self.disks(store).snapshots.parent().expect("it lies in the store's folder")
    }
}
