//! Clients that run transactions at the same time, repeat themselves and die, against the rules of
//! snapshot isolation, decided by timestamps alone.
//!
//! A world is one thread and one seed. Its storage is as unpleasant as a replicated one: snapshots and
//! writes take a while and happen in any order, answers are lost, and now and then another leader takes
//! over, with fresh latches and without some of the writes that were on their way. Clients are futures;
//! one that dies is dropped wherever it stands, also in the middle of a request. Meanwhile garbage is
//! collected up to the oldest of those who live.
//!
//! At the end all locks are settled, and then the record of what was ever committed is compared with
//! what clients saw and were told:
//!
//! 1. A transaction is committed on all its keys at one timestamp, or on none; never both committed
//!    and rolled back on a key. What a client was told is what happened.
//! 2. A read saw the newest version that was committed at or before the reader's start.
//! 3. Of two transactions that wrote a key, one was committed before the other one started.
//! 4. No lock is left, and every value that is left belongs to a put.
//!
//! Write skew must be seen: a world that never shows it would be stricter than what we claim, or
//! would not have looked.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};

use bytes::Bytes;
use engine::{Cf, Cursor, KeyRange, Op};
use proto::kvrpcpb::Context;
use runtime::Rng;
use runtime::reply::{Abandoned, Reply};

use super::fixture::wait;
use crate::mvcc::{Direction, LOGICAL_BITS, Row, Write, WriteKind, decode_user_key, split_key};
use crate::storage::{Changes, Pending, Reader, Stamp, Storage};
use crate::txn::{
    CheckStatus, Commit, Get, Mutation, Prewrite, ResolveLock, Rollback, Scan, ScanLocks, Status,
};
use crate::{Error, KeyError, Kv, Limits, Locked, RegionError, Result, Standalone};

const KEYS: [&[u8]; 5] = [b"a", b"b", b"c", b"d", b"e"];
const CLIENTS: usize = 4;
const TRANSACTIONS: usize = 60;

/// How many worlds a test run looks at; `TINYKV_SEEDS` asks for another number.
const SEEDS: u64 = 2000;

/// How often a client asks again before it gives a request up.
const ATTEMPTS_MAX: usize = 12;

/// Not ready a few times.
struct Delay(u64);

impl Future for Delay {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _context: &mut TaskContext<'_>) -> Poll<()> {
        if self.0 == 0 {
            return Poll::Ready(());
        }
        self.0 -= 1;
        Poll::Pending
    }
}

/// A storage whose calls take a while, and whose leaders change.
struct Slow {
    inner: Standalone,
    state: Mutex<SlowState>,
}

struct SlowState {
    rng: Rng,
    term: u64,
    in_flight: Vec<(Changes, Reply<Fate>)>,
    /// Every record that was ever written, but late rollbacks.
    records: Vec<(Bytes, u64, Write)>,
}

/// What a client is told of its write.
struct Fate(std::result::Result<(), RegionError>);

impl Abandoned for Fate {
    fn abandoned() -> Self {
        Fate(Err(RegionError::StaleCommand))
    }
}

impl Slow {
    fn new(rng: Rng) -> Arc<Self> {
        let state = SlowState { rng, term: 1, in_flight: Vec::new(), records: Vec::new() };
        Arc::new(Slow { inner: Standalone::in_memory(), state: Mutex::new(state) })
    }

    fn delay(&self) -> Delay {
        let rng = &mut self.state.lock().unwrap().rng;
        Delay(if rng.chance(1, 2) { 0 } else { rng.below(6) })
    }

    /// One of the writes on their way arrives.
    fn apply_one(&self) {
        let mut state = self.state.lock().unwrap();
        let count = state.in_flight.len();
        if count == 0 {
            return;
        }
        let index = usize::try_from(state.rng.below(count as u64)).unwrap();
        let (changes, reply) = state.in_flight.swap_remove(index);
        for op in changes.batch.ops() {
            if let Op::Put { cf: Cf::Write, key, value } = op {
                let user_key = decode_user_key(key).unwrap().into();
                let ts = split_key(key).unwrap().1;
                let write = Write::parse(value).unwrap();
                let is_late = write.start_ts <= self.inner.safe_point();
                // Somebody asks for the fate of a transaction whose records were collected, and is told
                // that it was rolled back; see `txn::gc` why nobody can act on that.
                if !(is_late && write.kind == WriteKind::Rollback) {
                    state.records.push((user_key, ts, write));
                }
            }
        }
        wait(self.inner.write(&Context::default(), changes)).unwrap();
        let is_told = !state.rng.chance(1, 15);
        drop(state);
        reply.answer(if is_told { Fate(Ok(())) } else { Fate::abandoned() });
    }

