//! One region, as its leader last described it.

use std::time::Duration;

use bytes::Bytes;
use proto::metapb::{Peer, Region, RegionEpoch};
use proto::schedulerpb::{PeerStats, RegionHeartbeatRequest};

/// One mebibyte, the unit in which regions are weighed.
const MIB: u64 = 1 << 20;

/// A region with its leader, and how it is doing. It is never changed, only replaced.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionInfo {
    /// Where it lies, and on which stores.
    pub meta: Region,
    /// Who leads it; nobody that we know of, right after a start.
    pub leader: Option<Peer>,
    /// Peers that lag so far behind that they do not count yet.
    pub pending: Vec<Peer>,
    /// Peers that are silent, though their stores may report.
    pub down: Vec<PeerStats>,
    /// About how large it is, in mebibytes; at least one.
    pub size_mib: u64,
}

impl RegionInfo {
    /// A region that somebody described, without anything about how it is doing.
    pub fn new(meta: Region, leader: Option<Peer>) -> Self {
        let (pending, down) = (Vec::new(), Vec::new());
        RegionInfo { meta: detached(meta), leader, pending, down, size_mib: 1 }
    }

    /// What a heartbeat says; the region is empty when it says nothing.
    pub fn from_heartbeat(heartbeat: RegionHeartbeatRequest) -> Self {
        RegionInfo {
            meta: detached(heartbeat.region.unwrap_or_default()),
            leader: heartbeat.leader,
            pending: heartbeat.pending_peers,
            down: heartbeat.down_peers,
            size_mib: (heartbeat.approximate_size / MIB).max(1),
        }
    }

    /// The region's id.
    pub fn id(&self) -> u64 {
        self.meta.id
    }

    /// The region's epoch; zero where none was said.
    pub fn epoch(&self) -> RegionEpoch {
        self.meta.region_epoch.unwrap_or_default()
    }

    /// The store of the leader.
    pub fn leader_store(&self) -> Option<u64> {
        self.leader.as_ref().map(|leader| leader.store_id)
    }

    /// The peer on this store.
    pub fn peer_on(&self, store: u64) -> Option<&Peer> {
        self.meta.peers.iter().find(|peer| peer.store_id == store)
    }

    /// The stores of all peers.
    pub fn stores(&self) -> impl Iterator<Item = u64> {
        self.meta.peers.iter().map(|peer| peer.store_id)
    }

    /// The stores of all peers but the leader, in ascending order.
    pub fn follower_stores(&self) -> Vec<u64> {
        let leader = self.leader.as_ref().map(|leader| leader.id);
        let followers = self.meta.peers.iter().filter(|peer| Some(peer.id) != leader);
        let mut stores: Vec<u64> = followers.map(|peer| peer.store_id).collect();
        stores.sort_unstable();
        stores
    }

    /// Whether the peer of this id lags far behind.
    pub fn is_pending(&self, peer: u64) -> bool {
        self.pending.iter().any(|pending| pending.id == peer)
    }

    /// How long the leader has missed the peer of this id, if it does.
    pub fn down_for(&self, peer: u64) -> Option<Duration> {
        let of = |stats: &&PeerStats| stats.peer.is_some_and(|down| down.id == peer);
        self.down.iter().find(of).map(|stats| Duration::from_secs(stats.down_seconds))
    }

    /// Whether the peer of this id answers and is not far behind.
    pub fn is_well(&self, peer: u64) -> bool {
        !self.is_pending(peer) && self.down_for(peer).is_none()
    }

    /// Whether all peers are in shape to be moved around.
    pub fn is_healthy(&self) -> bool {
        self.pending.is_empty() && self.down.is_empty()
    }
}

/// Keys that arrived from the network are slices of the buffer they came in. A region is kept for
/// long, so it gets keys of its own.
fn detached(mut meta: Region) -> Region {
    meta.start_key = Bytes::copy_from_slice(&meta.start_key);
    meta.end_key = Bytes::copy_from_slice(&meta.end_key);
    meta
}
