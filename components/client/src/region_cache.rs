//! Which region has a key, and who leads it, as far as we know.
//!
//! Asking the scheduler before every request would make it the busiest process of the cluster. So a
//! client remembers what it was told, and finds out that it is wrong by being refused: every request
//! names the region's epoch, and a store that knows better says so. A wrong entry costs a round trip and
//! never a wrong result.
//!
//! ```text
//!   start ""          "g"                "m"            ""  end
//!     |--- region 2 ---|                  |--- region 4 ---|
//!          peer 7 of store 1                   peer 9 of store 3, whose turn it is
//! ```
//!
//! Entries never overlap (C1): a region that is put in puts out those that lay there. A description that
//! is older than the one we have of the same region is not put in (C2).
//!
//! Keys are in the form in which regions order them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use proto::metapb::{Peer, Region};

/// Regions that are remembered; with more, the memory starts anew.
const REGIONS_MAX: usize = 100_000;

/// Where to send a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Route {
    /// The region.
    pub(crate) region: Arc<Region>,
    /// The peer that we take for its leader.
    pub(crate) peer: Peer,
}

/// What is known of the regions.
#[derive(Debug, Default)]
pub(crate) struct RegionCache {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// By start key.
    entries: BTreeMap<Bytes, Entry>,
    /// The start key of each region in `entries`.
    starts: BTreeMap<u64, Bytes>,
}

#[derive(Debug)]
struct Entry {
    region: Arc<Region>,
    /// The place among the region's peers of the one to ask.
    turn: usize,
}

impl RegionCache {
    /// Where to send a request for this key.
    pub(crate) fn find(&self, key: &[u8]) -> Option<Route> {
        let known = self.known();
        let upto = (Bound::Unbounded, Bound::Included(key));
        let (_, entry) = known.entries.range::<[u8], _>(upto).next_back()?;
        entry.region.contains(key).then(|| entry.route())
    }

    /// Remembers a region. Answers where to send requests for it; `None` if it has no peers.
    pub(crate) fn put(&self, region: Region, leader: Option<Peer>) -> Option<Route> {
        let turn = leader.and_then(|leader| turn_of(&region, &leader)).unwrap_or_default();
        let entry = Entry { region: Arc::new(region), turn };
        entry.region.peers.first()?;
        let route = entry.route();
        self.known().put(entry);
        Some(route)
    }

    /// These are regions as a store knows them; the one that was asked for is among them, or gone. Their
    /// leader is most likely the peer on the store that answered.
    pub(crate) fn learn(&self, asked: &Route, regions: Vec<Region>) {
        let mut known = self.known();
        if !regions.iter().any(|region| is_older(region, &asked.region)) {
            known.forget(asked.region.id);
        }
        for region in regions.into_iter().filter(|region| !region.peers.is_empty()) {
            let on_store = |peer: &Peer| peer.store_id == asked.peer.store_id;
            let turn = region.peers.iter().position(on_store).unwrap_or_default();
            known.put(Entry { region: Arc::new(region), turn });
        }
    }

    /// This peer leads the region. A peer that we have never heard of means that its members have
    /// changed, so what we know of it is out of date.
    pub(crate) fn lead(&self, route: &Route, leader: &Peer) {
        let mut known = self.known();
        let Some(entry) = known.entry(route) else { return };
        match turn_of(&entry.region, leader) {
            Some(turn) => entry.turn = turn,
            None => known.forget(route.region.id),
        }
    }

    /// The peer did not serve: it is the next one's turn, unless somebody else has found out more.
    pub(crate) fn next_peer(&self, route: &Route) {
        let mut known = self.known();
        if let Some(entry) = known.entry(route)
            && entry.peer() == route.peer
        {
            entry.turn = (entry.turn + 1) % entry.region.peers.len();
        }
    }

