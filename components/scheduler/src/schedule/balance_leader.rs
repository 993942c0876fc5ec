//! Leaders do the work of reads and writes, so each store should lead about as many regions.
//!
//! From the store that leads most, or to the one that leads fewest, a region is drawn by chance; its
//! leadership moves if that brings the two closer together by a margin. The number counts and not the
//! size: a leader costs what its clients ask of it.

use super::Context;
use super::filter::Part;
use super::operator::{Kind, Operator};
use super::plans;
use crate::cluster::region::RegionInfo;
use crate::cluster::regions::Holds;
use crate::cluster::stores::Store;

/// Stores that differ by fewer leaders are balanced: moving one back and forth helps nobody.
const MARGIN: u64 = 10;

/// How many regions are drawn for each store.
const DRAWS: usize = 10;

impl Context<'_> {
    /// A plan that moves one leadership, if stores are out of balance.
    pub fn balance_leader(&mut self) -> Option<Operator> {
        let cluster = self.view.cluster;
        let mut givers: Vec<&Store> =
            cluster.stores.iter().filter(|store| self.may(Part::GiveLeader, store)).collect();
        let mut takers: Vec<&Store> =
            cluster.stores.iter().filter(|store| self.may(Part::TakeLeader, store)).collect();
        givers.sort_by_key(|store| std::cmp::Reverse(store.load.leaders));
        takers.sort_by_key(|store| store.load.leaders);
        for place in 0..givers.len().max(takers.len()) {
            let giver = givers.get(place).and_then(|store| self.give(store));
            if let Some(plan) = giver {
                return Some(plan);
            }
            let taker = takers.get(place).and_then(|store| self.take(store));
            if let Some(plan) = taker {
                return Some(plan);
            }
        }
        None
    }

    fn give(&mut self, giver: &Store) -> Option<Operator> {
        (0..DRAWS).find_map(|_| {
            let regions = &self.view.cluster.regions;
            let region =
                regions.any(giver.id(), Holds::Leader, self.rng, RegionInfo::is_healthy)?;
            let followers = region.follower_stores();
            let mut takers: Vec<&Store> = followers
                .into_iter()
                .filter_map(|store| self.view.cluster.stores.get(store))
                .filter(|store| self.may(Part::TakeLeader, store))
                .collect();
            takers.sort_by_key(|store| store.load.leaders);
            takers.into_iter().find_map(|taker| hand_over(region, giver, taker))
        })
    }

    fn take(&mut self, taker: &Store) -> Option<Operator> {
        (0..DRAWS).find_map(|_| {
            let cluster = self.view.cluster;
            let fits = |region: &RegionInfo| region.is_healthy() && region.leader.is_some();
            let region = cluster.regions.any(taker.id(), Holds::Follower, self.rng, fits)?;
            let giver = cluster.stores.get(region.leader_store()?)?;
            hand_over(region, giver, taker)
        })
    }
}

fn hand_over(region: &RegionInfo, giver: &Store, taker: &Store) -> Option<Operator> {
    let is_worth_it = giver.load.leaders >= taker.load.leaders + MARGIN;
    is_worth_it
        .then(|| plans::transfer_leader("balance-leader", region, taker.id(), Kind::BALANCE))
        .flatten()
}
