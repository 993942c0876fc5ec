//! [`SnapManager`]: the snapshots of a store, each with the guard of whoever writes or uses it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use engine::Cf;
use proto::raft_serverpb::RaftSnapshotData;
use runtime::clock::Instant;
use slog::{Logger, warn};

use super::error::{Error, Result};
use super::folder::Folder;
use super::key::{FileName, Part, Phase, Side, SnapId, SnapKey};
use super::meta::{FileMeta, Manifest};
use super::registry::{Limits, Registry, Stage};

/// The snapshots of a store. Clones speak of the same ones.
///
/// The lock inside is held for a look at the registry and never while a file is touched.
#[derive(Clone, Debug)]
pub struct SnapManager {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    folder: Folder,
    registry: Mutex<Registry>,
    log: Logger,
}

impl SnapManager {
    /// Opens the folder `dir`, creates it where it is missing, and removes what a crash left of
    /// snapshots that were not complete. What is not a snapshot's file is left alone.
    pub fn open(dir: impl Into<PathBuf>, limits: Limits, log: Logger) -> Result<Self> {
        let folder = Folder::open(dir.into())?;
        let listing = folder.list()?;
        if let Some(first) = listing.others.first() {
            let path = folder.root().join(first).display().to_string();
            let count = listing.others.len();
            warn!(log, "unknown files among snapshots left alone"; "count" => count, "path" => path);
        }
        let mut registry = Registry::new(limits);
        for of_one in listing.ours.chunk_by(|left, right| left.id == right.id) {
            let id = of_one[0].id;
            let (complete, others): (Vec<_>, Vec<_>) =
                of_one.iter().partition(|name| name.phase == Phase::Final);
            for name in others {
                folder.remove(name)?;
            }
            match adopt(&folder, id, &complete) {
                Ok(Some(manifest)) => registry.found(id, manifest),
                Ok(None) => remove_files(&folder, id)?,
                Err(error @ Error::Damaged { .. }) => {
                    warn!(log, "damaged snapshot discarded"; "error" => error.to_string());
                    remove_files(&folder, id)?;
                }
                Err(error) => return Err(error),
            }
        }
        let registry = Mutex::new(registry);
        Ok(SnapManager { shared: Arc::new(Shared { folder, registry, log }) })
    }

    /// How far a snapshot is; `None` where there is none.
    pub fn stage(&self, key: SnapKey, side: Side) -> Option<Stage> {
        self.registry().stage(SnapId { key, side })
    }

    /// Whether a snapshot is complete and fit for use.
    pub fn exists(&self, key: SnapKey, side: Side) -> bool {
        self.registry().manifest(SnapId { key, side }).is_some()
    }

    /// All snapshots, in order.
    pub fn list(&self) -> Vec<(SnapId, Stage)> {
        self.registry().list().collect()
    }

    /// The bytes of all files, with what is set aside for snapshots that are arriving.
    pub fn bytes(&self) -> u64 {
        self.registry().bytes()
    }

    /// Where the files are.
    pub fn dir(&self) -> &Path {
        self.shared.folder.root()
    }

    /// Keeps the received snapshot that `data` announces from being deleted or replaced: to be called
    /// before it is accepted, and again after a restart that finds it accepted, and kept until it is
    /// installed. Touches no file, so that the thread that runs Raft may call it.
    pub fn accept(&self, key: SnapKey, data: &RaftSnapshotData) -> Result<Hold> {
        let announced = Manifest::announced(key, data)?;
        self.hold_exactly(SnapId { key, side: Side::Received }, &announced)
    }

    /// Deletes a snapshot that nobody uses; refuses as busy while somebody does. Deleting one that is
    /// not there is no error, so that it can be repeated after a crash.
    pub fn delete(&self, key: SnapKey, side: Side) -> Result<()> {
        let id = SnapId { key, side };
        if self.registry().begin_remove(id)? { self.remove(id) } else { Ok(()) }
    }

