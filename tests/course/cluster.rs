//! A cluster under test, and how a test is run.
//!
//! A test's body is written once, against [`Cluster`], and run in two worlds:
//!
//! - *simulated time* by default: the seeds `SEED`, `SEED + 1`, ... of which there are `SEEDS`. A
//!   failure says how the same run is had again.
//! - *real*, with `BACKEND=real`: threads, RocksDB, and the time limits of the course.

use std::cell::RefCell;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use engine::{Cf, Engines};
use proto::{RegionId, StoreId};
use raftstore::{Config, state};
use runtime::Rng;
use runtime::clock::{Clock, ManualClock, SystemClock};
use runtime::log::{Capture, Level};
use runtime::units::Period;
use sim::store::scheduler::Scripted;

use crate::backend::{Backend, Disks, Ground, Medium};
use crate::network::Network;
use crate::real::{self, Real};
use crate::simulated::Simulated;
use crate::tasks::{Bell, Spawned, Tasks};

/// The settings of the course's tests.
pub(crate) fn settings() -> Config {
    Config {
        tick: Period::millis(50),
        heartbeat_ticks: 2,
        election_ticks: 10,
        log_gc_period: Period::millis(50),
        log_gc_count: 128_000,
        split_check_period: Period::millis(100),
        region_heartbeat_period: Period::millis(100),
        store_heartbeat_period: Period::millis(500),
        ..Config::default()
    }
}

pub(crate) const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A test that takes longer is stuck; that of the course is ended at the same time.
const LIMIT: Duration = Duration::from_secs(600);

/// Stores, and whoever speaks to them.
pub(crate) struct Cluster {
    backend: Box<dyn Backend>,
    ground: Rc<Ground>,
    tasks: Tasks,
    pub(super) bell: Arc<Bell>,
    rng: RefCell<Rng>,
}

impl Cluster {
    /// The scheduler of all stores.
    pub(crate) fn scheduler(&self) -> &Scripted {
        &self.ground.scheduler
    }

    /// The network between them.
    pub(crate) fn network(&self) -> &Network {
        &self.ground.network
    }

    pub(super) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// All stores, those that are down included.
    pub(crate) fn stores(&self) -> Vec<StoreId> {
        self.ground.disks.iter().map(|disks| disks.store).collect()
    }

    /// Where a store keeps its files.
    pub(crate) fn home(&self, store: u64) -> &Path {
        self.ground.home(store.into())
    }

    pub(crate) fn start(&self, store: StoreId) {
        self.backend.start(store);
    }

    pub(crate) fn stop(&self, store: StoreId) {
        self.backend.stop(store);
    }

    /// Chance that belongs to the test; nothing of it may be kept over an await.
    pub(crate) fn chance<T>(&self, draw: impl FnOnce(&mut Rng) -> T) -> T {
        draw(&mut self.rng.borrow_mut())
    }

    pub(crate) fn now(&self) -> Duration {
        self.backend.now()
    }

    /// Starts a task beside the test.
    pub(crate) fn spawn<T: 'static>(&self, task: impl Future<Output = T> + 'static) -> Spawned<T> {
        self.tasks.spawn(task)
    }

    /// Lets time pass.
    pub(crate) async fn sleep(&self, time: Duration) {
        let until = self.now() + time;
        self.wait_until(until, || None::<()>).await;
    }

    /// Waits for something that an answer may bring, or until a time has come.
    pub(super) async fn wait_until<T>(
        &self,
        until: Duration,
        mut look: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        poll_fn(|_| {
            if let Some(found) = look() {
                return Poll::Ready(Some(found));
            }
            if self.now() >= until {
                return Poll::Ready(None);
            }
            self.tasks.note_deadline(until);
            Poll::Pending
        })
        .await
    }

    /// Asks again and again, `pause` apart, until there is an answer or `tries` were made.
    pub(crate) async fn poll<T>(
        &self,
        tries: u32,
        pause: Duration,
        mut look: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        for _ in 0..tries {
            if let Some(found) = look() {
                return Some(found);
            }
            self.sleep(pause).await;
        }
        look()
    }

    /// The engines of a store, running or not.
    pub(crate) fn engines(&self, store: StoreId) -> Engines {
        self.ground.disks(store).engines()
    }

    fn value(&self, store: u64, cf: Cf, key: &str) -> Option<String> {
        let kv = self.engines(store.into()).kv;
        let value = kv.get(cf, key.as_bytes()).expect("the disk works")?;
        Some(String::from_utf8_lossy(&value).into_owned())
    }

    /// The value arrives on the disk of a store.
    pub(crate) async fn must_hold(&self, store: u64, cf: Cf, key: &str, value: &str) {
        let found = || (self.value(store, cf, key).as_deref() == Some(value)).then_some(());
        if self.poll(300, millis(20), found).await.is_none() {
            let found = self.value(store, cf, key);
            panic!("store {store} must have {key} = {value}, and has {found:?}");
        }
    }

    /// The key is not, or no longer, on the disk of a store.
    pub(crate) async fn must_lack(&self, store: u64, cf: Cf, key: &str) {
        let gone = || self.value(store, cf, key).is_none().then_some(());
        if self.poll(300, millis(20), gone).await.is_none() {
            let found = self.value(store, cf, key);
            panic!("store {store} must not have {key}, and has {found:?}");
        }
    }

    /// For each store that has the region: the index that is applied, and that up to which the log is
    /// cut, with its term.
    pub(crate) fn apply_states(&self, region: RegionId) -> Vec<(StoreId, u64, (u64, u64))> {
        let known = |disks: &Disks| {
            let state = state::apply_state(&*disks.engines().kv, region).expect("the disk works")?;
            let cut = state.truncated_state.unwrap_or_default();
            Some((disks.store, state.applied_index, (cut.index, cut.term)))
        };
        self.ground.disks.iter().filter_map(known).collect()
    }

    /// No replica of the region holds more than `most` applied entries.
    pub(crate) fn check_logs(&self, region: RegionId, most: u64) {
        for (store, applied, (cut, _)) in self.apply_states(region) {
            assert!(
                applied - cut <= most,
                "{store:?} holds the log of {region:?} from {cut} to {applied}, more than {most}"
            );
        }
    }
}

