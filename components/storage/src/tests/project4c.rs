//! The course's tests of project 4C: scan, check, rollback and resolve.

use bytes::Bytes;
use proto::kvrpcpb::Context;

use super::fixture::{Builder, Row, lock, value, wait, write};
use crate::mvcc::WriteKind::{Delete, Put, Rollback};
use crate::mvcc::{Direction, Row as Found};
use crate::txn::{ResolveLock, Scan, Status};
use crate::{Abort, KeyError};

/// The start timestamp of the check-status tests.
const T: u64 = (5 << 40) + 100;

#[test]
fn empty_rollback() {
    let mut builder = Builder::new();
    let rollback = builder.rollback(&[]);
    builder.run(rollback).unwrap();
    assert_eq!(builder.lens(), (0, 0, 0));
}

#[test]
fn rollback() {
    let mut builder = Builder::with(&[value(&[3], 100, &[42]), lock(&[3], &[1], Put, 100, 0)]);
    let rollback = builder.rollback(&[&[3]]);
    builder.run(rollback).unwrap();
    assert_eq!(builder.lens(), (0, 0, 1));
    builder.check(&[write(&[3], 100, Rollback, 100)]);
}

#[test]
fn rollback_duplicate_keys() {
    let mut builder = Builder::with(&[
        value(&[3], 100, &[42]),
        lock(&[3], &[1], Put, 100, 0),
        value(&[15], 100, &[0]),
        lock(&[15], &[1], Put, 100, 0),
    ]);
    let rollback = builder.rollback(&[&[3], &[15], &[3]]);
    builder.run(rollback).unwrap();
    assert_eq!(builder.lens(), (0, 0, 2));
    builder.check(&[write(&[3], 100, Rollback, 100), write(&[15], 100, Rollback, 100)]);
}

#[test]
fn rollback_missing_prewrite() {
    let mut builder = Builder::new();
    let rollback = builder.rollback(&[&[3]]);
    builder.run(rollback).unwrap();
    assert_eq!(builder.lens(), (0, 0, 1));
    builder.check(&[write(&[3], 100, Rollback, 100)]);
}

#[test]
fn rollback_committed() {
    let rows = [value(&[3], 100, &[42]), write(&[3], 110, Put, 100)];
    let mut builder = Builder::with(&rows);
    let rollback = builder.rollback(&[&[3]]);
    let committed = Abort::Committed { start_ts: 100, commit_ts: 110 };
    assert_eq!(builder.refused(rollback), KeyError::Abort(committed));
    assert_eq!(builder.lens(), (1, 0, 1));
    builder.check_untouched(&rows);
}

#[test]
fn rollback_duplicate() {
    let rolled_back = write(&[3], 100, Rollback, 100);
    let mut builder = Builder::with(std::slice::from_ref(&rolled_back));
    let rollback = builder.rollback(&[&[3]]);
    builder.run(rollback).unwrap();
    assert_eq!(builder.lens(), (0, 0, 1));
    builder.check_untouched(&[rolled_back]);
}

#[test]
fn rollback_other_txn() {
    let rows = [value(&[3], 80, &[42]), lock(&[3], &[1], Put, 80, 0)];
    let mut builder = Builder::with(&rows);
    let rollback = builder.rollback(&[&[3]]);
    builder.run(rollback).unwrap();
    assert_eq!(builder.lens(), (1, 1, 1));
    builder.check_untouched(&rows);
    builder.check(&[write(&[3], 100, Rollback, 100)]);
}

#[test]
fn check_txn_status_ttl_expired() {
    let mut builder = Builder::with(&[value(&[3], T, &[42]), lock(&[3], &[3], Put, T, 8)]);
    let check = builder.check_status(&[3]);
    assert_eq!(builder.run(check).unwrap(), Status::Expired);
    assert_eq!(builder.lens(), (0, 0, 1));
    builder.check(&[write(&[3], T, Rollback, T)]);
}

#[test]
fn check_txn_status_ttl_not_expired() {
    let rows = [value(&[3], T, &[42]), lock(&[3], &[3], Put, T, 4_294_967_304)];
    let mut builder = Builder::with(&rows);
    let check = builder.check_status(&[3]);
    assert_eq!(builder.run(check).unwrap(), Status::Alive { ttl: 4_294_967_304 });
    assert_eq!(builder.lens(), (1, 1, 0));
    builder.check_untouched(&rows);
}

#[test]
fn check_txn_status_rolled_back() {
    let rows = [
        value(&[3], T, &[42]),
        write(&[3], T, Rollback, T),
        lock(&[3], &[3], Put, (8 << 40) + 100, 8),
    ];
    let mut builder = Builder::with(&rows);
    let check = builder.check_status(&[3]);
    assert_eq!(builder.run(check).unwrap(), Status::RolledBack);
    assert_eq!(builder.lens(), (1, 1, 1));
    builder.check_untouched(&rows);
}

#[test]
fn check_txn_status_committed() {
    let rows = [value(&[3], T, &[42]), write(&[3], T, Put, T)];
    let mut builder = Builder::with(&rows);
    let check = builder.check_status(&[3]);
    assert_eq!(builder.run(check).unwrap(), Status::Committed { commit_ts: T });
    assert_eq!(builder.lens(), (1, 0, 1));
    builder.check_untouched(&rows);
}

#[test]
fn check_txn_status_no_lock_no_write() {
    let mut builder = Builder::new();
    let check = builder.check_status(&[3]);
    assert_eq!(builder.run(check).unwrap(), Status::NeverSeen);
    assert_eq!(builder.lens(), (0, 0, 1));
    builder.check(&[write(&[3], T, Rollback, T)]);
}

