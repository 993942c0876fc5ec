//! A cursor on a RocksDB iterator.

use std::path::Path;

use rocksdb::DBRawIterator;

use super::failure::on_read;
use crate::{Cursor, Result};

/// RocksDB keeps the bounds; this adds what an iterator that stopped has to be asked: was it the end,
/// or an error?
pub(super) struct RocksCursor<'a> {
    iterator: DBRawIterator<'a>,
    path: &'a Path,
    /// Kept, because asking costs a third of a step.
    is_valid: bool,
}

impl<'a> RocksCursor<'a> {
    pub(super) fn new(iterator: DBRawIterator<'a>, path: &'a Path) -> Self {
        RocksCursor { iterator, path, is_valid: false }
    }

    fn outcome(&mut self) -> Result<bool> {
        self.is_valid = self.iterator.valid();
        if self.is_valid {
            return Ok(true);
        }
        self.iterator.status().map_err(|error| on_read(self.path, &error))?;
        Ok(false)
    }
}

impl Cursor for RocksCursor<'_> {
    fn seek_to_first(&mut self) -> Result<bool> {
        self.iterator.seek_to_first();
        self.outcome()
    }

    fn seek_to_last(&mut self) -> Result<bool> {
        self.iterator.seek_to_last();
        self.outcome()
    }

    fn seek(&mut self, key: &[u8]) -> Result<bool> {
        self.iterator.seek(key);
        self.outcome()
    }

    fn seek_for_prev(&mut self, key: &[u8]) -> Result<bool> {
        self.iterator.seek_for_prev(key);
        self.outcome()
    }

    fn next(&mut self) -> Result<bool> {
        self.iterator.next();
        self.outcome()
    }

    fn prev(&mut self) -> Result<bool> {
        self.iterator.prev();
        self.outcome()
    }

    fn is_valid(&self) -> bool {
        self.is_valid
    }

    fn key(&self) -> &[u8] {
        self.iterator.key().expect("the cursor stands on a key")
    }

    fn value(&self) -> &[u8] {
        self.iterator.value().expect("the cursor stands on a key")
    }

    fn entry(&self) -> (&[u8], &[u8]) {
        self.iterator.item().expect("the cursor stands on a key")
    }
}
