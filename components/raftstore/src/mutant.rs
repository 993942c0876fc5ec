//! Planted bugs, so that the tests can show that they would find them.
//!
//! With the feature `mutants` the environment variable `TINYKV_MUTANT` switches one of the bugs below
//! on; `make mutants` expects some suite to fail for each. Without the feature every question below is
//! a constant *no*, and the compiler removes it.
//!
//! | number | the bug |
//! |---|---|
//! | 9 | the applied index is written in a batch of its own |
//! | 10 | the log is deleted before the data that it led to is on disk |
//! | 11 | the epoch is not checked when a command is applied |
//! | 12 | the epoch is not checked when a read is served |
//! | 13 | a split does not check its key |
//! | 14 | no tombstone is written for a removed peer |
//! | 15 | a snapshot is accepted whose range overlaps another region |
//! | 16 | the checksum of a snapshot is ignored |
//! | 17 | a reply is matched by its index alone, whatever the term |
//! | 18 | the lease is kept when leadership is handed over |
//! | 25 | a change of a region's state is not synced |
//! | 27 | a write may be proposed in another term than that of the snapshot it was computed from |

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
