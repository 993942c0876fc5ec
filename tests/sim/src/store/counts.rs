//! What a run did, so that one that did too little is not taken for a proof.

/// How often what happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events of all kinds.
    pub events: u64,
    /// Messages that arrived.
    pub messages: u64,
    /// Stores that stopped because a disk failed.
    pub failed_disks: u64,
    /// Snapshots that were put on their way.
    pub snapshots_sent: u64,
    /// Snapshots that were damaged, cut off or misreported on the way.
    pub snapshots_damaged: u64,
}
