//! The disk of one machine, as the core reads it and its driver writes it.
//!
//! Writes are queued with the machine and get here one after the other; a crash loses what is still
//! queued. The one thing that can be lost after it got here is a commit index by itself, which nobody
//! synced.

use bytes::Bytes;
use proto::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{Index, MemoryStorage, Position, Ready, Storage, StorageError, Term};

use super::state::State;

/// A log in memory that stands for one on a disk.
#[derive(Default)]
pub(crate) struct Disk {
    log: MemoryStorage,
    /// The hard state as of the last sync.
    synced: HardState,
    /// What a snapshot for a follower is made of: the state machine as it is now.
    offer: State,
    /// So many times the answer to a wish for a snapshot is that it takes time.
    snapshot_delays: u32,
}

impl Disk {
    /// The disk of a first member: everybody starts from the same snapshot, as the regions of a store
    /// do, so that later members cannot be built from the log alone.
    pub(crate) fn first(state: &State) -> Self {
        let snapshot = state.to_snapshot(super::FIRST_TERM);
        let mut disk = Disk { offer: *state, ..Disk::default() };
        disk.log.apply_snapshot(snapshot).expect("an empty log is behind any snapshot");
        let hard_state = HardState { term: super::FIRST_TERM, vote: 0, commit: state.index };
        disk.log.set_hard_state(hard_state);
        disk.synced = hard_state;
        disk
    }

    /// Writes what `ready` asks for, in one step.
    pub(crate) fn write(&mut self, ready: &Ready) -> Result<(), StorageError> {
        if let Some(snapshot) = &ready.snapshot {
            self.log.apply_snapshot(snapshot.clone())?;
        }
        self.log.append(&ready.entries);
        if let Some(hard_state) = ready.hard_state {
            self.log.set_hard_state(hard_state);
        }
        if ready.must_sync {
            self.synced = *self.log.hard_state();
        }
        Ok(())
    }

    /// The machine lost power: what was not synced may be gone.
    pub(crate) fn lose_power(&mut self, loses_unsynced: bool) {
        if loses_unsynced {
            self.log.set_hard_state(self.synced);
        }
        self.snapshot_delays = 0;
    }

    /// The machine starts with this state.
    pub(crate) fn start(&mut self, state: &State) {
        self.offer = *state;
        self.log.set_conf_state(ConfState { nodes: state.members.to_vec() });
    }

    /// Forgets the log up to `index`.
    pub(crate) fn compact(&mut self, index: Index) -> Result<(), StorageError> {
        self.log.compact(index)
    }

    /// The state machine has moved on, and with it what followers may be sent.
    pub(crate) fn offer(&mut self, state: State) {
        self.offer = state;
    }

    /// The next snapshots take time to build.
    pub(crate) fn delay_snapshots(&mut self, times: u32) {
        self.snapshot_delays = times;
    }

    /// The state machine in the snapshot that was written to this disk last.
    pub(crate) fn snapshot_state(&mut self) -> Option<State> {
        let snapshot = self.log.snapshot(0).ok()?;
        (Position::of_snapshot(&snapshot).index > 0).then(|| State::of_snapshot(&snapshot))
    }

    /// Term, vote and commit index as they are on disk.
    pub(crate) fn hard_state(&self) -> &HardState {
        self.log.hard_state()
    }

    /// Whether the log on this disk holds the entry at this position, or has it in its snapshot.
    pub(crate) fn holds(&self, position: Position) -> bool {
        match self.log.term(position.index) {
            Ok(term) => term == position.term,
            Err(StorageError::Compacted) => true,
            Err(
                StorageError::Unavailable
                | StorageError::SnapshotPending
                | StorageError::SnapshotOutOfDate
                | StorageError::Failed(_),
            ) => false,
        }
    }
}

impl Storage for Disk {
    fn initial_state(&self) -> Result<(HardState, ConfState), StorageError> {
        self.log.initial_state()
    }

    fn first_index(&self) -> Index {
        self.log.first_index()
    }

    fn last_index(&self) -> Index {
        self.log.last_index()
    }

    fn term(&self, index: Index) -> Result<Term, StorageError> {
        self.log.term(index)
    }

    fn entries(&self, low: Index, high: Index, bytes_max: u64) -> Result<Vec<Entry>, StorageError> {
        self.log.entries(low, high, bytes_max)
    }

    fn snapshot(&mut self, at_least: Index) -> Result<Snapshot, StorageError> {
        if let Some(left) = self.snapshot_delays.checked_sub(1) {
            self.snapshot_delays = left;
            return Err(StorageError::SnapshotPending);
        }
        // One that was received and is not installed yet.
        if self.offer.index < at_least {
            return Err(StorageError::SnapshotPending);
        }
        Ok(self.offer.to_snapshot(self.log.term(self.offer.index)?))
    }
}

/// What a client writes: eight bytes that name it, and some weight.
pub(crate) fn command(number: u64, weight: usize) -> Bytes {
    let mut data = Vec::with_capacity(8 + weight);
    data.extend_from_slice(&number.to_be_bytes());
    data.resize(8 + weight, 0);
    data.into()
}
