//! Transactions: reads as of one moment, writes at another, and nothing in between that others could see.
//!
//! A transaction begins with a timestamp. It reads the state of that moment, and keeps what it wants to
//! write to itself. Its commit writes all of it at one later moment, or nothing: if somebody else has
//! written one of its keys since it began, it fails with a [conflict](crate::error::Conflict), and its
//! caller begins again, *with new reads*. To write again what was computed from old ones would undo the
//! other's write.
//!
//! This is snapshot isolation. Two transactions that each read what the other writes may both commit;
//! [`lock`](Transaction::lock) what must not change under you.
//!
//! | outcome of a commit | what is true | what to do |
//! |---|---|---|
//! | done | everything is written, at [`Committed::at`] | |
//! | [retryable](crate::Error::is_retryable) | nothing is written, and never will be | begin again, and read again |
//! | [undetermined](crate::Error::is_undetermined) | everything or nothing | read, and see |
//! | otherwise | nothing is written | change it |
//!
//! The parts:
//!
//! ```text
//!   Transaction = Snapshot (snapshot)  reads, as of the start
//!               + Buffer   (buffer)    writes, until the commit
//!       commit -> two_phase -> phase   prewrite, commit, rollback, region by region
//!                    \________/
//!                     resolve          locks of others, by their primary's fate
//! ```
//!
//! # Left out
//!
//! Locks are not kept alive while a transaction runs, because there are none before its commit; how long
//! the commit may take is told with them. Pessimistic locks, one-phase commits, and reads of several
//! keys in one request are not there.

mod buffer;
mod phase;
pub(crate) mod resolve;
mod snapshot;
mod two_phase;

use std::sync::Arc;

use bytes::Bytes;
use runtime::clock::Instant;

use self::buffer::{Buffer, Write};
pub use self::snapshot::Snapshot;
pub use self::two_phase::Committed;
use crate::error::{Cause, Error, Result};
use crate::request::{Requests, check_key, check_value};
use crate::timestamp::Timestamp;

/// The form in which regions order transactional keys.
pub(crate) fn encode(key: &[u8]) -> Bytes {
    let mut encoded = Vec::with_capacity(key.len() + key.len() / 8 + 9);
    codec::bytes::encode(&mut encoded, key);
    encoded.into()
}

/// The key that a region's boundary stands for.
pub(crate) fn decode(boundary: &[u8]) -> Result<Bytes, Cause> {
    let mut rest = boundary;
    match codec::bytes::decode(&mut rest) {
        Ok(key) if rest.is_empty() => Ok(key.into()),
        Ok(_) | Err(_) => {
            let text = "a region is cut at a key that is no transactional one";
            Err(Cause::Malformed(text.to_owned()))
        }
    }
}

/// Reads and writes that happen together. Dropping it instead of committing it leaves no trace.
pub struct Transaction {
    requests: Arc<Requests>,
    snapshot: Snapshot,
    buffer: Buffer,
    begun: Instant,
}

impl Transaction {
    pub(crate) fn new(requests: Arc<Requests>, start: Timestamp) -> Self {
        let snapshot = Snapshot::new(Arc::clone(&requests), start);
        let begun = requests.clock.now();
        Transaction { requests, snapshot, buffer: Buffer::default(), begun }
    }

    /// When it began, which is the moment of its reads.
    pub fn start(&self) -> Timestamp {
        self.snapshot.version()
    }

    /// The value of a key, as the transaction itself has written it, or as it was at the start.
    pub async fn get(&self, key: impl Into<Bytes>) -> Result<Option<Bytes>> {
        let key = key.into();
        match self.buffer.get(&key) {
            Some(Write::Put(value)) => Ok(Some(value.clone())),
            Some(Write::Delete) => Ok(None),
            Some(Write::Lock) | None => self.snapshot.get(key).await,
        }
    }

    /// The first `limit` pairs from `start` on and before `end`, the transaction's own writes among them;
    /// an empty `end` is the end of all.
    pub async fn scan(
        &self,
        start: impl Into<Bytes>,
        end: impl Into<Bytes>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>> {
        let (start, end) = (start.into(), end.into());
        // Each own write may hide one row that is read, so as many more are read; and where reading
        // stopped for the limit, own writes behind that place must not jump the queue.
        let enough = limit.saturating_add(self.buffer.count(&start, &end));
        let read = self.snapshot.scan(start.clone(), end.clone(), enough).await?;
        let mut pairs = self.buffer.overlay(read, &start, &end);
        pairs.truncate(limit);
        Ok(pairs)
    }

    /// Wants a key to have a value. An empty value is a value.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Result<()> {
        let (key, value) = (key.into(), value.into());
        check_value(&value).map_err(|cause| Error::unsent("put", cause))?;
        self.want("put", key, Write::Put(value))
    }

    /// Wants a key to be gone.
    pub fn delete(&mut self, key: impl Into<Bytes>) -> Result<()> {
        self.want("delete", key.into(), Write::Delete)
    }

    /// Wants nobody else to write a key between the start and the commit, without writing it.
    pub fn lock(&mut self, key: impl Into<Bytes>) -> Result<()> {
        self.want("lock", key.into(), Write::Lock)
    }

    fn want(&mut self, operation: &'static str, key: Bytes, write: Write) -> Result<()> {
        check_key(&key).map_err(|cause| Error::unsent(operation, cause))?;
        self.buffer.want(key, write);
        Ok(())
    }

    /// Writes all of it, or nothing. Its error says which, or that nobody knows.
    ///
    /// Once begun, it goes on: a caller that stops waiting for it does not stop it.
    pub async fn commit(self) -> Result<Committed> {
        if self.buffer.is_empty() {
            return Ok(Committed::nothing());
        }
        let age = self.requests.clock.now().since(self.begun);
        let start = self.start();
        let commit = two_phase::commit(self.requests, start, self.buffer, age);
        // In a task of its own, so that locks are not left behind by a caller that goes away.
        match tokio::spawn(commit).await {
            Ok(done) => done,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(Error::unsent("commit", Cause::Undetermined)),
        }
    }
}
