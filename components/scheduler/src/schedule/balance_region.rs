//! Regions fill disks, so each store should hold about as many mebibytes of them.
//!
//! The fullest store that may give, and has a region that may go, gives it to the emptiest store that
//! has no peer of it. Of its regions first one whose peer here lags behind, which costs nothing to
//! lose; then one it follows, which moves without disturbing anybody; last one it leads.
//!
//! It must be worth it: the stores differ by more than twice the region, so that the move does not only
//! turn the imbalance around.

use super::Context;
use super::filter::Part;
use super::operator::{Kind, Operator};
use crate::cluster::region::RegionInfo;
use crate::cluster::regions::Holds;
use crate::cluster::stores::Store;

impl Context<'_> {
    /// A plan that moves one peer, if stores are out of balance.
    pub fn balance_region(&mut self) -> Option<Operator> {
        let cluster = self.view.cluster;
        let fits = |store: &&Store| store.is_up() && self.may(Part::GivePeer, store);
        let mut givers: Vec<&Store> = cluster.stores.iter().filter(fits).collect();
        givers.sort_by_key(|store| std::cmp::Reverse(store.load.region_mib));
        givers.into_iter().find_map(|giver| self.relieve(giver))
    }

    fn relieve(&mut self, giver: &Store) -> Option<Operator> {
        let cluster = self.view.cluster;
        // Others are repaired first; a move would be one more thing to go wrong.
        let is_whole = |region: &RegionInfo| region.meta.peers.len() == cluster.replicas();
        let is_well = |region: &RegionInfo| is_whole(region) && region.is_healthy();
        let regions = &cluster.regions;
        let region = regions
            .any(giver.id(), Holds::Pending, self.rng, is_whole)
            .or_else(|| regions.any(giver.id(), Holds::Follower, self.rng, is_well))
            .or_else(|| regions.any(giver.id(), Holds::Leader, self.rng, is_well))?;
        let taker = self.emptiest_without(region)?;
        let difference = giver.load.region_mib.saturating_sub(taker.load.region_mib);
        if difference <= 2 * region.size_mib {
            return None;
        }
        let new = (taker.id(), self.ids.take()?);
        self.view.move_peer("balance-region", region, giver.id(), new, Kind::BALANCE)
    }

    fn emptiest_without(&self, region: &RegionInfo) -> Option<&Store> {
        let fits = |store: &&Store| {
            region.peer_on(store.id()).is_none() && self.may(Part::TakePeer, store)
        };
        let stores = self.view.cluster.stores.iter().filter(fits);
        stores.min_by_key(|store| (store.load.region_mib, store.id()))
    }
}
