//! A leader holds the greatest index of its term. Only it creates entries of that term and it never
//! takes one back, so no log may have one that the leader does not have (Leader Append-Only, paper,
//! Figure 3).

use raft::{Index, Position};

use super::{Property, Verdict};

pub(crate) static PROPERTY: Property = Property {
    name: "a leader holds the greatest index of its term",
    source: "Leader Append-Only, Raft paper, Figure 3",
};

/// Some log ends at `last`, in a term whose leader's log ends at index `leader_last`.
pub(crate) fn check(last: Position, leader_last: Index) -> Verdict {
    PROPERTY.require(last.index <= leader_last, || {
        format!("a log ends at {last}, and the leader of that term has {leader_last} entries")
    })
}

/// While a node leads, its log ended at `before` and now ends at `now`.
pub(crate) fn check_growth(before: Position, now: Position) -> Verdict {
    PROPERTY.require(before.index <= now.index, || {
        format!("a leader's log ended at {before}, and now ends at {now}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_beyond_its_leaders_is_noticed() {
        let at = |index| Position { term: 6, index };
        assert!(check(at(9), 9).is_ok());
        assert!(check(at(10), 9).is_err());
        assert!(check_growth(at(10), at(9)).is_err());
    }
}
