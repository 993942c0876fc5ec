//! What is said to a store: to its peers, to itself, and by its own workers.
//!
//! Every inbox has one closed enum. Wishes come from outside and may be refused when the inbox is
//! full; [`Completion`]s come from the store's own workers, are bounded by what was handed out to them,
//! and are never lost.

use std::sync::Arc;

use bytes::Bytes;
use engine::{Cf, Snapshot};
use proto::RegionId;
use proto::eraftpb::ConfChangeType;
use proto::metapb::{Peer, Region, RegionEpoch};
use proto::raft_serverpb::{RaftMessage, RaftTruncatedState};
use runtime::reply::{Abandoned, Reply};

use crate::error::RegionError;
use crate::snapshot::SnapKey;

/// For whom a command is meant; checked before it does anything, and the epoch again when it is applied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Header {
    /// The region.
    pub region: RegionId,
    /// The peer that is to serve it. `None` where the sender does not care which.
    pub peer: Option<Peer>,
    /// The region as the sender knows it.
    pub epoch: RegionEpoch,
    /// The term of the snapshot from which the command was computed. Zero is unchecked.
    pub term: u64,
}

/// One step of a command that goes through the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The key has this value.
    Put {
        /// In this family.
        cf: Cf,
        /// The key, in the order of regions.
        key: Bytes,
        /// Its value; may be empty.
        value: Bytes,
    },
    /// The key has no value.
    Delete {
        /// In this family.
        cf: Cf,
        /// The key.
        key: Bytes,
    },
    /// Reads a key.
    Get {
        /// In this family.
        cf: Cf,
        /// The key.
        key: Bytes,
    },
    /// Reads whatever the caller will: a view of the whole region.
    Snap,
}

impl Request {
    /// The key that it touches, where it is one.
    pub fn key(&self) -> Option<&Bytes> {
        match self {
            Request::Put { key, .. } | Request::Delete { key, .. } | Request::Get { key, .. } => {
                Some(key)
            }
            Request::Snap => None,
        }
    }

    /// How many bytes its key and its value have.
    pub(crate) fn size(&self) -> usize {
        match self {
            Request::Put { key, value, .. } => key.len() + value.len(),
            Request::Delete { key, .. } | Request::Get { key, .. } => key.len(),
            Request::Snap => 0,
        }
    }
}

/// A change of the region itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Admin {
    /// Adds or removes a peer.
    ChangePeer {
        /// Which of the two.
        change: ConfChangeType,
        /// The peer.
        peer: Peer,
    },
    /// Cuts the region in two. The left part keeps the id.
    Split {
        /// The first key of the right part.
        key: Bytes,
        /// The id of the right part.
        new_region: RegionId,
        /// The ids of its peers, in the order of the region's.
        new_peers: Vec<u64>,
    },
    /// Forgets the log up to an entry.
    CompactLog {
        /// The last entry that is forgotten.
        index: u64,
        /// Its term.
        term: u64,
    },
    /// Hands the leadership over. Not replicated.
    TransferLeader {
        /// To this peer.
        to: Peer,
    },
}

/// What a client wants of a region.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Goes through the log: all requests are executed together.
    Write(Vec<Request>),
    /// Reads the newest state, without an entry in the log.
    Read,
    /// Changes the region.
    Admin(Admin),
}

/// What became of a command.
#[derive(Clone)]
pub enum Done {
    /// All of its changes are made. Only for commands that do not read.
    Written,
    /// What each of its requests found.
    Responses(Vec<Response>),
    /// The state that was asked for.
    Read(RegionSnapshot),
    /// The region is changed, or has been told to.
    Admin(AdminDone),
}

/// What a request found.
#[derive(Clone)]
pub enum Response {
    /// It is written.
    Put,
    /// It is deleted.
    Delete,
    /// The value of the key.
    Get(Option<Bytes>),
    /// The view.
    Snap(RegionSnapshot),
}

