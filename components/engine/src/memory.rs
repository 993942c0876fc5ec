//! An engine in memory: an ordered map whose keys remember the versions that a snapshot may still
//! want to see.
//!
//! Every batch gets a sequence number. A snapshot is just the number of the last batch it sees, so it
//! costs nothing to take; in return a key keeps an older version for as long as some snapshot stands
//! between it and the next one.
//!
//! ```text
//! key "a":   newest  7 -> "new"      older  4 -> "old"     kept because a snapshot stands at 5
//! key "b":   newest  6 -> (deleted)  older  2 -> "gone"    kept because a snapshot stands at 5
//! ```
//!
//! Nothing here is durable: synced and unsynced writes are the same. [`crate::Faulty`] adds the
//! difference.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use crate::sst::{self, FileWriter};
use crate::{
    Cf, Cursor, Durability, Engine, Error, KeyRange, Layout, Op, Result, Snapshot, SstWriter,
    WriteBatch,
};

/// An engine that forgets everything when it is dropped.
#[derive(Debug)]
pub struct Memory {
    layout: Layout,
    shared: Arc<Shared>,
}

impl Memory {
    /// An empty engine.
    pub fn new(layout: Layout) -> Self {
        Memory { layout, shared: Arc::default() }
    }

    /// An engine with the content of a checkpoint that another one wrote.
    pub fn open_checkpoint(layout: Layout, dir: &Path) -> Result<Self> {
        let memory = Memory::new(layout);
        for &cf in layout.families() {
            let entries = sst::read(&checkpoint_file(dir, cf))?;
            memory.shared.write().put_all(cf, entries);
        }
        Ok(memory)
    }

    /// Applies the operations of `batch`. The same as a write, for callers that know it cannot fail.
    pub(crate) fn apply(&self, batch: &WriteBatch) {
        let mut state = self.shared.write();
        state.sequence += 1;
        for op in batch.ops() {
            match op {
                Op::Put { cf, key, value } => {
                    self.layout.check(*cf);
                    state.set(*cf, key.clone(), Some(value.clone()));
                }
                Op::Delete { cf, key } => {
                    self.layout.check(*cf);
                    state.set(*cf, key.clone(), None);
                }
                Op::DeleteRange { cf, start, end } => {
                    self.layout.check(*cf);
                    state.delete_range(*cf, KeyRange::new(start, end));
                }
            }
        }
    }

    /// What readers see of a family now, in order.
    pub(crate) fn entries(&self, cf: Cf) -> Vec<(Bytes, Bytes)> {
        let state = self.shared.read();
        state
            .entries_in(cf, KeyRange::ALL)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// Adds sorted entries over what is there.
    pub(crate) fn put_all(&self, cf: Cf, entries: Vec<(Bytes, Bytes)>) {
        self.layout.check(cf);
        self.shared.write().put_all(cf, entries);
    }
}

impl Engine for Memory {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>> {
        self.layout.check(cf);
        let state = self.shared.read();
        Ok(state.visible(cf, key, state.sequence))
    }

    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        let mut state = self.shared.write();
        let sequence = state.sequence;
        *state.readers.entry(sequence).or_insert(0) += 1;
        let shared = Arc::clone(&self.shared);
        Ok(Arc::new(MemorySnapshot { layout: self.layout, shared, sequence }))
    }

