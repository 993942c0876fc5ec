//! Messages from the past: who is out of date, and who should be told.
//!
//! Members come and go while some of them are cut off, so a message may come from a peer that is no
//! longer a member, or may be for one that this store no longer has. The original names six cases, with
//! members 1, 2 and 3, of which 1 leads:
//!
//! - *a.* 1 removes 2; an answer of 2 is still on its way. Nothing to do: 2 will apply its removal.
//! - *b.* 2 is cut off, 1 removes 2. When 2 is back it asks 1 and 3 for votes: 2 must be told that it is
//!   gone, because nobody else will.
//! - *c.* 2 is cut off from 1 but not from 3, and 1 removes 3. 2 asks 3, which is gone, for its vote.
//!   Nothing to do: 2 is a member and will hear from 1.
//! - *d.* Like c, but 1 removes 2 first, then adds 4 and removes 3. 3 is gone and 2 is too: 3's store
//!   tells 2.
//! - *e.* 2 is cut off, 4, 5 and 6 come, 3 and 1 go. 2 asks 1 and 3, who know that it is still a member.
//!   Nothing to do: 4 will find it.
//! - *f.* Like e, and then 4 removes 2. Nobody that 2 knows is there to tell it. It must ask the
//!   scheduler, which it does when it has heard of no leader for long.
//!
//! And one that the original does not name: 1 was removed from a group of 1 and 2, and 2 has not heard of
//! it. That is told in [`consent`].
//!
//! All come down to two comparisons of epochs: the sender's with what the receiver knows, and, where the
//! receiver knows more, whether the sender is a member still.

use proto::StoreId;
use proto::metapb::{Peer, Region, RegionEpoch};
use proto::raft_serverpb::RaftMessage;

use super::consent;
use crate::state;

/// What to do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is of the present: go on.
    Fresh,
    /// It is of the past, and will resolve itself.
    Ignore,
    /// It is from a peer that does not know that it was removed.
    TellSender,
    /// It is for a peer that is gone; this store's is newer.
    ForAnother,
    /// This store's peer is the one that is out of date: it was removed, and its successor is called.
    OwnIsGone,
    /// It is from the only member that is left, which waits for a word of the peer that is gone.
    LastOfTwo,
}

/// Judges a message to a region of which this store knows `region`; `own` is its peer of it.
pub(crate) fn judge(
    message: &RaftMessage,
    region: &Region,
    own: Peer,
    wants_vote: bool,
) -> Verdict {
    let epoch = message.region_epoch.unwrap_or_default();
    if is_out_of_date(epoch, region, message, wants_vote) {
        return Verdict::TellSender;
    }
    let to = message.to_peer.unwrap_or_default();
    if to.id < own.id {
        return Verdict::ForAnother;
    }
    if to.id > own.id {
        // Numbers grow, so this one was given out after ours: ours has been removed.
        return if is_newer(epoch, region) { Verdict::OwnIsGone } else { Verdict::Ignore };
    }
    Verdict::Fresh
}

/// Judges a message to a region whose tombstone this store has.
pub(crate) fn judge_by_tombstone(
    message: &RaftMessage,
    tombstone: &Region,
    wants_vote: bool,
) -> Verdict {
    let epoch = message.region_epoch.unwrap_or_default();
    // A tombstone that does not know the members would take each of them for a stranger.
    if state::knows_members(tombstone) && is_out_of_date(epoch, tombstone, message, wants_vote) {
        return Verdict::TellSender;
    }
    let to = message.to_peer.unwrap_or_default();
    if succeeds(to, epoch, tombstone) {
        Verdict::Fresh
    } else if consent::is_from_the_last(message, tombstone) {
        Verdict::LastOfTwo
    } else {
        Verdict::Ignore
    }
}

/// Whether a peer came after the one that the tombstone is of, by the epoch in which it is spoken of.
///
/// A newer epoch says so: also of a peer with the number of the removed one, which may be added again. In
/// the epoch of the tombstone only the number tells: whoever said that the peer is gone may have known
/// its successor already, which then has a greater one.
pub(crate) fn succeeds(peer: Peer, epoch: RegionEpoch, tombstone: &Region) -> bool {
    let gone = tombstone.peer_on_store(StoreId::new(peer.store_id)).copied().unwrap_or_default();
    let ended = tombstone.epoch().conf_ver;
    epoch.conf_ver > ended || (epoch.conf_ver == ended && peer.id > gone.id)
}

/// Whether the sender asks for votes in an election that it should not take part in.
fn is_out_of_date(
    epoch: RegionEpoch,
    region: &Region,
    message: &RaftMessage,
    wants_vote: bool,
) -> bool {
    wants_vote && epoch.conf_ver < region.epoch().conf_ver && !is_member(region, message)
}

fn is_member(region: &Region, message: &RaftMessage) -> bool {
    let from = message.from_peer.unwrap_or_default();
    region.peer_on_store(StoreId::new(from.store_id)) == Some(&from)
}

fn is_newer(epoch: RegionEpoch, region: &Region) -> bool {
    epoch.conf_ver > region.epoch().conf_ver
}

/// Whether a peer is told the truth when it hears that it is gone: the epoch that it hears of is newer
/// than what it knows.
pub(crate) fn is_believable(tombstone: &RaftMessage, region: &Region, own: Peer) -> bool {
    let to = tombstone.to_peer.unwrap_or_default();
    to == own && is_newer(tombstone.region_epoch.unwrap_or_default(), region)
}
