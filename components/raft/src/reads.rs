//! Reads without a log entry: is this leader still the leader?
//!
//! A leader's state machine holds everything that was committed, but a leader that was cut off may
//! not know that it has been replaced. So a read takes the commit index, and waits until a majority
//! has answered a heartbeat that was sent *after* the read arrived (thesis, section 6.4). Had there
//! been a newer leader at that moment, some member of that majority would have voted for it, and
//! would have answered with the newer term.
//!
//! Heartbeats come in numbered rounds and their answers echo the number, so "after" is a comparison
//! of numbers. All reads that arrive between two rounds share the next one. The same numbers carry
//! the lease: a round that a majority answered proves leadership at the time it was *sent*, and since
//! those members promised not to vote for an election timeout, for some time on.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{Index, NodeId};

/// A read that waits for the proof that its leader was leader when it arrived.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Read {
    /// The node that asked: the leader itself, or a follower that passed the wish on.
    pub(crate) from: NodeId,
    /// Its own name for the read.
    pub(crate) context: Bytes,
    /// The commit index when the read joined its round.
    pub(crate) index: Index,
}

/// The reads of one leader.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// The latest round that was sent, counted from the start of the term.
    pub(crate) round: u64,
    /// Reads that arrived since.
    arrived: Vec<Read>,
    /// Reads whose round is on its way, with the number of the round.
    waiting: VecDeque<(u64, Read)>,
}

impl Reads {
    pub(crate) fn len(&self) -> usize {
        self.arrived.len() + self.waiting.len()
    }

    pub(crate) fn add(&mut self, from: NodeId, context: Bytes) {
        self.arrived.push(Read { from, context, index: 0 });
    }

    /// Whether there are reads that need a round of heartbeats to be sent.
    pub(crate) fn want_round(&self) -> bool {
        !self.arrived.is_empty()
    }

    /// Whether there are reads that wait for answers to a round.
    pub(crate) fn are_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Starts the next round. Reads that have arrived join it if the leader may answer reads yet, at
    /// its present commit index.
    pub(crate) fn start_round(&mut self, commit: Option<Index>) -> u64 {
        self.round += 1;
        if let Some(commit) = commit {
            let joining = self.arrived.drain(..);
            let round = self.round;
            self.waiting.extend(joining.map(|read| (round, Read { index: commit, ..read })));
        }
        self.round
    }

    /// The reads that are proven by a majority's answers to `round`.
    pub(crate) fn take_confirmed(&mut self, round: u64) -> Vec<Read> {
        let mut confirmed = Vec::new();
        while let Some((_, read)) = self.waiting.pop_front_if(|(needed, _)| *needed <= round) {
            confirmed.push(read);
        }
        confirmed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_share_the_round_after_their_arrival_and_its_commit_index() {
        let mut reads = Reads::default();
        reads.add(1, "a".into());
        reads.add(2, "b".into());
        assert_eq!(reads.start_round(Some(7)), 1);
        reads.add(1, "c".into());
        assert_eq!(reads.start_round(Some(8)), 2);
        let read =
            |from, context: &str, index| Read { from, context: context.to_owned().into(), index };
        assert_eq!(reads.take_confirmed(0), []);
        assert_eq!(reads.take_confirmed(1), [read(1, "a", 7), read(2, "b", 7)]);
        assert_eq!(reads.take_confirmed(2), [read(1, "c", 8)]);
        assert_eq!(reads.len(), 0);
    }

    #[test]
    fn reads_wait_while_the_leader_may_not_answer() {
        let mut reads = Reads::default();
        reads.add(1, "a".into());
        assert_eq!(reads.start_round(None), 1);
        assert!(reads.want_round());
        assert_eq!(reads.start_round(Some(3)), 2);
        assert_eq!(reads.take_confirmed(2).len(), 1);
    }
}
