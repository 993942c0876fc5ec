//! Marks: an odd branch of production code names itself, so that a test can say that it went there.
//!
//! A test that means to exercise a rare path easily passes without ever reaching it: the set-up
//! drifts, and another branch gives the same answer. So the branch says its name,
//!
//! ```
//! # fn refuse() {}
//! # let log_is_behind = true;
//! if log_is_behind {
//!     runtime::mark!("vote refused: log behind");
//!     refuse();
//! }
//! ```
//!
//! and the test asserts that it was heard: `assert_eq!(mark::hits("vote refused: log behind"), 1)`.
//! The name, found by a text search, also leads from the branch to its tests.
//!
//! Outside of the tests of the crate that contains it, a mark expands to nothing. Counts belong to
//! the thread, because tests run side by side; what a worker thread passed, its own thread counted.

use std::cell::RefCell;
use std::collections::BTreeMap;

thread_local! {
    static HITS: RefCell<BTreeMap<&'static str, u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// Names this branch for tests; see [the module](mod@crate::mark).
#[macro_export]
macro_rules! mark {
    ($name:literal) => {{
        #[cfg(test)]
        $crate::mark::hit($name);
    }};
}

/// Counts a mark; called by [`mark!`](crate::mark!) only.
#[doc(hidden)]
pub fn hit(name: &'static str) {
    HITS.with_borrow_mut(|hits| *hits.entry(name).or_default() += 1);
}

/// How often this thread passed the mark called `name` since it started, or since [`reset`].
pub fn hits(name: &str) -> u64 {
    HITS.with_borrow(|hits| hits.get(name).copied().unwrap_or(0))
}

/// Forgets what this thread counted, for a test that runs several cases one after the other.
pub fn reset() {
    HITS.with_borrow_mut(BTreeMap::clear);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn halve(number: u64) -> u64 {
        if number % 2 == 1 {
            crate::mark!("halved an odd number");
        }
        number / 2
    }

    #[test]
    fn a_mark_counts_per_name_and_thread_until_reset() {
        reset();
        halve(4);
        assert_eq!(hits("halved an odd number"), 0);
        halve(5);
        halve(7);
        assert_eq!(hits("halved an odd number"), 2);
        assert_eq!(hits("another name"), 0);
        reset();
        assert_eq!(hits("halved an odd number"), 0);
    }
}
