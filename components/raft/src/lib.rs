//! One group's consensus.
pub mod candidate;
pub mod config;
pub mod core;
pub mod error;
pub mod follower;
pub mod leader;
pub mod log;
pub mod message;
mod mutant;
pub mod progress;
pub mod quorum;
pub mod raft;
pub mod raw_node;
pub mod reads;
pub mod status;
pub mod storage;
pub mod unstable;
pub mod wire;

pub use crate::config::Config;
pub use crate::error::{Error, Result, StorageError};
pub use crate::log::RaftLog;
pub use crate::message::{Body, Index, Message, NodeId, Position, Term};
pub use crate::raft::{Raft, Role};
pub use crate::raw_node::{Lease, RawNode, ReadState, Ready};
pub use crate::status::{SoftState, StateRole, Status};
pub use crate::storage::{MemoryStorage, Storage};

#[cfg(test)]
mod tests;
