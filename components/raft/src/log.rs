//! The log of one node: one view over what is on disk and what is not there yet.
//!
//! ```text
//!    snapshot  |        storage, on disk         |   unstable, in memory   |
//!   -----------+---------------------------------+-------------------------+
//!              ^ first            ^ applied      ^ stabled                 ^ last
//!                                        ^ committed (somewhere from applied to last)
//! ```
//!
//! Three indexes move along the log, and none of them ever moves back:
//!
//! - `committed`: a majority has these entries on disk, so they are final. The leader decides it.
//! - `applying`: these were handed out to the state machine.
//! - `applied`: the state machine has applied these.
//!
//! The invariants, which [`RaftLog::check_invariants`] checks and assertions name:
//!
//! - L1: applied ≤ applying ≤ committed ≤ last.
//! - L2: the log has no gap.
//! - L3: terms never decrease along the log.
//! - L4: what is not on disk is in memory.
//! - L5: nothing up to `committed` is ever replaced.
//! - L6: while a received snapshot is not on disk, nothing after it is handed out for applying.
//! - L7: with asynchronous persistence, nothing is handed out for applying before it is on disk here.
//!   (Otherwise it is handed out together with the wish to write it, and the driver writes first.)

use std::collections::VecDeque;

use proto::eraftpb::{Entry, Snapshot};
use runtime::{mark, mutant};

use crate::error::{Result, StorageError};
use crate::message::Position;
use crate::storage::Storage;
use crate::unstable::{Unstable, entry_bytes};
use crate::{Config, Index, Term};

/// The log of one node. See the [module](self) for its picture and invariants.
#[derive(Debug)]
pub struct RaftLog<S> {
    pub(crate) storage: S,
    pub(crate) unstable: Unstable,
    pub(crate) committed: Index,
    pub(crate) applied: Index,
    /// Handed out for applying up to here.
    applying: Index,
    /// Where the latest snapshot from a leader ends; the state machine has installed it once it has
    /// applied this.
    restoring: Index,
    /// What was handed out and is not applied: where each portion ends, and its bytes.
    portions: VecDeque<(Index, u64)>,
    /// The sum over `portions`, bounded by `applying_bytes_max`.
    applying_bytes: u64,
    applying_bytes_max: u64,
    /// L7 holds.
    apply_after_persist: bool,
}

impl<S: Storage> RaftLog<S> {
    /// The log in `storage`, of which the entries up to `committed` are known to be final and those
    /// up to `config.applied` are in the state machine.
    pub(crate) fn new(storage: S, committed: Index, config: &Config) -> Self {
        let unstable = Unstable::new(storage.last_index(), config.cache_bytes_max);
        RaftLog {
            applied: config.applied.max(storage.first_index() - 1),
            applying: config.applied.max(storage.first_index() - 1),
            restoring: 0,
            storage,
            unstable,
            committed,
            portions: VecDeque::new(),
            applying_bytes: 0,
            applying_bytes_max: config.applying_bytes_max,
            apply_after_persist: config.async_persist,
        }
    }

    /// The index of the oldest entry that can be read.
    pub fn first_index(&self) -> Index {
        match self.unstable.snapshot() {
            Some(snapshot) => Position::of_snapshot(snapshot).index + 1,
            None => self.storage.first_index(),
        }
    }

    /// The index of the newest entry.
    pub fn last_index(&self) -> Index {
        self.unstable.last_index()
    }

    /// The end of the log.
    pub fn last(&self) -> Result<Position, StorageError> {
        let index = self.last_index();
        Ok(Position { term: self.term(index)?, index })
    }

    /// The term of the entry at `index`; for the one just before the first it is still known.
    pub fn term(&self, index: Index) -> Result<Term, StorageError> {
        if index + 1 < self.first_index() {
            return Err(StorageError::Compacted);
        }
        match self.unstable.term(index) {
            Some(term) => Ok(term),
            None if index > self.last_index() => Err(StorageError::Unavailable),
            None => self.storage.term(index),
        }
    }

    /// The last index known to be final.
    pub fn committed(&self) -> Index {
        self.committed
    }

    /// The last index that the state machine has applied.
    pub fn applied(&self) -> Index {
        self.applied
    }

    /// The last index known to be on this node's disk.
    pub fn stabled(&self) -> Index {
        self.unstable.stabled()
    }

