//! One node of a group: the rules that hold in every role, and the one place where roles change.

use bytes::Bytes;
use proto::eraftpb::{ConfChange, ConfChangeType, ConfState, Entry, EntryType};
use runtime::mark;
use slog::{Logger, debug, info};

use crate::candidate::{Candidate, Stage};
use crate::core::Core;
use crate::error::Result;
use crate::follower::Follower;
use crate::leader::Leader;
use crate::log::RaftLog;
use crate::message::{Body, Message, Position};
use crate::storage::Storage;
use crate::{Config, Error, Index, NodeId, Term};

/// A node: what it keeps in every role, and the role it has.
///
/// Everything it does is the consequence of a call: a message ([`step`](Raft::step)), the passing of
/// time ([`tick`](Raft::tick)), a proposal, or a report that something was written or applied. Its
/// own wishes collect in the core until [`RawNode`](crate::RawNode) makes a `Ready` of them.
///
/// - R1: a candidate, and a leader, is a member that voted for itself.
/// - R2: a pre-candidate, as long as it asks, holds no new promise.
pub struct Raft<S> {
    pub(crate) core: Core<S>,
    pub(crate) role: Role,
}

/// The role of a node. State that only one role has lives in it, and dies with it.
#[derive(Debug)]
pub enum Role {
    /// Copies a leader's log.
    Follower(Follower),
    /// Wants to be leader.
    Candidate(Candidate),
    /// Owns the term.
    Leader(Leader),
}

/// What a role wants to happen next. Only [`Raft::go`] changes roles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Next {
    /// Nothing.
    Stay,
    /// Become a follower in this term, of this leader if one is known.
    Follow { term: Term, leader: Option<NodeId> },
    /// Try to become leader.
    Campaign(Campaign),
    /// Become leader: the election is won.
    Lead,
}

/// Why a node campaigns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Campaign {
    /// It heard from no leader for too long, or its user wishes it.
    Timeout,
    /// It asked, and a majority would vote for it.
    Election,
    /// The leader itself wants it to take over.
    Transfer,
}

impl<S: Storage> Raft<S> {
    /// A follower that takes up the state in `storage`.
    pub fn new(config: Config, storage: S, logger: Logger) -> Result<Self> {
        let mut core = Core::new(config, storage, logger)?;
        let role = Role::Follower(Follower::new(None, core.draw_timeout()));
        Ok(Raft { core, role })
    }

    /// Takes in a message, from another node or from this one's own user.
    ///
    /// An error means that the message had no effect, apart from the term that it may have shown.
    pub fn step(&mut self, message: Message) -> Result<()> {
        if !message.body.is_wish() && !self.settle_term(&message)? {
            return Ok(());
        }
        let core = &mut self.core;
        let next = match &mut self.role {
            Role::Follower(follower) => follower.step(core, message)?,
            Role::Candidate(candidate) => candidate.step(core, message)?,
            Role::Leader(leader) => leader.step(core, message)?,
        };
        self.go(next)
    }

    /// One unit of time has passed.
    pub fn tick(&mut self) -> Result<()> {
        self.core.tick();
        let next = match &mut self.role {
            Role::Follower(follower) => follower.tick(),
            Role::Candidate(candidate) => candidate.tick(),
            Role::Leader(leader) => leader.tick(&mut self.core),
        };
        self.go(next)
    }

    /// The rules about terms, which are the same in every role (paper, section 5.1). Returns whether
    /// the message is for the present term, and so for the role.
    fn settle_term(&mut self, message: &Message) -> Result<bool> {
        let Message { from, term, body, .. } = message;
        if *term < self.core.term {
            self.answer_the_past(message)?;
            return Ok(false);
        }
        if self.is_promised_against(body) {
            mark!("candidate ignored: a leader is there");
            return Ok(false);
        }
        if *term > self.core.term {
            // Pre-votes talk about a term that need never be.
            let is_hypothetical = matches!(
                body,
                Body::RequestPreVote { .. } | Body::PreVoteResponse { granted: true }
            );
            if !is_hypothetical {
                self.become_follower(*term, body.is_from_leader().then_some(*from));
            }
        } else if body.is_from_leader() && matches!(self.role, Role::Candidate(_)) {
            // Another candidate has won this term.
            self.become_follower(*term, Some(*from));
        }
        Ok(true)
    }

