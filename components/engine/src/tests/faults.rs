//! What only the faulty engine does: forget, fail, stall.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::model::{self, Model};
use crate::Durability::{Synced, Unsynced};
use crate::{Cf, Durability, Engine, Error, Faults, Faulty, Layout, WriteBatch};

fn put(key: &'static str) -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.put(Cf::Default, key.as_bytes(), &b"value"[..]);
    batch
}

fn has(engine: &Faulty, key: &str) -> bool {
    engine.get(Cf::Default, key.as_bytes()).unwrap().is_some()
}

proptest! {
    /// Whatever was written: a crash keeps all that was synced, then a prefix of the rest.
    #[test]
    fn a_crash_forgets_only_the_newest_unsynced_batches(
        writes in vec((vec(model::change(Layout::Kv), 0..4), model::durability()), 0..20),
        keep in any::<prop::sample::Index>(),
    ) {
        let engine = Faulty::new(Layout::Kv, Faults::none());
        let mut states = vec![Model::default()];
        let mut synced = 0;
        for (changes, durability) in &writes {
            engine.write(&model::batch_of(changes), *durability).unwrap();
            let mut state = states[states.len() - 1].clone();
            state.apply(changes);
            states.push(state);
            if *durability == Durability::Synced {
                synced = states.len() - 1;
            }
        }
        prop_assert_eq!(engine.pending_batches(), states.len() - 1 - synced);
        let keep = keep.index(engine.pending_batches() + 1);
        let restarted = engine.crash(keep);
        states[synced + keep].check(Layout::Kv, &*restarted.snapshot().unwrap());
        prop_assert!(engine.get(Cf::Default, b"a").unwrap_err().is_poisoned());

        let again = restarted.crash(0);
        states[synced + keep].check(Layout::Kv, &*again.snapshot().unwrap());
    }
}

#[test]
fn files_that_were_taken_in_survive_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Faulty::new(Layout::Kv, Faults::none());
    engine.write(&put("before"), Unsynced).unwrap();
    let path = dir.path().join("file");
    let mut writer = engine.sst_writer(Cf::Default, &path).unwrap();
    writer.put(b"file", b"value").unwrap();
    writer.finish().unwrap();
    engine.ingest(Cf::Default, &[path]).unwrap();
    engine.write(&put("after"), Unsynced).unwrap();

    let restarted = engine.crash(1);
    assert!(has(&restarted, "before") && has(&restarted, "file") && !has(&restarted, "after"));
    let engine = restarted.crash(0);
    assert!(has(&engine, "before") && has(&engine, "file"), "what a crash kept is durable");
}

#[test]
fn a_failed_sync_poisons_the_engine() {
    let faults = Faults::none();
    let engine = Faulty::new(Layout::Kv, Arc::clone(&faults));
    faults.fail_sync_after(1);
    engine.write(&put("first"), Synced).unwrap();
    let error = engine.write(&put("second"), Synced).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    let dir = tempfile::tempdir().unwrap();
    let later = [
        engine.write(&put("third"), Unsynced),
        engine.sync(),
        engine.flush(),
        engine.get(Cf::Default, b"first").map(drop),
        engine.snapshot().map(drop),
        engine.ingest(Cf::Default, &[]),
        engine.sst_writer(Cf::Default, &dir.path().join("file")).map(drop),
        engine.checkpoint(&dir.path().join("checkpoint")),
        engine.approximate_size(Cf::Default, crate::KeyRange::ALL).map(drop),
    ];
    for outcome in later {
        let error = outcome.unwrap_err();
        assert!(error.is_poisoned(), "{error}");
        assert!(error.to_string().contains("while syncing"), "the first reason: {error}");
    }
    assert!(has(&engine.crash(0), "first"), "what was synced before the failure stays");
}

#[test]
fn a_failed_write_poisons_the_engine_and_writes_nothing() {
    let faults = Faults::none();
    let engine = Faulty::new(Layout::Kv, Arc::clone(&faults));
    faults.fail_write_after(1);
    engine.write(&put("first"), Unsynced).unwrap();
    assert!(engine.write(&put("second"), Unsynced).is_err());
    assert!(engine.write(&put("third"), Unsynced).unwrap_err().is_poisoned());
    let restarted = engine.crash(usize::MAX);
    assert!(has(&restarted, "first") && !has(&restarted, "second") && !has(&restarted, "third"));
    restarted.write(&put("fourth"), Synced).unwrap();
}

#[test]
fn reads_that_fail_do_not_poison() {
    let faults = Faults::none();
    let engine = Faulty::new(Layout::Kv, Arc::clone(&faults));
    engine.write(&put("key"), Synced).unwrap();
    faults.set_reads_fail(true);
    assert!(engine.get(Cf::Default, b"key").unwrap_err().is_corrupt());
    let snapshot = engine.snapshot().unwrap();
    assert!(snapshot.get(Cf::Default, b"key").unwrap_err().is_corrupt());
    assert!(snapshot.get_many(Cf::Default, &[b"key"]).unwrap_err().is_corrupt());
    let mut cursor = snapshot.cursor(Cf::Default, crate::KeyRange::ALL).unwrap();
    assert!(cursor.seek_to_first().unwrap_err().is_corrupt());
    let mut sweep = snapshot.sweep(Cf::Default, crate::KeyRange::ALL).unwrap();
    assert!(sweep.seek_to_first().unwrap_err().is_corrupt());
    faults.set_reads_fail(false);
    assert!(cursor.seek_to_first().unwrap());
    faults.set_reads_fail(true);
    assert!(cursor.next().is_err() && !cursor.is_valid(), "an error leaves it nowhere");
    faults.set_reads_fail(false);
    assert!(has(&engine, "key"));
}

#[test]
fn a_stalled_disk_holds_writers_and_not_readers() {
    let faults = Faults::none();
    let engine = Faulty::new(Layout::Kv, Arc::clone(&faults));
    engine.write(&put("before"), Synced).unwrap();
    faults.stall();
    std::thread::scope(|threads| {
        let writer = threads.spawn(|| engine.write(&put("held"), Synced));
        assert!(has(&engine, "before"), "readers go on");
        assert!(!has(&engine, "held"), "nothing is written while the disk stalls");
        faults.resume();
        writer.join().unwrap().unwrap();
    });
    assert!(has(&engine, "held"));
}
