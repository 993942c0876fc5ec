//! A TinyKV node: one process that serves a part of the key space over gRPC.
//!
//! Everything here is assembly and translation. Decisions are made below:
//!
//! ```text
//!   flags, file, variables -> config            one Config, and where each value came from
//!                               |
//!                             node              starts and stops: what is below, the port, signals
//!                            /    \
//!                       alone      member       one engine, or a store of a cluster: engines, regions,
//!                            \    /             the scheduler, other stores
//!        gRPC --> service (an arm per call) --> storage
//!                    |
//!                 respond                       the only file that builds errorpb, kvrpcpb errors
//!                                               and gRPC status
//! ```
//!
//! # Start and stop
//!
//! A node starts from the inside out: directory, engines, scheduler, regions, listener; it says "serving"
//! when the port is open. It stops from the outside in, on an interrupt or a termination signal: no new calls,
//! the running ones are answered, the engine is closed. A second signal ends the process at once, which
//! loses nothing that was acknowledged.

mod alone;
pub mod config;
mod member;
pub mod meters;
pub mod node;
pub mod respond;
mod scheduler_port;
pub mod service;
mod status;
pub mod transport;
