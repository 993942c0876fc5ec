//! Planted bugs, so that the tests can show that they would find them.
//!
//! A test suite that is green proves little before it has been red. With the feature `mutants` the
//! environment variable `TINYKV_MUTANT` switches one of the bugs below on; some suite must fail for
//! each. Without the feature every question is a constant *no*, and the compiler removes it.
//!
//! | number | the bug | found by (and each by `tests::si_model`, in its first world) |
//! |---|---|---|
//! | 19 | a rollback leaves no record, so a prewrite that arrives late succeeds | `project4c`, scripts |
//! | 20 | a write conflicts only with records *after* its start, not at it | `directed`, scripts |
//! | 21 | a read ignores locks | `mvcc_model`, `project4b`, scripts |
//! | 22 | a check of a transaction's status, which may roll it back, takes no latch | `project4c`, scripts |

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
