//! Log Matching: if two logs have an entry with the same index and term, they are equal up to there
//! (paper, Figure 3).
//!
//! It is enough to look at each entry when it is written: all entries of one index and term, on all
//! machines and for the whole run, must have the same content and the same term before them. By
//! induction the logs are equal all the way down.

use proto::eraftpb::Entry;
use raft::{Index, Position, Term};

use super::super::state::digest;
use super::{Property, Verdict};

pub(crate) static PROPERTY: Property = Property {
    name: "logs with the same index and term are equal up to there",
    source: "Log Matching, Raft paper, Figure 3",
};

/// What is remembered of an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    term: Term,
    term_before: Term,
    digest: u64,
}

/// All entries that ever were written anywhere, by index.
#[derive(Default)]
pub(crate) struct Entries {
    by_index: Vec<Vec<Seen>>,
}

impl Entries {
    /// Some machine writes `entries`, after one of the term `term_before`.
    pub(crate) fn written(&mut self, entries: &[Entry], mut term_before: Term) -> Verdict {
        for entry in entries {
            let seen = Seen { term: entry.term, term_before, digest: digest(entry) };
            self.remember(entry.index, seen)?;
            term_before = entry.term;
        }
        Ok(())
    }

    fn remember(&mut self, index: Index, seen: Seen) -> Verdict {
        let place = usize::try_from(index).expect("logs are short");
        if self.by_index.len() <= place {
            self.by_index.resize_with(place + 1, Vec::new);
        }
        let known = &mut self.by_index[place];
        let Some(first) = known.iter().find(|known| known.term == seen.term) else {
            known.push(seen);
            return Ok(());
        };
        PROPERTY.require(*first == seen, || {
            let at = Position { term: seen.term, index };
            format!("two different entries at {at}, or two different histories before it")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_content_or_another_history_is_noticed() {
        let entry = |data: &'static str| [Entry::normal(6, 9, data)];
        let mut entries = Entries::default();
        assert!(entries.written(&entry("a"), 5).is_ok());
        assert!(entries.written(&entry("a"), 5).is_ok());
        assert!(entries.written(&entry("b"), 5).is_err());
        assert!(entries.written(&entry("a"), 6).is_err());
    }
}
