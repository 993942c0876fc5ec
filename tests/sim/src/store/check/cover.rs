//! The newest regions of all disks together cover all keys, each once.

use std::collections::BTreeMap;

use proto::metapb::Region;

use super::{Property, Verdict};

pub(crate) static PROPERTY: Property = Property {
    name: "the newest regions cover all keys, each key once",
    source: "a region is only ever cut; RS7 and RS8 of the list of known bugs of such systems",
};

/// Of all records of regions, on all disks, the newest of each.
pub(crate) fn newest(regions: impl IntoIterator<Item = Region>) -> BTreeMap<u64, Region> {
    let mut newest = BTreeMap::<u64, Region>::new();
    for region in regions {
        let known = newest.entry(region.id).or_insert_with(|| region.clone());
        if known.epoch().is_older_than(&region.epoch()) {
            *known = region;
        }
    }
    newest
}

/// Checks that these regions lie side by side without gaps.
pub(crate) fn check(regions: &BTreeMap<u64, Region>) -> Verdict {
    let mut by_key: Vec<&Region> = regions.values().collect();
    by_key.sort_by(|a, b| a.start_key.cmp(&b.start_key));
    let is_whole = by_key.first().is_some_and(|first| first.start_key.is_empty())
        && by_key.last().is_some_and(|last| last.end_key.is_empty())
        && by_key
            .windows(2)
            .all(|pair| !pair[0].end_key.is_empty() && pair[0].end_key == pair[1].start_key);
    PROPERTY.require(is_whole, || format!("the regions are {by_key:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_and_an_overlap_are_noticed() {
        let region =
            |id: u64, start: &'static str, end: &'static str| Region::new(id.into(), start, end);
        let holds = |regions: Vec<Region>| check(&newest(regions)).is_ok();
        assert!(holds(vec![region(1, "", "b"), region(2, "b", "")]));
        assert!(!holds(vec![region(1, "", "b"), region(2, "c", "")]));
        assert!(!holds(vec![region(1, "", "c"), region(2, "b", "")]));
        assert!(!holds(vec![region(1, "", "b")]));
    }
}