/// What became of a change of the region.
#[derive(Clone, Debug, PartialEq)]
pub enum AdminDone {
    /// The region with its new peers.
    ChangePeer(Region),
    /// Both parts, the left one first.
    Split(Vec<Region>),
    /// The log is, or will be, shorter.
    CompactLog,
    /// The leader has been asked to hand over.
    TransferLeader,
}

/// A state of the data, and of which region it is.
#[derive(Clone)]
pub struct RegionSnapshot {
    /// The region as of this state.
    pub region: Arc<Region>,
    /// The term of the leader that served it.
    pub term: u64,
    /// The data of the whole store. Only what lies in the region may be looked at.
    pub snapshot: Arc<dyn Snapshot>,
}

impl std::fmt::Debug for RegionSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RegionSnapshot(region {} at term {})", self.region.id, self.term)
    }
}

impl std::fmt::Debug for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Done::Written => f.write_str("Written"),
            Done::Responses(responses) => write!(f, "Responses({responses:?})"),
            Done::Read(snapshot) => write!(f, "Read({snapshot:?})"),
            Done::Admin(done) => write!(f, "Admin({done:?})"),
        }
    }
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Response::Put => f.write_str("Put"),
            Response::Delete => f.write_str("Delete"),
            Response::Get(value) => write!(f, "Get({value:?})"),
            Response::Snap(snapshot) => write!(f, "Snap({snapshot:?})"),
        }
    }
}

/// The answer to a command.
#[derive(Clone, Debug)]
pub struct Answer(pub Result<Done, RegionError>);

/// Tells all of them the same.
pub(crate) fn answer_all(replies: Vec<Reply<Answer>>, answer: Answer) {
    let mut replies = replies.into_iter();
    let Some(first) = replies.next() else { return };
    for reply in replies {
        reply.answer(answer.clone());
    }
    first.answer(answer);
}

/// Whoever waits for an entry of the log: one who sent a command, or several whose writes share the entry.
///
/// A place in the log is named by index *and* term: the same index may come out with another leader's
/// entry. Replies that are dropped say that nothing is known.
#[derive(Debug)]
pub struct Waiting {
    /// The place.
    pub index: u64,
    /// The term of whoever put it there.
    pub term: u64,
    /// Where to answer.
    pub replies: Vec<Reply<Answer>>,
}

impl Abandoned for Answer {
    /// Whoever lost the reply did not say whether the command was applied.
    fn abandoned() -> Self {
        Answer(Err(RegionError::StaleCommand))
    }
}

/// What is said to a peer from outside.
#[derive(Debug)]
pub enum PeerMsg {
    /// A raft message from a peer on another store.
    Raft(Box<RaftMessage>),
    /// A command from a client of this store.
    Command {
        /// For whom it is meant.
        header: Header,
        /// What it wants.
        command: Command,
        /// Answered once.
        reply: Reply<Answer>,
    },
    /// The transport could not reach another peer.
    Unreachable {
        /// The peer.
        peer: u64,
    },
    /// What became of a snapshot that was sent.
    SnapshotSent {
        /// To this peer.
        to: u64,
        /// Which it was.
        key: SnapKey,
        /// Whether all of it arrived.
        delivered: bool,
    },
    /// Somebody wants to know how the peer is.
    Look(Reply<Looked>),
}

/// What a peer says of itself, for tools and people; nothing where there is none.
#[derive(Debug)]
pub struct Looked(pub Option<Box<PeerLook>>);

impl Abandoned for Looked {
    fn abandoned() -> Self {
        Looked(None)
    }
}

/// A peer, as it was at one moment.
#[derive(Clone, Debug)]
pub struct PeerLook {
    /// Its region.
    pub region: Region,
    /// Itself.
    pub peer: Peer,
    /// Who leads, as far as it knows.
    pub leader: Option<Peer>,
    /// What Raft says.
    pub raft: raft::Status,
    /// The term of the newest entry of its log.
    pub last_term: u64,
    /// The end of the log that it has forgotten.
    pub truncated: RaftTruncatedState,
    /// About how many bytes the region has, once that is known.
    pub size: Option<u64>,
}

