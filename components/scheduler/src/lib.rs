//! Who should be where: the scheduler of a TinyKV cluster.

pub mod cluster;
pub mod config;
pub mod core;
pub mod error;
pub mod failure;
pub mod id;
pub mod keeper;
pub mod member;
pub mod meta;
pub mod metrics;
mod mutant;
pub mod node;
pub mod records;
pub mod rounds;
pub mod schedule;
pub mod service;
pub mod state;
pub mod tso;

pub use error::{Error, Result};

#[cfg(test)]
mod tests;
