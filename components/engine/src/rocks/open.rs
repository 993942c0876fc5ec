//! Opening an engine, and what happens when the end of its log is damaged.
//!
//! A crash may leave the log with a torn end: a record that was being written, or unsynced records of
//! which the disk kept only some. That is normal. Damage before the last synced position is not: the
//! disk lost what it had confirmed. The two engines of a store answer differently:
//!
//! - The **kv engine** recovers to a *point in time*: everything up to the first bad record is kept,
//!   the rest goes. What goes is still in the raft log and will be applied again.
//! - The **raft engine** is *strict*: it has nothing behind it. A torn end that was never synced goes;
//!   when something before the synced position (`synced.rs`) is missing, it refuses to open, because
//!   a peer that forgets what it acknowledged can undo a committed write. An engine that serves
//!   without a raft log is strict for the same reason.
//!
//! Refusing happens before anything is written: a strict engine is first read in a mode that changes
//! nothing, and opened only when what can be read reaches what was promised. That costs one more pass
//! over the log, which is short.

use std::path::Path;
use std::sync::Arc;

use rocksdb::{Cache, ColumnFamilyDescriptor, DB, DBRecoveryMode, Options};

use super::failure::on_open;
use super::synced::{self, SyncedPosition};
use super::{Opened, Rocks, directory, options, physical_name};
use crate::poison::Poison;
use crate::{Config, Engines, Error, Layout, Result};

/// What to do where there is no engine yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Create the directory, with what is missing above it, and an empty engine.
    CreateIfMissing,
    /// Refuse: a tool that inspects an engine must not create one by a mistyped path.
    MustExist,
}

/// What to do where the log is damaged; the module's head has the reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Keep everything before the first bad record.
    PointInTime,
    /// The same, unless that would lose what had been synced: then refuse to open.
    Strict,
}

impl Engines {
    /// Opens the two engines of the store in `dir`: `dir/kv` and `dir/raft`.
    ///
    /// A log that is gone is not a new log. Where there is a kv engine there must be a raft engine: a
    /// peer with an empty log would have forgotten its votes and what it acknowledged. So when a store
    /// is created, the raft engine comes first.
    pub fn open(dir: &Path, config: &Config, mode: OpenMode) -> Result<Engines> {
        let (kv, raft) = (dir.join(Layout::Kv.name()), dir.join(Layout::Raft.name()));
        if directory::holds_engine(&kv) && !directory::holds_engine(&raft) {
            let reason = format!(
                "there is a kv engine in {} and no raft engine beside it; check that all of the \
                 store's disks are there",
                kv.display()
            );
            return Err(Error::Open { path: raft, reason });
        }
        let opener = Opener::new(config);
        let raft = opener.open(&raft, Layout::Raft, mode, Recovery::Strict)?;
        let kv = opener.open(&kv, Layout::Kv, mode, Recovery::PointInTime)?;
        Ok(Engines::new(Arc::new(kv), Arc::new(raft)))
    }
}

impl Rocks {
    /// Opens one engine with a block cache of its own.
    pub fn open(
        path: &Path,
        layout: Layout,
        config: &Config,
        mode: OpenMode,
        recovery: Recovery,
    ) -> Result<Rocks> {
        Opener::new(config).open(path, layout, mode, recovery)
    }
}

/// What engines that are opened together share.
pub(super) struct Opener<'a> {
    config: &'a Config,
    cache: Cache,
}

impl<'a> Opener<'a> {
    pub(super) fn new(config: &'a Config) -> Self {
        Opener { config, cache: options::block_cache(config) }
    }

    fn open(
        &self,
        path: &Path,
        layout: Layout,
        mode: OpenMode,
        recovery: Recovery,
    ) -> Result<Rocks> {
        let exists = directory::prepare(path, layout, mode)?;
        let attempt = Attempt { opener: self, path, layout, recovery };
        if exists && recovery == Recovery::Strict {
            attempt.check_promise()?;
        }
        let db = attempt.open().map_err(|error| on_open(path, &error))?;
        let synced = match recovery {
            Recovery::PointInTime => None,
            Recovery::Strict => Some(SyncedPosition::open(path)?),
        };
        let opened = Arc::new(Opened { db, path: path.to_owned(), layout, _lock: None });
        Ok(Rocks { opened, synced, poison: Poison::default() })
    }
}

/// One directory on its way to being open.
pub(super) struct Attempt<'a> {
    pub(super) opener: &'a Opener<'a>,
    pub(super) path: &'a Path,
    pub(super) layout: Layout,
    pub(super) recovery: Recovery,
}

impl Attempt<'_> {
    fn open(&self) -> std::result::Result<DB, rocksdb::Error> {
        DB::open_cf_descriptors(&self.options(), self.path, self.families())
    }

    /// Finds out, without changing anything, how far the log can be read, and refuses when that is
    /// less than what had been synced.
    fn check_promise(&self) -> Result<()> {
        let promised = synced::read(self.path)?;
        if promised == 0 {
            return Ok(());
        }
        let reached = {
            let families = self.families();
            DB::open_cf_descriptors_read_only(&self.options(), self.path, families, false)
                .map_err(|error| on_open(self.path, &error))?
                .latest_sequence_number()
        };
        if reached >= promised {
            return Ok(());
        }
        let reason = format!(
            "synced writes are lost: the log can be read up to number {reached}, but number \
             {promised} had been confirmed; nothing was deleted: copy the directory away, then \
             remove this store from the cluster and let it join again as a new one, or restore a \
             backup"
        );
        Err(Error::Corrupt { path: self.path.to_owned(), reason })
    }

    pub(super) fn options(&self) -> Options {
        let mut options = options::database(self.opener.config, self.layout);
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        // Several files of the log can be alive. Were one in the middle gone, those after it would
        // still reach the promised number, so the library keeps a list of them.
        options.set_track_and_verify_wals_in_manifest(self.recovery == Recovery::Strict);
        if self.recovery == Recovery::Strict {
            options::sync_without_growing(&mut options);
        }
        options
    }

    pub(super) fn families(&self) -> Vec<ColumnFamilyDescriptor> {
        let describe = |&cf| {
            let options = options::family(self.opener.config, &self.opener.cache, self.layout, cf);
            ColumnFamilyDescriptor::new(physical_name(self.layout, cf), options)
        };
        self.layout.families().iter().map(describe).collect()
    }
}
