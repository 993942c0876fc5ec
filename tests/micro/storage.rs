//! Commands of transactions, on an engine in memory: what they compute, and no disk.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};

use bytes::Bytes;
use criterion::{BatchSize, Criterion};
use proto::kvrpcpb::Context;
use storage::txn::{Commit, Get, Mutation, Prewrite};
use storage::{Kv, Limits, Standalone};

fn kv() -> Kv {
    Kv::new(Arc::new(Standalone::in_memory()), Limits::default())
}

fn key(number: u64) -> Bytes {
    format!("key{:013}", number % KEYS).into()
}

/// Each gets one version after the other.
const KEYS: u64 = 10_000;

/// In memory nothing is waited for; long work only lets others have their turn.
fn wait<T>(future: impl Future<Output = storage::Result<T>>) -> T {
    let mut context = TaskContext::from_waker(Waker::noop());
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done.expect("nothing speaks against it");
        }
    }
}

/// Transaction number n, which starts at 2n + 1 and writes one key.
fn prewrite(kv: &Kv, number: u64) {
    let (start_ts, ttl, primary) = (2 * number + 1, 3000, key(number));
    let mutations = vec![Mutation::Put(primary.clone(), Bytes::from_static(&[7; 100]))];
    let refused = wait(kv.run(&Context::default(), Prewrite { mutations, primary, start_ts, ttl }));
    assert!(refused.is_empty(), "nobody stands in the way");
}

fn commit(kv: &Kv, number: u64) {
    let (start_ts, commit_ts, keys) = (2 * number + 1, 2 * number + 2, vec![key(number)]);
    wait(kv.run(&Context::default(), Commit { keys, start_ts, commit_ts }));
}

/// Both halves of a transaction of one key, each by itself.
pub(crate) fn transaction(criterion: &mut Criterion) {
    let (first, second) = (kv(), kv());
    let mut number = 0;
    criterion.bench_function("storage/prewrite of a key", |bencher| {
        let next = || {
            // Whoever was prewritten before is committed, so that nobody stands in the way.
            if number > 0 {
                commit(&first, number - 1);
            }
            number += 1;
            number - 1
        };
        bencher.iter_batched(next, |number| prewrite(&first, number), BatchSize::PerIteration);
    });
    let mut number = 0;
    criterion.bench_function("storage/commit of a key", |bencher| {
        let next = || {
            number += 1;
            prewrite(&second, number);
            number
        };
        bencher.iter_batched(next, |number| commit(&second, number), BatchSize::PerIteration);
    });
}

/// The newest of some versions.
pub(crate) fn get(criterion: &mut Criterion) {
    let kv = kv();
    for number in 0..2 * KEYS {
        prewrite(&kv, number);
        commit(&kv, number);
    }
    let mut number = 0;
    criterion.bench_function("storage/get of a key with two versions", |bencher| {
        bencher.iter(|| {
            number += 7919;
            let get = Get { key: key(number), version: u64::MAX };
            wait(kv.read(&Context::default(), get)).expect("it is there")
        });
    });
}
