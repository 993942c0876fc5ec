//! Who should be where: the scheduler of a TinyKV cluster.

pub mod cluster;
pub mod core;
pub mod error;
pub mod failure;
pub mod id;
pub mod meta;
mod mutant;
pub mod schedule;
pub mod tso;

pub use error::{Error, Result};

#[cfg(test)]
mod tests;
