//! Slow work on a region's data and log: snapshots, sizes, and what is to be deleted.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{Cf, Durability, Engines, Snapshot as EngineSnapshot, WriteBatch};
use prost::Message;
use proto::RegionId;
use proto::eraftpb::{ConfState, Entry, Snapshot};
use proto::metapb::Region;
use proto::raft_serverpb::{RaftApplyState, RaftMessage, RaftSnapshotData, RegionLocalState};
use runtime::clock::Clock;
use runtime::mutant;
use runtime::worker::{Runner, Tasks};
use slog::{Logger, debug, error, warn};

use super::RegionTask;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::keys;
use crate::message::Completion;
use crate::snapshot::{self, Side, SnapKey, SnapManager};
use crate::split_check::{self, Limits};
use crate::state::{self, InstallMarker};
use crate::storage::finish_install;

/// Does one task after the other; deletions of log entries are collected and share a sync.
pub struct RegionWorker {
    engines: Engines,
    snapshots: Arc<SnapManager>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    completions: Tasks<Completion>,
    log: Logger,
    /// Up to where the logs of regions are to be deleted.
    cut: BTreeMap<RegionId, u64>,
}

impl RegionWorker {
    /// A worker without tasks.
    pub fn new(
        engines: Engines,
        snapshots: Arc<SnapManager>,
        clock: Arc<dyn Clock>,
        config: &Config,
        completions: Tasks<Completion>,
        log: Logger,
    ) -> Self {
        let limits =
            Limits { max: config.region_size_max.get(), split: config.region_size_split.get() };
        RegionWorker { engines, snapshots, clock, limits, completions, log, cut: BTreeMap::new() }
    }

    /// From now on it reports to `completions`. Returns where it reported to until now, for whoever puts something
    /// in between.
    pub fn report_to(&mut self, completions: Tasks<Completion>) -> Tasks<Completion> {
        std::mem::replace(&mut self.completions, completions)
    }

    fn do_task(&mut self, task: RegionTask) -> Result<()> {
        match task {
            RegionTask::BuildSnapshot(region) => {
                let snapshot = match self.build(region) {
                    Ok(snapshot) => snapshot,
                    Err(Error::Snapshot(error)) => {
                        warn!(self.log, "no snapshot can be built now";
                            "region" => region.get(), "error" => %error);
                        None
                    }
                    Err(error) => return Err(error),
                };
                self.report(Completion::SnapshotBuilt { region, snapshot });
            }
            RegionTask::CheckSnapshot(message) => {
                let is_whole = self.is_whole(&message);
                self.report(Completion::SnapshotChecked { message, is_whole });
            }
            RegionTask::Install(marker) => self.install(&marker)?,
            RegionTask::DeleteLog { region, end } => {
                let known = self.cut.entry(region).or_default();
                *known = end.max(*known);
            }
            RegionTask::CheckSize { region, written } => self.check_size(&region, written)?,
            RegionTask::CollectSnapshots => {
                if let Err(error) = self.snapshots.gc(self.clock.now()) {
                    warn!(self.log, "old snapshots cannot be deleted"; "error" => %error);
                }
            }
        }
        Ok(())
    }

    /// Builds a snapshot of what is applied now. `None` if the region is not in a state to have one.
    fn build(&self, id: RegionId) -> Result<Option<Snapshot>> {
        let view = self.engines.kv.snapshot()?;
        let Some((region, applied)) = recorded(&*view, id)? else { return Ok(None) };
        let Some(term) = self.term_of(id, &applied)? else { return Ok(None) };
        let key = SnapKey { region: id.get(), term, index: applied.applied_index };
        debug!(self.log, "building a snapshot"; "region" => id.get(), "index" => key.index);
        let data = snapshot::build(&*view, &*self.engines.kv, &region, key, &self.snapshots)?;
        let members = ConfState::new(region.peers.iter().map(|peer| peer.id));
        Ok(Some(Snapshot::new(term, key.index, members, data.encode_to_vec())))
    }

    /// The term of the last applied entry, unless the log has been cut behind it meanwhile.
    fn term_of(&self, id: RegionId, applied: &RaftApplyState) -> Result<Option<u64>> {
        let truncated = applied.truncated_state.unwrap_or_default();
        if truncated.index == applied.applied_index {
            return Ok(Some(truncated.term));
        }
        let key = keys::raft_log(id, applied.applied_index);
        let entry: Option<Entry> = state::load(&*self.engines.raft, &key, "log entry", id)?;
        Ok(entry.map(|entry| entry.term))
    }

    /// Whether the files of a snapshot are what its message says. Those that are not are thrown away, and
    /// the leader will be asked again.
    fn is_whole(&self, message: &RaftMessage) -> bool {
        let carried = message.message.as_ref().and_then(|inner| inner.snapshot.as_ref());
        let Some(carried) = carried else { return false };
        let key = SnapKey::of(carried, message.region_id);
        let Ok(data) = RaftSnapshotData::decode(carried.data.clone()) else { return false };
        let checked = snapshot::verify(&self.snapshots, key, &data);
        if let Err(error) = &checked {
            warn!(self.log, "a snapshot that came is discarded";
                "region" => message.region_id, "error" => %error);
            self.retire(key);
        }
        checked.is_ok()
    }