    /// Another leader takes over. Some writes on their way arrive before, the others never.
    fn change_leader(&self) {
        let count = self.state.lock().unwrap().in_flight.len() as u64;
        let arrive = self.state.lock().unwrap().rng.below(count + 1);
        (0..arrive).for_each(|_| self.apply_one());
        let mut state = self.state.lock().unwrap();
        state.term += 1;
        let lost = std::mem::take(&mut state.in_flight);
        drop(state);
        drop(lost); // their replies answer that the fate is unknown
    }
}

/// The storage as the leader of one term has it. When the next one has taken over, it serves nothing.
struct Leader {
    slow: Arc<Slow>,
    term: u64,
}

impl Leader {
    fn check_term(&self, term: u64) -> Result<()> {
        if term == self.term {
            return Ok(());
        }
        Err(RegionError::NotLeader { region: 1, leader: None }.into())
    }
}

impl Storage for Leader {
    fn snapshot<'a>(&'a self, context: &'a Context) -> Pending<'a, Arc<dyn Reader>> {
        Box::pin(async move {
            self.slow.delay().await;
            let stamped = {
                let mut state = self.slow.state.lock().unwrap();
                self.check_term(state.term)?;
                if state.rng.chance(1, 40) {
                    return Err(RegionError::Busy("so it is").into());
                }
                let reader = wait(self.slow.inner.snapshot(context))?;
                Stamped { reader, stamp: Stamp { term: state.term, ..Stamp::NONE } }
            };
            self.slow.delay().await;
            Ok(Arc::new(stamped) as Arc<dyn Reader>)
        })
    }

    fn write<'a>(&'a self, _context: &'a Context, changes: Changes) -> Pending<'a, ()> {
        Box::pin(async move {
            self.slow.delay().await;
            let (reply, answer) = Reply::new();
            {
                let mut state = self.slow.state.lock().unwrap();
                assert_eq!(changes.stamp.term, self.term, "a write says what it was computed from");
                self.check_term(state.term)?;
                state.in_flight.push((changes, reply));
            }
            answer.await.0.map_err(Error::from)
        })
    }

    fn raw_families(&self) -> &'static [Cf] {
        &[Cf::Default]
    }

    fn safe_point(&self) -> u64 {
        self.slow.inner.safe_point()
    }

    fn raise_safe_point(&self, safe_point: u64) -> Pending<'_, u64> {
        self.slow.inner.raise_safe_point(safe_point)
    }
}

struct Stamped {
    reader: Arc<dyn Reader>,
    stamp: Stamp,
}

impl Reader for Stamped {
    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn check(&self, region_key: &[u8]) -> Result<()> {
        self.reader.check(region_key)
    }

    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>> {
        self.reader.get(cf, key)
    }

    fn cursor<'a>(&'a self, cf: Cf, range: KeyRange<'_>) -> Result<Box<dyn Cursor + 'a>> {
        self.reader.cursor(cf, range)
    }
}

/// What a client did and was told.
#[derive(Debug, Default)]
struct Transaction {
    start_ts: u64,
    reads: BTreeMap<Bytes, Option<Bytes>>,
    writes: Vec<Mutation>,
    told: Option<Told>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    CommittedAt(u64),
    RolledBack,
}

/// How often the interesting things happened, over all worlds.
#[derive(Debug, Default)]
struct Seen {
    committed: u64,
    rolled_back: u64,
    refused: u64,
    deaths: u64,
    waited: u64,
    expired: u64,
    unknown: u64,
    leaders: u64,
    collected: u64,
    write_skew: u64,
}

struct World {
    storage: Arc<Slow>,
    /// The leader's; another leader has another.
    kv: RefCell<Rc<Kv>>,
    clock: Cell<u64>,
    history: RefCell<Vec<Transaction>>,
    /// When the transactions of living clients started.
    alive: RefCell<BTreeMap<usize, u64>>,
    seen: RefCell<Seen>,
}

type Heard<T> = Option<std::result::Result<T, KeyError>>;

