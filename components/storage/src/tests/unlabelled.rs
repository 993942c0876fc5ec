//! The course's tests of transactions and families that have no label.

use bytes::Bytes;
use engine::{Cf, Durability, Engine, KeyRange, Layout, Memory, WriteBatch};

use super::fixture::keys;
use crate::mvcc;
use crate::mvcc::decode_user_key;
use crate::txn::Latches;

#[test]
fn acquire_latches() {
    let latches = Latches::new(0);
    let mut first = latches.try_acquire(keys(&[&[], &[3], &[3, 0, 42]])).unwrap();
    assert!(latches.try_acquire(keys(&[&[]])).is_none());
    assert!(latches.try_acquire(keys(&[&[3, 0, 42]])).is_none());

    // The second of these is not held, and is ignored.
    first.release(keys(&[&[3], &[3, 0, 43]]));
    let second = latches.try_acquire(keys(&[&[3]]));
    assert!(second.is_some());
    assert!(latches.try_acquire(keys(&[&[3, 0, 42]])).is_none());
}

#[test]
fn encode_key() {
    let cases: [(&[u8], u64, [u8; 17]); 5] = [
        (&[], 0, [0, 0, 0, 0, 0, 0, 0, 0, 247, 255, 255, 255, 255, 255, 255, 255, 255]),
        (&[42], 0, [42, 0, 0, 0, 0, 0, 0, 0, 248, 255, 255, 255, 255, 255, 255, 255, 255]),
        (&[42, 0, 5], 0, [42, 0, 5, 0, 0, 0, 0, 0, 250, 255, 255, 255, 255, 255, 255, 255, 255]),
        (
            &[42],
            !43_543_258_743_295,
            [42, 0, 0, 0, 0, 0, 0, 0, 248, 0, 0, 39, 154, 52, 120, 65, 255],
        ),
        (&[42, 0, 5], !98_753_868, [42, 0, 5, 0, 0, 0, 0, 0, 250, 0, 0, 0, 0, 5, 226, 221, 76]),
    ];
    for (key, ts, bytes) in cases {
        assert_eq!(mvcc::encode_key(key, ts), bytes, "{key:?} {ts}");
    }
    assert!(mvcc::encode_key(&[42], 238) < mvcc::encode_key(&[200], 0));
    assert!(mvcc::encode_key(&[42], 238) < mvcc::encode_key(&[42, 0], 0));
}

#[test]
fn decode_key() {
    let cases: [(&[u8], u64); 5] = [
        (&[], 0),
        (&[42], 0),
        (&[42, 0, 5], 0),
        (&[42], 2_342_342_355_436_234),
        (&[42, 0, 5], 234_234),
    ];
    for (key, ts) in cases {
        assert_eq!(decode_user_key(&mvcc::encode_key(key, ts)).unwrap(), key);
    }
}

#[test]
fn engine_util() {
    let engine = Memory::new(Layout::Kv);
    let mut batch = WriteBatch::new();
    let mut put = |cf, key: &'static str, value: &'static str| {
        batch.put(cf, key.as_bytes(), value.as_bytes());
    };
    for (key, value) in [("a", "a1"), ("b", "b1"), ("c", "c1"), ("d", "d1")] {
        put(Cf::Default, key, value);
    }
    for (key, value) in [("a", "a2"), ("b", "b2"), ("d", "d2")] {
        put(Cf::Write, key, value);
    }
    for (key, value) in [("a", "a3"), ("c", "c3")] {
        put(Cf::Lock, key, value);
    }
    put(Cf::Default, "e", "e1");
    batch.delete(Cf::Default, "e");
    engine.write(&batch, Durability::Unsynced).unwrap();
    assert_eq!(engine.get(Cf::Default, b"e").unwrap(), None);

    let mut batch = WriteBatch::new();
    batch.put(Cf::Default, "e", "e2");
    engine.write(&batch, Durability::Unsynced).unwrap();
    assert_eq!(engine.get(Cf::Default, b"e").unwrap(), Some(Bytes::from("e2")));
    let mut batch = WriteBatch::new();
    batch.delete(Cf::Default, "e");
    engine.write(&batch, Durability::Unsynced).unwrap();
    assert_eq!(engine.get(Cf::Default, b"e").unwrap(), None);

    let snapshot = engine.snapshot().unwrap();
    let from = |cf, start: &[u8]| {
        let mut cursor = snapshot.cursor(cf, KeyRange::ALL).unwrap();
        let mut pairs = Vec::new();
        let mut is_valid = cursor.seek(start).unwrap();
        while is_valid {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            pairs.push(format!("{}={}", text(cursor.key()), text(cursor.value())));
            is_valid = cursor.next().unwrap();
        }
        pairs
    };
    assert_eq!(from(Cf::Default, b"a"), ["a=a1", "b=b1", "c=c1", "d=d1"]);
    assert_eq!(from(Cf::Write, b"b"), ["b=b2", "d=d2"]);
    assert!(from(Cf::Lock, b"d").is_empty());
}
