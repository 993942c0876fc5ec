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
//! Refusing happens before anything is written: a damaged log is first read in a mode that changes
//! nothing, and only opened when what it lost was never promised.

use std::path::Path;
use std::sync::Arc;

use rocksdb::{Cache, ColumnFamilyDescriptor, DB, DBRecoveryMode, ErrorKind, Options};

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
    pub fn open(dir: &Path, config: &Config, mode: OpenMode) -> Result<Engines> {
        let opener = Opener::new(config);
        let kv = opener.open(&dir.join("kv"), Layout::Kv, mode, Recovery::PointInTime)?;
        let raft = opener.open(&dir.join("raft"), Layout::Raft, mode, Recovery::Strict)?;
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
struct Opener<'a> {
    config: &'a Config,
    cache: Cache,
}

impl<'a> Opener<'a> {
    fn new(config: &'a Config) -> Self {
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
        let attempt = Attempt { opener: self, path, layout };
        let db = match recovery {
            Recovery::PointInTime => {
                attempt.open(DBRecoveryMode::PointInTime).map_err(|error| on_open(path, &error))?
            }
            Recovery::Strict => attempt.open_strict(exists)?,
        };
        let synced = match recovery {
            Recovery::PointInTime => None,
            Recovery::Strict => Some(SyncedPosition::open(path)?),
        };
        let opened = Arc::new(Opened { db, path: path.to_owned(), layout });
        Ok(Rocks { opened, synced, poison: Poison::default() })
    }
}

/// One directory on its way to being open.
struct Attempt<'a> {
    opener: &'a Opener<'a>,
    path: &'a Path,
    layout: Layout,
}

impl Attempt<'_> {
    fn open(&self, recovery: DBRecoveryMode) -> std::result::Result<DB, rocksdb::Error> {
        DB::open_cf_descriptors(&self.options(recovery), self.path, self.families())
    }

    /// A log without any damage opens at once; one with damage only if the damage was never promised.
    fn open_strict(&self, exists: bool) -> Result<DB> {
        let promised = if exists { synced::read(self.path)? } else { 0 };
        let opened = match self.open(DBRecoveryMode::AbsoluteConsistency) {
            Err(error) if error.kind() == ErrorKind::Corruption => {
                self.check_promise(self.readable_until(&error)?, promised, error.as_ref())?;
                self.open(DBRecoveryMode::PointInTime)
            }
            opened => opened,
        };
        let db = opened.map_err(|error| on_open(self.path, &error))?;
        let reached = db.latest_sequence_number();
        self.check_promise(reached, promised, "the log ends too early")?;
        Ok(db)
    }

    /// How far the log can be read, found out without changing anything.
    fn readable_until(&self, damage: &rocksdb::Error) -> Result<u64> {
        let options = self.options(DBRecoveryMode::PointInTime);
        let read_only =
            DB::open_cf_descriptors_read_only(&options, self.path, self.families(), false);
        // When not even that is possible, the first damage says more than what follows from it.
        let db = read_only.map_err(|_| on_open(self.path, damage))?;
        Ok(db.latest_sequence_number())
    }

    fn check_promise(&self, reached: u64, promised: u64, damage: &str) -> Result<()> {
        if reached >= promised {
            return Ok(());
        }
        let reason = format!(
            "synced writes are lost: the log can be read up to number {reached}, but number \
             {promised} had been confirmed ({damage}); nothing was deleted: copy the directory away, \
             then remove this store from the cluster and let it join again as a new one, or restore \
             a backup"
        );
        Err(Error::Corrupt { path: self.path.to_owned(), reason })
    }

    fn options(&self, recovery: DBRecoveryMode) -> Options {
        let mut options = options::database(self.opener.config, self.layout);
        options.set_wal_recovery_mode(recovery);
        options
    }

    fn families(&self) -> Vec<ColumnFamilyDescriptor> {
        let describe = |&cf| {
            let options = options::family(self.opener.config, &self.opener.cache, self.layout, cf);
            ColumnFamilyDescriptor::new(physical_name(self.layout, cf), options)
        };
        self.layout.families().iter().map(describe).collect()
    }
}
