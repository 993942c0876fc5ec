//! The map of regions: which lies where, by key, by id and by store.
//!
//! ```text
//! by key   "" [1]------- g [2]---- n         t [4]--------     nobody has told us who is in [n, t)
//! by id     1 -> [1]   2 -> [2]   4 -> [4]
//! by store  store 1: leads 1 4, follows 2    store 2: leads 2, follows 1 4
//! ```
//!
//! # Invariants
//!
//! - M1: no two regions of the map overlap. Who comes in puts out whom it overlaps.
//! - M2: the three orders hold the same regions.
//!
//! Whether a report is newer than what it replaces is decided by [`heartbeat`](super::heartbeat).

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use proto::region::is_before_end;
use runtime::Rng;

use super::region::RegionInfo;

/// Looking for a region that fits, at most this many are looked at.
const LOOKS_MAX: usize = 64;

/// All known regions.
#[derive(Debug, Default)]
pub struct Regions {
    starts: BTreeMap<Bytes, Arc<RegionInfo>>,
    ids: BTreeMap<u64, Arc<RegionInfo>>,
    stores: BTreeMap<u64, OnStore>,
}

/// What one store holds.
#[derive(Debug, Default)]
struct OnStore {
    leaders: Members,
    followers: Members,
    pending: Members,
    leader_mib: u64,
    follower_mib: u64,
}

/// How much one store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Regions that it leads.
    pub leaders: u64,
    /// Regions that it has a peer of.
    pub regions: u64,
    /// Peers on it that lag far behind.
    pub pending: u64,
    /// The size of the regions that it leads, in mebibytes.
    pub leader_mib: u64,
    /// The size of the regions that it has a peer of, in mebibytes.
    pub region_mib: u64,
}

/// In which role a store holds a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// It leads it.
    Leader,
    /// It follows.
    Follower,
    /// Its peer lags far behind, whatever its role.
    Pending,
}

impl Regions {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The region of this id.
    pub fn get(&self, id: u64) -> Option<&Arc<RegionInfo>> {
        self.ids.get(&id)
    }

