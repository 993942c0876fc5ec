//! The contract as a suite, and what only one of the engines promises.

mod conformance;
mod faults;
mod model;
#[cfg(feature = "rocksdb")]
mod rocks;
mod subject;
