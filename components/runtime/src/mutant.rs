//! Planted bugs, so that the tests can show that they would find them.
//!
//! A test suite that is green proves little before it has been red. With the feature `mutants` the
//! environment variable `TINYKV_MUTANT` switches one of the bugs below on; `make mutants` expects some
//! suite to fail for each. Without the feature every question is a constant *no*, and the compiler
//! removes it.
//!
//! | number | in | the bug |
//! |---|---|---|
//! | 1 | raft | a leader commits an entry of an older term by counting copies (Figure 8) |
//! | 2 | raft | a vote is not persisted |
//! | 3 | raft | an append is acknowledged before it is on disk |
//! | 4 | raft | a restarted node forgets its vote, and votes twice in a term |
//! | 5 | raft | a node campaigns with a membership change that it has not applied |
//! | 6 | raft | a pre-vote does not compare the logs |
//! | 7 | raft | a snapshot older than the commit index is accepted |
//! | 8 | raft | an append that repeats what is there truncates what follows |
//! | 9 | raftstore | the applied index is written in a batch of its own |
//! | 10 | raftstore | the log is deleted before the data that it led to is on disk |
//! | 11 | raftstore | the epoch is not checked when a command is applied |
//! | 12 | raftstore | the epoch is not checked when a read is served |
//! | 13 | raftstore | a split does not check its key |
//! | 14 | raftstore | no tombstone is written for a removed peer |
//! | 15 | raftstore | a snapshot is accepted whose range overlaps another region |
//! | 16 | raftstore | the checksum of a snapshot is ignored |
//! | 17 | raftstore | a reply is matched by its index alone, whatever the term |
//! | 18 | raftstore | the lease is kept when leadership is handed over |
//! | 19 | storage | a rollback leaves no record, so a prewrite that arrives late succeeds |
//! | 20 | storage | a write conflicts only with records *after* its start, not at it |
//! | 21 | storage | a read ignores locks |
//! | 22 | storage | a check of a transaction's status, which may roll it back, takes no latch |
//! | 23 | scheduler | the window of timestamps is not saved before it is used |
//! | 24 | scheduler | an older heartbeat replaces a newer one |
//! | 25 | raftstore | a change of a region's state is not synced |
//! | 26 | server | the queue to a store that cannot be reached has no bound |
//! | 27 | raftstore | a write may be proposed in another term than that of the snapshot it was computed from |
//! | 28 | raft | a restarted node votes at once, while a lease that it granted still runs |
//! | 29 | raftstore | a snapshot that was being built when its region was split is sent after it |

/// Whether the planted bug of this number is switched on.
#[cfg(feature = "mutants")]
pub fn on(number: u32) -> bool {
    use std::sync::OnceLock;
    static CHOSEN: OnceLock<Option<u32>> = OnceLock::new();
    *CHOSEN.get_or_init(|| std::env::var("TINYKV_MUTANT").ok()?.parse().ok()) == Some(number)
}

/// Whether the planted bug of this number is switched on: never, in this build.
#[cfg(not(feature = "mutants"))]
#[inline]
pub const fn on(_number: u32) -> bool {
    false
}
