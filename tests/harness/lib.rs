//! What the suites of the whole system share.
//!
//! - [`process`]: real programs, started on free ports, watched by what they log, and killed.
//!
//! `tidy`, the repository's rules about itself, needs nothing from here.

pub mod process;
