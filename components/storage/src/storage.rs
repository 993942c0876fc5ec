//! The seam: what commands need of whatever keeps the bytes.
//!
//! A command takes a [`Reader`], computes, and hands back [`Changes`]. Whether those go into one
//! engine or through the log of a Raft group is the storage's business, and so is the waiting:
//! both calls are asynchronous and both may fail with a region's error.
//!
//! # The contract
//!
//! - **A reader does not move.** It shows everything that was acknowledged before [`Storage::snapshot`]
//!   was called, and nothing changes under it afterwards.
//! - **Changes are atomic**, and when a write is acknowledged every later reader sees them.
//! - **A write knows what it was computed from.** [`Changes::stamp`] is the stamp of that reader. A
//!   storage with leaders refuses changes that were computed in another term: in between, somebody
//!   may have decided otherwise.
//! - **The latches outlive the caller.** A client that goes away drops the future of its write, but
//!   the write may be on its way to other stores by then. Would the latches be free at once, the next
//!   command would read a state in which the write has not happened and decide against it. So the
//!   latches travel in [`Changes::latches`], and the storage drops them when the fate of the write is
//!   decided, not when nobody listens any more.
//! - **A failed write has an answer.** All region errors but [`RegionError::StaleCommand`] promise that
//!   nothing was written; that one says that it is not known.
//!
//! `tests/contract.rs` runs these sentences on every implementation.
//!
//! [`RegionError::StaleCommand`]: crate::RegionError::StaleCommand

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use engine::{Cf, Cursor, KeyRange, Op, WriteBatch};
use proto::kvrpcpb::Context;
use proto::metapb::RegionEpoch;

use crate::error::Result;
use crate::txn::LatchGuard;

/// An answer that may have to be waited for.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Something that keeps bytes.
pub trait Storage: Send + Sync {
    /// A state that does not move, of the region that `context` names.
    fn snapshot<'a>(&'a self, context: &'a Context) -> Pending<'a, Arc<dyn Reader>>;

    /// Does all of `changes`, which are not empty and touch data families by puts and deletes only.
    fn write<'a>(&'a self, context: &'a Context, changes: Changes) -> Pending<'a, ()>;

    /// The families that raw calls may name. Where data is split into regions by the keys of
    /// transactions, that is `default` only.
    fn raw_families(&self) -> &'static [Cf];

    /// The newest safe point: nothing is promised about versions that only an older snapshot sees.
    fn safe_point(&self) -> u64;

    /// Raises the safe point, which never falls, and answers what it is now. When this returns, the
    /// new one is as durable as what it allows to forget.
    fn raise_safe_point(&self, safe_point: u64) -> Pending<'_, u64>;
}

/// A state that does not move.
pub trait Reader: Send + Sync {
    /// From which term and epoch this is.
    fn stamp(&self) -> Stamp;

    /// Refuses a key outside of the region. The key is in the form in which regions order keys:
    /// encoded without a timestamp where it belongs to a transaction, as it is where it is raw.
    fn check(&self, region_key: &[u8]) -> Result<()>;

    /// The value of `key` in this state.
    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>>;

    /// What [`Reader::get`] answers for each of `keys`, which a storage may find faster together.
    fn get_many(&self, cf: Cf, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>> {
        keys.iter().map(|key| self.get(cf, key)).collect()
    }

    /// A cursor over the keys of `range` that lie in the region, in the order in which the commands
    /// know them: locks by user key, values and writes by encoded key.
    fn cursor<'a>(&'a self, cf: Cf, range: KeyRange<'_>) -> Result<Box<dyn Cursor + 'a>>;
}

/// Where in the life of a region a state was read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stamp {
    /// The term of the leader that served the snapshot. Zero for a storage without terms, and for
    /// changes that were not computed from a snapshot.
    pub term: u64,
    /// The epoch of the region in that snapshot.
    pub epoch: RegionEpoch,
}

impl Stamp {
    /// For changes that do not depend on a state.
    pub const NONE: Stamp = Stamp { term: 0, epoch: RegionEpoch { conf_ver: 0, version: 0 } };
}

/// What a command wants written.
#[derive(Debug)]
pub struct Changes {
    /// The state that they were computed from.
    pub stamp: Stamp,
    /// What changes.
    pub batch: WriteBatch,
    /// Held until the fate of the write is decided.
    pub latches: Option<LatchGuard>,
}

impl Changes {
    /// Changes that nobody decided on by looking, so that nothing is latched.
    pub fn blind(batch: WriteBatch) -> Self {
        Changes { stamp: Stamp::NONE, batch, latches: None }
    }

    /// Checks what every storage relies on.
    pub(crate) fn assert_sound(&self) {
        assert!(!self.batch.is_empty(), "a storage is not asked to write nothing");
        for op in self.batch.ops() {
            match op {
                Op::Put { cf, .. } | Op::Delete { cf, .. } => {
                    assert!(Cf::DATA.contains(cf), "a command writes data families only");
                }
                Op::DeleteRange { .. } => panic!("a command deletes key by key"),
            }
        }
    }
}
