//! The newest part of the log, in memory: what is not yet on disk, and what was put there lately.

use std::collections::VecDeque;

use proto::eraftpb::{Entry, Snapshot};
use runtime::mark;

use crate::message::Position;
use crate::{Index, Term};

/// What an entry costs in memory beside its data, for all limits that are counted in bytes.
pub const ENTRY_OVERHEAD: u64 = 64;

/// What `entry` counts against a limit.
pub fn entry_bytes(entry: &Entry) -> u64 {
    entry.data.len() as u64 + ENTRY_OVERHEAD
}

/// The tail of the log that is held in memory.
///
/// Each entry goes through three states, so the tail has three parts:
///
/// ```text
///   in the storage only | on disk, cached | handed out to be written | new
///                       ^ offset          ^ stabled + 1              ^ handed + 1       last + 1
/// ```
///
/// The first two marks never pass the third one: what is not on disk is in memory. Cached entries
/// are what a slightly slow follower asks for next, and what the state machine applies next; beyond
/// a limit the oldest of them are forgotten. Memory is therefore bounded by that limit plus what is
/// not on disk yet.
///
/// A snapshot that a leader sent takes the place of the whole log until it is on disk.
#[derive(Debug)]
pub(crate) struct Unstable {
    /// A received snapshot that is not on disk yet.
    snapshot: Option<Snapshot>,
    /// Whether that snapshot was handed out to be written.
    snapshot_handed: bool,
    entries: VecDeque<Entry>,
    /// The index of the first of `entries`, or of the next one to come.
    offset: Index,
    /// Up to here the log is on disk.
    stabled: Index,
    /// Up to here the log was handed out to be written.
    handed: Index,
    /// Counts how often something that was handed out was replaced. What was handed out in an earlier
    /// generation proves nothing when it gets on disk: others may have been written over it since.
    generation: u64,
    /// What `entries` count against limits.
    bytes: u64,
    /// How much of that may be cached, on disk already.
    cache_bytes_max: u64,
}

impl Unstable {
    /// The empty tail of a log whose last entry in the storage is `last_index`.
    pub(crate) fn new(last_index: Index, cache_bytes_max: u64) -> Self {
        Unstable {
            snapshot: None,
            snapshot_handed: false,
            entries: VecDeque::new(),
            offset: last_index + 1,
            stabled: last_index,
            handed: last_index,
            generation: 0,
            bytes: 0,
            cache_bytes_max,
        }
    }

    pub(crate) fn offset(&self) -> Index {
        self.offset
    }

    pub(crate) fn stabled(&self) -> Index {
        self.stabled
    }

