//! What nodes say to each other.
//!
//! On the wire a message is one flat record of which each kind uses a few fields (see [`wire`]). In
//! here it is an enum, so that a kind has exactly the fields that mean something.
//!
//! [`wire`]: crate::wire

use std::fmt;

use bytes::Bytes;
use proto::eraftpb::{ConfChange, Entry, EntryType, Snapshot};
use runtime::mutant;

/// The number of a node, unique in its group and never used twice. Zero is nobody.
pub type NodeId = u64;

/// A period with at most one leader. Terms only grow; zero is before the first election.
pub type Term = u64;

/// A place in the log. The first entry has index 1; zero is before it.
pub type Index = u64;

/// A place in the log together with the term of the entry there.
///
/// By the Log Matching Property (paper, section 5.3) this pair names not just one entry but the
/// whole log up to it: two logs that agree on a position agree on everything before. The order of
/// positions is the paper's *more up-to-date* (section 5.4.1): the later term wins, and within a
/// term the longer log. That is why `term` comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The term of the entry at `index`.
    pub term: Term,
    /// Where the entry stands.
    pub index: Index,
}

impl Position {
    /// The position of `entry`.
    pub fn of(entry: &Entry) -> Self {
        Position { term: entry.term, index: entry.index }
    }

    /// The last position that `snapshot` covers; zero for a snapshot of nothing.
    pub fn of_snapshot(snapshot: &Snapshot) -> Self {
        let metadata = snapshot.metadata.as_ref();
        metadata.map_or(Position::default(), |m| Position { term: m.term, index: m.index })
    }
}

/// A message on its way from one node to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who sent it. In [`Body::TransferLeader`] it names the heir instead.
    pub from: NodeId,
    /// Whom it is for.
    pub to: NodeId,
    /// The sender's term. Zero in messages that are wishes and not bound to a term (see
    /// [`Body::is_wish`]). A pre-vote speaks of the term after the sender's.
    pub term: Term,
    /// What it says.
    pub body: Body,
}

/// What a message says. *Wishes* come from the node's own user, *questions* from candidates and
/// leaders, *answers* go back to them.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Wish: become a candidate now instead of at the election timeout. Never travels.
    Campaign,
    /// Wish to a leader: send heartbeats now instead of at the next interval. Never travels.
    Beat,
    /// Wish to a leader: append these to the log. Never travels.
    Propose {
        /// What to append; index and term are filled in by the leader.
        entries: Vec<Entry>,
    },
    /// Wish to a leader: hand over to the node named by `from`. A follower passes it on.
    TransferLeader,
    /// Wish to a leader: tell me an index such that a state machine which has applied it answers
    /// reads with everything that was committed when I asked. A follower passes it on.
    ReadIndex {
        /// Chosen by whoever asks, to recognise the answer.
        context: Bytes,
    },

    /// From a would-be candidate to everybody: would you vote for me in `term`, which is one above
    /// mine? Raises nobody's term. Sent at the election timeout when pre-vote is on.
    RequestPreVote {
        /// The end of the candidate's log.
        last: Position,
    },
    /// The answer. A yes carries the term that was asked for, a no the voter's own.
    PreVoteResponse {
        /// The voter's log is not ahead, and it hears no leader.
        granted: bool,
    },
    /// From a candidate to everybody: vote for me in `term`.
    RequestVote {
        /// The end of the candidate's log.
        last: Position,
        /// The leader itself asked for this election, so do not refuse because you still hear it.
        force: bool,
    },
    /// The answer.
    VoteResponse {
        /// The voter has promised this term to the candidate.
        granted: bool,
    },

    /// From a leader to a follower: put these entries after `base`. Without entries it asks whether
    /// the follower's log matches there, or tells it about a newer commit index.
    Append {
        /// Where the leader believes that the follower's log agrees with its own. The follower
        /// refuses if it does not.
        base: Position,
        /// The entries that follow, without a gap.
        entries: Vec<Entry>,
        /// The leader's commit index, which may be beyond the entries sent.
        commit: Index,
    },
    /// The follower's log matches the leader's up to here, and it is on the follower's disk.
    AppendAccept {
        /// The last matching index.
        match_index: Index,
    },
    /// The follower's log differs at `base_index`, or ends before it. Also the answer to a leader
    /// whose term has passed: the newer term of this message tells it so.
    AppendRefuse {
        /// The index of the `base` that was refused.
        base_index: Index,
        /// The last position, at or before that index, where the two logs may agree.
        hint: Position,
    },
    /// From a leader to a follower whose next entry is no longer in the leader's log.
    Snapshot {
        /// The state of the group as of some applied index. Boxed because it is rare and large.
        snapshot: Box<Snapshot>,
    },
    /// From a leader to all: I am here. Keeps followers from campaigning.
    Heartbeat {
        /// The leader's commit index, but not beyond what this follower is known to have.
        commit: Index,
        /// The number of the round, if somebody waits for its answers; otherwise zero. Rounds count
        /// up within a term.
        round: u64,
    },
    /// I heard round `round`, and would have told you about any later term.
    HeartbeatResponse {
        /// The number from the heartbeat.
        round: u64,
    },
    /// From a leader to the heir it was asked to hand over to, once that has the whole log: campaign
    /// at once.
    TimeoutNow,
    /// From a leader to the node that passed on a [`Body::ReadIndex`].
    ReadIndexResponse {
        /// The commit index at which the read is linearizable.
        index: Index,
        /// The context from the question.
        context: Bytes,
    },
}

impl Body {
    /// Wishes are not bound to a term: whoever is leader when one arrives may fulfil it.
    pub fn is_wish(&self) -> bool {
        self.is_local() || matches!(self, Body::TransferLeader | Body::ReadIndex { .. })
    }