/// Runs a test with its settings in the world that the environment names.
pub(crate) fn run(stores: u64, config: &Config, body: impl AsyncFn(Rc<Cluster>)) {
    let number = |name, otherwise| match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} must be a number")),
        Err(_) => otherwise,
    };
    if std::env::var("BACKEND").is_ok_and(|backend| backend == "real") {
        return run_once(stores, config, &body, &World::Real);
    }
    let first = number("SEED", 1);
    for seed in first..first + number("SEEDS", 1) {
        run_once(stores, config, &body, &World::Simulated { seed });
    }
}

/// Where a test runs.
enum World {
    Simulated { seed: u64 },
    Real,
}

impl World {
    /// How to have this run again.
    fn replay(&self) -> String {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or_default();
        let lesson = test.split("::").next().unwrap_or_default();
        match self {
            World::Simulated { seed } => {
                format!("again: make {lesson} ONLY={test} SEED={seed} SEEDS=1 REAL=0")
            }
            World::Real => format!("again, but not exactly: make {lesson} ONLY={test} SEEDS=0"),
        }
    }
}

/// Lines of the stores' logs that a failure shows.
const LINES: usize = 40;

fn run_once(stores: u64, config: &Config, body: &impl AsyncFn(Rc<Cluster>), world: &World) {
    let clock = ManualClock::new();
    let time: Arc<dyn Clock> = match world {
        World::Simulated { .. } => Arc::new(clock.clone()),
        World::Real => Arc::new(SystemClock),
    };
    let level = std::env::var("LOG_LEVEL").ok().and_then(|level| level.parse().ok());
    let (log, capture) = Capture::open(level.unwrap_or(Level::Info), LINES, time);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let bell = Arc::new(Bell::default());
        let (seed, backend): (u64, Box<dyn Fn(Rc<Ground>) -> Box<dyn Backend>>) = match world {
            World::Simulated { seed } => {
                let bell = Arc::clone(&bell);
                (*seed, Box::new(move |ground| {
                    Box::new(Simulated::new(ground, Arc::clone(&bell), clock.clone()))
                }))
            }
            World::Real => {
                let bell = Arc::clone(&bell);
                (0, Box::new(move |ground| Box::new(Real::new(ground, Arc::clone(&bell)))))
            }
        };
        let rng = Rng::new(seed);
        let (folder, open): (_, fn(&Path) -> Medium) = match world {
            World::Simulated { .. } => (in_memory(), |_| Medium::memory()),
            World::Real => (tempfile::Builder::new().prefix(PREFIX).tempdir(), real::open),
        };
        let folder = folder.expect("there is room for files");
        let ground = Ground::found(stores, config.clone(), folder, (rng.fork("ground"), log), open);
        let ground = Rc::new(ground);
        let cluster = Rc::new(Cluster {
            backend: backend(Rc::clone(&ground)),
            ground,
            tasks: Tasks::default(),
            bell,
            rng: RefCell::new(rng.fork("test")),
        });
        for store in cluster.stores() {
            cluster.start(store);
        }
        let result = catch_unwind(AssertUnwindSafe(|| drive(&cluster, body)));
        // Tasks hold the cluster, and would keep it for ever.
        cluster.tasks.clear();
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    }));
    if let Err(panic) = outcome {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked");
        let lines: Vec<String> = capture.entries().iter().map(ToString::to_string).collect();
        panic!("{text}\n\nthe last of the logs:\n{}\n\n{}\n", lines.join("\n"), world.replay());
    }
}

fn drive(cluster: &Rc<Cluster>, body: &impl AsyncFn(Rc<Cluster>)) {
    cluster.tasks.run(body(Rc::clone(cluster)), |until| {
        cluster.backend.pass(until);
        assert!(cluster.now() < LIMIT, "the test takes longer than {LIMIT:?}");
    });
    let violations = cluster.scheduler().violations();
    assert!(violations.is_empty(), "the scheduler was told contradictions: {violations:?}");
}

/// How the folders of these tests are called.
const PREFIX: &str = "test-raftstore";

/// Files of the simulation live shortly, and never need a disk where there is another place.
fn in_memory() -> std::io::Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX);
    builder.tempdir_in("/dev/shm").or_else(|_| builder.tempdir())
}