/// What is said to the store itself.
#[derive(Debug)]
pub enum StoreMsg {
    /// A raft message for a region that this store does not have.
    Raft(Box<RaftMessage>),
    /// The store stops after this turn.
    Stop,
}

/// What a worker of the store reports to the thread that owns the peers.
#[derive(Debug)]
pub enum Completion {
    /// Entries are in the data. One report for all regions of a batch.
    Applied(Vec<Applied>),
    /// A region's entries are no longer applied, as was wished before a snapshot is installed.
    ApplierStopped(RegionId),
    /// A peer's tombstone and the end of its data are on disk.
    Destroyed {
        /// The region.
        region: RegionId,
        /// The peer. Another one may have been made meanwhile, which is none of this one's business.
        peer: Peer,
    },
    /// A snapshot was built, or not.
    SnapshotBuilt {
        /// The region.
        region: RegionId,
        /// The snapshot, for Raft to send; `None` if it could not be built now.
        snapshot: Option<proto::eraftpb::Snapshot>,
    },
    /// The files of a snapshot that has arrived were read through, before Raft hears of it.
    SnapshotChecked {
        /// The message that carries it.
        message: Box<RaftMessage>,
        /// Whether they are what was announced.
        is_whole: bool,
    },
    /// A snapshot has become the region's data, or is damaged.
    SnapshotInstalled {
        /// The region.
        region: RegionId,
        /// Whether it is in the data.
        installed: bool,
    },
    /// How large a region is, by an exact count or an upper bound, and where to cut it.
    SizeKnown {
        /// The region, as it was when it was looked at.
        region: RegionId,
        /// Its epoch then.
        epoch: RegionEpoch,
        /// Its size in bytes.
        size: u64,
        /// Where to cut it, if it is too large.
        split_key: Option<Bytes>,
    },
    /// The scheduler has given ids for a split, or has not.
    SplitIds {
        /// The region.
        region: RegionId,
        /// Its epoch when they were asked for.
        epoch: RegionEpoch,
        /// Where to cut it.
        key: Bytes,
        /// The new region's id and those of its peers.
        ids: Option<(RegionId, Vec<u64>)>,
    },
    /// What the scheduler says about a region whose peer has heard from no leader.
    Membership {
        /// The region.
        region: RegionId,
        /// The region as the scheduler knows it.
        current: Option<Region>,
    },
    /// The disk failed; the store must stop.
    Failed(String),
}

/// What applying entries of one region has changed.
#[derive(Debug)]
pub struct Applied {
    /// The region.
    pub region: RegionId,
    /// The last applied entry.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// About how many bytes were written into the data.
    pub bytes_written: u64,
    /// What else happened, in order.
    pub effects: Vec<Effect>,
}

/// What a committed entry changes beside the data.
#[derive(Debug)]
pub enum Effect {
    /// The region has other peers.
    PeersChanged {
        /// For Raft.
        change: proto::eraftpb::ConfChange,
        /// The region as it is now.
        region: Region,
        /// The peer that was added or removed.
        peer: Peer,
        /// Where the change stands in the log.
        index: u64,
    },
    /// The region was cut in two.
    Split {
        /// The left part, which keeps id and peers.
        left: Region,
        /// The right part.
        right: Region,
        /// Whether this store has the right part: not if its peer there was removed already.
        is_right_here: bool,
    },
    /// The log may be forgotten up to here.
    LogTruncated {
        /// The last entry that is forgotten.
        index: u64,
        /// Its term.
        term: u64,
    },
    /// This peer was removed; its tombstone is on disk and its data is gone.
    Destroyed,
}
