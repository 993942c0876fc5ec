//! What an engine should answer, said with an ordered map, and random work to compare the two with.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::subject::Subject;
use crate::{Cf, Cursor, Durability, Engine, KeyRange, Layout, Snapshot, WriteBatch};

type Key = Vec<u8>;
type Value = Vec<u8>;

/// The families as plain maps.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Model([BTreeMap<Key, Value>; Cf::ALL.len()]);

impl Model {
    pub(super) fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Put(cf, key, value) => {
                    self.0[cf.slot()].insert(key.clone(), value.clone());
                }
                Change::Delete(cf, key) => {
                    self.0[cf.slot()].remove(key);
                }
                Change::DeleteRange(cf, start, end) => {
                    let range = KeyRange::new(start, end);
                    self.0[cf.slot()].retain(|key, _| !range.contains(key));
                }
            }
        }
    }

    fn entries(&self, cf: Cf, range: KeyRange<'_>) -> Vec<(Key, Value)> {
        let inside = self.0[cf.slot()].iter().filter(|(key, _)| range.contains(key));
        inside.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Everything a snapshot shows is what the model holds, both ways and key by key.
    pub(super) fn check(&self, layout: Layout, snapshot: &dyn Snapshot) {
        for &cf in layout.families() {
            let expected = self.entries(cf, KeyRange::ALL);
            let mut cursor = snapshot.cursor(cf, KeyRange::ALL).unwrap();
            assert_eq!(forward(&mut *cursor), expected, "{cf} forward");
            let mut backward = backward(&mut *cursor);
            backward.reverse();
            assert_eq!(backward, expected, "{cf} backward");
            for (key, value) in &expected {
                let found = snapshot.get(cf, key).unwrap();
                assert_eq!(found.as_deref(), Some(value.as_slice()), "{cf} {key:?}");
            }
            let keys: Vec<_> = expected.iter().map(|(key, _)| key.as_slice()).collect();
            let found = snapshot.get_many(cf, &keys).unwrap();
            let found: Vec<_> = found.iter().map(|value| value.as_deref().unwrap()).collect();
            let values: Vec<_> = expected.iter().map(|(_, value)| value.as_slice()).collect();
            assert_eq!(found, values, "{cf} together");
        }
    }
}

pub(super) fn forward(cursor: &mut dyn Cursor) -> Vec<(Key, Value)> {
    let mut entries = Vec::new();
    let mut on_key = cursor.seek_to_first().unwrap();
    while on_key {
        let (key, value) = cursor.entry();
        entries.push((key.to_vec(), value.to_vec()));
        on_key = cursor.next().unwrap();
    }
    entries
}

pub(super) fn backward(cursor: &mut dyn Cursor) -> Vec<(Key, Value)> {
    let mut entries = Vec::new();
    let mut on_key = cursor.seek_to_last().unwrap();
    while on_key {
        entries.push((cursor.key().to_vec(), cursor.value().to_vec()));
        on_key = cursor.prev().unwrap();
    }
    entries
}

/// One operation of a batch.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Put(Cf, Key, Value),
    Delete(Cf, Key),
    DeleteRange(Cf, Key, Key),
}

pub(super) fn batch_of(changes: &[Change]) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for change in changes.iter().cloned() {
        match change {
            Change::Put(cf, key, value) => batch.put(cf, key, value),
            Change::Delete(cf, key) => batch.delete(cf, key),
            Change::DeleteRange(cf, start, end) => batch.delete_range(cf, start, end),
        }
    }
    batch
}

/// One step of random work.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Write(Vec<Change>, Durability),
    Sync,
    Flush,
    TakeSnapshot,
    DropSnapshot(prop::sample::Index),
    /// Moves a cursor about on some snapshot.
    Walk(prop::sample::Index, Cf, Key, Key, Vec<Move>),
    Ingest(Cf, BTreeMap<Key, Value>),
    /// Closes the engine and opens it again, where that keeps the content.
    Reopen,
}

#[derive(Clone, Debug)]
pub(super) enum Move {
    First,
    Last,
    Seek(Key),
    SeekForPrev(Key),
    Next,
    Prev,
}

/// Short keys of few letters, so that steps meet each other.
pub(super) fn key() -> impl Strategy<Value = Key> {
    vec(prop_oneof![Just(0x00), Just(b'a'), Just(b'b'), Just(0xff)], 0..4)
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![1 => Just(Vec::new()), 8 => vec(any::<u8>(), 1..6), 1 => vec(any::<u8>(), 300..301)]
}

fn cf(layout: Layout) -> impl Strategy<Value = Cf> {
    prop::sample::select(layout.families())
}

pub(super) fn change(layout: Layout) -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => (cf(layout), key(), value()).prop_map(|(cf, key, value)| Change::Put(cf, key, value)),
        3 => (cf(layout), key()).prop_map(|(cf, key)| Change::Delete(cf, key)),
        1 => (cf(layout), key(), key()).prop_map(|(cf, from, to)| Change::DeleteRange(cf, from, to)),
    ]
}

pub(super) fn durability() -> impl Strategy<Value = Durability> {
    prop_oneof![3 => Just(Durability::Unsynced), 1 => Just(Durability::Synced)]
}

