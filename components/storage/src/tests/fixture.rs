//! What tests of commands share: a storage that remembers what was written to it, rows as the course
//! writes them down, and a way to wait for a future without a runtime.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};

use bytes::Bytes;
use engine::{Cf, KeyRange, Op, WriteBatch};
use proto::kvrpcpb::Context;

use crate::mvcc::{Lock, Write, WriteKind, decode_user_key, encode_key};
use crate::storage::{Changes, Pending, Reader, Storage};
use crate::txn::{CheckStatus, Command, Commit, Mutation, Prewrite, Rollback};
use crate::{KeyError, Kv, Limits, Result, Standalone};

/// How often a future is asked before a test says that it hangs.
const POLLS_MAX: usize = 1_000_000;

/// Waits for a future that needs nobody else.
pub(super) fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = TaskContext::from_waker(Waker::noop());
    for _ in 0..POLLS_MAX {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
    panic!("a call waits for something that nobody does");
}

/// A storage in memory that knows which keys commands have written, and checks that each of them was
/// latched.
pub(super) struct Recorder {
    inner: Standalone,
    written: Mutex<BTreeSet<(Cf, Bytes)>>,
    writes: AtomicUsize,
}

impl Recorder {
    pub(super) fn new() -> Arc<Self> {
        let inner = Standalone::in_memory();
        Arc::new(Recorder { inner, written: Mutex::default(), writes: AtomicUsize::new(0) })
    }

    /// Everything in a family, in order.
    pub(super) fn rows(&self, cf: Cf) -> Vec<(Bytes, Bytes)> {
        let reader = wait(self.inner.snapshot(&Context::default())).unwrap();
        let mut cursor = reader.cursor(cf, KeyRange::ALL).unwrap();
        let mut rows = Vec::new();
        let mut is_valid = cursor.seek_to_first().unwrap();
        while is_valid {
            let key = Bytes::copy_from_slice(cursor.key());
            rows.push((key, Bytes::copy_from_slice(cursor.value())));
            is_valid = cursor.next().unwrap();
        }
        rows
    }

    /// How many times something was written.
    pub(super) fn writes(&self) -> usize {
        self.writes.load(Ordering::Relaxed)
    }

    fn note(&self, changes: &Changes) {
        self.writes.fetch_add(1, Ordering::Relaxed);
        let mut written = self.written.lock().unwrap();
        for op in changes.batch.ops() {
            let (Op::Put { cf, key, .. } | Op::Delete { cf, key }) = op else {
                panic!("a command deletes key by key");
            };
            if let Some(latches) = &changes.latches {
                let user_key = match cf {
                    Cf::Default | Cf::Write => decode_user_key(key).unwrap(),
                    Cf::Lock | Cf::Local => key.to_vec(),
                };
                assert!(latches.covers(&user_key), "{user_key:?} was written without its latch");
            }
            written.insert((*cf, key.clone()));
        }
    }
}

impl Storage for Recorder {
    fn snapshot<'a>(&'a self, context: &'a Context) -> Pending<'a, Arc<dyn Reader>> {
        self.inner.snapshot(context)
    }

    fn write<'a>(&'a self, context: &'a Context, changes: Changes) -> Pending<'a, ()> {
        self.note(&changes);
        self.inner.write(context, changes)
    }

    fn raw_families(&self) -> &'static [Cf] {
        self.inner.raw_families()
    }

    fn safe_point(&self) -> u64 {
        self.inner.safe_point()
    }

    fn raise_safe_point(&self, safe_point: u64) -> Pending<'_, u64> {
        self.inner.raise_safe_point(safe_point)
    }
}

/// A key of a family with its bytes.
#[derive(Clone, Debug)]
pub(super) struct Row {
    cf: Cf,
    key: Bytes,
    value: Bytes,
}

/// D(key, ts) = value.
pub(super) fn value(key: &[u8], ts: u64, value: &[u8]) -> Row {
    let value = Bytes::copy_from_slice(value);
    Row { cf: Cf::Default, key: encode_key(key, ts).into(), value }
}

/// W(key, ts) = kind(start).
pub(super) fn write(key: &[u8], ts: u64, kind: WriteKind, start_ts: u64) -> Row {
    let record = Write { kind, start_ts }.to_bytes();
    Row { cf: Cf::Write, key: encode_key(key, ts).into(), value: record.into() }
}

