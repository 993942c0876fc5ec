//! Repair: each region has as many peers as it should, on stores that stay.
//!
//! In this order, the first that applies:
//!
//! | what is wrong | what is done |
//! |---|---|
//! | a peer's store, or the peer itself, is lost (silent for long) | one peer too many: remove it; else replace it |
//! | a peer's store is leaving | the same |
//! | too few peers | add one on the store that holds least |
//! | too many peers | remove one that is far behind or out of sight, else the one on the fullest store |
//!
//! A new peer comes before the old one goes: a region of three with one lost peer has four for a
//! while, and never two of which one is empty.

use super::Context;
use super::filter::Part;
use super::operator::{Kind, Operator, Step};
use super::plans;
use crate::cluster::region::RegionInfo;
use crate::cluster::stores::Store;

/// What makes a peer unwanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ill {
    Lost,
    Leaving,
}

impl Context<'_> {
    /// The plan that mends a region, if something is wrong with it.
    pub fn repair(&mut self, region: &RegionInfo) -> Option<Operator> {
        let replicas = self.view.cluster.replicas();
        // Without its store, nothing sensible can be said about a peer.
        let is_known = |store: u64| self.view.cluster.stores.get(store).is_some();
        if !region.stores().all(is_known) {
            return None;
        }
        if let Some((store, ill)) = self.ill_peer(region) {
            return self.replace(region, store, ill).map(Operator::urgent);
        }
        let peers = region.meta.peers.len();
        if peers < replicas {
            let store = self.store_for_one_more(region)?;
            let peer = self.ids.take()?;
            return Some(plans::add_peer("make-up-replica", region, store, peer, Kind::REPLICA));
        }
        if peers > replicas {
            let store = self.least_useful(region)?;
            return self.view.remove_peer("remove-extra-replica", region, store, Kind::REPLICA);
        }
        None
    }

    fn ill_peer(&self, region: &RegionInfo) -> Option<(u64, Ill)> {
        let most = self.config.max_store_down_time.get();
        let ill = |store: &Store| {
            // A store may report while one of its replicas is damaged, and silent for ever.
            let peer = region.peer_on(store.id());
            let is_mute = peer.and_then(|peer| region.down_for(peer.id)).is_some_and(|t| t > most);
            if is_mute || store.silent_for(self.view.now) > most {
                Some(Ill::Lost)
            } else if !store.is_up() {
                Some(Ill::Leaving)
            } else {
                None
            }
        };
        let of = |id: u64| Some((id, ill(self.view.cluster.stores.get(id)?)?));
        let ills: Vec<_> = region.stores().filter_map(of).collect();
        ills.iter().find(|(_, ill)| *ill == Ill::Lost).or(ills.first()).copied()
    }

    fn replace(&mut self, region: &RegionInfo, from: u64, ill: Ill) -> Option<Operator> {
        if region.meta.peers.len() > self.view.cluster.replicas() {
            let desc = match ill {
                Ill::Lost => "remove-extra-down-replica",
                Ill::Leaving => "remove-extra-offline-replica",
            };
            return self.view.remove_peer(desc, region, from, Kind::REPLICA);
        }
        let to = self.store_for_one_more(region)?;
        let peer = self.ids.take()?;
        match ill {
            Ill::Lost => {
                let desc = "replace-down-replica";
                self.view.move_peer(desc, region, from, (to, peer), Kind::REPLICA)
            }
            Ill::Leaving => Some(self.evacuate(region, from, (to, peer))),
        }
    }

    /// Like moving a peer, but leadership goes first: who leaves should stop leading at once.
    fn evacuate(&self, region: &RegionInfo, from: u64, (to, peer): (u64, u64)) -> Operator {
        let mut steps = vec![Step::AddPeer { store: to, peer }, Step::RemovePeer { store: from }];
        let mut kind = Kind::REPLICA.with(Kind::REGION);
        if region.leader_store() == Some(from) {
            let followers = region.follower_stores();
            // A region of one has no follower; then the new peer takes over once it is there.
            let (place, to) = match self.view.first_able(followers, region) {
                Some(follower) => (0, follower),
                None => (1, to),
            };
            steps.insert(place, Step::TransferLeader { from, to });
            kind = kind.with(Kind::LEADER);
        }
        Operator::new("replace-offline-replica", region, kind, steps)
    }

    /// Among the stores without a peer of this region, the one that holds least.
    fn store_for_one_more(&self, region: &RegionInfo) -> Option<u64> {
        let stores = self.view.cluster.stores.iter();
        let fits = |store: &&Store| {
            region.peer_on(store.id()).is_none() && self.may(Part::TakePeer, store)
        };
        let best = stores.filter(fits).min_by_key(|store| (store.load.region_mib, store.id()))?;
        Some(best.id())
    }

    /// Of the region's stores, the one whose peer is missed least. `None` when it is busy.
    fn least_useful(&self, region: &RegionInfo) -> Option<u64> {
        let stores = region.meta.peers.iter().filter_map(|peer| {
            let store = self.view.cluster.stores.get(peer.store_id)?;
            let is_weak = !region.is_well(peer.id) || store.is_disconnected(self.view.now);
            Some((store, is_weak))
        });
        let mut worst: Option<(bool, u64, u64)> = None;
        for (store, is_weak) in stores {
            // Of equals the first, which is the oldest peer.
            let this = (is_weak, store.load.region_mib, store.id());
            if worst.is_none_or(|worst| (this.0, this.1) > (worst.0, worst.1)) {
                worst = Some(this);
            }
        }
        let (is_weak, _, id) = worst?;
        let is_busy = self.view.cluster.stores.get(id).is_some_and(Store::is_busy);
        (is_weak || !is_busy).then_some(id)
    }
}
