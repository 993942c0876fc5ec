//! Rules that need a test of their own: limits, pages, damaged records, families.

use std::task::{Context as TaskContext, Poll, Waker};

use bytes::Bytes;
use engine::{Cf, WriteBatch};
use proto::kvrpcpb::Context;
use runtime::mark;

use super::fixture::{Builder, Row, delete, lock, put, value, wait, write};
use crate::limits::ROW_OVERHEAD_BYTES;
use crate::mvcc::WriteKind::{Delete, Put, Rollback};
use crate::mvcc::scanner::TURN_RECORDS;
use crate::mvcc::{Direction, TS_MAX, encode_key};
use crate::storage::{Changes, Storage};
use crate::txn::check_status::Status;
use crate::txn::gc::GC_PAGE_DELETES;
use crate::txn::resolve_lock::{LOOK_PAGE_LOCKS, RESOLVE_PAGE_KEYS};
use crate::txn::rollback::ROLLBACK_PAGE_KEYS;
use crate::txn::{CheckStatus, Commit, Get, Mutation, Prewrite, ResolveLock, Scan, ScanLocks};
use crate::{Abort, Error, KeyError, Kv, Limits};

fn get(builder: &Builder, key: &'static [u8], version: u64) -> crate::Result<Option<Bytes>> {
    let get = Get { key: Bytes::from_static(key), version };
    wait(builder.kv.read(&Context::default(), get))
}

fn scan(builder: &Builder, start: &'static [u8], limit: u32) -> crate::Result<usize> {
    let start = Bytes::from_static(start);
    let scan = Scan { start, limit, version: 1000, direction: Direction::Forward };
    wait(builder.kv.read(&Context::default(), scan)).map(|rows| rows.len())
}

fn is_invalid<T>(result: crate::Result<T>) -> bool {
    matches!(result.err(), Some(Error::Invalid(_)))
}

/// Keys that sort by their number.
fn numbered(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap().to_be_bytes()
}

#[test]
fn what_is_too_large_or_empty_is_refused_and_writes_nothing() {
    let builder = Builder::new();
    let long = Bytes::from(vec![7; (8 << 10) + 1]);
    let huge = Bytes::from(vec![7; (6 << 20) + 1]);
    let k = Bytes::from_static(b"k");
    let prewrite = |mutation: Mutation, primary: &Bytes| Prewrite {
        mutations: vec![mutation],
        primary: primary.clone(),
        start_ts: 10,
        ttl: 0,
    };
    let cases = [
        prewrite(Mutation::Delete(long.clone()), &k),
        prewrite(Mutation::Lock(Bytes::new()), &k),
        prewrite(Mutation::Put(k.clone(), huge.clone()), &k),
        prewrite(Mutation::Delete(k.clone()), &long),
        prewrite(Mutation::Delete(k.clone()), &Bytes::new()),
    ];
    for prewrite in cases {
        assert!(is_invalid(builder.run(prewrite)));
    }
    for key in [Bytes::new(), long.clone()] {
        let keys = vec![k.clone(), key.clone()];
        assert!(is_invalid(builder.run(Commit { keys, start_ts: 10, commit_ts: 11 })));
        let check = CheckStatus { primary: key.clone(), lock_ts: 10, current_ts: 11 };
        assert!(is_invalid(builder.run(check)));
        let region = Context::default();
        assert!(is_invalid(wait(builder.kv.raw_put(&region, "", key.clone(), k.clone()))));
        assert!(is_invalid(wait(builder.kv.raw_delete(&region, "", key.clone()))));
        assert!(is_invalid(wait(builder.kv.raw_get(&region, "", key.clone()))));
    }
    let region = Context::default();
    assert!(is_invalid(wait(builder.kv.raw_put(&region, "", k, huge))));
    assert!(is_invalid(wait(builder.kv.raw_scan(&region, "", long, 1))));
    assert_eq!(builder.lens(), (0, 0, 0));
}

