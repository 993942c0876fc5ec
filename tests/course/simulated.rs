//! The cluster in simulated time: one thread, memory, and everything from one seed.
//!
//! The stores are the same as in production, only that nobody but this file calls their parts. What
//! takes time there is an event here: a message, a turn of the thread that owns the peers with its
//! sync, the work of the others. An event happens after a short time that chance has chosen, and between
//! two events nothing happens at all, so a second of simulation takes as long as its work.
//!
//! ```text
//!  command ──> inbox ──Turn──> messages ──Deliver──> inbox of another store ──Turn──> ...
//!                        └───> tasks ──Apply, Region, Scheduler──> completions ──Turn──> ...
//! ```
//!
//! Stopping is ruder than with threads: what a store has not done is forgotten, and of what it has
//! written without a sync the newest part may be gone, on each of its two disks another one.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proto::StoreId;
use proto::raft_serverpb::RaftMessage;
use raftstore::worker::apply::ApplyWorker;
use raftstore::worker::raft::Workers;
use raftstore::worker::region::RegionWorker;
use raftstore::worker::scheduler::SchedulerWorker;
use raftstore::{Answer, Command, Header, Layout, LocalRead, RaftWorker, Router};
use runtime::Rng;
use runtime::clock::{Clock, ManualClock};
use runtime::reply::Reply;
use runtime::worker::Inline;

use crate::backend::{Backend, Ground};
use crate::network::ends;
use crate::tasks::Bell;

/// How long things take, in microseconds: at least, and less than.
mod takes {
    use std::ops::Range;

    pub(super) const COMMAND: Range<u64> = 100..300;
    pub(super) const MESSAGE: Range<u64> = 500..2_000;
    pub(super) const TURN: Range<u64> = 300..1_200;
    pub(super) const APPLY: Range<u64> = 100..600;
    pub(super) const REGION: Range<u64> = 500..3_000;
    pub(super) const SCHEDULER: Range<u64> = 200..1_000;
}

/// What happens at a time.
enum Event {
    Tick,
    Turn,
    Apply,
    Region,
    Scheduler,
    Deliver(RaftMessage),
    Command(Header, Command, Reply<Answer>),
}

/// A store whose parts are called by hand.
struct Stepped {
    raft: RaftWorker,
    apply: Inline<ApplyWorker>,
    region: Inline<RegionWorker>,
    scheduler: Inline<SchedulerWorker>,
    router: Router,
    /// Which parts have an event to come: turn, apply, region, scheduler.
    due: [bool; 4],
}

/// An event, and for which store in which of its lives.
struct Planned {
    store: StoreId,
    start: u64,
    event: Event,
}

struct State {
    stores: BTreeMap<StoreId, Stepped>,
    /// How often each store was started.
    starts: BTreeMap<StoreId, u64>,
    /// By time, and in the order of planning.
    order: BinaryHeap<Reverse<(Duration, u64)>>,
    planned: BTreeMap<u64, Planned>,
    number: u64,
    rng: Rng,
    /// When the last message of a link arrives: none overtakes another.
    links: BTreeMap<(StoreId, StoreId), Duration>,
}

/// Stores without threads.
pub(crate) struct Simulated {
    ground: Rc<Ground>,
    bell: Arc<Bell>,
    clock: ManualClock,
    state: RefCell<State>,
}

/// Room in the queues of a store; as in production.
const QUEUE: usize = 4096;

impl Simulated {
    /// A cluster of which no store runs yet.
    pub(crate) fn new(ground: Rc<Ground>, bell: Arc<Bell>, clock: ManualClock) -> Self {
        let state = State {
            stores: BTreeMap::new(),
            starts: BTreeMap::new(),
            order: BinaryHeap::new(),
            planned: BTreeMap::new(),
            number: 0,
            rng: ground.rng.fork("simulated"),
            links: BTreeMap::new(),
        };
        Simulated { ground, bell, clock, state: RefCell::new(state) }
    }

    fn happen(&self, planned: Planned) {
        let mut guard = self.state.borrow_mut();
        let state = &mut *guard;
        let Planned { store, start, event } = planned;
        // What was planned for an earlier life of the store is forgotten with it. That a reply is
        // dropped here answers it.
        if state.starts.get(&store) != Some(&start) {
            return;
        }
        let Some(stepped) = state.stores.get_mut(&store) else { return };
        let now = self.clock.now();
        match event {
            Event::Tick => {
                stepped.raft.tick(now).expect("the disk works");
                let period = self.ground.config.tick.get();
                state.plan(self.now() + period, store, Event::Tick);
            }
            Event::Turn => {
                stepped.due[0] = false;
                stepped.raft.turn(now).expect("the disk works");
            }
            Event::Apply => {
                stepped.due[1] = false;
                stepped.apply.run_all();
            }
            Event::Region => {
                stepped.due[2] = false;
                stepped.region.run_all();
            }
            Event::Scheduler => {
                stepped.due[3] = false;
                stepped.scheduler.run_all();
            }
            Event::Deliver(message) => self.ground.network.deliver(message),
            Event::Command(header, command, reply) => {
                stepped.router.command(header, command, reply);
            }
        }
        self.follow_up(state);
    }

