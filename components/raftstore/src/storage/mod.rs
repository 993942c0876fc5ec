//! The log of one region, as Raft sees it.
//!
//! [`PeerStorage`] answers Raft's questions from the raft engine and from the records it keeps in
//! memory. It never writes by itself: [`append`] puts what a [`Ready`](raft::Ready) wants written into
//! a batch that the turn of the loop shares among all regions, and the new records are installed once
//! that is on disk.
//!
//! Invariants:
//!
//! - P1: `truncated <= applied <= last`.
//! - P2: the raft engine holds every entry behind `truncated` up to `last`.

mod append;
mod snapshot;

use bytes::Bytes;
use engine::{Cf, Engines, KeyRange};
use prost::Message;
use proto::RegionId;
use proto::eraftpb::{ConfState, Entry, HardState, Snapshot};
use proto::metapb::Region;
use proto::raft_serverpb::{RaftApplyState, RaftLocalState, RaftTruncatedState};
use raft::{Storage, StorageError};

pub(crate) use append::Saved;
pub(crate) use snapshot::{SnapshotWish, finish_install, region_of as snapshot_region};

use crate::error::{Error, Result};
use crate::{keys, state};

/// What Raft must not forget about one region.
pub struct PeerStorage {
    engines: Engines,
    region: Region,
    raft_state: RaftLocalState,
    apply_state: RaftApplyState,
    /// The term of the last applied entry.
    applied_term: u64,
    /// Written beside the first state of a log that a message created: for whom it is.
    owner: Option<Region>,
    snapshot: SnapshotWish,
}

impl PeerStorage {
    /// The storage of a region as the disk has it.
    ///
    /// A region without a raft state begins with the initial one: it was founded or split off, and the
    /// process ended before its peer wrote anything. Where a message had created the peer before the
    /// split did, there is a state with a vote but without a log; vote and term stay.
    pub fn load(engines: Engines, region: Region) -> Result<Self> {
        let id = region.region_id();
        let saved = state::raft_state(&*engines.raft, id)?;
        if region.is_uninitialized() {
            let raft_state = saved.unwrap_or_default();
            if raft_state.last_index != 0 {
                let why = "there is a log, but nothing is known of the region";
                return Err(Error::corrupt("raft state", id.get(), why));
            }
            return Ok(Self::with(engines, region, raft_state, RaftApplyState::default(), 0));
        }
        let Some(apply_state) = state::apply_state(&*engines.kv, id)? else {
            return Err(Error::corrupt("apply state", id.get(), "it is missing"));
        };
        let truncated = apply_state.truncated_state.unwrap_or_default();
        let mut raft_state = saved.unwrap_or_else(state::initial_raft_state);
        let mut hard_state = raft_state.hard_state.unwrap_or_default();
        if raft_state.last_index < truncated.index {
            if raft_state.last_index != 0 {
                let why = format!(
                    "the log ends at {} but was cut at {}: the raft engine has lost its newest part",
                    raft_state.last_index, truncated.index
                );
                return Err(Error::corrupt("raft state", id.get(), why));
            }
            raft_state.last_index = truncated.index;
            raft_state.last_term = truncated.term;
            hard_state.term = hard_state.term.max(truncated.term);
        }
        if raft_state.last_index < apply_state.applied_index {
            let why = format!(
                "the log ends at {} but the data holds {}: the raft engine has lost its newest part",
                raft_state.last_index, apply_state.applied_index
            );
            return Err(Error::corrupt("raft state", id.get(), why));
        }
        // The commit index is written only beside something else; what is applied was committed.
        hard_state.commit = hard_state.commit.max(apply_state.applied_index);
        raft_state.hard_state = Some(hard_state);
        let mut storage = Self::with(engines, region, raft_state, apply_state, 0);
        storage.applied_term = storage
            .term(apply_state.applied_index)
            .map_err(|error| Error::corrupt("log", id.get(), error.to_string()))?;
        Ok(storage)
    }

    /// A storage with given records, whatever the disk says.
    pub(crate) fn with(
        engines: Engines,
        region: Region,
        raft_state: RaftLocalState,
        apply_state: RaftApplyState,
        applied_term: u64,
    ) -> Self {
        let snapshot = SnapshotWish::default();
        PeerStorage {
            engines,
            region,
            raft_state,
            apply_state,
            applied_term,
            owner: None,
            snapshot,
        }
    }

