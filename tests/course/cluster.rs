//! A cluster under test: stores that are started and stopped, time that passes, and a look at disks.

use std::cell::RefCell;
use std::future::poll_fn;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use engine::{Cf, Engines};
use proto::{RegionId, StoreId};
use raftstore::{Config, state};
use runtime::Rng;
use runtime::units::Period;
use sim::store::scheduler::Scripted;

use crate::backend::{Backend, Disks, Ground};
use crate::network::Network;
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
const LIMIT: Duration = Duration::from_mins(10);

/// What was written, or deleted, is so on every disk that it concerns after this time.
const DISK_LIMIT: Duration = Duration::from_secs(6);

/// Stores, and whoever speaks to them.
pub(crate) struct Cluster {
    backend: Box<dyn Backend>,
    ground: Rc<Ground>,
    tasks: Tasks,
    pub(super) bell: Arc<Bell>,
    rng: RefCell<Rng>,
}

impl Cluster {
    /// A cluster on `ground` whose stores all run. The bell must ring for the backend, too.
    pub(crate) fn start_all(
        ground: Rc<Ground>,
        backend: Box<dyn Backend>,
        bell: Arc<Bell>,
    ) -> Rc<Self> {
        let rng = RefCell::new(ground.rng.fork("test"));
        let cluster = Cluster { backend, ground, tasks: Tasks::default(), bell, rng };
        for store in cluster.stores() {
            cluster.start(store);
        }
        Rc::new(cluster)
    }

    /// Runs a test to its end, and whatever it has started beside it.
    pub(crate) fn run(&self, test: impl Future<Output = ()>) {
        self.tasks.run(test, |until| {
            self.backend.pass(until);
            assert!(self.now() < LIMIT, "the test takes longer than {LIMIT:?}");
        });
        let violations = self.scheduler().violations();
        assert!(violations.is_empty(), "the scheduler was told contradictions: {violations:?}");
    }

    /// Ends what still runs beside the test, which otherwise would keep the cluster for ever.
    pub(crate) fn abandon_tasks(&self) {
        self.tasks.clear();
    }

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

    /// Asks again and again, `pause` apart, until there is an answer or so much time has passed.
    pub(crate) async fn poll_within<T>(
        &self,
        limit: Duration,
        pause: Duration,
        mut look: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        let until = self.now() + limit;
        loop {
            if let Some(found) = look() {
                return Some(found);
            }
            if self.now() >= until {
                return None;
            }
            self.sleep(pause).await;
        }
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
        if self.poll_within(DISK_LIMIT, millis(20), found).await.is_none() {
            let found = self.value(store, cf, key);
            panic!("store {store} must have {key} = {value}, and has {found:?}");
        }
    }

    /// The key is not, or no longer, on the disk of a store.
    pub(crate) async fn must_lack(&self, store: u64, cf: Cf, key: &str) {
        let gone = || self.value(store, cf, key).is_none().then_some(());
        if self.poll_within(DISK_LIMIT, millis(20), gone).await.is_none() {
            let found = self.value(store, cf, key);
            panic!("store {store} must not have {key}, and has {found:?}");
        }
    }

    /// For each store that has the region: the index that is applied, and that up to which the log is
    /// cut, with its term.
    pub(crate) fn apply_states(&self, region: RegionId) -> Vec<(StoreId, u64, (u64, u64))> {
        let known = |disks: &Disks| {
            let state =
                state::apply_state(&*disks.engines().kv, region).expect("the disk works")?;
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
