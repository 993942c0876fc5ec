//! The second phase: the world is healed, and everything must work again.

use std::collections::BTreeMap;

use proto::StoreId;
use proto::metapb::Region;
use raftstore::state;
use raftstore::worker::raft::RaftWorker;

use super::Verdict;
use super::check::liveness::PROPERTY;
use super::check::{STORES, cover, records};
use super::simulation::Simulation;

/// How many election timeouts a healed world gets until nothing is left over, and again until every
/// region has served.
const TIMEOUTS_MAX: u32 = 400;

impl Simulation {
    /// Heals everything, waits with limits until everything works, and judges the whole history.
    pub(crate) fn recover(&mut self) -> Verdict {
        self.is_healed = true;
        self.world.trace.event(11, || "healed".to_owned());
        self.world.heal();
        for store in self.stores() {
            self.start(store)?;
        }
        self.wait_until("is whole again", Self::unfinished)?;
        self.wait_until("is where it should be", |simulation| simulation.ungoverned())?;
        self.is_quiet = true;
        self.wait_until("was answered", |simulation| Ok(simulation.workload.oldest()))?;
        self.workload.begin_final_reads();
        self.wait_until("could be read", |simulation| {
            Ok(simulation.workload.read_what_is_left(&mut simulation.world))
        })?;
        self.wait_until("is equal again", Self::unequal)?;
        self.wait_until("was collected", |simulation| Ok(simulation.litter()))?;
        self.world.counts.silent = self.world.scheduler().removed();
        self.checks.registers.judge()?;
        self.checks.lists.judge(&self.workload.finally)
    }

    fn wait_until(
        &mut self,
        what: &str,
        mut unfinished: impl FnMut(&mut Self) -> Verdict<Option<String>>,
    ) -> Verdict {
        let config = &self.params.settings.config;
        let limit = config.tick.get() * config.election_ticks * TIMEOUTS_MAX;
        let (end, often) = (self.world.now() + limit, config.tick.get() * 2);
        loop {
            let missing = unfinished(self)?;
            let Some(missing) = missing else { return Ok(()) };
            if self.world.now() >= end {
                let what = format!("nothing {what} in {limit:?}: {missing}");
                return Err(PROPERTY.violated(what));
            }
            let next = self.world.now() + often;
            while self.world.now() < next {
                self.step()?;
            }
        }
    }

    /// What is still missing to a world that is whole.
    fn unfinished(&mut self) -> Verdict<Option<String>> {
        let newest = self.newest()?;
        cover::check(&newest)?;
        for region in newest.values() {
            if let Some(missing) = self.missing_of(region) {
                return Ok(Some(missing));
            }
        }
        for store in self.living_stores() {
            let kv = self.world.engines(store).kv;
            let living =
                records::living(&*kv).map_err(|error| STORES.violated(error.to_string()))?;
            for region in living {
                let is_member = newest[&region.id].peer_on_store(StoreId::new(store))
                    == region.peer_on_store(StoreId::new(store));
                if !is_member {
                    let what = format!("store {store} still has {region:?}");
                    return Ok(Some(what));
                }
            }
            let of_newest = newest
                .values()
                .filter(|region| region.peer_on_store(StoreId::new(store)).is_some());
            let (wanted, found) =
                (of_newest.count(), self.world.peers(store).map_or(0, RaftWorker::peers));
            if wanted != found {
                return Ok(Some(format!("store {store} has {found} peers, not {wanted}")));
            }
        }
        Ok(None)
    }

    /// What is missing to a region: a leader that all its peers know, and all its peers up to date.
    fn missing_of(&self, region: &Region) -> Option<String> {
        let id = region.region_id();
        let views: Vec<_> =
            region.peers.iter().map(|peer| (peer, self.view(peer.store_id, id))).collect();
        let leader =
            views.iter().filter_map(|(_, view)| view.as_ref()).max_by_key(|view| view.term);
        let leader = leader.and_then(|view| view.leader);
        for (peer, view) in &views {
            let Some(view) = view else {
                return Some(format!("{peer:?} of {region:?} is not there"));
            };
            if *view.region != *region {
                return Some(format!("{peer:?} of {region:?} knows {view:?}"));
            }
            if view.leader.is_none() || view.leader != leader {
                return Some(format!("{peer:?} of {region:?} follows {view:?}"));
            }
        }
        None
    }

    /// A file of a snapshot, which nobody needs any more.
    fn litter(&self) -> Option<String> {
        let file =
            self.living_stores().into_iter().find_map(|store| self.world.snapshot_file(store))?;
        Some(format!("{} is still there", file.display()))
    }

    /// What is not equal yet on all replicas, or not as short as it should be.
    fn unequal(&mut self) -> Verdict<Option<String>> {
        if let Some(missing) = self.unfinished()? {
            return Ok(Some(missing));
        }
        let log_max = 2 * self.params.settings.config.log_gc_count.max(10);
        for region in self.newest()?.values() {
            let leader = self.world.scheduler().leader(region.region_id());
            let mut applied = BTreeMap::new();
            for peer in &region.peers {
                let kv = self.world.engines(peer.store_id).kv;
                let seen = self.checks.replicas.look(peer.store_id, &*kv, region)?;
                let Some(seen) = seen else {
                    return Ok(Some(format!("{peer:?} of {region:?} has no data")));
                };
                applied.insert(peer.store_id, seen.applied);
                let state = state::apply_state(&*kv, region.region_id())
                    .map_err(|error| STORES.violated(error.to_string()))?;
                let cut = state.unwrap_or_default().truncated_state.unwrap_or_default().index;
                // All logs are cut where the leader's is too long. Where that began with a snapshot the others'
                // are longer, until something is written.
                if leader == Some(*peer) && seen.applied - cut > log_max {
                    return Ok(Some(format!("{peer:?} has a log from {cut} to {seen:?}")));
                }
            }
            if applied.values().min() != applied.values().max() {
                return Ok(Some(format!("region {} is applied up to {applied:?}", region.id)));
            }
        }
        Ok(None)
    }
}
