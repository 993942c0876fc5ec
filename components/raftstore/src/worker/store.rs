//! What is said to the store itself: messages for regions that it does not have.
//!
//! A message may be for a peer that is about to be, because the scheduler has put it here or because a
//! split that this store has not applied yet makes it; or for one that has been. The first is made, the
//! second is kept in mind, the third is answered.

use std::collections::BTreeMap;

use prost::Message as _;
use proto::eraftpb::Snapshot;
use proto::metapb::{Peer as PeerRecord, Region, RegionEpoch};
use proto::raft_serverpb::{RaftMessage, RaftSnapshotData};
use proto::{RegionId, StoreId};
use runtime::mutant;
use slog::{debug, info};

use super::raft::RaftWorker;
use crate::error::Result;
use crate::peer::consent;
use crate::peer::stage::Stage;
use crate::peer::stale::{self, Verdict};
use crate::peer::{self, Peer};
use crate::snapshot::SnapKey;
use crate::state;
use crate::storage::PeerStorage;

/// Calls for peers that a split will make.
///
/// Members of the right part on faster stores ask for votes before this store has applied the split.
/// Were they dropped, the right part would wait for another election timeout.
#[derive(Debug, Default)]
pub(crate) struct Calls(BTreeMap<RegionId, Vec<RaftMessage>>);

/// Regions whose calls are kept; further ones replace the oldest, which is called again.
const CALLED_REGIONS_MAX: usize = 256;

/// Calls that are kept for one region: each member asks once or twice.
const CALLS_MAX: usize = 8;

impl Calls {
    fn keep(&mut self, region: RegionId, message: RaftMessage) {
        if self.0.len() >= CALLED_REGIONS_MAX && !self.0.contains_key(&region) {
            // Numbers grow, so this split has waited for longest, and may never come.
            self.0.pop_first();
        }
        let calls = self.0.entry(region).or_default();
        if calls.len() >= CALLS_MAX {
            calls.remove(0);
        }
        calls.push(message);
    }

    pub(super) fn take(&mut self, region: RegionId) -> Vec<RaftMessage> {
        self.0.remove(&region).unwrap_or_default()
    }
}

/// Checks what every raft message between stores must have. Answers who sent it.
pub(super) fn validate(envelope: &RaftMessage, store: StoreId) -> Option<PeerRecord> {
    let (from, to) = (envelope.from_peer?, envelope.to_peer?);
    let is_complete = envelope.region_id != 0
        && from.id != 0
        && from.store_id != 0
        && to.id != 0
        && to.store_id == store.get()
        && envelope.region_epoch.is_some();
    let agrees = match &envelope.message {
        Some(message) => message.from == from.id && message.to == to.id,
        None => envelope.is_tombstone,
    };
    (is_complete && agrees).then_some(from)
}

impl RaftWorker {
    /// A message for a region that this store does not have.
    pub(super) fn on_unknown(&mut self, envelope: RaftMessage) -> Result<()> {
        let id = RegionId::new(envelope.region_id);
        if validate(&envelope, self.context.store).is_none() {
            return Ok(());
        }
        if self.peers.contains_key(&id) {
            return self.on_raft_message(envelope);
        }
        let Some(message) = envelope.message.clone() else { return Ok(()) };
        let wants_vote = peer::wants_vote(&message);
        let known = state::region_state(&*self.context.engines.kv, id)?;
        if let Some(known) = known.filter(state::is_tombstone) {
            let tombstone = state::region_of(&known);
            match stale::judge_by_tombstone(&envelope, &tombstone, wants_vote) {
                Verdict::Fresh => {}
                Verdict::TellSender => {
                    self.tell_that_it_is_gone(&envelope, tombstone.epoch());
                    return Ok(());
                }
                Verdict::LastOfTwo => {
                    runtime::mark!("a removed peer says yes to the last of two");
                    self.out.messages.extend(consent::answer(&envelope, &tombstone));
                    return Ok(());
                }
                Verdict::Ignore | Verdict::ForAnother | Verdict::OwnIsGone => return Ok(()),
            }
        }
        if !peer::is_initial(&message) {
            return Ok(());
        }
        if self.index.is_taken(id, &envelope.start_key, &envelope.end_key) {
            if wants_vote {
                runtime::mark!("a call for the right part of a split to come");
                self.calls.keep(id, envelope);
            }
            return Ok(());
        }
        self.create(&envelope)?;
        self.on_raft_message(envelope)
    }

