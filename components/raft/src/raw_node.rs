//! The node as its driver sees it: calls go in, a [`Ready`] comes out.
//!
//! Consensus decides what must be written, sent and applied, but does none of it. The driver does, in
//! its own time and together with the work of other groups, and reports back.

use std::collections::VecDeque;

use bytes::Bytes;
use prost::Message as _;
use proto::eraftpb::{
    ConfChange, ConfChangeType, ConfState, Entry, EntryType, HardState, Snapshot,
};
use slog::Logger;

use crate::error::Result;
use crate::message::{Body, Message, Position};
use crate::raft::{Raft, Role};
use crate::status::{SoftState, Status};
use crate::storage::Storage;
use crate::wire::CONTEXT_BYTES_MAX;
use crate::{Config, Error, Index, NodeId, Term};

/// Everything that a node wants done, collected since the last time it was asked.
///
/// The order matters:
///
/// 1. Send `messages`. Nothing in them depends on this node's disk, so they may as well travel while
///    it works.
/// 2. Write `snapshot`, then `entries` (which replace whatever the log has from the first of them on),
///    and `hard_state`, in one step that a crash does not divide. If `must_sync`, make sure that it
///    is really on disk.
/// 3. Only then send `messages_after_persist`. They are promises that the written state keeps: this
///    Ready's and that of every earlier one, even if this one has nothing to write itself.
/// 4. Apply `snapshot`, then `committed_entries`, to the state machine.
/// 5. Report: [`RawNode::advance`] once all is done, or step by step with [`RawNode::on_persisted`]
///    and [`RawNode::on_applied`].
///
/// Readys are written in the order of their numbers. The next one may be taken before the last one
/// is written only if the node is configured with
/// [`async_persist`](crate::Config::async_persist).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ready {
    /// Counts up from 1.
    pub number: u64,
    /// Who leads, and what this node's role is, if that has changed. Not to be saved.
    pub soft_state: Option<SoftState>,
    /// Term, vote and commit index, if any of them has changed.
    pub hard_state: Option<HardState>,
    /// Entries to write.
    pub entries: Vec<Entry>,
    /// A snapshot that replaces the whole log and the state machine. What was handed out for applying
    /// before, and is not applied, is contained in it and must be forgotten, membership changes above
    /// all: the members of the snapshot count already.
    pub snapshot: Option<Snapshot>,
    /// Entries that are final, for the state machine, each once and in order.
    pub committed_entries: Vec<Entry>,
    /// What may be sent at once.
    pub messages: Vec<Message>,
    /// What may be sent once this Ready is on disk.
    pub messages_after_persist: Vec<Message>,
    /// Reads that may be answered once the state machine has applied their index.
    pub read_states: Vec<ReadState>,
    /// Whether others will rely on what is written here. A new commit index alone need not be
    /// synced: it would only be learnt again.
    pub must_sync: bool,
}

/// A read that was confirmed: a state machine which has applied `index` sees all that was committed
/// when the read was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadState {
    /// What must be applied first.
    pub index: Index,
    /// The context given to [`RawNode::read_index`].
    pub context: Bytes,
}

/// Proof that this node was the leader when it sent a numbered round of heartbeats.
///
/// A majority has answered the round, and each of them will not support another candidate for an
/// election timeout after it heard it. So nobody else can lead before that time has passed since the
/// round was sent; a driver that noted when it was sent may serve reads from its own state machine
/// until shortly before.
///
/// *Shortly before* is at least two ticks: a follower's first tick may come right after its promise, and
/// one that was late right before the next. And *its own state machine* may be behind those of its
/// followers. Where followers answer reads as well, or go on answering after they led, a read under a
/// lease must first wait until the leader has applied the commit index that it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The term it is valid in.
    pub term: Term,
    /// The latest round that a majority has answered; see [`RawNode::round`].
    pub round: u64,
}

/// What a Ready contained that will be reported by its number only.
#[derive(Debug)]
struct Handed {
    number: u64,
    /// The end of the log as written by it.
    last: Option<Position>,
    /// To which generation of the log's tail that belongs.
    generation: u64,
    /// The index of its snapshot.
    snapshot: Option<Index>,
    /// The term in which it made this node's vote for itself durable.
    vote_term: Option<Term>,
    /// What is applied once it is done.
    applying: Index,
}

/// A node of a group, driven by whoever owns it.
///
/// See the [crate's head](crate) for a driver's loop.
pub struct RawNode<S> {
    pub(crate) raft: Raft<S>,
    soft_state: SoftState,
    hard_state: HardState,
    /// The number of the last Ready.
    number: u64,
    /// Readys that are not reported as written.
    handed: VecDeque<Handed>,
}