    /// The part of the log that is in memory, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.unstable.bytes()
    }

    /// Whether the log has an entry of this term at this index. By the Log Matching Property the logs
    /// are then equal up to there.
    pub(crate) fn matches(&self, position: Position) -> Result<bool, StorageError> {
        match self.term(position.index) {
            Ok(term) => Ok(term == position.term),
            Err(StorageError::Compacted | StorageError::Unavailable) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Appends an entry of this node's own, as its leader.
    pub(crate) fn append(&mut self, entry: Entry) {
        self.unstable.push(entry);
    }

    /// Appends a leader's entries after `base`, and returns the last index up to which the log now
    /// matches the leader's; nothing, and no effect, if it does not even match at `base`.
    ///
    /// Only a real conflict truncates. An old or repeated message may show the leader's log as it was
    /// a while ago; cutting there would drop entries that this node has acknowledged since.
    pub(crate) fn try_append(
        &mut self,
        base: Position,
        entries: Vec<Entry>,
    ) -> Result<Option<Index>, StorageError> {
        if !self.matches(base)? {
            return Ok(None);
        }
        let match_index = base.index + entries.len() as Index;
        let known = self.count_known(base, &entries)?;
        if known < entries.len() || mutant::on(8) {
            let from = base.index + 1 + known as Index;
            assert!(from > self.committed, "L5: entry {from} is committed and must not change");
            if from <= self.last_index() {
                mark!("log truncated at a conflict");
                self.unstable.truncate(from);
            }
            for entry in entries.into_iter().skip(known) {
                self.unstable.push(entry);
            }
        }
        Ok(Some(match_index))
    }

    /// How many of `entries` the log has already.
    fn count_known(&self, base: Position, entries: &[Entry]) -> Result<usize, StorageError> {
        if base.index == self.last_index() {
            return Ok(0);
        }
        for (known, entry) in entries.iter().enumerate() {
            if !self.matches(Position::of(entry))? {
                return Ok(known);
            }
        }
        Ok(entries.len())
    }

    /// The last position at or before `index` whose term is at most `term`.
    ///
    /// It is how two logs find where they agree without trying every index. Where they agree the
    /// terms are equal, and terms never decrease; so wherever *this* log has a term greater than the
    /// other one had at a later place, they cannot agree. Because terms never decrease the place is
    /// found by halving, so that a long tail costs a few reads and not one for each entry.
    pub(crate) fn last_position_with_term_at_most(
        &self,
        index: Index,
        term: Term,
    ) -> Result<Position, StorageError> {
        let index = index.min(self.last_index());
        let first = self.first_index();
        if index + 1 < first {
            return Ok(Position { term: 0, index });
        }
        let found = self.term(index)?;
        if found <= term {
            return Ok(Position { term: found, index });
        }
        // The first place with a greater term is from `low` to `high`.
        let (mut low, mut high) = (first - 1, index);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.term(middle)? <= term {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if low < first {
            // Further back there is only the snapshot, and that is committed.
            return Ok(Position { term: 0, index: low.saturating_sub(1) });
        }
        Ok(Position { term: self.term(low - 1)?, index: low - 1 })
    }

    /// Moves the commit index forward to `index`, never back.
    pub(crate) fn commit_to(&mut self, index: Index) {
        assert!(index <= self.last_index(), "L1: committed {index} is beyond the log");
        self.committed = self.committed.max(index);
    }

    /// Entries from `low` on, about `bytes_max` bytes of them and at least one if there is one.
    pub(crate) fn entries(&self, low: Index, bytes_max: u64) -> Result<Vec<Entry>, StorageError> {
        self.entries_before(low, self.last_index() + 1, bytes_max)
    }

    pub(crate) fn entries_before(
        &self,
        low: Index,
        high: Index,
        bytes_max: u64,
    ) -> Result<Vec<Entry>, StorageError> {
        if low < self.first_index() {
            return Err(StorageError::Compacted);
        }
        let offset = self.unstable.offset();
        if low < offset && low < high {
            // The rest, if there is any, is in memory and comes with the next call.
            return self.storage.entries(low, high.min(offset), bytes_max);
        }
        Ok(self.unstable.range(low, self.unstable.fit(low, high, bytes_max)))
    }

    /// Entries that were not handed out to be written, in the course's words. For tests: a driver gets
    /// them in [`Ready::entries`](crate::Ready::entries).
    #[cfg(test)]
    pub(crate) fn unstable_entries(&self) -> Vec<Entry> {
        self.unstable.range(self.stabled() + 1, self.last_index() + 1)
    }

    /// All entries from the first to the last, for tools, tests and simulations.
    pub fn all_entries(&self) -> Result<Vec<Entry>, StorageError> {
        let offset = self.unstable.offset();
        let first = self.first_index();
        let mut all = Vec::new();
        if first < offset {
            all = self.storage.entries(first, offset, u64::MAX)?;
        }
        all.extend(self.unstable.range(first.max(offset), self.last_index() + 1));
        Ok(all)
    }

    /// Whether a snapshot was received that the state machine has not installed.
    pub(crate) fn is_being_replaced(&self) -> bool {
        self.unstable.snapshot().is_some() || self.applied < self.restoring
    }

    /// Where the entries begin whose membership changes, once committed, are still to be made. Those
    /// that a snapshot covers took effect when it was accepted.
    pub(crate) fn first_unapplied(&self) -> Index {
        self.applied.max(self.restoring) + 1
    }

    /// Up to where entries may be handed out for applying now.
    fn applicable(&self) -> Index {
        // L6: what comes next builds on the snapshot.
        if self.is_being_replaced() {
            return self.applying;
        }
        if self.apply_after_persist {
            return self.committed.min(self.stabled());
        }
        self.committed
    }

    /// Whether [`RaftLog::hand_out_committed`] would return something.
    pub(crate) fn has_next_entries(&self) -> bool {
        self.applying < self.applicable()
            && (self.portions.is_empty() || self.applying_bytes < self.applying_bytes_max)
    }

    /// Hands out the next committed entries for applying, each once, within the limit on bytes that
    /// are handed out and not applied.
    pub(crate) fn hand_out_committed(&mut self) -> Result<Vec<Entry>, StorageError> {
        if !self.has_next_entries() {
            return Ok(Vec::new());
        }
        let room = self.applying_bytes_max.saturating_sub(self.applying_bytes);
        let entries = self.entries_before(self.applying + 1, self.applicable() + 1, room)?;
        if let Some(last) = entries.last() {
            let bytes = entries.iter().map(entry_bytes).sum();
            self.applying = last.index;
            self.portions.push_back((last.index, bytes));
            self.applying_bytes += bytes;
        }
        Ok(entries)
    }

    /// How far entries were handed out for applying.
    pub(crate) fn applying(&self) -> Index {
        self.applying
    }

    /// The state machine has applied everything up to `index`.
    pub(crate) fn applied_to(&mut self, index: Index) {
        assert!(index <= self.committed, "L1: applied {index} is not committed");
        self.applied = self.applied.max(index);
        self.applying = self.applying.max(index);
        while let Some((_, bytes)) = self.portions.pop_front_if(|(end, _)| *end <= index) {
            self.applying_bytes -= bytes;
        }
    }

    /// A snapshot for a follower that needs an entry from before the log.
    pub(crate) fn snapshot(&mut self) -> Result<Snapshot, StorageError> {
        match self.unstable.snapshot() {
            Some(snapshot) => Ok(snapshot.clone()),
            None => self.storage.snapshot((self.storage.first_index() - 1).max(1)),
        }
    }

    /// Replaces the log, and soon the state machine, by a leader's snapshot.
    pub(crate) fn restore(&mut self, snapshot: Snapshot) {
        self.committed = Position::of_snapshot(&snapshot).index;
        self.restoring = self.committed;
        self.unstable.restore(snapshot);
        // What was handed out before and not applied never will be: the snapshot contains it.
        self.applying = self.applying.min(self.committed);
    }

    /// Panics if an invariant does not hold.
    pub fn check_invariants(&self) {
        assert!(
            self.applied <= self.applying
                && self.applying <= self.committed
                && self.committed <= self.last_index(),
            "L1: applied {} <= applying {} <= committed {} <= last {}",
            self.applied,
            self.applying,
            self.committed,
            self.last_index(),
        );
        self.unstable.check_invariants();
        if let Some(snapshot) = self.unstable.snapshot() {
            let index = Position::of_snapshot(snapshot).index;
            assert!(index <= self.committed, "L6: a snapshot is committed");
        }
        let bytes: u64 = self.portions.iter().map(|(_, bytes)| bytes).sum();
        assert!(bytes == self.applying_bytes, "the portions sum up");
    }
}
