//! What people do to a cluster from a shell: look at it, read and write a few keys, change a region,
//! collect old versions.
//!
//! ```text
//!   words ── args ──► Command ── session ──► data, look, change, garbage ──► Output ── output ──► text, JSON
//!                        │                      (over the client)              ▲
//!                        └──────────────── offline (a directory) ──────────────┘
//! ```
//!
//! A command is data, and so is what it comes to: the [program](../tinykv_ctl/index.html) and the
//! playground's prompt differ only in where the words come from and who prints the answer.
//!
//! # How keys and values are written
//!
//! One rule for what is typed and what is printed, so that whatever was printed can be typed again: see
//! [`form`].
//!
//! # What an exit status says
//!
//! | status | meaning |
//! |---|---|
//! | 0 | it is done, or found |
//! | 1 | it is not done; the error says why, and what to do |
//! | 2 | the command line makes no sense; nothing was asked of anybody |
//! | 3 | nobody knows whether it is done: look before doing it again |
//! | 4 | there is no such key, region or store |
//!
//! # What is left out
//!
//! Watching, and everything that a supervisor does: start, stop, install. A command asks once and ends.

pub mod args;
mod change;
mod completion;
mod data;
pub mod error;
pub mod form;
mod garbage;
mod look;
mod offline;
pub mod output;
mod session;

pub use crate::args::{Command, CommandLine};
pub use crate::error::CtlError;
pub use crate::form::Form;
pub use crate::output::Output;
pub use crate::session::Session;

/// What commands come to.
pub type Result<T, E = CtlError> = std::result::Result<T, E>;
