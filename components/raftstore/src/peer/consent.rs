//! What a removed peer still says: yes, to the only member that is left.
//!
//! A group has two members, 1 and 2, and 1 is removed. Two are the quorum of two, so the removal is
//! committed when both have it; 1 applies it, leaves its tombstone, and is gone. If it was 1 that led, its
//! word that the removal is committed leaves just once, and may be lost:
//!
//! ```text
//! 1 leads, removal at 9:   1 ──append 9──► 2
//!                          1 ◄──accept 9── 2     1 commits and applies 9, and is gone
//!                          1 ──commit 9─x        lost
//! 2 has 9, counts two:     1 ◄──vote?───── 2     for ever
//! ```
//!
//! So the store of 1 answers in its place, from the tombstone alone: it grants every vote and pre-vote
//! to 2, and accepts every append of 2. Then 2 leads, commits the removal, and is a group of one.
//!
//! # Why that is safe
//!
//! - *2 has everything that was ever committed.* A tombstone that names 2 beside 1, and nobody else, was
//!   written where 1 applied its own removal, and that was committed by both disks of the two.
//! - *From there on 2 is the group.* These answers let it do nothing that it might not do alone, if it
//!   only knew. What it commits with their help lies on the one disk that counts.
//! - *There is still one leader in a term.* Once the tombstone is on disk 1 neither leads nor campaigns. Of
//!   every term in which it has led 2 has heard, and it asks for votes in later ones only.
//! - *Answers that come late do no harm.* They count while 2 has 1 for a member, which it has until it
//!   applies the removal, and nobody but 2 can change the group before that.
//!
//! Nothing is remembered, so a crash forgets nothing. A store that never comes back cannot answer: then 2
//! needs a person, like any region that has lost its majority.

use proto::metapb::Region;
use proto::raft_serverpb::RaftMessage;
use raft::{Body, Message};

/// Whether a message is to the peer that left this tombstone, from the only member that it leaves, which
/// does not know yet.
pub(crate) fn is_from_the_last(message: &RaftMessage, tombstone: &Region) -> bool {
    let (from, to) = (message.from_peer.unwrap_or_default(), message.to_peer.unwrap_or_default());
    let epoch = message.region_epoch.unwrap_or_default();
    // The peer that was buried is the last in its tombstone.
    tombstone.peers == [from, to] && epoch.conf_ver < tombstone.epoch().conf_ver
}

/// The yes to a message of the last member, if it asks for one.
pub(crate) fn answer(message: &RaftMessage, tombstone: &Region) -> Option<RaftMessage> {
    let asked = Message::try_from(message.message.clone()?).ok()?;
    let body = match asked.body {
        Body::RequestVote { .. } => Body::VoteResponse { granted: true },
        Body::RequestPreVote { .. } => Body::PreVoteResponse { granted: true },
        Body::Append { base, entries, .. } => {
            Body::AppendAccept { match_index: base.index.saturating_add(entries.len() as u64) }
        }
        Body::Heartbeat { .. }
        | Body::Snapshot { .. }
        | Body::TimeoutNow
        | Body::AppendAccept { .. }
        | Body::AppendRefuse { .. }
        | Body::HeartbeatResponse { .. }
        | Body::VoteResponse { .. }
        | Body::PreVoteResponse { .. }
        | Body::ReadIndex { .. }
        | Body::ReadIndexResponse { .. }
        | Body::TransferLeader
        | Body::Propose { .. }
        | Body::Campaign
        | Body::Beat => return None,
    };
    let yes = Message { from: asked.to, to: asked.from, term: asked.term, body };
    Some(RaftMessage {
        region_id: message.region_id,
        from_peer: message.to_peer,
        to_peer: message.from_peer,
        region_epoch: tombstone.region_epoch,
        message: Some(yes.into()),
        ..RaftMessage::default()
    })
}