impl World {
    fn new(rng: &Rng) -> Rc<Self> {
        let storage = Slow::new(rng.fork("storage"));
        Rc::new(World {
            kv: RefCell::new(leader(&storage)),
            storage,
            clock: Cell::new(0),
            history: RefCell::default(),
            alive: RefCell::default(),
            seen: RefCell::default(),
        })
    }

    /// A timestamp that nobody else gets; a millisecond after the last.
    fn next_ts(&self) -> u64 {
        self.clock.set(self.clock.get() + 1);
        self.clock.get() << LOGICAL_BITS
    }

    fn change_leader(&self) {
        self.storage.change_leader();
        *self.kv.borrow_mut() = leader(&self.storage);
        self.seen.borrow_mut().leaders += 1;
    }

    /// Asks until there is an answer that is not a region's error, which may never be.
    async fn ask<T>(&self, request: impl AsyncFn(&Kv) -> Result<T>) -> Heard<T> {
        for _ in 0..ATTEMPTS_MAX {
            let kv = Rc::clone(&self.kv.borrow());
            match request(&kv).await {
                Ok(answer) => return Some(Ok(answer)),
                Err(Error::Key(error)) => return Some(Err(*error)),
                Err(Error::Region(_)) => Delay(2).await,
                Err(error) => panic!("{error}"),
            }
        }
        None
    }

    /// Does about a lock what clients do; whether it makes sense to try again at once.
    async fn settle(&self, locked: &Locked, now: u64) -> bool {
        let (lock_ts, primary) = (locked.lock.ts, locked.lock.primary.clone());
        let check = CheckStatus { primary, lock_ts, current_ts: now };
        let status = self.ask(async |kv| kv.run(&Context::default(), check.clone()).await).await;
        let Some(Ok(status)) = status else { return false };
        self.seen.borrow_mut().note(status);
        let commit_ts = match status {
            Status::Alive { .. } => return false,
            Status::Committed { commit_ts } => Some(commit_ts),
            Status::RolledBack | Status::Expired | Status::NeverSeen => None,
        };
        let resolve = ResolveLock::new(lock_ts, commit_ts);
        self.ask(async |kv| kv.resolve_lock(&Context::default(), resolve.clone()).await)
            .await
            .is_some()
    }

    fn with<T>(&self, id: usize, change: impl FnOnce(&mut Transaction) -> T) -> T {
        change(&mut self.history.borrow_mut()[id])
    }
}

fn leader(slow: &Arc<Slow>) -> Rc<Kv> {
    let term = slow.state.lock().unwrap().term;
    let leader = Leader { slow: Arc::clone(slow), term };
    Rc::new(Kv::new(Arc::new(leader), Limits::default()))
}

/// A client with one transaction.
struct Client {
    world: Rc<World>,
    rng: Rng,
    id: usize,
    start_ts: u64,
}

impl Client {
    async fn run(mut self) {
        for _ in 0..self.rng.below(3) {
            if !self.read().await {
                return;
            }
        }
        let mutations = self.choose_writes();
        self.world.with(self.id, |transaction| transaction.writes.clone_from(&mutations));
        let Some(primary) = mutations.first().map(|first| first.key().clone()) else { return };
        let (primaries, secondaries) = mutations.split_at(1);
        let mut requests = if self.rng.chance(1, 2) {
            vec![mutations.clone()]
        } else {
            vec![primaries.to_vec(), secondaries.to_vec()]
        };
        self.rng.shuffle(&mut requests);
        for request in requests {
            if !self.prewrite(request, &primary).await {
                return self.roll_back(&mutations).await;
            }
        }
        let commit_ts = self.world.next_ts();
        if !self.commit(primaries, commit_ts).await {
            return;
        }
        self.world.with(self.id, |transaction| {
            assert!(transaction.told.is_none());
            transaction.told = Some(Told::CommittedAt(commit_ts));
        });
        if self.rng.chance(3, 4) {
            self.commit(secondaries, commit_ts).await;
        }
    }

