//! The scheduler without its surroundings: reports and ticks in, commands out.
//!
//! This is what the simulation drives in place of the process. It is told the time, draws chance from
//! one generator, and knows neither disk nor network.

use std::sync::Arc;

use proto::metapb::{Peer, Region};
use proto::schedulerpb::StoreStats;
use runtime::Rng;
use runtime::clock::Instant;

use crate::cluster::Cluster;
use crate::cluster::heartbeat::Reported;
use crate::cluster::region::RegionInfo;
use crate::error::{Error, Result};
use crate::id::Ids;
use crate::schedule::config::Config;
use crate::schedule::controller::{Command, Controller};
use crate::schedule::coordinator::{Coordinator, Floor};
use crate::schedule::{Context, View};

/// Cluster, plans, and when which scheduler runs.
#[derive(Debug)]
pub struct Core {
    /// What is known.
    pub cluster: Cluster,
    /// The plans under way.
    pub controller: Controller,
    /// When which scheduler runs.
    pub coordinator: Coordinator,
    /// The ids that may be given.
    pub ids: Ids,
    config: Config,
    rng: Rng,
}

impl Core {
    /// A scheduler that knows nothing yet, and gives no ids before it is told which.
    pub fn new(config: Config, rng: Rng, now: Instant) -> Self {
        Core {
            cluster: Cluster::new(now),
            controller: Controller::default(),
            coordinator: Coordinator::new(&config, now),
            ids: Ids::after(0),
            config,
            rng,
        }
    }

    /// Forgets everything, as a scheduler does that stops leading.
    pub fn reset(&mut self, now: Instant) {
        let rng = self.rng.fork("term");
        *self = Core::new(self.config.clone(), rng, now);
    }

    /// Regions that were known before the restart: they are there until somebody says otherwise, but
    /// who leads them must be heard anew.
    pub fn recall(&mut self, regions: Vec<Region>) {
        for region in regions {
            self.cluster.regions.put(Arc::new(RegionInfo::new(region, None)));
        }
        self.cluster.refresh_all();
    }

    /// A region's leader reports. What has to be said to it comes with the answer.
    pub fn report(
        &mut self,
        region: RegionInfo,
        now: Instant,
    ) -> Result<(Reported, Option<Command>)> {
        self.cluster.meta()?;
        check(&region)?;
        let reported = self.cluster.report(region)?;
        let view = View { cluster: &self.cluster, now };
        let command = self.controller.dispatch(view, &reported.region);
        Ok((reported, command))
    }

    /// A store reports.
    pub fn report_store(&mut self, stats: StoreStats, now: Instant) -> Result<()> {
        self.cluster.meta()?;
        let id = stats.store_id;
        let store = self.cluster.stores.get_mut(id).ok_or(Error::StoreNotFound(id))?;
        if store.is_tombstone() {
            return Err(Error::StoreTombstone(id));
        }
        store.stats = stats;
        store.heard = Some(now);
        Ok(())
    }

    /// Time has passed: what to tell leaders.
    pub fn tick(&mut self, now: Instant) -> Vec<Command> {
        if self.cluster.meta.is_none() || !self.cluster.is_prepared(now) {
            return Vec::new();
        }
        let floor = Floor {
            cluster: &self.cluster,
            controller: &mut self.controller,
            ids: &mut self.ids,
            rng: &mut self.rng,
            config: &self.config,
        };
        self.coordinator.tick(floor, now)
    }

    /// Spreads a region over the stores that hold least. One that is not known yet may be described.
    pub fn scatter(
        &mut self,
        id: u64,
        described: Option<(Region, Option<Peer>)>,
        now: Instant,
    ) -> Result<Option<Command>> {
        let known = self.cluster.regions.get(id).map(Arc::clone);
        let described = described.map(|(region, leader)| Arc::new(RegionInfo::new(region, leader)));
        let region = known.or(described).ok_or(Error::RegionNotFound(Some(id)))?;
        let plan = self.context(now).scatter(&region)?;
        let Some(plan) = plan else { return Ok(None) };
        let view = View { cluster: &self.cluster, now };
        self.controller.add(view, plan).map_err(|unwanted| Error::invalid(unwanted.to_string()))
    }

    /// Ids for the two halves of a region: one for the new region, one for each of its peers.
    pub fn ask_split(&mut self, region: &Region) -> Result<Option<Vec<u64>>> {
        self.cluster.meta()?;
        self.cluster.check_is_current(region)?;
        Ok(self.ids.take_all(1 + region.peers.len()))
    }

    /// What plans are made from.
    pub fn context(&mut self, now: Instant) -> Context<'_> {
        let view = View { cluster: &self.cluster, now };
        Context { view, config: &self.config, ids: &mut self.ids, rng: &mut self.rng }
    }
}

/// What every report must say.
fn check(region: &RegionInfo) -> Result<()> {
    let id = region.id();
    let refuse = |problem: &str| Err(Error::invalid(format!("invalid region {id}: {problem}")));
    if id == 0 {
        return refuse("zero region id");
    }
    if region.meta.peers.is_empty() {
        return refuse("zero region peer count");
    }
    let (start, end) = (&region.meta.start_key, &region.meta.end_key);
    if !end.is_empty() && start >= end {
        return refuse("it ends before it starts");
    }
    let Some(leader) = region.leader else { return refuse("the leader is missing") };
    if region.peer_on(leader.store_id).is_none_or(|peer| peer.id != leader.id) {
        return refuse("the leader is none of its peers");
    }
    Ok(())
}
