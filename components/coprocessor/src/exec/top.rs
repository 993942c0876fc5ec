//! The first N rows in some order.
//!
//! The rows that are kept form a heap with the last of them at its root. A row that comes before the root
//! takes its place, and its memory; most rows are told by one comparison that they do not. Among rows that
//! compare equal those that came first are kept, and stand first.

use std::cmp::Ordering;

use crate::datum::{Datum, DatumRef};
use crate::error::Result;
use crate::expr::Evaluated;
use crate::memory::Memory;

/// What a kept row costs beyond its bytes.
const ENTRY_BYTES: usize = 64;

/// What a part of its key costs beyond the bytes of a string.
const KEY_BYTES: usize = 32;

/// The first rows so far.
#[derive(Debug)]
pub(crate) struct Top {
    /// For each part of the key, whether the largest comes first.
    descending: Vec<bool>,
    limit: usize,
    heap: Vec<Entry>,
    arrived: u64,
    /// Strings are compared by their lengths, as in the original.
    by_length: bool,
}

/// A row that is kept.
#[derive(Debug, Default)]
struct Entry {
    key: Vec<Datum>,
    arrived: u64,
    row: Vec<u8>,
}

impl Top {
    pub(super) fn new(descending: Vec<bool>, limit: u64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Top { descending, limit, heap: Vec::new(), arrived: 0, by_length: false }
    }

    /// Compares strings as the original does.
    pub(super) fn set_by_length(&mut self, by_length: bool) {
        self.by_length = by_length;
    }

    /// Whether no row is wanted.
    pub(super) fn is_none(&self) -> bool {
        self.limit == 0
    }

    /// Takes in a row of a batch if it is among the first; `write` writes what is answered.
    pub(super) fn push(
        &mut self,
        keys: &[Evaluated<'_>],
        row: usize,
        memory: &mut Memory,
        write: impl FnOnce(&mut Vec<u8>, &Memory) -> Result<()>,
    ) -> Result<()> {
        self.arrived += 1;
        let mut entry = if self.heap.len() < self.limit {
            memory.take(ENTRY_BYTES + keys.len() * KEY_BYTES)?;
            Entry::default()
        } else {
            let last = &self.heap[0];
            let key = keys.iter().map(|key| key.at(row));
            if self.compare(key, last.key.iter().map(Datum::lend)) != Ordering::Less {
                return Ok(());
            }
            let last = self.heap.swap_remove(0);
            self.sift_down();
            memory.give_back(last.size_bytes());
            last
        };
        memory.take(keys.iter().map(|key| key.at(row).size_bytes()).sum())?;
        entry.arrived = self.arrived;
        entry.key.resize(keys.len(), Datum::Null);
        for (kept, key) in entry.key.iter_mut().zip(keys) {
            kept.assign(key.at(row));
        }
        entry.row.clear();
        write(&mut entry.row, memory)?;
        memory.take(entry.row.len())?;
        self.heap.push(entry);
        self.sift_up();
        Ok(())
    }

    /// The rows in order.
    pub(super) fn into_rows(mut self) -> impl Iterator<Item = Vec<u8>> {
        let mut heap = std::mem::take(&mut self.heap);
        heap.sort_by(|left, right| self.compare_entries(left, right));
        heap.into_iter().map(|entry| entry.row)
    }

    fn compare<'a>(
        &self,
        left: impl Iterator<Item = DatumRef<'a>>,
        right: impl Iterator<Item = DatumRef<'a>>,
    ) -> Ordering {
        for ((left, right), is_descending) in left.zip(right).zip(&self.descending) {
            let order = match (left, right) {
                (DatumRef::Bytes(left), DatumRef::Bytes(right)) if self.by_length => {
                    left.len().cmp(&right.len())
                }
                (left, right) => left.compare(&right),
            };
            let order = if *is_descending { order.reverse() } else { order };
            if order != Ordering::Equal {
                return order;
            }
        }
        Ordering::Equal
    }

    fn compare_entries(&self, left: &Entry, right: &Entry) -> Ordering {
        let (left_key, right_key) = (left.key.iter(), right.key.iter());
        let keys = self.compare(left_key.map(Datum::lend), right_key.map(Datum::lend));
        keys.then(left.arrived.cmp(&right.arrived))
    }

    /// Moves the last entry towards the root until nothing above it comes before it.
    fn sift_up(&mut self) {
        let mut child = self.heap.len() - 1;
        while child > 0 {
            let parent = (child - 1) / 2;
            if self.compare_entries(&self.heap[child], &self.heap[parent]) != Ordering::Greater {
                break;
            }
            self.heap.swap(child, parent);
            child = parent;
        }
    }

    /// Moves the root away from its place until nothing below it comes after it.
    fn sift_down(&mut self) {
        let mut parent = 0;
        loop {
            let mut last = parent;
            for child in [2 * parent + 1, 2 * parent + 2] {
                if child < self.heap.len()
                    && self.compare_entries(&self.heap[child], &self.heap[last])
                        == Ordering::Greater
                {
                    last = child;
                }
            }
            if last == parent {
                break;
            }
            self.heap.swap(last, parent);
            parent = last;
        }
    }
}

impl Entry {
    fn size_bytes(&self) -> usize {
        self.row.len() + self.key.iter().map(|key| key.lend().size_bytes()).sum::<usize>()
    }
}
