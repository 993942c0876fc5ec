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

mod cursor;
mod state;

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use cursor::MemorySnapshot;
use state::State;

use crate::sst::{self, FileWriter};
use crate::{
    Cf, Durability, Engine, Error, KeyRange, Layout, Op, Result, Snapshot, SstWriter, WriteBatch,
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
        sst::remove_taken(files);
        Ok(())
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
fn create_new_dir(dir: &Path) -> Result<()> {
    if dir.exists() {
        return Err(Error::exists(dir));
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
