//! One group's consensus: several nodes agree on one log, and go on agreeing while some of them are
//! slow, cut off, or dead.
//!
//! This is Raft, by Diego Ongaro and John Ousterhout. *The paper* below is "In Search of an
//! Understandable Consensus Algorithm (Extended Version)", *the thesis* is Ongaro's "Consensus:
//! Bridging Theory and Practice"; both are at <https://raft.github.io>. The text here tells how this
//! crate sees the protocol, in the order in which the modules are best read.
//!
//! # What for
//!
//! A state machine that is fed the same commands in the same order ends up in the same state,
//! wherever it runs. So to keep a copy of some data on each of several machines it is enough to keep
//! a copy of the *log* of commands, and to let each machine apply it. Raft sees to it that
//!
//! - no two machines ever apply different commands at the same place of the log;
//! - a command that was acknowledged is never lost while a majority of disks survives;
//! - the group goes on as long as a majority of its members can talk to each other.
//!
//! The commands are bytes, and the state machine is somebody else's. For this crate the only content
//! it looks at is its own: changes of the membership.
//!
//! # The log
//!
//! ```text
//!    index     1    2    3    4    5    6
//!            ┌────┬────┬────┬────┬────┬────┐
//!    node 1  │ 1  │ 1 a│ 1 b│ 2  │ 2 c│ 2 d│   leader of term 2
//!            ├────┼────┼────┼────┼────┼────┤
//!    node 2  │ 1  │ 1 a│ 1 b│ 2  │ 2 c│    │   has not seen d yet
//!            ├────┼────┼────┼────┼────┴────┘
//!    node 3  │ 1  │ 1 a│ 1 b│ 1 x│             led term 1, and told nobody about x
//!            └────┴────┴────┴────┘
//!                                  ▲ committed up to here
//! ```
//!
//! Each entry has an index, the term of the leader that created it, and perhaps a command. Index and
//! term together, a [`Position`], say all: if two logs have the same position, they are equal up to
//! it. A leader keeps that true by naming, with each append, the position just before the new
//! entries; a follower whose log does not have it refuses. Here node 3 refuses what follows 5@2, says
//! that the logs may agree at 4@1, is sent what follows 3@1, and drops its x for it.
//!
//! An entry is *committed* once it cannot be lost any more, and only then it is applied. The
//! [`log`](mod@log) module tells which indexes run along the log and in what order.
//!
//! # Terms and elections
//!
//! Time is divided into *terms*, numbered upwards. In each term there is at most one leader, because
//! a node votes at most once in a term and a leader needs the votes of a majority. Every message
//! carries its sender's term: a node that sees a later one enters it as a follower, and one that gets
//! an earlier one answers with its own, so that a leader that slept through an election learns of it.
//!
//! ```text
//!                                  wins
//!    Follower ───────► Candidate ────────► Leader
//!      ▲   hears nobody  │   ▲│              │
//!      │                 │   └┘ no majority  │
//!      └─────────────────┴───────────────────┘
//!              hears of a later term, or of this term's leader
//! ```
//!
//! Followers wait for a random number of ticks before they campaign, so that mostly one of them is
//! first. A voter refuses a candidate whose log is behind its own (the order of [`Position`] *is*
//! this comparison). So a majority's votes go only to a node that has everything a majority has, and
//! with it everything that is committed: a new leader never needs to be told what it lacks.
//!
//! # Replication
//!
//! A leader appends proposals to its log and sends them to all. A follower that has put them on disk
//! acknowledges; when a majority of the group, the leader included, has an entry, it is committed.
//! With one exception: a leader does not count copies of entries from earlier terms, for those may
//! still be overwritten (Figure 8 of the paper shows how). It appends an empty entry of its own when
//! it is elected; once that is committed, everything before it is as well.
//!
//! The commit index travels with the next append or heartbeat. What the leader may send to each
//! follower before hearing back is the matter of [`progress`]: as long as all goes well, appends follow
//! each other without waiting.
//!
//! # Snapshots
//!
//! A log cannot grow for ever. Once the state machine's state is saved as of some applied index, the
//! storage may drop the entries up to there. A follower that needs one of them is sent that state
//! instead. It takes it unless its own log is already further, and goes on from there.
//!
//! # Membership
//!
//! Members come and go one at a time, by entries in the log that take effect when they are *applied*.
//! One at a time, because then any majority before a change and any majority after it share a member,
//! so two leaders of one term are impossible without any further protocol. Four rules keep it so:
//!
//! - A leader accepts a change only when the last one is applied.
//! - A new leader assumes that the tail of its log holds one.
//! - A node that knows no members takes no entries. The log tells the changes, but not who founded the
//!   group; a snapshot does.
//! - A node with a committed change that it has not applied does not campaign, whatever the reason:
//!   it would count the votes of the wrong members.
//!
//! # Handing over
//!
//! A leader that is asked to hand over takes no more proposals, waits until its heir has the whole
//! log, and tells it to campaign at once. The others vote for it even though they still hear their
//! leader. If that takes longer than an election timeout, everything goes on as before.
//!
//! # Reads
//!
//! A read needs no entry in the log. It needs the certainty that the leader is still the leader, and
//! [`reads`] tells how a numbered round of heartbeats gives it. The same rounds are the ground for a
//! [`Lease`]: with [`check_quorum`](Config::check_quorum), members that answered a round help nobody
//! else for an election timeout, so the leader need not ask again for most of that time.
//!
//! # How a node is driven
//!
//! Nothing in here reads a clock, starts a thread, or touches a file or a socket. Same inputs, same
//! outputs: that is what makes it possible to try a million histories in a minute, and to play each
//! of them again. Whoever owns a node calls it and does what the [`Ready`] that comes back asks for:
//!
//! ```
//! use raft::{Config, MemoryStorage, RawNode};
//!
//! # let logger = slog::Logger::root(slog::Discard, slog::o!());
//! let config = Config { id: 1, peers: vec![1], ..Config::default() };
//! let mut node = RawNode::new(config, MemoryStorage::new(), logger)?;
//! let mut state_machine = Vec::new();
//!
//! // Time, messages and wishes go in, one after the other, as many as there are ...
//! node.tick()?;
//! node.campaign()?;
//! let position = node.propose("a command")?;
//!
//! // ... and then everything that follows from them is done at once.
//! while node.has_ready() {
//!     let ready = node.ready()?;
//!     // 1. Send ready.messages.
//!     // 2. Write, in one step that a crash does not divide; sync if ready.must_sync.
//!     let storage = node.storage_mut();
//!     if let Some(snapshot) = &ready.snapshot {
//!         storage.apply_snapshot(snapshot.clone())?;
//!     }
//!     storage.append(&ready.entries);
//!     if let Some(hard_state) = ready.hard_state {
//!         storage.set_hard_state(hard_state);
//!     }
//!     // 3. Send ready.messages_after_persist, which are promises about what was just written.
//!     // 4. Apply the snapshot, if there is one, and then the entries.
//!     for entry in &ready.committed_entries {
//!         state_machine.push((entry.index, entry.data.clone()));
//!     }
//!     // 5. Report.
//!     node.advance(&ready)?;
//! }
//! assert_eq!(state_machine.last(), Some(&(position.index, "a command".into())));
//! # Ok::<(), raft::Error>(())
//! ```
//!
//! The order matters, and the reasons are with [`Ready`]. Five things are left to the driver's
//! judgement:
//!
//! - *Batching.* The more calls go in before a Ready is taken, the fewer messages and syncs come out:
//!   each follower gets one append with everything that is new.
//! - *Writing on the side.* With [`async_persist`](Config::async_persist) a driver takes the next Ready
//!   while the last one is being written, and says so with [`RawNode::on_persisted`] when it is. A
//!   node's own copy and own vote then count from that moment. Step 4 may be done elsewhere as well,
//!   in its own time, and is reported with [`RawNode::on_applied`].
//! - *Membership.* An entry of type `EntryConfChange` is given to [`RawNode::apply_conf_change`] before
//!   it is reported as applied.
//! - *Snapshots.* [`Storage::snapshot`] may take its time, and the transport says with
//!   [`RawNode::report_snapshot`] what became of one.
//! - *The wire.* A [`Message`] turns into its record with `eraftpb::Message::from` and back with
//!   `Message::try_from`, which refuses what is malformed. An error from [`RawNode::step`] means that
//!   the message was dropped; unless it is [`Error::Storage`] the node is as well as before.
//!
//! After an [`Error::Storage`] that is none of the expected ones the disk has failed, and the node must
//! not be used any more.
//!
//! # The shape of the code
//!
//! [`Raft`] is a [`Core`](core::Core), which every role needs, and a [`Role`], which owns what only it
//! needs: a follower has no progress to get wrong. A role looks at a message and returns
//! what should happen next; one function, `Raft::go`, changes roles. Each match over messages is
//! complete in each role, so that a new message makes every role decide.
//!
//! Invariants are numbered where the state is declared and asserted by number where it changes;
//! [`RawNode::check_invariants`] checks all of them and is called after each step in tests and
//! simulations. Bad input is an [`Error`]; only a broken invariant of our own stops the process.
//!
//! Term, Index and Position are plain numbers here. Behind them stands [`RaftLog`], which is one view
//! over the [`Storage`] and the tail that is not on disk yet.
//!
//! # What is left out
//!
//! - *Joint consensus* (paper, section 6). One member at a time is enough for a store that moves its
//!   regions one replica at a time, and is much easier to get right.
//! - *Learners.* A new member counts from the start, so a group should not be asked for a second change
//!   before the new member has caught up.
//! - *Proposals through a follower.* They are refused with the name of the leader. A proposal that was
//!   passed on could be executed without anybody knowing.
//! - *Byzantine members.* Whoever may send messages as a member is believed to be one. Messages that
//!   contradict the protocol are refused as far as that is noticed.
//! - *Recovering from a lost disk under the old id.* The others rely on what that id has promised. A
//!   node without its disk must come back as a new member.

// In the order in which they are best read.
pub mod message;
pub mod wire;

pub mod config;
pub mod raw_node;

pub mod raft;

pub mod core;
pub mod follower;

pub mod candidate;

pub mod leader;
pub mod progress;
pub mod quorum;
pub mod reads;
mod replicate;

pub mod log;
pub mod unstable;

pub mod storage;

pub mod status;

pub mod error;

#[cfg(test)]
mod tests;

pub use crate::config::Config;
pub use crate::error::{Error, Result, StorageError};
pub use crate::log::RaftLog;
pub use crate::message::{Body, Index, Message, NodeId, Position, Term};
pub use crate::raft::{Raft, Role};
pub use crate::raw_node::{Lease, RawNode, ReadState, Ready};
pub use crate::status::{FollowerStatus, SoftState, StateRole, Status};
pub use crate::storage::{MemoryStorage, Storage};
