//! Snapshots: asked for by Raft, built elsewhere; and taken in, by the protocol of [`InstallMarker`].
//!
//! # Taking one in
//!
//! A snapshot replaces log and data of a region, which live in two engines and in files. So that a
//! crash between any two steps leaves something that can be gone on with, the order is:
//!
//! ```text
//! 1. the files, and their folder, are on disk          whoever received them
//! 2. the marker is on disk                             kv engine, synced
//! 3. the log is replaced                               raft engine, synced, in one batch
//! 4. Raft may say that it has the snapshot
//! 5. the old data is cleared, the files are ingested   kv engine, family by family
//! 6. the states are written, the marker goes           kv engine, synced, in one batch
//! 7. the files go
//! ```
//!
//! Before 2 nothing has happened. From 2 on, a start goes on with 3, unless the raft engine says that
//! its log follows this snapshot already, and then with 5, which can be done any number of times.

use engine::{Cf, Durability, WriteBatch};
use prost::Message;
use proto::eraftpb::{HardState, Snapshot};
use proto::metapb::Region;
use proto::raft_serverpb::{RaftApplyState, RaftLocalState, RaftSnapshotData, RaftTruncatedState};
use raft::{Ready, StorageError};
use runtime::mutant;

use super::PeerStorage;
use crate::error::{Error, Result};
use crate::state::{self, InstallMarker};
use crate::{keys, region_index::Reservation};

/// Where a snapshot for followers comes from.
#[derive(Debug, Default)]
pub(crate) struct SnapshotWish {
    is_wanted: bool,
    is_being_built: bool,
    built: Option<Snapshot>,
}

impl SnapshotWish {
    /// Raft asks. What is at hand is given if it reaches far enough.
    pub(super) fn ask(&mut self, at_least: u64) -> Result<Snapshot, StorageError> {
        match &self.built {
            Some(snapshot) if snapshot.index() >= at_least => Ok(snapshot.clone()),
            Some(_) | None => {
                self.built = None;
                self.is_wanted = true;
                Err(StorageError::SnapshotPending)
            }
        }
    }
}

/// The record of which snapshot a log follows.
fn base_of(snapshot: &Snapshot) -> RaftTruncatedState {
    RaftTruncatedState { index: snapshot.index(), term: snapshot.term() }
}

/// The region that a snapshot shows.
pub(crate) fn region_of(snapshot: &Snapshot) -> Option<Region> {
    RaftSnapshotData::decode(snapshot.data.clone()).ok()?.region
}

impl PeerStorage {
    /// Whether a snapshot should be built now. Says so once, until it is built.
    pub(crate) fn take_snapshot_wish(&mut self) -> bool {
        let wish = &mut self.snapshot;
        let begin = wish.is_wanted && !wish.is_being_built;
        if begin {
            wish.is_wanted = false;
            wish.is_being_built = true;
        }
        begin
    }

    /// A snapshot was built, or could not be. It is of no use if the region has changed meanwhile: a new
    /// member would not find itself in it, and a store that has the right part of a split already would wait
    /// for that range for ever.
    pub(crate) fn snapshot_built(&mut self, snapshot: Option<Snapshot>) {
        self.snapshot.is_being_built = false;
        let now = self.region.epoch();
        self.snapshot.built = snapshot.filter(|snapshot| {
            let is_as_now = region_of(snapshot).map(|region| region.epoch()).is_some_and(|then| {
                then == now || (mutant::on(29) && then.conf_ver == now.conf_ver)
            });
            if !is_as_now {
                runtime::mark!("a snapshot of the region as it was");
            }
            is_as_now
        });
    }

    /// What was built is not sent any more: it is damaged, gone, or of the region as it was.
    pub(crate) fn forget_snapshot(&mut self) {
        self.snapshot.built = None;
    }

    /// Steps 2 and 3: the snapshot of `ready` replaces the log, and it is certain that the data will
    /// follow. `region` is what it shows.
    pub(crate) fn accept_snapshot(
        &mut self,
        ready: &Ready,
        region: Region,
    ) -> Result<InstallMarker> {
        let snapshot = ready.snapshot.clone().unwrap_or_default();
        let hard_state = ready.hard_state.unwrap_or_else(|| self.hard_state());
        let hard_state = HardState { commit: snapshot.index(), ..hard_state };
        let raft_state = RaftLocalState {
            // Entries behind the snapshot are written later: nothing may say yet that they are committed.
            hard_state: Some(hard_state),
            last_index: snapshot.index(),
            last_term: snapshot.term(),
        };
        let cleared = self.cleared_by(&region);
        let marker = InstallMarker {
            raft_state: Some(raft_state),
            snapshot: Some(snapshot),
            region: Some(region),
            clear_start: cleared.start,
            clear_end: cleared.end,
        };
        let mut batch = WriteBatch::new();
        let key = keys::install_marker(self.region_id());
        batch.put(Cf::Local, key, marker.encode_to_vec());
        self.engines.kv.write(&batch, Durability::Synced)?;

        self.replace_log(&marker)?;
        // Entries that came behind the snapshot are written like any others.
        let mut batch = WriteBatch::new();
        let mut after = self.append(&ready.entries, &mut batch);
        if !batch.is_empty() {
            after.hard_state = Some(hard_state);
            state::put_raft_state(&mut batch, self.region_id(), &after);
            self.engines.raft.write(&batch, Durability::Synced)?;
            self.raft_state = after;
        }
        Ok(marker)
    }

