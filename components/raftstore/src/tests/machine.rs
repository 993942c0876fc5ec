//! One store of a test: two disks that outlive it, and the process that runs on them, stepped by hand.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use engine::{Engine as _, Engines, Faults, Faulty, Layout as DiskLayout};
use proto::metapb::{Peer, Region};
use proto::{RegionId, StoreId};
use runtime::Rng;
use runtime::clock::{Clock, ManualClock};
use runtime::worker::Inline;
use slog::Logger;

use super::net::Net;
use super::scheduler::TestScheduler;
use crate::config::Config;
use crate::node::{Layout, Setup};
use crate::peer::Peer as PeerOf;
use crate::peer::stage::Stage;
use crate::router::Router;
use crate::snapshot::{Limits, SnapManager};
use crate::storage::PeerStorage;
use crate::worker::apply::ApplyWorker;
use crate::worker::raft::{RaftWorker, Workers};
use crate::worker::region::RegionWorker;
use crate::worker::scheduler::SchedulerWorker;

/// What all stores of a test share.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) clock: ManualClock,
    pub(crate) net: Net,
    pub(crate) scheduler: TestScheduler,
    pub(crate) log: Logger,
    pub(crate) dir: PathBuf,
    /// How many tasks wait for the slow worker of a store that is started from now on.
    pub(crate) region_queue: usize,
}

/// A disk of a store, and what it does wrong.
pub(crate) struct Disk {
    pub(crate) engine: Arc<Faulty>,
    pub(crate) faults: Arc<Faults>,
}

impl Disk {
    fn new(layout: DiskLayout) -> Self {
        let faults = Faults::none();
        Disk { engine: Arc::new(Faulty::new(layout, Arc::clone(&faults))), faults }
    }

    fn crash(&mut self, keep: usize) {
        self.engine = Arc::new(self.engine.crash(keep));
    }

    /// Whether a write or a sync has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.engine.snapshot().is_err()
    }
}

/// What a crash leaves of the writes that no sync covers, as a choice that both disks make.
pub(crate) const LOSSES: usize = 4;

/// A store: its disks, and its process while it runs.
pub(crate) struct Machine {
    pub(crate) id: StoreId,
    pub(crate) kv: Disk,
    pub(crate) raft_disk: Disk,
    pub(crate) process: Option<Process>,
    /// Why the process stopped by itself.
    pub(crate) stopped: Option<String>,
    /// Its appliers, or its slow worker, do nothing for now.
    pub(crate) holds_apply: bool,
    pub(crate) holds_region: bool,
}

/// The parts of a running store.
pub(crate) struct Process {
    pub(crate) router: Router,
    pub(crate) raft: RaftWorker,
    pub(crate) apply: Inline<ApplyWorker>,
    pub(crate) region: Inline<RegionWorker>,
    pub(crate) scheduler: Inline<SchedulerWorker>,
    pub(crate) snapshots: Arc<SnapManager>,
}

impl Machine {
    /// A store with empty disks, whose process does not run yet.
    pub(crate) fn new(id: u64) -> Self {
        Machine {
            id: StoreId::new(id),
            kv: Disk::new(DiskLayout::Kv),
            raft_disk: Disk::new(DiskLayout::Raft),
            process: None,
            stopped: None,
            holds_apply: false,
            holds_region: false,
        }
    }

    pub(crate) fn engines(&self) -> Engines {
        let (kv, raft) = (Arc::clone(&self.kv.engine), Arc::clone(&self.raft_disk.engine));
        Engines::new(kv, raft)
    }

    /// Starts the process on what the disks hold.
    pub(crate) fn start(&mut self, world: &World) -> crate::Result<()> {
        let limits = Limits {
            space_bytes: world.config.snapshot_space_max.get(),
            builds: world.config.snapshots_at_once,
            sends: world.config.snapshots_at_once,
            receives: world.config.snapshots_at_once,
            age: world.config.snapshot_age_max.get(),
        };
        let dir = world.dir.join(format!("snap-{}", self.id));
        let snapshots = Arc::new(SnapManager::open(dir, limits, world.log.clone())?);
        let setup = Setup {
            config: world.config.clone(),
            engines: self.engines(),
            store: self.id,
            transport: Arc::new(world.net.clone()),
            scheduler: Arc::new(world.scheduler.clone()),
            snapshots: Arc::clone(&snapshots),
            clock: Arc::new(world.clock.clone()),
            rng: Rng::new(7).fork(&format!("store {}", self.id)),
            log: world.log.clone(),
        };
        let Layout { router, apply, region, scheduler, raft } = setup.lay_out(true);
        let (apply_tasks, apply) = Inline::new(256, apply);
        let (region_tasks, region) = Inline::new(world.region_queue, region);
        let (scheduler_tasks, scheduler) = Inline::new(256, scheduler);
        let workers =
            Workers { apply: apply_tasks, region: region_tasks, scheduler: scheduler_tasks };
        let raft = raft.finish(workers)?;
        self.stopped = None;
        self.process = Some(Process { router, raft, apply, region, scheduler, snapshots });
        Ok(())
    }

    /// The power goes. `loss` chooses how much of what was not synced is kept.
    pub(crate) fn crash(&mut self, loss: usize) {
        self.process = None;
        let (kv, raft) =
            (self.kv.engine.pending_batches(), self.raft_disk.engine.pending_batches());
        let (kv, raft) = match loss % LOSSES {
            0 => (0, 0),
            1 => (kv, raft),
            2 => (kv.saturating_sub(1), 0),
            _ => (kv / 2, raft),
        };
        self.kv.crash(kv);
        self.raft_disk.crash(raft);
    }

    /// Whether one of its disks has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.kv.has_failed() || self.raft_disk.has_failed()
    }

    /// Makes a peer of which only the id is known, as a message does where there is room for it.
    pub(crate) fn make_uninitialized(&mut self, region: RegionId, own: Peer) {
        let process = self.process.as_mut().expect("the store runs");
        let known = Region { id: region.get(), ..Region::default() };
        let storage = PeerStorage::load(process.raft.context.engines.clone(), known).unwrap();
        let peer = PeerOf::new(&process.raft.context, own, storage, Stage::Uninitialized, false);
        process.raft.insert(peer.unwrap());
    }

    /// Lets each part do what there is to do for it; false if there was nothing.
    pub(crate) fn step(&mut self, now: &ManualClock) -> bool {
        let Some(process) = &mut self.process else { return false };
        let mut moved = process.scheduler.run_all() > 0;
        moved |= !self.holds_apply && process.apply.run_all() > 0;
        moved |= !self.holds_region && process.region.run_all() > 0;
        if self.stopped.is_none() && process.raft.has_arrivals() {
            moved = true;
            let result = process.raft.turn(now.now());
            self.note(result);
        }
        moved
    }

    /// One tick of its clock.
    pub(crate) fn tick(&mut self, now: &ManualClock) {
        if let Some(process) = &mut self.process
            && self.stopped.is_none()
        {
            let result = process.raft.tick(now.now());
            self.note(result);
        }
    }

    fn note(&mut self, result: crate::Result<()>) {
        match result {
            Ok(()) => {
                if let Some(process) = &self.process {
                    process.raft.check_invariants();
                }
            }
            Err(error) => self.stopped = Some(error.to_string()),
        }
    }
}

/// The unit of time of the tests.
pub(crate) const TICK: Duration = Duration::from_millis(100);
