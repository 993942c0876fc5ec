//! The course's tests of project 4A: reading and writing versions.

use std::sync::Arc;

use bytes::Bytes;
use engine::{Cf, Op};
use proto::kvrpcpb::Context;

use super::fixture::{Builder, Row, value, wait, write};
use crate::mvcc::{Lock, MvccTxn, Write, WriteKind, encode_key};
use crate::storage::{Reader, Storage};

const KEY: &[u8] = &[16, 240];

fn reader(rows: &[Row]) -> Arc<dyn Reader> {
    wait(Builder::with(rows).storage.snapshot(&Context::default())).unwrap()
}

fn single() -> Vec<Row> {
    vec![value(KEY, 40, &[1, 2, 3]), write(KEY, 42, WriteKind::Put, 40)]
}

fn two() -> Vec<Row> {
    let second = [value(KEY, 50, &[255, 0, 255]), write(KEY, 52, WriteKind::Put, 50)];
    [single(), second.to_vec()].concat()
}

fn deleted() -> Vec<Row> {
    [single(), vec![write(KEY, 52, WriteKind::Delete, 50)]].concat()
}

/// The lock of two of the tests.
fn sample_lock() -> Lock {
    let primary = Bytes::from_static(&[16]);
    Lock { primary, kind: WriteKind::Rollback, ts: 100, ttl: 100_000 }
}

fn put_op(cf: Cf, key: Vec<u8>, value: Vec<u8>) -> Op {
    Op::Put { cf, key: key.into(), value: value.into() }
}

/// What a transaction of `start_ts` reads of a key.
fn get_value(rows: &[Row], start_ts: u64, key: &[u8]) -> Option<Bytes> {
    MvccTxn::new(&*reader(rows), start_ts).get_value(key).unwrap()
}

#[test]
fn put_lock() {
    let reader = reader(&[]);
    let mut txn = MvccTxn::new(&*reader, 42);
    txn.put_lock(&Bytes::from_static(&[1]), &sample_lock());
    let record = [16, 3, 0, 0, 0, 0, 0, 0, 0, 100, 0, 0, 0, 0, 0, 1, 134, 160];
    assert_eq!(txn.writes(), [put_op(Cf::Lock, vec![1], record.to_vec())]);
}

#[test]
fn put_write() {
    let reader = reader(&[]);
    let mut txn = MvccTxn::new(&*reader, 0);
    txn.put_write(KEY, 0, Write { kind: WriteKind::Delete, start_ts: 100 });
    let record = [2, 0, 0, 0, 0, 0, 0, 0, 100];
    assert_eq!(txn.writes(), [put_op(Cf::Write, encode_key(KEY, 0), record.to_vec())]);
}

#[test]
fn put_value() {
    let reader = reader(&[]);
    let mut txn = MvccTxn::new(&*reader, 453_325_345);
    let fibonacci = [1, 1, 2, 3, 5, 8, 13];
    txn.put_value(&[32], Bytes::copy_from_slice(&fibonacci));
    let key = encode_key(&[32], 453_325_345);
    assert_eq!(txn.writes(), [put_op(Cf::Default, key, fibonacci.to_vec())]);
}

#[test]
fn get_lock() {
    let lock = sample_lock();
    let row = super::fixture::lock(&[1], &lock.primary, lock.kind, lock.ts, lock.ttl);
    let reader = reader(&[row]);
    let txn = MvccTxn::new(&*reader, 42);
    assert_eq!(txn.get_lock(&[1]).unwrap(), Some(lock));
    assert_eq!(txn.get_lock(&[2]).unwrap(), None);
}

#[test]
fn delete_lock() {
    let reader = reader(&[]);
    let mut txn = MvccTxn::new(&*reader, 42);
    txn.delete_lock(&Bytes::from_static(&[1]));
    assert_eq!(txn.writes(), [Op::Delete { cf: Cf::Lock, key: Bytes::from_static(&[1]) }]);
}

#[test]
fn delete_value() {
    let reader = reader(&[]);
    let mut txn = MvccTxn::new(&*reader, 63_454_245);
    txn.delete_value(&[17, 255, 0]);
    let key = encode_key(&[17, 255, 0], 63_454_245).into();
    assert_eq!(txn.writes(), [Op::Delete { cf: Cf::Default, key }]);
}

#[test]
fn get_value_simple() {
    assert_eq!(get_value(&single(), 43, KEY).unwrap()[..], [1, 2, 3]);
}

#[test]
fn get_value_missing() {
    assert_eq!(get_value(&single(), 43, &[16, 241]), None);
}

#[test]
fn get_value_too_early() {
    assert_eq!(get_value(&single(), 41, KEY), None);
}

#[test]
fn get_value_overwritten() {
    assert_eq!(get_value(&two(), 52, KEY).unwrap()[..], [255, 0, 255]);
}

#[test]
fn get_value_not_overwritten() {
    assert_eq!(get_value(&two(), 50, KEY).unwrap()[..], [1, 2, 3]);
}

#[test]
fn get_value_deleted() {
    assert_eq!(get_value(&deleted(), 500, KEY), None);
}

#[test]
fn get_value_not_deleted() {
    assert_eq!(get_value(&deleted(), 45, KEY).unwrap()[..], [1, 2, 3]);
}

#[test]
fn current_write() {
    let reader = reader(&two());
    let of = |start_ts| MvccTxn::new(&*reader, start_ts).current_write(KEY).unwrap();
    let put = |start_ts| Write { kind: WriteKind::Put, start_ts };
    assert_eq!(of(50), Some((put(50), 52)));
    assert_eq!(of(40), Some((put(40), 42)));
    assert_eq!(of(41), None);
}

#[test]
fn most_recent_write() {
    let newest = |rows: &[Row], start_ts, key: &[u8]| {
        MvccTxn::new(&*reader(rows), start_ts).most_recent_write(key).unwrap()
    };
    let put = Write { kind: WriteKind::Put, start_ts: 50 };
    assert_eq!(newest(&[], 50, KEY), None);
    assert_eq!(newest(&two(), 50, KEY), Some((put, 52)));
    assert_eq!(newest(&two(), 50, &[16]), None, "the beginning of a key is another key");
    let deleted = newest(&deleted(), 50, KEY);
    assert_eq!(deleted, Some((Write { kind: WriteKind::Delete, start_ts: 50 }, 52)));
    assert_eq!(newest(&two(), 5000, KEY), Some((put, 52)));
    assert_eq!(newest(&two(), 1, KEY), Some((put, 52)), "whatever the transaction's own start");
}