fn step(layout: Layout) -> impl Strategy<Value = Step> {
    let moves = prop_oneof![
        1 => Just(Move::First),
        1 => Just(Move::Last),
        2 => key().prop_map(Move::Seek),
        2 => key().prop_map(Move::SeekForPrev),
        4 => Just(Move::Next),
        4 => Just(Move::Prev),
    ];
    prop_oneof![
        12 => (vec(change(layout), 0..6), durability()).prop_map(|(c, d)| Step::Write(c, d)),
        1 => Just(Step::Sync),
        1 => Just(Step::Flush),
        3 => Just(Step::TakeSnapshot),
        2 => any::<prop::sample::Index>().prop_map(Step::DropSnapshot),
        6 => (any::<prop::sample::Index>(), cf(layout), key(), key(), vec(moves, 1..12))
            .prop_map(|(index, cf, start, end, moves)| Step::Walk(index, cf, start, end, moves)),
        1 => (cf(layout), btree_map(key(), value(), 1..8)).prop_map(|(cf, e)| Step::Ingest(cf, e)),
        1 => Just(Step::Reopen),
    ]
}

pub(super) fn steps(layout: Layout) -> impl Strategy<Value = Vec<Step>> {
    vec(step(layout), 1..40)
}

/// An engine, what it should hold, and snapshots with what they should show.
struct Run<'a> {
    subject: &'a dyn Subject,
    dir: &'a Path,
    layout: Layout,
    engine: Arc<dyn Engine>,
    model: Model,
    snapshots: Vec<(Arc<dyn Snapshot>, Model)>,
    files: usize,
}

/// Does the work on both sides; fails at the first difference.
pub(super) fn compare(subject: &dyn Subject, layout: Layout, steps: &[Step]) {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("engine");
    let engine = subject.open(&home, layout);
    let (model, snapshots, files) = (Model::default(), Vec::new(), 0);
    let mut run = Run { subject, dir: dir.path(), layout, engine, model, snapshots, files };
    for step in steps {
        run.step(step);
    }
    run.take_snapshot();
    for (snapshot, model) in &run.snapshots {
        model.check(layout, &**snapshot);
    }
}

impl Run<'_> {
    fn take_snapshot(&mut self) {
        self.snapshots.push((self.engine.snapshot().unwrap(), self.model.clone()));
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Write(changes, durability) => {
                self.engine.write(&batch_of(changes), *durability).unwrap();
                self.model.apply(changes);
            }
            Step::Sync => self.engine.sync().unwrap(),
            Step::Flush => self.engine.flush().unwrap(),
            Step::TakeSnapshot => self.take_snapshot(),
            Step::DropSnapshot(index) => {
                if !self.snapshots.is_empty() {
                    self.snapshots.remove(index.index(self.snapshots.len()));
                }
            }
            Step::Walk(index, cf, start, end, moves) => {
                if self.snapshots.is_empty() {
                    self.take_snapshot();
                }
                let (snapshot, model) = &self.snapshots[index.index(self.snapshots.len())];
                walk(&**snapshot, model, *cf, KeyRange::new(start, end), moves);
            }
            Step::Ingest(cf, entries) => self.ingest(*cf, entries),
            Step::Reopen => self.reopen(),
        }
    }

    fn ingest(&mut self, cf: Cf, entries: &BTreeMap<Key, Value>) {
        self.files += 1;
        let path = self.dir.join(format!("file-{}", self.files));
        let mut writer = self.engine.sst_writer(cf, &path).unwrap();
        for (key, value) in entries {
            writer.put(key, value).unwrap();
        }
        assert_eq!(writer.finish().unwrap().keys, entries.len() as u64);
        self.engine.ingest(cf, std::slice::from_ref(&path)).unwrap();
        assert!(!path.exists(), "the file belongs to the engine now");
        self.model.0[cf.slot()].extend(entries.clone());
    }

    fn reopen(&mut self) {
        if !self.subject.remembers() {
            return;
        }
        self.snapshots.clear();
        // The directory is locked while the old engine is open.
        self.engine = Arc::new(crate::Memory::new(self.layout));
        self.engine = self.subject.open(&self.dir.join("engine"), self.layout);
        self.model.check(self.layout, &*self.engine.snapshot().unwrap());
    }
}

/// Moves a cursor and a position in a list alike.
fn walk(snapshot: &dyn Snapshot, model: &Model, cf: Cf, range: KeyRange<'_>, moves: &[Move]) {
    let entries = model.entries(cf, range);
    let mut cursor = snapshot.cursor(cf, range).unwrap();
    let mut place: Option<usize> = None;
    assert!(!cursor.is_valid(), "a cursor stands nowhere before its first seek");
    for one in moves {
        let first_from = |key: &Key| entries.partition_point(|(other, _)| other < key);
        let (found, expected) = match one {
            Move::First => (cursor.seek_to_first(), Some(0)),
            Move::Last => (cursor.seek_to_last(), entries.len().checked_sub(1)),
            Move::Seek(key) => (cursor.seek(key), Some(first_from(key))),
            Move::SeekForPrev(key) => {
                let after = entries.partition_point(|(other, _)| other <= key);
                (cursor.seek_for_prev(key), after.checked_sub(1))
            }
            Move::Next => (cursor.next(), place.map(|place| place + 1)),
            Move::Prev => (cursor.prev(), place.and_then(|place| place.checked_sub(1))),
        };
        place = expected.filter(|&place| place < entries.len());
        assert_eq!(found.unwrap(), place.is_some(), "{one:?} in {range:?} of {entries:?}");
        assert_eq!(cursor.is_valid(), place.is_some());
        if let Some(place) = place {
            let (key, value) = &entries[place];
            assert_eq!((cursor.key(), cursor.value()), (&key[..], &value[..]), "{one:?}");
        }
    }
}
