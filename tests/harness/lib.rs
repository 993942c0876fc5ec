//! What the suites of the whole system share.
//!
//! So far the only suite is `tidy`, the repository's rules about itself, which needs nothing from
//! here.