#[test]
fn the_longest_key_and_an_empty_value_are_stored_and_found() {
    let mut builder = Builder::new();
    let key = vec![0xff; 8 << 10];
    let prewrite = builder.prewrite(&[put(&key, b"")]);
    assert_eq!(builder.run(prewrite).unwrap(), []);
    builder.run(Commit { keys: vec![key.clone().into()], start_ts: 100, commit_ts: 101 }).unwrap();
    let get = Get { key: key.into(), version: TS_MAX };
    let found = wait(builder.kv.read(&Context::default(), get)).unwrap();
    assert_eq!(found, Some(Bytes::new()), "an empty value is a value");
}

/// A small message becomes large where every lock repeats a long primary key.
#[test]
fn a_request_that_would_become_too_large_is_refused_before_it_does() {
    let mut builder = Builder::new();
    let limits = Limits::default();
    let many = |count: usize| (0..count).map(|n| delete(&numbered(n))).collect::<Vec<_>>();
    let long = Bytes::from(vec![7; 8 << 10]);
    let mut prewrite = Prewrite { primary: long, ..builder.prewrite(&many(20_000)) };
    assert!(is_invalid(builder.run(prewrite.clone())));
    prewrite.mutations.truncate(1000);
    assert_eq!(builder.run(prewrite).unwrap(), []);
    assert_eq!(builder.lens(), (0, 1000, 0));

    let too_many = builder.prewrite(&many(limits.request_keys + 1));
    let commit = Commit {
        keys: too_many.mutations.iter().map(|mutation| mutation.key().clone()).collect(),
        start_ts: 10,
        commit_ts: 11,
    };
    assert!(is_invalid(builder.run(too_many)) && is_invalid(builder.run(commit)));
    let huge = vec![7; limits.value_bytes];
    let values = [put(b"x", &huge), put(b"y", &huge), put(b"z", &huge)];
    assert!(is_invalid({
        let prewrite = builder.prewrite(&values);
        builder.run(prewrite)
    }));
    let fits = builder.prewrite(&values[..2]);
    assert_eq!(builder.run(fits).unwrap(), []);
    assert_eq!(builder.lens(), (2, 1002, 0));
}

#[test]
fn the_timestamp_that_means_the_newest_is_given_to_nobody() {
    let builder = Builder::new();
    let k = || Bytes::from_static(b"k");
    let mutations = vec![delete(b"k")];
    let prewrite = Prewrite { mutations, primary: k(), start_ts: TS_MAX, ttl: 1 };
    assert!(is_invalid(builder.run(prewrite)));
    let commit = Commit { keys: vec![k()], start_ts: 1, commit_ts: TS_MAX };
    assert!(is_invalid(builder.run(commit)));
    let rollback = crate::txn::Rollback { keys: vec![k()], start_ts: TS_MAX };
    assert!(is_invalid(builder.run(rollback)));
    let check = CheckStatus { primary: k(), lock_ts: TS_MAX, current_ts: 1 };
    assert!(is_invalid(builder.run(check)));
    let resolve = ResolveLock::new(1, Some(TS_MAX));
    assert!(is_invalid(wait(builder.kv.resolve_lock(&Context::default(), resolve))));
    assert_eq!(builder.lens(), (0, 0, 0));
}

#[test]
fn any_limit_of_a_scan_works() {
    let builder = Builder::with(&[value(b"a", 1, b"v"), write(b"a", 2, Put, 1)]);
    assert_eq!(scan(&builder, b"", 0).unwrap(), 0);
    assert_eq!(scan(&builder, b"", u32::MAX).unwrap(), 1);
    assert_eq!(scan(&builder, b"a\0", u32::MAX).unwrap(), 0);
}

