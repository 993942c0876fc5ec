//! Giving a transaction up, so that it stays given up.
//!
//! A rollback leaves a record even where it finds nothing: the prewrite may still be on its way, and
//! would lock a key for a transaction that its client has forgotten. The record stands at the start
//! timestamp, where the late prewrite looks.

use bytes::Bytes;

use super::{Command, Outcome, View, check_given};
use crate::error::{Abort, KeyError, Result};
use crate::limits::Limits;
use crate::mvcc::{Lock, MvccTxn, Write, WriteKind, encode_user_key};
use runtime::mutant;

/// How many keys are rolled back in one write.
pub const ROLLBACK_PAGE_KEYS: usize = 256;

/// Rolls keys back.
///
/// Each key stands for itself. Where there are more than [`ROLLBACK_PAGE_KEYS`], they are done page by
/// page; if a page is refused, those before it stay done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollback {
    /// The user keys.
    pub keys: Vec<Bytes>,
    /// When the transaction started.
    pub start_ts: u64,
}

impl Rollback {
    /// The same in pieces of one write each.
    pub fn pages(self) -> impl Iterator<Item = Rollback> {
        let pages = self.keys.len().div_ceil(ROLLBACK_PAGE_KEYS);
        (0..pages).map(move |page| {
            let keys = self.keys[page * ROLLBACK_PAGE_KEYS..].iter().take(ROLLBACK_PAGE_KEYS);
            Rollback { keys: keys.cloned().collect(), start_ts: self.start_ts }
        })
    }
}

impl Command for Rollback {
    type Answer = ();

    fn check(&self, limits: &Limits) -> Result<()> {
        check_given(self.start_ts)?;
        self.keys.iter().try_for_each(|key| limits.check_key(key))
    }

    fn keys(&self) -> Vec<Bytes> {
        self.keys.clone()
    }

    fn execute(&self, view: &View<'_>) -> Result<Outcome<()>> {
        let mut txn = MvccTxn::new(view.reader, self.start_ts);
        for key in &self.keys {
            view.reader.check(&encode_user_key(key))?;
            let lock = txn.get_lock(key)?.filter(|lock| lock.ts == self.start_ts);
            if let Some(lock) = lock {
                rollback_lock(&mut txn, key, &lock)?;
                continue;
            }
            match txn.current_write(key)? {
                Some((Write { kind: WriteKind::Rollback, .. }, _)) => {}
                Some((_, commit_ts)) => {
                    let start_ts = self.start_ts;
                    let refused = KeyError::Abort(Abort::Committed { start_ts, commit_ts });
                    return Err(refused.into());
                }
                None => put_rollback(&mut txn, key)?,
            }
        }
        Ok(Outcome { writes: txn.into_writes(), answer: () })
    }
}

/// Takes the transaction's own lock on a key away, with the value that was kept for it.
pub(super) fn rollback_lock(txn: &mut MvccTxn<'_>, key: &Bytes, lock: &Lock) -> Result<()> {
    put_rollback(txn, key)?;
    if lock.kind == WriteKind::Put {
        txn.delete_value(key);
    }
    txn.delete_lock(key);
    Ok(())
}

/// Records that the transaction must never come back to a key.
pub(super) fn put_rollback(txn: &mut MvccTxn<'_>, key: &Bytes) -> Result<()> {
    if mutant::on(19) {
        return Ok(());
    }
    let start_ts = txn.start_ts();
    if let Some(taken) = txn.reader().write_at(key, start_ts)?
        && taken.start_ts != start_ts
    {
        // Overwriting it would undo another transaction's commit.
        let taken = Abort::TimestampTaken { ts: start_ts, start_ts: taken.start_ts };
        return Err(KeyError::Abort(taken).into());
    }
    txn.put_write(key, start_ts, Write { kind: WriteKind::Rollback, start_ts });
    Ok(())
}