    /// A message from an earlier term has no effect, but its sender should learn that time has moved
    /// on: a leader that was cut off would never notice if nobody answered.
    fn answer_the_past(&mut self, message: &Message) -> Result<()> {
        let Message { from, term, body, .. } = message;
        if body.is_from_leader() {
            let body = Body::AppendRefuse { base_index: 0, hint: Position::default() };
            self.core.send(*from, body);
        } else if let Body::RequestVote { .. } = body {
            self.core.send(*from, Body::VoteResponse { granted: false });
        } else if let Body::RequestPreVote { last } = body {
            self.core.pre_vote(*from, *term, *last)?;
        } else {
            mark!("message of an earlier term");
        }
        Ok(())
    }

    /// Whether this is a candidate whom this node has promised its leader not to support yet. The
    /// leader's lease stands on that promise; a candidate that the leader itself called is exempt. A
    /// pre-vote is also denied without check-quorum: what it asks is whether the leader is gone.
    fn is_promised_against(&self, body: &Body) -> bool {
        let is_vote = matches!(body, Body::RequestVote { force: false, .. });
        let is_pre_vote = matches!(body, Body::RequestPreVote { .. });
        let heeds_leader = is_pre_vote || (is_vote && self.core.config.check_quorum);
        ((is_vote || is_pre_vote) && self.core.is_waiting())
            || (heeds_leader && self.hears_leader())
    }

    fn hears_leader(&self) -> bool {
        self.is_leader() || self.promised_ticks() > 0
    }

    /// For how long this node has promised its leader not to support anybody else.
    fn promised_ticks(&self) -> u32 {
        match &self.role {
            Role::Follower(follower) => follower.promised_ticks(self.core.config.election_ticks),
            Role::Candidate(_) | Role::Leader(_) => 0,
        }
    }

    /// The one place where a node changes its role.
    fn go(&mut self, next: Next) -> Result<()> {
        match next {
            Next::Stay => {}
            Next::Follow { term, leader } => self.become_follower(term, leader),
            Next::Campaign(reason) => self.campaign(reason)?,
            Next::Lead => self.become_leader(),
        }
        #[cfg(test)]
        self.check_invariants();
        Ok(())
    }

    /// Becomes a follower in `term`, of `leader` if it is known.
    pub fn become_follower(&mut self, term: Term, leader: Option<NodeId>) {
        if !matches!(self.role, Role::Follower(_)) || term > self.core.term {
            debug!(self.core.logger, "following"; "term" => term, "leader" => leader);
        }
        // A later term that is only heard of does not release from a promise: the leader may not have
        // heard of it, and still counts on the promise.
        if leader.is_none() && self.core.config.check_quorum {
            self.core.wait(self.promised_ticks());
        }
        self.core.enter_term(term);
        let mut next = Follower::new(leader, self.core.draw_timeout());
        if let (Role::Follower(follower), None) = (&self.role, leader) {
            next.go_on_waiting(follower);
        }
        self.role = Role::Follower(next);
    }

    /// Becomes a candidate in the next term and votes for itself. Asking the others is left to the
    /// campaign.
    pub fn become_candidate(&mut self) {
        self.core.enter_term(self.core.term + 1);
        self.core.vote = Some(self.core.id);
        let mut candidate = Candidate::new(Stage::Vote, self.core.draw_timeout());
        if !self.core.config.async_persist {
            candidate.record(self.core.id, true);
        }
        info!(self.core.logger, "campaigning"; "term" => self.core.term);
        self.role = Role::Candidate(candidate);
    }

