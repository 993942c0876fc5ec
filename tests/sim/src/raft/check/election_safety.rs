//! Election Safety: in each term there is at most one leader (paper, Figure 3). Remembered over the
//! whole run, so that a leader that crashed still counts.

use raft::{NodeId, Term};

use super::{Property, Verdict};

pub(crate) static PROPERTY: Property = Property {
    name: "in each term there is at most one leader",
    source: "Election Safety, Raft paper, Figure 3",
};

/// Who led which term.
#[derive(Default)]
pub(crate) struct Elections {
    leaders: Vec<NodeId>,
}

impl Elections {
    /// `id` has become leader of `term`.
    pub(crate) fn elected(&mut self, id: NodeId, term: Term) -> Verdict {
        let place = usize::try_from(term).expect("terms are few");
        if self.leaders.len() <= place {
            self.leaders.resize(place + 1, 0);
        }
        let known = self.leaders[place];
        self.leaders[place] = id;
        PROPERTY.require(known == 0, || format!("nodes {known} and {id} lead term {term}"))
    }

    /// Who was elected in `term`, if anybody was.
    pub(crate) fn leader(&self, term: Term) -> Option<NodeId> {
        let id = *self.leaders.get(usize::try_from(term).ok()?)?;
        (id != 0).then_some(id)
    }

    /// The latest term that had a leader.
    pub(crate) fn last_term(&self) -> Term {
        (self.leaders.len() as Term).saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_leader_of_a_term_is_noticed() {
        let mut elections = Elections::default();
        assert!(elections.elected(1, 6).is_ok());
        assert!(elections.elected(2, 7).is_ok());
        assert_eq!((elections.leader(6), elections.last_term()), (Some(1), 7));
        assert!(elections.elected(3, 6).is_err());
    }
}
