//! What can go wrong, as far as somebody decides something by it.

use std::error::Error as StdError;

use crate::config::Problems;
use crate::{Index, NodeId};

/// The result of most calls of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call had no effect.
///
/// The first four are answers to a wish of this node's own user, and mean that *certainly nothing
/// was proposed*. The next two speak about a message of somebody else's, which is dropped. The last
/// two are trouble at home.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Only a leader accepts proposals and reads.
    #[error("not the leader")]
    NotLeader {
        /// Who is, if this node knows.
        leader: Option<NodeId>,
    },
    /// The leader is handing over and accepts nothing new, so that its heir can catch up.
    #[error("leadership is on its way to node {to}")]
    Transferring {
        /// The heir.
        to: NodeId,
    },
    /// Membership changes go one at a time, and the last one is not applied yet.
    #[error("the membership change at or below index {index} is not applied yet")]
    ConfChangePending {
        /// The index that must be applied first.
        index: Index,
    },
    /// A limit of [`Config`](crate::Config) is reached; ask again once something has moved.
    #[error("the limit {limit} is reached")]
    Busy {
        /// The name of the limit.
        limit: &'static str,
    },
    /// A message that no correct node sends, or a membership change that nobody can mean: it lacks a
    /// part, or its parts contradict each other.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// A well-formed message that cannot be true here, such as an append from a second leader of a
    /// term, or an acknowledgement of entries that were never sent.
    #[error("impossible message from node {from}: {why}")]
    Impossible {
        /// Who sent it.
        from: NodeId,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The configuration, or what the storage says at the start, cannot be used.
    #[error("unusable configuration: {0}")]
    Config(#[from] Problems),
    /// The log could not be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why a [`Storage`](crate::Storage) did not answer. The first three are part of normal life.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The entry is part of a snapshot now. Whoever needs it needs the snapshot.
    #[error("the entry is compacted")]
    Compacted,
    /// The storage has no such entry, and never had.
    #[error("the entry is not there")]
    Unavailable,
    /// A snapshot is being built. The leader asks again at the follower's next heartbeat answer.
    #[error("the snapshot is not ready yet")]
    SnapshotPending,
    /// The snapshot that was handed in is not newer than what is there.
    #[error("the snapshot is out of date")]
    SnapshotOutOfDate,
    /// The disk failed. Nothing sensible can be done with this node any more.
    #[error("the storage failed")]
    Failed(#[source] Box<dyn StdError + Send + Sync>),
}
