//! Doing to the other keys of a transaction what was done to its primary.
//!
//! All locks of the transaction in the region are resolved, however many there are, and no others.
//! The lock family has no index by transaction, so it is walked; both the walk and what is written are
//! cut into pages, and between two pages others get their turn.

use bytes::Bytes;
use engine::{Cf, KeyRange};

use super::commit::{check_timestamps, commit_lock};
use super::rollback::rollback_lock;
use super::{Command, Outcome, Paged, View};
use crate::error::Result;
use crate::limits::Limits;
use crate::mvcc::{Lock, MvccTxn};

/// How many locks are resolved in one write.
pub const RESOLVE_PAGE_KEYS: usize = 256;

/// How many locks are looked at before others get their turn.
pub const LOOK_PAGE_LOCKS: usize = 4096;

/// Resolves the locks of one transaction.
///
/// Each lock stands for itself: if a page is refused, those before it stay done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveLock {
    /// When the transaction started.
    pub start_ts: u64,
    /// Since when it is committed; nothing if it was rolled back.
    pub commit_ts: Option<u64>,
    /// Where the walk goes on; nothing when it is through.
    next: Option<Bytes>,
}

impl ResolveLock {
    /// Does to all locks of a transaction what became of it.
    pub fn new(start_ts: u64, commit_ts: Option<u64>) -> Self {
        ResolveLock { start_ts, commit_ts, next: Some(Bytes::new()) }
    }
}

impl Paged for ResolveLock {
    type Page = ResolvePage;

    fn check(&self, _limits: &Limits) -> Result<()> {
        self.commit_ts.map_or(Ok(()), |commit_ts| check_timestamps(self.start_ts, commit_ts))
    }

    fn find(&mut self, view: &View<'_>) -> Result<ResolvePage> {
        let (start_ts, commit_ts) = (self.start_ts, self.commit_ts);
        let start = self.next.take().unwrap_or_default();
        let found = find_locks(view, &start, RESOLVE_PAGE_KEYS, |lock| lock.ts == start_ts)?;
        self.next = found.next;
        let keys = found.locks.into_iter().map(|(key, _)| key).collect();
        Ok(ResolvePage { keys, start_ts, commit_ts })
    }

    fn done(&mut self, _answer: ()) {}

    fn is_through(&self) -> bool {
        self.next.is_none()
    }
}

/// Resolves the locks on a few keys, those that are still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvePage {
    keys: Vec<Bytes>,
    start_ts: u64,
    commit_ts: Option<u64>,
}

impl Command for ResolvePage {
    type Answer = ();

    fn check(&self, _limits: &Limits) -> Result<()> {
        Ok(()) // the keys are our own
    }

    fn keys(&self) -> Vec<Bytes> {
        self.keys.clone()
    }

    fn execute(&self, view: &View<'_>) -> Result<Outcome<()>> {
        let mut txn = MvccTxn::new(view.reader, self.start_ts);
        for key in &self.keys {
            // Between the look and the latch somebody else may have resolved it.
            let lock = txn.get_lock(key)?.filter(|lock| lock.ts == self.start_ts);
            let Some(lock) = lock else {
                runtime::mark!("a lock was resolved by somebody else");
                continue;
            };
            match self.commit_ts {
                Some(commit_ts) => commit_lock(&mut txn, key, lock.kind, commit_ts)?,
                None => rollback_lock(&mut txn, key, &lock)?,
            }
        }
        Ok(Outcome { writes: txn.into_writes(), answer: () })
    }
}

/// Some locks of a region.
pub(super) struct FoundLocks {
    /// Those that were wanted, in order.
    pub(super) locks: Vec<(Bytes, Lock)>,
    /// From which user key on there may be more.
    pub(super) next: Option<Bytes>,
}

/// Looks for at most `limit` locks from `start` on, and not at many more than that.
pub(super) fn find_locks(
    view: &View<'_>,
    start: &[u8],
    limit: usize,
    wanted: impl Fn(&Lock) -> bool,
) -> Result<FoundLocks> {
    let mut cursor = view.reader.cursor(Cf::Lock, KeyRange::from(start))?;
    let mut locks = Vec::new();
    let mut is_valid = cursor.seek_to_first()?;
    for _ in 0..LOOK_PAGE_LOCKS {
        if !is_valid || locks.len() == limit {
            break;
        }
        let lock = Lock::parse(cursor.value())?;
        if wanted(&lock) {
            locks.push((Bytes::copy_from_slice(cursor.key()), lock));
        }
        is_valid = cursor.next()?;
    }
    let next = is_valid.then(|| Bytes::copy_from_slice(cursor.key()));
    Ok(FoundLocks { locks, next })
}