    /// Reads a key, or several at once; whether there was an answer.
    async fn read(&mut self) -> bool {
        let (version, world) = (self.start_ts, Rc::clone(&self.world));
        let key = Bytes::from_static(self.rng.pick(&KEYS).unwrap());
        let is_scan = self.rng.chance(1, 3);
        let limit = u32::try_from(self.rng.range(1..6)).unwrap();
        let scan = Scan { start: key.clone(), limit, version, direction: Direction::Forward };
        for _ in 0..ATTEMPTS_MAX {
            let get = Get { key: key.clone(), version };
            let locked = if is_scan {
                let rows = world.ask(async |kv| kv.read(&Context::default(), scan.clone()).await);
                let Some(Ok(rows)) = rows.await else { return false };
                match self.note_scan(&scan, &rows) {
                    None => return true,
                    Some(locked) => locked,
                }
            } else {
                match world.ask(async |kv| kv.read(&Context::default(), get.clone()).await).await {
                    Some(Ok(value)) => {
                        world.with(self.id, |transaction| transaction.note(&key, value.as_ref()));
                        return true;
                    }
                    Some(Err(KeyError::Locked(locked))) => locked,
                    Some(Err(error)) => panic!("a read is never refused for {error}"),
                    None => return false,
                }
            };
            world.settle(&locked, world.next_ts()).await;
        }
        false
    }

    /// Notes what a scan found, and did not find, up to the first lock.
    fn note_scan(&self, scan: &Scan, rows: &[Row]) -> Option<Locked> {
        let is_full = rows.len() as u64 == u64::from(scan.limit);
        let last = rows.last().filter(|_| is_full).map(Row::key);
        for row in rows {
            if let Row::Locked(locked) = row {
                return Some(locked.clone());
            }
        }
        for key in KEYS.into_iter().map(Bytes::from_static) {
            if key < scan.start || last.is_some_and(|last| key > *last) {
                continue;
            }
            let value = rows.iter().find_map(|row| match row {
                Row::Value { key: found, value } if *found == key => Some(value),
                Row::Value { .. } | Row::Locked(_) => None,
            });
            self.world.with(self.id, |transaction| transaction.note(&key, value));
        }
        None
    }

    fn choose_writes(&mut self) -> Vec<Mutation> {
        let mut keys = KEYS;
        self.rng.shuffle(&mut keys);
        let count = usize::try_from(self.rng.below(4)).unwrap();
        let keys = keys.into_iter().take(count).map(Bytes::from_static);
        keys.map(|key| match self.rng.below(6) {
            0 => Mutation::Delete(key),
            1 => Mutation::Lock(key),
            _ => Mutation::Put(key, self.start_ts.to_string().into()),
        })
        .collect()
    }

    async fn prewrite(&mut self, mutations: Vec<Mutation>, primary: &Bytes) -> bool {
        let (start_ts, ttl) = (self.start_ts, self.rng.range(1..40));
        let world = Rc::clone(&self.world);
        let prewrite = Prewrite { mutations, primary: primary.clone(), start_ts, ttl };
        for _ in 0..ATTEMPTS_MAX {
            let refused = world.ask(async |kv| kv.run(&Context::default(), prewrite.clone()).await);
            let Some(Ok(refused)) = refused.await else { return false };
            if refused.is_empty() {
                if self.rng.chance(1, 6) {
                    continue; // as if the answer were lost
                }
                return true;
            }
            for error in refused {
                match error {
                    KeyError::Locked(locked) => {
                        world.settle(&locked, world.next_ts()).await;
                    }
                    KeyError::Conflict(_) | KeyError::Retryable(_) | KeyError::Abort(_) => {
                        world.seen.borrow_mut().refused += 1;
                        return false;
                    }
                }
            }
        }
        false
    }

    async fn commit(&self, mutations: &[Mutation], commit_ts: u64) -> bool {
        let keys = mutations.iter().map(|mutation| mutation.key().clone()).collect();
        let commit = Commit { keys, start_ts: self.start_ts, commit_ts };
        let world = &self.world;
        match world.ask(async |kv| kv.run(&Context::default(), commit.clone()).await).await {
            Some(Ok(())) => true,
            Some(Err(_)) => {
                world.with(self.id, |transaction| {
                    assert_eq!(transaction.told, None, "a committed transaction is refused");
                    transaction.told = Some(Told::RolledBack);
                });
                false
            }
            None => false,
        }
    }

