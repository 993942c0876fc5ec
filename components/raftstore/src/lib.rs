//! Many Raft groups on one node's disks.

pub mod snapshot;
