//! Whole stores: many regions, disks, snapshots and a scheduler, in one thread and from one seed.

mod check;
mod counts;
mod events;
mod freight;
mod machine;
mod network;
mod post;
pub mod scheduler;
mod settings;
mod story;
mod world;

pub use check::{Property, Verdict, Violation};
pub use counts::Counts;
pub use network::Network;
pub use settings::Settings;
pub use world::{Happened, World};