    /// Becomes a candidate that first asks whether it would win. A wish is no promise, so its own
    /// answer counts at once.
    fn become_pre_candidate(&mut self) {
        let mut candidate = Candidate::new(Stage::PreVote, self.core.draw_timeout());
        candidate.record(self.core.id, true);
        debug!(self.core.logger, "asking for pre-votes"; "term" => self.core.term);
        self.role = Role::Candidate(candidate);
    }

    /// Becomes the leader of the present term.
    pub fn become_leader(&mut self) {
        assert!(
            matches!(&self.role, Role::Candidate(candidate) if candidate.stage == Stage::Vote),
            "R1: only a candidate becomes leader, not {:?}",
            self.role
        );
        info!(self.core.logger, "leading"; "term" => self.core.term);
        let mut leader = Leader::new(&self.core);
        leader.open_term(&mut self.core);
        self.role = Role::Leader(leader);
    }

    /// Campaigns, unless something speaks against it (paper, section 5.2).
    fn campaign(&mut self, reason: Campaign) -> Result<()> {
        let forced = reason == Campaign::Transfer;
        if self.core.config.check_quorum && !forced {
            self.core.wait(self.promised_ticks());
        }
        if let Some(obstacle) = self.core.obstacle(forced)? {
            mark!("campaign refused");
            debug!(self.core.logger, "not campaigning"; "reason" => format!("{obstacle:?}"));
            self.wait_again();
            return Ok(());
        }
        let last = self.core.log.last()?;
        if self.core.config.pre_vote && reason == Campaign::Timeout {
            self.become_pre_candidate();
            self.plead(self.core.term + 1, &Body::RequestPreVote { last });
        } else {
            self.become_candidate();
            // Where nobody makes promises there is none to override.
            let config = &self.core.config;
            let has_promises = config.check_quorum || config.restart_wait_ticks > 0;
            let force = forced && has_promises;
            self.plead(self.core.term, &Body::RequestVote { last, force });
        }
        // A group of one needs nobody else.
        self.tally()
    }

    fn plead(&mut self, term: Term, body: &Body) {
        for to in self.core.others() {
            self.core.outbox.push(Message { from: self.core.id, to, term, body: body.clone() });
        }
    }

    fn tally(&mut self) -> Result<()> {
        match &self.role {
            Role::Candidate(candidate) => {
                let next = candidate.tally(&self.core);
                self.go(next)
            }
            Role::Follower(_) | Role::Leader(_) => Ok(()),
        }
    }

    fn wait_again(&mut self) {
        let timeout = self.core.draw_timeout();
        match &mut self.role {
            Role::Follower(follower) => follower.wait_again(timeout),
            Role::Candidate(candidate) => candidate.wait_again(timeout),
            Role::Leader(_) => {}
        }
    }

    /// Appends a proposal if this node leads, and returns where. It is committed if and when an entry
    /// of that term comes out at that index.
    pub fn propose(&mut self, entry_type: EntryType, data: Bytes) -> Result<Position> {
        match &mut self.role {
            Role::Leader(leader) => leader.propose(&mut self.core, entry_type, data),
            Role::Follower(follower) => Err(Error::NotLeader { leader: follower.leader }),
            Role::Candidate(_) => Err(Error::NotLeader { leader: None }),
        }
    }

    /// The state machine has applied a membership change: from now on the new members count. Returns
    /// them, to be saved with the state machine.
    pub fn apply_conf_change(&mut self, change: &ConfChange) -> Result<ConfState> {
        if self.core.log.is_being_replaced() {
            // The state machine is still at work on what came before a snapshot, whose members count
            // already. Making the change again would bring back who has left since.
            return Ok(self.core.conf_state());
        }
        let mut members = self.core.members.clone();
        match change.change_type() {
            ConfChangeType::AddNode => members.push(change.node_id),
            ConfChangeType::RemoveNode => members.retain(|member| *member != change.node_id),
        }
        self.core.set_members(members);
        if let Role::Leader(leader) = &mut self.role {
            leader.change_members(&mut self.core, change);
            if !self.core.is_member() {
                // It led the group up to here; its last word is that it is out.
                mark!("leader removed");
                leader.flush(&mut self.core)?;
                self.become_follower(self.core.term, None);
            }
        }
        Ok(self.core.conf_state())
    }

