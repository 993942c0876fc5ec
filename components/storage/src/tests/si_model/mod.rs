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

mod client;
mod rules;
mod slow;
mod world;

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Waker};

use bytes::Bytes;
use proto::kvrpcpb::Context;
use runtime::Rng;

use self::client::Client;
use self::world::{Seen, Transaction, World};
use super::fixture::wait;
use crate::txn::ScanLocks;

const KEYS: [&[u8]; 5] = [b"a", b"b", b"c", b"d", b"e"];
const CLIENTS: usize = 4;
const TRANSACTIONS: usize = 60;

/// How many worlds a test run looks at; `TINYKV_SEEDS` asks for another number.
const SEEDS: u64 = 2000;

/// How often a client asks again before it gives a request up.
const ATTEMPTS_MAX: usize = 12;

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
    rules::check(&world);
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
