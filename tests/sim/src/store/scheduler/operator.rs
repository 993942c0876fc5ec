//! What the scheduler wants of a region, until it is so.

use std::fmt;

use proto::eraftpb::ConfChangeType;
use proto::metapb::{Peer, Region};
use raftstore::Admin;

/// A wish about one region. It is said again with every heartbeat until the region is as wished.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operator {
    /// The region gets this peer, which catches up.
    AddPeer(Peer),
    /// The region loses this peer.
    RemovePeer(Peer),
    /// This peer leads.
    TransferLeader(Peer),
}

impl Operator {
    /// Whether a region that `leader` reports, with these peers still to catch up, is as wished.
    pub(super) fn is_done(&self, region: &Region, leader: Peer, pending: &[Peer]) -> bool {
        let has = |wanted: &Peer| region.peers.iter().any(|peer| peer.id == wanted.id);
        match self {
            Operator::AddPeer(peer) => has(peer) && !pending.iter().any(|other| other == peer),
            Operator::RemovePeer(peer) => !has(peer),
            Operator::TransferLeader(peer) => leader.id == peer.id,
        }
    }

    /// What is said to the leader. Nothing while a new peer has only to catch up.
    pub(super) fn command(&self, region: &Region) -> Option<Admin> {
        match *self {
            Operator::AddPeer(peer) if region.peers.iter().any(|other| other.id == peer.id) => None,
            Operator::AddPeer(peer) => {
                Some(Admin::ChangePeer { change: ConfChangeType::AddNode, peer })
            }
            Operator::RemovePeer(peer) => {
                Some(Admin::ChangePeer { change: ConfChangeType::RemoveNode, peer })
            }
            Operator::TransferLeader(to) => Some(Admin::TransferLeader { to }),
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, peer) = match self {
            Operator::AddPeer(peer) => ("add", peer),
            Operator::RemovePeer(peer) => ("remove", peer),
            Operator::TransferLeader(peer) => ("let lead", peer),
        };
        write!(f, "{what} peer {} on store {}", peer.id, peer.store_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_peer_is_done_when_it_has_caught_up() {
        let [old, new] = [1, 2].map(|id| Peer { id, store_id: id });
        let wish = Operator::AddPeer(new);
        let mut region = Region::new(1.into(), "", "").with_peers([old]);
        assert!(wish.command(&region).is_some());
        region.peers.push(new);
        assert!(!wish.is_done(&region, old, &[new]) && wish.command(&region).is_none());
        assert!(wish.is_done(&region, old, &[]));
    }
}
