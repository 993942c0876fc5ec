//! Computing beside the data: the part of a SQL statement that a region can answer by itself.
//!
//! A client that wants ten rows out of a million should not fetch a million. TinySQL therefore sends the
//! part of its plan that looks at one table, or one index, to every region that has rows of it; a region
//! runs the plan over its rows and answers what is left. The client merges.
//!
//! ```text
//!   SELECT g, SUM(a) FROM t WHERE a > 5 GROUP BY g
//!
//!   client    merge the sums of each g                          what regions answer:  (sum, g) per group
//!                     |                  |
//!   region    aggregate: SUM(a) by g     ...                    groups     two vectors and a table
//!                     |
//!             select: a > 5                                     rows       which of a batch are left
//!                     |
//!             scan: the columns a and g                         batches    a vector per column
//!                     |
//!             storage at the transaction's timestamp            pairs      keys and values
//! ```
//!
//! # From a request to its answer
//!
//! [`answer`] takes a state of the region and a request, and comes to an [`Answer`]:
//!
//! | module | does |
//! |---|---|
//! | `endpoint` | tells plans from statistics, and says where results and refusals go |
//! | `plan` | checks everything a plan names, once; what follows meets no surprise |
//! | `exec` | reads batches and takes them through the plan |
//! | `expr` | 48 functions over vectors, with SQL's rules for NULL, signs, overflow and mixed types |
//! | `agg` | 6 aggregate functions |
//! | `analyze` | histograms, samples and sketches |
//! | [`row`], [`table`], [`datum`] | the bytes that TinySQL stores and expects |
//!
//! # What is promised
//!
//! - *An answer is whole.* There are all rows or none: a lock, an error in one row, or too much for the
//!   memory of one request ends it.
//! - *Batches do not show.* Rows, errors and warnings are those of looking at one row after the other.
//! - *Nothing that arrives stops the process.* Plans, payloads, ranges and rows come from outside; what
//!   makes no sense is refused by name.
//! - *Same data, same answer*: no clock, no chance, no order of a hash map. When to give up is for the
//!   caller to say ([`Patience`]).
//!
//! The original's answers are the measure, byte for byte, except where they are plainly wrong. Those few
//! cases are in `docs/coprocessor.md`, and [`Options::go_compat`] gives its answer there.
//!
//! # What is left out
//!
//! What TinySQL does not ask for: joins, projections, sub-queries, times, decimals and JSON, answers in
//! parts, and its columnar encoding of chunks.

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