    /// Local bodies are for a node's own user. One that arrives from another node is refused.
    pub fn is_local(&self) -> bool {
        matches!(self, Body::Campaign | Body::Beat | Body::Propose { .. })
    }

    /// Whether this is a promise that others will rely on, so that it must not leave before the
    /// state it speaks of is on disk.
    ///
    /// - A vote, or its node could vote again after a crash.
    /// - The request for a vote, which is the candidate's vote for itself, and shows the end of a log
    ///   whose tail a crash must not shorten afterwards.
    /// - The acceptance of entries, which the leader counts as a copy.
    /// - The answer to a heartbeat: a lease stands on it, so its term must survive.
    ///
    /// What a leader sends on its own account needs no waiting: it is leader because its vote is on
    /// disk, and its entries are committed by being on disks, of which its own need not be the first.
    pub fn waits_for_disk(&self) -> bool {
        match self {
            Body::AppendAccept { .. } => !mutant::on(3),
            Body::RequestVote { .. }
            | Body::VoteResponse { .. }
            | Body::HeartbeatResponse { .. } => true,
            Body::Campaign
            | Body::Beat
            | Body::Propose { .. }
            | Body::TransferLeader
            | Body::ReadIndex { .. }
            | Body::ReadIndexResponse { .. }
            | Body::RequestPreVote { .. }
            | Body::PreVoteResponse { .. }
            | Body::Append { .. }
            | Body::AppendRefuse { .. }
            | Body::Snapshot { .. }
            | Body::Heartbeat { .. }
            | Body::TimeoutNow => false,
        }
    }

    /// Whether only the leader of the message's term sends this.
    pub fn is_from_leader(&self) -> bool {
        matches!(self, Body::Append { .. } | Body::Heartbeat { .. } | Body::Snapshot { .. })
    }
}

/// Written as `4@2`: index 4, term 2.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.index, self.term)
    }
}

/// Written as `1 -> 3 t2 append base=4@1 [5@2 "x"] commit=4`, which is how golden scripts show it.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Message { from, to, term, body } = self;
        write!(f, "{from} -> {to} ")?;
        if *term != 0 {
            write!(f, "t{term} ")?;
        }
        write!(f, "{body}")
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answer = |granted: &bool| if *granted { "yes" } else { "no" };
        match self {
            Body::Campaign => f.write_str("campaign"),
            Body::Beat => f.write_str("beat"),
            Body::Propose { entries } => write!(f, "propose {}", Entries(entries)),
            Body::TransferLeader => f.write_str("transfer-leader"),
            Body::ReadIndex { context } => write!(f, "read-index {context:?}"),
            Body::RequestPreVote { last } => write!(f, "pre-vote? last={last}"),
            Body::PreVoteResponse { granted } => write!(f, "pre-vote {}", answer(granted)),
            Body::RequestVote { last, force: false } => write!(f, "vote? last={last}"),
            Body::RequestVote { last, force: true } => write!(f, "vote? last={last} force"),
            Body::VoteResponse { granted } => write!(f, "vote {}", answer(granted)),
            Body::Append { base, entries, commit } => {
                write!(f, "append base={base} {} commit={commit}", Entries(entries))
            }
            Body::AppendAccept { match_index } => write!(f, "accept match={match_index}"),
            Body::AppendRefuse { base_index, hint } => {
                write!(f, "refuse base={base_index} hint={hint}")
            }
            Body::Snapshot { snapshot } => {
                write!(f, "snapshot {}", Position::of_snapshot(snapshot))
            }
            Body::Heartbeat { commit, round: 0 } => write!(f, "heartbeat commit={commit}"),
            Body::Heartbeat { commit, round } => {
                write!(f, "heartbeat commit={commit} round={round}")
            }
            Body::HeartbeatResponse { round: 0 } => f.write_str("heard"),
            Body::HeartbeatResponse { round } => write!(f, "heard round={round}"),
            Body::TimeoutNow => f.write_str("timeout-now"),
            Body::ReadIndexResponse { index, context } => {
                write!(f, "read index={index} {context:?}")
            }
        }
    }
}

/// A list of entries, written as `[5@2 "x", 6@2 add 4]`.
pub(crate) struct Entries<'a>(pub(crate) &'a [Entry]);

impl fmt::Display for Entries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (n, entry) in self.0.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{}", Position::of(entry))?;
            if entry.entry_type() == EntryType::EntryConfChange {
                write!(f, " {}", describe_conf_change(&entry.data))?;
            } else if !entry.data.is_empty() {
                write!(f, " \"{}\"", entry.data.escape_ascii())?;
            }
        }
        f.write_str("]")
    }
}

fn describe_conf_change(data: &Bytes) -> String {
    use proto::eraftpb::ConfChangeType::{AddNode, RemoveNode};
    match <ConfChange as prost::Message>::decode(data.clone()) {
        Ok(change) => match change.change_type() {
            AddNode => format!("add {}", change.node_id),
            RemoveNode => format!("remove {}", change.node_id),
        },
        Err(_) => "undecodable change".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_term_is_more_up_to_date_than_a_longer_log() {
        let at = |index, term| Position { term, index };
        assert!(at(1, 3) > at(9, 2));
        assert!(at(3, 2) > at(2, 2));
        assert!(at(2, 2) >= at(2, 2));
    }

    #[test]
    fn messages_print_as_one_line() {
        let entry = Entry { term: 2, index: 5, data: "x".into(), ..Entry::default() };
        let body =
            Body::Append { base: Position { term: 1, index: 4 }, entries: vec![entry], commit: 4 };
        let message = Message { from: 1, to: 3, term: 2, body };
        assert_eq!(message.to_string(), "1 -> 3 t2 append base=4@1 [5@2 \"x\"] commit=4");
    }
}
