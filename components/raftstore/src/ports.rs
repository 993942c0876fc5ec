//! What a store needs of the outside: other stores, and the scheduler.
//!
//! The traits belong to this crate, so that it knows neither gRPC nor the network. A node gives it
//! adapters; tests and the simulator give it what they are about.

use std::fmt;

use proto::RegionId;
use proto::metapb::{Peer, Region, Store};
use proto::raft_serverpb::RaftMessage;
use proto::schedulerpb::{PeerStats, StoreStats};

/// The way to other stores.
///
/// Nothing here blocks, because the thread that owns the peers calls it. What cannot be taken now is
/// dropped: Raft sends it again.
pub trait Transport: Send + Sync {
    /// Takes a message for the store that `message.to_peer` names. A snapshot's files are sent with its
    /// message; what became of them is told to the router as `SnapshotSent`.
    fn send(&self, message: RaftMessage) -> Result<(), Unsent>;

    /// A turn is over: what was taken may leave.
    fn flush(&self) {}
}

/// A message was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message could not be sent: {why}")]
pub struct Unsent {
    /// For people.
    pub why: &'static str,
}

/// What a leader tells the scheduler about its region.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionHeartbeat {
    /// The region.
    pub region: Region,
    /// The peer that reports, which leads it.
    pub leader: Peer,
    /// The term in which it leads.
    pub term: u64,
    /// Peers that have said nothing for long, whatever their stores say.
    pub down_peers: Vec<PeerStats>,
    /// Peers that need a snapshot before they can follow.
    pub pending_peers: Vec<Peer>,
    /// About how many bytes the region holds.
    pub approximate_size: u64,
}

/// The scheduler, called from a worker of its own that may wait.
///
/// The answer to a heartbeat, if it has one, does not come back here but as a command through the
/// router, when the scheduler pleases.
pub trait SchedulerClient: Send + Sync {
    /// A new number for a store, a region or a peer.
    fn alloc_id(&self) -> Result<u64, SchedulerError>;

    /// Whether the cluster has a first region.
    fn is_bootstrapped(&self) -> Result<bool, SchedulerError>;

    /// Founds the cluster on this store. `false` if somebody else was first.
    fn bootstrap(&self, store: &Store, region: &Region) -> Result<bool, SchedulerError>;

    /// Makes the store known, with its address.
    fn put_store(&self, store: &Store) -> Result<(), SchedulerError>;

    /// Reports the store.
    fn store_heartbeat(&self, stats: &StoreStats) -> Result<(), SchedulerError>;

    /// Reports a region.
    fn region_heartbeat(&self, heartbeat: RegionHeartbeat) -> Result<(), SchedulerError>;

    /// Ids for the right part of a split, and for each of its peers.
    fn ask_split(&self, region: &Region) -> Result<(RegionId, Vec<u64>), SchedulerError>;

    /// A region as the scheduler knows it.
    fn region(&self, id: RegionId) -> Result<Option<Region>, SchedulerError>;
}

/// The scheduler did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchedulerError(pub String);

impl fmt::Display for SchedulerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SchedulerError {}