#[test]
fn a_scan_that_would_answer_too_much_fails_instead_of_stopping_early() {
    let rows: Vec<Row> = (0..10_u8)
        .flat_map(|key| [value(&[key], 1, &[7; 100]), write(&[key], 2, Put, 1)])
        .collect();
    let mut builder = Builder::with(&rows);
    let limits = Limits { answer_bytes: 5 * (1 + 100 + ROW_OVERHEAD_BYTES), ..Limits::default() };
    builder.kv = Kv::new(std::sync::Arc::clone(&builder.storage) as _, limits);
    assert_eq!(scan(&builder, b"", 5).unwrap(), 5, "exactly as much as may be");
    mark::reset();
    assert!(matches!(scan(&builder, b"", 6), Err(Error::TooLarge { limit: 825 })));
    let raw = wait(builder.kv.raw_scan(&Context::default(), "default", Bytes::new(), 6));
    assert!(matches!(raw, Err(Error::TooLarge { .. })));
    assert_eq!(mark::hits("an answer would pass its limit"), 2);
}

/// How often a future is not ready before its answer.
fn pauses<T>(future: impl Future<Output = T>) -> (usize, T) {
    let mut future = std::pin::pin!(future);
    let mut context = TaskContext::from_waker(Waker::noop());
    let mut pauses = 0;
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(answer) => return (pauses, answer),
            Poll::Pending => pauses += 1,
        }
    }
}

/// One thread may serve all connections, so nobody keeps it for long.
#[test]
fn a_scan_that_finds_nothing_for_long_lets_others_have_their_turn() {
    let turn = usize::try_from(TURN_RECORDS).unwrap();
    let deleted = 3 * turn;
    let mut rows: Vec<Row> = (0..deleted).map(|n| write(&numbered(n), 2, Delete, 1)).collect();
    rows.extend([value(&numbered(deleted), 1, b"v"), write(&numbered(deleted), 2, Put, 1)]);
    rows.push(lock(&numbered(turn + 1), b"p", Delete, 3, 0));
    let builder = Builder::with(&rows);
    for direction in [Direction::Forward, Direction::Reverse] {
        mark::reset();
        let region = Context::default();
        let query = Scan { start: Bytes::new(), limit: 3, version: 1000, direction };
        let (pauses, rows) = pauses(builder.kv.read(&region, query));
        assert!(pauses >= 2, "{direction:?}: {pauses}");
        assert!(mark::hits("a scan pauses") >= 2, "{direction:?}");
        let mut rows: Vec<_> = rows.unwrap().iter().map(|row| row.key().to_vec()).collect();
        rows.sort();
        assert_eq!(rows, [numbered(turn + 1), numbered(deleted)], "{direction:?}");
    }
    let (pauses, found) =
        pauses(builder.kv.raw_scan(&Context::default(), "write", Bytes::new(), u32::MAX));
    assert!(pauses >= 2, "{pauses}");
    assert_eq!(found.unwrap().len(), deleted + 1);
}

#[test]
fn raw_calls_know_three_families_by_name() {
    let builder = Builder::new();
    let region = Context::default();
    let key = || Bytes::from_static(b"k");
    for name in ["", "default", "write", "lock"] {
        wait(builder.kv.raw_put(&region, name, key(), Bytes::from(name))).unwrap();
    }
    let found = |name| wait(builder.kv.raw_get(&region, name, key())).unwrap();
    assert_eq!(found(""), Some(Bytes::from("default")), "no name is default");
    assert_eq!(found("lock"), Some(Bytes::from("lock")));
    for name in ["local", "raft", "Default", "default "] {
        let error = wait(builder.kv.raw_get(&region, name, key())).unwrap_err();
        assert!(error.to_string().contains(&format!("{name:?}")), "{error}");
        assert!(is_invalid(wait(builder.kv.raw_put(&region, name, key(), key()))));
    }
}

/// A storage with regions, as far as raw calls can tell.
struct Replicated(std::sync::Arc<super::fixture::Recorder>);

impl Storage for Replicated {
    fn snapshot<'a>(
        &'a self,
        context: &'a Context,
    ) -> crate::Pending<'a, std::sync::Arc<dyn crate::Reader>> {
        self.0.snapshot(context)
    }

    fn write<'a>(&'a self, context: &'a Context, changes: Changes) -> crate::Pending<'a, ()> {
        self.0.write(context, changes)
    }

    fn raw_families(&self) -> &'static [Cf] {
        &[Cf::Default]
    }

    fn safe_point(&self) -> u64 {
        0
    }

    fn raise_safe_point(&self, _safe_point: u64) -> crate::Pending<'_, u64> {
        Box::pin(std::future::ready(Ok(0)))
    }
}

