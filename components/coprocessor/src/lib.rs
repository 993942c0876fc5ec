//! Computing beside the data: the part of a SQL statement that a region can answer by itself.

mod agg;
mod analyze;
mod column;
pub mod datum;
mod endpoint;
mod error;
mod exec;
mod expr;
mod memory;
mod plan;
pub mod row;
pub mod table;
mod types;

pub use endpoint::{ANALYZE, Answer, DAG, Options, answer};
pub use error::{Error, Interrupt, Result};
pub use exec::Patience;

#[cfg(test)]
mod tests;
