//! Transactions over many keys and many stores, with no coordinator but their client: Percolator.
//!
//! # In one page
//!
//! A client takes a start timestamp, reads as of it, and collects what it wants to write. One of the
//! keys it writes is the *primary*. Then:
//!
//! ```text
//!   prewrite   lock every key and keep its value        refused if another lock is there, or a
//!                                                       commit at or after the start
//!   ---        take a commit timestamp
//!   commit     turn the primary's lock into a record    the one write that decides everything
//!   commit     the same for the others, at leisure      they only follow
//! ```
//!
//! The client may die at any line. Whoever meets a lock it left asks the primary what became of the
//! transaction ([`CheckStatus`]) and does the same to the lock ([`ResolveLock`]). Where the primary
//! is still locked and its time to live has passed, asking rolls the transaction back.
//!
//! What it promises is *snapshot isolation*: a transaction reads one moment, and of two that write
//! the same key and overlap in time, one fails. It is not serialisable: two that each read what the
//! other writes may both commit (write skew). `docs/transactions.md` has the rules one by one, each
//! with what goes wrong without it.
//!
//! # Commands
//!
//! A command is a request, decided over one snapshot, and computes nothing but what is to be
//! written and answered. Three kinds differ in what they need:
//!
//! | | latches | writes | |
//! |---|---|---|---|
//! | [`Query`] | none | nothing | [`Get`], [`Scan`] |
//! | [`Command`] | of all its keys | once | [`Prewrite`], [`Commit`], [`Rollback`], [`CheckStatus`] |
//! | [`Paged`] | page by page | once per page | [`ResolveLock`], [`CollectGarbage`] |
//!
//! None of them waits for anything, so a test can run them one step at a time. [`Kv`](crate::Kv) is the driver: it
//! takes [`Latches`], asks the storage for a snapshot, lets the command decide, and writes. A prewrite
//! and a commit are one write each, whatever the number of keys, so there is no state in between.

pub mod check_status;
pub mod commit;
pub mod gc;
pub mod get;
pub mod latches;
pub mod prewrite;
pub mod resolve_lock;
pub mod rollback;
pub mod scan;
pub mod scan_locks;

use bytes::Bytes;
use engine::WriteBatch;

pub use check_status::{CheckStatus, Status};
pub use commit::Commit;
pub use gc::CollectGarbage;
pub use get::Get;
pub use latches::{Acquire, LatchGuard, Latches};
pub use prewrite::{Mutation, Prewrite};
pub use resolve_lock::ResolveLock;
pub use rollback::Rollback;
pub use scan::Scan;
pub use scan_locks::{LocksFound, ScanLocks};

use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::mvcc::TS_MAX;
use crate::storage::Reader;

/// What a command decides over.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// A state that does not move.
    pub reader: &'a dyn Reader,
    /// The safe point, asked for after that state was taken.
    pub safe_point: u64,
    /// How large an answer may become.
    pub limits: Limits,
}

impl View<'_> {
    /// Whether records of the transaction that started at `ts` may have been collected.
    pub(crate) fn may_be_collected(&self, ts: u64) -> bool {
        self.safe_point > 0 && ts <= self.safe_point
    }
}

/// Refuses the greatest timestamp for what is written: clients read with it for the newest there is, so
/// it is given to no transaction. A record under it would be newer than everything that comes, and no
/// safe point would ever pass it.
pub(crate) fn check_given(ts: u64) -> Result<()> {
    if ts == TS_MAX {
        return Err(Error::invalid(format!("timestamp {ts} is not given to transactions")));
    }
    Ok(())
}

/// A request that reads.
pub trait Query: Send + Sync {
    /// What it finds.
    type Answer: Send;

    /// Refuses a request that makes no sense, before anything is done for it.
    fn check(&self, limits: &Limits) -> Result<()>;

    /// As of when it reads.
    fn version(&self) -> u64;

    /// Finds it. It waits for nothing, but lets others have their turn if it takes long.
    fn execute(&self, view: &View<'_>) -> impl Future<Output = Result<Self::Answer>> + Send;
}

/// A request that reads a few keys, decides, and writes them.
pub trait Command: Send + Sync {
    /// What its client is told once the changes are written.
    type Answer: Send;

    /// Refuses a request that makes no sense, before anything is done for it.
    fn check(&self, limits: &Limits) -> Result<()>;

    /// The keys that it may write: nobody else decides about them meanwhile.
    fn keys(&self) -> Vec<Bytes>;

    /// Decides. An error means that nothing is written.
    fn execute(&self, view: &View<'_>) -> Result<Outcome<Self::Answer>>;
}

/// A request that is too large for one write: a sequence of commands, each found by a look at a
/// snapshot of its own and then decided again under latches.
pub trait Paged: Send {
    /// One page.
    type Page: Command;

    /// Refuses a request that makes no sense, before anything is done for it.
    fn check(&self, limits: &Limits) -> Result<()>;

    /// Finds the next page. It may have no keys: then the look alone was enough for one turn.
    fn find(&mut self, view: &View<'_>) -> Result<Self::Page>;

    /// Learns what became of that page.
    fn done(&mut self, answer: <Self::Page as Command>::Answer);

    /// Whether there are no more pages.
    fn is_through(&self) -> bool;
}

/// What a command decided.
#[derive(Debug)]
pub struct Outcome<T> {
    /// What is to be written, all at once; may be empty.
    pub writes: WriteBatch,
    /// What is to be answered then.
    pub answer: T,
}

impl<T> Outcome<T> {
    /// Nothing is to be written.
    pub fn unchanged(answer: T) -> Self {
        Outcome { writes: WriteBatch::new(), answer }
    }
}
