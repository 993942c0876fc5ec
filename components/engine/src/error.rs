//! What can go wrong with a disk, told apart by what a caller does about it.

use std::io;
use std::path::{Path, PathBuf};

/// The result of asking an engine for something.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an engine could not do what it was asked.
///
/// Each message names the path and says what a person can do; nothing was deleted, whatever it says.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory cannot be used as it is: it is missing, not writable, or open to everybody.
    #[error("cannot open the engine in {}: {reason}", path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// What is wrong, and what to do about it.
        reason: String,
    },

    /// Another process has the directory open.
    #[error(
        "the engine in {} is in use by another process; stop that process, or choose another \
         directory",
        path.display()
    )]
    Locked {
        /// The directory.
        path: PathBuf,
    },

    /// The operating system refused a read or a write.
    #[error("input or output failed in {} while {doing}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was being done, as in "writing a batch".
        doing: &'static str,
        /// What the operating system said.
        source: io::Error,
    },

    /// A file does not hold what was once written into it.
    #[error("damaged data in {}: {reason}", path.display())]
    Corrupt {
        /// The file, or the directory when the file is not known.
        path: PathBuf,
        /// What is wrong, and what to do about it.
        reason: String,
    },

    /// An earlier write or sync failed, so what the disk holds is not known any more.
    #[error(
        "the engine stopped after an earlier failure and takes no further calls; restart the \
         process once its cause is mended; the failure was: {reason}"
    )]
    Poisoned {
        /// The first failure.
        reason: String,
    },

    /// What was asked cannot be done, and nothing was changed: keys out of order in a sorted file,
    /// a file that is not there, a directory that exists already.
    #[error("not possible: {reason}")]
    Invalid {
        /// Why not.
        reason: String,
    },
}

impl Error {
    /// Whether data was found damaged, which another replica may still hold.
    pub fn is_corrupt(&self) -> bool {
        matches!(self, Error::Corrupt { .. })
    }

    /// Whether the engine takes no further calls.
    pub fn is_poisoned(&self) -> bool {
        matches!(self, Error::Poisoned { .. })
    }

    pub(crate) fn io(path: &Path, doing: &'static str, source: io::Error) -> Self {
        Error::Io { path: path.to_owned(), doing, source }
    }

    /// Something stands where something new was to be written.
    pub(crate) fn exists(path: &Path) -> Self {
        Error::invalid(format!("{} exists already", path.display()))
    }

    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Error::Invalid { reason: reason.into() }
    }
}
