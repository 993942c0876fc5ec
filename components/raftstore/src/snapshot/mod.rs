//! Snapshots as files.
//!
//! A peer whose log is too old, or who has none, gets the state of its region instead: one sorted file
//! for each family that has keys in the region's range. Files are what engines write and take in
//! fastest, and they can be checked, kept and sent again. Raft's own message carries only the list of
//! them, with sizes and checksums ([`Manifest`]); it leaves when the files have arrived.
//!
//! # The stages of a snapshot
//!
//! ```text
//!  on the sender                                          on the receiver
//!
//!  scan, one engine snapshot                              chunks arrive, counted against the list
//!    | Building     gen_7_6_120_write.sst.tmp               | Receiving    rev_7_6_120_write.sst.tmp
//!    v                                                      v
//!  sync, measure, name                                    checksums, sync, name
//!    | Built        gen_7_6_120_write.sst                   | Received     rev_7_6_120_write.sst
//!    |              gen_7_6_120.meta                        |              rev_7_6_120.meta
//!    v                                                      v
//!  read, measured once more                               verify; ingest, by a second link each
//!    | Sending ======= chunks ======================>>>     | Installing   rev_7_6_120_write.sst.ingest
//!    v                                                      v
//!  deleted when it is old                                 deleted as the last step of the install
//! ```
//!
//! The numbers are region, term and index ([`SnapKey`]). The list of files (`.meta`) is what makes a
//! snapshot: it is named last and removed first.
//!
//! # Guarantees
//!
//! - **All or nothing.** A snapshot is there when its list and every listed file are on disk. What was
//!   begun and not completed is removed by its guard, or by the next start after a crash.
//! - **No byte unchecked.** Checksums are compared when files are sent, when they have arrived, and
//!   right before an engine takes them in. A damaged snapshot is not an end but a piece of news: it is
//!   thrown away, and the sender asked for another.
//! - **An install can be repeated.** Engines take what they ingest; they get a second link to each
//!   file, so that after a crash between any two steps all of it is done again from the start.
//! - **Nobody deletes what is in use.** Sending, receiving, checking and installing hold a guard. Who
//!   has accepted a snapshot and not installed it yet keeps a [`Hold`]; without one it could be
//!   deleted for its age, or replaced by another one of the same name.
//! - **Everything has a limit** ([`Limits`]), and what meets it is refused as busy, not queued here.
//! - **The wire names no file.** A description is read into a [`Manifest`] or refused; paths are made of
//!   its numbers and of our own words.
//!
//! # Example
//!
//! A store builds, another receives and installs; both ends are in this process:
//!
//! ```no_run
//! # use engine::Engine;
//! # use raftstore::snapshot::{self, Side, SnapKey, SnapManager};
//! # fn example(
//! #     leader: (&dyn Engine, &SnapManager),
//! #     follower: (&dyn Engine, &SnapManager),
//! #     region: &proto::metapb::Region,
//! # ) -> snapshot::Result<()> {
//! let key = SnapKey { region: region.id, term: 6, index: 120 };
//! let data = snapshot::build(&*leader.0.snapshot()?, leader.0, region, key, leader.1)?;
//! snapshot::transfer(leader.1, follower.1, key, &data)?;
//!
//! let hold = follower.1.accept(key, &data)?;
//! snapshot::verify(follower.1, key, &data)?;
//! // Here the peer writes down that it accepts the snapshot, and empties the range.
//! snapshot::ingest(follower.0, follower.1, key, &data)?;
//! // Here it writes down that the region is installed.
//! follower.1.retire(key, Side::Received)?;
//! drop(hold); // The last user is gone, and so are the files.
//! # Ok(())
//! # }
//! ```
//!
//! # What is left out
//!
//! What a snapshot means to Raft, and the records around an install, are the peer's. How fast chunks
//! may go, and how long a sender may be silent, is the transport's: it drops an [`Incoming`] that waits
//! for too long, and its place is free again. That the keys in a file lie in the range of the region is
//! not checked: it would take reading every file key by key, and the sender is a store of this cluster
//! that has cut its scan at the range. Second links need a file system that has them.

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

#[cfg(test)]
mod tests;
