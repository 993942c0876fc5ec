//! The follower: keeps a copy of the leader's log, votes, and campaigns when it hears nobody.

use proto::eraftpb::{Entry, Snapshot};
use runtime::{mark, mutant};

use crate::core::Core;
use crate::error::Result;
use crate::message::{Body, Message, Position};
use crate::raft::{Campaign, Next};
use crate::raw_node::ReadState;
use crate::storage::Storage;
use crate::{Error, Index, NodeId};

/// The role in which nodes start, and in which all but one usually are.
#[derive(Debug)]
pub struct Follower {
    /// The leader of this term, once it has spoken.
    pub(crate) leader: Option<NodeId>,
    /// How long ago it spoke, or a vote was granted.
    silent_ticks: u32,
    /// How long it has waited to campaign: since then, or since campaigning was last not possible.
    waited_ticks: u32,
    /// After how many of these ticks to campaign.
    timeout: u32,
}

impl Follower {
    pub(crate) fn new(leader: Option<NodeId>, timeout: u32) -> Self {
        Follower { leader, silent_ticks: 0, waited_ticks: 0, timeout }
    }

    /// Time passes without a word from the leader.
    pub(crate) fn tick(&mut self) -> Next {
        // A node that nobody talks to for years must not take the overflow for a word just heard.
        self.silent_ticks = self.silent_ticks.saturating_add(1);
        self.waited_ticks += 1;
        if self.waited_ticks >= self.timeout {
            Next::Campaign(Campaign::Timeout)
        } else {
            Next::Stay
        }
    }

    /// Waits again, because campaigning was not possible.
    pub(crate) fn wait_again(&mut self, timeout: u32) {
        self.waited_ticks = 0;
        self.timeout = timeout;
    }

    /// Enters a later term in which it has heard nobody yet. Its patience is what it was: otherwise a
    /// candidate that cannot win, by campaigning again and again, would keep away one that can.
    pub(crate) fn go_on_waiting(&mut self, before: &Follower) {
        self.waited_ticks = before.waited_ticks;
        self.timeout = before.timeout;
    }

    /// For how many ticks it has promised its leader not to help anybody else.
    pub(crate) fn promised_ticks(&self, election_ticks: u32) -> u32 {
        if self.leader.is_some() { election_ticks.saturating_sub(self.silent_ticks) } else { 0 }
    }

    /// Reacts to a message of the present term.
    pub(crate) fn step(&mut self, core: &mut Core<impl Storage>, message: Message) -> Result<Next> {
        let Message { from, term, body, .. } = message;
        match body {
            // The leader speaks, which also shows who it is.
            Body::Append { base, entries, commit } => {
                self.hear(from);
                append(core, from, base, entries, commit)?;
            }
            Body::Heartbeat { commit, round } => {
                self.hear(from);
                heartbeat(core, from, commit, round);
            }
            Body::Snapshot { snapshot } => {
                self.hear(from);
                restore(core, from, *snapshot)?;
            }
            // The leader wants this node to take over. It has the whole log, so it asks for no
            // pre-vote; whether it may campaign is checked as always.
            Body::TimeoutNow => return Ok(Next::Campaign(Campaign::Transfer)),

            // A candidate asks. After a granted vote give it time to win.
            Body::RequestVote { last, .. } => {
                if core.vote(from, last, self.leader)? {
                    self.wait_from_now();
                }
            }
            Body::RequestPreVote { last } => core.pre_vote(from, term, last)?,

            // Wishes that only a leader can fulfil. The ones bound to no node are passed on; a
            // proposal is refused, so that exactly one node knows what became of it.
            Body::Propose { .. } => return Err(Error::NotLeader { leader: self.leader }),
            body @ (Body::TransferLeader | Body::ReadIndex { .. }) => {
                let Some(leader) = self.leader else {
                    return Err(Error::NotLeader { leader: None });
                };
                core.outbox.push(Message { from, to: leader, term: 0, body });
            }
            Body::ReadIndexResponse { index, context } => {
                core.read_states.push(ReadState { index, context });
            }
            Body::Campaign => return Ok(Next::Campaign(Campaign::Timeout)),

            // Wishes to a leader that it is not, and answers to a candidate or leader that it no
            // longer is.
            Body::Beat
            | Body::AppendAccept { .. }
            | Body::AppendRefuse { .. }
            | Body::HeartbeatResponse { .. }
            | Body::VoteResponse { .. }
            | Body::PreVoteResponse { .. } => {}
        }
        Ok(Next::Stay)
    }