    /// Steps 5 to 7 of an install; see [`crate::storage`].
    fn install(&mut self, marker: &InstallMarker) -> Result<()> {
        let region = marker.region.as_ref().map(Region::region_id).unwrap_or_default();
        let installed = match self.ingest(marker) {
            Ok(()) => true,
            Err(Error::Snapshot(error)) if error.is_unusable() => {
                error!(self.log, "a snapshot cannot be installed";
                    "region" => region.get(), "error" => %error);
                false
            }
            Err(error) => return Err(error),
        };
        self.report(Completion::SnapshotInstalled { region, installed });
        Ok(())
    }

    fn ingest(&self, marker: &InstallMarker) -> Result<()> {
        let snapshot = marker.snapshot.clone().unwrap_or_default();
        let region = marker.region.clone().unwrap_or_default();
        let key = SnapKey { region: region.id, term: snapshot.term(), index: snapshot.index() };
        let data = RaftSnapshotData::decode(snapshot.data)
            .map_err(|error| Error::corrupt("install marker", region.id, error.to_string()))?;
        snapshot::verify(&self.snapshots, key, &data)?;
        let mut batch = WriteBatch::new();
        state::clear_data(&mut batch, &marker.clear_start, &marker.clear_end);
        self.engines.kv.write(&batch, Durability::Unsynced)?;
        snapshot::ingest(&*self.engines.kv, &self.snapshots, key, &data)?;

        let mut batch = WriteBatch::new();
        finish_install(marker, &mut batch);
        let durability = if mutant::on(25) { Durability::Unsynced } else { Durability::Synced };
        self.engines.kv.write(&batch, durability)?;
        self.retire(key);
        Ok(())
    }

    /// Nobody needs the files of a snapshot any more. Whether they go now or at the next start does not
    /// matter.
    fn retire(&self, key: SnapKey) {
        if let Err(error) = self.snapshots.retire(key, Side::Received) {
            warn!(self.log, "the files of a snapshot cannot be deleted"; "error" => %error);
        }
    }

    fn check_size(&mut self, region: &Region, written: u64) -> Result<()> {
        let found = split_check::check(&*self.engines.kv, region, written, self.limits)?;
        self.report(Completion::SizeKnown {
            region: region.region_id(),
            epoch: region.epoch(),
            size: found.size,
            split_key: found.split_key,
        });
        Ok(())
    }

    /// Deletes the entries that were cut off. Until the data is on disk that they led to, a crash would
    /// need them again.
    fn delete_logs(&mut self) -> Result<()> {
        if self.cut.is_empty() {
            return Ok(());
        }
        if !mutant::on(10) {
            self.engines.kv.sync()?;
        }
        let mut batch = WriteBatch::new();
        for (region, end) in std::mem::take(&mut self.cut) {
            let (from, to) = (keys::raft_log(region, 0), keys::raft_log(region, end));
            batch.delete_range(Cf::Local, from, to);
        }
        self.engines.raft.write(&batch, Durability::Unsynced)?;
        Ok(())
    }

    fn report(&self, completion: Completion) {
        // An error means that the store has stopped, and nobody wants to know.
        drop(self.completions.send(completion));
    }

    fn fail(&self, error: &Error) {
        error!(self.log, "work on a region failed, the store stops"; "error" => %error);
        self.report(Completion::Failed(error.to_string()));
    }
}

impl Runner for RegionWorker {
    type Task = RegionTask;

    fn run(&mut self, task: RegionTask) {
        if let Err(error) = self.do_task(task) {
            self.fail(&error);
        }
    }

    fn flush(&mut self) {
        if let Err(error) = self.delete_logs() {
            self.fail(&error);
        }
    }
}

/// A living region and how much of its log is in the data, both as of one state.
fn recorded(view: &dyn EngineSnapshot, id: RegionId) -> Result<Option<(Region, RaftApplyState)>> {
    let damaged = |record| {
        move |error: prost::DecodeError| Error::corrupt(record, id.get(), error.to_string())
    };
    let Some(bytes) = view.get(Cf::Local, &keys::region_state(id))? else { return Ok(None) };
    let state = RegionLocalState::decode(bytes).map_err(damaged("region state"))?;
    let Some(bytes) = view.get(Cf::Local, &keys::apply_state(id))? else { return Ok(None) };
    let applied = RaftApplyState::decode(bytes).map_err(damaged("apply state"))?;
    let region = state::region_of(&state);
    let is_alive = !state::is_tombstone(&state) && !region.is_uninitialized();
    Ok(is_alive.then_some((region, applied)))
}
