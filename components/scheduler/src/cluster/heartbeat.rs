//! What a region's heartbeat changes, and which heartbeats come too late.
//!
//! Leaders report their regions, and reports overtake each other: the network delays one, a leader that
//! was deposed does not know it yet, and after a split two leaders report two halves of what a third
//! one still calls its own. The epoch orders them, as it orders everything about regions: `version`
//! counts splits, `conf_ver` counts changes of members.
//!
//! A report is *stale*, and changes nothing, when either part of its epoch is smaller than
//!
//! 1. that of the region known under its id, or
//! 2. if there is none, or if it lay elsewhere, that of any other region that it overlaps.
//!
//! Otherwise it replaces the one and puts out the others. For an example, region 1 is split at m:
//!
//! ```text
//! known            reported                    then known
//! 1 ["", "") v1    2 ["", m) v2                2 ["", m)          nobody in [m, "")
//!                  1 ["", "") v1, delayed      2 ["", m)          stale by rule 2
//!                  1 [m, "") v2                2 ["", m), 1 [m, "")
//! ```
//!
//! What the epoch cannot order is two leaders of the same epoch, since a heartbeat carries no term.
//! The last one to report wins until the other reports again; a deposed leader stops within an election
//! timeout, and a wrong leader costs a client one more question.

use std::sync::Arc;

use super::Cluster;
use super::region::RegionInfo;
use crate::error::{Error, Result};
use runtime::mutant;

/// What a report changed.
#[derive(Debug)]
pub struct Reported {
    /// The region, as it is known now.
    pub region: Arc<RegionInfo>,
    /// Whether something changed that must be known after a restart, too: place, members, epoch.
    pub is_news: bool,
    /// Other regions that were put out, because this one lies where they did.
    pub evicted: Vec<Arc<RegionInfo>>,
}

impl Cluster {
    /// Takes a report over, unless it is stale.
    pub fn report(&mut self, region: RegionInfo) -> Result<Reported> {
        let old = self.regions.get(region.id()).cloned();
        self.check_is_not_stale(&region, old.as_deref())?;
        if old.as_ref().is_none_or(|old| old.leader.is_none()) {
            self.prepared.collect(&region);
        }
        let region = Arc::new(region);
        let evicted = self.regions.put(Arc::clone(&region));
        let concerned = old.iter().chain(&evicted).chain([&region]);
        let mut stores: Vec<u64> = concerned.flat_map(|region| region.stores()).collect();
        stores.sort_unstable();
        stores.dedup();
        for store in stores {
            self.refresh(store);
        }
        let is_news = old.is_none_or(|old| old.meta != region.meta);
        Ok(Reported { region, is_news, evicted })
    }

    fn check_is_not_stale(&self, region: &RegionInfo, known: Option<&RegionInfo>) -> Result<()> {
        let reported = region.epoch();
        let refuse_if_newer = |known: &RegionInfo| {
            let (epoch, id) = (known.epoch(), region.id());
            let is_stale = reported.version < epoch.version || reported.conf_ver < epoch.conf_ver;
            if is_stale && !mutant::on(24) {
                return Err(Error::Stale { region: id, reported, known: epoch });
            }
            Ok(())
        };
        if let Some(known) = known {
            refuse_if_newer(known)?;
        }
        let (start, end) = (&region.meta.start_key, &region.meta.end_key);
        let stays = |known: &RegionInfo| known.meta.start_key == start && known.meta.end_key == end;
        if !known.is_some_and(stays) {
            for other in self.regions.scan(start, end).filter(|other| other.id() != region.id()) {
                refuse_if_newer(other)?;
            }
        }
        Ok(())
    }

    /// Brings what is known of a store's load up to date. A store that nobody registered has none.
    fn refresh(&mut self, store: u64) {
        let load = self.regions.load(store);
        if let Some(store) = self.stores.get_mut(store) {
            store.load = load;
        }
    }

    /// Brings what is known of all stores' loads up to date.
    pub fn refresh_all(&mut self) {
        let ids: Vec<u64> = self.stores.iter().map(super::stores::Store::id).collect();
        for id in ids {
            self.refresh(id);
        }
    }
}
