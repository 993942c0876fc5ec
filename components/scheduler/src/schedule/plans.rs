//! The plans there are, as lists of steps.
//!
//! A leader is never removed: leadership is handed over first, to a follower whose store is known and
//! in good shape, so that the region has somebody to carry the removal out.

use runtime::clock::Instant;

use super::operator::{Kind, Operator, Step};
use crate::cluster::Cluster;
use crate::cluster::region::RegionInfo;

/// Hands leadership of a region to another store.
pub fn transfer_leader(
    desc: &'static str,
    region: &RegionInfo,
    to: u64,
    kind: Kind,
) -> Option<Operator> {
    let from = region.leader_store()?;
    let step = Step::TransferLeader { from, to };
    Some(Operator::new(desc, region, kind.with(Kind::LEADER), vec![step]))
}

/// Gives a region one more peer.
pub fn add_peer(
    desc: &'static str,
    region: &RegionInfo,
    store: u64,
    peer: u64,
    kind: Kind,
) -> Operator {
    let steps = vec![Step::AddPeer { store, peer }];
    Operator::new(desc, region, kind.with(Kind::REGION), steps)
}

/// What plans look at.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// The moment.
    pub now: Instant,
}

impl View<'_> {
    /// Takes a peer away from a region. `None` when it leads and nobody else can.
    pub fn remove_peer(
        self,
        desc: &'static str,
        region: &RegionInfo,
        store: u64,
        kind: Kind,
    ) -> Option<Operator> {
        let (transfer, moves_leader) = self.leave(region, store, None)?;
        let steps = transfer.into_iter().chain([Step::RemovePeer { store }]).collect();
        Some(Operator::new(desc, region, kind.with(moves_leader).with(Kind::REGION), steps))
    }

    /// Moves a peer of a region: a new one first, then the old one goes.
    pub fn move_peer(
        self,
        desc: &'static str,
        region: &RegionInfo,
        from: u64,
        (to, peer): (u64, u64),
        kind: Kind,
    ) -> Option<Operator> {
        let (transfer, moves_leader) = self.leave(region, from, Some(to))?;
        let mut steps = vec![Step::AddPeer { store: to, peer }];
        steps.extend(transfer);
        steps.push(Step::RemovePeer { store: from });
        Some(Operator::new(desc, region, kind.with(moves_leader).with(Kind::REGION), steps))
    }

    /// The step that makes `store` a follower, if it leads: to one of the followers, or else to the
    /// peer that will be new.
    fn leave(
        self,
        region: &RegionInfo,
        store: u64,
        new: Option<u64>,
    ) -> Option<(Option<Step>, Kind)> {
        if region.leader_store() != Some(store) {
            return Some((None, Kind::default()));
        }
        let candidates = region.follower_stores().into_iter().chain(new);
        let to = self.first_able(candidates, region)?;
        Some((Some(Step::TransferLeader { from: store, to }), Kind::LEADER))
    }

    /// The first of these stores that is known; one that is in good shape before any other.
    pub fn first_able(
        self,
        stores: impl IntoIterator<Item = u64>,
        region: &RegionInfo,
    ) -> Option<u64> {
        let is_known = |id: &u64| self.cluster.stores.get(*id).is_some();
        let known: Vec<u64> = stores.into_iter().filter(is_known).collect();
        let is_able = |&&id: &&u64| {
            let is_well = region.peer_on(id).is_none_or(|peer| region.is_well(peer.id));
            let store = self.cluster.stores.get(id);
            is_well && store.is_some_and(|s| s.is_up() && s.reports(self.now))
        };
        known.iter().find(is_able).or(known.first()).copied()
    }

    /// Whether a region keeps a majority of peers in good shape when the one on `store` goes: on
    /// stores that report, and not far behind.
    pub fn survives_without(self, region: &RegionInfo, store: u64) -> bool {
        let left: Vec<_> = region.meta.peers.iter().filter(|peer| peer.store_id != store).collect();
        let is_well = |peer: &&&proto::metapb::Peer| {
            let known = self.cluster.stores.get(peer.store_id);
            let reports = known.is_some_and(|store| store.reports(self.now));
            reports && region.is_well(peer.id)
        };
        let well = left.iter().filter(is_well).count();
        well > left.len() / 2
    }
}