    /// What the log's tail was told, and the vote in `vote_term` if it is given, are on disk.
    pub(crate) fn on_persisted(&mut self, vote_term: Option<Term>) -> Result<()> {
        if !self.core.config.async_persist {
            return Ok(());
        }
        match &mut self.role {
            Role::Candidate(candidate) if vote_term == Some(self.core.term) => {
                candidate.record(self.core.id, true);
                self.tally()
            }
            Role::Leader(leader) => {
                leader.persisted(&mut self.core);
                Ok(())
            }
            Role::Follower(_) | Role::Candidate(_) => Ok(()),
        }
    }

    /// The state machine has applied everything up to `index`.
    pub(crate) fn on_applied(&mut self, index: Index) {
        self.core.log.applied_to(index);
        if !matches!(self.role, Role::Leader(_)) {
            // Nobody asks a follower for entries. A leader keeps them for the others for a while.
            self.core.log.unstable.evict(self.core.log.applied);
        }
    }

    /// The next committed entries for the state machine.
    pub(crate) fn hand_out_committed(&mut self) -> Result<Vec<Entry>> {
        let entries = self.core.log.hand_out_committed()?;
        if let Role::Leader(leader) = &mut self.role {
            leader.handed_out(&entries);
        }
        Ok(entries)
    }

    /// What the node wants to say, in tests that have no use for a whole `Ready`.
    #[cfg(test)]
    pub(crate) fn take_messages(&mut self) -> Vec<Message> {
        self.flush().expect("the storage in memory does not fail");
        std::mem::take(&mut self.core.outbox)
    }

    /// Makes the messages that were put off so that many steps share them.
    pub(crate) fn flush(&mut self) -> Result<()> {
        match &mut self.role {
            Role::Leader(leader) => leader.flush(&mut self.core),
            Role::Follower(_) | Role::Candidate(_) => Ok(()),
        }
    }

    /// The number of this node.
    pub fn id(&self) -> NodeId {
        self.core.id
    }

    /// The present term.
    pub fn term(&self) -> Term {
        self.core.term
    }

    /// The role.
    pub fn role(&self) -> &Role {
        &self.role
    }

    /// The members as of the last applied change, sorted.
    pub fn members(&self) -> &[NodeId] {
        &self.core.members
    }

    /// The log.
    pub fn log(&self) -> &RaftLog<S> {
        &self.core.log
    }

    /// The leader of the present term, if this node knows one.
    pub fn leader(&self) -> Option<NodeId> {
        match &self.role {
            Role::Follower(follower) => follower.leader,
            Role::Candidate(_) => None,
            Role::Leader(_) => Some(self.core.id),
        }
    }

    /// Whether this node leads, as far as it knows.
    pub fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    /// Panics if an invariant does not hold. Cheap enough for tests and simulations to call after
    /// each step.
    pub fn check_invariants(&self) {
        self.core.check_invariants();
        let votes_for_itself = self.core.vote == Some(self.core.id);
        match &self.role {
            Role::Follower(_) => {}
            Role::Candidate(candidate) => match candidate.stage {
                Stage::Vote => assert!(votes_for_itself, "R1: a candidate's vote is its own"),
                Stage::PreVote => assert!(
                    candidate.votes.iter().any(|(voter, _)| *voter == self.core.id),
                    "R2: a pre-candidate would vote for itself"
                ),
            },
            Role::Leader(leader) => {
                assert!(votes_for_itself, "R1: a leader's vote is its own");
                leader.check_invariants(&self.core);
            }
        }
    }
}
