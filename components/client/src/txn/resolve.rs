//! Locks in the way: what became of their transactions, and what follows.
//!
//! A lock says that some transaction wanted to write here, and which key decides about it. So whoever
//! meets one asks that key, its primary:
//!
//! ```text
//!   met        lock y = (start 10, primary x)
//!   ask x      locked, and young enough     alive: wait, for as long as it may live
//!              locked, and too old          it is rolled back there, now and for ever
//!              committed at 12              committed
//!              neither                      rolled back, now and for ever, so that it cannot come later
//!   then       commit or roll back what it holds in the region of y
//! ```
//!
//! Nothing else decides: not the lock that was met, and not its age. The age is measured by the
//! scheduler's time, never by the clock of this machine.
//!
//! What was decided is decided for ever, and is remembered. That somebody is alive is not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use proto::kvrpcpb::{CheckTxnStatusRequest, LockInfo, ResolveLockRequest};

use super::encode;
use crate::backoff::Reason;
use crate::error::Cause;
use crate::failure::KeyFailure;
use crate::request::{Operation, Requests};
use crate::timestamp::Timestamp;

/// Transactions whose end is remembered; with more, the memory starts anew.
const REMEMBERED_MAX: usize = 2048;

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    CommittedAt(Timestamp),
    RolledBack,
}

/// What is known of a transaction.
enum Status {
    /// It lives, for at most this long.
    Alive(Duration),
    Ended(End),
}

/// How transactions ended that somebody asked about.
#[derive(Debug, Default)]
pub(crate) struct Fates {
    known: Mutex<BTreeMap<u64, End>>,
}

impl Fates {
    fn get(&self, start_ts: u64) -> Option<End> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&start_ts).copied()
    }

    fn remember(&self, start_ts: u64, end: End) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(start_ts, end);
    }
}

impl Requests {
    /// Removes locks whose transactions have ended, and waits a little if some have not.
    pub(crate) async fn resolve(
        &self,
        operation: &mut Operation,
        locks: Vec<LockInfo>,
    ) -> Result<(), Cause> {
        let mut alive: Option<Duration> = None;
        // One call finishes all locks that a transaction has in a region.
        let mut finished = BTreeSet::new();
        for lock in locks {
            match self.status(operation, &lock).await? {
                Status::Alive(left) => {
                    operation.note(holder(&lock), &"the key is locked");
                    alive = Some(alive.map_or(left, |shortest| shortest.min(left)));
                }
                Status::Ended(end) => {
                    let key = encode(&lock.key);
                    let region = self.locate(operation, &key).await?.region.id;
                    if finished.insert((lock.lock_version, region)) {
                        self.finish(operation, &lock, end).await?;
                    }
                }
            }
        }
        match alive {
            None => Ok(()),
            Some(left) => operation.pause_at_most(Reason::Lock, left).await,
        }
    }

    /// What became of the transaction that holds a lock.
    async fn status(&self, operation: &mut Operation, lock: &LockInfo) -> Result<Status, Cause> {
        if let Some(end) = self.fates.get(lock.lock_version) {
            return Ok(Status::Ended(end));
        }
        let now = self.scheduler.timestamp().await.map_err(|error| error.cause().clone())?;
        let request = CheckTxnStatusRequest {
            primary_key: lock.primary_lock.clone(),
            lock_ts: lock.lock_version,
            current_ts: now.get(),
            ..CheckTxnStatusRequest::default()
        };
        let primary = encode(&lock.primary_lock);
        let (response, _) = self.send(operation, &primary, &request).await?;
        if response.lock_ttl > 0 {
            let born = Timestamp::new(lock.lock_version).physical_ms();
            let dies = born.saturating_add(response.lock_ttl);
            let left = dies.saturating_sub(now.physical_ms());
            return Ok(Status::Alive(Duration::from_millis(left)));
        }
        let end = match response.commit_version {
            0 => End::RolledBack,
            at => End::CommittedAt(Timestamp::new(at)),
        };
        self.fates.remember(lock.lock_version, end);
        Ok(Status::Ended(end))
    }

    /// Does to all locks of a transaction in a region what its end was.
    async fn finish(
        &self,
        operation: &mut Operation,
        lock: &LockInfo,
        end: End,
    ) -> Result<(), Cause> {
        let commit_version = match end {
            End::CommittedAt(at) => at.get(),
            End::RolledBack => 0,
        };
        let request = ResolveLockRequest {
            start_version: lock.lock_version,
            commit_version,
            ..ResolveLockRequest::default()
        };
        let (response, _) = self.send(operation, &encode(&lock.key), &request).await?;
        match response.error.map(|error| KeyFailure::of(*error)) {
            None => Ok(()),
            Some(KeyFailure::Locked(lock)) => {
                let text = format!("the transaction of {} could not be ended", lock.lock_version);
                Err(Cause::Malformed(text))
            }
            Some(KeyFailure::Final(cause)) => Err(cause),
        }
    }
}

/// Who is in the way, for people.
fn holder(lock: &LockInfo) -> String {
    format!("the transaction of {}", lock.lock_version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_remembered_up_to_a_number() {
        let fates = Fates::default();
        assert_eq!(fates.get(1), None);
        fates.remember(1, End::RolledBack);
        fates.remember(2, End::CommittedAt(Timestamp::new(3)));
        assert_eq!(fates.get(1), Some(End::RolledBack));
        assert_eq!(fates.get(2), Some(End::CommittedAt(Timestamp::new(3))));
        (10..10 + REMEMBERED_MAX as u64).for_each(|start| fates.remember(start, End::RolledBack));
        assert_eq!(fates.get(1), None, "it began anew");
    }
}
