//! The locks of a region, for whoever has to resolve old ones.

use bytes::Bytes;

use super::View;
use super::resolve_lock::find_locks;
use crate::error::{Locked, Result};
use crate::limits::Limits;

/// How many locks are answered at most.
pub const SCAN_LOCKS_MAX: usize = 1024;

/// Asks for the locks of transactions that started at or before a timestamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanLocks {
    /// The first user key to look at; empty for the first of the region.
    pub start: Bytes,
    /// The newest start timestamp that is wanted.
    pub max_ts: u64,
    /// How many are wanted: at least one, and not more than [`SCAN_LOCKS_MAX`] are given.
    pub limit: usize,
}

/// Some of the locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocksFound {
    /// In the order of their keys.
    pub locks: Vec<Locked>,
    /// Where to go on; nothing when the region is through.
    pub next: Option<Bytes>,
}

impl ScanLocks {
    pub(crate) fn check(&self, limits: &Limits) -> Result<()> {
        limits.check_start(&self.start)
    }

    /// Looks at a bounded number of locks. Finding none is not the end, as long as there is a `next`.
    pub(crate) fn execute(&self, view: &View<'_>) -> Result<LocksFound> {
        let limit = self.limit.clamp(1, SCAN_LOCKS_MAX);
        let found = find_locks(view, &self.start, limit, |lock| lock.ts <= self.max_ts)?;
        let locks = found.locks.into_iter().map(|(key, lock)| Locked { key, lock }).collect();
        Ok(LocksFound { locks, next: found.next })
    }
}
