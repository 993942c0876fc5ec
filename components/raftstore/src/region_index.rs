//! Which region of this store holds a key.
//!
//! Invariants:
//!
//! - X1: no two regions of the index overlap.
//! - X2: a region stands in it once, under its own start key.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use proto::RegionId;
use proto::metapb::Region;

/// The initialised regions of a store by their ranges, and ranges that are reserved.
///
/// A snapshot on its way into the data reserves what it will cover and what it will clear, so that
/// nothing else comes to lie there meanwhile.
#[derive(Debug, Default)]
pub(crate) struct RegionIndex {
    by_start: BTreeMap<Bytes, Region>,
    starts: BTreeMap<RegionId, Bytes>,
    reserved: BTreeMap<RegionId, Reservation>,
}

/// A range that will be a region's.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reservation {
    pub(crate) start: Bytes,
    pub(crate) end: Bytes,
}

impl RegionIndex {
    /// Puts `region` in, or replaces what it was before.
    pub(crate) fn put(&mut self, region: &Region) {
        self.remove(region.region_id());
        let overlap = self.overlapping(&region.start_key, &region.end_key).next();
        assert!(overlap.is_none(), "X1: region {} overlaps {overlap:?}", region.id);
        self.starts.insert(region.region_id(), region.start_key.clone());
        self.by_start.insert(region.start_key.clone(), region.clone());
    }

    /// Takes a region out, if it is there.
    pub(crate) fn remove(&mut self, region: RegionId) {
        if let Some(start) = self.starts.remove(&region) {
            let removed = self.by_start.remove(&start);
            assert!(removed.is_some(), "X2: region {region} is not under its start key");
        }
    }

    /// The region that holds `key`.
    pub(crate) fn holder(&self, key: &[u8]) -> Option<&Region> {
        let before = (Bound::Unbounded, Bound::Included(key));
        let (_, region) = self.by_start.range::<[u8], _>(before).next_back()?;
        region.contains(key).then_some(region)
    }

    /// The regions that share keys with a range, in order.
    pub(crate) fn overlapping(&self, start: &[u8], end: &[u8]) -> impl Iterator<Item = &Region> {
        // The one that begins at or before the range may reach into it; all others begin inside.
        let first =
            self.holder(start).map_or_else(|| start.to_vec(), |region| region.start_key.to_vec());
        let end = end.to_vec();
        let from = (Bound::Included(first.as_slice()), Bound::Unbounded);
        let regions: Vec<&Region> = self
            .by_start
            .range::<[u8], _>(from)
            .map(|(_, region)| region)
            .take_while(|region| proto::region::is_before_end(&region.start_key, &end))
            .collect();
        regions.into_iter()
    }

    /// The region that begins where another one ends, if it is on this store.
    pub(crate) fn right_neighbour(&self, region: &Region) -> Option<&Region> {
        if region.end_key.is_empty() { None } else { self.by_start.get(&region.end_key) }
    }

    /// The region that ends where another one begins, if it is on this store.
    pub(crate) fn left_neighbour(&self, region: &Region) -> Option<&Region> {
        let before = (Bound::Unbounded, Bound::Excluded(region.start_key.clone()));
        let (_, left) = self.by_start.range(before).next_back()?;
        (left.end_key == region.start_key).then_some(left)
    }

    /// Sets a range aside for a region that is about to be there.
    pub(crate) fn reserve(&mut self, region: RegionId, range: Reservation) {
        self.reserved.insert(region, range);
    }

    /// Gives a reserved range free.
    pub(crate) fn release(&mut self, region: RegionId) {
        self.reserved.remove(&region);
    }

    /// Whether a range, for `region`, is in the way of another region, present or to come.
    pub(crate) fn is_taken(&self, region: RegionId, start: &[u8], end: &[u8]) -> bool {
        let present = self.overlapping(start, end).any(|other| other.region_id() != region);
        let to_come = self.reserved.iter().any(|(other, range)| {
            *other != region
                && proto::region::is_before_end(start, &range.end)
                && proto::region::is_before_end(&range.start, end)
        });
        present || to_come
    }

    /// All regions, in the order of their keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Region> {
        self.by_start.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(id: u64, start: &'static str, end: &'static str) -> Region {
        Region::new(RegionId::new(id), start, end)
    }

    fn index() -> RegionIndex {
        let mut index = RegionIndex::default();
        for (id, start, end) in [(1, "", "c"), (2, "c", "f"), (3, "k", "")] {
            index.put(&region(id, start, end));
        }
        index
    }

    #[test]
    fn a_key_is_found_in_the_region_that_holds_it() {
        let index = index();
        let holder = |key: &str| index.holder(key.as_bytes()).map(|region| region.id);
        assert_eq!(
            ["", "b", "c", "e", "f", "j", "k", "z"].map(holder),
            [Some(1), Some(1), Some(2), Some(2), None, None, Some(3), Some(3)]
        );
    }

    #[test]
    fn overlaps_are_found_on_both_sides_of_a_start() {
        let index = index();
        let ids = |start: &str, end: &str| -> Vec<u64> {
            index.overlapping(start.as_bytes(), end.as_bytes()).map(|region| region.id).collect()
        };
        assert_eq!(ids("", ""), [1, 2, 3]);
        assert_eq!(ids("b", "c"), [1]);
        assert_eq!(ids("b", "d"), [1, 2]);
        assert_eq!(ids("f", "k"), Vec::<u64>::new());
        assert_eq!(ids("d", "e"), [2]);
        assert_eq!(ids("g", ""), [3]);
    }

    #[test]
    fn neighbours_touch() {
        let index = index();
        let right = |id, start, end| index.right_neighbour(&region(id, start, end)).map(|r| r.id);
        let left = |id, start, end| index.left_neighbour(&region(id, start, end)).map(|r| r.id);
        assert_eq!(
            (right(1, "", "c"), right(2, "c", "f"), right(3, "k", "")),
            (Some(2), None, None)
        );
        assert_eq!((left(1, "", "c"), left(2, "c", "f"), left(3, "k", "")), (None, Some(1), None));
    }

    #[test]
    fn a_reservation_is_in_the_way_of_everybody_else() {
        let mut index = index();
        let range = Reservation { start: "g".into(), end: "i".into() };
        let fourth = RegionId::new(4);
        assert!(!index.is_taken(fourth, b"f", b"k"));
        index.reserve(fourth, range);
        assert!(
            index.is_taken(RegionId::new(5), b"h", b"j") && !index.is_taken(fourth, b"h", b"j")
        );
        assert!(index.is_taken(fourth, b"b", b"c"), "there is a region");
        assert!(!index.is_taken(RegionId::new(1), b"a", b"c"), "which is not in its own way");
        index.release(fourth);
        assert!(!index.is_taken(RegionId::new(5), b"h", b"j"));
    }

    #[test]
    #[should_panic(expected = "X1")]
    fn an_overlap_of_regions_is_our_own_mistake() {
        index().put(&region(9, "b", "d"));
    }
}
