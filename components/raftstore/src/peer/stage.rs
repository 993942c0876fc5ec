//! Where in its life a peer is.
//!
//! ```text
//!   by a message ──► Uninitialized ─────┐ snapshot
//!                         │             ▼
//!   at the start, by      │   ┌──► Installing ◄── Stopping ◄──┐ snapshot
//!   a split ──────────────┼───┼───────► Active ───────────────┘
//!                         ▼   ▼           │
//!                       Destroying ◄──────┘
//! ```

use raft::Ready;

/// Where in its life a peer is.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Only its id and its leader are known: it waits for a snapshot. It may vote.
    Uninitialized,
    /// It has data, and takes part in everything.
    Active,
    /// A snapshot has arrived, and the entries that were handed out before must be through first. The
    /// Ready that carries it waits, and with it everything else.
    Stopping(Box<Ready>),
    /// A snapshot is on its way into the data. The peer votes and takes entries, but applies none.
    Installing,
    /// The snapshot's files are damaged, after they were found whole when they came. The peer is silent;
    /// it can only be removed.
    Broken,
    /// Its tombstone is being written.
    Destroying,
}

impl Stage {
    /// Whether raft messages are taken in.
    pub(crate) fn takes_messages(&self) -> bool {
        match self {
            Stage::Uninitialized | Stage::Active | Stage::Installing => true,
            Stage::Stopping(_) | Stage::Broken | Stage::Destroying => false,
        }
    }

    /// Whether a snapshot may be looked at. One is enough at a time.
    pub(crate) fn takes_snapshots(&self) -> bool {
        match self {
            Stage::Uninitialized | Stage::Active => true,
            Stage::Stopping(_) | Stage::Installing | Stage::Broken | Stage::Destroying => false,
        }
    }

    /// Whether entries may be applied, commands served, and duties done.
    pub(crate) fn is_active(&self) -> bool {
        matches!(self, Stage::Active)
    }

    /// Whether the peer may be destroyed now. One that is installing a snapshot first finishes.
    pub(crate) fn may_be_destroyed(&self) -> bool {
        match self {
            Stage::Uninitialized | Stage::Active | Stage::Broken => true,
            Stage::Stopping(_) | Stage::Installing | Stage::Destroying => false,
        }
    }
}
