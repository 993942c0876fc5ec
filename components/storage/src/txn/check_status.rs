//! What became of a transaction, asked at its primary key by somebody who found one of its locks.
//!
//! The answer is final unless it says that the transaction is alive: clients remember it. So where
//! nothing is found, or the lock has outlived its time, the transaction is rolled back here and now,
//! and its own commit will find that.

use bytes::Bytes;

use super::rollback::{put_rollback, rollback_lock};
use super::{Command, Outcome, View, check_given};
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::mvcc::{Lock, MvccTxn, Write, WriteKind, encode_user_key};
use runtime::mutant;

/// Asks what became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckStatus {
    /// Its primary key.
    pub primary: Bytes,
    /// When it started.
    pub lock_ts: u64,
    /// What time it is for the one who asks.
    pub current_ts: u64,
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It may still be committed. It can be rolled back this many milliseconds after its start, and
    /// the number is not zero.
    Alive {
        /// The time to live of its primary lock.
        ttl: u64,
    },
    /// It is committed.
    Committed {
        /// Since when.
        commit_ts: u64,
    },
    /// It was rolled back before anybody asked.
    RolledBack,
    /// Its lock had expired, and it has been rolled back now.
    Expired,
    /// There was no trace of it, and it has been rolled back now, before it could arrive.
    NeverSeen,
}

impl Command for CheckStatus {
    type Answer = Status;

    fn check(&self, limits: &Limits) -> Result<()> {
        check_given(self.lock_ts)?;
        limits.check_key(&self.primary)
    }

    fn keys(&self) -> Vec<Bytes> {
        if mutant::on(22) { Vec::new() } else { vec![self.primary.clone()] }
    }

    fn execute(&self, view: &View<'_>) -> Result<Outcome<Status>> {
        let key = &self.primary;
        view.reader.check(&encode_user_key(key))?;
        let mut txn = MvccTxn::new(view.reader, self.lock_ts);
        let lock = txn.get_lock(key)?.filter(|lock| lock.ts == self.lock_ts);
        if let Some(lock) = lock {
            return self.check_lock(txn, &lock);
        }
        match txn.current_write(key)? {
            Some((Write { kind: WriteKind::Rollback, .. }, _)) => {
                Ok(Outcome::unchanged(Status::RolledBack))
            }
            Some((_, commit_ts)) => Ok(Outcome::unchanged(Status::Committed { commit_ts })),
            None => {
                put_rollback(&mut txn, key)?;
                Ok(Outcome { writes: txn.into_writes(), answer: Status::NeverSeen })
            }
        }
    }
}

impl CheckStatus {
    fn check_lock(&self, mut txn: MvccTxn<'_>, lock: &Lock) -> Result<Outcome<Status>> {
        if lock.primary != self.primary {
            // Rolling back one of the other keys while the primary is committed would tear the
            // transaction apart.
            runtime::mark!("the status was asked at a key that is not the primary");
            return Err(Error::invalid("the key is not the primary key of the transaction"));
        }
        if !lock.is_expired_at(self.current_ts) {
            // Clients read a time to live of zero as "not alive".
            return Ok(Outcome::unchanged(Status::Alive { ttl: lock.ttl.max(1) }));
        }
        rollback_lock(&mut txn, &self.primary, lock)?;
        Ok(Outcome { writes: txn.into_writes(), answer: Status::Expired })
    }
}