#[test]
fn where_there_are_regions_raw_calls_have_only_the_default_family() {
    let builder = Builder::new();
    let storage = Replicated(std::sync::Arc::clone(&builder.storage));
    let kv = Kv::new(std::sync::Arc::new(storage), Limits::default());
    let region = Context::default();
    let key = || Bytes::from_static(b"k");
    wait(kv.raw_put(&region, "default", key(), key())).unwrap();
    for name in ["write", "lock"] {
        assert!(is_invalid(wait(kv.raw_put(&region, name, key(), key()))));
        assert!(is_invalid(wait(kv.raw_scan(&region, name, key(), 1))));
    }
}

#[test]
fn damaged_records_are_errors_of_whoever_meets_them() {
    let damage = |cf, key: Vec<u8>, record: &'static [u8]| {
        let mut builder = Builder::with(&[value(b"a", 1, b"v"), write(b"a", 2, Put, 1)]);
        let mut batch = WriteBatch::new();
        batch.put(cf, key, record);
        let damaged = Changes::blind(batch);
        wait(builder.storage.write(&Context::default(), damaged)).unwrap();
        let prewrite = builder.prewrite(&[delete(b"a")]);
        [
            get(&builder, b"a", 10).map(drop),
            scan(&builder, b"", 10).map(drop),
            builder.run(prewrite).map(drop),
        ]
    };
    let is_corrupt = |result: &crate::Result<()>| matches!(result, Err(Error::Corrupt { .. }));
    for record in [&b""[..], b"short", b"a record with a strange kind"] {
        assert!(damage(Cf::Lock, b"a".to_vec(), record).iter().all(is_corrupt), "{record:?}");
    }
    for record in [&b""[..], b"\x01short", b"\x00\0\0\0\0\0\0\0\x01", b"\x05\0\0\0\0\0\0\0\x01"] {
        let results = damage(Cf::Write, encode_key(b"a", 3), record);
        assert!(results.iter().all(is_corrupt), "{record:?}");
    }
    // A put whose value is gone, which a prewrite does not look for.
    let results = damage(Cf::Write, encode_key(b"a", 3), b"\x01\0\0\0\0\0\0\0\x63");
    assert!(is_corrupt(&results[0]) && is_corrupt(&results[1]) && results[2].is_ok());
    // A key that is no encoding, or has no room for a timestamp.
    assert!(is_corrupt(&damage(Cf::Write, b"a".to_vec(), b"\x01\0\0\0\0\0\0\0\x01")[1]));
}

#[test]
fn a_lock_that_claims_to_be_a_rollback_is_not_committed() {
    let rows = [lock(b"a", b"a", Rollback, 10, 0)];
    let builder = Builder::with(&rows);
    let commit = Commit { keys: vec![Bytes::from_static(b"a")], start_ts: 10, commit_ts: 11 };
    assert!(matches!(builder.run(commit), Err(Error::Corrupt { record: "lock", .. })));
    builder.check_untouched(&rows);
}

#[test]
fn one_refused_key_keeps_all_others_unlocked_and_every_reason_is_told() {
    let rows = [lock(b"b", b"p", Put, 90, 0), value(b"c", 95, b"v"), write(b"c", 105, Put, 95)];
    let mut builder = Builder::with(&rows);
    let prewrite = builder.prewrite(&[put(b"a", b"1"), put(b"b", b"1"), delete(b"c")]);
    let refused = builder.run(prewrite).unwrap();
    assert!(matches!(&refused[..], [KeyError::Locked(_), KeyError::Conflict(_)]), "{refused:?}");
    assert_eq!(builder.lens(), (1, 1, 1));
    builder.check_untouched(&rows);
}

