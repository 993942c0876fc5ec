//! A machine: disks, a folder of snapshots and a clock that stay; and a store that comes and goes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use engine::{Engine as _, Engines, Faults, Faulty, Layout};
use proto::StoreId;
use raftstore::snapshot::SnapManager;
use raftstore::worker::apply::ApplyWorker;
use raftstore::worker::raft::{RaftWorker, Workers};
use raftstore::worker::region::RegionWorker;
use raftstore::worker::scheduler::SchedulerWorker;
use raftstore::{Layout as Parts, Result, Router, SchedulerClient, Setup};
use runtime::Rng;
use runtime::clock::{Clock as _, Instant, ManualClock};
use slog::Logger;

use super::post::Post;
use super::settings::{Settings, whole_micros};
use super::slow::Slow;

/// What one machine has, whether its store runs or not.
pub(crate) struct Machine {
    pub(crate) id: u64,
    pub(crate) kv: Arc<Faulty>,
    pub(crate) raft: Arc<Faulty>,
    pub(crate) faults: [Arc<Faults>; 2],
    /// A disk was told to fail, so the store may stop with an error.
    pub(crate) is_doomed: bool,
    pub(crate) post: Arc<Post>,
    folder: PathBuf,
    clock: ManualClock,
    /// How much time passes here while a thousand of the world's units do.
    rate: u64,
    /// How far the clock has come, in the world's time.
    shown: Duration,
    /// Counts the lives of the store, to tell events of an earlier one.
    pub(crate) life: u64,
    pub(crate) running: Option<Running>,
    /// Everything that happens to the store before this time waits until then.
    pub(crate) paused_until: Duration,
    /// How many times slower than usual each worker is: turns, applying, slow work.
    pub(crate) slowness: [u32; 3],
}

/// A store that runs.
pub(crate) struct Running {
    pub(crate) raft: RaftWorker,
    pub(crate) apply: Slow<ApplyWorker>,
    pub(crate) region: Slow<RegionWorker>,
    pub(crate) scheduler: Slow<SchedulerWorker>,
    pub(crate) router: Router,
    pub(crate) snapshots: Arc<SnapManager>,
    /// Which workers have their next step in the queue of the world.
    pub(crate) is_due: [bool; 4],
    /// When the next tick is due, by the machine's own clock.
    pub(crate) next_tick: Duration,
}

/// What a store needs to start, beside its machine.
pub(crate) struct Start<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) scheduler: Arc<dyn SchedulerClient>,
    pub(crate) rng: Rng,
    pub(crate) log: Logger,
}

impl Machine {
    /// An empty machine, whose snapshots lie in `folder`.
    pub(crate) fn new(id: u64, folder: &Path, rate: u64) -> Self {
        let faults = [Faults::none(), Faults::none()];
        Machine {
            id,
            kv: Arc::new(Faulty::new(Layout::Kv, Arc::clone(&faults[0]))),
            raft: Arc::new(Faulty::new(Layout::Raft, Arc::clone(&faults[1]))),
            faults,
            is_doomed: false,
            post: Post::new(),
            folder: folder.join(format!("store-{id}")),
            clock: ManualClock::new(),
            rate,
            shown: Duration::ZERO,
            life: 0,
            running: None,
            paused_until: Duration::ZERO,
            slowness: [1; 3],
        }
    }

    pub(crate) fn engines(&self) -> Engines {
        let (kv, raft) = (Arc::clone(&self.kv), Arc::clone(&self.raft));
        Engines::new(kv, raft)
    }

    /// Where the files of snapshots are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The machine's clock, moved to a time of the world.
    pub(crate) fn clock_at(&mut self, now: Duration) -> Instant {
        let passed = self.local_micros(now) - self.local_micros(self.shown);
        self.clock.advance(Duration::from_micros(passed));
        self.shown = now;
        self.clock.now()
    }

    fn local_micros(&self, time: Duration) -> u64 {
        whole_micros(time) * self.rate / 1000
    }

    /// When the machine's clock will show `local`, in the world's time.
    pub(crate) fn world_time(&self, local: Duration) -> Duration {
        Duration::from_micros((whole_micros(local) * 1000).div_ceil(self.rate))
    }

    /// What the clock shows at a time of the world.
    pub(crate) fn local_time(&self, now: Duration) -> Duration {
        Duration::from_micros(self.local_micros(now))
    }

    /// Starts the store from what is on the disks.
    pub(crate) fn start(&mut self, start: Start<'_>, now: Duration) -> Result<()> {
        self.life += 1;
        let _ = self.clock_at(now);
        let Start { settings, scheduler, rng, log } = start;
        let snapshots = SnapManager::open(&self.folder, settings.snapshots, log.clone())?;
        let snapshots = Arc::new(snapshots);
        let setup = Setup {
            config: settings.config.clone(),
            engines: self.engines(),
            store: StoreId::new(self.id),
            transport: Arc::clone(&self.post) as _,
            scheduler,
            snapshots: Arc::clone(&snapshots),
            clock: Arc::new(self.clock.clone()),
            rng,
            log,
        };
        let Parts { router, apply, region, scheduler, raft } = setup.lay_out(true);
        let (of_apply, of_others) = settings.queues;
        let (apply_tasks, apply) = Slow::new(of_apply, apply, ApplyWorker::report_to);
        let (region_tasks, region) = Slow::new(of_others, region, RegionWorker::report_to);
        let (scheduler_tasks, scheduler) =
            Slow::new(of_others, scheduler, SchedulerWorker::report_to);
        let workers =
            Workers { apply: apply_tasks, region: region_tasks, scheduler: scheduler_tasks };
        let raft = raft.finish(workers)?;
        let next_tick = self.local_time(now) + settings.config.tick.get();
        let is_due = [false; 4];
        let running =
            Running { raft, apply, region, scheduler, router, snapshots, is_due, next_tick };
        self.running = Some(running);
        Ok(())
    }

    /// Stops the store as its owner would: what it has accepted is done, and everything is on disk.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let Some(running) = self.running.take() else { return Ok(()) };
        let Running { raft, apply, region, scheduler, .. } = running;
        drop(raft);
        drop((apply.stop(), region.stop(), scheduler.stop()));
        drop(self.post.take());
        self.kv.sync()?;
        self.raft.sync()?;
        Ok(())
    }

    /// The power goes: of what was not synced a random part survives, on each disk for itself.
    pub(crate) fn crash(&mut self, rng: &mut Rng) {
        self.running = None;
        drop(self.post.take());
        for engine in [&mut self.kv, &mut self.raft] {
            let keep = rng.below(engine.pending_batches() as u64 + 1);
            *engine = Arc::new(engine.crash(usize::try_from(keep).unwrap_or(usize::MAX)));
        }
        self.mend();
    }

    /// The disks work again.
    pub(crate) fn mend(&mut self) {
        self.is_doomed = false;
        for faults in &self.faults {
            faults.fail_write_after(u64::MAX);
            faults.fail_sync_after(u64::MAX);
        }
    }
}
