//! Operators at random: peers come and go, leaders move, regions are cut where nobody asked for it.

use bytes::Bytes;
use proto::StoreId;
use proto::metapb::{Peer, Region};
use raftstore::{Admin, Header, SchedulerClient as _};

use super::scheduler::Operator;
use super::simulation::Simulation;
use super::workload::name;

/// A region has at most so many peers.
const PEERS_MAX: usize = 5;

/// A group is not made smaller than this; its last member stays.
const PEERS_MIN: usize = 2;

impl Simulation {
    /// The scheduler has an idea.
    pub(super) fn operate(&mut self) {
        let Some(region) = self.world.scheduler().random_region(&mut self.rng) else { return };
        let mut place = self.rng.below(self.params.operators.iter().sum());
        let kind = self.params.operators.iter().position(|weight| {
            let is_here = place < *weight;
            place = place.saturating_sub(*weight);
            is_here
        });
        let operator = match kind {
            Some(0) => self.add_peer(&region),
            Some(1) => self.remove_peer(&region),
            Some(2) => self.rng.pick(&region.peers).copied().map(Operator::TransferLeader),
            Some(_) | None => {
                let region = self.waiting_region().unwrap_or_else(|| region.clone());
                self.split(&region);
                None
            }
        };
        if let Some(operator) = operator {
            self.world.trace.event(region.id, || format!("region {}: {operator}", region.id));
            self.world.scheduler().set_operator(region.region_id(), operator);
        } else if self.rng.chance(1, 4) {
            self.world.scheduler().clear_operator(region.region_id());
        }
    }

    fn add_peer(&mut self, region: &Region) -> Option<Operator> {
        let store_id = self.some_store();
        let is_here = region.peer_on_store(StoreId::new(store_id)).is_some();
        if is_here || region.peers.len() >= PEERS_MAX {
            return None;
        }
        Some(Operator::AddPeer(Peer { id: self.world.scheduler().next_id(), store_id }))
    }

    fn remove_peer(&mut self, region: &Region) -> Option<Operator> {
        // A replica that is lost must not be needed for a majority before it is replaced.
        if region.peers.len() < PEERS_MIN || self.lamed.contains(&region.id) {
            return None;
        }
        self.rng.pick(&region.peers).copied().map(Operator::RemovePeer)
    }

    /// Sometimes, a region of which somebody still waits for a snapshot: what arrives will be of a region
    /// that is no longer as it was.
    fn waiting_region(&mut self) -> Option<Region> {
        if self.rng.chance(1, 2) {
            return None;
        }
        let scheduler = self.world.scheduler();
        let mut regions = scheduler.regions();
        regions.retain(|region| !scheduler.pending_peers(region.region_id()).is_empty());
        self.rng.pick(&regions).cloned()
    }

    /// Asks a leader to cut its region: mostly well, sometimes badly.
    pub(super) fn split(&mut self, region: &Region) {
        let scheduler = self.world.scheduler();
        let Some(leader) = scheduler.leader(region.region_id()) else { return };
        let Ok((new_region, mut new_peers)) = scheduler.ask_split(region) else { return };
        let keys = self.params.rates.keys as u64;
        let number = usize::try_from(self.rng.below(keys)).expect("keys are few");
        let key = match self.rng.below(8) {
            0 => region.start_key.clone(),
            1 => region.end_key.clone(),
            // Wherever it is, perhaps in another region.
            2 | 3 => name(number),
            _ => {
                let inside = (0..self.params.rates.keys).map(name);
                let inside: Vec<Bytes> = inside.filter(|key| region.contains_inside(key)).collect();
                self.rng.pick(&inside).cloned().unwrap_or_default()
            }
        };
        if self.rng.chance(1, 10) {
            new_peers.pop();
        }
        let header = Header {
            region: region.region_id(),
            peer: Some(leader),
            epoch: region.epoch(),
            term: 0,
        };
        let split = Admin::Split { key, new_region, new_peers };
        self.workload.change(&mut self.world, leader.store_id, header, split);
    }
}
