//! Messages on the wire: [`eraftpb::Message`] to [`Message`] and back.
//!
//! The record on the wire has a field for everything, of which each kind of message uses a few, and a
//! peer could send any combination. This file is the gate: what does not make sense is refused here,
//! so that the rest of the crate may believe what it reads. Every condition is one that a correct node
//! always meets.

use bytes::Bytes;
use proto::eraftpb::{self, Entry, EntryType, MessageType};

use crate::error::{Error, Result};
use crate::message::{Body, Message, Position};

/// Terms and indexes beyond this are refused, so that no sum of them overflows. At a million a second
/// a group would get there in two hundred thousand years.
const NUMBER_MAX: u64 = u64::MAX / 4;

/// The context of a read is a name for it, kept by the leader until the read is confirmed. With the
/// limit on waiting reads this bounds what others can make a leader keep.
pub const CONTEXT_BYTES_MAX: usize = 64;

impl TryFrom<eraftpb::Message> for Message {
    type Error = Error;

    fn try_from(wire: eraftpb::Message) -> Result<Self> {
        require(wire.from != 0, "no sender")?;
        require(wire.to != 0, "no receiver")?;
        let numbers = [wire.term, wire.log_term, wire.index, wire.commit, wire.reject_hint];
        require(numbers.iter().all(|n| *n <= NUMBER_MAX), "a number is out of range")?;
        let (from, to, term) = (wire.from, wire.to, wire.term);
        let kind = MessageType::try_from(wire.msg_type);
        let body = read_body(kind.map_err(|_| Error::Malformed("unknown kind of message"))?, wire)?;
        require(from != to || body.is_wish(), "a message to oneself")?;
        require(
            body.is_wish() == (term == 0),
            "a term where none belongs, or none where one does",
        )?;
        Ok(Message { from, to, term, body })
    }
}

fn read_body(kind: MessageType, wire: eraftpb::Message) -> Result<Body> {
    let eraftpb::Message { index, log_term, commit, context, .. } = wire;
    let position = Position { term: log_term, index };
    let granted = !wire.reject;
    require(context.len() <= CONTEXT_BYTES_MAX, "a context that is too long")?;
    Ok(match kind {
        MessageType::MsgHup | MessageType::MsgBeat | MessageType::MsgPropose => {
            return Err(Error::Malformed("a local message came from another node"));
        }
        MessageType::MsgTransferLeader => Body::TransferLeader,
        MessageType::MsgReadIndex => Body::ReadIndex { context },
        MessageType::MsgReadIndexResponse => Body::ReadIndexResponse { index, context },
        MessageType::MsgRequestPreVote => Body::RequestPreVote { last: position },
        MessageType::MsgRequestPreVoteResponse => Body::PreVoteResponse { granted },
        MessageType::MsgRequestVote => Body::RequestVote { last: position, force: wire.force },
        MessageType::MsgRequestVoteResponse => Body::VoteResponse { granted },
        MessageType::MsgAppend => {
            check_entries(position, &wire.entries, wire.term)?;
            Body::Append { base: position, entries: wire.entries, commit }
        }
        MessageType::MsgAppendResponse if granted => Body::AppendAccept { match_index: index },
        MessageType::MsgAppendResponse => {
            let hint = Position { term: log_term, index: wire.reject_hint };
            Body::AppendRefuse { base_index: index, hint }
        }
        MessageType::MsgSnapshot => {
            let snapshot = wire.snapshot.ok_or(Error::Malformed("a snapshot without snapshot"))?;
            let covered = Position::of_snapshot(&snapshot);
            require(covered.index > 0 && covered.term > 0, "a snapshot of nothing")?;
            require(covered.index <= NUMBER_MAX, "a number is out of range")?;
            require(covered.term <= wire.term, "a snapshot from a later term")?;
            let conf_state = snapshot.metadata.as_ref().and_then(|m| m.conf_state.as_ref());
            let has_nobody = conf_state.is_some_and(|conf_state| conf_state.nodes.contains(&0));
            require(!has_nobody, "a member without number")?;
            Body::Snapshot { snapshot: Box::new(snapshot) }
        }
        MessageType::MsgHeartbeat => Body::Heartbeat { commit, round: read_round(&context)? },
        MessageType::MsgHeartbeatResponse => {
            Body::HeartbeatResponse { round: read_round(&context)? }
        }
        MessageType::MsgTimeoutNow => Body::TimeoutNow,
    })
}

