//! Where clients live: a way to every store, the scheduler's map, an oracle, and what runs at the moment.
//!
//! A request is a task of its own, on its way to a store and there, and it goes on when its client has
//! given up or died: so it may arrive late. It ends with the life of the store. A task is polled when
//! something has woken it, so a lost wake-up is a client that waits for ever, and is found.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Wake, Waker};
use std::time::Duration;

use proto::metapb::{Peer, Region};
use runtime::Rng;
use storage::mvcc::LOGICAL_BITS;
use storage::{Kv, Limits, Replicated};

use super::book::{Book, Counts};
use super::slow::Slow;
use super::time::Time;
use crate::store::World;
use crate::store::scheduler::Scripted;
use crate::store::settings::draw;

/// Something that runs.
struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    flag: Arc<Flag>,
    /// After so many polls it is dropped, wherever it stands.
    polls: Option<u64>,
    is_client: bool,
}

/// Whether a task was woken.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A life of a store, as its clients know it.
#[derive(Default)]
struct Branch {
    life: u64,
    kv: Option<Rc<Kv>>,
    paused_until: Duration,
}

/// See the [module](self).
pub(super) struct City {
    pub(super) time: Arc<Time>,
    pub(super) book: RefCell<Book>,
    /// How long it takes to elect a leader, about.
    pub(super) election: Duration,
    /// Nothing goes wrong any more, and nobody gives up.
    pub(super) is_calm: Cell<bool>,
    pub(super) scheduler: Arc<Scripted>,
    branches: RefCell<BTreeMap<u64, Branch>>,
    tasks: RefCell<BTreeMap<u64, Task>>,
    next_task: Cell<u64>,
    rng: RefCell<Rng>,
    last_ts: Cell<u64>,
    /// Who leads a region, by hearsay.
    pub(super) hints: RefCell<BTreeMap<u64, Peer>>,
    pub(super) remembered: RefCell<Vec<Region>>,
    is_told: bool,
    story: RefCell<Vec<(u64, String)>>,
}

impl City {
    pub(super) fn new(world: &World, rng: Rng) -> Rc<Self> {
        let config = &world.settings().config;
        Rc::new(City {
            time: Arc::default(),
            book: RefCell::default(),
            election: config.tick.get() * config.election_ticks,
            is_calm: Cell::new(false),
            scheduler: Arc::clone(world.scheduler()),
            branches: RefCell::default(),
            tasks: RefCell::default(),
            next_task: Cell::new(0),
            rng: RefCell::new(rng),
            last_ts: Cell::new(0),
            hints: RefCell::default(),
            remembered: RefCell::default(),
            is_told: world.trace.is_read(),
            story: RefCell::default(),
        })
    }

    /// A timestamp that nobody else gets, by the world's time.
    pub(super) fn next_ts(&self) -> u64 {
        let millis = u64::try_from(self.time.now().as_millis()).expect("no world is that old");
        self.last_ts.set((millis << LOGICAL_BITS).max(self.last_ts.get() + 1));
        self.last_ts.get()
    }

    /// Something that is worth telling. The word stands for it in the hash of the run.
    pub(super) fn note(&self, word: u64, tell: impl FnOnce() -> String) {
        let text = if self.is_told { tell() } else { String::new() };
        self.story.borrow_mut().push((word, text));
    }

    /// Starts a client, which dies after so many steps.
    pub(super) fn begin(&self, client: impl Future<Output = ()> + 'static, polls: Option<u64>) {
        self.spawn(Box::pin(client), polls, true);
    }

    fn spawn(
        &self,
        future: Pin<Box<dyn Future<Output = ()>>>,
        polls: Option<u64>,
        is_client: bool,
    ) {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let number = self.next_task.replace(self.next_task.get() + 1);
        self.tasks.borrow_mut().insert(number, Task { future, flag, polls, is_client });
    }

    /// How many clients are under way.
    pub(super) fn clients(&self) -> usize {
        self.tasks.borrow().values().filter(|task| task.is_client).count()
    }

    /// Whether nothing runs, neither clients nor requests.
    pub(super) fn is_idle(&self) -> bool {
        self.tasks.borrow().is_empty()
    }

