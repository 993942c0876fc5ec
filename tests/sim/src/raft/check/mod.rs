//! What must always be true: one property per file, each with where it comes from.
//!
//! | property | file | source |
//! |---|---|---|
//! | at most one leader in a term | `election_safety` | paper, Figure 3 |
//! | at most one vote in a term, over all lives of a voter | `vote_once` | paper, section 5.2 |
//! | votes go to logs that are at least as up to date | `vote_up_to_date` | paper, section 5.4.1 |
//! | a leader holds the greatest index of its term | `leader_longest` | Leader Append-Only, paper, Figure 3 |
//! | equal positions have equal histories | `log_matching` | paper, Figure 3 |
//! | committed logs are prefixes of each other | `committed_prefix` | State Machine Safety, paper, Figure 3 |
//! | every quorum has a member that holds what is committed | `quorum_holds` | paper, section 5.4.3 |
//! | a new leader has all that is committed | `leader_completeness` | paper, Figure 3 |
//! | what is promised, applied or answered is durable | `durable` | paper, section 5.2 and Figure 2 |
//! | all apply the same, in order, each once | `applied_sequence` | State Machine Safety, paper, Figure 3 |
//! | reads see what was acknowledged before | `register` | thesis, chapter 6 |
//! | a lease is over before another term of office begins | `lease` | thesis, section 6.4.1 |
//! | a group that is healed works again | `liveness` | paper, section 5.6 |
//!
//! All of them are incremental: a check looks at what a step changed, against what is remembered of
//! all steps before. That is what makes it possible to check after *every* step.

pub(crate) mod applied_sequence;
pub(crate) mod committed_prefix;
pub(crate) mod durable;
pub(crate) mod election_safety;
pub(crate) mod leader_completeness;
pub(crate) mod leader_longest;
pub(crate) mod lease;
pub(crate) mod liveness;
pub(crate) mod log_matching;
pub(crate) mod quorum_holds;
pub(crate) mod register;
pub(crate) mod vote_once;
pub(crate) mod vote_up_to_date;

use std::fmt;

use raft::Error;

/// Something that must always be true.
#[derive(Debug, PartialEq, Eq)]
pub struct Property {
    /// The property, as a sentence.
    pub name: &'static str,
    /// Where it is stated or proven.
    pub source: &'static str,
}

/// A property that did not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which one.
    pub property: &'static Property,
    /// What was seen instead.
    pub detail: String,
}

/// The outcome of a check.
pub(crate) type Verdict<T = ()> = Result<T, Violation>;

impl Property {
    /// A violation of this property.
    pub(crate) fn violated(&'static self, detail: impl Into<String>) -> Violation {
        Violation { property: self, detail: detail.into() }
    }

    /// Demands that the property holds; `detail` is only asked for when it does not.
    pub(crate) fn require(&'static self, holds: bool, detail: impl FnOnce() -> String) -> Verdict {
        if holds { Ok(()) } else { Err(self.violated(detail())) }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.property.name, self.property.source, self.detail)
    }
}

/// The core's own opinion: its assertions, and errors that correct nodes never cause.
pub(crate) static CORE: Property = Property {
    name: "the core finds no fault with itself or its peers",
    source: "the invariants in components/raft",
};

/// Sorts an error of the core: an answer that is part of normal life, or a broken promise.
pub(crate) fn expect_normal<T>(result: raft::Result<T>) -> Verdict<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(
            Error::NotLeader { .. }
            | Error::Transferring { .. }
            | Error::ConfChangePending { .. }
            | Error::Busy { .. },
        ) => Ok(None),
        Err(
            error @ (Error::Malformed(_)
            | Error::Impossible { .. }
            | Error::Config(_)
            | Error::Storage(_)),
        ) => Err(CORE.violated(error.to_string())),
    }
}

/// All that is remembered between steps.
#[derive(Default)]
pub(crate) struct Checks {
    pub(crate) elections: election_safety::Elections,
    pub(crate) votes: vote_once::Votes,
    pub(crate) asked: vote_up_to_date::Asked,
    pub(crate) entries: log_matching::Entries,
    pub(crate) committed: committed_prefix::Committed,
    pub(crate) applied: applied_sequence::Applied,
    pub(crate) client: register::Client,
}
