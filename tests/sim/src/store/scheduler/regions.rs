//! The regions as their leaders reported them.
//!
//! Invariant: no two recorded regions overlap. There may be gaps, while one part of a split has been
//! reported and the other has not.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use proto::metapb::Region;

/// What is wrong with a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It is older than what is known: nothing unusual.
    Stale(String),
    /// It contradicts what is known: two leaders of one epoch, or a change that cannot be.
    Contradiction(String),
}

/// All regions, by their ranges.
#[derive(Debug, Default)]
pub(super) struct Regions {
    by_start: BTreeMap<Bytes, Region>,
    starts: BTreeMap<u64, Bytes>,
}

impl Regions {
    /// The region that holds `key`.
    pub(super) fn holder(&self, key: &[u8]) -> Option<&Region> {
        let upto = (Bound::Unbounded, Bound::Included(key));
        let (_, region) = self.by_start.range::<[u8], _>(upto).next_back()?;
        region.contains(key).then_some(region)
    }

    /// The region of this id.
    pub(super) fn get(&self, id: u64) -> Option<&Region> {
        self.by_start.get(self.starts.get(&id)?)
    }

    /// All of them, in the order of their keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Region> {
        self.by_start.values()
    }

    /// Takes in a report.
    pub(super) fn report(&mut self, region: &Region) -> Result<(), Wrong> {
        self.check_range(region)?;
        self.check_peers(region)?;
        let ids: Vec<u64> = self.overlapping(region).map(|other| other.id).collect();
        for id in ids.into_iter().chain([region.id]) {
            if let Some(start) = self.starts.remove(&id) {
                self.by_start.remove(&start);
            }
        }
        self.starts.insert(region.id, region.start_key.clone());
        self.by_start.insert(region.start_key.clone(), region.clone());
        Ok(())
    }

    /// What a report replaces must be older than it.
    fn check_range(&self, region: &Region) -> Result<(), Wrong> {
        for other in self.overlapping(region) {
            let is_same = other.start_key == region.start_key && other.end_key == region.end_key;
            let (new, old) = (region.epoch(), other.epoch());
            let is_stale = if is_same && other.id == region.id {
                new.is_older_than(&old)
            } else {
                new.version <= old.version
            };
            if is_stale {
                return Err(Wrong::Stale(format!("{region:?} is not newer than {other:?}")));
            }
        }
        match self.get(region.id) {
            Some(known) if region.epoch().is_older_than(&known.epoch()) => {
                Err(Wrong::Stale(format!("{region:?} is older than {known:?}")))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Between two reports of a region each new `conf_ver` is one peer that came or went.
    fn check_peers(&self, region: &Region) -> Result<(), Wrong> {
        let Some(known) = self.get(region.id) else { return Ok(()) };
        let steps = region.epoch().conf_ver - known.epoch().conf_ver;
        let lacks = |region: &Region, peer| !region.peers.contains(peer);
        let came = region.peers.iter().filter(|peer| lacks(known, peer)).count() as u64;
        let went = known.peers.iter().filter(|peer| lacks(region, peer)).count() as u64;
        let changed = came + went;
        if changed > steps || !(steps - changed).is_multiple_of(2) {
            let what =
                format!("{changed} peers changed in {steps} steps: {known:?} became {region:?}");
            return Err(Wrong::Contradiction(what));
        }
        Ok(())
    }

    fn overlapping<'a>(&'a self, region: &'a Region) -> impl Iterator<Item = &'a Region> {
        self.by_start.values().filter(|other| other.overlaps(&region.start_key, &region.end_key))
    }
}

#[cfg(test)]
mod tests {
    use proto::metapb::{Peer, RegionEpoch};

    use super::*;

    fn region(id: u64, range: (&'static str, &'static str), epoch: (u64, u64)) -> Region {
        let mut region = Region::new(id.into(), range.0, range.1);
        region.region_epoch = Some(RegionEpoch { conf_ver: epoch.0, version: epoch.1 });
        region.peers = (1..=epoch.0).map(|id| Peer { id, store_id: id }).collect();
        region
    }

    #[test]
    fn the_parts_of_a_split_replace_the_whole_in_any_order() {
        let whole = region(1, ("", ""), (1, 1));
        let parts = [region(1, ("", "m"), (1, 2)), region(2, ("m", ""), (1, 2))];
        for order in [[0, 1], [1, 0]] {
            let mut regions = Regions::default();
            regions.report(&whole).unwrap();
            for part in order {
                regions.report(&parts[part]).unwrap();
            }
            assert!(matches!(regions.report(&whole), Err(Wrong::Stale(_))));
            assert_eq!(regions.iter().collect::<Vec<_>>(), parts.iter().collect::<Vec<_>>());
            assert_eq!(regions.holder(b"n").map(|region| region.id), Some(2));
        }
    }

    #[test]
    fn peers_change_one_by_one() {
        let mut regions = Regions::default();
        regions.report(&region(1, ("", ""), (1, 1))).unwrap();
        regions.report(&region(1, ("", ""), (3, 1))).unwrap();
        assert!(matches!(regions.report(&region(1, ("", ""), (2, 1))), Err(Wrong::Stale(_))));
        let mut same_epoch = region(1, ("", ""), (3, 1));
        same_epoch.peers.pop();
        assert!(matches!(regions.report(&same_epoch), Err(Wrong::Contradiction(_))));
    }
}
