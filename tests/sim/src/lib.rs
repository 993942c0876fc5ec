//! Deterministic simulation: the real code in worlds that are worse than the real one.
//!
//! Everything that can go wrong between machines is decided here by one generator that starts from
//! one seed: which message is lost, which disk is slow, who crashes. So a run of millions of steps
//! can be played again exactly, and a failure is a number. `docs/simulation.md` tells how to replay
//! one, and how to add a property or a fault.
//!
//! [`raft`] simulates the consensus core alone, [`store`] simulates whole stores, and [`bank`] runs
//! transactions over them.

pub mod bank;
pub mod mutants;
pub mod outcome;
pub mod raft;
pub mod store;
pub mod swarm;
