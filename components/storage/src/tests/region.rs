//! The seam from the other side: a storage with regions, small enough to read, and what commands must do
//! so that it works.
//!
//! Two regions share an engine and are cut at an encoded key. Locks lie under encoded keys, so that each
//! lies in the region of its key; the reader encodes and decodes on the way, and shows only what is inside.

use std::sync::Arc;

use bytes::Bytes;
use engine::{Cf, Cursor, Durability, Engine, KeyRange, Layout, Memory, Op, WriteBatch};
use proto::kvrpcpb::Context;
use proto::metapb::RegionEpoch;

use super::fixture::{delete, keys, put, wait};
use crate::mvcc::{Direction, Row, TS_MAX, decode_user_key, encode_user_key};
use crate::storage::{Changes, Pending, Reader, Stamp, Storage};
use crate::txn::{
    CheckStatus, Commit, Get, Mutation, Prewrite, ResolveLock, Rollback, Scan, Status,
};
use crate::{Error, Kv, Limits, RegionError, Result};

/// Where the regions are cut.
const BORDER: &[u8] = b"m";

#[derive(Clone)]
struct Region {
    id: u64,
    start: Bytes,
    end: Bytes,
}

impl Region {
    fn check(&self, key: &[u8]) -> Result<()> {
        if KeyRange::new(&self.start, &self.end).contains(key) {
            return Ok(());
        }
        let (start, end) = (self.start.clone(), self.end.clone());
        let key = Bytes::copy_from_slice(key);
        Err(RegionError::KeyNotInRegion { key, region: self.id, start, end }.into())
    }

    /// The part of a range that lies inside.
    fn clip(&self, range: KeyRange<'_>) -> (Bytes, Bytes) {
        let start = self.start.as_ref().max(range.start);
        let end = match (self.end.is_empty(), range.end.is_empty()) {
            (true, _) => range.end,
            (false, true) => self.end.as_ref(),
            (false, false) => self.end.as_ref().min(range.end),
        };
        (Bytes::copy_from_slice(start), Bytes::copy_from_slice(end))
    }
}

/// A lock key as regions order it.
fn lock_key(user_key: &[u8]) -> Bytes {
    encode_user_key(user_key).into()
}

struct RegionStorage {
    engine: Arc<dyn Engine>,
    region: Region,
    stamp: Stamp,
}

impl Storage for RegionStorage {
    fn snapshot<'a>(&'a self, _context: &'a Context) -> Pending<'a, Arc<dyn Reader>> {
        let snapshot = self.engine.snapshot().unwrap();
        let (region, stamp) = (self.region.clone(), self.stamp);
        let reader: Arc<dyn Reader> = Arc::new(RegionReader { snapshot, region, stamp });
        Box::pin(std::future::ready(Ok(reader)))
    }

    fn write<'a>(&'a self, _context: &'a Context, changes: Changes) -> Pending<'a, ()> {
        assert_eq!(changes.stamp, self.stamp, "a write says what it was computed from");
        let encode = |cf: Cf, key: &Bytes| if cf == Cf::Lock { lock_key(key) } else { key.clone() };
        let mut batch = WriteBatch::new();
        for op in changes.batch.ops() {
            match op {
                Op::Put { cf, key, value } => batch.put(*cf, encode(*cf, key), value.clone()),
                Op::Delete { cf, key } => batch.delete(*cf, encode(*cf, key)),
                Op::DeleteRange { .. } => panic!("a command deletes key by key"),
            }
        }
        for op in batch.ops() {
            if let Op::Put { key, .. } | Op::Delete { key, .. } = op {
                self.region.check(key).expect("commands check their keys before they decide");
            }
        }
        self.engine.write(&batch, Durability::Unsynced).unwrap();
        Box::pin(std::future::ready(Ok(())))
    }

    fn raw_families(&self) -> &'static [Cf] {
        &[Cf::Default]
    }

    fn safe_point(&self) -> u64 {
        0
    }

    fn raise_safe_point(&self, _safe_point: u64) -> Pending<'_, u64> {
        Box::pin(std::future::ready(Ok(0)))
    }
}

