//! What a scan has collected, and what is in the way of it.

use std::cmp::Ordering;
use std::ops::Range;

use bytes::Bytes;
use engine::Cursor;

use super::Direction;
use crate::error::{Locked, Result};
use crate::mvcc::key::decode_user_key_into;
use crate::mvcc::lock::Lock;

/// Rows in one piece of memory, so that a row costs no allocation: whoever looks at it where it lies pays
/// for nothing, and whoever keeps it shares the piece with its neighbours.
#[derive(Default)]
pub(super) struct Rows {
    bytes: Vec<u8>,
    /// Where the key and the value of each row end; the key starts where the row before ends.
    ends: Vec<(usize, usize)>,
}

impl Rows {
    /// No rows, with room for as many as there were in the last window.
    pub(super) fn with_capacity(rows: usize, bytes: usize) -> Self {
        Rows { bytes: Vec::with_capacity(bytes), ends: Vec::with_capacity(rows) }
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Appends a row, with its key as it is encoded.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        decode_user_key_into(key, &mut self.bytes)?;
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.ends.push((key_end, self.bytes.len()));
        Ok(())
    }
}

/// The rows that are left, and the locks among them, both in the order of the scan.
pub(super) struct Window<'a> {
    bytes: Bytes,
    rows: std::vec::IntoIter<(usize, usize)>,
    /// Where the next row starts.
    start: usize,
    locks: Box<dyn Cursor + 'a>,
}

/// Where a row lies in its window.
pub(super) struct Place {
    pub(super) key: Range<usize>,
    pub(super) value: Range<usize>,
}

/// What comes next in a window.
pub(super) enum Next {
    Row(Place),
    Locked(Locked),
}

impl<'a> Window<'a> {
    /// The cursor stands on the first lock.
    pub(super) fn new(rows: Rows, locks: Box<dyn Cursor + 'a>) -> Self {
        Window { bytes: rows.bytes.into(), rows: rows.ends.into_iter(), start: 0, locks }
    }

    /// What rows lie in.
    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The nearer of the next row and the next lock that is in the way.
    pub(super) fn next(&mut self, version: u64, direction: Direction) -> Result<Option<Next>> {
        while self.locks.is_valid() {
            let order = match (self.key(), direction) {
                (None, _) => Ordering::Greater,
                (Some(key), Direction::Forward) => key.cmp(self.locks.key()),
                (Some(key), Direction::Reverse) => self.locks.key().cmp(key),
            };
            if order == Ordering::Less {
                break;
            }
            let (key, record) = self.locks.entry();
            let (key, lock) = (Bytes::copy_from_slice(key), Lock::parse(record)?);
            match direction {
                Direction::Forward => self.locks.next()?,
                Direction::Reverse => self.locks.prev()?,
            };
            if lock.blocks_read_at(version) {
                if order == Ordering::Equal {
                    self.take();
                }
                return Ok(Some(Next::Locked(Locked { key, lock })));
            }
        }
        Ok(self.take().map(Next::Row))
    }

    /// The key of the next row.
    fn key(&self) -> Option<&[u8]> {
        let (end, _) = self.rows.as_slice().first()?;
        Some(&self.bytes[self.start..*end])
    }

    fn take(&mut self) -> Option<Place> {
        let (key_end, end) = self.rows.next()?;
        let key = self.start..key_end;
        self.start = end;
        Some(Place { key, value: key_end..end })
    }
}
