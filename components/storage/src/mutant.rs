//! Planted bugs, so that the tests can show that they would find them.
//!
//! A test suite that is green proves little before it has been red. With the feature `mutants` the
//! environment variable `TINYKV_MUTANT` switches one of the bugs below on; some suite must fail for
//! each. Without the feature every question is a constant *no*, and the compiler removes it.
//!
//! | number | the bug |
//! |---|---|
//! | 19 | a rollback leaves no record, so a prewrite that arrives late succeeds |
//! | 20 | a write conflicts only with what was committed *after* its start, not at it |
//! | 21 | a read ignores locks |
//! | 22 | a check of a transaction's status, which may roll it back, takes no latch |

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