    /// Makes the peer that a message is for. It knows nothing yet, but may vote.
    fn create(&mut self, envelope: &RaftMessage) -> Result<()> {
        let Some(own) = envelope.to_peer else { return Ok(()) };
        let region = Region { id: envelope.region_id, ..Region::default() };
        let mut storage = PeerStorage::load(self.context.engines.clone(), region)?;
        storage.set_owner(Region {
            id: envelope.region_id,
            region_epoch: envelope.region_epoch,
            peers: vec![own],
            ..Region::default()
        });
        let has_history = !storage.hard_state().is_empty();
        let mut peer = Peer::new(&self.context, own, storage, Stage::Uninitialized, has_history)?;
        peer.was_called_at(envelope.region_epoch.unwrap_or_default());
        info!(self.context.log, "peer created by a message";
            "region" => envelope.region_id, "peer" => own.id);
        self.insert(peer);
        Ok(())
    }

    /// Answers a peer that does not know that it was removed.
    pub(super) fn tell_that_it_is_gone(&mut self, envelope: &RaftMessage, epoch: RegionEpoch) {
        debug!(self.context.log, "telling a peer that it was removed"; "region" => envelope.region_id);
        let answer = RaftMessage {
            region_id: envelope.region_id,
            from_peer: envelope.to_peer,
            to_peer: envelope.from_peer,
            region_epoch: Some(epoch),
            is_tombstone: true,
            ..RaftMessage::default()
        };
        self.send_now(answer);
    }

    /// Whether a snapshot may be shown to Raft: its files are here, it is of this peer, and there is room
    /// for its range. If so the range is reserved.
    pub(super) fn admit_snapshot(&mut self, id: RegionId, snapshot: &Snapshot) -> bool {
        let Some(peer) = self.peers.get(&id) else { return false };
        let Ok(data) = RaftSnapshotData::decode(snapshot.data.clone()) else { return false };
        let Some(region) = data.region.clone() else { return false };
        let is_ours = region.id == id.get()
            && region.peers.contains(&peer.own())
            && proto::region::is_before_end(&region.start_key, &region.end_key);
        if !is_ours || !peer.could_use_snapshot(snapshot.index()) {
            return false;
        }
        if !peer.stage.takes_snapshots() {
            // What it has set aside is for the one that is on its way, whether or not its files are there.
            return false;
        }
        let range = peer.storage().cleared_by(&region);
        if self.index.is_taken(id, &range.start, &range.end) && !mutant::on(15) {
            runtime::mark!("a snapshot that overlaps another region");
            debug!(self.context.log, "a snapshot has to wait for its range"; "region" => id.get());
            return false;
        }
        let key = SnapKey::of(snapshot, id.get());
        let Ok(hold) = self.context.snapshots.accept(key, &data) else { return false };
        self.reserve(id, range, Some((key, hold)));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_nobody_answers_make_room_for_newer_ones() {
        let mut calls = Calls::default();
        let regions = CALLED_REGIONS_MAX as u64 + 1;
        for region in 1..=regions {
            for round in 0..=CALLS_MAX as u64 {
                let call = RaftMessage {
                    region_id: region,
                    region_epoch: Some(RegionEpoch { conf_ver: round, version: 1 }),
                    ..RaftMessage::default()
                };
                calls.keep(RegionId::new(region), call);
            }
        }
        assert_eq!(calls.0.len(), CALLED_REGIONS_MAX);
        assert_eq!(calls.take(RegionId::new(1)), [], "the oldest region");
        let kept = calls.take(RegionId::new(regions));
        assert_eq!(kept.len(), CALLS_MAX);
        assert_eq!(kept[0].region_epoch.unwrap_or_default().conf_ver, 1, "the oldest call");
        assert_eq!(calls.take(RegionId::new(regions)), [], "each is answered once");
    }
}