    /// The region is not what the route says. Whatever we have learned since then stays.
    pub(crate) fn forget(&self, route: &Route) {
        let mut known = self.known();
        if known.entry(route).is_some() {
            known.forget(route.region.id);
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Every change is complete before anything can panic.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// The entry that a route was made from, if it is still the same.
    fn entry(&mut self, route: &Route) -> Option<&mut Entry> {
        let start = self.starts.get(&route.region.id)?;
        let entry = self.entries.get_mut(start).expect("C1: every start has its entry");
        (entry.region.region_epoch == route.region.region_epoch).then_some(entry)
    }

    fn put(&mut self, entry: Entry) {
        let region = &entry.region;
        if let Some(start) = self.starts.get(&region.id)
            && is_older(region, &self.entries[start].region)
        {
            return; // C2
        }
        if self.entries.len() >= REGIONS_MAX {
            (self.entries, self.starts) = Default::default();
        }
        self.forget(region.id);
        for id in self.overlapping(region) {
            self.forget(id);
        }
        self.starts.insert(region.id, region.start_key.clone());
        self.entries.insert(region.start_key.clone(), entry);
    }

    fn overlapping(&self, region: &Region) -> Vec<u64> {
        let start = region.start_key.as_ref();
        let before = (Bound::Unbounded, Bound::Excluded(start));
        let before = self.entries.range::<[u8], _>(before).next_back();
        let from = (Bound::Included(start), Bound::Unbounded);
        let is_before_end =
            |entry: &&Entry| proto::region::is_before_end(&entry.region.start_key, &region.end_key);
        let after = self.entries.range::<[u8], _>(from).map(|(_, entry)| entry);
        let inside = after.take_while(is_before_end);
        let before = before.map(|(_, entry)| entry).filter(|entry| entry.region.contains(start));
        before.into_iter().chain(inside).map(|entry| entry.region.id).collect()
    }

    fn forget(&mut self, id: u64) {
        if let Some(start) = self.starts.remove(&id) {
            self.entries.remove(&start);
        }
    }
}

impl Entry {
    fn peer(&self) -> Peer {
        self.region.peers[self.turn]
    }

    fn route(&self) -> Route {
        Route { region: Arc::clone(&self.region), peer: self.peer() }
    }
}

/// The place of a peer among those of a region. Its id alone does not matter: a leader is known by its store.
fn turn_of(region: &Region, leader: &Peer) -> Option<usize> {
    region.peers.iter().position(|peer| peer.store_id == leader.store_id)
}

/// Whether a description of a region is older than another one of the same region.
fn is_older(region: &Region, other: &Region) -> bool {
    region.id == other.id && region.epoch().is_older_than(&other.epoch())
}

#[cfg(test)]
mod tests {
    use proto::metapb::RegionEpoch;

    use super::*;

    fn region(id: u64, start: &'static str, end: &'static str, version: u64) -> Region {
        Region {
            id,
            start_key: start.into(),
            end_key: end.into(),
            region_epoch: Some(RegionEpoch { conf_ver: 1, version }),
            peers: (1..=3).map(|store| Peer { id: id * 10 + store, store_id: store }).collect(),
        }
    }

    fn at(cache: &RegionCache, key: &str) -> Option<(u64, u64)> {
        cache.find(key.as_bytes()).map(|route| (route.region.id, route.peer.store_id))
    }

    #[test]
    fn a_region_is_found_by_its_keys_and_puts_out_those_that_lay_there() {
        let cache = RegionCache::default();
        assert_eq!(at(&cache, "a"), None);
        cache.put(region(2, "", "", 1), None);
        assert_eq!((at(&cache, ""), at(&cache, "z")), (Some((2, 1)), Some((2, 1))));
        cache.put(region(3, "g", "m", 2), Some(Peer { id: 33, store_id: 3 }));
        assert_eq!((at(&cache, "a"), at(&cache, "g"), at(&cache, "m")), (None, Some((3, 3)), None));
        cache.put(region(2, "", "g", 2), None);
        cache.put(region(4, "m", "", 2), None);
        for (key, id) in [("f", 2), ("l", 3), ("m", 4)] {
            assert_eq!(at(&cache, key).map(|(id, _)| id), Some(id));
        }
        cache.put(region(2, "", "", 1), None);
        assert_eq!(at(&cache, "g"), Some((3, 3)), "C2: an older description");
        cache.put(region(5, "f", "n", 3), None);
        assert_eq!((at(&cache, "a"), at(&cache, "f"), at(&cache, "z")), (None, Some((5, 1)), None));
        assert!(cache.put(Region { peers: Vec::new(), ..region(6, "", "", 9) }, None).is_none());
    }

    #[test]
    fn what_a_refusal_teaches_changes_the_entry_it_was_about_and_no_newer_one() {
        let cache = RegionCache::default();
        let old = cache.put(region(2, "", "", 1), None).unwrap();
        cache.next_peer(&old);
        assert_eq!(at(&cache, "a"), Some((2, 2)));
        cache.next_peer(&old);
        assert_eq!(at(&cache, "a"), Some((2, 2)), "somebody else was faster");
        cache.lead(&old, &Peer { id: 23, store_id: 3 });
        assert_eq!(at(&cache, "a"), Some((2, 3)));

        cache.learn(&cache.find(b"a").unwrap(), vec![region(2, "m", "", 2), region(4, "", "m", 2)]);
        assert_eq!((at(&cache, "a"), at(&cache, "z")), (Some((4, 3)), Some((2, 3))));
        cache.forget(&old);
        cache.lead(&old, &Peer { id: 21, store_id: 1 });
        assert_eq!(at(&cache, "z"), Some((2, 3)), "that was about another epoch");
        let new = cache.find(b"z").unwrap();
        cache.learn(&new, vec![region(2, "", "", 1)]);
        assert_eq!(at(&cache, "z"), Some((2, 3)), "the store lags behind");
        cache.lead(&new, &Peer { id: 29, store_id: 9 });
        assert_eq!(at(&cache, "z"), None, "its members have changed");
    }
}
