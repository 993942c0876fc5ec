//! The first half of a commit: lock every key, and keep the values.
//!
//! A key is refused when another transaction holds it, or when somebody committed at or after our
//! start: then our snapshot is out of date. All records since the start are looked at, not only the
//! newest, which may be the harmless rollback of a third transaction. A rollback of *ours* among them
//! means that somebody gave us up, and that we must never come back.
//!
//! One refused key refuses the request: nothing is written, and every reason is answered.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::{Command, Outcome, View, check_given};
use crate::error::{Abort, Conflict, Error, KeyError, Locked, Result};
use crate::limits::{Limits, ROW_OVERHEAD_BYTES};
use crate::mvcc::{Lock, MvccTxn, TS_MAX, Write, WriteKind, encode_user_key};
use runtime::mutant;

/// Locks keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prewrite {
    /// What is to be done, key by key.
    pub mutations: Vec<Mutation>,
    /// The user key that decides the transaction.
    pub primary: Bytes,
    /// When the transaction started.
    pub start_ts: u64,
    /// How many milliseconds after its start others may roll it back.
    pub ttl: u64,
}

/// What is to be done to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Give it a value.
    Put(Bytes, Bytes),
    /// Take its value away.
    Delete(Bytes),
    /// Only make sure that nobody else writes it.
    Lock(Bytes),
}

impl Mutation {
    /// The user key.
    pub fn key(&self) -> &Bytes {
        match self {
            Mutation::Put(key, _) | Mutation::Delete(key) | Mutation::Lock(key) => key,
        }
    }

    fn kind(&self) -> WriteKind {
        match self {
            Mutation::Put(..) => WriteKind::Put,
            Mutation::Delete(_) => WriteKind::Delete,
            Mutation::Lock(_) => WriteKind::Lock,
        }
    }
}

impl Command for Prewrite {
    /// Why it was refused, key by key; empty if every key is locked now.
    type Answer = Vec<KeyError>;

    fn check(&self, limits: &Limits) -> Result<()> {
        limits.check_key(&self.primary)?;
        limits.check_count(self.mutations.len())?;
        check_given(self.start_ts)?;
        let mut keys = BTreeSet::new();
        let mut bytes = 0;
        for mutation in &self.mutations {
            limits.check_key(mutation.key())?;
            if let Mutation::Put(_, value) = mutation {
                limits.check_value(value)?;
                bytes += mutation.key().len() + value.len();
            }
            bytes += mutation.key().len() + self.primary.len() + ROW_OVERHEAD_BYTES;
            if !keys.insert(mutation.key()) {
                return Err(Error::invalid("the same key appears twice in a prewrite"));
            }
        }
        limits.check_prewrite(bytes)
    }

    fn keys(&self) -> Vec<Bytes> {
        self.mutations.iter().map(|mutation| mutation.key().clone()).collect()
    }

    fn execute(&self, view: &View<'_>) -> Result<Outcome<Vec<KeyError>>> {
        let ts = self.start_ts;
        if view.may_be_collected(ts) {
            // Its rollback may have been collected, so it could come back.
            let safe_point = view.safe_point;
            let refused = KeyError::Abort(Abort::BelowSafePoint { ts, safe_point });
            return Ok(Outcome::unchanged(vec![refused]));
        }
        let mut txn = MvccTxn::new(view.reader, ts);
        let mut refused = Vec::new();
        for mutation in &self.mutations {
            view.reader.check(&encode_user_key(mutation.key()))?;
            match self.look(&mut txn, mutation.key())? {
                Ok(Finding::Free) => self.put(&mut txn, mutation),
                Ok(Finding::Ours) => {}
                Err(error) => refused.push(error),
            }
        }
        if !refused.is_empty() {
            return Ok(Outcome::unchanged(refused));
        }
        Ok(Outcome { writes: txn.into_writes(), answer: refused })
    }
}

/// What is found at a key that does not refuse us.
enum Finding {
    /// Nobody has it.
    Free,
    /// An earlier copy of this request was here. Doing nothing is doing it again.
    Ours,
}

impl Prewrite {
    fn look(
        &self,
        txn: &mut MvccTxn<'_>,
        key: &Bytes,
    ) -> Result<std::result::Result<Finding, KeyError>> {
        if let Some(lock) = txn.get_lock(key)? {
            if lock.ts == self.start_ts {
                return Ok(Ok(Finding::Ours));
            }
            return Ok(Err(KeyError::Locked(Locked { key: key.clone(), lock })));
        }
        let found = txn.reader().walk(key, TS_MAX, |write, ts| self.judge(write, ts))?;
        Ok(match found {
            None | Some(Verdict::Free) => Ok(Finding::Free),
            Some(Verdict::Ours) => Ok(Finding::Ours),
            Some(Verdict::Conflict { conflict_ts }) => Err(KeyError::Conflict(Conflict {
                start_ts: self.start_ts,
                conflict_ts,
                key: key.clone(),
                primary: self.primary.clone(),
            })),
        })
    }

    /// What a record says against us; it is asked from the newest on.
    fn judge(&self, write: Write, ts: u64) -> ControlFlow<Verdict> {
        if ts < self.start_ts || (mutant::on(20) && ts == self.start_ts) {
            return ControlFlow::Break(Verdict::Free);
        }
        match write.kind {
            WriteKind::Rollback if write.start_ts == self.start_ts => {
                runtime::mark!("a prewrite came after its rollback");
                ControlFlow::Break(Verdict::Conflict { conflict_ts: ts })
            }
            // Somebody else did not commit. What is below decides.
            WriteKind::Rollback => ControlFlow::Continue(()),
            WriteKind::Put | WriteKind::Delete | WriteKind::Lock => {
                if write.start_ts == self.start_ts {
                    runtime::mark!("a prewrite came after its commit");
                    return ControlFlow::Break(Verdict::Ours);
                }
                ControlFlow::Break(Verdict::Conflict { conflict_ts: ts })
            }
        }
    }

    fn put(&self, txn: &mut MvccTxn<'_>, mutation: &Mutation) {
        if let Mutation::Put(key, value) = mutation {
            txn.put_value(key, value.clone());
        }
        let kind = mutation.kind();
        let lock = Lock { primary: self.primary.clone(), ts: self.start_ts, ttl: self.ttl, kind };
        txn.put_lock(mutation.key(), &lock);
    }
}

enum Verdict {
    Free,
    Ours,
    Conflict { conflict_ts: u64 },
}
