//! What others rely on is on disk: no node applies, answers from, or persists a commit index above
//! its own durable last index, and no promise leaves a machine before what it speaks of is written
//! (paper, Figure 2: "updated on stable storage before responding to RPCs").

use proto::eraftpb::HardState;
use raft::{Body, Index, Message, NodeId, Storage};

use super::super::disk::Disk;
use super::{Property, Verdict};

pub(crate) static PROPERTY: Property = Property {
    name: "what is promised, applied, answered or committed is durable",
    source: "Raft paper, Figure 2",
};

/// Node `id` applies, or answers a read from, `index`.
pub(crate) fn check_applied(id: NodeId, disk: &Disk, index: Index) -> Verdict {
    let last = disk.last_index();
    PROPERTY.require(index <= last, || {
        format!("node {id} applies or answers {index}, and its disk ends at {last}")
    })
}

/// Node `id` has written to its disk.
pub(crate) fn check_written(id: NodeId, disk: &Disk) -> Verdict {
    let (commit, last) = (disk.hard_state().commit, disk.last_index());
    PROPERTY.require(commit <= last, || {
        format!("node {id} has the commit index {commit} on a disk that ends at {last}")
    })
}

/// `message` leaves its sender, whose disk this is.
pub(crate) fn check_promise(message: &Message, disk: &Disk) -> Verdict {
    let Message { from, to, term, body } = message;
    let HardState { term: durable_term, vote, .. } = *disk.hard_state();
    // What was said in a term that the disk has left behind may have been overwritten since, by the
    // same write; whoever could have counted on it is outvoted.
    let is_current = *term == durable_term;
    let is_kept = if let Body::AppendAccept { match_index } = body {
        *match_index <= disk.last_index()
    } else if let Body::VoteResponse { granted: true } = body {
        vote == *to
    } else if let Body::RequestVote { .. } = body {
        vote == *from
    } else if let Body::HeartbeatResponse { .. } = body {
        true
    } else {
        return Ok(());
    };
    let holds = *term <= durable_term && (!is_current || is_kept);
    PROPERTY.require(holds, || {
        let last = disk.last_index();
        format!("{message} leaves a disk of term {durable_term}, vote {vote}, last index {last}")
    })
}
