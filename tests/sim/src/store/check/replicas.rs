//! Replicas that have applied the same have the same data.

use std::collections::BTreeMap;

use engine::{Cf, Engine, KeyRange};
use proto::RegionId;
use proto::metapb::Region;
use raftstore::{keys, state};

use super::{Property, STORES, Verdict};

pub(crate) static PROPERTY: Property = Property {
    name: "replicas of a region that have applied the same have the same data",
    source: "State Machine Safety, Raft paper, Figure 3; S2: applying is atomic",
};

/// States of a region that are remembered; older ones are forgotten.
const REMEMBERED: usize = 512;

/// A state of a region, on some store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) applied: u64,
    hash: u64,
    keys: u64,
    store: u64,
}

/// The data of all regions as it was seen.
#[derive(Debug, Default)]
pub(crate) struct Replicas {
    seen: BTreeMap<RegionId, BTreeMap<u64, Seen>>,
}

impl Replicas {
    /// Looks at the data of a region on a store, and compares it with other replicas in the same state.
    /// Answers with what was seen, unless a snapshot is about to replace it.
    pub(crate) fn look(
        &mut self,
        store: u64,
        kv: &dyn Engine,
        region: &Region,
    ) -> Verdict<Option<Seen>> {
        let seen = look(store, kv, region)
            .map_err(|error| STORES.violated(format!("store {store}: {error}")))?;
        let Some(seen) = seen else { return Ok(None) };
        let of_region = self.seen.entry(region.region_id()).or_default();
        let known = *of_region.entry(seen.applied).or_insert(seen);
        if of_region.len() > REMEMBERED {
            of_region.pop_first();
        }
        PROPERTY.require(known.hash == seen.hash, || {
            format!("region {} was {known:?} and is {seen:?}", region.id)
        })?;
        Ok(Some(seen))
    }
}

fn look(store: u64, kv: &dyn Engine, region: &Region) -> raftstore::Result<Option<Seen>> {
    let id = region.region_id();
    if kv.get(Cf::Local, &keys::install_marker(id))?.is_some() {
        return Ok(None);
    }
    let Some(applied) = state::apply_state(kv, id)? else { return Ok(None) };
    let view = kv.snapshot()?;
    let mut seen = Seen { applied: applied.applied_index, hash: 0, keys: 0, store };
    let epoch = region.epoch();
    seen.add(format!("{}.{}.{:?}", epoch.conf_ver, epoch.version, region.peers).as_bytes());
    for cf in Cf::DATA {
        let range = KeyRange::new(&region.start_key, &region.end_key);
        let mut cursor = view.cursor(cf, range)?;
        let mut is_valid = cursor.seek_to_first()?;
        while is_valid {
            seen.add(cf.name().as_bytes());
            seen.add(cursor.key());
            seen.add(cursor.value());
            seen.keys += 1;
            is_valid = cursor.next()?;
        }
    }
    Ok(Some(seen))
}

impl Seen {
    fn add(&mut self, bytes: &[u8]) {
        let hash = bytes.iter().fold(self.hash ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        self.hash = hash.rotate_left(23);
    }
}