    async fn roll_back(&self, mutations: &[Mutation]) {
        let keys = mutations.iter().map(|mutation| mutation.key().clone()).collect();
        let rollback = Rollback { keys, start_ts: self.start_ts };
        let world = &self.world;
        let answer =
            world.ask(async |kv| kv.rollback(&Context::default(), rollback.clone()).await).await;
        match answer {
            Some(Ok(())) => {
                world.with(self.id, |transaction| transaction.told = Some(Told::RolledBack));
            }
            // Nobody but we can have committed it, and we have not.
            Some(Err(error)) => panic!("a rollback was refused: {error}"),
            None => {}
        }
    }
}

impl Transaction {
    fn note(&mut self, key: &Bytes, value: Option<&Bytes>) {
        let before = self.reads.insert(key.clone(), value.cloned());
        assert!(
            before.is_none_or(|before| before.as_ref() == value),
            "a key changed under its reader"
        );
    }
}

/// Settles the locks that started at or before `max_ts`, whatever their time to live.
async fn settle_all(world: &World, max_ts: u64) {
    let scan = ScanLocks { start: Bytes::new(), max_ts, limit: 2 };
    for _ in 0..ATTEMPTS_MAX {
        let found = world.ask(async |kv| kv.scan_locks(&Context::default(), scan.clone()).await);
        let Some(Ok(found)) = found.await else { return };
        if found.locks.is_empty() {
            return;
        }
        for locked in found.locks {
            world.settle(&locked, u64::MAX).await;
        }
    }
}