    /// Lets everybody go on who was woken, after a step of the world.
    pub(super) fn turn(&self, world: &mut World) {
        self.time.pass_to(world.now());
        self.look_at_stores(world);
        let mut has_run = false;
        loop {
            let is_woken = |task: &Task| task.flag.0.load(Ordering::Relaxed);
            let tasks = self.tasks.borrow();
            let woken: Vec<u64> = tasks
                .iter()
                .filter(|(_, task)| is_woken(task))
                .map(|(number, _)| *number)
                .collect();
            drop(tasks);
            if woken.is_empty() {
                break;
            }
            if !has_run {
                // What a lease is worth depends on the clock of its store.
                for store in world.stores() {
                    let _ = world.clock_of(store);
                }
                has_run = true;
            }
            for number in woken {
                self.poll(number);
            }
        }
        for (word, text) in self.story.take() {
            world.trace.event(word, || text);
        }
        if has_run {
            world.stores().into_iter().for_each(|store| world.settle(store));
        }
    }

    fn poll(&self, number: u64) {
        let Some(mut task) = self.tasks.borrow_mut().remove(&number) else { return };
        task.flag.0.store(false, Ordering::Relaxed);
        if task.polls == Some(0) && !self.is_calm.get() {
            self.book.borrow_mut().counts.deaths += 1;
            self.note(number, || "a client dies".to_owned());
            return;
        }
        task.polls = task.polls.map(|polls| polls.saturating_sub(1));
        let waker = Waker::from(Arc::clone(&task.flag));
        if task.future.as_mut().poll(&mut TaskContext::from_waker(&waker)).is_pending() {
            self.tasks.borrow_mut().insert(number, task);
        }
    }

    /// Notices which stores came and went. Whatever waits for a store that went is told.
    fn look_at_stores(&self, world: &World) {
        let mut branches = self.branches.borrow_mut();
        for (store, machine) in &world.machines {
            let branch = branches.entry(*store).or_default();
            branch.paused_until = machine.paused_until;
            let life = if machine.running.is_some() { machine.life } else { 0 };
            if branch.life == life {
                continue;
            }
            branch.life = life;
            branch.kv = machine.running.as_ref().and_then(|running| {
                // A disk that fails just now serves nobody in this life.
                let inner = Replicated::new(running.router.clone(), world.engines(*store).kv);
                let rng = self.rng.borrow().fork(&format!("life {life} of store {store}"));
                let (time, rng) = (Arc::clone(&self.time), Mutex::new(rng));
                let slow = Slow { inner: inner.ok()?, time, rng, most: self.election * 4 };
                Some(Rc::new(Kv::new(Arc::new(slow), Limits::default())))
            });
            for task in self.tasks.borrow().values() {
                task.flag.0.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Some time up to so many thousandths of an election.
    pub(super) fn some_time(&self, thousandths: u32) -> Duration {
        draw(&mut self.rng.borrow_mut(), &(Duration::ZERO..self.election * thousandths / 1000))
    }

    pub(super) fn chance(&self, numerator: u64, denominator: u64) -> bool {
        self.rng.borrow_mut().chance(numerator, denominator)
    }

    pub(super) fn pick<T: Clone>(&self, items: &[T]) -> Option<T> {
        self.rng.borrow_mut().pick(items).cloned()
    }

    pub(super) fn counted(&self, count: impl FnOnce(&mut Counts)) {
        count(&mut self.book.borrow_mut().counts);
    }

    /// The life of a store, zero if it is down, and until when it stands still.
    pub(super) fn state_of(&self, store: u64) -> (u64, Duration) {
        let branches = self.branches.borrow();
        branches.get(&store).map_or((0, Duration::ZERO), |of| (of.life, of.paused_until))
    }

    /// What serves on a store in this life of it.
    pub(super) fn branch(&self, store: u64) -> (Option<Rc<Kv>>, u64) {
        let branches = self.branches.borrow();
        branches.get(&store).map_or((None, 0), |of| (of.kv.clone(), of.life))
    }

    /// Starts a request, which goes on whether its client lives or not.
    pub(super) fn begin_request(&self, request: impl Future<Output = ()> + 'static) {
        self.spawn(Box::pin(request), None, false);
    }
}
