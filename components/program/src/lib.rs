//! What the programs have in common: how they are told what to do, how they end, and the port on which
//! they show how they are.
//!
//! A store and a scheduler do different things in the same frame:
//!
//! ```text
//!   defaults, file, variables, flags ──► arguments ──► Settings ──► the program's own parts
//!   SIGINT, SIGTERM ───────────────────► signals ────► Trigger ──┐
//!   a panic, a failing disk ───────────► failure ────► Trigger ──┴─► Stopping, which the parts watch
//!   a person, a probe, Prometheus ─────► pages ──────► Inside: what the program says of itself
//!   connections ───────────────────────► incoming ───► the transport
//!   calls ─────────────────────────────► room ───────► the program's services, or a refusal
//! ```
//!
//! This is not in `runtime`, because the crates on which a simulation stands use that one, and must be
//! built without sockets, signals and a command line.
//!
//! What is not shared: the gRPC server, and the words in which a call is refused. They follow from the
//! calls that are served, and those of a store and of a scheduler have nothing in common.

pub mod arguments;
mod entry;
mod failure;
pub mod incoming;
mod opening;
pub mod pages;
mod process;
pub mod room;
mod serving;
mod signals;

pub use entry::{About, entry};
pub use failure::Failure;
pub use serving::{ListenError, async_runtime, listen};
pub use signals::{Signals, end_with_a_panic, listen_to_signals};
