//! A store: its parts, put together, with threads around them or without.
//!
//! [`Setup::lay_out`] makes the parts and the queues between them. [`Node::start`] puts threads around
//! them; the simulator steps the same parts by hand.
//!
//! ```text
//!                    inbox                    tasks
//!   Router ──────────────────► RaftWorker ───────────► ApplyWorker
//!   (any thread)               (one thread)  ─────────► RegionWorker
//!                                   ▲        ─────────► SchedulerWorker
//!                                   └───────────────────────┘
//!                                          completions
//! ```
//!
//! Stopping goes the way that work goes: the raft thread ends first, with it the queues that it feeds,
//! and then, when those are empty, the workers behind them.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Select;
use engine::Engines;
use proto::StoreId;
use proto::metapb::Store;
use runtime::Rng;
use runtime::busy::Activity;
use runtime::clock::Clock;
use runtime::metrics::Metrics;
use runtime::ticker::Ticker;
use runtime::worker::{self, Alarm, Queue, Tasks, Thread, Worker};
use slog::{Logger, info, o};

use crate::bootstrap;
use crate::config::Config;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::message::{Completion, StoreMsg};
use crate::meters::{self, RaftMeters};
use crate::ports::{SchedulerClient, Transport};
use crate::router::{Inbound, Router};
use crate::snapshot::SnapManager;
use crate::state;
use crate::worker::apply::ApplyWorker;
use crate::worker::raft::{RaftWorker, Workers};
use crate::worker::region::RegionWorker;
use crate::worker::scheduler::SchedulerWorker;

/// Reports that may wait for the raft thread. More is never under way: batches of the apply worker are
/// limited by its queue, and everything else is asked for one at a time by each region.
const COMPLETIONS_MAX: usize = 1 << 16;

/// Turns of the raft thread whose entries wait to be applied; more stay with it.
const APPLY_QUEUE: usize = 256;

/// Slow tasks that wait; more stay with the raft thread, or are asked for again.
const SLOW_QUEUE: usize = 4096;

/// What a store is made of.
pub struct Setup {
    /// How it behaves.
    pub config: Config,
    /// Its disks.
    pub engines: Engines,
    /// Which store it is; see [`bootstrap_store`].
    pub store: StoreId,
    /// The way to other stores.
    pub transport: Arc<dyn Transport>,
    /// The scheduler.
    pub scheduler: Arc<dyn SchedulerClient>,
    /// The files of its snapshots.
    pub snapshots: Arc<SnapManager>,
    /// Time, for leases and for the age of snapshots.
    pub clock: Arc<dyn Clock>,
    /// Where election timeouts come from.
    pub rng: Rng,
    /// Where it tells what it does.
    pub log: Logger,
}

/// The parts of a store, without threads.
pub struct Layout {
    /// The way in.
    pub router: Router,
    /// Applies entries.
    pub apply: ApplyWorker,
    /// Works on the data of regions.
    pub region: RegionWorker,
    /// Calls the scheduler.
    pub scheduler: SchedulerWorker,
    /// What is still needed to make the owner of the peers.
    pub raft: Unfinished,
}

/// The owner of the peers, which needs the queues of all other workers.
pub struct Unfinished {
    context: Context,
    inbox: Queue<Inbound>,
    completions: Queue<Completion>,
    meters: RaftMeters,
}

impl Unfinished {
    /// Makes the owner of the peers, and with it the peers that the disk has.
    pub fn finish(self, workers: Workers) -> Result<RaftWorker> {
        RaftWorker::new(self.context, self.inbox, self.completions, workers, self.meters)
    }
}

impl Setup {
    /// Makes the parts of the store. `is_stepped` says that they are stepped by hand.
    pub fn lay_out(self, is_stepped: bool) -> Layout {
        self.lay_out_measured(is_stepped, &Metrics::new("unread"))
    }

    /// The same, and what they measure is declared in `metrics`.
    fn lay_out_measured(self, is_stepped: bool, metrics: &Metrics) -> Layout {
        let Setup { config, engines, store, transport, scheduler, snapshots, clock, rng, log } =
            self;
        let log = log.new(o!("store" => store.get()));
        let (inbox_tasks, inbox) = worker::queue(config.inbox_size as usize, is_stepped);
        let (reports, completions) = worker::queue(COMPLETIONS_MAX, is_stepped);
        let kv = Arc::clone(&engines.kv);
        let (meters, apply_meters) = meters::declare(metrics, &clock);
        let router = Router::new(store, Arc::clone(&kv), Arc::clone(&clock), inbox_tasks);
        let region = RegionWorker::new(
            engines.clone(),
            Arc::clone(&snapshots),
            clock,
            &config,
            Tasks::clone(&reports),
            log.clone(),
        );
        let apply = ApplyWorker::new(kv, Tasks::clone(&reports), apply_meters, log.clone());
        let scheduler = SchedulerWorker::new(scheduler, reports, log.clone());
        let ticks = config.ticks();
        let context = Context {
            config,
            ticks,
            store,
            engines,
            router: router.clone(),
            transport,
            snapshots,
            rng,
            log,
        };
        let raft = Unfinished { context, inbox, completions, meters };
        Layout { router, apply, region, scheduler, raft }
    }
}