#[test]
fn a_living_lock_never_has_a_time_to_live_of_zero() {
    // Asked by a clock that is behind the lock.
    let lock_ts = 50 << crate::mvcc::LOGICAL_BITS;
    let builder = Builder::with(&[lock(b"a", b"a", Put, lock_ts, 0)]);
    let primary = Bytes::from_static(b"a");
    let status = builder.run(CheckStatus { primary, lock_ts, current_ts: 1 }).unwrap();
    assert_eq!(status, Status::Alive { ttl: 1 });
}

#[test]
fn a_commit_without_a_trace_is_refused_once_traces_are_collected() {
    let builder = Builder::new();
    let commit = |start_ts| {
        let keys = vec![Bytes::from_static(b"a")];
        builder.run(Commit { keys, start_ts, commit_ts: 40 })
    };
    mark::reset();
    commit(10).unwrap();
    assert_eq!(mark::hits("a commit found neither a lock nor a record"), 1);
    wait(builder.kv.raise_safe_point(20)).unwrap();
    for (start_ts, is_refused) in [(10, true), (20, true), (21, false)] {
        assert_eq!(commit(start_ts).is_err(), is_refused, "{start_ts}");
    }
}

#[test]
fn reads_are_refused_below_the_safe_point_and_prewrites_also_at_it() {
    let builder = Builder::new();
    wait(builder.kv.raise_safe_point(20)).unwrap();
    let error = get(&builder, b"a", 19).unwrap_err();
    let refused = KeyError::Abort(Abort::BelowSafePoint { ts: 19, safe_point: 20 });
    assert_eq!(error.as_key_error(), Some(&refused));
    assert!(get(&builder, b"a", 20).is_ok());
    let prewrite = |start_ts| {
        let primary = Bytes::from_static(b"a");
        let mutations = vec![delete(b"a")];
        builder.run(Prewrite { mutations, primary, start_ts, ttl: 0 }).unwrap()
    };
    assert_eq!(prewrite(20).len(), 1);
    assert_eq!(prewrite(21), []);
}

#[test]
fn a_rollback_of_many_keys_is_done_in_pages() {
    let builder = Builder::new();
    let count = 3 * ROLLBACK_PAGE_KEYS + 1;
    let keys = (0..count).map(|n| Bytes::copy_from_slice(&numbered(n))).collect();
    let rollback = crate::txn::Rollback { keys, start_ts: 10 };
    let pages: Vec<usize> = rollback.clone().pages().map(|page| page.keys.len()).collect();
    let page = ROLLBACK_PAGE_KEYS;
    assert_eq!(pages, [page, page, page, 1]);
    wait(builder.kv.rollback(&Context::default(), rollback)).unwrap();
    assert_eq!(builder.lens(), (0, 0, count));
    assert_eq!(builder.storage.writes(), 4);
}

#[test]
fn all_locks_of_a_transaction_are_resolved_in_pages_and_no_others() {
    // Ours are few at first, among so many others that a look does not reach the end.
    let others = LOOK_PAGE_LOCKS + 100;
    let ours = 2 * RESOLVE_PAGE_KEYS + 1;
    let mut rows: Vec<Row> = (0..others).map(|n| lock(&numbered(n), b"p", Put, 11, 0)).collect();
    rows.extend((0..ours).map(|n| lock(&numbered(others + n), b"p", Delete, 10, 0)));
    let builder = Builder::with(&rows);
    let resolve = ResolveLock::new(10, Some(20));
    wait(builder.kv.resolve_lock(&Context::default(), resolve)).unwrap();
    assert_eq!(builder.lens(), (0, others, ours));
    assert_eq!(builder.storage.writes(), 3);
}

