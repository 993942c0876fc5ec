//! The contract of `storage.rs`, sentence by sentence, on every storage there is.

use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};

use engine::{Cf, Engine, Faults, Faulty, KeyRange, Layout, Memory, WriteBatch};
use proto::kvrpcpb::Context;
use runtime::worker::Inline;

use super::fixture::{keys, wait};
use crate::storage::{Changes, Pending, Storage};
use crate::txn::Latches;
use crate::{Error, GroupWriter, RegionError, Stamp, Standalone};

/// A storage, and what has to happen for its writes to come to an end.
pub(super) struct Subject {
    pub(super) storage: Box<dyn Storage>,
    /// Does what is due, until nothing is.
    pub(super) turn: Box<dyn Fn()>,
    /// The region that requests are for.
    pub(super) region: Context,
}

impl Subject {
    /// Waits for a call while the storage does its work.
    pub(super) fn wait<T>(&self, mut pending: Pending<'_, T>) -> crate::Result<T> {
        let mut context = TaskContext::from_waker(Waker::noop());
        for _ in 0..1000 {
            if let Poll::Ready(value) = pending.as_mut().poll(&mut context) {
                return value;
            }
            (self.turn)();
        }
        panic!("the storage does not answer");
    }

    fn write(&self, batch: WriteBatch) -> crate::Result<()> {
        self.wait(self.storage.write(&self.region, Changes::blind(batch)))
    }

    fn get(&self, cf: Cf, key: &[u8]) -> Option<Vec<u8>> {
        let reader = self.wait(self.storage.snapshot(&self.region)).unwrap();
        reader.get(cf, key).unwrap().map(|value| value.to_vec())
    }
}

fn unsynced(engine: Arc<dyn Engine>) -> Subject {
    let storage = Box::new(Standalone::unsynced(engine).unwrap());
    Subject { storage, turn: Box::new(|| {}), region: Context::default() }
}

fn synced(engine: Arc<dyn Engine>) -> Subject {
    let (tasks, writer) = Inline::new(8, GroupWriter::new(Arc::clone(&engine)));
    let writer = Mutex::new(writer);
    let turn = Box::new(move || {
        writer.lock().unwrap().run_all();
    });
    let storage = Box::new(Standalone::synced(engine, tasks).unwrap());
    Subject { storage, turn, region: Context::default() }
}

fn memory() -> Arc<dyn Engine> {
    Arc::new(Memory::new(Layout::Kv))
}

fn put(cf: Cf, pairs: &[(&'static str, &'static str)]) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for (key, value) in pairs {
        batch.put(cf, *key, *value);
    }
    batch
}

