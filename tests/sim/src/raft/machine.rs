//! One machine: a node, its disk, its state machine, its clock, and the driver's books.

use std::collections::VecDeque;

use proto::eraftpb::{Entry, Snapshot};
use raft::{Index, NodeId, Position, RawNode, Ready, Term};

use super::check::lease::Held;
use super::disk::Disk;
use super::state::State;

/// How many machines there are at most in one run. A number is never used twice.
pub(crate) const MACHINES_MAX: usize = 12;

/// Where the machine with this number stands in arrays.
pub(crate) fn slot(id: NodeId) -> usize {
    usize::try_from(id - 1).expect("machines are few")
}

/// What becomes of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It was not bought yet.
    Absent,
    /// It works.
    Up,
    /// It crashed.
    Down,
    /// It was removed from the group and shut down; its disk is kept to be looked at.
    Gone,
}

/// Work for the state machine.
pub(crate) enum Job {
    Entry(Entry),
    Snapshot(Box<Snapshot>),
}

/// A read that waits for its confirmation.
pub(crate) struct Asked {
    /// The name that it was given.
    pub(crate) name: u64,
    /// What had been shown to clients when it began.
    pub(crate) floor: Index,
}

/// A read that is confirmed and waits for the state machine.
pub(crate) struct Confirmed {
    pub(crate) index: Index,
    pub(crate) floor: Index,
}

/// What was last seen of a node, to notice what a call has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) commit: Index,
    pub(crate) term: Term,
    pub(crate) is_leader: bool,
    pub(crate) last: Position,
    pub(crate) round: u64,
}

/// See the [module](self).
pub(crate) struct Machine {
    pub(crate) id: NodeId,
    pub(crate) phase: Phase,
    /// The node, while the machine is up. Its disk is inside.
    pub(crate) node: Option<RawNode<Disk>>,
    /// The disk, while the machine is not up.
    pub(crate) disk: Disk,
    /// Readys that are not on disk yet.
    pub(crate) writing: VecDeque<Ready>,
    /// Work for the state machine.
    pub(crate) applying: VecDeque<Job>,
    /// The state machine.
    pub(crate) state: State,
    /// The state machine as it was last saved.
    pub(crate) saved: State,
    /// Calls since the last Ready was taken, and how many there should be.
    pub(crate) inputs: u64,
    pub(crate) batch: u64,
    /// Time between two ticks, in thousandths of a tick.
    pub(crate) period: u64,
    pub(crate) next_tick: u64,
    pub(crate) lease: Option<Held>,
    /// When each round of heartbeats of this term was sent.
    pub(crate) rounds: VecDeque<(u64, u64)>,
    pub(crate) asked: Vec<Asked>,
    pub(crate) confirmed: Vec<Confirmed>,
    /// Proposals that wait for their acknowledgement.
    pub(crate) proposals: VecDeque<Position>,
    pub(crate) seen: Seen,
    /// How often it was started.
    pub(crate) starts: u64,
}

impl Machine {
    pub(crate) fn new(id: NodeId) -> Self {
        Machine {
            id,
            phase: Phase::Absent,
            node: None,
            disk: Disk::default(),
            writing: VecDeque::new(),
            applying: VecDeque::new(),
            state: State::default(),
            saved: State::default(),
            inputs: 0,
            batch: 1,
            period: 1000,
            next_tick: 0,
            lease: None,
            rounds: VecDeque::new(),
            asked: Vec::new(),
            confirmed: Vec::new(),
            proposals: VecDeque::new(),
            seen: Seen::default(),
            starts: 0,
        }
    }

    /// The disk, wherever it is.
    pub(crate) fn disk(&self) -> &Disk {
        self.node.as_ref().map_or(&self.disk, RawNode::storage)
    }

    pub(crate) fn disk_mut(&mut self) -> &mut Disk {
        match &mut self.node {
            Some(node) => node.storage_mut(),
            None => &mut self.disk,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.phase == Phase::Up
    }

    /// Whether the node leads, as far as it knows.
    pub(crate) fn leads(&self) -> bool {
        self.node.as_ref().is_some_and(|node| node.raft().is_leader())
    }

    /// Forgets all that is not on disk. The node must be gone already.
    pub(crate) fn forget(&mut self) {
        self.writing.clear();
        self.applying.clear();
        self.lease = None;
        self.rounds.clear();
        self.asked.clear();
        self.confirmed.clear();
        self.proposals.clear();
        self.seen = Seen::default();
        self.inputs = 0;
    }

    /// When the round of this number was sent, if that is still known.
    pub(crate) fn sent_at(&self, round: u64) -> Option<u64> {
        let find = self.rounds.iter().rev().find(|(number, _)| *number == round);
        find.map(|(_, sent)| *sent)
    }
}
