//! RocksDB behind the seam. Only this module knows it.
//!
//! [`open`](Rocks::open) is where the policy is: what a directory must look like, and what happens to
//! a log whose end is damaged. The rest translates.

mod cursor;
mod directory;
mod failure;
mod look;
mod open;
mod options;
mod snapshot;
mod sst;
mod synced;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    ColumnFamily, DB, FlushOptions, IngestExternalFileOptions, WriteOptions, properties,
};

use crate::batch::MAX_KEY_BYTES;
use crate::poison::Poison;
use crate::{
    Cf, Durability, Engine, Error, KeyRange, Layout, Op, Result, Snapshot, SstWriter, Statistics,
    WriteBatch,
};

pub use open::{OpenMode, Recovery};

use failure::{on_ingest, on_read, on_write};
use snapshot::RocksSnapshot;
use synced::SyncedPosition;

/// Greater than every key, because every key is shorter.
static AFTER_ALL_KEYS: [u8; MAX_KEY_BYTES + 1] = [0xff; MAX_KEY_BYTES + 1];

/// An engine on RocksDB.
pub struct Rocks {
    opened: Arc<Opened>,
    /// How far the log is known to be on disk; kept by engines that must not lose their end.
    synced: Option<SyncedPosition>,
    poison: Poison,
}

/// An open database, which snapshots share so that it stays open as long as they need it.
struct Opened {
    db: DB,
    path: PathBuf,
    layout: Layout,
    /// Held by those who only look; RocksDB itself holds a writer's.
    _lock: Option<File>,
}

impl Opened {
    fn handle(&self, cf: Cf) -> &ColumnFamily {
        self.layout.check(cf);
        let name = physical_name(self.layout, cf);
        self.db.cf_handle(name).expect("every family of the layout is opened")
    }
}

impl Rocks {
    /// The database itself, for benches that compare this engine with bare RocksDB on the same data.
    #[doc(hidden)]
    pub fn db(&self) -> &DB {
        &self.opened.db
    }

    fn path(&self) -> &Path {
        &self.opened.path
    }

    /// Writes with a sync, and notes how far the log reaches now. Writes of other threads may come in
    /// between; then only what was there before is sure to be covered.
    fn write_synced(&self, batch: rocksdb::WriteBatch) -> Result<()> {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        let length = batch.len() as u64;
        let before = self.db().latest_sequence_number();
        self.db()
            .write_opt(batch, &options)
            .map_err(|error| on_write(self.path(), "writing a batch", &error))?;
        let Some(synced) = &self.synced else { return Ok(()) };
        let after = self.db().latest_sequence_number();
        synced.record(if after - before == length { after } else { before })
    }

    fn sync_log(&self) -> Result<()> {
        let position = self.db().latest_sequence_number();
        self.db()
            .flush_wal(true)
            .map_err(|error| on_write(self.path(), "syncing the log", &error))?;
        self.synced.as_ref().map_or(Ok(()), |synced| synced.record(position))
    }

    fn flush_families(&self) -> Result<()> {
        self.sync_log()?;
        let mut options = FlushOptions::default();
        options.set_wait(true);
        for &cf in self.layout().families() {
            self.db()
                .flush_cf_opt(self.opened.handle(cf), &options)
                .map_err(|error| on_write(self.path(), "flushing a family", &error))?;
        }
        Ok(())
    }

    fn translate(&self, batch: &WriteBatch) -> rocksdb::WriteBatch {
        let mut out = rocksdb::WriteBatch::with_capacity_bytes(batch.size_bytes());
        // Looked up once a family, not once an operation.
        let mut handles = [None; Cf::ALL.len()];
        let mut handle = |cf: Cf| *handles[cf.slot()].get_or_insert_with(|| self.opened.handle(cf));
        for op in batch.ops() {
            match op {
                Op::Put { cf, key, value } => out.put_cf(&handle(*cf), key, value),
                Op::Delete { cf, key } => out.delete_cf(&handle(*cf), key),
                Op::DeleteRange { cf, start, end } => {
                    let range = KeyRange::new(start, end);
                    if !range.is_empty() {
                        out.delete_range_cf(&handle(*cf), range.start, explicit_end(range));
                    }
                }
            }
        }
        out
    }
}

/// The end of a range for a library that knows no infinity.
fn explicit_end(range: KeyRange<'_>) -> &[u8] {
    if range.end.is_empty() { &AFTER_ALL_KEYS } else { range.end }
}

