//! Questions about one key.

use std::ops::ControlFlow;

use bytes::Bytes;
use engine::{Cf, Cursor, KeyRange};

use super::key::{TS_MAX, encode_key_into, split_key};
use super::lock::Lock;
use super::write::{Write, WriteKind};
use crate::error::{Error, Result};
use crate::storage::Reader;

/// Asks a state about keys, one after the other.
///
/// The records of a key are found by a cursor that ends behind them, and is kept for the next question
/// about the same key. Versions newer than the one that is asked for cost nothing, as the cursor seeks
/// past them. And it never looks for what follows the key: that could be a long way off, behind
/// everything that was collected in between.
pub struct MvccReader<'a> {
    reader: &'a dyn Reader,
    writes: Option<Records<'a>>,
    /// For the key that is sought, used again.
    target: Vec<u8>,
}

/// The records of one key.
struct Records<'a> {
    cursor: Box<dyn Cursor + 'a>,
    /// The first key after them: that of the oldest timestamp and a zero.
    end: Vec<u8>,
}

impl<'a> Records<'a> {
    /// `encoded` is a user key.
    fn open(reader: &'a dyn Reader, encoded: &[u8]) -> Result<Self> {
        let mut end = Vec::with_capacity(encoded.len() + OLDEST.len());
        end.extend_from_slice(encoded);
        end.extend_from_slice(&OLDEST);
        // Nobody goes back from where it is sought, so its first key does not matter.
        let cursor = reader.cursor(Cf::Write, KeyRange::new(b"", &end))?;
        Ok(Records { cursor, end })
    }

    /// The user key, encoded.
    fn user(&self) -> &[u8] {
        &self.end[..self.end.len() - OLDEST.len()]
    }
}

/// What follows a user key in the first key after all its versions.
const OLDEST: [u8; 9] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0];

impl<'a> MvccReader<'a> {
    /// A reader that has not been asked yet.
    pub fn new(reader: &'a dyn Reader) -> Self {
        MvccReader { reader, writes: None, target: Vec::new() }
    }

    /// The lock on a key.
    pub fn lock(&self, user_key: &[u8]) -> Result<Option<Lock>> {
        self.reader.get(Cf::Lock, user_key)?.map(|record| Lock::parse(&record)).transpose()
    }

    /// The value that a reader at `version` sees, whatever is locked.
    pub fn value(&mut self, user_key: &[u8], version: u64) -> Result<Option<Bytes>> {
        let visible = self.walk(user_key, version, |write, _| match write.kind {
            WriteKind::Put => ControlFlow::Break(Some(write.start_ts)),
            WriteKind::Delete => ControlFlow::Break(None),
            WriteKind::Rollback | WriteKind::Lock => ControlFlow::Continue(()),
        })?;
        let Some(start_ts) = visible.flatten() else { return Ok(None) };
        encode_key_into(&mut self.target, user_key, start_ts);
        let value = self.reader.get(Cf::Default, &self.target)?;
        value.map(Some).ok_or_else(|| value_is_missing(start_ts))
    }

    /// The newest record of a key, of any kind, and its timestamp.
    pub fn newest_write(&mut self, user_key: &[u8]) -> Result<Option<(Write, u64)>> {
        self.walk(user_key, TS_MAX, |write, ts| ControlFlow::Break((write, ts)))
    }

    /// The record that the transaction which started at `start_ts` left, and its timestamp.
    ///
    /// It cannot be older than the start, so older ones are not looked at.
    pub fn write_of(&mut self, user_key: &[u8], start_ts: u64) -> Result<Option<(Write, u64)>> {
        let found = self.walk(user_key, TS_MAX, |write, ts| {
            if ts < start_ts {
                ControlFlow::Break(None)
            } else if write.start_ts == start_ts {
                ControlFlow::Break(Some((write, ts)))
            } else {
                ControlFlow::Continue(())
            }
        })?;
        Ok(found.flatten())
    }

    /// The record at exactly this timestamp.
    pub fn write_at(&mut self, user_key: &[u8], ts: u64) -> Result<Option<Write>> {
        encode_key_into(&mut self.target, user_key, ts);
        let record = self.reader.get(Cf::Write, &self.target)?;
        record.map(|record| Write::parse(&record)).transpose()
    }

    /// Shows the records of a key from `newest` on to older ones, until `visit` has what it wants.
    pub fn walk<T>(
        &mut self,
        user_key: &[u8],
        newest: u64,
        mut visit: impl FnMut(Write, u64) -> ControlFlow<T>,
    ) -> Result<Option<T>> {
        encode_key_into(&mut self.target, user_key, newest);
        let (encoded, _) = split_key(&self.target)?;
        let records = match &mut self.writes {
            Some(records) if records.user() == encoded => records,
            other => other.insert(Records::open(self.reader, encoded)?),
        };
        let mut is_valid = records.cursor.seek(&self.target)?;
        while is_valid {
            let (record_key, record) = records.cursor.entry();
            let (user, ts) = split_key(record_key)?;
            if user != records.user() {
                break;
            }
            if let ControlFlow::Break(found) = visit(Write::parse(record)?, ts) {
                return Ok(Some(found));
            }
            is_valid = records.cursor.next()?;
        }
        Ok(None)
    }
}

/// A put without its value: they are written together, and collected together.
pub(super) fn value_is_missing(start_ts: u64) -> Error {
    Error::corrupt("write", format!("the value that was put at {start_ts} is missing"))
}