impl<S: Storage> RawNode<S> {
    /// A node that goes on from the state in `storage`.
    pub fn new(config: Config, storage: S, logger: Logger) -> Result<Self> {
        let raft = Raft::new(config, storage, logger)?;
        Ok(RawNode {
            soft_state: SoftState::of(&raft),
            hard_state: raft.core.hard_state(),
            raft,
            number: 0,
            handed: VecDeque::new(),
        })
    }

    /// One unit of time has passed. A driver that was late drops the ticks that it missed.
    pub fn tick(&mut self) -> Result<()> {
        self.raft.tick()
    }

    /// Takes in a message from another node. Wishes that only this node's own user may have are
    /// refused, and so is what is not for this node, or pretends to come from it.
    pub fn step(&mut self, message: Message) -> Result<()> {
        let Message { from, to, ref body, .. } = message;
        let own = self.raft.id();
        if body.is_local() {
            return Err(Error::Malformed("a local message came from another node"));
        }
        if to != own {
            return Err(Error::Impossible { from, why: "it is for another node" });
        }
        // A wish may come back: a transfer names the heir as its sender, and one who passed a read on
        // may have become the leader meanwhile.
        if from == own && !body.is_wish() {
            return Err(Error::Impossible { from, why: "this node never sent it" });
        }
        self.raft.step(message)
    }

    /// Campaigns now.
    pub fn campaign(&mut self) -> Result<()> {
        self.wish(Body::Campaign)
    }

    /// Proposes a command for the state machine, and returns where it stands in the log. It is
    /// committed when an entry of that term comes out at that index; if one of another term does, it
    /// is lost.
    pub fn propose(&mut self, data: impl Into<Bytes>) -> Result<Position> {
        self.raft.propose(EntryType::EntryNormal, data.into())
    }

    /// Proposes to add or remove one member. A change that is neither, or of no member, is refused: it
    /// would be made as something else.
    pub fn propose_conf_change(&mut self, change: &ConfChange) -> Result<Position> {
        if change.node_id == 0 {
            return Err(Error::Malformed("a membership change of nobody"));
        }
        if ConfChangeType::try_from(change.change_type).is_err() {
            return Err(Error::Malformed("unknown kind of membership change"));
        }
        self.raft.propose(EntryType::EntryConfChange, change.encode_to_vec().into())
    }

    /// The state machine has applied this membership change. Must be called before the entry that
    /// carries it is reported as applied. Returns the members, to be saved with the state machine.
    ///
    /// Once a snapshot has arrived its members count, so a change that is still being applied from before
    /// it has no effect, and the members returned are the snapshot's.
    pub fn apply_conf_change(&mut self, change: &ConfChange) -> Result<ConfState> {
        self.raft.apply_conf_change(change)
    }

    /// Asks the leader to hand over to `heir`. Whether it did shows in the soft state.
    pub fn transfer_leader(&mut self, heir: NodeId) -> Result<()> {
        let to = self.raft.id();
        self.raft.step(Message { from: heir, to, term: 0, body: Body::TransferLeader })
    }

    /// Asks for an index at which a read is linearizable; it comes in [`Ready::read_states`]. If the
    /// leadership changes first it never comes, and must be asked for again. The context has at most
    /// [`CONTEXT_BYTES_MAX`] bytes.
    pub fn read_index(&mut self, context: impl Into<Bytes>) -> Result<()> {
        let context = context.into();
        if context.len() > CONTEXT_BYTES_MAX {
            return Err(Error::Malformed("a context that is too long"));
        }
        self.wish(Body::ReadIndex { context })
    }

    fn wish(&mut self, body: Body) -> Result<()> {
        let id = self.raft.id();
        self.raft.step(Message { from: id, to: id, term: 0, body })
    }

    /// The transport could not deliver a message to `id`.
    pub fn report_unreachable(&mut self, id: NodeId) {
        let own = self.raft.id();
        if let Role::Leader(leader) = &mut self.raft.role {
            leader.unreachable(own, id);
        }
    }

    /// The transport has delivered the snapshot to `id`, or has failed to.
    pub fn report_snapshot(&mut self, id: NodeId, delivered: bool) {
        let own = self.raft.id();
        if let Role::Leader(leader) = &mut self.raft.role {
            leader.snapshot_reported(own, id, delivered);
        }
    }

    /// Whether there is anything in the next Ready.
    pub fn has_ready(&self) -> bool {
        let core = &self.raft.core;
        let owes_messages = matches!(&self.raft.role, Role::Leader(leader) if leader.is_dirty());
        owes_messages
            || !core.outbox.is_empty()
            || !core.read_states.is_empty()
            || core.log.unstable.has_new()
            || core.log.has_next_entries()
            || core.hard_state() != self.hard_state
            || SoftState::of(&self.raft) != self.soft_state
    }

