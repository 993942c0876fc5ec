//! What can go wrong, told apart by what a caller does about it.

use bytes::Bytes;
use proto::metapb::{Peer, Region};

/// The result of most calls of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a region did not serve: one for one what clients branch on.
///
/// All but [`RegionError::StaleCommand`] promise that the command was certainly not applied.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RegionError {
    /// The peer is not the leader.
    #[error("region {region} is not led by this store")]
    NotLeader {
        /// The region.
        region: u64,
        /// Who leads it, if that is known.
        leader: Option<Peer>,
    },

    /// There is no such region on this store.
    #[error("region {region} is not on this store")]
    NotFound {
        /// The region.
        region: u64,
    },

    /// A key of the request lies outside of the region.
    #[error("a key of the request is not in region {region}")]
    KeyNotInRegion {
        /// The key, in the form in which regions order keys.
        key: Bytes,
        /// The region.
        region: u64,
        /// Its first key.
        start: Bytes,
        /// The first key after it; empty for infinity.
        end: Bytes,
    },

    /// The region has changed since the client, or the snapshot, looked at it.
    #[error("the region has changed since the request was made")]
    EpochNotMatch {
        /// What it has become: the region, and its neighbours on this store.
        regions: Vec<Region>,
    },

    /// What became of the request is not known: leadership changed under it, or its answer was lost.
    #[error("the fate of the command is not known")]
    StaleCommand,

    /// The request was meant for another store.
    #[error("the request is for store {asked}, this is store {actual}")]
    StoreNotMatch {
        /// The store that the client meant.
        asked: u64,
        /// The store that it reached.
        actual: u64,
    },

    /// It cannot be done now; try again a little later.
    #[error("the server is busy: {0}")]
    Busy(&'static str),

    /// It will never be done as it was asked.
    #[error("refused: {0}")]
    Refused(&'static str),
}

impl RegionError {
    /// Whether the command may have been applied, or may still be.
    pub fn is_undetermined(&self) -> bool {
        match self {
            RegionError::StaleCommand => true,
            RegionError::NotLeader { .. }
            | RegionError::NotFound { .. }
            | RegionError::KeyNotInRegion { .. }
            | RegionError::EpochNotMatch { .. }
            | RegionError::StoreNotMatch { .. }
            | RegionError::Busy(_)
            | RegionError::Refused(_) => false,
        }
    }

    /// A key that is not in `region`.
    pub fn key_not_in_region(key: &[u8], region: &Region) -> Self {
        RegionError::KeyNotInRegion {
            key: Bytes::copy_from_slice(key),
            region: region.id,
            start: region.start_key.clone(),
            end: region.end_key.clone(),
        }
    }
}

/// Why the store cannot go on. None of these is an answer to a client: whoever sees one stops the
/// store and says why.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A disk failed.
    #[error(transparent)]
    Engine(#[from] engine::Error),

    /// A group's log cannot be read.
    #[error("region {region}: {source}")]
    Raft {
        /// The region.
        region: u64,
        /// What Raft said.
        source: raft::Error,
    },

    /// A record of ours does not parse, or contradicts another one.
    #[error("damaged {record} of region {region}: {reason}")]
    Corrupt {
        /// Which record, as in "apply state".
        record: &'static str,
        /// The region; zero for a record of the store.
        region: u64,
        /// What is wrong with it.
        reason: String,
    },

    /// The directory belongs to another store or cluster.
    #[error(
        "this is the disk of store {found} of cluster {found_cluster}, not of {expected}: {hint}"
    )]
    ForeignDisk {
        /// The store whose disk it is.
        found: u64,
        /// The cluster whose disk it is.
        found_cluster: u64,
        /// What was expected.
        expected: String,
        /// What to do about it.
        hint: &'static str,
    },

    /// The scheduler did not do what a store needs in order to start.
    #[error("the scheduler refused: {0}")]
    Scheduler(String),

    /// A worker of the store could not go on.
    #[error("{0}")]
    Worker(String),

    /// A thread could not be started.
    #[error(transparent)]
    Thread(#[from] std::io::Error),

    /// The files of snapshots cannot be used.
    #[error(transparent)]
    Snapshot(#[from] crate::snapshot::Error),
}

impl Error {
    pub(crate) fn corrupt(record: &'static str, region: u64, reason: impl Into<String>) -> Self {
        Error::Corrupt { record, region, reason: reason.into() }
    }
}