    /// What an install clears: what the region has covered until now, and what it will cover.
    pub(crate) fn cleared_by(&self, region: &Region) -> Reservation {
        if !self.is_initialized() {
            return Reservation { start: region.start_key.clone(), end: region.end_key.clone() };
        }
        let old = &self.region;
        let start = old.start_key.clone().min(region.start_key.clone());
        let is_within = proto::region::ends_within(&old.end_key, &region.end_key);
        let end = if is_within { &region.end_key } else { &old.end_key };
        Reservation { start, end: end.clone() }
    }

    /// Step 3, and what memory knows from then on.
    fn replace_log(&mut self, marker: &InstallMarker) -> Result<()> {
        let id = self.region_id();
        let snapshot = marker.snapshot.clone().unwrap_or_default();
        let raft_state = marker.raft_state.unwrap_or_default();
        let mut batch = WriteBatch::new();
        state::clear_raft(&mut batch, id);
        state::put_raft_state(&mut batch, id, &raft_state);
        batch.put(Cf::Local, keys::raft_base(id), base_of(&snapshot).encode_to_vec());
        self.engines.raft.write(&batch, Durability::Synced)?;
        self.know_snapshot(marker, raft_state);
        Ok(())
    }

    fn know_snapshot(&mut self, marker: &InstallMarker, raft_state: RaftLocalState) {
        let snapshot = marker.snapshot.clone().unwrap_or_default();
        self.raft_state = raft_state;
        self.apply_state = installed_apply_state(&snapshot);
        self.applied_term = snapshot.term();
        self.region = marker.region.clone().unwrap_or_default();
        self.owner = None;
        self.snapshot = SnapshotWish::default();
    }

    /// A storage that goes on from a marker which a start has found: with step 3, if that is still to
    /// be done. Step 5 is the caller's.
    pub(crate) fn recover(engines: engine::Engines, marker: &InstallMarker) -> Result<Self> {
        let (Some(region), Some(snapshot)) = (&marker.region, &marker.snapshot) else {
            return Err(Error::corrupt("install marker", 0, "it has no region or no snapshot"));
        };
        let id = region.region_id();
        let base: Option<RaftTruncatedState> =
            state::load(&*engines.raft, &keys::raft_base(id), "raft base", id)?;
        let saved = state::raft_state(&*engines.raft, id)?;
        let nothing = RaftLocalState::default();
        let apply_state = RaftApplyState::default();
        let mut storage = Self::with(engines, region.clone(), nothing, apply_state, 0);
        match (base, saved) {
            (Some(base), Some(saved)) if base == base_of(snapshot) => {
                storage.know_snapshot(marker, saved);
            }
            (_, saved) => {
                // A vote may have been given since the snapshot was made.
                let mut marker = marker.clone();
                keep_promises(&mut marker, saved);
                storage.replace_log(&marker)?;
            }
        }
        Ok(storage)
    }
}

/// Takes over a term and vote that are newer than those of the marker.
fn keep_promises(marker: &mut InstallMarker, saved: Option<RaftLocalState>) {
    let saved = saved.and_then(|saved| saved.hard_state).unwrap_or_default();
    if let Some(state) = &mut marker.raft_state {
        let mut hard_state = state.hard_state.unwrap_or_default();
        if saved.term > hard_state.term {
            (hard_state.term, hard_state.vote) = (saved.term, saved.vote);
        } else if saved.term == hard_state.term && hard_state.vote == 0 {
            hard_state.vote = saved.vote;
        }
        state.hard_state = Some(hard_state);
    }
}

/// How much of the log is in the data once a snapshot is.
fn installed_apply_state(snapshot: &Snapshot) -> RaftApplyState {
    RaftApplyState { applied_index: snapshot.index(), truncated_state: Some(base_of(snapshot)) }
}

/// Step 6, as a batch that must be synced.
pub(crate) fn finish_install(marker: &InstallMarker, batch: &mut WriteBatch) {
    let region = marker.region.clone().unwrap_or_default();
    let snapshot = marker.snapshot.clone().unwrap_or_default();
    state::put_region(batch, &region);
    state::put_apply_state(batch, region.region_id(), &installed_apply_state(&snapshot));
    batch.delete(Cf::Local, keys::install_marker(region.region_id()));
}
