//! What a node keeps whatever its role: its name, its group, its promises, its log, and what it
//! wants to say.

use proto::eraftpb::{ConfState, EntryType, HardState};
use runtime::{Rng, mark, mutant};
use slog::Logger;

use crate::error::{Result, StorageError};
use crate::log::RaftLog;
use crate::message::{Body, Message, Position};
use crate::raw_node::ReadState;
use crate::storage::Storage;
use crate::{Config, Error, Index, NodeId, Term};

/// The state that every role works on. Each role adds what only it needs, and takes it along when it
/// ends.
///
/// - C1: `term` never goes back, and `vote` changes at most once within a term.
/// - C2: `members` is sorted, without duplicates.
pub struct Core<S> {
    /// This node.
    pub(crate) id: NodeId,
    pub(crate) config: Config,
    /// The members of the group as of the last applied membership change.
    pub(crate) members: Vec<NodeId>,
    /// The latest term this node has heard of.
    pub(crate) term: Term,
    /// Whom it has promised this term to.
    pub(crate) vote: Option<NodeId>,
    pub(crate) log: RaftLog<S>,
    /// What it wants to say; collected by the next `Ready`.
    pub(crate) outbox: Vec<Message>,
    /// Reads of this node's own user that may be answered.
    pub(crate) read_states: Vec<ReadState>,
    /// For how many ticks it supports no candidate, not even itself, because of a promise to a leader
    /// that it no longer follows.
    wait_ticks: u32,
    rng: Rng,
    pub(crate) logger: Logger,
}

/// Why a node does not campaign although it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// It is not a member of the group, or has not heard yet that it is.
    NotMember,
    /// It has promised a leader not to, or may have before it restarted.
    Promised,
    /// It has a committed membership change that it has not applied, so it counts the wrong members.
    UnappliedChange,
}

impl<S: Storage> Core<S> {
    /// Takes up the state that `storage` was left in.
    pub(crate) fn new(config: Config, storage: S, logger: Logger) -> Result<Self> {
        config.validate()?;
        let (hard_state, conf_state) = storage.initial_state()?;
        let members = if config.peers.is_empty() { conf_state.nodes } else { config.peers.clone() };
        let HardState { term, vote, commit } = hard_state;
        let vote = (vote != 0 && !mutant::on(4)).then_some(vote);
        // A state machine may be ahead of the saved commit index, which is written without a sync.
        let committed = commit.max(config.applied).max(storage.first_index() - 1);
        if committed > storage.last_index() {
            return Err(Error::Malformed("the log on disk ends before what was committed"));
        }
        let rng = Rng::new(config.seed).fork("election timeout").fork(&config.id.to_string());
        let mut core = Core {
            id: config.id,
            members: Vec::new(),
            term,
            vote,
            log: RaftLog::new(storage, committed, &config),
            outbox: Vec::new(),
            read_states: Vec::new(),
            wait_ticks: if mutant::on(28) { 0 } else { config.restart_wait_ticks },
            rng,
            logger,
            config,
        };
        core.set_members(members);
        if core.members == [core.id] {
            // With no other member there is nobody whom a promise could have been made to. A node that
            // does not know its members may have made one all the same.
            core.wait_ticks = 0;
        }
        Ok(core)
    }

    /// Says `body` to the node `to`, in the present term.
    pub(crate) fn send(&mut self, to: NodeId, body: Body) {
        self.outbox.push(Message { from: self.id, to, term: self.term, body });
    }

    /// The present members, sorted.
    pub(crate) fn set_members(&mut self, mut members: Vec<NodeId>) {
        members.sort_unstable();
        members.dedup();
        self.members = members;
    }

    pub(crate) fn is_member(&self) -> bool {
        self.members.binary_search(&self.id).is_ok()
    }

    pub(crate) fn conf_state(&self) -> ConfState {
        ConfState { nodes: self.members.clone() }
    }

    /// All members but this one.
    pub(crate) fn others(&self) -> impl Iterator<Item = NodeId> + use<S> {
        let id = self.id;
        self.members.clone().into_iter().filter(move |member| *member != id)
    }