fn resolve(builder: &Builder, start_ts: u64, commit_ts: Option<u64>) {
    let resolve = ResolveLock::new(start_ts, commit_ts);
    wait(builder.kv.resolve_lock(&Context::default(), resolve)).unwrap();
}

/// Two locks of one transaction, and one of another.
fn locked() -> (Vec<Row>, Vec<Row>) {
    let ours = vec![
        value(&[3], 100, &[42]),
        lock(&[3], &[], Put, 100, 0),
        value(&[7], 100, &[43]),
        lock(&[7], &[], Put, 100, 0),
    ];
    (ours, vec![value(&[200], 110, &[44]), lock(&[200], &[], Put, 110, 0)])
}

/// The same after somebody else has done to the one what is to be done.
fn resolved() -> Vec<Row> {
    let (_, theirs) = locked();
    let mut rows = vec![
        value(&[3], 100, &[42]),
        value(&[7], 100, &[43]),
        write(&[201], 120, Put, 100),
        write(&[201], 100, Rollback, 100),
    ];
    rows.extend(theirs);
    rows
}

#[test]
fn empty_resolve() {
    let builder = Builder::new();
    resolve(&builder, 0, None);
    assert_eq!(builder.lens(), (0, 0, 0));
}

#[test]
fn resolve_commit() {
    let (ours, theirs) = locked();
    let builder = Builder::with(&[ours.clone(), theirs.clone()].concat());
    resolve(&builder, 100, Some(120));
    assert_eq!(builder.lens(), (3, 1, 2));
    builder.check(&[write(&[3], 120, Put, 100), write(&[7], 120, Put, 100)]);
    builder.check_untouched(&[ours[0].clone(), ours[2].clone()]);
    builder.check_untouched(&theirs);
}

#[test]
fn resolve_rollback() {
    let (ours, theirs) = locked();
    let builder = Builder::with(&[ours, theirs.clone()].concat());
    resolve(&builder, 100, None);
    assert_eq!(builder.lens(), (1, 1, 2));
    builder.check(&[write(&[3], 100, Rollback, 100), write(&[7], 100, Rollback, 100)]);
    builder.check_untouched(&theirs);
}

#[test]
fn resolve_commit_written() {
    let builder = Builder::with(&resolved());
    resolve(&builder, 100, Some(120));
    assert_eq!(builder.lens(), (3, 1, 2));
    builder.check_untouched(&resolved());
}

#[test]
fn resolve_rollback_written() {
    let builder = Builder::with(&resolved());
    resolve(&builder, 100, None);
    assert_eq!(builder.lens(), (3, 1, 2));
    builder.check_untouched(&resolved());
}

fn scan_fixture() -> Builder {
    let mut rows = Vec::new();
    let mut commit = |start_ts, commit_ts, pairs: &[(&[u8], u8)]| {
        for (key, of) in pairs {
            rows.extend([value(key, start_ts, &[*of]), write(key, commit_ts, Put, start_ts)]);
        }
    };
    commit(80, 99, &[(&[1], 50), (&[1, 23], 55), (&[3], 51), (&[3, 45], 56), (&[3, 46], 57)]);
    commit(80, 99, &[(&[3, 47], 58), (&[3, 48], 59), (&[4], 52), (&[120], 53)]);
    commit(80, 99, &[(&[199], 54), (&[150], 42)]);
    commit(110, 116, &[(&[4, 45], 58), (&[4, 46], 57), (&[4, 47], 58), (&[4, 48], 59)]);
    commit(110, 116, &[(&[150], 64)]);
    commit(97, 101, &[(&[5, 45], 60), (&[5, 46], 61), (&[5, 47], 62), (&[5, 48], 63)]);
    rows.push(write(&[150], 101, Delete, 97));
    Builder::with(&rows)
}

fn scan(builder: &Builder, start: &[u8], limit: u32, version: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let start = Bytes::copy_from_slice(start);
    let scan = Scan { start, limit, version, direction: Direction::Forward };
    let rows = wait(builder.kv.read(&Context::default(), scan)).unwrap();
    let pairs = rows.into_iter().map(|row| match row {
        Found::Value { key, value } => (key.to_vec(), value.to_vec()),
        Found::Locked(locked) => panic!("nothing is locked here: {locked:?}"),
    });
    pairs.collect()
}

#[test]
fn scan_empty() {
    assert_eq!(scan(&scan_fixture(), &[200], 10_000, 100), []);
}

#[test]
fn scan_limit_zero() {
    assert_eq!(scan(&scan_fixture(), &[3], 0, 100), []);
}

#[test]
fn scan_all() {
    let pairs = scan(&scan_fixture(), &[0], 10_000, 100);
    assert_eq!(pairs.len(), 11);
    assert_eq!((&pairs[0], &pairs[10]), (&(vec![1], vec![50]), &(vec![199], vec![54])));
}

#[test]
fn scan_limit() {
    let pairs = scan(&scan_fixture(), &[2], 6, 100);
    assert_eq!(pairs.len(), 6);
    assert_eq!((&pairs[0], &pairs[5]), (&(vec![3], vec![51]), &(vec![4], vec![52])));
}

#[test]
fn scan_deleted() {
    let builder = scan_fixture();
    let at_100 = scan(&builder, &[100], 10_000, 100);
    assert_eq!((at_100.len(), &at_100[1]), (3, &(vec![150], vec![42])));
    let at_105 = scan(&builder, &[100], 10_000, 105);
    let keys: Vec<u8> = at_105.iter().map(|(key, _)| key[0]).collect();
    assert_eq!(keys, [120, 199]);
    let at_120 = scan(&builder, &[100], 10_000, 120);
    assert_eq!((at_120.len(), &at_120[1]), (3, &(vec![150], vec![64])));
}
