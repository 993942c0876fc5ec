//! Many Raft groups on one node's disks.

pub mod bootstrap;
pub mod keys;
pub mod snapshot;
pub mod split_check;
pub mod state;
pub mod worker;

mod apply;
mod config;
mod context;
mod error;
mod message;
mod mutant;
mod node;
mod peer;
mod ports;
mod region_index;
mod router;
mod storage;

pub use crate::config::{Config, Ticks};
pub use crate::error::{Error, RegionError, Result};
pub use crate::message::*;
pub use crate::node::{Layout, Node, Setup, Unfinished, bootstrap_store};
pub use crate::ports::*;
pub use crate::router::{Inbound, LocalRead, Router, View};
pub use crate::storage::PeerStorage;
pub use crate::worker::raft::RaftWorker;
