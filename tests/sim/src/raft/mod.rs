//! The consensus core alone: many nodes of one group in one thread, and everything else is made up.
//!
//! ```text
//!              ┌───────────────────────── World ─────────────────────────┐
//!   seed ────► │ Params   what kind of world this is                     │
//!              │ Network  links that lose, repeat, reorder, clog         │
//!              │ Machine  RawNode + Disk + State + a clock, twelve times │ ───► trace hash
//!              │ Client   writes, reads through ReadIndex and leases     │ ───► counts
//!              │ Checks   one property per file, asked after each step   │ ───► or a violation
//!              └─────────────────────────────────────────────────────────┘
//! ```
//!
//! A *step* is one thing that happens: a message arrives, time passes, a write gets on a disk, a state
//! machine applies, a client asks, a machine crashes, a link breaks. A run has two phases. In the
//! *safety phase* anything may happen, as often as the seed's [`Params`] say, and every property must
//! hold after each step. In the *liveness phase* the world is healed: now the group must elect a
//! leader, commit new commands and bring all members to the same log, within a limit of ticks.
//!
//! The machines follow the driver's contract of the [`raft`] crate to the letter and use every freedom
//! that it leaves: Readys are taken late, writes and applying take their time and are reported
//! together, transports report nonsense.
//!
//! What is left out: disks that lose what they confirmed, messages that nobody sent, nodes that come
//! back without their disk. Raft promises nothing about them.

pub(crate) mod check;
mod client;
mod counts;
mod disk;
mod drive;
mod group;
mod liveness;
mod machine;
mod nemesis;
mod network;
mod params;
mod state;
pub(crate) mod trace;
mod world;

pub use check::{Property, Violation};
pub use counts::Counts;
pub use params::Params;

use world::World;

use crate::outcome::{self, Failure};

/// Every group starts as if it had a history up to here, as the regions of a store do.
const FIRST_INDEX: raft::Index = 5;

/// The term of that history.
const FIRST_TERM: raft::Term = 5;

/// Steps of the safety phase of one seed, unless somebody wants another number.
pub const STEPS: u64 = 20_000;

/// A run that went well, and what it did.
pub type Run = outcome::Run<Counts>;

/// How many events a failure tells, unless somebody wants more.
pub const LINES: usize = 60;

/// Runs `seed` with a safety phase of `steps` steps. A failure tells the last `lines` events.
pub fn run(seed: u64, steps: u64, lines: usize) -> Result<Run, Box<Failure>> {
    outcome::told(lines, |lines| play(seed, steps, lines))
}

fn play(seed: u64, steps: u64, lines: usize) -> Result<Run, Box<Failure>> {
    let failure = |violation, at: u64, story| {
        let others = if steps == STEPS { String::new() } else { format!(" STEPS={steps}") };
        let replay = format!("make simulate-raft SEED={seed}{others}");
        Box::new(Failure { seed, violation, after: format!("{at} steps"), story, replay })
    };
    let mut world =
        World::new(seed, steps, lines).map_err(|violation| failure(violation, 0, Vec::new()))?;
    let judged = outcome::guarded(&check::CORE, || {
        for _ in 0..steps {
            world.step()?;
        }
        world.recover()
    });
    match judged {
        Ok(()) => Ok(Run { counts: world.counts, trace: world.trace.hash() }),
        Err(violation) => Err(failure(violation, world.counts.steps, world.trace.into_lines())),
    }
}
