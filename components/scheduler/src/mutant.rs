//! Planted bugs, so that the tests can show that they would find them.
//!
//! With the feature `mutants` the environment variable `TINYKV_MUTANT` switches one of the bugs below
//! on; some test must fail for each. Without the feature every question is a constant *no*, and the
//! compiler removes it.
//!
//! | number | the bug |
//! |---|---|
//! | 23 | the window of timestamps is not saved before it is used |
//! | 24 | an older heartbeat replaces a newer one |

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