/// A leader's log has no gap, its terms never decrease, and none is after its own.
fn check_entries(base: Position, entries: &[Entry], term: u64) -> Result<()> {
    require(base.term <= term, "a log from a later term")?;
    require((base.index == 0) == (base.term == 0), "a base that is half there")?;
    let mut last = base;
    for entry in entries {
        require(entry.index == last.index + 1, "entries with a gap")?;
        require(entry.term >= last.term && entry.term <= term, "entries with impossible terms")?;
        require(EntryType::try_from(entry.entry_type).is_ok(), "unknown kind of entry")?;
        last = Position::of(entry);
    }
    require(last.index <= NUMBER_MAX, "a number is out of range")
}

fn require(holds: bool, why: &'static str) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::Malformed(why)) }
}

/// The number of a round travels as eight bytes in `context`, and not at all if it is zero.
fn read_round(context: &Bytes) -> Result<u64> {
    if context.is_empty() {
        return Ok(0);
    }
    let bytes = <[u8; 8]>::try_from(&context[..]);
    bytes.map(u64::from_be_bytes).map_err(|_| Error::Malformed("a round that is not a number"))
}

fn write_round(round: u64) -> Bytes {
    if round == 0 { Bytes::new() } else { Bytes::copy_from_slice(&round.to_be_bytes()) }
}

impl From<Message> for eraftpb::Message {
    fn from(message: Message) -> Self {
        let Message { from, to, term, body } = message;
        let mut wire = eraftpb::Message { from, to, term, ..eraftpb::Message::default() };
        let kind = write_body(&mut wire, body);
        wire.set_msg_type(kind);
        wire
    }
}

fn write_body(wire: &mut eraftpb::Message, body: Body) -> MessageType {
    match body {
        Body::Campaign => MessageType::MsgHup,
        Body::Beat => MessageType::MsgBeat,
        Body::Propose { entries } => {
            wire.entries = entries;
            MessageType::MsgPropose
        }
        Body::TransferLeader => MessageType::MsgTransferLeader,
        Body::ReadIndex { context } => {
            wire.context = context;
            MessageType::MsgReadIndex
        }
        Body::ReadIndexResponse { index, context } => {
            (wire.index, wire.context) = (index, context);
            MessageType::MsgReadIndexResponse
        }
        Body::RequestPreVote { last } => {
            (wire.index, wire.log_term) = (last.index, last.term);
            MessageType::MsgRequestPreVote
        }
        Body::PreVoteResponse { granted } => {
            wire.reject = !granted;
            MessageType::MsgRequestPreVoteResponse
        }
        Body::RequestVote { last, force } => {
            (wire.index, wire.log_term, wire.force) = (last.index, last.term, force);
            MessageType::MsgRequestVote
        }
        Body::VoteResponse { granted } => {
            wire.reject = !granted;
            MessageType::MsgRequestVoteResponse
        }
        Body::Append { base, entries, commit } => {
            (wire.index, wire.log_term) = (base.index, base.term);
            (wire.entries, wire.commit) = (entries, commit);
            MessageType::MsgAppend
        }
        Body::AppendAccept { match_index } => {
            wire.index = match_index;
            MessageType::MsgAppendResponse
        }
        Body::AppendRefuse { base_index, hint } => {
            (wire.index, wire.reject) = (base_index, true);
            (wire.reject_hint, wire.log_term) = (hint.index, hint.term);
            MessageType::MsgAppendResponse
        }
        Body::Snapshot { snapshot } => {
            wire.snapshot = Some(*snapshot);
            MessageType::MsgSnapshot
        }
        Body::Heartbeat { commit, round } => {
            (wire.commit, wire.context) = (commit, write_round(round));
            MessageType::MsgHeartbeat
        }
        Body::HeartbeatResponse { round } => {
            wire.context = write_round(round);
            MessageType::MsgHeartbeatResponse
        }
        Body::TimeoutNow => MessageType::MsgTimeoutNow,
    }
}
