//! A node in one line, for scripts, tools and dashboards.

use std::fmt;

use crate::progress::ProgressState;
use crate::raft::{Raft, Role};
use crate::storage::Storage;
use crate::{Index, NodeId, Term};

/// The name of a role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StateRole {
    /// Copies a leader's log.
    #[default]
    Follower,
    /// Wants to be leader, or asks whether it could be.
    Candidate,
    /// Leads.
    Leader,
}

/// What the world wants to know about a node, and what need not be saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SoftState {
    /// Who leads, as far as the node knows.
    pub leader: Option<NodeId>,
    /// The node's own role.
    pub role: StateRole,
}

impl SoftState {
    pub(crate) fn of<S: Storage>(raft: &Raft<S>) -> Self {
        let role = match raft.role() {
            Role::Follower(_) => StateRole::Follower,
            Role::Candidate(_) => StateRole::Candidate,
            Role::Leader(_) => StateRole::Leader,
        };
        SoftState { leader: raft.leader(), role }
    }
}

/// A summary of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// The node.
    pub id: NodeId,
    /// Its term.
    pub term: Term,
    /// Whom it votes for in this term.
    pub vote: Option<NodeId>,
    /// Its role, and the leader it knows.
    pub soft_state: SoftState,
    /// The members it knows.
    pub members: Vec<NodeId>,
    /// The oldest entry in its log.
    pub first_index: Index,
    /// The newest entry in its log.
    pub last_index: Index,
    /// The last index that it knows to be committed.
    pub committed: Index,
    /// The last index that its state machine has applied.
    pub applied: Index,
    /// What a leader knows about the others.
    pub followers: Vec<FollowerStatus>,
}

/// What a leader knows about a follower.
#[derive(Clone, Debug, PartialEq)]
pub struct FollowerStatus {
    /// The follower.
    pub id: NodeId,
    /// Its log equals the leader's up to here.
    pub match_index: Index,
    /// The next entry to send it.
    pub next_index: Index,
    /// What may be sent to it.
    pub state: ProgressState,
    /// How long nothing was heard of it, since the leader was elected or it became a member.
    pub silent_ticks: u32,
}

impl Status {
    pub(crate) fn of<S: Storage>(raft: &Raft<S>) -> Self {
        let followers = match raft.role() {
            Role::Leader(leader) => leader.progress.as_slice(),
            Role::Follower(_) | Role::Candidate(_) => &[],
        };
        let others = followers.iter().filter(|progress| progress.id != raft.id());
        Status {
            id: raft.id(),
            term: raft.term(),
            vote: raft.core.vote,
            soft_state: SoftState::of(raft),
            members: raft.members().to_vec(),
            first_index: raft.log().first_index(),
            last_index: raft.log().last_index(),
            committed: raft.log().committed(),
            applied: raft.log().applied(),
            followers: others
                .map(|progress| FollowerStatus {
                    id: progress.id,
                    match_index: progress.match_index,
                    next_index: progress.next_index,
                    state: progress.state.clone(),
                    silent_ticks: progress.silent_ticks,
                })
                .collect(),
        }
    }
}

/// Written as `1 leader t2 log=1..5 commit=4 applied=4 | 2 replicate match=5 next=6 | ...`.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match self.soft_state.role {
            StateRole::Follower => "follower",
            StateRole::Candidate => "candidate",
            StateRole::Leader => "leader",
        };
        write!(f, "{} {role} t{}", self.id, self.term)?;
        if let (Some(leader), StateRole::Follower) = (self.soft_state.leader, self.soft_state.role)
        {
            write!(f, " of {leader}")?;
        }
        let Status { first_index, last_index, committed, applied, .. } = self;
        write!(f, " log={first_index}..{last_index} commit={committed} applied={applied}")?;
        for follower in &self.followers {
            write!(f, " | {follower}")?;
        }
        Ok(())
    }
}

impl fmt::Display for FollowerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FollowerStatus { id, match_index, next_index, state, silent_ticks: _ } = self;
        match state {
            ProgressState::Probe { is_waiting: false } => write!(f, "{id} probe")?,
            ProgressState::Probe { is_waiting: true } => write!(f, "{id} probe waiting")?,
            ProgressState::Replicate { window } if window.is_empty() => {
                write!(f, "{id} replicate")?;
            }
            ProgressState::Replicate { window } => {
                write!(f, "{id} replicate inflight={}", window.len())?;
            }
            ProgressState::Snapshot { index, .. } => write!(f, "{id} snapshot={index}")?,
        }
        write!(f, " match={match_index} next={next_index}")
    }
}
