//! What is known of the cluster: its stores, its regions, and what it was told to be.
//!
//! Nothing in here asks for the time, writes to a disk or talks to anybody. Reports come in, and are
//! remembered; records that must survive are worked out here ([`Stores::registered`] and its like),
//! written down by the caller, and put here afterwards, so that memory is never ahead of the disk.

pub mod heartbeat;
pub mod region;
pub mod regions;
pub mod stores;

use std::collections::BTreeMap;
use std::time::Duration;

use proto::metapb::{self, Region};
use runtime::clock::Instant;

use crate::error::{Error, Result};
use region::RegionInfo;
use regions::Regions;
use stores::Stores;

/// The share of all regions, and of each store's, that must have reported before anything is moved.
const PREPARED_PERCENT: u64 = 80;

/// For how long reports are waited for, at most.
const PREPARING_MAX: Duration = Duration::from_mins(5);

/// Everything that is known of the cluster.
#[derive(Debug)]
pub struct Cluster {
    /// What the cluster is, once the first store has said so.
    pub meta: Option<metapb::Cluster>,
    /// The stores.
    pub stores: Stores,
    /// The regions.
    pub regions: Regions,
    /// No transaction reads below this timestamp any more.
    pub safe_point: u64,
    /// Whether enough is known to move things.
    pub prepared: Prepared,
}

impl Cluster {
    /// A cluster nobody has told us about; `now` is when we began to listen.
    pub fn new(now: Instant) -> Self {
        Cluster {
            meta: None,
            stores: Stores::default(),
            regions: Regions::default(),
            safe_point: 0,
            prepared: Prepared::new(now),
        }
    }

    /// The cluster's own record.
    pub fn meta(&self) -> Result<&metapb::Cluster> {
        self.meta.as_ref().ok_or(Error::NotBootstrapped)
    }

    /// How many peers each region should have.
    pub fn replicas(&self) -> usize {
        self.meta.as_ref().map_or(0, |meta| meta.max_peer_count as usize)
    }

    /// Whether a request speaks of a region as it is now, or as it will soon be known here.
    pub fn check_is_current(&self, region: &Region) -> Result<()> {
        let known = self.regions.at(&region.start_key).ok_or(Error::RegionNotFound(None))?;
        let (asked, known_epoch) = (region.region_epoch.unwrap_or_default(), known.epoch());
        if asked.version < known_epoch.version || asked.conf_ver < known_epoch.conf_ver {
            return Err(Error::Stale { region: region.id, reported: asked, known: known_epoch });
        }
        Ok(())
    }

    /// Whether enough of the cluster has reported to move things about: a plan that was made from half
    /// the regions would fill the stores whose regions are missing.
    pub fn is_prepared(&mut self, now: Instant) -> bool {
        if self.prepared.is_done {
            return true;
        }
        let enough = |collected: u64, all: u64| collected * 100 >= all * PREPARED_PERCENT;
        let prepared = &self.prepared;
        let is_collected = enough(prepared.regions, self.regions.len() as u64)
            && self.stores.iter().filter(|store| store.is_up()).all(|store| {
                let collected = prepared.by_store.get(&store.id()).copied().unwrap_or_default();
                enough(collected, self.regions.load(store.id()).regions)
            });
        self.prepared.is_done = is_collected || now.since(prepared.start) > PREPARING_MAX;
        self.prepared.is_done
    }

    /// Stores that are being emptied and are empty.
    pub fn emptied_stores(&self) -> Vec<u64> {
        let is_empty = |store: u64| self.regions.load(store).regions == 0;
        let offline = self.stores.iter().filter(|store| store.is_offline());
        offline.map(stores::Store::id).filter(|&store| is_empty(store)).collect()
    }
}

/// Counts who has reported since the start.
#[derive(Debug)]
pub struct Prepared {
    start: Instant,
    regions: u64,
    by_store: BTreeMap<u64, u64>,
    is_done: bool,
}

impl Prepared {
    fn new(start: Instant) -> Self {
        Prepared { start, regions: 0, by_store: BTreeMap::new(), is_done: false }
    }

    /// A region reported for the first time.
    pub fn collect(&mut self, region: &RegionInfo) {
        self.regions += 1;
        for store in region.stores() {
            *self.by_store.entry(store).or_default() += 1;
        }
    }

    /// How many regions have reported.
    pub fn regions(&self) -> u64 {
        self.regions
    }
}
