//! A scheduler that remembers what it is told and answers at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use proto::RegionId;
use proto::metapb::{Region, Store};
use proto::schedulerpb::StoreStats;

use crate::ports::{RegionHeartbeat, SchedulerClient, SchedulerError};

/// Clones are the same scheduler.
#[derive(Clone, Default)]
pub(crate) struct TestScheduler(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    last_id: u64,
    is_down: bool,
    founded: Option<Region>,
    stores: BTreeMap<u64, Store>,
    regions: BTreeMap<u64, Region>,
    heartbeats: Vec<RegionHeartbeat>,
    /// The answer to the next wish to found the cluster is lost, though it is fulfilled.
    loses_answer: bool,
}

impl TestScheduler {
    /// One whose ids begin behind those that the tests choose by themselves.
    pub(crate) fn new() -> Self {
        let scheduler = TestScheduler::default();
        scheduler.state().last_id = 1000;
        scheduler
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn reached(&self) -> Result<MutexGuard<'_, State>, SchedulerError> {
        let state = self.state();
        if state.is_down { Err(SchedulerError("nobody answers".into())) } else { Ok(state) }
    }

    pub(crate) fn set_down(&self, is_down: bool) {
        self.state().is_down = is_down;
    }

    pub(crate) fn lose_next_answer(&self) {
        self.state().loses_answer = true;
    }

    /// What it knows of a region, however it came to know it.
    pub(crate) fn know(&self, region: &Region) {
        self.state().regions.insert(region.id, region.clone());
    }

    pub(crate) fn founded(&self) -> Option<Region> {
        self.state().founded.clone()
    }

    /// Heartbeats of regions since this was last asked.
    pub(crate) fn heartbeats(&self) -> Vec<RegionHeartbeat> {
        std::mem::take(&mut self.state().heartbeats)
    }
}

impl SchedulerClient for TestScheduler {
    fn alloc_id(&self) -> Result<u64, SchedulerError> {
        let mut state = self.reached()?;
        state.last_id += 1;
        Ok(state.last_id)
    }

    fn is_bootstrapped(&self) -> Result<bool, SchedulerError> {
        Ok(self.reached()?.founded.is_some())
    }

    fn bootstrap(&self, _store: &Store, region: &Region) -> Result<bool, SchedulerError> {
        let mut state = self.reached()?;
        if state.founded.is_some() {
            return Ok(false);
        }
        state.founded = Some(region.clone());
        state.regions.insert(region.id, region.clone());
        if std::mem::take(&mut state.loses_answer) {
            return Err(SchedulerError("the answer was lost".into()));
        }
        Ok(true)
    }

    fn put_store(&self, store: &Store) -> Result<(), SchedulerError> {
        self.reached()?.stores.insert(store.id, store.clone());
        Ok(())
    }

    fn store_heartbeat(&self, _stats: &StoreStats) -> Result<(), SchedulerError> {
        self.reached().map(drop)
    }

    fn region_heartbeat(&self, heartbeat: RegionHeartbeat) -> Result<(), SchedulerError> {
        let mut state = self.reached()?;
        let known = state.regions.entry(heartbeat.region.id).or_default();
        if !heartbeat.region.epoch().is_older_than(&known.epoch()) {
            *known = heartbeat.region.clone();
        }
        state.heartbeats.push(heartbeat);
        Ok(())
    }

    fn ask_split(&self, region: &Region) -> Result<(RegionId, Vec<u64>), SchedulerError> {
        let id = self.alloc_id()?;
        let peers = region.peers.iter().map(|_| self.alloc_id()).collect::<Result<_, _>>()?;
        Ok((RegionId::new(id), peers))
    }

    fn region(&self, id: RegionId) -> Result<Option<Region>, SchedulerError> {
        Ok(self.reached()?.regions.get(&id.get()).cloned())
    }
}
