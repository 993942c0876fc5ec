//! Where the log is on disk, as far as a node must read it.
//!
//! A node never writes: what is to be written leaves it in a [`Ready`](crate::Ready), and its driver
//! writes that beside the entries of a thousand other groups, with one sync for all. So the trait
//! has questions only.

use proto::eraftpb::{ConfState, Entry, HardState, Snapshot, SnapshotMetadata};

use crate::error::StorageError;
use crate::message::Position;
use crate::unstable::entry_bytes;
use crate::{Index, NodeId, Term};

/// The durable part of one node, read by the node and written by its driver.
///
/// The log is the interval from [`first_index`](Storage::first_index) to
/// [`last_index`](Storage::last_index); what came before is compacted into a snapshot. The term of
/// the entry just before the first one stays known, because the first append of the rest names it.
///
/// Compaction must not run ahead of [`on_applied`](crate::RawNode::on_applied): an entry that was not
/// reported as applied may still be read, to be handed out or to look for a membership change.
pub trait Storage {
    /// What was saved before the last stop, read once when the node is made.
    fn initial_state(&self) -> Result<(HardState, ConfState), StorageError>;

    /// The index of the oldest entry that is still there; one after the last, if none is.
    fn first_index(&self) -> Index;

    /// The index of the newest entry, or where the snapshot ends if there is none.
    fn last_index(&self) -> Index;

    /// The term of the entry at `index`, from the one before the first to the last.
    fn term(&self, index: Index) -> Result<Term, StorageError>;

    /// Entries from `low` up to, not including, `high`. It may stop early once there are `bytes_max`
    /// bytes of them, but returns at least one.
    fn entries(&self, low: Index, high: Index, bytes_max: u64) -> Result<Vec<Entry>, StorageError>;

    /// A snapshot for a follower, covering at least `at_least`. A storage that needs time starts to
    /// build one and answers [`SnapshotPending`](StorageError::SnapshotPending) meanwhile. It should be
    /// of the state as it is now, and must not be from before its receiver became a member, who would
    /// refuse it each time it is sent.
    fn snapshot(&mut self, at_least: Index) -> Result<Snapshot, StorageError>;
}

/// A storage in memory, for tests, examples and simulation.
#[derive(Clone, Debug)]
pub struct MemoryStorage {
    hard_state: HardState,
    conf_state: ConfState,
    snapshot: Snapshot,
    /// The first one is a dummy: the last compacted entry, of which only index and term are known.
    entries: Vec<Entry>,
}

impl Default for MemoryStorage {
    fn default() -> Self {
        MemoryStorage {
            hard_state: HardState::default(),
            conf_state: ConfState::default(),
            snapshot: Snapshot {
                metadata: Some(SnapshotMetadata {
                    conf_state: Some(ConfState::default()),
                    ..SnapshotMetadata::default()
                }),
                ..Snapshot::default()
            },
            entries: vec![Entry::default()],
        }
    }
}

impl MemoryStorage {
    /// An empty storage.
    pub fn new() -> Self {
        MemoryStorage::default()
    }

    /// A storage whose entries are given, the first one being the dummy.
    pub fn with_entries(entries: Vec<Entry>) -> Self {
        assert!(!entries.is_empty(), "the first entry stands for what is compacted");
        MemoryStorage { entries, ..MemoryStorage::default() }
    }

    /// Saves term, vote and commit index.
    pub fn set_hard_state(&mut self, hard_state: HardState) {
        self.hard_state = hard_state;
    }

    /// What was saved last.
    pub fn hard_state(&self) -> &HardState {
        &self.hard_state
    }

    /// Saves the members, as of what is applied.
    pub fn set_conf_state(&mut self, conf_state: ConfState) {
        self.conf_state = conf_state;
    }

    /// Adds `entries`, which replace whatever is there from the first of them on. Those that are
    /// compacted already are left out.
    pub fn append(&mut self, entries: &[Entry]) {
        let first = self.first_index();
        let skip = entries.partition_point(|entry| entry.index < first);
        let Some(next) = entries.get(skip) else { return };
        assert!(next.index <= self.last_index() + 1, "entry {} leaves a gap", next.index);
        self.entries.truncate(self.place(next.index));
        self.entries.extend_from_slice(&entries[skip..]);
    }

    /// Makes a snapshot of the state machine as of `index`, whose members then are `nodes`.
    pub fn create_snapshot(
        &mut self,
        index: Index,
        nodes: &[NodeId],
        data: impl Into<bytes::Bytes>,
    ) -> Result<Snapshot, StorageError> {
        if index <= Position::of_snapshot(&self.snapshot).index {
            return Err(StorageError::SnapshotOutOfDate);
        }
        assert!(index <= self.last_index(), "a snapshot at {index} is beyond the log");
        let conf_state = ConfState { nodes: nodes.to_vec() };
        let term = self.term(index)?;
        self.snapshot = Snapshot {
            data: data.into(),
            metadata: Some(SnapshotMetadata { conf_state: Some(conf_state), index, term }),
        };
        Ok(self.snapshot.clone())
    }