    /// Collects everything that is to be done. Each thing is handed out once.
    pub fn ready(&mut self) -> Result<Ready> {
        self.raft.flush()?;
        let (snapshot, entries) = self.raft.core.log.unstable.hand_out();
        let committed_entries = self.raft.hand_out_committed()?;
        let core = &mut self.raft.core;
        let messages_after_persist =
            core.outbox.extract_if(.., |message| message.body.waits_for_disk()).collect();
        let messages = std::mem::take(&mut core.outbox);
        let read_states = std::mem::take(&mut core.read_states);

        let hard_state = core.hard_state();
        let has_promised =
            hard_state.term != self.hard_state.term || hard_state.vote != self.hard_state.vote;
        let must_sync = has_promised || !entries.is_empty() || snapshot.is_some();
        let soft_state = SoftState::of(&self.raft);

        self.number += 1;
        let covered = snapshot.as_ref().map(Position::of_snapshot);
        let votes_for_itself = hard_state.vote == self.raft.id();
        self.handed.push_back(Handed {
            number: self.number,
            last: entries.last().map(Position::of),
            generation: self.raft.core.log.unstable.generation(),
            snapshot: covered.map(|covered| covered.index),
            vote_term: (has_promised && votes_for_itself).then_some(hard_state.term),
            applying: self.raft.core.log.applying().max(covered.map_or(0, |covered| covered.index)),
        });
        Ok(Ready {
            number: self.number,
            soft_state: changed(&mut self.soft_state, soft_state),
            hard_state: changed(&mut self.hard_state, hard_state),
            entries,
            snapshot,
            committed_entries,
            messages,
            messages_after_persist,
            read_states,
            must_sync,
        })
    }

    /// Everything in `ready` is done, and in all before it: written, sent and applied.
    pub fn advance(&mut self, ready: &Ready) -> Result<()> {
        let applying = self.report_persisted(ready.number)?;
        if let Some(index) = applying {
            self.on_applied(index);
        }
        Ok(())
    }

    /// The Ready of this number, and all before it, are on disk.
    pub fn on_persisted(&mut self, number: u64) -> Result<()> {
        self.report_persisted(number)?;
        Ok(())
    }

    fn report_persisted(&mut self, number: u64) -> Result<Option<Index>> {
        assert!(number <= self.number, "there was no Ready {number} to be written");
        let mut applying = None;
        while let Some(handed) = self.handed.pop_front_if(|handed| handed.number <= number) {
            applying = Some(handed.applying);
            let tail = &mut self.raft.core.log.unstable;
            if let Some(index) = handed.snapshot {
                tail.snapshot_stable(index);
            }
            if let Some(last) = handed.last {
                tail.stable_to(last, handed.generation);
            }
            self.raft.on_persisted(handed.vote_term)?;
        }
        Ok(applying)
    }

    /// The state machine has applied everything up to `index`, membership changes included.
    pub fn on_applied(&mut self, index: Index) {
        self.raft.on_applied(index);
    }

    /// The number of the latest round of heartbeats, which starts at zero in each term. A driver that
    /// serves reads under a lease notes when each round is sent, which is not later than the next
    /// call of `ready`; the time before the call that made the number grow is always right.
    pub fn round(&self) -> u64 {
        match &self.raft.role {
            Role::Leader(leader) => leader.round(),
            Role::Follower(_) | Role::Candidate(_) => 0,
        }
    }

    /// The lease that this node may hold now. It must be asked for again after each Ready and before
    /// its messages are sent: a message that hands over leadership ends it.
    pub fn lease(&self) -> Option<Lease> {
        match &self.raft.role {
            Role::Leader(leader) => {
                let round = leader.lease_round(&self.raft.core)?;
                Some(Lease { term: self.raft.core.term, round })
            }
            Role::Follower(_) | Role::Candidate(_) => None,
        }
    }

    /// A summary for people and tools.
    pub fn status(&self) -> Status {
        Status::of(&self.raft)
    }

    /// The node itself, to look at.
    pub fn raft(&self) -> &Raft<S> {
        &self.raft
    }

    /// The storage, to read.
    pub fn storage(&self) -> &S {
        &self.raft.core.log.storage
    }

    /// The storage, for its driver to write to.
    pub fn storage_mut(&mut self) -> &mut S {
        &mut self.raft.core.log.storage
    }

    /// Panics if an invariant does not hold.
    pub fn check_invariants(&self) {
        self.raft.check_invariants();
    }
}

/// Replaces `known` by `now`, and returns that if it is different.
fn changed<T: PartialEq + Clone>(known: &mut T, now: T) -> Option<T> {
    if *known == now {
        return None;
    }
    *known = now.clone();
    Some(now)
}
