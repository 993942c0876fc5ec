//! Who should be where: the scheduler of a TinyKV cluster.
//!
//! One process that the others ask four things: what time it is, which number is free, where a key
//! lies, and, without asking, what to do with their regions. Beside that it serves the part of etcd's
//! API that TinySQL keeps its few keys in, on the same port.
//!
//! ```text
//!   stores                      clients, TinySQL                    etcdctl, TinySQL
//!     | heartbeats  ^ commands    | timestamps, ids, regions          | keys, watches, leases
//!     v             |             v                                   v
//!   +---------------------- service (an arm per call) ----------------------+
//!   |                                                                       |
//!   |  core: cluster -> schedule -> commands      tso, id        meta::space |
//!   |        (told the time, never asks)          (a window)     (or a real etcd)
//!   |                                                                       |
//!   |  rounds: lets time pass      keeper: writes records      space: its thread
//!   +------------------------------- engine --------------------------------+
//! ```
//!
//! # What it promises
//!
//! - A timestamp is greater than every one given before, by whichever scheduler, and no id is given
//!   twice: over crashes, clocks that jump, leaders that pause ([`tso`], [`id`], [`member`]).
//! - An older report about a region never replaces a newer one ([`cluster::heartbeat`]).
//! - A plan changes a region only while it is as it was when the plan was made, and never takes its
//!   majority ([`schedule::controller`]).
//! - What was answered is on disk ([`keeper`], [`meta`]).
//!
//! # What must survive, and what need not
//!
//! On disk are the ends of the window of timestamps and of the batch of ids, the stores, what the
//! cluster is, the safe point, and the key space. The map of regions is remembered without waiting for
//! the disk, because every entry comes again with the next heartbeat. Plans are not kept: after a
//! restart the same imbalance makes them anew.
//!
//! # When it is gone
//!
//! Reads and writes go on: clients keep their map of regions and stores their leaders. What stops is new
//! transactions, which want a timestamp, and splits, which want ids.
//!
//! # What is left out
//!
//! Weights and labels of stores, merging of regions, hot spots: TinyKV's protocol has no words for them.

pub mod cluster;
pub mod config;
pub mod core;
pub mod endpoints;
pub mod error;
pub mod id;
pub mod keeper;
pub mod member;
pub mod meta;
pub mod metrics;
pub mod node;
pub mod outside;
pub mod records;
pub mod rounds;
pub mod schedule;
pub mod service;
pub mod state;
pub mod tso;

pub use error::{Error, Result};

#[cfg(test)]
mod tests;
