//! Transactions over a key space, wherever its bytes are kept.
//!
//! ```text
//!             server, coprocessor
//!                     |
//!     Kv  -----------------------------   latches, waiting, the safe point
//!      |  Query  Command  Paged  raw           [kv, raw]
//!      |  get scan prewrite commit ...         [txn]    what may be done to whom
//!      |  MvccReader  Scanner  MvccTxn         [mvcc]   which version is whose
//!      |
//!     Storage -- Reader -- Changes             [storage] the seam
//!     _|______________________
//!    |                        |
//!  Standalone            (replicated)
//!  one engine            a region of a Raft group: the same trait, kept by the crate above it
//! ```
//!
//! A server makes one [`Kv`] over its [`Storage`] and passes requests to it:
//!
//! ```
//! use std::sync::Arc;
//! use storage::txn::{Commit, Get, Mutation, Prewrite};
//! use storage::{Kv, Limits, Standalone};
//!
//! # async fn example() -> storage::Result<()> {
//! let kv = Kv::new(Arc::new(Standalone::in_memory()), Limits::default());
//! let region = proto::kvrpcpb::Context::default(); // which region, and what the client knows of it
//!
//! let refused = kv.run(&region, Prewrite {
//!     mutations: vec![Mutation::Put("k".into(), "v".into())],
//!     primary: "k".into(),
//!     start_ts: 10,
//!     ttl: 3000,
//! }).await?;
//! assert!(refused.is_empty());
//! kv.run(&region, Commit { keys: vec!["k".into()], start_ts: 10, commit_ts: 11 }).await?;
//!
//! assert_eq!(kv.read(&region, Get { key: "k".into(), version: 10 }).await?, None);
//! assert_eq!(kv.read(&region, Get { key: "k".into(), version: 11 }).await?, Some("v".into()));
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! - *Snapshot isolation* between transactions whose clients keep the protocol of [`txn`], and no torn
//!   transaction when they die instead.
//! - A command is refused whole or done whole; only those that say so are done page by page.
//! - Requests are checked here ([`Limits`], [`Error::Invalid`]): whatever a client sends, it gets an
//!   answer. Records that do not parse are [`Error::Corrupt`], never a panic.
//! - No clock, no thread, no channel of its own. Answers depend on the state and the request only.
//!
//! # What is left out
//!
//! The words of the wire: whoever speaks to clients turns requests into [`txn`]'s types and
//! [`Error`] into theirs. And regions: a storage that has them checks keys, epochs and terms by
//! [`Reader::check`] and [`Stamp`], and stores locks under encoded keys so that a lock lies in the
//! region of its key.

mod error;
mod kv;
mod limits;
pub mod mvcc;
mod raw;
mod region_reader;
mod replicated;
mod safe_point;
mod standalone;
mod storage;
mod turn;
pub mod txn;

pub use crate::error::{Abort, Conflict, Error, KeyError, Locked, RegionError, Result, Retryable};
pub use crate::kv::Kv;
pub use crate::limits::Limits;
pub use crate::raw::RawPair;
pub use crate::replicated::Replicated;
pub use crate::standalone::{GroupWriter, Standalone, WriteTask, Written};
pub use crate::storage::{Changes, Pending, Reader, Stamp, Storage};

#[cfg(test)]
mod tests;
