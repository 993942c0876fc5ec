//! What clients do: registers and lists on shared keys, through every way that leads to them.
//!
//! | key | what it is | who is asked about it |
//! |---|---|---|
//! | `00r`, `02r`, … | a register: each write has a value of its own | `check::zones` |
//! | `01l`, `03l`, … | a list: read, computed, written back, by the rule of S14 | `check::lists`, `check::zones` |
//! | `00s`, `01s`, … | scratch, in all families: written, deleted, never read | `check::replicas` |
//!
//! Clients do not wait for each other, or for answers: each operation is on its own, with a beginning and,
//! if it is answered, an end. An append first reads the lists and later, perhaps much later, writes them
//! back with the term and the epoch of what it read; in between it holds a latch, which only clients of
//! the same store see. So it is as commands of transactions are.
//!
//! Where a command is sent is a guess that may be wrong: the scheduler's leader, any store that believes
//! that it leads, or any store at all; about a region as it is, or as it was a while ago.

mod operation;
mod outcome;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use proto::metapb::{Peer, Region};
use raftstore::{Answer, Command, Header};
use runtime::Rng;
use runtime::reply::Reply;

use super::check::Checks;
use super::check::zones::Moment;
use super::world::World;
pub(crate) use operation::Operation;
pub(crate) use outcome::APPENDS;

/// Operations that may be under way; while there are more, none is begun.
const UNDER_WAY_MAX: usize = 48;

/// A list that is longer is left alone.
const LIST_MAX: usize = 60;

/// What the workload of a seed is like.
#[derive(Clone, Debug)]
pub(crate) struct Rates {
    /// How many keys there are, half of them registers.
    pub(crate) keys: usize,
    /// How many bytes a value is made longer.
    pub(crate) padding: u64,
    /// The time between two operations, at most.
    pub(crate) pace: Duration,
    /// How long a client computes, at most, before it writes back what it has read.
    pub(crate) thinking: Duration,
    /// How often each kind of operation comes.
    pub(crate) weights: [u64; 6],
}

/// An operation that has begun.
pub(crate) struct UnderWay {
    pub(crate) operation: Operation,
    pub(crate) header: Header,
    pub(crate) command: Command,
    pub(crate) store: u64,
    pub(crate) begun: Moment,
    pub(crate) since: Duration,
}

/// An append that has read its lists and not written them yet.
struct Computed {
    id: u64,
    store: u64,
    header: Header,
    lists: BTreeMap<usize, Vec<u64>>,
}

/// All clients.
pub(crate) struct Workload {
    pub(crate) rates: Rates,
    pub(crate) rng: Rng,
    moment: Moment,
    next_id: u64,
    under_way: BTreeMap<u64, UnderWay>,
    computed: BTreeMap<u64, Computed>,
    /// Lists that somebody changes, on this store.
    latches: BTreeSet<(u64, usize)>,
    /// Answers that came, by the number of the operation.
    answers: Arc<Mutex<Vec<(u64, Answer)>>>,
    /// Regions as they were a while ago.
    remembered: Vec<(Region, Peer)>,
    /// The keys that were read in the end, once that has begun.
    read: BTreeSet<usize>,
    /// The last state of each list that was read through the log, key by key.
    pub(crate) finally: BTreeMap<usize, Vec<u64>>,
}

/// The name of a key.
pub(crate) fn name(key: usize) -> Bytes {
    let kind = if is_list(key) { 'l' } else { 'r' };
    format!("{key:02}{kind}").into()
}

/// Whether a key is a list.
pub(crate) fn is_list(key: usize) -> bool {
    key % 2 == 1
}

/// The list that a value is.
pub(crate) fn list_of(value: Option<&Bytes>) -> Vec<u64> {
    let text = value.map_or("", |value| std::str::from_utf8(value).expect("lists are text"));
    text.split_terminator(',').map(|id| id.parse().expect("lists hold numbers")).collect()
}

/// What a value is as that of a register: the number of its write, zero for none.
pub(crate) fn register_of(key: usize, value: Option<&Bytes>) -> u64 {
    if is_list(key) {
        return list_of(value).last().copied().unwrap_or(0);
    }
    let text = value.map_or("0", |value| std::str::from_utf8(value).expect("values are text"));
    text.split(':').next().and_then(|id| id.parse().ok()).expect("values begin with a number")
}

impl Workload {
    pub(crate) fn new(rates: Rates, rng: Rng) -> Self {
        Workload {
            rates,
            rng,
            moment: 0,
            next_id: 0,
            under_way: BTreeMap::new(),
            computed: BTreeMap::new(),
            latches: BTreeSet::new(),
            answers: Arc::default(),
            remembered: Vec::new(),
            read: BTreeSet::new(),
            finally: BTreeMap::new(),
        }
    }

    /// An operation that has waited for longest, to tell of it.
    pub(crate) fn oldest(&self) -> Option<String> {
        if let Some(id) = self.computed.keys().next() {
            return Some(format!("append {id} is to be written back"));
        }
        let (_, first) = self.under_way.first_key_value()?;
        let UnderWay { store, since, command, header, .. } = first;
        Some(format!("since {since:?} at store {store}: {command:?} for {header:?}"))
    }

    pub(crate) fn now(&mut self) -> Moment {
        self.moment += 1;
        self.moment
    }

    pub(crate) fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// When the next operation begins.
    pub(crate) fn pause(&mut self) -> Duration {
        super::settings::draw(&mut self.rng, &(Duration::ZERO..self.rates.pace))
    }

    /// A store has lost its memory, and with it its latches.
    pub(crate) fn forget(&mut self, store: u64) {
        self.latches.retain(|(of, _)| *of != store);
        self.computed.retain(|_, computed| computed.store != store);
    }

    fn send(
        &mut self,
        world: &mut World,
        store: u64,
        header: Header,
        operation: Operation,
        command: Command,
    ) {
        let (begun, number, since) = (self.now(), self.id(), world.now());
        world.trace.event(number << 8 | store, || {
            let (region, epoch) = (header.region, header.epoch);
            format!("client to store {store}, region {region} {epoch:?}: {number} {command:?}")
        });
        let under_way =
            UnderWay { operation, header, command: command.clone(), store, begun, since };
        self.under_way.insert(number, under_way);
        let answers = Arc::clone(&self.answers);
        let reply = Reply::from_fn(move |answer| {
            let mut answers = answers.lock().expect("no thread panics while it holds an answer");
            answers.push((number, answer));
        });
        world.command(store, header, command, reply);
    }

    /// Takes in the answers that have come.
    pub(crate) fn collect(&mut self, world: &mut World, checks: &mut Checks) -> super::Verdict {
        loop {
            let mut answers = self.answers.lock().expect("no thread panics while it holds one");
            let came = std::mem::take(&mut *answers);
            drop(answers);
            if came.is_empty() {
                return Ok(());
            }
            for (number, answer) in came {
                let under_way = self.under_way.remove(&number).ok_or_else(|| {
                    super::check::answers::ANSWERED.violated(format!("{number} came twice"))
                })?;
                self.answered(world, checks, number, under_way, answer)?;
            }
        }
    }
}
