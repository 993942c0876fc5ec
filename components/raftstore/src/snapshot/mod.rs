//! Snapshots as files.

mod build;
mod chunk;
mod error;
mod folder;
mod install;
mod key;
mod manager;
mod meta;
mod registry;

pub use build::build;
pub use chunk::{CHUNK_BYTES, Incoming, Outgoing, transfer};
pub use error::{Error, Result};
pub use install::{ingest, verify};
pub use key::{Side, SnapId, SnapKey};
pub use manager::{Hold, SnapManager};
pub use meta::{FileMeta, Manifest};
pub use registry::{Limits, Stage};