struct RegionReader {
    snapshot: Arc<dyn engine::Snapshot>,
    region: Region,
    stamp: Stamp,
}

impl Reader for RegionReader {
    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn check(&self, region_key: &[u8]) -> Result<()> {
        self.region.check(region_key)
    }

    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>> {
        let key = if cf == Cf::Lock { lock_key(key) } else { Bytes::copy_from_slice(key) };
        self.region.check(&key)?;
        Ok(self.snapshot.get(cf, &key)?)
    }

    fn cursor<'a>(&'a self, cf: Cf, range: KeyRange<'_>) -> Result<Box<dyn Cursor + 'a>> {
        if cf != Cf::Lock {
            let (start, end) = self.region.clip(range);
            return Ok(self.snapshot.cursor(cf, KeyRange::new(&start, &end))?);
        }
        let encode = |key: &[u8]| if key.is_empty() { Bytes::new() } else { lock_key(key) };
        let (start, end) = (encode(range.start), encode(range.end));
        let (start, end) = self.region.clip(KeyRange::new(&start, &end));
        let inner = self.snapshot.cursor(cf, KeyRange::new(&start, &end))?;
        Ok(Box::new(LockCursor { inner, key: Vec::new() }))
    }
}

/// A cursor over encoded lock keys that shows user keys.
struct LockCursor<'a> {
    inner: Box<dyn Cursor + 'a>,
    key: Vec<u8>,
}

impl LockCursor<'_> {
    fn note(&mut self, is_valid: bool) -> bool {
        self.key = if is_valid { decode_user_key(self.inner.key()).unwrap() } else { Vec::new() };
        is_valid
    }
}

impl Cursor for LockCursor<'_> {
    fn seek_to_first(&mut self) -> engine::Result<bool> {
        let is_valid = self.inner.seek_to_first()?;
        Ok(self.note(is_valid))
    }

    fn seek_to_last(&mut self) -> engine::Result<bool> {
        let is_valid = self.inner.seek_to_last()?;
        Ok(self.note(is_valid))
    }

    fn seek(&mut self, key: &[u8]) -> engine::Result<bool> {
        let is_valid = self.inner.seek(&encode_user_key(key))?;
        Ok(self.note(is_valid))
    }

    fn seek_for_prev(&mut self, key: &[u8]) -> engine::Result<bool> {
        let is_valid = self.inner.seek_for_prev(&encode_user_key(key))?;
        Ok(self.note(is_valid))
    }

    fn next(&mut self) -> engine::Result<bool> {
        let is_valid = self.inner.next()?;
        Ok(self.note(is_valid))
    }

    fn prev(&mut self) -> engine::Result<bool> {
        let is_valid = self.inner.prev()?;
        Ok(self.note(is_valid))
    }

    fn is_valid(&self) -> bool {
        self.inner.is_valid()
    }

    fn key(&self) -> &[u8] {
        &self.key
    }

    fn value(&self) -> &[u8] {
        self.inner.value()
    }

    fn entry(&self) -> (&[u8], &[u8]) {
        (&self.key, self.inner.value())
    }
}

/// The regions before and after the border.
fn regions() -> (Kv, Kv) {
    let engine: Arc<dyn Engine> = Arc::new(Memory::new(Layout::Kv));
    let border = Bytes::from(encode_user_key(BORDER));
    let stamp = Stamp { term: 5, epoch: RegionEpoch { conf_ver: 1, version: 2 } };
    let kv = |id, start: &Bytes, end: &Bytes| {
        let region = Region { id, start: start.clone(), end: end.clone() };
        let storage = RegionStorage { engine: Arc::clone(&engine), region, stamp };
        Kv::new(Arc::new(storage), Limits::default())
    };
    (kv(1, &Bytes::new(), &border), kv(2, &border, &Bytes::new()))
}

fn prewrite(kv: &Kv, mutations: &[Mutation], start_ts: u64) -> Result<()> {
    let (mutations, primary) = (mutations.to_vec(), Bytes::from_static(b"a"));
    let prewrite = Prewrite { mutations, primary, start_ts, ttl: 0 };
    let refused = wait(kv.run(&Context::default(), prewrite))?;
    assert_eq!(refused, []);
    Ok(())
}

