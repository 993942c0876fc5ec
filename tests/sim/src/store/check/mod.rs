//! What must always be true of whole stores: one property per file.

pub use crate::raft::{Property, Violation};

/// The outcome of a check.
pub type Verdict<T = ()> = Result<T, Violation>;

/// The stores' own opinion: their assertions, and errors that nobody has caused.
pub(crate) static STORES: Property =
    Property { name: "no store stops by itself", source: "the invariants in components/raftstore" };