/// The name under which RocksDB knows a family. It always has one called `default`, which in the raft
/// engine is the only one there is.
fn physical_name(layout: Layout, cf: Cf) -> &'static str {
    match layout {
        Layout::Kv => cf.name(),
        Layout::Raft => Cf::Default.name(),
    }
}

impl Engine for Rocks {
    fn layout(&self) -> Layout {
        self.opened.layout
    }

    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>> {
        self.poison.check()?;
        let value = self.db().get_pinned_cf(self.opened.handle(cf), key);
        let value = value.map_err(|error| on_read(self.path(), &error))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        self.poison.check()?;
        Ok(Arc::new(RocksSnapshot::new(Arc::clone(&self.opened))))
    }

    fn write(&self, batch: &WriteBatch, durability: Durability) -> Result<()> {
        self.poison.check()?;
        let batch = self.translate(batch);
        self.poison.watch(match durability {
            Durability::Synced => self.write_synced(batch),
            Durability::Unsynced => self
                .db()
                .write_opt(batch, &WriteOptions::default())
                .map_err(|error| on_write(self.path(), "writing a batch", &error)),
        })
    }

    fn sync(&self) -> Result<()> {
        self.poison.check()?;
        self.poison.watch(self.sync_log())
    }

    fn flush(&self) -> Result<()> {
        self.poison.check()?;
        self.poison.watch(self.flush_families())
    }

    fn sst_writer(&self, cf: Cf, path: &Path) -> Result<Box<dyn SstWriter>> {
        self.poison.check()?;
        self.layout().check(cf);
        Ok(Box::new(sst::RocksSstWriter::create(path)?))
    }

    fn ingest(&self, cf: Cf, files: &[PathBuf]) -> Result<()> {
        self.poison.check()?;
        if files.is_empty() {
            return Ok(());
        }
        crate::sst::check_there(files)?;
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        let taken = self
            .db()
            .ingest_external_file_cf_opts(self.opened.handle(cf), &options, files.to_vec())
            .map_err(|error| on_ingest(self.path(), &files[0], &error));
        // The files are synced on the way, and a failed sync is not tried again. A file that is not
        // what it should be leaves the engine as it was.
        if let Err(Error::Io { .. }) = taken {
            return self.poison.watch(taken);
        }
        taken?;
        // Where a link was not possible the files were copied, and the originals are left.
        crate::sst::remove_taken(files);
        Ok(())
    }

    fn checkpoint(&self, dir: &Path) -> Result<()> {
        self.poison.check()?;
        if dir.exists() {
            return Err(Error::exists(dir));
        }
        Checkpoint::new(self.db())
            .and_then(|checkpoint| checkpoint.create_checkpoint(dir))
            .map_err(|error| on_write(dir, "writing a checkpoint", &error))
    }

    fn approximate_size(&self, cf: Cf, range: KeyRange<'_>) -> Result<u64> {
        self.poison.check()?;
        if range.is_empty() {
            return Ok(0);
        }
        let bounds = rocksdb::Range::new(range.start, explicit_end(range));
        Ok(self.db().get_approximate_sizes_cf(self.opened.handle(cf), &[bounds]).iter().sum())
    }

    fn statistics(&self) -> Option<Statistics> {
        let db = self.db();
        // What cannot be read is not worth an error: a person looks at it.
        let number = |name| db.property_int_value(name).ok().flatten().unwrap_or(0);
        // Of each family, where the database has no sum of its own.
        let sum = |name| {
            let families = self.opened.layout.families().iter();
            let values = families.map(|&cf| db.property_int_value_cf(self.opened.handle(cf), name));
            values.map(|value| value.ok().flatten().unwrap_or(0)).sum()
        };
        Some(Statistics {
            files_bytes: sum(properties::TOTAL_SST_FILES_SIZE),
            buffers_bytes: sum(properties::CUR_SIZE_ALL_MEM_TABLES),
            // One cache serves all families.
            cache_bytes: number(properties::BLOCK_CACHE_USAGE),
            pending_merge_bytes: sum(properties::ESTIMATE_PENDING_COMPACTION_BYTES),
            merges: number(properties::NUM_RUNNING_COMPACTIONS),
            snapshots: number(properties::NUM_SNAPSHOTS),
            is_stalled: number(properties::IS_WRITE_STOPPED) != 0,
        })
    }
}
