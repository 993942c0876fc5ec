//! Whole stores: many regions, disks, snapshots and a scheduler, in one thread and from one seed.
//!
//! ```text
//!          ┌──────────────────────────── World ─────────────────────────────┐
//! seed ──► │ Machine    the store's own structs, disks that forget, a clock │
//!          │ Network    links that lose, repeat, delay, break               │ ──► trace hash
//!          │ Freight    the files of snapshots, on a real file system       │ ──► counts
//!          │ Scripted   a scheduler that does what it is told               │
//!          │ events     one queue, ordered by time                          │
//!          └────────────────────────────────────────────────────────────────┘
//!              ▲ commands          ▲ faults, operators       │ after each event
//!          Workload             Nemesis                      ▼
//!          registers, lists     crashes, cuts, splits      Checks ──► or a violation
//! ```
//!
//! [`World`] may be used alone: the course's suites drive one by hand. [`run`] lets a seed decide
//! everything. In its first phase anything may go wrong, and every property must hold after each event. In
//! the second one nothing goes wrong any more: every region must get a leader, every command an answer,
//! every peer that was removed must be gone, and all replicas must be equal; then the history that clients
//! have seen is judged. [`run_governed`] does the same with the real scheduler in place of operators at
//! random.
//!
//! The stores are the production structs, stepped instead of threaded. A turn of the raft thread is one
//! event, so a crash comes between turns; but a disk may also be told to fail at its nth write, and then
//! it comes between any two of them. What another worker does happens at one event, and the raft thread hears
//! of it at a later one: a region may be split while a snapshot of it is built.
//!
//! What is left out: RocksDB, gRPC, transactions, and disks that lose what they have synced.

pub(crate) mod check;
mod counts;
mod events;
mod freight;
mod governor;
mod liveness;
mod machine;
mod nemesis;
mod network;
mod operators;
mod params;
mod post;
pub mod scheduler;
pub(crate) mod settings;
pub(crate) mod simulation;
mod slow;
mod story;
pub(crate) mod workload;
mod world;

use std::time::Duration;

pub use check::zones::{Moment, Registers};
pub use check::{Property, Verdict, Violation};
pub use counts::Counts;
pub use governor::Deeds;
pub use network::Network;
pub use settings::Settings;
pub use world::{Happened, World};

use simulation::Simulation;

use crate::outcome::{self, Failure};

/// A run that went well, and what it did.
pub type Run = outcome::Run<Counts>;

/// How many events a failure tells, unless somebody wants more.
pub const LINES: usize = 80;

/// Runs a seed. A failure tells the last `lines` events.
pub fn run(seed: u64, lines: usize) -> Result<Run, Box<Failure>> {
    let play = |lines| play(seed, Simulation::new(seed, lines), "");
    outcome::told(lines, play).map(|(run, _)| run)
}

/// Runs a seed under the real scheduler, and tells what that did.
pub fn run_governed(seed: u64, lines: usize) -> Result<(Run, Deeds), Box<Failure>> {
    outcome::told(lines, |lines| play(seed, Simulation::governed(seed, lines), "SCHEDULER=real "))
}

fn play(
    seed: u64,
    simulation: Verdict<Simulation>,
    settings: &str,
) -> Result<(Run, Deeds), Box<Failure>> {
    let failure = |violation, events: u64, at: Duration, story| {
        let after = format!("{events} events, at {at:?}");
        let replay = format!("make simulate {settings}SEED={seed}");
        Box::new(Failure { seed, violation, after, story, replay })
    };
    let mut simulation =
        simulation.map_err(|violation| failure(violation, 0, Duration::ZERO, Vec::new()))?;
    let judged = outcome::guarded(&check::STORES, || {
        simulation.disturbed()?;
        simulation.recover()
    });
    let deeds = simulation.governor.as_ref().map(|governor| governor.deeds).unwrap_or_default();
    let world = simulation.world;
    let (at, mut counts) = (world.now(), world.counts);
    counts.millis = settings::whole_micros(at) / 1000;
    match judged {
        Ok(()) => Ok((Run { counts, trace: world.trace.hash() }, deeds)),
        Err(violation) => Err(failure(violation, counts.events, at, world.into_story())),
    }
}
