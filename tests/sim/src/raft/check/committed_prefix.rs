//! Committed logs are prefixes of each other: of any two nodes, one knows what the other one knows to
//! be committed, or will come to know the same (State Machine Safety, paper, Figure 3). And no node's
//! commit index goes back while it lives.
//!
//! There is one list of what is committed at each index, made by whoever commits first; everybody
//! else must agree with it.

use raft::{Index, Position, RaftLog, Storage, StorageError, Term};

use super::{Property, Verdict};

pub(crate) static PROPERTY: Property = Property {
    name: "the committed logs of any two nodes are prefixes of each other",
    source: "State Machine Safety, Raft paper, Figure 3",
};

/// The one list.
#[derive(Default)]
pub(crate) struct Committed {
    /// For each index the term of the entry, and the term in which it was first seen committed.
    terms: Vec<(Term, Term)>,
}

impl Committed {
    /// The list starts after `first`, which everybody has from the beginning.
    pub(crate) fn start(&mut self, first: Position) {
        let place = usize::try_from(first.index).expect("logs are short");
        self.terms = vec![(first.term, first.term); place + 1];
    }

    /// A node of the present term `term` has moved its commit index from `before` to `now`.
    pub(crate) fn moved<S: Storage>(
        &mut self,
        log: &RaftLog<S>,
        term: Term,
        before: Index,
        now: Index,
    ) -> Verdict {
        PROPERTY.require(before <= now, || {
            format!("a commit index went back from {before} to {now}")
        })?;
        for index in before + 1..=now {
            match log.term(index) {
                Ok(found) => self.agree(index, found, term)?,
                // A snapshot brought it: its state is compared when it is installed.
                Err(StorageError::Compacted) => {}
                Err(error) => return Err(PROPERTY.violated(format!("index {index}: {error}"))),
            }
        }
        Ok(())
    }

    fn agree(&mut self, index: Index, found: Term, term: Term) -> Verdict {
        let place = usize::try_from(index).expect("logs are short");
        if place == self.terms.len() {
            self.terms.push((found, term));
            return Ok(());
        }
        match self.terms.get(place) {
            Some((known, _)) => PROPERTY.require(*known == found, || {
                format!("{index}@{found} is committed here and {index}@{known} elsewhere")
            }),
            None => Err(PROPERTY.violated(format!("{index} is committed and nothing before it"))),
        }
    }

    /// The last position that was committed in a term before `term`.
    pub(crate) fn last_before(&self, term: Term) -> Position {
        let place = self.terms.iter().rposition(|(_, by)| *by < term).unwrap_or_default();
        Position { term: self.terms[place].0, index: place as Index }
    }

    /// The position of the committed entry at `index`.
    pub(crate) fn at(&self, index: Index) -> Option<Position> {
        let (term, _) = self.terms.get(usize::try_from(index).ok()?)?;
        Some(Position { term: *term, index })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_term_at_a_committed_index_is_noticed() {
        let mut committed = Committed::default();
        committed.start(Position { term: 5, index: 5 });
        assert!(committed.agree(6, 6, 6).is_ok());
        assert!(committed.agree(6, 6, 8).is_ok());
        assert!(committed.agree(6, 7, 8).is_err());
        assert!(committed.agree(8, 6, 6).is_err(), "a gap");
        assert_eq!(committed.last_before(7), Position { term: 6, index: 6 });
        assert_eq!(committed.last_before(6), Position { term: 5, index: 5 });
    }
}
