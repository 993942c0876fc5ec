//! What a process stands on: clock, randomness, workers, replies, logs, metrics.

pub mod mark;
pub mod rng;

pub use rng::Rng;