    /// To which generation belongs what is handed out now.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn last_index(&self) -> Index {
        self.offset + self.entries.len() as Index - 1
    }

    pub(crate) fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref()
    }

    /// The term of the entry at `index`, if that is known without the storage.
    pub(crate) fn term(&self, index: Index) -> Option<Term> {
        if let Some(place) = self.place(index) {
            return Some(self.entries[place].term);
        }
        let covered = Position::of_snapshot(self.snapshot.as_ref()?);
        (covered.index == index).then_some(covered.term)
    }

    /// Puts `entry` at the end.
    pub(crate) fn push(&mut self, entry: Entry) {
        assert!(entry.index == self.last_index() + 1, "L2: entry {} leaves a gap", entry.index);
        self.bytes += entry_bytes(&entry);
        self.entries.push_back(entry);
    }

    /// Forgets the entry at `from` and all that follow, because a leader's log differs there. Those
    /// that are on disk are overwritten once their successors are handed out.
    pub(crate) fn truncate(&mut self, from: Index) {
        if from <= self.offset {
            self.entries.clear();
            self.bytes = 0;
            self.offset = from;
        }
        while self.last_index() >= from {
            let last = self.entries.pop_back().expect("entries from `from` on are held");
            self.bytes -= entry_bytes(&last);
        }
        if from <= self.handed {
            self.generation += 1;
        }
        self.stabled = self.stabled.min(from - 1);
        self.handed = self.handed.min(from - 1);
    }

    /// Replaces the log by a snapshot.
    pub(crate) fn restore(&mut self, snapshot: Snapshot) {
        let index = Position::of_snapshot(&snapshot).index;
        *self = Unstable {
            snapshot: Some(snapshot),
            generation: self.generation + 1,
            ..Unstable::new(index, self.cache_bytes_max)
        };
    }

    /// Whether there is something that [`Unstable::hand_out`] would return.
    pub(crate) fn has_new(&self) -> bool {
        self.handed < self.last_index() || (self.snapshot.is_some() && !self.snapshot_handed)
    }

    /// Hands out what is to be written next, each thing once.
    pub(crate) fn hand_out(&mut self) -> (Option<Snapshot>, Vec<Entry>) {
        let snapshot = if self.snapshot_handed { None } else { self.snapshot.clone() };
        self.snapshot_handed = self.snapshot.is_some();
        let entries = self.range(self.handed + 1, self.last_index() + 1);
        self.handed = self.last_index();
        (snapshot, entries)
    }

    /// The log up to `written`, handed out in `generation`, is on disk.
    ///
    /// It is not enough that the log has that position again: it may have been replaced and come back
    /// while the first copy was being written, and then what replaced it is still to be written.
    pub(crate) fn stable_to(&mut self, written: Position, generation: u64) {
        if generation != self.generation {
            mark!("late report of what was replaced");
            return;
        }
        if self.term(written.index) == Some(written.term) && written.index > self.stabled {
            self.stabled = written.index;
            self.handed = self.handed.max(written.index);
            self.shrink();
        }
    }

    /// The snapshot that covers the log up to `index` is on disk.
    pub(crate) fn snapshot_stable(&mut self, index: Index) {
        // A newer one may have come while it was being written.
        if self.snapshot.as_ref().is_some_and(|s| Position::of_snapshot(s).index == index) {
            self.snapshot = None;
            self.snapshot_handed = false;
        }
    }

    /// Forgets cached entries up to `index`: nobody is expected to ask for them.
    pub(crate) fn evict(&mut self, index: Index) {
        while self.offset <= index.min(self.stabled) {
            if !self.evict_one() {
                return;
            }
        }
        if self.entries.is_empty() && self.entries.capacity() > SPARE_ENTRIES_MAX {
            self.entries = VecDeque::new();
        }
    }

    /// Copies of the entries in `[low, high)`, which must be held.
    pub(crate) fn range(&self, low: Index, high: Index) -> Vec<Entry> {
        if low >= high {
            return Vec::new();
        }
        let from = self.place(low).expect("L2: the tail holds the range it is asked for");
        let to = self.place(high - 1).expect("L2: the tail holds the range it is asked for");
        self.entries.range(from..=to).cloned().collect()
    }

    /// How many entries from `low` on, and before `high`, fit into `bytes_max`; at least one.
    pub(crate) fn fit(&self, low: Index, high: Index, bytes_max: u64) -> Index {
        let mut bytes = 0;
        let mut index = low;
        while index < high {
            bytes += self.place(index).map_or(0, |place| entry_bytes(&self.entries[place]));
            if bytes > bytes_max && index > low {
                break;
            }
            index += 1;
        }
        index
    }

    pub(crate) fn check_invariants(&self) {
        for (place, entry) in self.entries.iter().enumerate() {
            assert!(entry.index == self.offset + place as Index, "L2: the tail has no gap");
        }
        let terms = self.entries.iter().map(|entry| entry.term);
        assert!(terms.is_sorted(), "L3: terms do not decrease in the tail");
        assert!(
            self.offset <= self.stabled + 1
                && self.stabled <= self.handed
                && self.handed <= self.last_index(),
            "L4: what is not on disk is in memory, {self:?}"
        );
        let bytes: u64 = self.entries.iter().map(entry_bytes).sum();
        assert!(bytes == self.bytes, "L4: the tail knows its size");
    }

    /// How many bytes the tail holds, for statistics and tests.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn place(&self, index: Index) -> Option<usize> {
        let place = usize::try_from(index.checked_sub(self.offset)?).ok()?;
        (place < self.entries.len()).then_some(place)
    }

    /// Keeps the cache within its limit.
    fn shrink(&mut self) {
        while self.bytes > self.cache_bytes_max && self.offset <= self.stabled {
            if !self.evict_one() {
                return;
            }
        }
    }

    fn evict_one(&mut self) -> bool {
        let Some(oldest) = self.entries.pop_front() else { return false };
        self.bytes -= entry_bytes(&oldest);
        self.offset += 1;
        true
    }
}