    /// Replaces the log by `snapshot`.
    pub fn apply_snapshot(&mut self, snapshot: Snapshot) -> Result<(), StorageError> {
        let covered = Position::of_snapshot(&snapshot);
        if covered.index <= Position::of_snapshot(&self.snapshot).index {
            return Err(StorageError::SnapshotOutOfDate);
        }
        self.entries = vec![Entry { index: covered.index, term: covered.term, ..Entry::default() }];
        let metadata = snapshot.metadata.as_ref();
        let conf_state = metadata.and_then(|metadata| metadata.conf_state.clone());
        self.conf_state = conf_state.unwrap_or_default();
        self.snapshot = snapshot;
        Ok(())
    }

    /// Forgets the entries up to and including `index`.
    pub fn compact(&mut self, index: Index) -> Result<(), StorageError> {
        if index < self.first_index() {
            return Err(StorageError::Compacted);
        }
        assert!(index <= self.last_index(), "compacting to {index} is beyond the log");
        self.entries.drain(..self.place(index));
        self.entries[0].data = bytes::Bytes::new();
        Ok(())
    }

    /// Where the entry at `index` stands in the vector; `index` is not before the dummy.
    fn place(&self, index: Index) -> usize {
        usize::try_from(index - self.entries[0].index).expect("a log in memory fits into memory")
    }
}

impl Storage for MemoryStorage {
    fn initial_state(&self) -> Result<(HardState, ConfState), StorageError> {
        Ok((self.hard_state, self.conf_state.clone()))
    }

    fn first_index(&self) -> Index {
        self.entries[0].index + 1
    }

    fn last_index(&self) -> Index {
        self.entries[0].index + self.entries.len() as Index - 1
    }

    fn term(&self, index: Index) -> Result<Term, StorageError> {
        if index < self.entries[0].index {
            return Err(StorageError::Compacted);
        }
        self.entries.get(self.place(index)).map(|e| e.term).ok_or(StorageError::Unavailable)
    }

    fn entries(&self, low: Index, high: Index, bytes_max: u64) -> Result<Vec<Entry>, StorageError> {
        if low < self.first_index() {
            return Err(StorageError::Compacted);
        }
        if high > self.last_index() + 1 {
            return Err(StorageError::Unavailable);
        }
        let mut bytes = 0;
        let wanted = &self.entries[self.place(low)..self.place(high)];
        let fits = wanted.iter().enumerate().take_while(|(n, entry)| {
            bytes += entry_bytes(entry);
            *n == 0 || bytes <= bytes_max
        });
        Ok(wanted[..fits.count()].to_vec())
    }

    fn snapshot(&mut self, _at_least: Index) -> Result<Snapshot, StorageError> {
        Ok(self.snapshot.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(list: &[(Index, Term)]) -> Vec<Entry> {
        list.iter()
            .map(|(index, term)| Entry { index: *index, term: *term, ..Entry::default() })
            .collect()
    }

    fn storage() -> MemoryStorage {
        MemoryStorage::with_entries(entries(&[(3, 3), (4, 4), (5, 5)]))
    }

    #[test]
    fn terms_are_known_from_just_before_the_first_entry_to_the_last() {
        assert!(matches!(storage().term(2), Err(StorageError::Compacted)));
        assert!(matches!(storage().term(3), Ok(3)));
        assert!(matches!(storage().term(5), Ok(5)));
        assert!(matches!(storage().term(6), Err(StorageError::Unavailable)));
    }

    #[test]
    fn reading_stops_at_the_limit_but_returns_at_least_one_entry() {
        let read = |low, high, max| storage().entries(low, high, max);
        assert!(matches!(read(3, 5, u64::MAX), Err(StorageError::Compacted)));
        assert!(matches!(read(4, 7, u64::MAX), Err(StorageError::Unavailable)));
        assert_eq!(read(4, 6, u64::MAX).unwrap(), entries(&[(4, 4), (5, 5)]));
        assert_eq!(read(4, 6, 0).unwrap(), entries(&[(4, 4)]));
    }

    #[test]
    fn an_append_overwrites_from_its_first_entry_on() {
        type List = [(Index, Term)];
        let table: &[(&List, &List)] = &[
            (&[], &[(3, 3), (4, 4), (5, 5)]),
            (&[(1, 1), (2, 2)], &[(3, 3), (4, 4), (5, 5)]),
            (&[(3, 3), (4, 6)], &[(3, 3), (4, 6)]),
            (&[(4, 6), (5, 6), (6, 6)], &[(3, 3), (4, 6), (5, 6), (6, 6)]),
            (&[(6, 5)], &[(3, 3), (4, 4), (5, 5), (6, 5)]),
        ];
        for (added, want) in table {
            let mut storage = storage();
            storage.append(&entries(added));
            assert_eq!(storage.entries, entries(want), "{added:?}");
        }
    }

    #[test]
    fn snapshots_move_forward_only() {
        let mut storage = storage();
        let snapshot = storage.create_snapshot(4, &[1, 2], "state").unwrap();
        assert!(matches!(
            storage.create_snapshot(4, &[1, 2], ""),
            Err(StorageError::SnapshotOutOfDate)
        ));
        assert!(matches!(
            storage.apply_snapshot(snapshot.clone()),
            Err(StorageError::SnapshotOutOfDate)
        ));
        let mut other = MemoryStorage::new();
        other.apply_snapshot(snapshot).unwrap();
        assert_eq!((other.first_index(), other.last_index()), (5, 4));
        storage.compact(5).unwrap();
        assert!(matches!(storage.compact(5), Err(StorageError::Compacted)));
    }
}