    fn write(&self, batch: &WriteBatch, _durability: Durability) -> Result<()> {
        self.apply(batch);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn sst_writer(&self, cf: Cf, path: &Path) -> Result<Box<dyn SstWriter>> {
        self.layout.check(cf);
        Ok(Box::new(FileWriter::create(path)?))
    }

    fn ingest(&self, cf: Cf, files: &[PathBuf]) -> Result<()> {
        let entries = sst::read_all(files)?;
        self.put_all(cf, entries);
        sst::remove_all(files)
    }

    fn checkpoint(&self, dir: &Path) -> Result<()> {
        create_new_dir(dir)?;
        let state = self.shared.read();
        for &cf in self.layout.families() {
            let mut writer = FileWriter::create(&checkpoint_file(dir, cf))?;
            for (key, value) in state.entries_in(cf, KeyRange::ALL) {
                writer.put(key, value)?;
            }
            writer.close()?;
        }
        Ok(())
    }

    fn approximate_size(&self, cf: Cf, range: KeyRange<'_>) -> Result<u64> {
        self.layout.check(cf);
        let state = self.shared.read();
        Ok(state.entries_in(cf, range).map(|(key, value)| (key.len() + value.len()) as u64).sum())
    }
}

/// Creates a directory that must not exist yet.
pub(crate) fn create_new_dir(dir: &Path) -> Result<()> {
    if dir.exists() {
        return Err(Error::invalid(format!("{} exists already", dir.display())));
    }
    std::fs::create_dir_all(dir).map_err(|source| Error::io(dir, "creating the directory", source))
}

fn checkpoint_file(dir: &Path, cf: Cf) -> PathBuf {
    dir.join(format!("{cf}.sst"))
}

/// The map, behind a lock that is held for one call at a time.
#[derive(Debug, Default)]
struct Shared(RwLock<State>);

impl Shared {
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().expect("no thread panics while it holds the map")
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().expect("no thread panics while it holds the map")
    }
}

/// The content.
///
/// I1: a key's versions descend in sequence, and the newest is at most `sequence`.
/// I2: a key whose only version is a delete is in `litter`, or gone.
#[derive(Debug, Default)]
struct State {
    families: [BTreeMap<Bytes, Versions>; Cf::ALL.len()],
    /// The number of the last batch.
    sequence: u64,
    /// How many snapshots stand at which sequence.
    readers: BTreeMap<u64, usize>,
    /// Keys with versions that can go once the snapshots which need them are dropped.
    litter: Vec<(Cf, Bytes)>,
}

impl State {
    fn visible(&self, cf: Cf, key: &[u8], sequence: u64) -> Option<Bytes> {
        self.families[cf.slot()].get(key)?.visible(sequence).cloned()
    }

    fn keys_in<'a>(
        &'a self,
        cf: Cf,
        range: KeyRange<'_>,
    ) -> impl DoubleEndedIterator<Item = (&'a Bytes, &'a Versions)> {
        let (start, end) = bounds(range);
        self.families[cf.slot()].range::<[u8], _>((start, end))
    }

    /// What readers see of a range now, in order.
    fn entries_in<'a>(
        &'a self,
        cf: Cf,
        range: KeyRange<'_>,
    ) -> impl Iterator<Item = (&'a Bytes, &'a Bytes)> {
        self.keys_in(cf, range)
            .filter_map(|(key, versions)| Some((key, versions.visible(self.sequence)?)))
    }

    /// Writes one version of one key.
    fn set(&mut self, cf: Cf, key: Bytes, value: Option<Bytes>) {
        let version = Version { sequence: self.sequence, value };
        let family = &mut self.families[cf.slot()];
        let Some(versions) = family.get_mut(&key) else {
            if version.value.is_some() {
                family.insert(key, Versions { newest: version, older: Vec::new() });
            }
            return;
        };
        let replaced = std::mem::replace(&mut versions.newest, version);
        if needed(&self.readers, replaced.sequence, self.sequence) {
            versions.older.insert(0, replaced);
        }
        if !versions.older.is_empty() {
            self.litter.push((cf, key));
        } else if versions.newest.value.is_none() {
            family.remove(&key);
        }
    }

    fn put_all(&mut self, cf: Cf, entries: Vec<(Bytes, Bytes)>) {
        self.sequence += 1;
        for (key, value) in entries {
            self.set(cf, key, Some(value));
        }
    }

    fn delete_range(&mut self, cf: Cf, range: KeyRange<'_>) {
        if range.is_empty() {
            return;
        }
        let keys: Vec<Bytes> = self.keys_in(cf, range).map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.set(cf, key, None);
        }
    }

    /// A snapshot at `sequence` is gone.
    fn release(&mut self, sequence: u64) {
        let count =
            self.readers.get_mut(&sequence).expect("a snapshot is counted until it is gone");
        *count -= 1;
        if *count == 0 {
            self.readers.remove(&sequence);
            self.sweep();
        }
    }

    /// Forgets the versions that no snapshot can see any more.
    fn sweep(&mut self) {
        let readers = &self.readers;
        for (cf, key) in std::mem::take(&mut self.litter) {
            let family = &mut self.families[cf.slot()];
            let Some(versions) = family.get_mut(&key) else { continue };
            let mut next = versions.newest.sequence;
            versions.older.retain(|version| {
                let keep = needed(readers, version.sequence, next);
                next = version.sequence;
                keep
            });
            if !versions.older.is_empty() {
                self.litter.push((cf, key));
            } else if versions.newest.value.is_none() {
                family.remove(&key);
            }
        }
    }
}

