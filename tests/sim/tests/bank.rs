//! A bank in every test run: forty seeds on all cores, some of them twice; and what a split does to locks.

#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use proto::kvrpcpb::Context;
use proto::metapb::Region;
use raftstore::{Admin, Answer, Command, Config, Header, SchedulerClient as _};
use runtime::reply::Reply;
use sim::bank::{Counts, Run, run};
use sim::store::{LINES, Settings, World};
use sim::swarm::each_seed;
use storage::mvcc::{TS_MAX, encode_user_key};
use storage::txn::{CheckStatus, Get, Mutation, Prewrite, ResolveLock, ScanLocks, Status};
use storage::{KeyError, Kv, Limits, Replicated};

/// Enough to meet everything that can happen to a transaction, and few enough not to be waited for.
const SEEDS: u64 = 40;

fn run_well(seed: u64) -> Run {
    match run(seed, LINES) {
        Ok(run) => run,
        Err(failure) => panic!("\n{failure}\n"),
    }
}

#[test]
fn forty_banks_lose_no_money_and_no_promise() {
    let counts = Mutex::new(Counts::default());
    each_seed(SEEDS, |seed| {
        let run = run_well(seed);
        if seed.is_multiple_of(20) {
            assert_eq!(run, run_well(seed), "seed {seed} does not do the same twice");
        }
        *counts.lock().unwrap() += run.counts;
    });
    let counts = counts.into_inner().unwrap();
    assert_eq!(counts.missing(), Vec::<&str>::new(), "that proves too little: {counts}");
}

/// Lets time pass until a request is answered.
fn wait<T>(world: &mut World, request: impl Future<Output = T>) -> T {
    let mut request = pin!(request);
    for _ in 0..1000 {
        let mut context = TaskContext::from_waker(Waker::noop());
        if let Poll::Ready(answer) = request.as_mut().poll(&mut context) {
            return answer;
        }
        world.run_for(Duration::from_millis(100)).unwrap();
    }
    panic!("no answer");
}

/// The region of a user key, and the way to it, as soon as it has a leader.
fn region_of(world: &mut World, user_key: &[u8]) -> (Region, Kv, Context) {
    let key = encode_user_key(user_key);
    let limit = Duration::from_mins(1);
    let found = world.run_until(limit, |world| {
        let region = world.scheduler().region_by_key(&key)?;
        let leader = world.scheduler().leader(region.region_id())?;
        Some((region, leader))
    });
    let (region, leader) = found.unwrap().expect("there is a leader");
    let router = world.router(leader.store_id).unwrap().clone();
    let storage = Replicated::new(router, world.engines(leader.store_id).kv).unwrap();
    let context = Context {
        region_id: region.id,
        region_epoch: Some(region.epoch()),
        peer: Some(leader),
        term: 0,
    };
    (region, Kv::new(Arc::new(storage), Limits::default()), context)
}

/// The keys of the locks in the region of a user key.
fn locks_around(world: &mut World, user_key: &[u8]) -> Vec<Bytes> {
    let (_, kv, context) = region_of(world, user_key);
    let scan = ScanLocks { start: Bytes::new(), max_ts: TS_MAX, limit: 10 };
    let found = wait(world, kv.scan_locks(&context, scan)).unwrap();
    found.locks.into_iter().map(|locked| locked.key).collect()
}

fn split(world: &mut World, user_key: &[u8]) {
    let (region, _, context) = region_of(world, user_key);
    let leader = context.peer.unwrap();
    let (new_region, new_peers) = world.scheduler().ask_split(&region).unwrap();
    let (id, epoch) = (region.region_id(), region.epoch());
    let header = Header { region: id, peer: Some(leader), epoch, term: 0 };
    let key = Bytes::from(encode_user_key(user_key));
    let (reply, answer) = Reply::new();
    let command = Command::Admin(Admin::Split { key, new_region, new_peers });
    world.command(leader.store_id, header, command, reply);
    let Answer(done) = wait(world, answer);
    done.unwrap();
    let limit = Duration::from_mins(1);
    let is_led = |world: &mut World| {
        let is_known = world.scheduler().regions().len() == 2;
        (is_known && world.scheduler().leader(new_region).is_some()).then_some(())
    };
    world.run_until(limit, is_led).unwrap().expect("the new region is led");
}

#[test]
fn after_a_split_a_lock_is_found_in_the_region_of_its_key() {
    let mut world = World::new(1, Settings::calm(Config::default()), 0);
    world.found(3, 3).unwrap();
    (1..=3).for_each(|store| world.start(store).unwrap());
    let [a, b, c, d] = ["a", "b", "c", "d"].map(Bytes::from);
    let put = |key: &Bytes| Mutation::Put(key.clone(), "v".into());
    let mutations = [&a, &b, &c, &d].map(put).to_vec();
    let (_, kv, context) = region_of(&mut world, &a);
    let prewrite = Prewrite { mutations, primary: a.clone(), start_ts: 10, ttl: 1000 };
    assert_eq!(wait(&mut world, kv.run(&context, prewrite)).unwrap(), []);

    split(&mut world, &c);
    assert_eq!(locks_around(&mut world, &a), [&a, &b]);
    assert_eq!(locks_around(&mut world, &d), [&c, &d]);
    let (_, right, right_context) = region_of(&mut world, &c);
    let get = Get { key: c.clone(), version: 20 };
    let refused = wait(&mut world, right.read(&right_context, get.clone())).unwrap_err();
    let Some(KeyError::Locked(locked)) = refused.as_key_error() else { panic!("{refused}") };
    assert_eq!((&locked.key, &locked.lock.primary), (&c, &a));

    // Whoever meets the lock asks the primary key, which is in the other region, and settles its own.
    let (_, left, left_context) = region_of(&mut world, &a);
    let check = CheckStatus { primary: a, lock_ts: 10, current_ts: TS_MAX };
    let status = wait(&mut world, left.run(&left_context, check)).unwrap();
    assert_eq!(status, Status::Expired);
    let resolve = ResolveLock::new(10, None);
    wait(&mut world, right.resolve_lock(&right_context, resolve.clone())).unwrap();
    assert_eq!(locks_around(&mut world, &c), Vec::<Bytes>::new());
    assert_eq!(wait(&mut world, right.read(&right_context, get)).unwrap(), None);
    assert_eq!(locks_around(&mut world, &b), [&b], "of the left region nobody has asked");
    wait(&mut world, left.resolve_lock(&left_context, resolve)).unwrap();
    assert_eq!(locks_around(&mut world, &b), Vec::<Bytes>::new());
}
