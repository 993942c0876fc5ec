//! The driver: from a request to its answer, over a storage, under latches.
//!
//! ```text
//!   Query:    check ----------------> snapshot -> execute ... ------> answer
//!   Command:  check -> latch its keys -> snapshot -> execute -> write -> answer
//!   Paged:    check -> [ snapshot -> find -> (a Command) ] ... -> answer
//! ```
//!
//! All waiting is here, and none of it blocks a thread: for latches, for a snapshot, for a write. What
//! takes long is done in turns, so that others are served in between. The
//! future of a call may be dropped at any of these points. Then its answer is lost; what it had
//! written, or was writing, is not, and its latches are held for as long as that takes.

use std::sync::Arc;

use proto::kvrpcpb::Context;

use crate::error::{Abort, KeyError, Result};
use crate::limits::Limits;
use crate::storage::{Changes, Reader, Storage};
use crate::turn::Turn;
use crate::txn::{
    CollectGarbage, Command, Latches, LocksFound, Paged, Query, ResolveLock, Rollback, ScanLocks,
    View,
};

/// Raw and transactional calls over a storage.
pub struct Kv {
    storage: Arc<dyn Storage>,
    latches: Arc<Latches>,
    limits: Limits,
}

impl Kv {
    /// A driver with free latches. There is one per storage: latches of another one would not be seen.
    pub fn new(storage: Arc<dyn Storage>, limits: Limits) -> Self {
        Kv { storage, latches: Latches::new(limits.waiting_commands), limits }
    }

    /// What keeps the bytes.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// How large things may be.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A state to read from as of `version`, for those who read more than a query does.
    pub async fn reader(&self, context: &Context, version: u64) -> Result<Arc<dyn Reader>> {
        let reader = self.storage.snapshot(context).await?;
        // Asked for after the snapshot was taken: a safe point that is raised only now is collected
        // to later still, so everything that this version sees is in the snapshot.
        let safe_point = self.storage.safe_point();
        if version < safe_point {
            let refused = Abort::BelowSafePoint { ts: version, safe_point };
            return Err(KeyError::Abort(refused).into());
        }
        Ok(reader)
    }

    /// Answers a request that reads.
    pub async fn read<Q: Query>(&self, context: &Context, query: Q) -> Result<Q::Answer> {
        query.check(&self.limits)?;
        let reader = self.reader(context, query.version()).await?;
        query.execute(&self.view(&*reader)).await
    }

    /// Does a request that writes.
    pub async fn run<C: Command>(&self, context: &Context, command: C) -> Result<C::Answer> {
        command.check(&self.limits)?;
        self.perform(context, &command).await
    }

    /// Does a request page by page, and answers it as it is at the end.
    pub async fn run_pages<P: Paged>(&self, context: &Context, mut request: P) -> Result<P> {
        request.check(&self.limits)?;
        loop {
            let reader = self.storage.snapshot(context).await?;
            let page = request.find(&self.view(&*reader))?;
            drop(reader);
            request.done(self.perform(context, &page).await?);
            if request.is_through() {
                return Ok(request);
            }
            Turn::default().await;
        }
    }

    /// Does a command that has been checked.
    pub(crate) async fn perform<C: Command>(
        &self,
        context: &Context,
        command: &C,
    ) -> Result<C::Answer> {
        let latches = self.latches.acquire(command.keys())?.await;
        let reader = self.storage.snapshot(context).await?;
        let outcome = command.execute(&self.view(&*reader))?;
        if outcome.writes.is_empty() {
            return Ok(outcome.answer);
        }
        let stamp = reader.stamp();
        drop(reader);
        let changes = Changes { stamp, batch: outcome.writes, latches: Some(latches) };
        self.storage.write(context, changes).await?;
        Ok(outcome.answer)
    }

    fn view<'a>(&self, reader: &'a dyn Reader) -> View<'a> {
        View { reader, safe_point: self.storage.safe_point(), limits: self.limits }
    }
}

/// The requests that are more than one command.
impl Kv {
    /// Rolls keys back, however many there are.
    pub async fn rollback(&self, context: &Context, rollback: Rollback) -> Result<()> {
        rollback.check(&self.limits)?;
        for page in rollback.pages() {
            self.perform(context, &page).await?;
            Turn::default().await;
        }
        Ok(())
    }

    /// Resolves all locks of a transaction in the region.
    pub async fn resolve_lock(&self, context: &Context, resolve: ResolveLock) -> Result<()> {
        self.run_pages(context, resolve).await.map(drop)
    }

    /// Lists old locks, a bounded number at a time.
    pub async fn scan_locks(&self, context: &Context, scan: ScanLocks) -> Result<LocksFound> {
        scan.check(&self.limits)?;
        let reader = self.storage.snapshot(context).await?;
        scan.execute(&self.view(&*reader))
    }

    /// Raises the safe point, which never falls, and answers what it is now.
    pub async fn raise_safe_point(&self, safe_point: u64) -> Result<u64> {
        self.storage.raise_safe_point(safe_point).await
    }

    /// Collects what only snapshots before `safe_point` see, and answers how many records went. The
    /// safe point must have been raised to it, and no lock that is as old may be left in the region.
    pub async fn collect_garbage(&self, context: &Context, safe_point: u64) -> Result<u64> {
        let collected = self.run_pages(context, CollectGarbage::new(safe_point)).await?;
        Ok(collected.removed())
    }
}
