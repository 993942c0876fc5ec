//! The course's tests of founding and of a peer's storage (`kv/raftstore/bootstrap_test.go`,
//! `peer_storage_test.go`).

use std::sync::Arc;

use engine::{Cf, Durability, Engine, Engines, KeyRange, Layout, Memory, WriteBatch};
use proto::eraftpb::Entry;
use proto::raft_serverpb::{RaftApplyState, RaftLocalState, RaftTruncatedState};
use proto::{RegionId, StoreId};
use raft::{Storage as _, StorageError};

use crate::storage::PeerStorage;
use crate::{bootstrap, keys, state};

const REGION: RegionId = RegionId::new(1);
const STORE: StoreId = StoreId::new(1);

fn engines() -> Engines {
    let memory = |layout| Arc::new(Memory::new(layout));
    Engines::new(memory(Layout::Kv), memory(Layout::Raft))
}

fn entry(index: u64, term: u64) -> Entry {
    Entry { index, term, data: vec![0].into(), ..Entry::default() }
}

fn entries(of: &[(u64, u64)]) -> Vec<Entry> {
    of.iter().map(|(index, term)| entry(*index, *term)).collect()
}

/// A storage with this log, of which the first entry is cut off and the last one applied. The disk has
/// the entries, and still the raft state that the region was founded with.
fn storage_with(log: &[(u64, u64)]) -> (PeerStorage, Engines) {
    let engines = engines();
    bootstrap::bootstrap_store(&engines, 1, STORE).unwrap();
    let region = bootstrap::prepare_bootstrap(&engines, STORE, REGION, 1.into()).unwrap();
    let (raft, applied) = (RaftLocalState::default(), RaftApplyState::default());
    let empty = PeerStorage::with(engines.clone(), region.clone(), raft, applied, 0);
    let raft = append(&empty, &engines, &log[1..]);
    let ((index, term), (last, last_term)) = (log[0], *log.last().unwrap());
    let truncated_state = Some(RaftTruncatedState { index, term });
    let applied = RaftApplyState { applied_index: last, truncated_state };
    (PeerStorage::with(engines.clone(), region, raft, applied, last_term), engines)
}

fn append(storage: &PeerStorage, engines: &Engines, log: &[(u64, u64)]) -> RaftLocalState {
    let mut batch = WriteBatch::new();
    let after = storage.append(&entries(log), &mut batch);
    engines.raft.write(&batch, Durability::Synced).unwrap();
    after
}

/// The same storage after more entries came.
fn appended(storage: &PeerStorage, engines: &Engines, log: &[(u64, u64)]) -> PeerStorage {
    let after = append(storage, engines, log);
    let mut batch = WriteBatch::new();
    state::put_raft_state(&mut batch, REGION, &after);
    engines.raft.write(&batch, Durability::Synced).unwrap();
    let applied = RaftApplyState {
        applied_index: storage.applied_index(),
        truncated_state: Some(storage.truncated()),
    };
    let (region, term) = (storage.region().clone(), storage.applied_term());
    PeerStorage::with(engines.clone(), region, after, applied, term)
}

fn count(engine: &dyn Engine, start: &[u8], end: &[u8]) -> usize {
    let snapshot = engine.snapshot().unwrap();
    let mut cursor = snapshot.cursor(Cf::Local, KeyRange::new(start, end)).unwrap();
    let mut is_valid = cursor.seek_to_first().unwrap();
    let mut count = 0;
    while is_valid {
        count += 1;
        is_valid = cursor.next().unwrap();
    }
    count
}

/// The keys of what the region is.
fn meta_keys(engines: &Engines) -> usize {
    count(&*engines.kv, &keys::region_state(REGION), &keys::region_state(RegionId::new(2)))
}

/// The keys of the region's log and its states, in one of the engines.
fn raft_keys(engine: &dyn Engine) -> usize {
    let (start, end) = keys::raft_range(REGION);
    count(engine, &start, &end)
}

#[test]
fn bootstrap_store() {
    let engines = engines();
    bootstrap::bootstrap_store(&engines, 1, STORE).unwrap();
    assert!(bootstrap::bootstrap_store(&engines, 1, STORE).is_err(), "the engine is not empty");
    let region = bootstrap::prepare_bootstrap(&engines, STORE, REGION, 1.into()).unwrap();
    assert_eq!(bootstrap::prepared(&engines).unwrap(), Some(region));
    assert!(state::region_state(&*engines.kv, REGION).unwrap().is_some());
    assert!(state::apply_state(&*engines.kv, REGION).unwrap().is_some());
    assert!(state::raft_state(&*engines.raft, REGION).unwrap().is_some());

    bootstrap::clear_prepare(&engines).unwrap();
    assert_eq!(bootstrap::prepared(&engines).unwrap(), None);
    bootstrap::clear_prepare_bootstrap(&engines, REGION).unwrap();
    assert_eq!((meta_keys(&engines), raft_keys(&*engines.kv)), (0, 0));
}

#[test]
fn peer_storage_term() {
    let (storage, _) = storage_with(&[(3, 3), (4, 4), (5, 5)]);
    assert!(matches!(storage.term(2), Err(StorageError::Compacted)));
    for index in 3..=5 {
        assert_eq!(storage.term(index).unwrap(), index);
    }
}

#[test]
fn peer_storage_clear_meta() {
    let (storage, engines) = storage_with(&[(3, 3), (4, 4)]);
    appended(&storage, &engines, &[(5, 5), (6, 6)]);
    assert_eq!((meta_keys(&engines), raft_keys(&*engines.raft)), (1, 4));
    bootstrap::clear_prepare_bootstrap(&engines, REGION).unwrap();
    assert_eq!((meta_keys(&engines), raft_keys(&*engines.raft)), (0, 0));
}

#[test]
fn peer_storage_entries() {
    let (storage, _) = storage_with(&[(3, 3), (4, 4), (5, 5), (6, 6)]);
    for (low, high) in [(2, 6), (3, 4)] {
        let found = storage.entries(low, high, u64::MAX);
        assert!(matches!(found, Err(StorageError::Compacted)), "{low}..{high}");
    }
    assert_eq!(storage.entries(4, 5, u64::MAX).unwrap(), entries(&[(4, 4)]));
    assert_eq!(storage.entries(4, 6, u64::MAX).unwrap(), entries(&[(4, 4), (5, 5)]));
}

#[test]
fn peer_storage_append() {
    for (log, expected) in [
        (&[(3, 3), (4, 4), (5, 5)][..], &[(4, 4), (5, 5)][..]),
        (&[(3, 3), (4, 6), (5, 6)], &[(4, 6), (5, 6)]),
        (&[(3, 3), (4, 4), (5, 5), (6, 5)], &[(4, 4), (5, 5), (6, 5)]),
        (&[(2, 3), (3, 3), (4, 5)], &[(4, 5)]),
        (&[(4, 5)], &[(4, 5)]),
        (&[(6, 5)], &[(4, 4), (5, 5), (6, 5)]),
    ] {
        let (storage, engines) = storage_with(&[(3, 3), (4, 4), (5, 5)]);
        let storage = appended(&storage, &engines, log);
        let found = storage.entries(4, storage.last_index() + 1, u64::MAX).unwrap();
        assert_eq!(found, entries(expected), "after {log:?}");
    }
}