    /// Plans what follows from what has just happened.
    fn follow_up(&self, state: &mut State) {
        let now = self.now();
        for message in self.ground.network.take() {
            let (from, to) = ends(&message);
            let arrives = now + state.some(takes::MESSAGE);
            let last = state.links.entry((from, to)).or_default();
            *last = arrives.max(*last);
            let at = *last;
            state.plan(at, to, Event::Deliver(message));
        }
        let stores: Vec<StoreId> = state.stores.keys().copied().collect();
        for store in stores {
            let stepped = &state.stores[&store];
            let has_work = [
                stepped.raft.has_work(),
                stepped.apply.pending() > 0,
                stepped.region.pending() > 0,
                stepped.scheduler.pending() > 0,
            ];
            for (part, has_work) in has_work.into_iter().enumerate() {
                if has_work && !state.stores[&store].due[part] {
                    state.rouse(now, store, part);
                }
            }
        }
    }
}

impl State {
    fn plan(&mut self, at: Duration, store: StoreId, event: Event) {
        let start = self.starts.get(&store).copied().unwrap_or_default();
        self.number += 1;
        self.planned.insert(self.number, Planned { store, start, event });
        self.order.push(Reverse((at, self.number)));
    }

    /// The next event, if it comes no later than `until`.
    fn next(&mut self, until: Duration) -> Option<(Duration, Planned)> {
        let Reverse((at, number)) = *self.order.peek()?;
        if at > until {
            return None;
        }
        self.order.pop();
        Some((at, self.planned.remove(&number)?))
    }

    fn some(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_micros(self.rng.range(range))
    }

    /// A part of a store has something to do: it begins a little later.
    fn rouse(&mut self, now: Duration, store: StoreId, part: usize) {
        let (takes, event) = match part {
            0 => (takes::TURN, Event::Turn),
            1 => (takes::APPLY, Event::Apply),
            2 => (takes::REGION, Event::Region),
            _ => (takes::SCHEDULER, Event::Scheduler),
        };
        let at = now + self.some(takes);
        self.plan(at, store, event);
        if let Some(stepped) = self.stores.get_mut(&store) {
            stepped.due[part] = true;
        }
    }
}

impl Backend for Simulated {
    fn now(&self) -> Duration {
        self.clock.now().since(runtime::clock::Instant::default())
    }

    fn pass(&self, until: Duration) {
        while !self.bell.has_rung() {
            let next = self.state.borrow_mut().next(until);
            let Some((at, planned)) = next else {
                return self.clock.advance(until.saturating_sub(self.now()));
            };
            self.clock.advance(at.saturating_sub(self.now()));
            self.happen(planned);
        }
    }

    fn start(&self, store: StoreId) {
        let mut guard = self.state.borrow_mut();
        let state = &mut *guard;
        let turn = *state.starts.entry(store).and_modify(|turn| *turn += 1).or_default();
        let (setup, snapshots) = self.ground.setup(store, turn, Arc::new(self.clock.clone()));
        let Layout { router, apply, region, scheduler, raft } = setup.lay_out(true);
        let (apply_tasks, apply) = Inline::new(QUEUE, apply);
        let (region_tasks, region) = Inline::new(QUEUE, region);
        let (scheduler_tasks, scheduler) = Inline::new(QUEUE, scheduler);
        let workers =
            Workers { apply: apply_tasks, region: region_tasks, scheduler: scheduler_tasks };
        let raft = raft.finish(workers).expect("the disks can be read");
        self.ground.connect(&router, snapshots);
        let stepped = Stepped { raft, apply, region, scheduler, router, due: [false; 4] };
        state.stores.insert(store, stepped);
        let tick = u64::try_from(self.ground.config.tick.get().as_micros()).unwrap_or(u64::MAX);
        let first = self.now() + state.some(1..tick);
        state.plan(first, store, Event::Tick);
        self.follow_up(state);
    }

    fn stop(&self, store: StoreId) {
        self.ground.disconnect(store);
        let mut state = self.state.borrow_mut();
        let stepped = state.stores.remove(&store).expect("it runs");
        stepped.raft.check_invariants();
        drop(stepped);
        self.ground.disks(store).lose_power(&mut state.rng);
    }

    fn command(&self, store: StoreId, header: Header, command: Command, reply: Reply<Answer>) {
        let mut state = self.state.borrow_mut();
        assert!(state.stores.contains_key(&store), "{store:?} does not run");
        let at = self.now() + state.some(takes::COMMAND);
        state.plan(at, store, Event::Command(header, command, reply));
    }

    fn read(&self, store: StoreId, header: &Header) -> LocalRead {
        self.state.borrow().stores[&store].router.read(header)
    }
}
