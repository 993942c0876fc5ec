//! Planted bugs, so that the tests can show that they would find them.
//!
//! A test suite that is green proves little before it has been red. With the feature `mutants` the
//! environment variable `TINYKV_MUTANT` switches one of the bugs below on; `make mutants` expects
//! some suite to fail for each. Without the feature every question below is a constant *no*, and
//! the compiler removes it.
//!
//! | number | the bug |
//! |---|---|
//! | 1 | a leader commits an entry of an older term by counting copies (Figure 8) |
//! | 2 | a vote is not persisted |
//! | 3 | an append is acknowledged before it is on disk |
//! | 4 | a restarted node forgets its vote, and votes twice in a term |
//! | 5 | a node campaigns with a membership change that it has not applied |
//! | 6 | a pre-vote does not compare the logs |
//! | 7 | a snapshot older than the commit index is accepted |
//! | 8 | an append that repeats what is there truncates what follows |
//! | 28 | a restarted node votes at once, while a lease that it granted still runs |

/// Whether the planted bug of this number is switched on.
#[cfg(feature = "mutants")]
pub(crate) fn on(number: u32) -> bool {
    use std::sync::OnceLock;
    static CHOSEN: OnceLock<Option<u32>> = OnceLock::new();
    *CHOSEN.get_or_init(|| std::env::var("TINYKV_MUTANT").ok()?.parse().ok()) == Some(number)
}

/// Whether the planted bug of this number is switched on: never, in this build.
#[cfg(not(feature = "mutants"))]
pub(crate) const fn on(_number: u32) -> bool {
    false
}