/// Runs every case on every storage, as a test each.
macro_rules! contract {
    ($($case:ident)+) => {
        mod in_memory {
            $( #[test] fn $case() { super::$case(&super::unsynced(super::memory())); } )+
        }
        mod grouped {
            $( #[test] fn $case() { super::$case(&super::synced(super::memory())); } )+
        }
        mod replicated {
            $( #[test] fn $case() { super::$case(&crate::tests::replicated::subject()); } )+
        }
        #[cfg(feature = "rocksdb")]
        mod rocks {
            $( #[test] fn $case() { super::on_rocks(super::unsynced, super::$case); } )+
        }
        #[cfg(feature = "rocksdb")]
        mod rocks_grouped {
            $( #[test] fn $case() { super::on_rocks(super::synced, super::$case); } )+
        }
    };
}

#[cfg(feature = "rocksdb")]
fn on_rocks(open: fn(Arc<dyn Engine>) -> Subject, case: fn(&Subject)) {
    use engine::{Config, OpenMode, Recovery, Rocks};
    let dir = tempfile::tempdir().unwrap();
    let (mode, recovery) = (OpenMode::CreateIfMissing, Recovery::PointInTime);
    let rocks = Rocks::open(dir.path(), Layout::Kv, &Config::default(), mode, recovery);
    case(&open(Arc::new(rocks.unwrap())));
}

contract! {
    a_reader_does_not_move
    what_was_acknowledged_is_seen
    changes_are_atomic
    families_are_apart
    a_cursor_walks_its_range_both_ways
    latches_outlive_the_caller_until_the_write_is_decided
    the_safe_point_only_rises
}

fn a_reader_does_not_move(subject: &Subject) {
    subject.write(put(Cf::Default, &[("a", "1")])).unwrap();
    let reader = subject.wait(subject.storage.snapshot(&subject.region)).unwrap();
    subject.write(put(Cf::Default, &[("a", "2"), ("b", "2")])).unwrap();
    assert_eq!(reader.get(Cf::Default, b"a").unwrap().unwrap(), "1");
    assert_eq!(reader.get(Cf::Default, b"b").unwrap(), None);
    let mut cursor = reader.cursor(Cf::Default, KeyRange::ALL).unwrap();
    assert!(cursor.seek_to_first().unwrap());
    assert_eq!((cursor.key(), cursor.value()), (&b"a"[..], &b"1"[..]));
    assert!(!cursor.next().unwrap());
    assert!(reader.check(b"any key").is_ok(), "a region of all keys");
}

fn what_was_acknowledged_is_seen(subject: &Subject) {
    for value in ["1", "2", "3"] {
        subject.write(put(Cf::Write, &[("a", value)])).unwrap();
        assert_eq!(subject.get(Cf::Write, b"a").unwrap(), value.as_bytes());
    }
}

fn changes_are_atomic(subject: &Subject) {
    subject.write(put(Cf::Default, &[("a", "1")])).unwrap();
    let mut batch = put(Cf::Lock, &[("a", "locked")]);
    batch.delete(Cf::Default, "a");
    batch.put(Cf::Default, "b", "");
    let region = subject.region;
    let mut pending = subject.storage.write(&region, Changes::blind(batch));
    // Whatever is seen meanwhile, it is all of it or nothing.
    for _ in 0..3 {
        let seen = [subject.get(Cf::Default, b"b"), subject.get(Cf::Lock, b"a")];
        assert_eq!(seen[0].is_some(), seen[1].is_some());
        assert_eq!(seen[0].is_some(), subject.get(Cf::Default, b"a").is_none());
        (subject.turn)();
    }
    let mut context = TaskContext::from_waker(Waker::noop());
    assert!(pending.as_mut().poll(&mut context).is_ready());
    assert_eq!(subject.get(Cf::Default, b"b"), Some(Vec::new()), "an empty value is a value");
}

fn families_are_apart(subject: &Subject) {
    for cf in Cf::DATA {
        subject.write(put(cf, &[("a", cf.name())])).unwrap();
    }
    for cf in Cf::DATA {
        assert_eq!(subject.get(cf, b"a").unwrap(), cf.name().as_bytes());
    }
}

fn a_cursor_walks_its_range_both_ways(subject: &Subject) {
    let pairs = [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")];
    subject.write(put(Cf::Write, &pairs)).unwrap();
    let reader = subject.wait(subject.storage.snapshot(&subject.region)).unwrap();
    let mut cursor = reader.cursor(Cf::Write, KeyRange::new(b"b", b"d")).unwrap();
    assert!(cursor.seek(b"").unwrap());
    assert_eq!(cursor.key(), b"b");
    assert!(cursor.next().unwrap());
    assert!(!cursor.next().unwrap());
    assert!(cursor.seek_for_prev(b"z").unwrap());
    assert_eq!(cursor.key(), b"c");
    assert!(cursor.prev().unwrap());
    assert!(!cursor.prev().unwrap());
}

fn latches_outlive_the_caller_until_the_write_is_decided(subject: &Subject) {
    let latches = Latches::new(10);
    let held = latches.try_acquire(keys(&[b"a"])).unwrap();
    let batch = put(Cf::Default, &[("a", "1")]);
    let changes = Changes { stamp: Stamp::NONE, batch, latches: Some(held) };
    // The client goes away before its write has been done.
    drop(subject.storage.write(&subject.region, changes));
    if subject.get(Cf::Default, b"a").is_none() {
        assert!(latches.try_acquire(keys(&[b"a"])).is_none(), "the write is still to come");
        (subject.turn)();
    }
    assert_eq!(subject.get(Cf::Default, b"a").unwrap(), b"1");
    assert!(latches.try_acquire(keys(&[b"a"])).is_some());
}

fn the_safe_point_only_rises(subject: &Subject) {
    assert_eq!(subject.storage.safe_point(), 0);
    assert_eq!(subject.wait(subject.storage.raise_safe_point(7)).unwrap(), 7);
    assert_eq!(subject.wait(subject.storage.raise_safe_point(5)).unwrap(), 7);
    assert_eq!(subject.storage.safe_point(), 7);
}

#[test]
fn the_safe_point_survives_a_power_cut_and_a_damaged_one_is_refused() {
    let engine = Arc::new(Faulty::new(Layout::Kv, Faults::none()));
    let storage = Standalone::unsynced(Arc::clone(&engine) as _).unwrap();
    wait(storage.raise_safe_point(7)).unwrap();
    let engine = Arc::new(engine.crash(0));
    assert_eq!(Standalone::unsynced(Arc::clone(&engine) as _).unwrap().safe_point(), 7);

    let mut batch = WriteBatch::new();
    batch.put(Cf::Local, &b"\x01gc-safe-point"[..], "seven");
    engine.write(&batch, engine::Durability::Unsynced).unwrap();
    let error = Standalone::unsynced(engine).err().unwrap();
    assert!(matches!(error, Error::Corrupt { record: "safe point", .. }), "{error}");
}

#[test]
fn what_a_group_acknowledged_survives_a_power_cut_and_costs_one_sync() {
    let engine = Arc::new(Faulty::new(Layout::Kv, Faults::none()));
    let subject = synced(Arc::clone(&engine) as _);
    let region = Context::default();
    let first = subject.storage.write(&region, Changes::blind(put(Cf::Default, &[("a", "1")])));
    let second = subject.storage.write(&region, Changes::blind(put(Cf::Default, &[("b", "2")])));
    (subject.turn)();
    wait(first).unwrap();
    wait(second).unwrap();
    let engine = engine.crash(0);
    assert_eq!(engine.get(Cf::Default, b"a").unwrap().unwrap(), "1");
    assert_eq!(engine.get(Cf::Default, b"b").unwrap().unwrap(), "2");
}

#[test]
fn a_full_queue_is_busy_and_a_failed_sync_is_told_to_all() {
    let faults = Faults::none();
    let engine = Arc::new(Faulty::new(Layout::Kv, Arc::clone(&faults)));
    let subject = synced(engine);
    let region = Context::default();
    let write = || subject.storage.write(&region, Changes::blind(put(Cf::Default, &[("a", "1")])));
    let mut pending: Vec<_> = (0..8).map(|_| write()).collect();
    let refused = wait(write()).unwrap_err();
    let Error::Region(refused) = refused else { panic!("{refused}") };
    assert!(matches!(*refused, RegionError::Busy(_)), "{refused}");

    faults.fail_sync_after(0);
    (subject.turn)();
    for pending in pending.drain(..) {
        let error = wait(pending).unwrap_err();
        assert!(matches!(error, Error::Engine(engine::Error::Poisoned { .. })), "{error}");
    }
}

#[test]
fn a_write_that_its_writer_dropped_has_an_unknown_fate() {
    let engine = memory();
    let (tasks, writer) = Inline::new(8, GroupWriter::new(Arc::clone(&engine)));
    let storage = Standalone::synced(engine, tasks).unwrap();
    let region = Context::default();
    let write = || storage.write(&region, Changes::blind(put(Cf::Default, &[("a", "1")])));
    let lost = write();
    drop(writer);
    let Error::Region(error) = wait(lost).unwrap_err() else { panic!("a region's error") };
    assert_eq!(*error, RegionError::StaleCommand);
    assert!(matches!(wait(write()).unwrap_err(), Error::Engine(_)), "certainly not written");
}