#[test]
fn locks_are_listed_in_bounded_pieces() {
    let rows: Vec<Row> = (0..LOOK_PAGE_LOCKS + 10)
        .map(|n| lock(&numbered(n), b"p", Put, if n % 1000 == 0 { 10 } else { 30 }, 0))
        .collect();
    let builder = Builder::with(&rows);
    let mut start = Bytes::new();
    let mut pieces = Vec::new();
    loop {
        let scan = ScanLocks { start, max_ts: 20, limit: 3 };
        let found = wait(builder.kv.scan_locks(&Context::default(), scan)).unwrap();
        assert!(found.locks.iter().all(|locked| locked.lock.ts == 10));
        pieces.push(found.locks.len());
        let Some(next) = found.next else { break };
        start = next;
    }
    assert_eq!(pieces, [3, 2]);
}

#[test]
fn a_key_with_more_garbage_than_a_page_is_collected_in_several() {
    let versions = 3 * GC_PAGE_DELETES as u64 / 2;
    let mut rows: Vec<Row> = Vec::new();
    for n in 0..versions {
        rows.extend([value(b"a", 2 * n + 1, b"v"), write(b"a", 2 * n + 2, Put, 2 * n + 1)]);
    }
    let end = 2 * versions + 1;
    rows.push(write(b"a", end, Delete, end - 1));
    rows.extend([value(b"b", 1, b"v"), write(b"b", 2, Put, 1)]);
    let builder = Builder::with(&rows);
    wait(builder.kv.raise_safe_point(end)).unwrap();
    mark::reset();
    let removed = wait(builder.kv.collect_garbage(&Context::default(), end)).unwrap();
    assert!(mark::hits("a page of garbage was full") > 1);
    assert_eq!(removed, versions + 1);
    builder.check_untouched(&[value(b"b", 1, b"v"), write(b"b", 2, Put, 1)]);
    assert_eq!(builder.lens(), (1, 0, 1), "and the delete went last");
}

#[test]
fn a_lock_that_somebody_else_resolved_between_look_and_latch_is_left_alone() {
    use crate::txn::{Command, Paged, View};
    let builder = Builder::with(&[lock(b"a", b"a", Put, 10, 0), value(b"a", 10, b"v")]);
    let region = Context::default();
    let mut resolve = ResolveLock::new(10, Some(20));
    let limits = Limits::default();
    let reader = wait(builder.storage.snapshot(&region)).unwrap();
    let page = resolve.find(&View { reader: &*reader, safe_point: 0, limits }).unwrap();
    assert_eq!(page.keys(), [Bytes::from_static(b"a")]);
    builder.run(Commit { keys: page.keys(), start_ts: 10, commit_ts: 20 }).unwrap();

    mark::reset();
    builder.run_unchecked(&page).unwrap();
    assert_eq!(mark::hits("a lock was resolved by somebody else"), 1);
    assert_eq!(builder.lens(), (1, 0, 1));
}

#[test]
fn a_prewrite_that_comes_too_late_is_refused_or_does_nothing() {
    mark::reset();
    let rows = [write(b"a", 100, Rollback, 100)];
    let mut builder = Builder::with(&rows);
    let late = builder.prewrite(&[put(b"a", b"v")]);
    let refused = builder.run(late).unwrap();
    assert!(matches!(&refused[..], [KeyError::Conflict(_)]), "{refused:?}");
    assert_eq!(mark::hits("a prewrite came after its rollback"), 1);

    let rows = [value(b"a", 100, b"v"), write(b"a", 110, Put, 100)];
    let mut builder = Builder::with(&rows);
    let repeated = builder.prewrite(&[put(b"a", b"v")]);
    assert_eq!(builder.run(repeated).unwrap(), []);
    assert_eq!(mark::hits("a prewrite came after its commit"), 1);
    assert_eq!(builder.lens(), (1, 0, 1));
    builder.check_untouched(&rows);
}

#[test]
fn the_status_is_asked_at_the_primary_key_only() {
    mark::reset();
    let rows = [lock(b"b", b"a", Put, 10, 0)];
    let builder = Builder::with(&rows);
    let check = CheckStatus { primary: Bytes::from_static(b"b"), lock_ts: 10, current_ts: TS_MAX };
    assert!(is_invalid(builder.run(check)));
    assert_eq!(mark::hits("the status was asked at a key that is not the primary"), 1);
    builder.check_untouched(&rows);
}
