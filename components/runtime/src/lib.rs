//! What a process stands on: the seams between our code and the machine, and their simulated twins.
//!
//! A distributed system fails in the order in which things happen, and that order comes from
//! outside: from the clock, from the scheduler of threads, from chance. Code that reaches for these
//! itself can only be tested by hoping. Here each of them is a value that is passed in, and each
//! has a twin that a test or the simulator moves by hand, so that a whole store runs in one thread,
//! from one seed, the same way every time.
//!
//! | from outside | in production | in tests and simulation |
//! |---|---|---|
//! | time | [`SystemClock`](clock::SystemClock) | [`ManualClock`](clock::ManualClock), moved by hand |
//! | chance | [`Rng`] of a random seed | [`Rng`] of a known seed: the same type, as it is never read twice |
//! | threads | [`Worker`](worker::Worker) | [`Inline`](worker::Inline), stepped by hand |
//! | answers | [`Answer`](reply::Answer), awaited | the same, polled by [`try_take`](reply::Answer::try_take) |
//! | periodic work | [`Ticker`](ticker::Ticker) counts ticks | [`Duties`](ticker::Duties) are told of ticks |
//! | a person who reads | [`Log`](log::Log) writes lines | [`Capture`](log::Capture) keeps records |
//!
//! What has no twin, because it decides nothing: [`metrics`], [`settings`], [`units`], [marks](mod@mark),
//! [planted bugs](mutant) and the [`Stop`](shutdown::Stop) of a process.
//!
//! There are no globals. Whoever needs one of these takes it in its constructor.

pub mod busy;
pub mod clock;
pub mod flags;
pub mod log;
pub mod mark;
pub mod metrics;
pub mod mutant;
pub mod reply;
pub mod rng;
pub mod settings;
pub mod shutdown;
pub mod ticker;
pub mod units;
pub mod worker;

pub use rng::Rng;

#[cfg(test)]
mod tests;
