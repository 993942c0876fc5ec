//! A vote goes to a candidate whose log is at least as up to date as the voter's (paper, section
//! 5.4.1), and so does the answer to a pre-vote, or pre-votes would start elections that nobody can
//! win (thesis, section 9.6).
//!
//! The comparison is made here when a question arrives, before the voter sees it; a *yes* that leaves
//! the voter later must belong to a question that could be answered so.

use raft::{Body, Message, NodeId, Position, Term};

use super::super::machine::{MACHINES_MAX, slot};
use super::{Property, Verdict};

pub(crate) static PROPERTY: Property = Property {
    name: "votes and pre-votes go to logs that are at least as up to date",
    source: "Raft paper, section 5.4.1; thesis, section 9.6",
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    PreVote,
    Vote,
}

/// A question that may be answered with yes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Question {
    kind: Kind,
    candidate: NodeId,
    term: Term,
}

/// The questions that reached each machine in this life and may be answered with yes.
#[derive(Default)]
pub(crate) struct Asked {
    may: [Vec<Question>; MACHINES_MAX],
}

/// Questions whose answer got lost in the voter are forgotten, the oldest first.
const QUESTIONS_MAX: usize = 1024;

impl Asked {
    /// `message` is about to reach a voter whose log ends at `last`.
    pub(crate) fn arrives(&mut self, message: &Message, last: Position) {
        let (kind, theirs) = if let Body::RequestVote { last, .. } = &message.body {
            (Kind::Vote, *last)
        } else if let Body::RequestPreVote { last } = &message.body {
            (Kind::PreVote, *last)
        } else {
            return;
        };
        if theirs >= last {
            let questions = &mut self.may[slot(message.to)];
            if questions.len() == QUESTIONS_MAX {
                questions.remove(0);
            }
            questions.push(Question { kind, candidate: message.from, term: message.term });
        }
    }

    /// `message` leaves a voter.
    pub(crate) fn leaves(&mut self, message: &Message) -> Verdict {
        let kind = if matches!(message.body, Body::VoteResponse { granted: true }) {
            Kind::Vote
        } else if matches!(message.body, Body::PreVoteResponse { granted: true }) {
            Kind::PreVote
        } else {
            return Ok(());
        };
        let question = Question { kind, candidate: message.to, term: message.term };
        let questions = &mut self.may[slot(message.from)];
        let found = questions.iter().position(|known| *known == question);
        if let Some(place) = found {
            questions.swap_remove(place);
        }
        PROPERTY.require(found.is_some(), || {
            format!("this yes has no question that allows it: {message}")
        })
    }

    /// A machine has forgotten what it was asked.
    pub(crate) fn forget(&mut self, id: NodeId) {
        self.may[slot(id)].clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_yes_to_a_shorter_log_is_noticed() {
        let ask = |index| {
            let body = Body::RequestVote { last: Position { term: 6, index }, force: false };
            Message { from: 1, to: 2, term: 7, body }
        };
        let yes = Message { from: 2, to: 1, term: 7, body: Body::VoteResponse { granted: true } };
        let ours = Position { term: 6, index: 9 };
        let mut asked = Asked::default();
        asked.arrives(&ask(8), ours);
        assert!(asked.leaves(&yes).is_err());
        asked.arrives(&ask(9), ours);
        assert!(asked.leaves(&yes).is_ok());
        assert!(asked.leaves(&yes).is_err(), "one question, one answer");
    }
}
