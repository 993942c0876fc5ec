//! What can go wrong with a snapshot's files, told apart by what a caller does about it.

use std::io;
use std::path::{Path, PathBuf};

use super::key::SnapId;

/// The result of most calls of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a snapshot could not be built, moved or installed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be done now. Nothing has changed; try again later.
    #[error("snapshots have to wait: {limit}")]
    Busy {
        /// Which limit was met.
        limit: &'static str,
    },

    /// There is no such snapshot here, or only another one of the same name: built, received and kept
    /// to the end. The sender has to send it again.
    #[error("snapshot {id} is not here")]
    Missing {
        /// Which one was looked for.
        id: SnapId,
    },

    /// A file, or what arrived of it, is not what its sender wrote. It is thrown away, and the sender
    /// has to send it again.
    #[error("damaged snapshot file {}: {why}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },

    /// The description of a snapshot makes no sense. No such message comes from a store that works.
    #[error("not the description of a snapshot: {0}")]
    Invalid(String),

    /// The operating system refused a read or a write.
    #[error("input or output failed in {} while {doing}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done, as in "writing a chunk".
        doing: &'static str,
        /// What the operating system said.
        source: io::Error,
    },

    /// The engine could not write, read or take in a file.
    #[error(transparent)]
    Engine(#[from] engine::Error),
}

impl Error {
    /// Whether the same call may well succeed a little later.
    pub fn is_busy(&self) -> bool {
        matches!(self, Error::Busy { .. })
    }

    /// Whether the snapshot is of no use, so that another one must be asked for. Nothing is wrong with
    /// this store then.
    pub fn is_unusable(&self) -> bool {
        match self {
            Error::Missing { .. } | Error::Damaged { .. } | Error::Invalid(_) => true,
            Error::Busy { .. } | Error::Io { .. } | Error::Engine(_) => false,
        }
    }

    pub(super) fn damaged(file: &Path, why: impl Into<String>) -> Self {
        Error::Damaged { file: file.to_owned(), why: why.into() }
    }

    pub(super) fn io(path: &Path, doing: &'static str, source: io::Error) -> Self {
        Error::Io { path: path.to_owned(), doing, source }
    }
}
