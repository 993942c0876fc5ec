//! The folder that snapshots are in: every touch of the disk that is not an engine's.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::error::{Error, Result};
use super::key::FileName;

/// How much of a file is in memory while its checksum is computed.
const READ_BYTES: usize = 256 << 10;

/// The most bytes that a list of files takes on disk; ours take less than a hundred.
const META_BYTES_MAX: u64 = 4 << 10;

/// A folder whose files are named by [`FileName`].
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

/// What a folder holds.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Files of snapshots, in order.
    pub(super) ours: Vec<FileName>,
    /// Names of everything else, in order.
    pub(super) others: Vec<PathBuf>,
}

impl Folder {
    /// Creates the folder if it is not there, for its owner only, and refuses one into which anybody
    /// may put files.
    pub(super) fn open(path: PathBuf) -> Result<Self> {
        let fail = |doing, source| Error::io(&path, doing, source);
        if !path.exists() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&path)
                .and_then(|()| sync_parent(&path))
                .map_err(|source| fail("creating the folder for snapshots", source))?;
        }
        let about = fs::metadata(&path).map_err(|source| fail("looking at the folder", source))?;
        if !about.is_dir() {
            return Err(fail(
                "opening the folder for snapshots",
                io::ErrorKind::NotADirectory.into(),
            ));
        }
        if about.permissions().mode() & 0o002 != 0 {
            let hint = "everybody on this machine may write to it; run `chmod o-w` on it first";
            let source = io::Error::new(io::ErrorKind::PermissionDenied, hint);
            return Err(fail("opening the folder for snapshots", source));
        }
        Ok(Folder { path })
    }

    /// Where the file of this name is.
    pub(super) fn path(&self, name: FileName) -> PathBuf {
        self.path.join(name.to_string())
    }

    /// Everything in the folder, in order: the order of the system differs between runs.
    pub(super) fn list(&self) -> Result<Listing> {
        let fail = |source| Error::io(&self.path, "listing snapshots", source);
        let mut listing = Listing::default();
        for entry in fs::read_dir(&self.path).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let name = entry.file_name();
            let is_file = entry.file_type().map_err(fail)?.is_file();
            match name.to_str().and_then(FileName::parse) {
                Some(name) if is_file => listing.ours.push(name),
                _ => listing.others.push(name.into()),
            }
        }
        listing.ours.sort_unstable();
        listing.others.sort_unstable();
        Ok(listing)
    }

    /// Starts a file that must not exist.
    pub(super) fn create(&self, name: FileName) -> Result<File> {
        let path = self.path(name);
        File::create_new(&path)
            .map_err(|source| Error::io(&path, "creating a snapshot file", source))
    }

    /// Writes a small file, durably but for its name.
    pub(super) fn write(&self, name: FileName, content: &[u8]) -> Result<()> {
        let mut file = self.create(name)?;
        file.write_all(content).and_then(|()| file.sync_all()).map_err(|source| {
            Error::io(&self.path(name), "writing the list of a snapshot's files", source)
        })
    }

    /// Opens a file, and answers how long it is. One that is not there is damage, not a failure.
    pub(super) fn open_file(&self, name: FileName) -> Result<(File, u64)> {
        let path = self.path(name);
        let fail = |source: io::Error| {
            if source.kind() == io::ErrorKind::NotFound {
                return Error::damaged(&path, "it is missing");
            }
            Error::io(&path, "opening a snapshot file", source)
        };
        let file = File::open(&path).map_err(fail)?;
        let size = file.metadata().map_err(fail)?.len();
        Ok((file, size))
    }

    /// The content of a list of files.
    pub(super) fn read_meta(&self, name: FileName) -> Result<Vec<u8>> {
        let (file, size) = self.open_file(name)?;
        let path = self.path(name);
        if size > META_BYTES_MAX {
            return Err(Error::damaged(&path, "it is too long for a list of files"));
        }
        let mut content = Vec::new();
        file.take(META_BYTES_MAX)
            .read_to_end(&mut content)
            .map_err(|source| Error::io(&path, "reading the list of a snapshot's files", source))?;
        Ok(content)
    }

    /// The length and the checksum of a file, by reading all of it.
    pub(super) fn measure(&self, name: FileName) -> Result<(u64, u32)> {
        let (mut file, _) = self.open_file(name)?;
        let mut checksum = crc32fast::Hasher::new();
        let mut size = 0;
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok((size, checksum.finalize())),
                Ok(count) => {
                    checksum.update(&buffer[..count]);
                    size += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(Error::io(&self.path(name), "reading a snapshot file", source));
                }
            }
        }
    }

    /// Gives a file another name, over one that may be there.
    pub(super) fn rename(&self, from: FileName, to: FileName) -> Result<()> {
        let path = self.path(to);
        fs::rename(self.path(from), &path)
            .map_err(|source| Error::io(&path, "naming a snapshot file", source))
    }

    /// Gives a file a second name, which must not be there.
    pub(super) fn link(&self, from: FileName, to: FileName) -> Result<PathBuf> {
        let path = self.path(to);
        fs::hard_link(self.path(from), &path)
            .map_err(|source| Error::io(&path, "linking a snapshot file", source))?;
        Ok(path)
    }

    /// Removes a file. One that is not there is as good as removed.
    pub(super) fn remove(&self, name: FileName) -> Result<()> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(Error::io(&path, "removing a snapshot file", source))
            }
            _ => Ok(()),
        }
    }

    /// Makes names durable.
    pub(super) fn sync(&self) -> Result<()> {
        File::open(&self.path)
            .and_then(|folder| folder.sync_all())
            .map_err(|source| Error::io(&self.path, "syncing the folder for snapshots", source))
    }

    /// Where the folder is.
    pub(super) fn root(&self) -> &Path {
        &self.path
    }
}

/// Makes the name of a new folder durable: what is synced inside is lost without it.
fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}