    /// What must not be forgotten.
    pub(crate) fn hard_state(&self) -> HardState {
        let vote = if mutant::on(2) { 0 } else { self.vote.unwrap_or(0) };
        HardState { term: self.term, vote, commit: self.log.committed }
    }

    /// How long to wait this time before campaigning: somewhere in `[n, 2n)` ticks.
    pub(crate) fn draw_timeout(&mut self) -> u32 {
        let election_ticks = self.config.election_ticks;
        let extra = self.rng.below(u64::from(election_ticks));
        election_ticks + u32::try_from(extra).expect("less than election_ticks")
    }

    pub(crate) fn tick(&mut self) {
        self.wait_ticks = self.wait_ticks.saturating_sub(1);
    }

    /// Supports no candidate for so many ticks.
    pub(crate) fn wait(&mut self, ticks: u32) {
        self.wait_ticks = self.wait_ticks.max(ticks);
    }

    /// Whether a promise to a leader that it no longer follows may still be running.
    pub(crate) fn is_waiting(&self) -> bool {
        self.wait_ticks > 0
    }

    /// Enters `term`, in which nothing is promised yet.
    pub(crate) fn enter_term(&mut self, term: Term) {
        assert!(term >= self.term, "C1: term {} does not go back to {term}", self.term);
        if term > self.term {
            self.term = term;
            self.vote = None;
        }
    }

    /// Decides a vote in the present term, answers it, and returns whether it was granted.
    ///
    /// It is granted to the first who asks, unless that candidate's log is behind: it might lack
    /// something committed (paper, section 5.4.1). And not once a leader is known, because then the
    /// election is over.
    pub(crate) fn vote(
        &mut self,
        candidate: NodeId,
        last: Position,
        leader: Option<NodeId>,
    ) -> Result<bool> {
        let is_free = match self.vote {
            Some(promised) => promised == candidate,
            None => leader.is_none(),
        };
        let granted = is_free && last >= self.log.last()?;
        if granted {
            self.vote = Some(candidate);
        } else if is_free {
            mark!("vote refused: the log is behind");
        }
        self.send(candidate, Body::VoteResponse { granted });
        Ok(granted)
    }

    /// Says whether this node would vote for `candidate` in the later term `term`. That promises
    /// nothing, so a yes may go to several.
    pub(crate) fn pre_vote(&mut self, candidate: NodeId, term: Term, last: Position) -> Result<()> {
        let granted = term > self.term && (mutant::on(6) || last >= self.log.last()?);
        // A yes speaks about the term asked for; a no tells a candidate that is behind about ours.
        let term = if granted { term } else { self.term };
        let body = Body::PreVoteResponse { granted };
        self.outbox.push(Message { from: self.id, to: candidate, term, body });
        Ok(())
    }

    /// Why this node must not campaign now, if it must not. `forced` means that the leader itself
    /// asked, having given up its lease.
    pub(crate) fn obstacle(&self, forced: bool) -> Result<Option<Obstacle>> {
        if !self.is_member() {
            return Ok(Some(Obstacle::NotMember));
        }
        if self.is_waiting() && !forced {
            return Ok(Some(Obstacle::Promised));
        }
        if !mutant::on(5) && self.has_unapplied_change()? {
            return Ok(Some(Obstacle::UnappliedChange));
        }
        Ok(None)
    }

    /// Whether a membership change is committed and not applied.
    fn has_unapplied_change(&self) -> Result<bool, StorageError> {
        let mut low = self.log.first_unapplied();
        while low <= self.log.committed {
            let high = self.log.committed + 1;
            let page = match self.log.entries_before(low, high, self.config.message_bytes_max) {
                // What was compacted too early can no longer be asked: there may have been one.
                Err(StorageError::Compacted) => return Ok(true),
                page => page?,
            };
            if page.iter().any(|entry| entry.entry_type() == EntryType::EntryConfChange) {
                return Ok(true);
            }
            low += page.len() as Index;
        }
        Ok(false)
    }

    pub(crate) fn check_invariants(&self) {
        assert!(self.members.is_sorted_by(|a, b| a < b), "C2: {:?}", self.members);
        self.log.check_invariants();
    }
}