/// Finds out which store this is, and founds what there is to found. Every step may be repeated; see
/// [`bootstrap`].
pub fn bootstrap_store(
    engines: &Engines,
    scheduler: &dyn SchedulerClient,
    cluster: u64,
    address: &str,
) -> Result<Store> {
    let refused = |error: crate::ports::SchedulerError| Error::Scheduler(error.to_string());
    let id = match state::store_ident(&*engines.kv)? {
        Some(ident) if ident.cluster_id == cluster => StoreId::new(ident.store_id),
        Some(ident) => {
            return Err(Error::ForeignDisk {
                found: ident.store_id,
                found_cluster: ident.cluster_id,
                expected: format!("cluster {cluster}"),
                hint: "give this store an empty directory, or the scheduler of its own cluster",
            });
        }
        None => {
            let id = StoreId::new(scheduler.alloc_id().map_err(refused)?);
            bootstrap::bootstrap_store(engines, cluster, id)?;
            id
        }
    };
    let store = Store { id: id.get(), address: address.to_owned(), ..Store::default() };
    let prepared = match bootstrap::prepared(engines)? {
        None if scheduler.is_bootstrapped().map_err(refused)? => None,
        None => {
            let region = scheduler.alloc_id().map_err(refused)?.into();
            let peer = scheduler.alloc_id().map_err(refused)?.into();
            Some(bootstrap::prepare_bootstrap(engines, id, region, peer)?)
        }
        prepared => prepared,
    };
    if let Some(region) = prepared {
        // A number is given out once, so a region of this number is this one: it was agreed on, and the
        // answer was lost.
        let agrees = scheduler.bootstrap(&store, &region).map_err(refused)?
            || scheduler.region(region.region_id()).map_err(refused)?.is_some();
        if agrees {
            bootstrap::clear_prepare(engines)?;
        } else {
            bootstrap::clear_prepare_bootstrap(engines, region.region_id())?;
        }
    }
    scheduler.put_store(&store).map_err(refused)?;
    Ok(store)
}

/// A running store.
pub struct Node {
    router: Router,
    stop: Tasks<Inbound>,
    raft: Thread,
    workers: Vec<Worker>,
    engines: Engines,
    log: Logger,
}

impl Node {
    /// Starts the threads of a store. What it measures is declared in `metrics`.
    pub fn start(setup: Setup, alarm: &Alarm, metrics: &Metrics) -> Result<Node> {
        let (engines, log, clock) =
            (setup.engines.clone(), setup.log.clone(), Arc::clone(&setup.clock));
        let tick = setup.config.tick.get();
        let Layout { router, apply, region, scheduler, raft } =
            setup.lay_out_measured(false, metrics);
        let (apply, apply_worker) = Worker::spawn("apply", APPLY_QUEUE, alarm, apply)?;
        let (region, region_worker) = Worker::spawn("region", SLOW_QUEUE, alarm, region)?;
        let (scheduler, scheduler_worker) =
            Worker::spawn("scheduler-calls", SLOW_QUEUE, alarm, scheduler)?;
        let worker = raft.finish(Workers { apply, region, scheduler })?;
        let stop = router.inbox();
        let raft = Thread::spawn("raft", alarm, move || run(worker, &*clock, tick))?;
        let workers = vec![apply_worker, region_worker, scheduler_worker];
        Ok(Node { router, stop, raft, workers, engines, log })
    }

    /// The way in.
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// Stops the store: what is accepted is done, and everything is on disk.
    pub fn stop(self) -> Result<()> {
        // An error means that it has stopped already, by a panic that joining tells of.
        drop(self.stop.send(Inbound::Store(StoreMsg::Stop)));
        let panicked = |panicked: worker::Panicked| Error::Worker(panicked.to_string());
        self.raft.join().map_err(panicked)?;
        for worker in self.workers {
            worker.join().map_err(panicked)?;
        }
        self.engines.kv.sync()?;
        self.engines.raft.sync()?;
        info!(self.log, "store stopped");
        Ok(())
    }
}

/// The loop of the raft thread.
fn run(mut worker: RaftWorker, clock: &dyn Clock, tick: Duration) {
    let mut ticker = Ticker::new(tick, clock.now());
    let failed = loop {
        let mut now = clock.now();
        if ticker.is_due(now) {
            if let Err(error) = worker.tick(now) {
                break error;
            }
            now = clock.now();
        }
        worker.meters.begin(Activity::Waiting, now);
        wait(&worker, ticker.until_due(now));
        let now = clock.now();
        worker.meters.begin(Activity::Working, now);
        if let Err(error) = worker.turn(now) {
            break error;
        }
        if worker.is_stopping() {
            return;
        }
    };
    // Nothing that was promised may be relied upon any more: whoever owns the store must end it.
    panic!("the store stops: {failed}");
}

/// How long work that another worker had no room for waits before it is offered again.
const RETRY: Duration = Duration::from_millis(1);

/// Waits until there is something to do, or a tick is due.
fn wait(worker: &RaftWorker, until_tick: Duration) {
    if worker.has_arrivals() {
        return;
    }
    let timeout = if worker.has_work() { until_tick.min(RETRY) } else { until_tick };
    let (inbox, completions) = worker.queues();
    let mut select = Select::new();
    select.recv(inbox.receiver());
    select.recv(completions.receiver());
    // Whether it was woken or time has passed, the turn finds out.
    let _ = select.ready_timeout(timeout);
}
