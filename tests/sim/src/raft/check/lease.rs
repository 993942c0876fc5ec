//! A lease is over before another leader's term of office begins (thesis, section 6.4.1).
//!
//! The driver's rule is the one of the store: a lease runs from when its round was *sent*, on the
//! leader's own clock, for at most four fifths of the shortest time in which a follower can count an
//! election timeout. A tick may be due at any moment after a promise and another one soon after a late
//! one, so that time is two ticks shorter than the number suggests.

use raft::{NodeId, Term};

use super::{Property, Verdict};

pub(crate) static PROPERTY: Property = Property {
    name: "a lease never overlaps another leader's term of office",
    source: "Raft thesis, section 6.4.1",
};

/// A lease as its driver holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// The term it is valid in.
    pub(crate) term: Term,
    /// When its round was sent, in thousandths of a tick.
    pub(crate) sent: u64,
}

impl Held {
    /// Whether it still runs at `now`, on a clock that ticks every `period` thousandths.
    pub(crate) fn is_running(&self, now: u64, period: u64, election_ticks: u32) -> bool {
        let shortest = u64::from(election_ticks) - 2;
        (now - self.sent) * 10 < 8 * shortest * period
    }
}

/// Node `id` holds a running lease, and `last_term` is the latest term that had a leader.
pub(crate) fn check(id: NodeId, held: &Held, last_term: Term) -> Verdict {
    PROPERTY.require(last_term <= held.term, || {
        format!("node {id} has a lease in term {} and term {last_term} has a leader", held.term)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_well_before_an_election_timeout() {
        let held = Held { term: 6, sent: 1000 };
        assert!(held.is_running(1000 + 6399, 1000, 10));
        assert!(!held.is_running(1000 + 6400, 1000, 10), "four fifths of eight ticks");
        assert!(check(1, &held, 6).is_ok());
        assert!(check(1, &held, 7).is_err());
    }
}