    /// Says that nobody needs a snapshot any more. It gets no new users, and is deleted at once, or by
    /// the last of those that it has.
    pub fn retire(&self, key: SnapKey, side: Side) -> Result<()> {
        let id = SnapId { key, side };
        let mut registry = self.registry();
        match registry.begin_remove(id) {
            Ok(there) => {
                drop(registry);
                if there { self.remove(id) } else { Ok(()) }
            }
            Err(_) if registry.condemn(id) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Deletes what nobody has used for longer than [`Limits::age`], and answers how many that
    /// were. The age counts from the first call that found a snapshot idle: a snapshot that outlived a
    /// restart begins anew, because clocks of two runs cannot be compared.
    pub fn gc(&self, now: Instant) -> Result<usize> {
        let old = self.registry().begin_remove_old(now);
        // All are tried before the first failure is told: none may stay behind half removed.
        let outcomes: Vec<_> = old.iter().map(|&id| self.remove(id)).collect();
        outcomes.into_iter().collect::<Result<Vec<()>>>().map(|removed| removed.len())
    }

    /// One more user of a complete snapshot.
    pub(super) fn hold(&self, id: SnapId) -> Result<Hold> {
        let manifest = self.registry().begin_read(id)?;
        Ok(Hold { manager: self.clone(), id, manifest })
    }

    /// The same, for this very snapshot and not another of the same name.
    pub(super) fn hold_exactly(&self, id: SnapId, announced: &Manifest) -> Result<Hold> {
        self.hold(id)?.exactly(announced)
    }

    /// The same, as one of the snapshots that are being sent, which are limited.
    pub(super) fn hold_to_send(&self, key: SnapKey, announced: &Manifest) -> Result<Hold> {
        let id = SnapId { key, side: Side::Built };
        let mut registry = self.registry();
        registry.check_sends()?;
        let manifest = registry.begin_read(id)?;
        // The guard takes the lock itself when it is dropped.
        drop(registry);
        Hold { manager: self.clone(), id, manifest }.exactly(announced)
    }

    /// Begins a snapshot that will take about `bytes`.
    pub(super) fn write(&self, id: SnapId, bytes: u64) -> Result<Writing> {
        self.registry().begin_write(id, bytes)?;
        let writing = Writing { manager: self.clone(), id, complete: false };
        // An earlier removal may have failed half-way.
        remove_files(&self.shared.folder, id)?;
        Ok(writing)
    }

    /// Refuses a snapshot that would not fit into an empty folder: it could wait for ever.
    pub(super) fn check_fits(&self, manifest: &Manifest) -> Result<()> {
        let limit = self.registry().limits.space_bytes;
        if manifest.bytes() > limit {
            let bytes = manifest.bytes();
            let why = format!("{bytes} bytes where all snapshots together may have {limit}");
            return Err(Error::Invalid(why));
        }
        Ok(())
    }

    pub(super) fn folder(&self) -> &Folder {
        &self.shared.folder
    }

    /// The other end of [`Registry::begin_remove`].
    pub(super) fn remove(&self, id: SnapId) -> Result<()> {
        let removed = remove_files(&self.shared.folder, id);
        self.registry().forget(id);
        removed
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.shared.registry.lock().expect("no thread panics while it holds the registry")
    }
}

/// A use of a complete snapshot, which keeps it from being deleted.
#[derive(Debug)]
pub struct Hold {
    manager: SnapManager,
    id: SnapId,
    manifest: Arc<Manifest>,
}

impl Hold {
    /// Which files it has.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The same use, if it is of the snapshot that was announced.
    fn exactly(self, announced: &Manifest) -> Result<Self> {
        if *self.manifest == *announced { Ok(self) } else { Err(Error::Missing { id: self.id }) }
    }

    /// Compares every file with the list, to its last byte. A damaged snapshot is condemned: nobody
    /// can begin to use it, and it is gone when the last user is.
    pub(super) fn check(&self) -> Result<()> {
        let outcome = self.manifest.files().iter().try_for_each(|file| self.check_file(file));
        if let Err(Error::Damaged { .. }) = outcome {
            self.condemn();
        }
        outcome
    }

    /// Says that the snapshot is of no use.
    pub(super) fn condemn(&self) {
        let complete = self.manager.registry().condemn(self.id);
        assert!(complete, "G1: {} has a user, so it is complete", self.id);
    }

    /// The name of a family's file.
    pub(super) fn name(&self, cf: Cf) -> FileName {
        FileName::new(self.id, Part::Data(cf))
    }

    pub(super) fn folder(&self) -> &Folder {
        self.manager.folder()
    }

    fn check_file(&self, file: &FileMeta) -> Result<()> {
        if file.size == 0 {
            return Ok(());
        }
        let name = self.name(file.cf);
        let (size, checksum) = self.folder().measure(name)?;
        file.check(&self.folder().path(name), size, checksum)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let remove = self.manager.registry().end_read(self.id);
        if remove && let Err(error) = self.manager.remove(self.id) {
            warn!(self.manager.shared.log, "snapshot not removed"; "error" => error.to_string());
        }
    }
}

/// A snapshot that is being written. Dropped before it is complete, it leaves nothing behind.
#[derive(Debug)]
pub(super) struct Writing {
    manager: SnapManager,
    id: SnapId,
    complete: bool,
}

impl Writing {
    /// The name of a family's file until the snapshot is complete.
    pub(super) fn name(&self, cf: Cf) -> FileName {
        FileName::new(self.id, Part::Data(cf)).in_phase(Phase::Temporary)
    }

    pub(super) fn folder(&self) -> &Folder {
        self.manager.folder()
    }

    /// Says how large it will be at least, as far as that is known by now.
    pub(super) fn resize(&self, bytes: u64) -> Result<()> {
        self.manager.registry().resize(self.id, bytes)
    }

    /// The files, which are on disk already, get their names. With the list of files among them the
    /// snapshot is complete, also after a crash.
    pub(super) fn complete(mut self, manifest: Manifest) -> Result<()> {
        let folder = self.manager.folder();
        let meta = FileName::new(self.id, Part::Meta);
        folder.write(meta.in_phase(Phase::Temporary), &manifest.encode())?;
        for file in manifest.files().iter().filter(|file| file.size > 0) {
            folder.rename(self.name(file.cf), self.name(file.cf).in_phase(Phase::Final))?;
        }
        folder.rename(meta.in_phase(Phase::Temporary), meta)?;
        folder.sync()?;
        self.manager.registry().complete(self.id, manifest);
        self.complete = true;
        Ok(())
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if !self.complete
            && let Err(error) = self.manager.remove(self.id)
        {
            warn!(self.manager.shared.log, "snapshot not removed"; "error" => error.to_string());
        }
    }
}

/// The list of a snapshot that is in the folder, if it is complete: without its own file it is not,
/// and where that file is there but another is not as it says, something was damaged.
fn adopt(folder: &Folder, id: SnapId, files: &[FileName]) -> Result<Option<Manifest>> {
    let meta = FileName::new(id, Part::Meta);
    if !files.contains(&meta) {
        return Ok(None);
    }
    let manifest = Manifest::decode(&folder.path(meta), &folder.read_meta(meta)?)?;
    for cf in Cf::DATA {
        let name = FileName::new(id, Part::Data(cf));
        let found = if files.contains(&name) { folder.open_file(name)?.1 } else { 0 };
        let listed = manifest.files().iter().find(|file| file.cf == cf).map_or(0, |file| file.size);
        if found != listed {
            let why = format!("it has {found} bytes instead of {listed}");
            return Err(Error::damaged(&folder.path(name), why));
        }
    }
    Ok(Some(manifest))
}

/// Removes whatever is there of a snapshot; all are tried, and the first failure told. The list goes
/// first, so that a crash in between leaves litter and no snapshot.
fn remove_files(folder: &Folder, id: SnapId) -> Result<()> {
    let outcomes: Vec<_> = FileName::all_of(id).map(|name| folder.remove(name)).collect();
    outcomes.into_iter().collect()
}
