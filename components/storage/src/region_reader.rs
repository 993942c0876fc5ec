//! A state of one region, in the words of commands.
//!
//! Regions are cut at encoded user keys, so everything that belongs to a user key must sort like its
//! encoded form. Values and writes do; locks, as commands know them, lie under the user key itself. So
//! a region keeps them under encoded keys, and this reader encodes and decodes on the way: a lock then
//! lies in the region of its key, is in that region's snapshots, and is counted in its size.

use std::path::PathBuf;

use bytes::Bytes;
use engine::{Cf, Cursor, KeyRange};
use raftstore::RegionSnapshot;

use crate::error::{RegionError, Result};
use crate::mvcc::{decode_user_key, encode_user_key};
use crate::storage::{Reader, Stamp};

/// Where the lock of a user key lies in a region.
pub(crate) fn lock_key(user_key: &[u8]) -> Bytes {
    encode_user_key(user_key).into()
}

/// Reads from a snapshot, and nothing that is outside of its region.
pub(crate) struct RegionReader(RegionSnapshot);

impl RegionReader {
    pub(crate) fn new(snapshot: RegionSnapshot) -> Self {
        RegionReader(snapshot)
    }

    /// The part of a range that lies in the region.
    fn clip<'a>(&'a self, range: KeyRange<'a>) -> KeyRange<'a> {
        let region = &self.0.region;
        let start = range.start.max(&region.start_key);
        let within = proto::region::ends_within(range.end, &region.end_key);
        KeyRange::new(start, if within { range.end } else { &region.end_key })
    }
}

impl Reader for RegionReader {
    fn stamp(&self) -> Stamp {
        Stamp { term: self.0.term, epoch: self.0.region.epoch() }
    }

    fn check(&self, region_key: &[u8]) -> Result<()> {
        if self.0.region.contains(region_key) {
            return Ok(());
        }
        Err(RegionError::key_not_in_region(region_key, &self.0.region).into())
    }

    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>> {
        if cf == Cf::Lock {
            let key = lock_key(key);
            self.check(&key)?;
            return Ok(self.0.snapshot.get(cf, &key)?);
        }
        self.check(key)?;
        Ok(self.0.snapshot.get(cf, key)?)
    }

    fn get_many(&self, cf: Cf, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>> {
        if cf == Cf::Lock {
            return keys.iter().map(|key| self.get(cf, key)).collect();
        }
        for key in keys {
            self.check(key)?;
        }
        Ok(self.0.snapshot.get_many(cf, keys)?)
    }

    fn cursor<'a>(&'a self, cf: Cf, range: KeyRange<'_>) -> Result<Box<dyn Cursor + 'a>> {
        if cf != Cf::Lock {
            return Ok(self.0.snapshot.cursor(cf, self.clip(range))?);
        }
        let encode = |key: &[u8]| if key.is_empty() { Bytes::new() } else { lock_key(key) };
        let (start, end) = (encode(range.start), encode(range.end));
        let inner = self.0.snapshot.cursor(cf, self.clip(KeyRange::new(&start, &end)))?;
        Ok(Box::new(LockCursor { inner, key: Vec::new() }))
    }
}

/// A cursor over encoded lock keys that shows user keys.
struct LockCursor<'a> {
    inner: Box<dyn Cursor + 'a>,
    /// The user key under the cursor.
    key: Vec<u8>,
}

impl LockCursor<'_> {
    fn stands(&mut self, is_valid: bool) -> engine::Result<bool> {
        self.key.clear();
        if is_valid {
            self.key = decode_user_key(self.inner.key()).map_err(|error| {
                let (path, reason) = (PathBuf::from("lock"), format!("a key of a lock: {error}"));
                engine::Error::Corrupt { path, reason }
            })?;
        }
        Ok(is_valid)
    }
}

impl Cursor for LockCursor<'_> {
    fn seek_to_first(&mut self) -> engine::Result<bool> {
        let is_valid = self.inner.seek_to_first()?;
        self.stands(is_valid)
    }

    fn seek_to_last(&mut self) -> engine::Result<bool> {
        let is_valid = self.inner.seek_to_last()?;
        self.stands(is_valid)
    }

    fn seek(&mut self, key: &[u8]) -> engine::Result<bool> {
        let is_valid = self.inner.seek(&lock_key(key))?;
        self.stands(is_valid)
    }

    fn seek_for_prev(&mut self, key: &[u8]) -> engine::Result<bool> {
        let is_valid = self.inner.seek_for_prev(&lock_key(key))?;
        self.stands(is_valid)
    }

    fn next(&mut self) -> engine::Result<bool> {
        let is_valid = self.inner.next()?;
        self.stands(is_valid)
    }

    fn prev(&mut self) -> engine::Result<bool> {
        let is_valid = self.inner.prev()?;
        self.stands(is_valid)
    }

    fn is_valid(&self) -> bool {
        self.inner.is_valid()
    }

    fn key(&self) -> &[u8] {
        &self.key
    }

    fn value(&self) -> &[u8] {
        self.inner.value()
    }

    fn entry(&self) -> (&[u8], &[u8]) {
        (&self.key, self.inner.value())
    }
}
