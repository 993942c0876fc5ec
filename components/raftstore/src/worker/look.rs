//! A look at the peers from outside, for tools, tests and the simulator.

use proto::RegionId;
use proto::metapb::{Peer as PeerRecord, Region};
use raft::Storage as _;

use super::raft::RaftWorker;
use crate::message::PeerLook;
use crate::peer::Peer;

impl Peer {
    /// The peer as it is now.
    pub(super) fn look(&self) -> PeerLook {
        let status = self.node.status();
        let truncated = self.storage().truncated();
        let last_term = self.node.raft().log().term(status.last_index);
        PeerLook {
            region: self.region().clone(),
            peer: self.own(),
            leader: self.leader(),
            last_term: last_term.unwrap_or(truncated.term),
            truncated,
            size: self.size(),
            raft: status,
        }
    }
}

impl RaftWorker {
    /// How many peers there are.
    pub fn peers(&self) -> usize {
        self.peers.len()
    }

    /// Panics if an invariant does not hold; for tests and the simulator.
    pub fn check_invariants(&self) {
        for (id, peer) in &self.peers {
            peer.node.check_invariants();
            assert_eq!(*id, peer.region_id(), "a peer stands under another region's id");
            let storage = peer.storage();
            let (truncated, applied, last) =
                (storage.truncated().index, storage.applied_index(), storage.last_index());
            assert!(
                truncated <= applied && applied <= last,
                "P1: region {id}: truncated {truncated} <= applied {applied} <= last {last}"
            );
        }
        for region in self.index.iter() {
            let peer = self.peers.get(&region.region_id());
            assert!(peer.is_some(), "region {} of the index has no peer", region.id);
        }
    }

    /// The regions that this store has data of, in the order of their keys; for tools and checkers.
    pub fn regions(&self) -> Vec<Region> {
        self.index.iter().cloned().collect()
    }

    /// What Raft says about each region; for tools and checkers.
    pub fn statuses(&self) -> Vec<(RegionId, PeerRecord, raft::Status)> {
        let status = |(id, peer): (&RegionId, &Peer)| (*id, peer.own(), peer.node.status());
        self.peers.iter().map(status).collect()
    }

    /// Commands and reads that wait; for tools and checkers.
    pub fn waiting(&self) -> usize {
        self.peers.values().map(Peer::waiting).sum()
    }
}
