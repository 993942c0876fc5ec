//! Adding and removing a peer.
//!
//! *Propose:* as an entry that Raft understands; one at a time. *Apply:* the region gets another list
//! of peers and a newer `conf_ver`; a peer that finds itself removed leaves its tombstone and clears its
//! data in the same batch. *Afterwards:* Raft counts with the new members, and the scheduler is told.

use prost::Message;
use proto::eraftpb::{ConfChange, ConfChangeType, Entry};
use proto::metapb::{Peer, Region};
use proto::raft_cmdpb::RaftCmdRequest;
use proto::{PeerId, StoreId};
use runtime::mutant;

use super::{Applier, Executed, Turn, refused};
use crate::error::RegionError;
use crate::message::{AdminDone, Effect};
use crate::{keys, state};

impl Applier {
    /// Applies an entry that changes the peers.
    pub(super) fn change_peer(&mut self, entry: &Entry, turn: &mut Turn) -> Executed {
        let Some((change, peer, command)) = decode(entry) else {
            return refused("a membership change that does not parse");
        };
        let header = command.header.unwrap_or_default();
        if let Err(error) = self.check_whole_epoch(header.region_epoch.unwrap_or_default()) {
            return Executed::Refused(error);
        }
        let kind = change.change_type();
        let region = match changed(&self.region, kind, peer) {
            Ok(region) => region,
            Err(error) => return Executed::Refused(error),
        };
        turn.must_sync = true;
        let removes_itself = kind == ConfChangeType::RemoveNode && peer == self.peer;
        self.effects.push(Effect::PeersChanged {
            change,
            region: region.clone(),
            peer,
            index: entry.index,
        });
        if removes_itself {
            self.destroy(&region, turn);
        } else {
            state::put_region(&mut turn.batch, &region);
            self.region = region.clone();
        }
        Executed::Admin(AdminDone::ChangePeer(region))
    }

    /// Leaves a tombstone, and takes the data away.
    fn destroy(&mut self, after: &Region, turn: &mut Turn) {
        let tombstone = state::tombstone_region(after, self.peer, after.epoch());
        if mutant::on(14) {
            turn.batch.delete(engine::Cf::Local, keys::region_state(self.region_id()));
        } else {
            state::put_tombstone(&mut turn.batch, &tombstone);
        }
        turn.batch.delete(engine::Cf::Local, keys::apply_state(self.region_id()));
        state::clear_data(&mut turn.batch, &self.region.start_key, &self.region.end_key);
        self.is_destroyed = true;
        self.effects.push(Effect::Destroyed);
    }
}

fn decode(entry: &Entry) -> Option<(ConfChange, Peer, RaftCmdRequest)> {
    let change = ConfChange::decode(entry.data.clone()).ok()?;
    let kind = ConfChangeType::try_from(change.change_type).ok()?;
    let command = RaftCmdRequest::decode(change.context.clone()).ok()?;
    let request = command.admin_request.as_ref()?.change_peer.as_ref()?;
    let peer = request.peer?;
    let agrees = peer.id == change.node_id && request.change_type == i32::from(kind);
    (agrees && peer.id != 0 && peer.store_id != 0).then_some((change, peer, command))
}

/// The region after a change of its peers, or why it cannot be.
pub(crate) fn changed(
    region: &Region,
    kind: ConfChangeType,
    peer: Peer,
) -> Result<Region, RegionError> {
    let mut after = region.clone();
    let here = region.peer_on_store(StoreId::new(peer.store_id));
    match kind {
        ConfChangeType::AddNode => {
            if here.is_some() {
                return Err(RegionError::Refused("the region has a peer on that store already"));
            }
            if region.peer(PeerId::new(peer.id)).is_some() {
                return Err(RegionError::Refused("the peer lives on another store"));
            }
            after.peers.push(peer);
        }
        ConfChangeType::RemoveNode => {
            if here != Some(&peer) {
                return Err(RegionError::Refused("the region has no such peer"));
            }
            if region.peers.len() == 1 {
                return Err(RegionError::Refused("it is the region's last peer"));
            }
            after.peers.retain(|other| *other != peer);
        }
    }
    after.region_epoch = Some(region.epoch().after_peer_change());
    Ok(after)
}