    fn hear(&mut self, leader: NodeId) {
        self.leader = Some(leader);
        self.wait_from_now();
    }

    fn wait_from_now(&mut self) {
        self.silent_ticks = 0;
        self.waited_ticks = 0;
    }
}

/// Makes the log equal to the leader's, as far as this message shows it (paper, section 5.3).
pub(crate) fn append(
    core: &mut Core<impl Storage>,
    leader: NodeId,
    base: Position,
    entries: Vec<Entry>,
    commit: Index,
) -> Result<()> {
    if core.members.is_empty() {
        // The log does not say who founded the group; a node that knew only the changes would count
        // the wrong members. Refusing even the beginning asks for a snapshot, which says it.
        mark!("append before the members are known");
        core.send(leader, Body::AppendRefuse { base_index: base.index, hint: Position::default() });
        return Ok(());
    }
    if base.index < core.log.committed {
        // The message is old. What is committed is the same in every log, so the answer is more
        // than what was asked.
        mark!("append before the commit index");
        let match_index = core.log.committed;
        core.send(leader, Body::AppendAccept { match_index });
        return Ok(());
    }
    if let Some(match_index) = core.log.try_append(base, entries)? {
        // Only what this message vouches for: further entries may be an old leader's.
        core.log.commit_to(commit.min(match_index));
        core.send(leader, Body::AppendAccept { match_index });
    } else {
        let hint = core.log.last_position_with_term_at_most(base.index, base.term)?;
        core.send(leader, Body::AppendRefuse { base_index: base.index, hint });
    }
    Ok(())
}

fn heartbeat(core: &mut Core<impl Storage>, leader: NodeId, commit: Index, round: u64) {
    if commit <= core.log.last_index() {
        core.log.commit_to(commit);
    } else {
        // It believes that we acknowledged more than we have: this node lost its disk, or
        // somebody used its id. Nothing of ours may be committed on that ground.
        mark!("heartbeat commits more than the log holds");
    }
    core.send(leader, Body::HeartbeatResponse { round });
}

/// Replaces log and state by the leader's snapshot, if that is progress (paper, section 7).
pub(crate) fn restore(
    core: &mut Core<impl Storage>,
    leader: NodeId,
    snapshot: Snapshot,
) -> Result<()> {
    let covered = Position::of_snapshot(&snapshot);
    let nodes = snapshot.metadata.as_ref().and_then(|metadata| metadata.conf_state.as_ref());
    let nodes = nodes.map(|conf_state| conf_state.nodes.clone()).unwrap_or_default();
    if covered.index <= core.log.committed && !mutant::on(7) {
        mark!("snapshot older than the commit index");
    } else if core.log.matches(covered)? {
        // The log has all that already, and perhaps more, which must not be dropped.
        mark!("snapshot of what the log holds");
        core.log.commit_to(covered.index);
    } else if !nodes.contains(&core.id) {
        // It is from before this node was added; a later one will follow.
        mark!("snapshot without this node");
    } else {
        slog::info!(core.logger, "restoring a snapshot"; "index" => covered.index);
        core.log.restore(snapshot);
        core.set_members(nodes);
    }
    let match_index = core.log.committed;
    core.send(leader, Body::AppendAccept { match_index });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_does_not_wrap_around_into_a_promise() {
        let mut follower = Follower::new(Some(2), 10);
        follower.silent_ticks = u32::MAX;
        follower.tick();
        assert_eq!(follower.promised_ticks(10), 0);
    }
}
