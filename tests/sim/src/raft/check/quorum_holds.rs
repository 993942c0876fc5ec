//! Every quorum of a node's configuration has a member whose disk holds what the node knows to be
//! committed, so no majority can ever elect a leader without it (paper, section 5.4.3, the argument
//! by intersection; `QuorumLog` in the published specifications).
//!
//! Looked at whenever a state machine has caught up with its commit index, because only then the
//! members it knows are those that the index was committed by, up to one change. Members that were
//! removed and shut down count with what they held.

use raft::{NodeId, Position};

use super::super::state::Members;
use super::{Property, Verdict};

pub(crate) static PROPERTY: Property = Property {
    name: "every quorum has a member that holds the committed log",
    source: "Raft paper, section 5.4.3",
};

/// Node `id` knows `committed` to be committed in the group of `members`, which `holds` says of each
/// whether its disk has.
pub(crate) fn check(
    id: NodeId,
    committed: Position,
    members: Members,
    holds: impl Fn(NodeId) -> bool,
) -> Verdict {
    let lacking = members.iter().filter(|member| !holds(*member)).count();
    PROPERTY.require(lacking < raft::quorum::majority(members.len()), || {
        format!("{lacking} of {members} lack {committed}, which node {id} believes committed")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_without_the_entry_is_noticed() {
        let members = Members::of([1, 2, 3]);
        let committed = Position { term: 6, index: 9 };
        assert!(check(1, committed, members, |id| id != 3).is_ok());
        assert!(check(1, committed, members, |id| id == 1).is_err());
    }
}