fn scan(kv: &Kv, start: &'static [u8], direction: Direction) -> Result<Vec<Row>> {
    let start = Bytes::from_static(start);
    wait(kv.read(&Context::default(), Scan { start, limit: 100, version: 100, direction }))
}

fn shown(rows: &[Row]) -> Vec<String> {
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    rows.iter()
        .map(|row| match row {
            Row::Value { key, value } => format!("{}={}", text(key), text(value)),
            Row::Locked(locked) => format!("{} locked", text(&locked.key)),
        })
        .collect()
}

#[test]
fn a_key_outside_of_the_region_is_refused_by_every_command() {
    let (_, kv) = regions();
    let region = Context::default();
    // As raw bytes, "l" and its longer neighbours are before the border, too; "z" is inside.
    for outside in [&b"l"[..], b"a", b"lzzzzzzzzzzzz"] {
        let both = || keys(&[b"z", outside]);
        let one = || Bytes::copy_from_slice(outside);
        let results = [
            prewrite(&kv, &[delete(b"z"), put(outside, b"v")], 10),
            wait(kv.run(&region, Commit { keys: both(), start_ts: 10, commit_ts: 11 })),
            wait(kv.rollback(&region, Rollback { keys: both(), start_ts: 10 })),
            wait(kv.run(&region, CheckStatus { primary: one(), lock_ts: 10, current_ts: 11 }))
                .map(drop),
            wait(kv.read(&region, Get { key: one(), version: 11 })).map(drop),
            wait(kv.raw_get(&region, "", one())).map(drop),
            wait(kv.raw_scan(&region, "", one(), 1)).map(drop),
            scan(&kv, b"a", Direction::Forward).map(drop),
            scan(&kv, b"", Direction::Forward).map(drop),
        ];
        for (number, result) in results.into_iter().enumerate() {
            let Err(Error::Region(error)) = result else { panic!("{number}: {result:?}") };
            assert!(matches!(*error, RegionError::KeyNotInRegion { region: 2, .. }), "{error}");
        }
    }
    assert!(scan(&kv, BORDER, Direction::Forward).unwrap().is_empty(), "nothing was written");
}

#[test]
fn a_transaction_over_two_regions_is_resolved_in_each_by_itself() {
    let (left, right) = regions();
    let region = Context::default();
    // Locks of keys just before and at the border, where raw and encoded keys sort differently.
    prewrite(&left, &[put(b"a", b"1"), put(b"lzzzzzzzzz", b"1")], 10).unwrap();
    prewrite(&right, &[put(b"m", b"1"), put(b"mmmmmmmmmmmm", b"1")], 10).unwrap();
    let found = shown(&scan(&right, b"m", Direction::Forward).unwrap());
    assert_eq!(found, ["m locked", "mmmmmmmmmmmm locked"]);

    let commit = Commit { keys: keys(&[b"a"]), start_ts: 10, commit_ts: 12 };
    wait(left.run(&region, commit)).unwrap();
    let check = CheckStatus { primary: "a".into(), lock_ts: 10, current_ts: TS_MAX };
    let status = wait(left.run(&region, check)).unwrap();
    assert_eq!(status, Status::Committed { commit_ts: 12 });

    wait(right.resolve_lock(&region, ResolveLock::new(10, Some(12)))).unwrap();
    assert_eq!(shown(&scan(&right, b"m", Direction::Forward).unwrap()), ["m=1", "mmmmmmmmmmmm=1"]);
    let found = shown(&scan(&left, b"", Direction::Forward).unwrap());
    assert_eq!(found, ["a=1", "lzzzzzzzzz locked"], "the other region has its own locks");
    wait(left.resolve_lock(&region, ResolveLock::new(10, Some(12)))).unwrap();
    let found = shown(&scan(&left, b"", Direction::Reverse).unwrap());
    assert_eq!(found, ["lzzzzzzzzz=1", "a=1"], "and a scan ends where its region does");
}