/// Collects what nobody who lives can see.
async fn collect(world: Rc<World>) {
    let oldest = world.alive.borrow().values().next().copied();
    let safe_point = oldest.unwrap_or_else(|| world.next_ts()) - 1;
    wait(world.kv.borrow().raise_safe_point(safe_point)).unwrap();
    settle_all(&world, safe_point).await;
    let removed =
        world.ask(async |kv| kv.collect_garbage(&Context::default(), safe_point).await).await;
    if let Some(Ok(removed)) = removed {
        world.seen.borrow_mut().collected += removed;
    }
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// Runs one world and checks it.
fn run(seed: u64) -> Seen {
    let mut rng = Rng::new(seed);
    let world = World::new(&rng);
    let mut tasks: Vec<(Option<usize>, Task)> = Vec::new();
    let mut started = 0;
    while started < TRANSACTIONS || !tasks.is_empty() {
        let clients = tasks.iter().filter(|(id, _)| id.is_some()).count();
        if started < TRANSACTIONS && clients < CLIENTS {
            tasks.push(begin(&world, rng.fork(&format!("client {started}")), started));
            started += 1;
        }
        match rng.below(100) {
            0 => kill_one(&world, &mut rng, &mut tasks),
            1 if rng.chance(1, 4) => world.change_leader(),
            2 if rng.chance(1, 4) => tasks.push((None, Box::pin(collect(Rc::clone(&world))))),
            3..30 => world.storage.apply_one(),
            _ => poll_one(&world, &mut rng, &mut tasks),
        }
    }
    while !world.storage.state.lock().unwrap().in_flight.is_empty() {
        world.storage.apply_one();
    }
    finish(&world);
    check(&world);
    let world = Rc::into_inner(world).expect("all clients are gone");
    world.seen.into_inner()
}

fn begin(world: &Rc<World>, rng: Rng, id: usize) -> (Option<usize>, Task) {
    let start_ts = world.next_ts();
    world.history.borrow_mut().push(Transaction { start_ts, ..Transaction::default() });
    world.alive.borrow_mut().insert(id, start_ts);
    (Some(id), Box::pin(Client { world: Rc::clone(world), rng, id, start_ts }.run()))
}

fn kill_one(world: &World, rng: &mut Rng, tasks: &mut Vec<(Option<usize>, Task)>) {
    rng.shuffle(tasks);
    if let Some((Some(id), _)) = tasks.pop() {
        world.alive.borrow_mut().remove(&id);
        world.seen.borrow_mut().deaths += 1;
    }
}

fn poll_one(world: &World, rng: &mut Rng, tasks: &mut Vec<(Option<usize>, Task)>) {
    if tasks.is_empty() {
        return;
    }
    let index = usize::try_from(rng.below(tasks.len() as u64)).unwrap();
    let mut context = TaskContext::from_waker(Waker::noop());
    if tasks[index].1.as_mut().poll(&mut context).is_ready()
        && let (Some(id), _) = tasks.swap_remove(index)
    {
        world.alive.borrow_mut().remove(&id);
    }
}

/// Settles what is left, without disturbance.
fn finish(world: &Rc<World>) {
    for _ in 0..100 {
        let mut settling = Box::pin(settle_all(world, u64::MAX));
        let mut context = TaskContext::from_waker(Waker::noop());
        while settling.as_mut().poll(&mut context).is_pending() {
            world.storage.apply_one();
        }
    }
}

/// The rules.
fn check(world: &World) {
    let history = world.history.borrow();
    let fates = check_fates(world, &history);
    let mut versions: BTreeMap<Bytes, BTreeMap<u64, &Mutation>> = BTreeMap::new();
    let mut timestamps = BTreeSet::new();
    for transaction in history.iter() {
        assert!(timestamps.insert(transaction.start_ts), "a timestamp is used twice");
        let Some(commit_ts) = fates.get(&transaction.start_ts) else { continue };
        assert!(timestamps.insert(*commit_ts), "a timestamp is used twice");
        for mutation in &transaction.writes {
            versions.entry(mutation.key().clone()).or_default().insert(*commit_ts, mutation);
        }
    }
    check_reads(&history, &versions);
    check_intervals(&history, &fates);
    check_left(world);
    world.seen.borrow_mut().write_skew += count_write_skew(&history, &fates);
}

/// Rule 1. Answers who was committed when.
fn check_fates(world: &World, history: &[Transaction]) -> BTreeMap<u64, u64> {
    let state = world.storage.state.lock().unwrap();
    let mut commits: BTreeMap<u64, BTreeMap<Bytes, u64>> = BTreeMap::new();
    let mut rollbacks: BTreeSet<(u64, Bytes)> = BTreeSet::new();
    for (key, ts, write) in &state.records {
        match write.kind {
            WriteKind::Rollback => {
                assert_eq!(*ts, write.start_ts);
                rollbacks.insert((write.start_ts, key.clone()));
            }
            WriteKind::Put | WriteKind::Delete | WriteKind::Lock => {
                let keys = commits.entry(write.start_ts).or_default();
                let before = keys.insert(key.clone(), *ts);
                assert_eq!(before, None, "{key:?} of {} is committed twice", write.start_ts);
            }
        }
    }
    let mut fates = BTreeMap::new();
    let mut seen = world.seen.borrow_mut();
    for transaction in history {
        let start_ts = transaction.start_ts;
        let keys = commits.remove(&start_ts).unwrap_or_default();
        let Some(commit_ts) = keys.values().next().copied() else {
            assert!(!matches!(transaction.told, Some(Told::CommittedAt(_))), "{transaction:?}");
            seen.rolled_back += u64::from(!transaction.writes.is_empty());
            continue;
        };
        assert!(start_ts < commit_ts);
        for mutation in &transaction.writes {
            let key = mutation.key();
            assert_eq!(keys.get(key), Some(&commit_ts), "{key:?} of {transaction:?}");
            assert!(!rollbacks.contains(&(start_ts, key.clone())), "{key:?} of {transaction:?}");
        }
        assert_eq!(keys.len(), transaction.writes.len());
        let told = transaction.told.unwrap_or(Told::CommittedAt(commit_ts));
        assert_eq!(told, Told::CommittedAt(commit_ts), "{transaction:?}");
        fates.insert(start_ts, commit_ts);
        seen.committed += 1;
    }
    assert!(commits.is_empty(), "somebody committed who never was");
    fates
}

/// Rule 2.
fn check_reads(history: &[Transaction], versions: &BTreeMap<Bytes, BTreeMap<u64, &Mutation>>) {
    for transaction in history {
        for (key, seen) in &transaction.reads {
            let older = versions.get(key).into_iter().flat_map(|versions| {
                versions.range(..=transaction.start_ts).rev().map(|(_, mutation)| *mutation)
            });
            let visible = older
                .filter(|mutation| !matches!(mutation, Mutation::Lock(_)))
                .map(|mutation| match mutation {
                    Mutation::Put(_, value) => Some(value.clone()),
                    Mutation::Delete(_) | Mutation::Lock(_) => None,
                })
                .next();
            assert_eq!(*seen, visible.flatten(), "{key:?} read by {transaction:?}");
        }
    }
}

/// Rule 3.
fn check_intervals(history: &[Transaction], fates: &BTreeMap<u64, u64>) {
    let mut intervals: BTreeMap<&Bytes, Vec<(u64, u64)>> = BTreeMap::new();
    for transaction in history {
        let Some(commit_ts) = fates.get(&transaction.start_ts) else { continue };
        for mutation in &transaction.writes {
            intervals.entry(mutation.key()).or_default().push((transaction.start_ts, *commit_ts));
        }
    }
    for (key, mut intervals) in intervals {
        intervals.sort_unstable();
        for pair in intervals.windows(2) {
            assert!(pair[0].1 < pair[1].0, "{key:?}: {pair:?} overlap");
        }
    }
}

/// Rule 4.
fn check_left(world: &World) {
    let reader = wait(world.storage.inner.snapshot(&Context::default())).unwrap();
    let count = |cf, wanted: fn(&[u8]) -> bool| {
        let mut cursor = reader.cursor(cf, KeyRange::ALL).unwrap();
        let mut count = 0;
        let mut is_valid = cursor.seek_to_first().unwrap();
        while is_valid {
            count += usize::from(wanted(cursor.value()));
            is_valid = cursor.next().unwrap();
        }
        count
    };
    assert_eq!(count(Cf::Lock, |_| true), 0, "locks are left");
    let puts = count(Cf::Write, |record| Write::parse(record).unwrap().kind == WriteKind::Put);
    assert_eq!(count(Cf::Default, |_| true), puts, "values without a put are left");
}

/// Pairs of committed transactions that overlap in time, where each read what the other one wrote.
fn count_write_skew(history: &[Transaction], fates: &BTreeMap<u64, u64>) -> u64 {
    let committed: Vec<_> = history
        .iter()
        .filter_map(|transaction| Some((transaction, *fates.get(&transaction.start_ts)?)))
        .collect();
    let overwrites = |reader: &Transaction, writer: &Transaction| {
        writer.writes.iter().any(|mutation| {
            !matches!(mutation, Mutation::Lock(_)) && reader.reads.contains_key(mutation.key())
        })
    };
    let mut pairs = 0;
    for (one, one_ts) in &committed {
        for (other, other_ts) in &committed {
            let overlap = one.start_ts < other.start_ts && other.start_ts < *one_ts;
            let overlap = overlap && one.start_ts < *other_ts;
            pairs += u64::from(overlap && overwrites(one, other) && overwrites(other, one));
        }
    }
    pairs
}

#[test]
fn concurrent_transactions_keep_snapshot_isolation() {
    let number = |name| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name} is a number")))
    };
    let (first, count) = match number("TINYKV_SEED") {
        Some(seed) => (seed, 1),
        None => (0, number("TINYKV_SEEDS").unwrap_or(SEEDS)),
    };
    let mut total = Seen::default();
    for seed in first..first + count {
        let seen = std::panic::catch_unwind(|| run(seed)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map_or("", String::as_str);
            panic!("seed {seed}: {text}; run it alone with TINYKV_SEED={seed}")
        });
        total.add(&seen);
    }
    if count >= SEEDS {
        total.assert_interesting();
    }
}