/// An empty tail keeps room for this many entries, and gives the rest back: a process holds
/// thousands of groups, and most of them are quiet.
const SPARE_ENTRIES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: Index, term: Term) -> Entry {
        Entry { index, term, ..Entry::default() }
    }

    fn tail(entries: &[(Index, Term)]) -> Unstable {
        let mut tail = Unstable::new(entries[0].0 - 1, u64::MAX);
        for (index, term) in entries {
            tail.push(entry(*index, *term));
        }
        tail
    }

    #[test]
    fn entries_are_handed_out_once() {
        let mut tail = tail(&[(5, 1), (6, 1)]);
        assert_eq!(tail.hand_out().1, [entry(5, 1), entry(6, 1)]);
        assert!(!tail.has_new());
        tail.push(entry(7, 1));
        assert_eq!(tail.hand_out().1, [entry(7, 1)]);
        tail.check_invariants();
    }

    #[test]
    fn a_late_report_does_not_mark_what_has_replaced_it() {
        let mut tail = tail(&[(5, 1), (6, 1), (7, 1)]);
        tail.hand_out();
        tail.truncate(6);
        tail.push(entry(6, 2));
        tail.push(entry(7, 2));
        tail.stable_to(Position { index: 7, term: 1 }, 0);
        assert_eq!(tail.stabled(), 4, "entries 6 and 7 of term 1 are gone");
        assert_eq!(tail.hand_out().1, [entry(6, 2), entry(7, 2)]);
        tail.stable_to(Position { index: 7, term: 2 }, tail.generation());
        assert_eq!(tail.stabled(), 7);
        tail.check_invariants();
    }

    #[test]
    fn a_late_report_does_not_mark_what_came_back_in_its_place() {
        let mut tail = tail(&[(6, 2), (7, 2)]);
        tail.hand_out();
        let first = tail.generation();
        tail.truncate(6);
        tail.push(entry(6, 3));
        tail.hand_out();
        // The next leader is one of those that had the first entries.
        tail.truncate(6);
        tail.push(entry(6, 2));
        tail.push(entry(7, 2));
        tail.push(entry(8, 4));
        tail.stable_to(Position { index: 7, term: 2 }, first);
        assert_eq!(tail.stabled(), 5, "6@3 is still to be written over the first 6@2");
        assert_eq!(tail.hand_out().1, [entry(6, 2), entry(7, 2), entry(8, 4)]);
        tail.stable_to(Position { index: 8, term: 4 }, tail.generation());
        assert_eq!(tail.stabled(), 8);
        tail.check_invariants();
    }

    #[test]
    fn the_cache_keeps_what_is_not_on_disk_whatever_its_limit() {
        let mut tail = Unstable::new(0, 2 * ENTRY_OVERHEAD);
        (1..=5).for_each(|index| tail.push(entry(index, 1)));
        tail.hand_out();
        assert_eq!(tail.offset(), 1);
        tail.stable_to(Position { index: 2, term: 1 }, 0);
        assert_eq!((tail.offset(), tail.bytes()), (3, 3 * ENTRY_OVERHEAD));
        tail.stable_to(Position { index: 5, term: 1 }, 0);
        assert_eq!((tail.offset(), tail.bytes()), (4, 2 * ENTRY_OVERHEAD));
        tail.evict(9);
        assert_eq!((tail.offset(), tail.last_index()), (6, 5));
        tail.check_invariants();
    }

    #[test]
    fn truncating_before_the_tail_moves_it_back() {
        let mut tail = tail(&[(5, 1), (6, 1)]);
        tail.hand_out();
        tail.stable_to(Position { index: 6, term: 1 }, 0);
        tail.evict(6);
        tail.truncate(4);
        assert_eq!((tail.offset(), tail.stabled(), tail.last_index()), (4, 3, 3));
        tail.push(entry(4, 2));
        tail.check_invariants();
    }
}
