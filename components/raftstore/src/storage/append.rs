//! What a Ready wants written, as a batch; and the record that is true once it is.

use engine::{Cf, WriteBatch};
use prost::Message;
use proto::eraftpb::{Entry, HardState};
use proto::raft_serverpb::RaftLocalState;
use raft::Ready;

use super::PeerStorage;
use crate::{keys, state};

/// The raft state as it will be when a batch is written.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use = "what is written becomes ours by `install`"]
pub(crate) struct Saved(RaftLocalState);

impl PeerStorage {
    /// Puts entries, term and vote of a Ready into `batch`. `None` if there is nothing that must be
    /// remembered: a commit index alone is learnt again.
    pub(crate) fn save_ready_state(&self, ready: &Ready, batch: &mut WriteBatch) -> Option<Saved> {
        if !ready.must_sync {
            return None;
        }
        let mut after = self.append(&ready.entries, batch);
        if let Some(hard_state) = ready.hard_state {
            after.hard_state = Some(hard_state);
        }
        self.put_state(&after, batch);
        Some(Saved(after))
    }

    /// Puts entries into `batch`, which replace whatever the log has from the first of them on. Those
    /// that are cut off already are left out.
    pub fn append(&self, entries: &[Entry], batch: &mut WriteBatch) -> RaftLocalState {
        let mut after = self.raft_state;
        let first = self.truncated().index + 1;
        let entries = &entries[entries.partition_point(|entry| entry.index < first)..];
        let Some(last) = entries.last() else { return after };
        let region = self.region_id();
        for entry in entries {
            batch.put(Cf::Local, keys::raft_log(region, entry.index), entry.encode_to_vec());
        }
        if last.index < self.raft_state.last_index {
            let (start, end) = (last.index + 1, self.raft_state.last_index + 1);
            batch.delete_range(
                Cf::Local,
                keys::raft_log(region, start),
                keys::raft_log(region, end),
            );
        }
        (after.last_index, after.last_term) = (last.index, last.term);
        after
    }

    /// What was put into the batch is on disk.
    pub(crate) fn install(&mut self, saved: Saved) {
        self.raft_state = saved.0;
        self.owner = None;
    }

    /// The hard state that is on disk, or at least as good as there.
    pub(crate) fn hard_state(&self) -> HardState {
        self.raft_state.hard_state.unwrap_or_default()
    }

    fn put_state(&self, after: &RaftLocalState, batch: &mut WriteBatch) {
        if let Some(owner) = &self.owner {
            batch.put(Cf::Local, keys::raft_owner(self.region_id()), owner.encode_to_vec());
        }
        state::put_raft_state(batch, self.region_id(), after);
    }
}
