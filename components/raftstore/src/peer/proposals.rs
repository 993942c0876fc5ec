//! Who waits for which entry.

use std::collections::VecDeque;

use runtime::clock::Instant;
use runtime::mutant;
use runtime::reply::Reply;

use crate::message::Answer;

/// A command in the log, and whoever waits for it.
#[derive(Debug)]
struct Proposal {
    index: u64,
    term: u64,
    since: Option<Instant>,
    reply: Reply<Answer>,
}

/// The commands that this peer has proposed and that are not applied yet, in the order of the log.
///
/// A place in the log is named by index *and* term: the same index may come out with another
/// leader's command. Replies that are dropped say that nothing is known.
#[derive(Debug, Default)]
pub(crate) struct Proposals(VecDeque<Proposal>);

impl Proposals {
    /// Remembers who waits for the entry at a place.
    pub(crate) fn push(
        &mut self,
        index: u64,
        term: u64,
        since: Option<Instant>,
        reply: Reply<Answer>,
    ) {
        self.forget_from(index);
        self.0.push_back(Proposal { index, term, since, reply });
    }

    /// When the oldest of them was proposed.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.0.front().and_then(|proposal| proposal.since)
    }

    /// The replies to entries up to a place, each with its index and term. Those whose entry was replaced
    /// by another leader's are answered as stale.
    pub(crate) fn take_through(
        &mut self,
        entries: &[proto::eraftpb::Entry],
    ) -> Vec<(u64, u64, Reply<Answer>)> {
        let mut taken = Vec::new();
        let Some((last, term)) = entries.last().map(|entry| (entry.index, entry.term)) else {
            return taken;
        };
        let mut entries = entries.iter().peekable();
        while let Some(proposal) = self.0.pop_front_if(|proposal| proposal.index <= last) {
            let Proposal { index, term, reply, .. } = proposal;
            while entries.next_if(|entry| entry.index < index).is_some() {}
            let is_there = |entry: &&proto::eraftpb::Entry| {
                entry.index == index && (entry.term == term || mutant::on(17))
            };
            if entries.peek().is_some_and(is_there) {
                taken.push((index, term, reply));
            } else {
                runtime::mark!("a proposal that another leader's entry replaced");
            }
        }
        self.forget_before(term);
        taken
    }

    /// A snapshot covers the log up to here: what became of the commands in it is not known.
    pub(crate) fn forget_through(&mut self, index: u64, term: u64) {
        while self.0.pop_front_if(|proposal| proposal.index <= index).is_some() {}
        self.forget_before(term);
    }

    /// An entry of `term` is committed: what an earlier term has put behind it never will be. It may be
    /// long until the log reaches those places again, so nobody waits for that.
    fn forget_before(&mut self, term: u64) {
        let is_lost = |proposal: &mut Proposal| proposal.term < term && !mutant::on(17);
        while self.0.pop_front_if(is_lost).is_some() {
            runtime::mark!("a proposal that a later term has cut off");
        }
    }

    /// A leader of a later term writes at places that an earlier one has promised.
    fn forget_from(&mut self, index: u64) {
        while self.0.pop_back_if(|proposal| proposal.index >= index).is_some() {}
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
