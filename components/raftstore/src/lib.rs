//! Many Raft groups on one node's disks.
//!
//! # What for
//!
//! One Raft group keeps one log, and one log is as fast as one machine. So the key space is cut into
//! *regions*, each a range of keys with a Raft group of its own, and the members of the groups, the
//! *peers*, are spread over the *stores*, which are the machines. A store has at most one peer of a
//! region, and thousands of peers of different ones:
//!
//! ```text
//!            store 1          store 2          store 3          store 4
//!   "".."g"  [region 2 *]     [region 2  ]     [region 2  ]
//!   "g".."m"                  [region 6  ]     [region 6 *]     [region 6  ]
//!   "m".. ""  [region 4  ]    [region 4 *]                      [region 4  ]       * leads
//! ```
//!
//! This crate is a store: everything between a command for a region and the bytes on two disks. It knows
//! nothing of transactions, above, and nothing of gRPC, beside: other stores and the scheduler are two
//! traits of its own ([`Transport`], [`SchedulerClient`]).
//!
//! # What it promises
//!
//! - A command that was answered as done survives as long as a majority of its region's disks does, and
//!   every later read sees it.
//! - A command is answered once. [`RegionError`] says of each refusal whether anything may have happened.
//! - Nothing that comes from outside stops the store: not a malformed message, not one from the past, not
//!   a damaged snapshot.
//! - After a failed write or sync the store stops and says why: what it has promised is no longer certain.
//!
//! # The life of a command
//!
//! ```text
//!  client's thread       raft thread                                            apply thread
//!  ───────────────       ───────────                                            ────────────
//!  Router::command ────► admit: leader? term? epoch? keys?
//!                        propose: the log gets an entry
//!                        ┌ messages to the followers leave
//!                        │ one write, one sync, for all regions of the turn
//!                        └ promises leave (votes, "I have it")
//!                        ...a majority has it: the entry is committed
//!                        who waits for it? ───────────────────────────────────► one batch for
//!  the reply  ◄──────────────────────────────────────────────────────────────── all regions
//!                        what followed from it  ◄───────────────────────────── (Effects)
//! ```
//!
//! A read needs no entry. The router answers it from the caller's own thread while the leader's lease
//! lasts; otherwise the leader proves by a round of heartbeats that it still is one.
//!
//! # Who owns what
//!
//! Peers belong to the raft thread and their state machines to the apply thread; nothing is shared but
//! the router's list of regions, and the engines. All of these are structs with a step function: a
//! thread calls it, or the simulator, and they cannot tell which. The table is in [`worker`].
//!
//! # Two disks, one truth
//!
//! A region's log is in the raft engine, its data and what is known of the region in the kv engine. The
//! log is synced before anything is promised; the data is not, because the log can make it again. Three
//! rules make that sound:
//!
//! - The applied index is written in the same batch as what it covers.
//! - A batch that changes what a region *is* (founded, split, other peers, replaced by a snapshot, gone) is
//!   synced before anything depends on it.
//! - Entries are deleted only when the data that they led to is synced.
//!
//! What spans both engines is a protocol that can be repeated from any point: [`bootstrap`], the install
//! of a snapshot ([`state::InstallMarker`]), and the removal of a peer.
//!
//! # What is left out
//!
//! - *Merging regions.* They are only ever cut.
//! - *Learners and joint consensus*, as in [`raft`].
//! - *Reads at followers.* They would need a leader's word each time.
//! - *Hibernation.* A quiet region still ticks; a thousand of them are one pass over a list.

pub mod bootstrap;
pub mod keys;
pub mod snapshot;
pub mod split_check;
pub mod state;
pub mod worker;

mod apply;
mod config;
mod context;
mod error;
mod message;
mod meters;
mod node;
mod peer;
mod ports;
mod region_index;
mod router;
mod storage;

pub use crate::config::{Config, Ticks};
pub use crate::error::{Error, RegionError, Result};
pub use crate::message::*;
pub use crate::node::{Layout, Node, Setup, Unfinished, bootstrap_store};
pub use crate::ports::*;
pub use crate::router::{Inbound, LocalRead, Router, View};
pub use crate::storage::PeerStorage;
pub use crate::worker::raft::RaftWorker;

#[cfg(test)]
mod tests;
