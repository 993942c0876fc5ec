//! The candidate: asks for votes, and counts them.

use crate::core::Core;
use crate::error::Result;
use crate::message::{Body, Message};
use crate::quorum::{self, Tally};
use crate::raft::{Campaign, Next};
use crate::storage::Storage;
use crate::{Error, NodeId};

/// The role in which a node tries to become leader.
#[derive(Debug)]
pub struct Candidate {
    /// What it asks for.
    pub(crate) stage: Stage,
    /// The answers so far, at most one for each member.
    pub(crate) votes: Vec<(NodeId, bool)>,
    elapsed_ticks: u32,
    /// After how many ticks to give this election up and start the next.
    timeout: u32,
}

/// The two steps of a campaign, of which the first one is optional.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Asking whether an election could be won, still in the old term.
    PreVote,
    /// The election itself.
    Vote,
}

impl Candidate {
    pub(crate) fn new(stage: Stage, timeout: u32) -> Self {
        Candidate { stage, votes: Vec::new(), elapsed_ticks: 0, timeout }
    }

    pub(crate) fn tick(&mut self) -> Next {
        self.elapsed_ticks += 1;
        if self.elapsed_ticks >= self.timeout {
            Next::Campaign(Campaign::Timeout)
        } else {
            Next::Stay
        }
    }

    /// Waits again, because campaigning was not possible.
    pub(crate) fn wait_again(&mut self, timeout: u32) {
        self.elapsed_ticks = 0;
        self.timeout = timeout;
    }

    /// Records an answer. A second one from the same node changes nothing: it is a duplicate.
    pub(crate) fn record(&mut self, voter: NodeId, granted: bool) {
        if !self.votes.iter().any(|(known, _)| *known == voter) {
            self.votes.push((voter, granted));
        }
    }

    /// Counts the answers of the members.
    pub(crate) fn tally(&self, core: &Core<impl Storage>) -> Next {
        let members = &core.members;
        let count = |wanted: bool| {
            let matching = self.votes.iter().filter(|(voter, granted)| {
                *granted == wanted && members.binary_search(voter).is_ok()
            });
            matching.count()
        };
        match (quorum::tally(members.len(), count(true), count(false)), self.stage) {
            (Tally::Won, Stage::PreVote) => Next::Campaign(Campaign::Election),
            (Tally::Won, Stage::Vote) => Next::Lead,
            // Somebody else's log is ahead, or the group has a leader: leave it to them.
            (Tally::Lost, _) => Next::Follow { term: core.term, leader: None },
            (Tally::Open, _) => Next::Stay,
        }
    }

    /// Reacts to a message of the present term.
    pub(crate) fn step(&mut self, core: &mut Core<impl Storage>, message: Message) -> Result<Next> {
        let Message { from, term, body, .. } = message;
        match body {
            Body::VoteResponse { granted } if self.stage == Stage::Vote => {
                self.record(from, granted);
                return Ok(self.tally(core));
            }
            // A yes speaks about the term that was asked for, which is the next one.
            Body::PreVoteResponse { granted } if self.stage == Stage::PreVote => {
                if granted == (term == core.term + 1) {
                    self.record(from, granted);
                }
                return Ok(self.tally(core));
            }
            // Somebody else was elected in this term. `Raft::step` sees to it before it comes here.
            Body::Append { .. } | Body::Heartbeat { .. } | Body::Snapshot { .. } => {
                unreachable!("a candidate follows the leader of its term before it listens")
            }

            // In an election its vote is its own. Before one, it can still vote for others.
            Body::RequestVote { last, .. } => {
                if core.vote(from, last, None)? {
                    return Ok(Next::Follow { term: core.term, leader: None });
                }
            }
            Body::RequestPreVote { last } => core.pre_vote(from, term, last)?,

            // There is no leader to do it.
            Body::Propose { .. } | Body::TransferLeader | Body::ReadIndex { .. } => {
                return Err(Error::NotLeader { leader: None });
            }
            Body::Campaign => return Ok(Next::Campaign(Campaign::Timeout)),
            // The leader that this candidate gave up wants it to take over.
            Body::TimeoutNow => return Ok(Next::Campaign(Campaign::Transfer)),

            // Answers to the other stage, which is over; wishes to a leader that it is not, and
            // answers to one that it no longer is.
            Body::VoteResponse { .. }
            | Body::PreVoteResponse { .. }
            | Body::Beat
            | Body::AppendAccept { .. }
            | Body::AppendRefuse { .. }
            | Body::HeartbeatResponse { .. }
            | Body::ReadIndexResponse { .. } => {}
        }
        Ok(Next::Stay)
    }
}
