//! What the suites of the whole system share.
//!
//! - [`process`]: real programs, started on free ports, watched by what they log, and killed;
//! - [`scripts`]: golden scripts, a folder at a time.
//!
//! `tidy`, the repository's rules about itself, needs nothing from here.

pub mod process;
pub mod scripts;
