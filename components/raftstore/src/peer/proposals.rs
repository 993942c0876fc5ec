//! Who waits for which entry.

use std::collections::VecDeque;

use runtime::clock::Instant;
use runtime::mutant;

use crate::message::Waiting;

/// The commands that this peer has proposed and that are not applied yet, in the order of the log: who
/// waits for each entry, and since when.
#[derive(Debug, Default)]
pub(crate) struct Proposals(VecDeque<(Waiting, Option<Instant>)>);

impl Proposals {
    /// Remembers who waits for the entry at a place.
    pub(crate) fn push(&mut self, waiting: Waiting, since: Option<Instant>) {
        self.forget_from(waiting.index);
        self.0.push_back((waiting, since));
    }

    /// When the oldest of them was proposed.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.0.front().and_then(|(_, since)| *since)
    }

    /// Who waits for these entries. Those whose entry was replaced by another leader's are answered as
    /// stale.
    pub(crate) fn take_through(&mut self, entries: &[proto::eraftpb::Entry]) -> Vec<Waiting> {
        let mut taken = Vec::new();
        let Some((last, term)) = entries.last().map(|entry| (entry.index, entry.term)) else {
            return taken;
        };
        let mut entries = entries.iter().peekable();
        while let Some((waiting, _)) = self.0.pop_front_if(|(waiting, _)| waiting.index <= last) {
            while entries.next_if(|entry| entry.index < waiting.index).is_some() {}
            let is_there = |entry: &&proto::eraftpb::Entry| {
                entry.index == waiting.index && (entry.term == waiting.term || mutant::on(17))
            };
            if entries.peek().is_some_and(is_there) {
                taken.push(waiting);
            } else {
                runtime::mark!("a proposal that another leader's entry replaced");
            }
        }
        self.forget_before(term);
        taken
    }

    /// A snapshot covers the log up to here: what became of the commands in it is not known.
    pub(crate) fn forget_through(&mut self, index: u64, term: u64) {
        while self.0.pop_front_if(|(waiting, _)| waiting.index <= index).is_some() {}
        self.forget_before(term);
    }

    /// An entry of `term` is committed: what an earlier term has put behind it never will be. It may be
    /// long until the log reaches those places again, so nobody waits for that.
    fn forget_before(&mut self, term: u64) {
        let is_lost = |(waiting, _): &mut (Waiting, _)| waiting.term < term && !mutant::on(17);
        while self.0.pop_front_if(is_lost).is_some() {
            runtime::mark!("a proposal that a later term has cut off");
        }
    }

    /// A leader of a later term writes at places that an earlier one has promised.
    fn forget_from(&mut self, index: u64) {
        while self.0.pop_back_if(|(waiting, _)| waiting.index >= index).is_some() {}
    }

    /// How many commands wait.
    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|(waiting, _)| waiting.replies.len()).sum()
    }
}
