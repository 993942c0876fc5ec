//! One node's disk.
//!
//! A store keeps everything it must not forget in two engines ([`Engines`]): the *kv engine* holds
//! what clients wrote, the *raft engine* holds the log that protects it. Both are seen through one
//! narrow seam, so that the rest of the system does not know what is below it:
//!
//! ```text
//!                 raftstore, storage, scheduler
//!                              |
//!          Engine -- Snapshot -- Cursor        WriteBatch, Cf, KeyRange, Durability
//!        ______|_______________________________
//!       |                 |                    |
//!     Rocks             Memory               Faulty
//!   (production)   (tests, simulation)   (simulation: a Memory that forgets,
//!                                         fails and stalls when it is told to)
//! ```
//!
//! # The contract
//!
//! - **Families.** Keys live in families ([`Cf`]) that are ordered byte strings each. Clients' data
//!   is in `Default`, `Lock` and `Write`; `Local` holds the store's own records and cannot be named
//!   by a client. The raft engine has `Local` only.
//! - **A batch is atomic.** All of a [`WriteBatch`] becomes visible at once, and after a crash all of
//!   it is there or none. Later operations of a batch win over earlier ones.
//! - **An empty value is a value.** Only a delete deletes.
//! - **Synced means durable.** When a write with [`Durability::Synced`] returns, it and *every write
//!   before it* survive a power cut. Writes that were not synced survive as a prefix: a crash may
//!   forget the newest of them, never one from the middle.
//! - **A snapshot does not move.** It shows the newest state at the moment it was taken, whatever is
//!   written, ingested or deleted later, until it is dropped.
//! - **Failures are final.** A failed write or sync *poisons* the engine: every later call answers
//!   [`Error::Poisoned`] with the first reason. Trying a failed sync again is not safe, because the
//!   operating system may have dropped the pages it could not write and called them clean.
//!
//! The contract is also a test suite (`tests/conformance.rs` of this crate), and all three engines
//! pass it: otherwise what the simulation proves would be true of the wrong engine.
//!
//! # What is left out
//!
//! Transactions and merge operators: MVCC is a layer of our own, above. Anything about regions: this
//! crate does not know them. Key-by-key iteration that writes: collect a batch instead.

mod batch;
mod cf;
mod config;
mod engine;
mod engines;
mod error;
mod faulty;
mod memory;
mod metered;
mod poison;
mod range;
#[cfg(feature = "rocksdb")]
mod rocks;
mod sst;

pub use batch::{MAX_KEY_BYTES, Op, WriteBatch};
pub use cf::{Cf, Layout};
pub use config::{Compression, Config, RocksConfig};
pub use engine::{Cursor, Durability, Engine, Snapshot, SstInfo, SstWriter, Statistics};
pub use engines::Engines;
pub use error::{Error, Result};
pub use faulty::{Faults, Faulty};
pub use memory::Memory;
pub use metered::Metered;
pub use range::KeyRange;
#[cfg(feature = "rocksdb")]
pub use rocks::{OpenMode, Recovery, Rocks};

#[cfg(test)]
mod tests;
