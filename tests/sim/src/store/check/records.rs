//! What a store's disk says about its regions: ranges that do not overlap, epochs that only grow,
//! tombstones that stay.

use std::collections::BTreeMap;

use engine::Engine;
use proto::RegionId;
use proto::StoreId;
use proto::metapb::Region;
use proto::raft_serverpb::{PeerState, RegionLocalState};
use raftstore::state;

use super::{Property, Verdict};

pub(crate) static OVERLAP: Property = Property {
    name: "no two regions of a store overlap",
    source: "X1 in components/raftstore, and tikv/tikv issue 866",
};

pub(crate) static EPOCHS: Property = Property {
    name: "the epoch of a region only grows on a disk",
    source: "S5: the epoch guards every command",
};

pub(crate) static TOMBSTONES: Property =
    Property { name: "a tombstone is for ever", source: "S6: a peer id never comes back" };

/// What was seen on all disks.
#[derive(Debug, Default)]
pub(crate) struct Records {
    seen: BTreeMap<(u64, RegionId), RegionLocalState>,
}

fn region_of(state: &RegionLocalState) -> Region {
    state.region.clone().unwrap_or_default()
}

fn is_tombstone(state: &RegionLocalState) -> bool {
    state.state == i32::from(PeerState::Tombstone)
}

/// The regions that a disk has data of.
pub(crate) fn living(kv: &dyn Engine) -> raftstore::Result<Vec<Region>> {
    let states = state::region_states(kv)?;
    let living = states.iter().filter(|(_, state)| !is_tombstone(state));
    Ok(living.map(|(_, state)| region_of(state)).collect())
}

impl Records {
    /// Looks at the disk of a store. Answers how many peers it has
    /// buried since it was last looked at, and how many are new.
    pub(crate) fn look(&mut self, store: u64, kv: &dyn Engine) -> Verdict<(u64, u64)> {
        let states =
            state::region_states(kv).map_err(|error| super::STORES.violated(error.to_string()))?;
        check_overlap(store, &states)?;
        let (mut buried, mut new) = (0, 0);
        for (region, now) in &states {
            let Some(before) = self.seen.get(&(store, *region)) else {
                new += 1;
                continue;
            };
            check_succession(store, before, now)?;
            buried += u64::from(is_tombstone(now) && !is_tombstone(before));
        }
        for (of, region) in self.seen.keys().filter(|(of, _)| *of == store) {
            let is_there = states.iter().any(|(id, _)| id == region);
            TOMBSTONES.require(is_there, || {
                format!("store {of} has no record of region {region} any more")
            })?;
        }
        for (region, state) in states {
            self.seen.insert((store, region), state);
        }
        Ok((buried, new))
    }
}

fn check_overlap(store: u64, states: &[(RegionId, RegionLocalState)]) -> Verdict {
    let living = states.iter().filter(|(_, state)| !is_tombstone(state));
    let mut regions: Vec<Region> = living.map(|(_, state)| region_of(state)).collect();
    regions.sort_by(|a, b| a.start_key.cmp(&b.start_key));
    for pair in regions.windows(2) {
        let [left, right] = pair else { unreachable!("windows of two") };
        OVERLAP.require(!left.overlaps(&right.start_key, &right.end_key), || {
            format!("on store {store}: {left:?} and {right:?}")
        })?;
    }
    Ok(())
}

fn check_succession(store: u64, before: &RegionLocalState, now: &RegionLocalState) -> Verdict {
    let (old, new) = (region_of(before), region_of(now));
    EPOCHS.require(!new.epoch().is_older_than(&old.epoch()), || {
        format!("on store {store} {old:?} became {new:?}")
    })?;
    if !is_tombstone(before) {
        return Ok(());
    }
    let own = |region: &Region| region.peer_on_store(StoreId::new(store)).map_or(0, |own| own.id);
    let is_reborn = !is_tombstone(now) && own(&new) <= own(&old);
    TOMBSTONES.require(!is_reborn, || {
        format!("store {store} had buried its peer of {old:?}, and has {new:?}")
    })
}
