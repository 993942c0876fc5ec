//! A TinyKV node: one process that serves a part of the key space over gRPC.
//!
//! Everything here is assembly and translation. Decisions are made below:
//!
//! ```text
//!   flags, file, variables -> config            one Config, and where each value came from
//!                               |
//!                             node              opens the engine, starts the parts, stops them
//!                               |
//!        gRPC --> service (an arm per call) --> storage
//!                    |
//!                 respond                       the only file that builds errorpb, kvrpcpb errors
//!                                               and gRPC status
//! ```
//!
//! # Start and stop
//!
//! A node starts from the inside out: directory, engine, storage, listener; it says "serving" when the
//! port is open. It stops from the outside in, on an interrupt or a termination signal: no new calls,
//! the running ones are answered, the engine is closed. A second signal ends the process at once, which
//! loses nothing that was acknowledged.
//!
//! # What is left out
//!
//! So far a node serves alone (`--standalone`): a single engine, no regions, no scheduler. The calls
//! between stores answer that they are not served.

pub mod config;
pub mod node;
pub mod respond;
pub mod service;