#[test]
fn a_seed_replays_to_the_same_end() {
    for seed in [1, 2] {
        assert_eq!(format!("{:?}", run(seed)), format!("{:?}", run(seed)));
    }
}

impl Seen {
    fn note(&mut self, status: Status) {
        match status {
            Status::Alive { .. } => self.waited += 1,
            Status::Expired => self.expired += 1,
            Status::NeverSeen => self.unknown += 1,
            Status::Committed { .. } | Status::RolledBack => {}
        }
    }

    fn add(&mut self, other: &Seen) {
        self.committed += other.committed;
        self.rolled_back += other.rolled_back;
        self.refused += other.refused;
        self.deaths += other.deaths;
        self.waited += other.waited;
        self.expired += other.expired;
        self.unknown += other.unknown;
        self.leaders += other.leaders;
        self.collected += other.collected;
        self.write_skew += other.write_skew;
    }

    /// A model that does not go where it hurts proves nothing.
    fn assert_interesting(&self) {
        let Seen { committed, rolled_back, refused, deaths, waited, .. } = *self;
        let Seen { expired, unknown, leaders, collected, write_skew, .. } = *self;
        let all = [committed, rolled_back, refused, deaths, waited, expired, unknown];
        let rare = [leaders, collected, write_skew];
        assert!(all.iter().chain(&rare).all(|count| *count >= 100), "{self:?}");
        assert!(committed > rolled_back / 4, "most transactions get somewhere: {self:?}");
    }
}