    /// The first state that is written says for whom a message created it.
    pub(crate) fn set_owner(&mut self, owner: Region) {
        self.owner = Some(owner);
    }

    /// The region, as of what is applied.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// The region has changed, and the disk knows it.
    pub(crate) fn set_region(&mut self, region: Region) {
        self.region = region;
    }

    /// The region's id.
    pub fn region_id(&self) -> RegionId {
        self.region.region_id()
    }

    /// Whether more than the id is known.
    pub fn is_initialized(&self) -> bool {
        !self.region.is_uninitialized()
    }

    /// The last applied entry.
    pub fn applied_index(&self) -> u64 {
        self.apply_state.applied_index
    }

    /// The term of the last applied entry.
    pub fn applied_term(&self) -> u64 {
        self.applied_term
    }

    /// The last entry that is no longer in the log.
    pub fn truncated(&self) -> RaftTruncatedState {
        self.apply_state.truncated_state.unwrap_or_default()
    }

    /// Entries up to here are in the data, and the disk knows it.
    pub(crate) fn set_applied(&mut self, index: u64, term: u64) {
        assert!(index >= self.apply_state.applied_index, "P1: applied goes from {index} back");
        assert!(index <= self.raft_state.last_index, "P1: {index} is applied and not in the log");
        self.apply_state.applied_index = index;
        self.applied_term = term;
    }

    /// Entries up to here may be forgotten, and the disk knows it.
    pub(crate) fn set_truncated(&mut self, index: u64, term: u64) {
        assert!(index <= self.apply_state.applied_index, "P1: {index} is cut and not applied");
        self.apply_state.truncated_state = Some(RaftTruncatedState { index, term });
    }

    fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StorageError {
        StorageError::Failed(error.into())
    }

    fn entry(&self, index: u64) -> Result<Entry, StorageError> {
        let key = keys::raft_log(self.region_id(), index);
        let bytes = self.engines.raft.get(Cf::Local, &key).map_err(Self::failed)?;
        Entry::decode(bytes.ok_or(StorageError::Unavailable)?).map_err(Self::failed)
    }
}

impl Storage for PeerStorage {
    fn initial_state(&self) -> Result<(HardState, ConfState), StorageError> {
        let members = ConfState::new(self.region.peers.iter().map(|peer| peer.id));
        Ok((self.raft_state.hard_state.unwrap_or_default(), members))
    }

    fn first_index(&self) -> u64 {
        self.truncated().index + 1
    }

    fn last_index(&self) -> u64 {
        self.raft_state.last_index
    }

    fn term(&self, index: u64) -> Result<u64, StorageError> {
        let truncated = self.truncated();
        if index == truncated.index {
            return Ok(truncated.term);
        }
        if index < truncated.index {
            return Err(StorageError::Compacted);
        }
        if index > self.raft_state.last_index {
            return Err(StorageError::Unavailable);
        }
        if index == self.raft_state.last_index {
            return Ok(self.raft_state.last_term);
        }
        Ok(self.entry(index)?.term)
    }

    fn entries(&self, low: u64, high: u64, bytes_max: u64) -> Result<Vec<Entry>, StorageError> {
        if low <= self.truncated().index {
            return Err(StorageError::Compacted);
        }
        if high > self.raft_state.last_index + 1 {
            return Err(StorageError::Unavailable);
        }
        let (start, end) =
            (keys::raft_log(self.region_id(), low), keys::raft_log(self.region_id(), high));
        let snapshot = self.engines.raft.snapshot().map_err(Self::failed)?;
        let range = KeyRange::new(&start, &end);
        let mut cursor = snapshot.cursor(Cf::Local, range).map_err(Self::failed)?;
        let mut entries = Vec::new();
        let mut bytes = 0;
        let mut is_valid = cursor.seek_to_first().map_err(Self::failed)?;
        for index in low..high {
            let found = is_valid.then(|| keys::index_of_entry(cursor.key())).flatten();
            if found != Some(index) {
                return Err(Self::failed(format!("P2: entry {index} is not in the log")));
            }
            let value = Bytes::copy_from_slice(cursor.value());
            bytes += value.len() as u64;
            if bytes > bytes_max && !entries.is_empty() {
                break;
            }
            entries.push(Entry::decode(value).map_err(Self::failed)?);
            is_valid = cursor.next().map_err(Self::failed)?;
        }
        Ok(entries)
    }

    fn snapshot(&mut self, at_least: u64) -> Result<Snapshot, StorageError> {
        self.snapshot.ask(at_least)
    }
}