    /// All regions, in order of id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<RegionInfo>> {
        self.ids.values()
    }

    /// The region that `key` lies in.
    pub fn at(&self, key: &[u8]) -> Option<&Arc<RegionInfo>> {
        let (_, region) = self.starts.range::<[u8], _>(up_to(key)).next_back()?;
        is_before_end(key, &region.meta.end_key).then_some(region)
    }

    /// The region that ends where the one of `key` starts.
    pub fn before(&self, key: &[u8]) -> Option<&Arc<RegionInfo>> {
        let start = &self.at(key)?.meta.start_key;
        let below = (Bound::Unbounded, Bound::Excluded(start.as_ref()));
        let (_, region) = self.starts.range::<[u8], _>(below).next_back()?;
        (region.meta.end_key == start).then_some(region)
    }

    /// Regions from the one of `start` on, in order of key, up to the first that starts at `end` or
    /// behind it. An empty `end` is infinity.
    pub fn scan<'a>(
        &'a self,
        start: &'a [u8],
        end: &'a [u8],
    ) -> impl Iterator<Item = &'a Arc<RegionInfo>> {
        let first = self.at(start).map_or(start, |region| region.meta.start_key.as_ref());
        self.starts
            .range::<[u8], _>((Bound::Included(first), Bound::Unbounded))
            .map(|(_, region)| region)
            .take_while(move |region| is_before_end(&region.meta.start_key, end))
    }

    /// The regions that overlap `[start, end)`.
    pub fn overlapping(&self, start: &[u8], end: &[u8]) -> Vec<Arc<RegionInfo>> {
        self.scan(start, end).cloned().collect()
    }

    /// Puts a region in, in the place of the one with its id and of all that it overlaps. Answers
    /// those that it overlaps.
    pub fn put(&mut self, region: Arc<RegionInfo>) -> Vec<Arc<RegionInfo>> {
        self.remove(region.id());
        let evicted = self.overlapping(&region.meta.start_key, &region.meta.end_key);
        for old in &evicted {
            self.remove(old.id());
        }
        for peer in &region.meta.peers {
            let on_store = self.stores.entry(peer.store_id).or_default();
            if region.leader.as_ref().is_some_and(|leader| leader.id == peer.id) {
                if on_store.leaders.insert(region.id()) {
                    on_store.leader_mib += region.size_mib;
                }
            } else if on_store.followers.insert(region.id()) {
                on_store.follower_mib += region.size_mib;
            }
        }
        for peer in &region.pending {
            self.stores.entry(peer.store_id).or_default().pending.insert(region.id());
        }
        self.ids.insert(region.id(), Arc::clone(&region));
        let replaced = self.starts.insert(region.meta.start_key.clone(), region);
        assert!(replaced.is_none(), "M1: two regions start at the same key");
        evicted
    }

    /// Takes a region out.
    pub fn remove(&mut self, id: u64) -> Option<Arc<RegionInfo>> {
        let region = self.ids.remove(&id)?;
        let at_its_key = self.starts.remove(&region.meta.start_key);
        assert!(
            at_its_key.is_some_and(|other| other.id() == id),
            "M2: region {id} is not at its key"
        );
        for peer in region.meta.peers.iter().chain(&region.pending) {
            let Some(on_store) = self.stores.get_mut(&peer.store_id) else { continue };
            if on_store.leaders.remove(id) {
                on_store.leader_mib -= region.size_mib;
            }
            if on_store.followers.remove(id) {
                on_store.follower_mib -= region.size_mib;
            }
            on_store.pending.remove(id);
            if on_store.is_empty() {
                self.stores.remove(&peer.store_id);
            }
        }
        Some(region)
    }

    /// How much a store holds.
    pub fn load(&self, store: u64) -> Load {
        self.stores.get(&store).map_or(Load::default(), |on_store| Load {
            leaders: on_store.leaders.len(),
            regions: on_store.leaders.len() + on_store.followers.len(),
            pending: on_store.pending.len(),
            leader_mib: on_store.leader_mib,
            region_mib: on_store.leader_mib + on_store.follower_mib,
        })
    }

    /// A region by chance, among those that `store` holds like this and that fit.
    pub fn any(
        &self,
        store: u64,
        holds: Holds,
        rng: &mut Rng,
        fits: impl Fn(&RegionInfo) -> bool,
    ) -> Option<&Arc<RegionInfo>> {
        let on_store = self.stores.get(&store)?;
        let members = match holds {
            Holds::Leader => &on_store.leaders,
            Holds::Follower => &on_store.followers,
            Holds::Pending => &on_store.pending,
        };
        members.circle(rng).map(|id| &self.ids[&id]).find(|region| fits(region))
    }
}

impl OnStore {
    fn is_empty(&self) -> bool {
        self.leaders.ids.is_empty() && self.followers.ids.is_empty() && self.pending.ids.is_empty()
    }
}

fn up_to(key: &[u8]) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (Bound::Unbounded, Bound::Included(key))
}

/// A set of regions, from which one can be drawn.
#[derive(Debug, Default)]
struct Members {
    ids: Vec<u64>,
    places: BTreeMap<u64, usize>,
}

impl Members {
    fn len(&self) -> u64 {
        self.ids.len() as u64
    }

    fn insert(&mut self, id: u64) -> bool {
        if self.places.contains_key(&id) {
            return false;
        }
        self.places.insert(id, self.ids.len());
        self.ids.push(id);
        true
    }

    fn remove(&mut self, id: u64) -> bool {
        let Some(place) = self.places.remove(&id) else { return false };
        self.ids.swap_remove(place);
        if let Some(&moved) = self.ids.get(place) {
            self.places.insert(moved, place);
        }
        true
    }

    /// The members in a circle, from one by chance on; not all of a large set.
    fn circle(&self, rng: &mut Rng) -> impl Iterator<Item = u64> {
        let count = self.ids.len();
        let first = if count == 0 { 0 } else { rng.below(count as u64) };
        let first = usize::try_from(first).expect("a place in memory");
        (0..count.min(LOOKS_MAX)).map(move |step| self.ids[(first + step) % count])
    }
}
