//! The second half of a commit: every lock becomes a record.
//!
//! Committing the primary key is the moment that decides the transaction; after that the others only
//! follow. So a commit that finds its lock gone must find out why before it answers: if somebody
//! committed it, the client's message was only repeated; if somebody rolled it back, the client must
//! not believe that it is committed.

use bytes::Bytes;

use super::{Command, Outcome, View, check_given};
use crate::error::{Abort, Error, KeyError, Result, Retryable};
use crate::limits::Limits;
use crate::mvcc::{MvccTxn, Write, WriteKind, encode_user_key};

/// Commits keys that are prewritten.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_field_names,
    reason = "there are two timestamps, and the protocol calls them so"
)]
pub struct Commit {
    /// The user keys.
    pub keys: Vec<Bytes>,
    /// When the transaction started.
    pub start_ts: u64,
    /// From when on it counts.
    pub commit_ts: u64,
}

impl Command for Commit {
    type Answer = ();

    fn check(&self, limits: &Limits) -> Result<()> {
        check_timestamps(self.start_ts, self.commit_ts)?;
        limits.check_count(self.keys.len())?;
        self.keys.iter().try_for_each(|key| limits.check_key(key))
    }

    fn keys(&self) -> Vec<Bytes> {
        self.keys.clone()
    }

    fn execute(&self, view: &View<'_>) -> Result<Outcome<()>> {
        let mut txn = MvccTxn::new(view.reader, self.start_ts);
        for key in &self.keys {
            view.reader.check(&encode_user_key(key))?;
            match txn.get_lock(key)? {
                Some(lock) if lock.ts == self.start_ts => {
                    commit_lock(&mut txn, key, lock.kind, self.commit_ts)?;
                }
                Some(lock) => {
                    self.check_committed(view, &mut txn, key, Some(lock.ts))?;
                }
                None => self.check_committed(view, &mut txn, key, None)?,
            }
        }
        Ok(Outcome { writes: txn.into_writes(), answer: () })
    }
}

impl Commit {
    /// There is no lock of ours. Has this commit happened before?
    fn check_committed(
        &self,
        view: &View<'_>,
        txn: &mut MvccTxn<'_>,
        key: &Bytes,
        holder_ts: Option<u64>,
    ) -> Result<()> {
        let start_ts = self.start_ts;
        let refused = match (txn.current_write(key)?, holder_ts) {
            (Some((Write { kind: WriteKind::Rollback, .. }, _)), _) => {
                KeyError::Retryable(Retryable::RolledBack { start_ts })
            }
            (Some((_, commit_ts)), _) if commit_ts == self.commit_ts => return Ok(()),
            (Some((_, commit_ts)), _) => KeyError::Abort(Abort::Committed { start_ts, commit_ts }),
            (None, Some(holder_ts)) => {
                KeyError::Retryable(Retryable::LockLost { start_ts, holder_ts })
            }
            (None, None) if view.may_be_collected(start_ts) => {
                // It may have been rolled back, and the record of that collected.
                let safe_point = view.safe_point;
                KeyError::Abort(Abort::BelowSafePoint { ts: start_ts, safe_point })
            }
            (None, None) => {
                // Never prewritten. The original answers success and its tests insist; a client that
                // commits only what it has prewritten does not come here, because locks do not vanish
                // without a record.
                runtime::mark!("a commit found neither a lock nor a record");
                return Ok(());
            }
        };
        Err(refused.into())
    }
}

/// Refuses a commit that would lie in its own snapshot's past, or after every snapshot.
pub(super) fn check_timestamps(start_ts: u64, commit_ts: u64) -> Result<()> {
    if commit_ts <= start_ts {
        let reason = format!("commit version {commit_ts} is not above start version {start_ts}");
        return Err(Error::invalid(reason));
    }
    check_given(commit_ts)
}

/// Turns the transaction's own lock on a key into a record.
pub(super) fn commit_lock(
    txn: &mut MvccTxn<'_>,
    key: &Bytes,
    kind: WriteKind,
    commit_ts: u64,
) -> Result<()> {
    let start_ts = txn.start_ts();
    if kind == WriteKind::Rollback {
        return Err(Error::corrupt("lock", "it claims to be a rollback"));
    }
    if let Some(taken) = txn.reader().write_at(key, commit_ts)? {
        // Overwriting it would forget a rollback, or another transaction's commit.
        let taken = Abort::TimestampTaken { ts: commit_ts, start_ts: taken.start_ts };
        return Err(KeyError::Abort(taken).into());
    }
    txn.put_write(key, commit_ts, Write { kind, start_ts });
    txn.delete_lock(key);
    Ok(())
}
