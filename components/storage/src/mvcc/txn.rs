//! A transaction's view of one state, and the list of what it wants to change.

use bytes::Bytes;
use engine::{Cf, Op, WriteBatch};

use super::key::encode_key;
use super::lock::Lock;
use super::reader::MvccReader;
use super::write::Write;
use crate::error::Result;
use crate::storage::Reader;

/// Lowers what a command means, locks, values and records of a key, to bytes in families.
///
/// Reads see the state that it was made from, not what was put since: a command decides first and
/// writes at the end, all at once.
pub struct MvccTxn<'a> {
    reader: MvccReader<'a>,
    start_ts: u64,
    writes: WriteBatch,
}

impl<'a> MvccTxn<'a> {
    /// For the transaction that started at `start_ts`.
    pub fn new(reader: &'a dyn Reader, start_ts: u64) -> Self {
        let reader = MvccReader::new(reader);
        MvccTxn { reader, start_ts, writes: WriteBatch::new() }
    }

    /// When the transaction started.
    pub fn start_ts(&self) -> u64 {
        self.start_ts
    }

    /// Questions that are not about this transaction.
    pub fn reader(&mut self) -> &mut MvccReader<'a> {
        &mut self.reader
    }

    /// What changes so far, in order.
    pub fn writes(&self) -> &[Op] {
        self.writes.ops()
    }

    /// What changes.
    pub fn into_writes(self) -> WriteBatch {
        self.writes
    }

    /// Locks a key.
    pub fn put_lock(&mut self, user_key: &Bytes, lock: &Lock) {
        self.writes.put(Cf::Lock, user_key.clone(), lock.to_bytes());
    }

    /// Unlocks a key.
    pub fn delete_lock(&mut self, user_key: &Bytes) {
        self.writes.delete(Cf::Lock, user_key.clone());
    }

    /// The lock on a key, whoever holds it.
    pub fn get_lock(&self, user_key: &[u8]) -> Result<Option<Lock>> {
        self.reader.lock(user_key)
    }

    /// Keeps a value for when it is committed.
    pub fn put_value(&mut self, user_key: &[u8], value: Bytes) {
        self.writes.put(Cf::Default, encode_key(user_key, self.start_ts), value);
    }

    /// Throws a value away that will not be committed.
    pub fn delete_value(&mut self, user_key: &[u8]) {
        self.writes.delete(Cf::Default, encode_key(user_key, self.start_ts));
    }

    /// The value of a key when the transaction started.
    pub fn get_value(&mut self, user_key: &[u8]) -> Result<Option<Bytes>> {
        self.reader.value(user_key, self.start_ts)
    }

    /// Records what was done to a key at `ts`.
    pub fn put_write(&mut self, user_key: &[u8], ts: u64, write: Write) {
        self.writes.put(Cf::Write, encode_key(user_key, ts), write.to_bytes());
    }

    /// What this transaction did to a key, and when.
    pub fn current_write(&mut self, user_key: &[u8]) -> Result<Option<(Write, u64)>> {
        self.reader.write_of(user_key, self.start_ts)
    }

    /// What was done last to a key by anybody, and when.
    pub fn most_recent_write(&mut self, user_key: &[u8]) -> Result<Option<(Write, u64)>> {
        self.reader.newest_write(user_key)
    }
}
