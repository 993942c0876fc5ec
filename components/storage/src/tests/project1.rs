//! The course's tests of project 1: raw calls over one engine. It is RocksDB if that is compiled in.

use std::sync::Arc;

use bytes::Bytes;
use engine::{Cf, Engine, KeyRange, WriteBatch};
use proto::kvrpcpb::Context;

use super::fixture::wait;
use crate::storage::{Changes, Reader};
use crate::{Kv, Limits, Standalone};

struct Server {
    kv: Kv,
    #[cfg(feature = "rocksdb")]
    _dir: tempfile::TempDir,
}

#[cfg(feature = "rocksdb")]
fn server() -> Server {
    use engine::{Config, Layout, OpenMode, Recovery, Rocks};
    let dir = tempfile::tempdir().unwrap();
    let mode = OpenMode::CreateIfMissing;
    let config = Config::default();
    let rocks = Rocks::open(dir.path(), Layout::Kv, &config, mode, Recovery::PointInTime).unwrap();
    Server { kv: kv(Arc::new(rocks)), _dir: dir }
}

#[cfg(not(feature = "rocksdb"))]
fn server() -> Server {
    Server { kv: kv(Arc::new(engine::Memory::new(engine::Layout::Kv))) }
}

fn kv(engine: Arc<dyn Engine>) -> Kv {
    Kv::new(Arc::new(Standalone::unsynced(engine).unwrap()), Limits::default())
}

fn bytes(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

impl Server {
    fn reader(&self) -> Arc<dyn Reader> {
        wait(self.kv.storage().snapshot(&Context::default())).unwrap()
    }

    /// Puts past the calls that are tested.
    fn set(&self, key: &[u8], value: &[u8]) {
        let mut batch = WriteBatch::new();
        batch.put(Cf::Default, bytes(key), bytes(value));
        wait(self.kv.storage().write(&Context::default(), Changes::blind(batch))).unwrap();
    }

    /// The keys from `first` to `last`, with values by which they can be told.
    fn fill(&self, first: u8, last: u8) {
        (first..=last).for_each(|key| self.set(&[key], &[233, key]));
    }

    fn raw_get(&self, cf: &str, key: &[u8]) -> Option<Bytes> {
        wait(self.kv.raw_get(&Context::default(), cf, bytes(key))).unwrap()
    }

    fn raw_put(&self, cf: &str, key: &[u8], value: &[u8]) {
        wait(self.kv.raw_put(&Context::default(), cf, bytes(key), bytes(value))).unwrap();
    }

    fn raw_delete(&self, key: &[u8]) {
        wait(self.kv.raw_delete(&Context::default(), "default", bytes(key))).unwrap();
    }

    fn raw_scan(&self, start: &[u8], limit: u32) -> Vec<(Bytes, Bytes)> {
        wait(self.kv.raw_scan(&Context::default(), "default", bytes(start), limit)).unwrap()
    }
}

/// The pairs that `fill` puts.
fn pairs(keys: &[u8]) -> Vec<(Bytes, Bytes)> {
    keys.iter().map(|key| (bytes(&[*key]), bytes(&[233, *key]))).collect()
}

#[test]
fn raw_get() {
    let server = server();
    server.set(&[99], &[42]);
    assert_eq!(server.raw_get("default", &[99]), Some(bytes(&[42])));
}

#[test]
fn raw_get_not_found() {
    assert_eq!(server().raw_get("default", &[99]), None);
}

#[test]
fn raw_put() {
    let server = server();
    server.raw_put("default", &[99], &[42]);
    assert_eq!(server.reader().get(Cf::Default, &[99]).unwrap(), Some(bytes(&[42])));
}

#[test]
fn raw_get_after_raw_put() {
    let server = server();
    server.raw_put("default", &[99], &[42]);
    server.raw_put("write", &[99], &[44]);
    assert_eq!(server.raw_get("default", &[99]), Some(bytes(&[42])));
    assert_eq!(server.raw_get("write", &[99]), Some(bytes(&[44])));
}

#[test]
fn raw_get_after_raw_delete() {
    let server = server();
    server.set(&[99], &[42]);
    server.raw_delete(&[99]);
    assert_eq!(server.raw_get("default", &[99]), None);
}

#[test]
fn raw_delete() {
    let server = server();
    server.set(&[99], &[42]);
    server.raw_delete(&[99]);
    assert_eq!(server.reader().get(Cf::Default, &[99]).unwrap(), None);
}

#[test]
fn raw_scan() {
    let server = server();
    server.fill(1, 5);
    assert_eq!(server.raw_scan(&[1], 3), pairs(&[1, 2, 3]));
}

#[test]
fn raw_scan_after_raw_put() {
    let server = server();
    server.fill(1, 4);
    server.raw_put("default", &[5], &[233, 5]);
    assert_eq!(server.raw_scan(&[1], 10), pairs(&[1, 2, 3, 4, 5]));
}

#[test]
fn raw_scan_after_raw_delete() {
    let server = server();
    server.fill(1, 4);
    server.raw_delete(&[3]);
    assert_eq!(server.raw_scan(&[1], 10), pairs(&[1, 2, 4]));
}

#[test]
fn iter_with_raw_delete() {
    let server = server();
    server.fill(1, 4);
    let reader = server.reader();
    let mut cursor = reader.cursor(Cf::Default, KeyRange::ALL).unwrap();
    server.raw_delete(&[3]);
    let mut seen = Vec::new();
    let mut is_valid = cursor.seek(&[1]).unwrap();
    while is_valid {
        seen.push((bytes(cursor.key()), bytes(cursor.value())));
        is_valid = cursor.next().unwrap();
    }
    assert_eq!(seen, pairs(&[1, 2, 3, 4]));
}
