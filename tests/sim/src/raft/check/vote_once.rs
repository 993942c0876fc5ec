//! A node votes at most once in a term (paper, section 5.2), whatever happens to it in between: the
//! answers that left a machine are remembered beyond its crashes.

use raft::{NodeId, Term};

use super::super::machine::{MACHINES_MAX, slot};
use super::{Property, Verdict};

pub(crate) static PROPERTY: Property = Property {
    name: "a node votes for at most one candidate in a term",
    source: "Raft paper, section 5.2",
};

/// Who voted for whom in which term.
#[derive(Default)]
pub(crate) struct Votes {
    granted: Vec<[NodeId; MACHINES_MAX]>,
}

impl Votes {
    /// `voter` has told `candidate` that it votes for it in `term`, or has voted for itself.
    pub(crate) fn granted(&mut self, voter: NodeId, candidate: NodeId, term: Term) -> Verdict {
        let place = usize::try_from(term).expect("terms are few");
        if self.granted.len() <= place {
            self.granted.resize(place + 1, [0; MACHINES_MAX]);
        }
        let known = &mut self.granted[place][slot(voter)];
        let before = std::mem::replace(known, candidate);
        PROPERTY.require(before == 0 || before == candidate, || {
            format!("node {voter} voted for {before} and for {candidate} in term {term}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_vote_is_noticed_and_a_repeated_one_is_none() {
        let mut votes = Votes::default();
        assert!(votes.granted(1, 2, 6).is_ok());
        assert!(votes.granted(1, 2, 6).is_ok());
        assert!(votes.granted(1, 3, 7).is_ok());
        assert!(votes.granted(1, 3, 6).is_err());
    }
}
