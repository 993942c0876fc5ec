//! The loops of a store: who owns what, and what each does with a task.
//!
//! | worker | owns | is handed |
//! |---|---|---|
//! | [`raft`] | all peers, the index of regions, what is said to the store itself | [`Inbound`](crate::router::Inbound), [`Completion`](crate::message::Completion)s, ticks |
//! | [`apply`] | all appliers, and with them the kv engine's records of regions | [`ApplyTask`]s |
//! | [`region`] | nothing; slow work on the data of a region | [`RegionTask`]s |
//! | [`scheduler`] | nothing; calls that wait for the scheduler | [`SchedulerTask`]s |
//!
//! Each is a struct with a step; a thread around it, or the simulator, calls that. The thread that owns
//! the peers never waits for another one: what does not fit into a worker's queue is tried again in a
//! later turn, or is dropped where it will be wished for again.

pub mod apply;
mod completion;
mod inbound;
mod load;
mod look;
pub mod raft;
pub mod region;
pub mod scheduler;
mod store;

use bytes::Bytes;
use proto::RegionId;
use proto::eraftpb::Entry;
use proto::metapb::{Peer, Region, RegionEpoch};
use proto::raft_serverpb::{RaftApplyState, RaftMessage};
use proto::schedulerpb::StoreStats;

use crate::message::Waiting;
use crate::ports::RegionHeartbeat;
use crate::state::InstallMarker;

/// What the apply worker is asked to do, in this order.
#[derive(Debug)]
pub enum ApplyTask {
    /// From now on entries of this region come.
    Register {
        /// This store's peer.
        peer: Peer,
        /// The region as of what is applied.
        region: Region,
        /// What is applied.
        state: RaftApplyState,
        /// The term of the last applied entry.
        term: u64,
    },
    /// Committed entries, on disk in this store's log, in order.
    Entries {
        /// The region.
        region: RegionId,
        /// The entries.
        entries: Vec<Entry>,
        /// Whoever waits for some of them.
        waiting: Vec<Waiting>,
    },
    /// No more entries of this region come: a snapshot will replace its data.
    Stop(RegionId),
    /// The peer is gone for good, for another reason than an entry of its log.
    Destroy {
        /// The region.
        region: RegionId,
        /// The peer.
        peer: Peer,
        /// What its tombstone says.
        tombstone: Region,
    },
}

/// Slow work on the data or the log of a region.
#[derive(Debug)]
pub enum RegionTask {
    /// Builds a snapshot of a region for its followers.
    BuildSnapshot(RegionId),
    /// Reads the files of a snapshot through that has arrived.
    CheckSnapshot(Box<RaftMessage>),
    /// Makes a snapshot the region's data.
    Install(Box<InstallMarker>),
    /// Deletes entries that were cut off the log, once the data is on disk that they led to.
    DeleteLog {
        /// The region.
        region: RegionId,
        /// Entries before this one are deleted.
        end: u64,
    },
    /// Finds out how large a region is, and where to cut it.
    CheckSize {
        /// The region.
        region: Region,
        /// How many bytes were written into it that may not be in files yet.
        written: u64,
    },
    /// Deletes old snapshots.
    CollectSnapshots,
}

/// Calls that wait for the scheduler.
#[derive(Debug)]
pub enum SchedulerTask {
    /// Reports a region.
    Heartbeat(Box<RegionHeartbeat>),
    /// Reports the store.
    StoreHeartbeat(Box<StoreStats>),
    /// Asks for the ids of a split.
    AskSplit {
        /// The region.
        region: Region,
        /// Where it will be cut.
        key: Bytes,
    },
    /// Asks whether a peer that hears from no leader still belongs to its region.
    AskMembership {
        /// The region.
        region: RegionId,
        /// Its epoch as the peer knows it.
        epoch: RegionEpoch,
    },
}
