//! What one node is told when it is made.

use std::fmt;

use crate::{Index, NodeId};

/// The configuration of one node of one group.
///
/// The default is the Raft of the paper, and of the TinyKV course. A store switches on what is
/// under *beyond the paper* as well. Limits are always on; each says what happens when it is
/// reached.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node. Never zero, and never used again for a node whose disk was lost: the others count
    /// on what this id has promised.
    pub id: NodeId,
    /// The members of the group, of which this node need not be one. Empty means: those in the
    /// storage's `ConfState`, which is right for everything but tests and a first start.
    pub peers: Vec<NodeId>,
    /// A follower that hears nothing for this many ticks, or up to twice as many, campaigns. The
    /// exact number is drawn anew for each wait, so that candidates rarely collide.
    pub election_ticks: u32,
    /// A leader speaks at least once in this many ticks. Must be smaller than `election_ticks`, and
    /// should be much smaller, so that one lost message starts no election.
    pub heartbeat_ticks: u32,
    /// The last index that the state machine has applied. After a restart committed entries are
    /// handed out from the one that follows.
    pub applied: Index,
    /// Where the election timeouts come from. Nodes mix their id into it, so one seed for all nodes
    /// is fine.
    pub seed: u64,

    // Beyond the paper.
    /// Ask before campaigning whether an election could be won at all, without raising the term. A
    /// node that was cut off then disturbs nobody when it comes back (thesis, section 9.6).
    pub pre_vote: bool,
    /// A leader that does not hear a quorum within an election timeout steps down, and a follower
    /// that hears its leader ignores candidates (thesis, sections 6.2 and 4.2.3). Both together are
    /// what a [lease](crate::RawNode::lease) stands on.
    pub check_quorum: bool,
    /// How long a node that restarts neither votes nor campaigns, in ticks. It no longer knows which
    /// leader it answered a moment ago; waiting for `election_ticks` keeps the promise anyway. Zero
    /// for a node that is new.
    pub restart_wait_ticks: u32,
    /// The driver writes while the node goes on, and reports with
    /// [`on_persisted`](crate::RawNode::on_persisted). A leader's own entries and a candidate's own
    /// vote count only from then on. Off: the driver finishes each `Ready` before it calls again, and
    /// they count at once.
    pub async_persist: bool,

    // Limits.
    /// Bytes of entries in one append; a single larger entry still travels, alone.
    pub message_bytes_max: u64,
    /// Appends to one follower that are on their way. Beyond it, nothing more is sent to that
    /// follower until it answers.
    pub inflight_messages_max: usize,
    /// Bytes of entries on their way to one follower, with the same consequence.
    pub inflight_bytes_max: u64,
    /// Bytes of entries kept in memory after they are on disk, so that slightly slow followers and
    /// the state machine need no disk. Older ones are read back when needed.
    pub cache_bytes_max: u64,
    /// Bytes proposed to a leader and not yet handed out for applying. Beyond it proposals are
    /// refused as [`Busy`](crate::Error::Busy); one proposal is always admitted.
    pub pending_bytes_max: u64,
    /// Bytes of committed entries handed out and not yet reported as applied. Beyond it no more are
    /// handed out; one entry always is.
    pub applying_bytes_max: u64,
    /// Reads that wait for a leader to be confirmed. Beyond it reads are refused as `Busy`.
    pub pending_reads_max: usize,
    /// A follower that was sent a snapshot and neither accepts it nor is reported as failed is asked
    /// again what it has after this many ticks. Larger than the time a snapshot takes.
    pub snapshot_ticks_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            id: 0,
            peers: Vec::new(),
            election_ticks: 10,
            heartbeat_ticks: 1,
            applied: 0,
            seed: 0,
            pre_vote: false,
            check_quorum: false,
            restart_wait_ticks: 0,
            async_persist: false,
            message_bytes_max: 1 << 20,
            inflight_messages_max: 256,
            inflight_bytes_max: 16 << 20,
            cache_bytes_max: 4 << 20,
            pending_bytes_max: 64 << 20,
            applying_bytes_max: 64 << 20,
            pending_reads_max: 4096,
            snapshot_ticks_max: 300,
        }
    }
}

impl Config {
    /// Says everything that is wrong at once, because a person who fixes a file wants the whole list.
    pub fn validate(&self) -> Result<(), Problems> {
        let mut problems = Problems(Vec::new());
        let mut require = |holds: bool, field: &'static str, why: &'static str| {
            if !holds {
                problems.0.push(Problem { field, why });
            }
        };
        require(self.id != 0, "id", "must not be zero");
        require(!self.peers.contains(&0), "peers", "must not contain zero");
        let mut sorted = self.peers.clone();
        sorted.sort_unstable();
        require(sorted.is_sorted_by(|a, b| a < b), "peers", "must not contain a node twice");
        require(self.heartbeat_ticks > 0, "heartbeat-ticks", "must not be zero");
        require(
            self.election_ticks > self.heartbeat_ticks,
            "election-ticks",
            "must be greater than heartbeat-ticks",
        );
        // Twice the timeout must fit, because that is how far it is randomised.
        require(self.election_ticks < 1 << 30, "election-ticks", "must be less than 2^30");
        require(self.message_bytes_max > 0, "message-bytes-max", "must not be zero");
        require(self.inflight_messages_max > 0, "inflight-messages-max", "must not be zero");
        require(
            self.inflight_bytes_max >= self.message_bytes_max,
            "inflight-bytes-max",
            "must be at least message-bytes-max",
        );
        require(self.snapshot_ticks_max > 0, "snapshot-ticks-max", "must not be zero");
        if problems.0.is_empty() { Ok(()) } else { Err(problems) }
    }
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which field, as it is spelt in a configuration file.
    pub field: &'static str,
    /// What it must be instead.
    pub why: &'static str,
}

/// Everything that is wrong with a configuration; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, Problem { field, why }) in self.0.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{field} {why}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_with_an_id_is_valid() {
        assert_eq!(Config { id: 1, ..Config::default() }.validate(), Ok(()));
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let config = Config {
            peers: vec![1, 2, 1, 0],
            election_ticks: 1,
            inflight_messages_max: 0,
            ..Config::default()
        };
        let problems = config.validate().unwrap_err().to_string();
        assert_eq!(
            problems,
            "id must not be zero, peers must not contain zero, peers must not contain a node twice, \
             election-ticks must be greater than heartbeat-ticks, inflight-messages-max must not be \
             zero"
        );
    }
}
