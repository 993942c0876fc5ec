//! What can be seen of the stores of a test.

use std::collections::BTreeMap;

use bytes::Bytes;
use engine::{Cf, Engine as _, KeyRange};
use proto::RegionId;
use proto::metapb::{Region, RegionEpoch};

use super::cluster::Cluster;
use crate::state;

impl Cluster {
    /// What every store says of its regions.
    pub(crate) fn show(&self) -> String {
        let mut lines = Vec::new();
        for (id, machine) in &self.machines {
            if let Some(why) = &machine.stopped {
                lines.push(format!("store {id} stopped: {why}"));
            }
            let Some(process) = &machine.process else { continue };
            for (region, own, status) in process.raft.statuses() {
                lines.push(format!("store {id} region {region} peer {}: {status}", own.id));
            }
        }
        lines.join("\n")
    }

    /// The store that leads a region, in the highest term if several believe so.
    pub(crate) fn leader(&self, region: RegionId) -> Option<u64> {
        let mut best = None;
        for (id, machine) in &self.machines {
            let Some(view) = machine.process.as_ref().and_then(|p| p.router.view(region)) else {
                continue;
            };
            let leads = machine.stopped.is_none() && view.leader == Some(view.peer);
            if leads && best.is_none_or(|(term, _)| term < view.term) {
                best = Some((view.term, *id));
            }
        }
        best.map(|(_, id)| id)
    }

    /// A region as a store knows it.
    pub(crate) fn region(&self, store: u64, region: RegionId) -> Region {
        let process = self.process(store).expect("the store runs");
        process.router.view(region).map(|view| (*view.region).clone()).unwrap_or_default()
    }

    /// How far a store has applied a region, if it has its data.
    pub(crate) fn applied(&self, store: u64, region: RegionId) -> Option<(u64, RegionEpoch)> {
        let kv = &*self.machines[&store].kv.engine;
        let record = state::region_state(kv, region).ok()??;
        if state::is_tombstone(&record) || state::install_markers(kv).ok()?.contains_key(&region) {
            return None;
        }
        let applied = state::apply_state(kv, region).ok()??.applied_index;
        Some((applied, state::region_of(&record).epoch()))
    }

    /// What a store holds in the range of a region.
    pub(crate) fn data(&self, store: u64, region: &Region) -> BTreeMap<(Cf, Bytes), Bytes> {
        let view = self.machines[&store].kv.engine.snapshot().unwrap();
        let mut held = BTreeMap::new();
        for cf in Cf::DATA {
            let range = KeyRange::new(&region.start_key, &region.end_key);
            let mut cursor = view.cursor(cf, range).unwrap();
            let mut is_valid = cursor.seek_to_first().unwrap();
            while is_valid {
                let key = Bytes::copy_from_slice(cursor.key());
                held.insert((cf, key), Bytes::copy_from_slice(cursor.value()));
                is_valid = cursor.next().unwrap();
            }
        }
        held
    }

    /// The peer of a region on a store and what Raft says of it.
    pub(crate) fn status(&self, store: u64, region: RegionId) -> Option<raft::Status> {
        let statuses = self.process(store)?.raft.statuses();
        statuses.into_iter().find(|(id, ..)| *id == region).map(|(.., status)| status)
    }

    /// Whether the disk of a store says that its peer of a region is gone for good.
    pub(crate) fn is_buried(&self, store: u64, region: RegionId) -> bool {
        let record = state::region_state(&*self.machines[&store].kv.engine, region).unwrap();
        record.is_some_and(|record| state::is_tombstone(&record))
    }
}
