//! Scattering: a region that was just split off lives where its parent lives; move it elsewhere.
//!
//! Each peer goes to a store that holds fewer regions than its own, if there is one; leadership ends
//! at a store by chance among those that stay. One plan does it all, new peers first.

use super::Context;
use super::filter::Part;
use super::operator::{Kind, Operator, Step};
use crate::cluster::region::RegionInfo;
use crate::cluster::stores::Store;
use crate::error::{Error, Result};

impl Context<'_> {
    /// The plan that scatters a region. `None` when it already lies well.
    pub fn scatter(&mut self, region: &RegionInfo) -> Result<Option<Operator>> {
        let Some(leader) = region.leader_store() else {
            return Err(Error::invalid(format!("region {} has no leader yet", region.id())));
        };
        if region.meta.peers.len() != self.view.cluster.replicas() || !region.is_healthy() {
            let id = region.id();
            return Err(Error::invalid(format!("region {id} is being repaired")));
        }
        let moves = self.moves(region);
        let mut steps = Vec::new();
        for &(_, store) in &moves {
            let peer = self.ids.take().ok_or_else(|| Error::Records("no ids are left".into()))?;
            steps.push(Step::AddPeer { store, peer });
        }
        let goes = |store: u64| moves.iter().any(|&(from, _)| from == store);
        let stays = region.stores().filter(|&store| !goes(store));
        let stores: Vec<u64> = stays.chain(moves.iter().map(|&(_, to)| to)).collect();
        let able: Vec<u64> = stores.into_iter().filter(|&id| self.can_lead(id)).collect();
        if let Some(&to) = self.rng.pick(&able) {
            if to != leader {
                steps.push(Step::TransferLeader { from: leader, to });
            }
        } else if goes(leader) {
            return Ok(None);
        }
        steps.extend(moves.iter().map(|&(store, _)| Step::RemovePeer { store }));
        let kind = Kind::ADMIN.with(Kind::REGION).with(Kind::LEADER);
        let plan = Operator::new("scatter-region", region, kind, steps);
        Ok((!plan.steps().is_empty()).then_some(plan))
    }

    fn can_lead(&self, store: u64) -> bool {
        let store = self.view.cluster.stores.get(store);
        store.is_some_and(|store| self.may(Part::TakeLeader, store))
    }

    /// From which store to which: the fullest of the region's to the emptiest of the others.
    fn moves(&self, region: &RegionInfo) -> Vec<(u64, u64)> {
        let stores = &self.view.cluster.stores;
        let mut from: Vec<&Store> = region.stores().filter_map(|id| stores.get(id)).collect();
        from.sort_by_key(|store| (std::cmp::Reverse(store.load.regions), store.id()));
        let is_new = |store: &&Store| region.peer_on(store.id()).is_none();
        let takes = |store: &&Store| is_new(store) && self.may(Part::TakePeer, store);
        let mut to: Vec<&Store> = stores.iter().filter(takes).collect();
        to.sort_by_key(|store| (store.load.regions, store.id()));
        let helps = |(from, to): &(&Store, &Store)| to.load.regions + 1 < from.load.regions;
        let pairs = from.into_iter().zip(to).take_while(helps);
        pairs.map(|(from, to)| (from.id(), to.id())).collect()
    }
}
