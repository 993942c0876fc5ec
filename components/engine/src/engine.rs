//! The seam: what an engine, a snapshot and a cursor can do.
//!
//! The traits are object-safe and small on purpose. A seam of ten methods can have a faulty twin; one
//! of a hundred cannot.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::{Cf, KeyRange, Layout, Result, WriteBatch};

/// How much a write promises when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Visible, and durable once something after it is synced. A crash of the process keeps it, a
    /// power cut may not.
    Unsynced,
    /// Durable, together with every write before it.
    Synced,
}

/// One ordered, durable key space per family. The crate's head states the contract.
///
/// Every method takes `&self`: an engine is shared by the threads of its store.
pub trait Engine: Send + Sync {
    /// Which families there are.
    fn layout(&self) -> Layout;

    /// The newest value of `key`.
    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>>;

    /// The state of this moment, which later writes do not change.
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>>;

    /// Does everything in `batch`, at once.
    fn write(&self, batch: &WriteBatch, durability: Durability) -> Result<()>;

    /// Makes every write so far durable.
    fn sync(&self) -> Result<()>;

    /// Moves what is buffered in memory into files, and makes it durable on the way.
    fn flush(&self) -> Result<()>;

    /// Starts a file of sorted keys, for [`Engine::ingest`] on this engine or on one like it. `path`
    /// must not exist.
    fn sst_writer(&self, cf: Cf, path: &Path) -> Result<Box<dyn SstWriter>>;

    /// Makes the keys of `files` part of `cf`, over older values, all at once and durably. Where files
    /// overlap, the later one of the list wins. They become the engine's own: on success they are
    /// gone from where they were. On failure nothing has changed.
    fn ingest(&self, cf: Cf, files: &[PathBuf]) -> Result<()>;

    /// Writes an engine of its own with today's content into `dir`, which must not exist.
    fn checkpoint(&self, dir: &Path) -> Result<()>;

    /// About how many bytes the keys and values of `range` take on disk. What is still buffered in
    /// memory may be missing.
    fn approximate_size(&self, cf: Cf, range: KeyRange<'_>) -> Result<u64>;

    /// What the engine says of itself, if it counts.
    fn statistics(&self) -> Option<Statistics> {
        None
    }
}

/// A state that does not move. Dropping it lets the engine forget what only it could see.
pub trait Snapshot: Send + Sync {
    /// The value of `key` in this state.
    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>>;

    /// What [`Snapshot::get`] answers for each of `keys`, which may come in any order and more than
    /// once. An engine may do it faster together, fastest when the keys ascend.
    fn get_many(&self, cf: Cf, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>> {
        keys.iter().map(|key| self.get(cf, key)).collect()
    }

    /// A cursor over the keys of `range` in this state. It stands nowhere until the first seek.
    fn cursor<'a>(&'a self, cf: Cf, range: KeyRange<'_>) -> Result<Box<dyn Cursor + 'a>>;

    /// A cursor for whoever passes over a whole range once: to count it, or to copy it. What it reads is
    /// not kept in memory, where it would take the place of what others read again.
    fn sweep<'a>(&'a self, cf: Cf, range: KeyRange<'_>) -> Result<Box<dyn Cursor + 'a>> {
        self.cursor(cf, range)
    }
}

/// Walks over the keys of one family in order, forwards and backwards, within its range.
///
/// Each move answers whether the cursor stands on a key now. A cursor that ran off either end stands
/// nowhere, and stays there until it seeks. An error leaves it nowhere too.
pub trait Cursor: Send {
    /// To the first key of the range.
    fn seek_to_first(&mut self) -> Result<bool>;

    /// To the last key of the range.
    fn seek_to_last(&mut self) -> Result<bool>;

    /// To the first key at or after `key`.
    fn seek(&mut self, key: &[u8]) -> Result<bool>;

    /// To the last key at or before `key`.
    fn seek_for_prev(&mut self, key: &[u8]) -> Result<bool>;

    /// To the following key.
    fn next(&mut self) -> Result<bool>;

    /// To the preceding key.
    fn prev(&mut self) -> Result<bool>;

    /// Whether the cursor stands on a key.
    fn is_valid(&self) -> bool;

    /// The key under the cursor, which must stand on one.
    fn key(&self) -> &[u8];

    /// The value under the cursor, which must stand on a key.
    fn value(&self) -> &[u8];

    /// Both at once, which is cheaper than one after the other.
    fn entry(&self) -> (&[u8], &[u8]);
}

/// Writes one file of keys in strictly ascending order.
pub trait SstWriter: Send {
    /// Adds a key that is greater than all before it.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()>;

    /// How large the file is by now.
    fn size_bytes(&self) -> u64;

    /// Completes the file and makes it durable. A file without a key is an error: leave it away.
    fn finish(self: Box<Self>) -> Result<SstInfo>;
}

/// What was written into a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SstInfo {
    /// The size of the file.
    pub size_bytes: u64,
    /// How many keys it holds.
    pub keys: u64,
}

/// What an engine says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Bytes of all sorted files.
    pub files_bytes: u64,
    /// Bytes of what is not in sorted files yet.
    pub buffers_bytes: u64,
    /// Bytes of blocks that are kept in memory.
    pub cache_bytes: u64,
    /// Bytes that merges have to read and write before the tree has its shape again.
    pub pending_merge_bytes: u64,
    /// Merges under way.
    pub merges: u64,
    /// Snapshots that somebody reads.
    pub snapshots: u64,
    /// Whether writes wait for merges.
    pub is_stalled: bool,
}