/// Whether some snapshot sees the version written at `from` and replaced at `until`.
fn needed(readers: &BTreeMap<u64, usize>, from: u64, until: u64) -> bool {
    readers.range(from..until).next().is_some()
}

fn bounds(range: KeyRange<'_>) -> (Bound<&[u8]>, Bound<&[u8]>) {
    if range.is_empty() {
        // An ordered map refuses a reversed range; this is an empty one.
        return (Bound::Included(b""), Bound::Excluded(b""));
    }
    let end = if range.end.is_empty() { Bound::Unbounded } else { Bound::Excluded(range.end) };
    (Bound::Included(range.start), end)
}

/// The versions of one key. Most keys have one, so that one is kept in place.
#[derive(Debug)]
struct Versions {
    newest: Version,
    /// Newest first.
    older: Vec<Version>,
}

#[derive(Debug)]
struct Version {
    sequence: u64,
    /// `None` where the key was deleted.
    value: Option<Bytes>,
}

impl Versions {
    fn visible(&self, sequence: u64) -> Option<&Bytes> {
        std::iter::once(&self.newest)
            .chain(&self.older)
            .find(|version| version.sequence <= sequence)?
            .value
            .as_ref()
    }
}

/// The state after one batch.
struct MemorySnapshot {
    layout: Layout,
    shared: Arc<Shared>,
    sequence: u64,
}

impl Snapshot for MemorySnapshot {
    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>> {
        self.layout.check(cf);
        Ok(self.shared.read().visible(cf, key, self.sequence))
    }

    fn cursor<'a>(&'a self, cf: Cf, range: KeyRange<'_>) -> Result<Box<dyn Cursor + 'a>> {
        self.layout.check(cf);
        Ok(Box::new(MemoryCursor {
            snapshot: self,
            cf,
            range: Arc::new(OwnedRange { start: range.start.to_vec(), end: range.end.to_vec() }),
            current: None,
        }))
    }
}

impl Drop for MemorySnapshot {
    fn drop(&mut self) {
        self.shared.write().release(self.sequence);
    }
}

/// Looks the next key up at every move: the map may have changed in between.
struct MemoryCursor<'a> {
    snapshot: &'a MemorySnapshot,
    cf: Cf,
    /// Shared only with the move under way, which cannot borrow it and change the cursor.
    range: Arc<OwnedRange>,
    current: Option<(Bytes, Bytes)>,
}

struct OwnedRange {
    start: Vec<u8>,
    end: Vec<u8>,
}

impl OwnedRange {
    fn is_empty(&self) -> bool {
        KeyRange::new(&self.start, &self.end).is_empty()
    }

    fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        bounds(KeyRange::new(&self.start, &self.end))
    }
}

/// Which end of a range a cursor wants.
#[derive(Clone, Copy)]
enum End {
    First,
    Last,
}

