//! The tests that need more than a few lines: the course's suites, the contract of storages, golden
//! scripts, and models.
//!
//! The course's tests keep their names, in one module for each `make` target, so that
//! `cargo test -p storage project4a` runs what `make project4a` ran; those that the course runs
//! without a label are in `unlabelled`.

mod contract;
mod directed;
mod fixture;
mod latches;
mod mvcc_model;
mod project1;
mod project4a;
mod project4b;
mod project4c;
mod region;
mod replicated;
mod script;
mod si_model;
mod unlabelled;