/// L(key) = (primary, kind, ts, ttl).
pub(super) fn lock(key: &[u8], primary: &[u8], kind: WriteKind, ts: u64, ttl: u64) -> Row {
    let lock = Lock { primary: Bytes::copy_from_slice(primary), ts, ttl, kind };
    Row { cf: Cf::Lock, key: Bytes::copy_from_slice(key), value: lock.to_bytes().into() }
}

/// Keys as commands take them.
pub(super) fn keys(keys: &[&[u8]]) -> Vec<Bytes> {
    keys.iter().map(|key| Bytes::copy_from_slice(key)).collect()
}

pub(super) fn put(key: &[u8], value: &[u8]) -> Mutation {
    Mutation::Put(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value))
}

pub(super) fn delete(key: &[u8]) -> Mutation {
    Mutation::Delete(Bytes::copy_from_slice(key))
}

/// A server over an in-memory storage, whose first request starts at 100.
pub(super) struct Builder {
    pub(super) kv: Kv,
    pub(super) storage: Arc<Recorder>,
    ts: u64,
}

impl Builder {
    pub(super) fn new() -> Self {
        let storage = Recorder::new();
        Builder { kv: Kv::new(Arc::clone(&storage) as _, Limits::default()), storage, ts: 99 }
    }

    /// The same with these rows.
    pub(super) fn with(rows: &[Row]) -> Self {
        let builder = Builder::new();
        let mut batch = WriteBatch::new();
        for row in rows {
            batch.put(row.cf, row.key.clone(), row.value.clone());
        }
        if !batch.is_empty() {
            let changes = Changes::blind(batch);
            wait(builder.storage.inner.write(&Context::default(), changes)).unwrap();
        }
        builder
    }

    pub(super) fn next_ts(&mut self) -> u64 {
        self.ts += 1;
        self.ts
    }

    /// A request with the next start timestamp.
    pub(super) fn prewrite(&mut self, mutations: &[Mutation]) -> Prewrite {
        let primary = Bytes::from_static(&[1]);
        Prewrite { mutations: mutations.to_vec(), primary, start_ts: self.next_ts(), ttl: 0 }
    }

    pub(super) fn commit(&mut self, of: &[&[u8]]) -> Commit {
        let start_ts = self.next_ts();
        Commit { keys: keys(of), start_ts, commit_ts: start_ts + 10 }
    }

    pub(super) fn rollback(&mut self, of: &[&[u8]]) -> Rollback {
        Rollback { keys: keys(of), start_ts: self.next_ts() }
    }

    pub(super) fn check_status(&mut self, primary: &[u8]) -> CheckStatus {
        let low = self.next_ts();
        let (lock_ts, current_ts) = ((5 << 40) + low, (6 << 40) + low);
        CheckStatus { primary: Bytes::copy_from_slice(primary), lock_ts, current_ts }
    }

    pub(super) fn run<C: Command>(&self, command: C) -> Result<C::Answer> {
        wait(self.kv.run(&Context::default(), command))
    }

    /// Behind the check at the door, which refuses a prewrite that names a key twice. The course has
    /// two of those, and what they say about the command is true of it.
    pub(super) fn run_unchecked<C: Command>(&self, command: &C) -> Result<C::Answer> {
        wait(self.kv.perform(&Context::default(), command))
    }

    /// A command that the state of a key speaks against.
    pub(super) fn refused<C: Command>(&self, command: C) -> KeyError
    where
        C::Answer: std::fmt::Debug,
    {
        let error = self.run(command).unwrap_err();
        error.as_key_error().unwrap_or_else(|| panic!("{error}")).clone()
    }

    /// How many rows there are in `default`, `lock` and `write`.
    pub(super) fn lens(&self) -> (usize, usize, usize) {
        let len = |cf| self.storage.rows(cf).len();
        (len(Cf::Default), len(Cf::Lock), len(Cf::Write))
    }

    fn bytes_of(&self, row: &Row) -> Option<Bytes> {
        let rows = self.storage.rows(row.cf);
        rows.into_iter().find(|(key, _)| *key == row.key).map(|(_, value)| value)
    }

    /// These rows are there.
    pub(super) fn check(&self, rows: &[Row]) {
        for row in rows {
            assert_eq!(self.bytes_of(row).as_ref(), Some(&row.value), "{row:?}");
        }
    }

    /// These rows are there, and were not written again, not even with the same bytes.
    pub(super) fn check_untouched(&self, rows: &[Row]) {
        self.check(rows);
        let written = self.storage.written.lock().unwrap();
        for row in rows {
            assert!(!written.contains(&(row.cf, row.key.clone())), "{row:?} was written");
        }
    }
}