impl MemoryCursor<'_> {
    /// Moves to the first or last visible key between the two bounds.
    fn place(&mut self, low: Bound<&[u8]>, high: Bound<&[u8]>, end: End) -> bool {
        if self.range.is_empty() || nothing_between(low, high) {
            self.current = None;
            return false;
        }
        let sequence = self.snapshot.sequence;
        self.current = {
            let state = self.snapshot.shared.read();
            let mut keys = state.families[self.cf.slot()].range::<[u8], _>((low, high)).filter_map(
                |(key, versions)| Some((key.clone(), versions.visible(sequence)?.clone())),
            );
            match end {
                End::First => keys.next(),
                End::Last => keys.next_back(),
            }
        };
        self.current.is_some()
    }

    /// Moves to the first visible key from `low` on, within the cursor's range.
    fn forward_from(&mut self, low: Bound<&[u8]>) -> bool {
        let range = Arc::clone(&self.range);
        let (own_low, high) = range.bounds();
        let low = match low {
            Bound::Included(key) if key >= range.start.as_slice() => low,
            Bound::Excluded(_) => low,
            Bound::Included(_) | Bound::Unbounded => own_low,
        };
        self.place(low, high, End::First)
    }

    /// Moves to the last visible key up to `high`, within the cursor's range.
    fn backward_from(&mut self, high: Bound<&[u8]>) -> bool {
        let range = Arc::clone(&self.range);
        let (low, own_high) = range.bounds();
        let high = match high {
            Bound::Included(key) if range.end.is_empty() || key < range.end.as_slice() => high,
            Bound::Excluded(_) => high,
            Bound::Included(_) | Bound::Unbounded => own_high,
        };
        self.place(low, high, End::Last)
    }
}

/// Whether the bounds leave no room for a key; an ordered map panics on some of those.
fn nothing_between(low: Bound<&[u8]>, high: Bound<&[u8]>) -> bool {
    match (low, high) {
        (Bound::Included(low), Bound::Included(high)) => low > high,
        (Bound::Included(low) | Bound::Excluded(low), Bound::Excluded(high))
        | (Bound::Excluded(low), Bound::Included(high)) => low >= high,
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
    }
}

impl Cursor for MemoryCursor<'_> {
    fn seek_to_first(&mut self) -> Result<bool> {
        Ok(self.forward_from(Bound::Unbounded))
    }

    fn seek_to_last(&mut self) -> Result<bool> {
        Ok(self.backward_from(Bound::Unbounded))
    }

    fn seek(&mut self, key: &[u8]) -> Result<bool> {
        Ok(self.forward_from(Bound::Included(key)))
    }

    fn seek_for_prev(&mut self, key: &[u8]) -> Result<bool> {
        Ok(self.backward_from(Bound::Included(key)))
    }

    fn next(&mut self) -> Result<bool> {
        let Some((key, _)) = self.current.take() else { return Ok(false) };
        Ok(self.forward_from(Bound::Excluded(&key)))
    }

    fn prev(&mut self) -> Result<bool> {
        let Some((key, _)) = self.current.take() else { return Ok(false) };
        Ok(self.backward_from(Bound::Excluded(&key)))
    }

    fn is_valid(&self) -> bool {
        self.current.is_some()
    }

    fn key(&self) -> &[u8] {
        &self.current.as_ref().expect("the cursor stands on a key").0
    }

    fn value(&self) -> &[u8] {
        &self.current.as_ref().expect("the cursor stands on a key").1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(memory: &Memory, key: &'static str, value: &'static str) {
        let mut batch = WriteBatch::new();
        batch.put(Cf::Default, key.as_bytes(), value.as_bytes());
        memory.apply(&batch);
    }

    #[test]
    fn versions_live_as_long_as_a_snapshot_can_see_them() {
        let memory = Memory::new(Layout::Kv);
        put(&memory, "a", "1");
        let first = memory.snapshot().unwrap();
        put(&memory, "a", "2");
        put(&memory, "a", "3");
        let older = |memory: &Memory| {
            memory.shared.read().families[0].get(&b"a"[..]).map(|versions| versions.older.len())
        };
        assert_eq!(older(&memory), Some(1), "2 was never visible to a snapshot");

        let mut batch = WriteBatch::new();
        batch.delete(Cf::Default, &b"a"[..]);
        memory.apply(&batch);
        assert_eq!(first.get(Cf::Default, b"a").unwrap().as_deref(), Some(&b"1"[..]));
        drop(first);
        assert_eq!(older(&memory), None, "nobody can see the key any more");
        assert!(memory.shared.read().litter.is_empty());
    }
}
