//! Opening an engine only to look at it, for tools.
//!
//! Nothing is written, not even a log that a crash has left is tidied: it is read into memory. While the
//! look lasts, the lock that RocksDB takes for a writer is held, so a server neither runs nor starts
//! meanwhile; what is seen does not move.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use rocksdb::DB;
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;

use super::failure::on_open;
use super::open::{Attempt, Opener};
use super::{Opened, Recovery, Rocks, directory};
use crate::poison::Poison;
use crate::{Config, Engines, Error, Layout, Result};

/// The file on which RocksDB's writers shut each other out.
const LOCK: &str = "LOCK";

impl Engines {
    /// Opens the two engines of the store in `dir` to read them. Refused while a process has them open.
    pub fn look_into(dir: &Path, config: &Config) -> Result<Engines> {
        let opener = Opener::new(config);
        let open = |layout: Layout| look(&opener, &dir.join(layout.name()), layout);
        Ok(Engines::new(Arc::new(open(Layout::Kv)?), Arc::new(open(Layout::Raft)?)))
    }
}

fn look(opener: &Opener<'_>, path: &Path, layout: Layout) -> Result<Rocks> {
    if !directory::holds_engine(path) {
        let reason = "it holds no engine; name the directory that a store was started with";
        return Err(Error::Open { path: path.to_owned(), reason: reason.to_owned() });
    }
    let lock = lock(path)?;
    let attempt = Attempt { opener, path, layout, recovery: Recovery::PointInTime };
    let (options, families) = (attempt.options(), attempt.families());
    let db = DB::open_cf_descriptors_read_only(&options, path, families, false)
        .map_err(|error| on_open(path, &error))?;
    let seen = Opened { db, path: path.to_owned(), layout, _lock: lock };
    Ok(Rocks { opened: Arc::new(seen), synced: None, poison: Poison::default() })
}

/// Takes the lock of writers, which is free again when the file is closed.
fn lock(path: &Path) -> Result<Option<File>> {
    let path = path.join(LOCK);
    // Locking to write needs the right to write, although nothing is.
    let file = match File::options().read(true).write(true).open(&path) {
        Ok(file) => file,
        // A copy of a directory may come without it, and nobody writes to such a one.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::io(&path, "opening the lock", source)),
    };
    match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::AGAIN | Errno::ACCESS) => {
            Err(Error::Locked { path: path.parent().unwrap_or(&path).to_owned() })
        }
        Err(errno) => Err(Error::io(&path, "taking the lock", errno.into())),
    }
}
