//! What the disk has when a store starts: peers, removed ones, and snapshots that were on their way.

use prost::Message as _;
use proto::RegionId;
use proto::metapb::Region;
use proto::raft_serverpb::RaftSnapshotData;
use slog::info;

use super::raft::RaftWorker;
use crate::error::{Error, Result};
use crate::peer::Peer;
use crate::peer::stage::Stage;
use crate::peer::stale;
use crate::region_index::Reservation;
use crate::snapshot::SnapKey;
use crate::state::{self, InstallMarker};
use crate::storage::PeerStorage;

impl RaftWorker {
    /// Makes the peers of all regions that the disk has, and goes on with what a crash has interrupted.
    pub(super) fn load(&mut self) -> Result<()> {
        let markers = state::install_markers(&*self.context.engines.kv)?;
        for (id, state) in state::region_states(&*self.context.engines.kv)? {
            if markers.contains_key(&id) {
                continue;
            }
            if state::is_tombstone(&state) {
                self.clear_after_tombstone(id, &state::region_of(&state))?;
                continue;
            }
            let region = state::region_of(&state);
            let Some(own) = region.peer_on_store(self.context.store).copied() else {
                let why = "it has no peer on this store";
                return Err(Error::corrupt("region state", id.get(), why));
            };
            let storage = PeerStorage::load(self.context.engines.clone(), region.clone())?;
            let peer = Peer::new(&self.context, own, storage, Stage::Active, true)?;
            self.out.apply.push(peer.registration());
            self.index.put(&region);
            self.insert(peer);
        }
        for (_, marker) in markers {
            self.resume_install(marker)?;
        }
        info!(self.context.log, "store opened"; "regions" => self.peers.len());
        Ok(())
    }

    pub(super) fn resume_install(&mut self, marker: InstallMarker) -> Result<()> {
        let region = marker.region.clone().unwrap_or_default();
        let id = region.region_id();
        let Some(own) = region.peer_on_store(self.context.store).copied() else {
            return Err(Error::corrupt("install marker", id.get(), "it has no peer on this store"));
        };
        let (start, end) = (marker.clear_start.clone(), marker.clear_end.clone());
        let carried = marker.snapshot.clone().unwrap_or_default();
        let data = RaftSnapshotData::decode(carried.data.clone()).unwrap_or_default();
        // Should the files be gone, the install finds it out and says so.
        let key = SnapKey::of(&carried, id.get());
        let files = self.context.snapshots.accept(key, &data).ok().map(|hold| (key, hold));
        self.reserve(id, Reservation { start, end }, files);
        let peer = Peer::resume_install(&self.context, marker, own, &mut self.out)?;
        self.insert(peer);
        Ok(())
    }

    /// A tombstone was written, and perhaps the log was not deleted any more. It is, unless it belongs
    /// to a peer that was called after the removed one.
    pub(super) fn clear_after_tombstone(&mut self, id: RegionId, tombstone: &Region) -> Result<()> {
        let raft = &*self.context.engines.raft;
        if state::raft_state(raft, id)?.is_none() {
            return Ok(());
        }
        let owner: Option<Region> =
            state::load(raft, &crate::keys::raft_owner(id), "raft owner", id)?;
        let is_later = owner.is_some_and(|owner| {
            let peer = owner.peer_on_store(self.context.store).copied().unwrap_or_default();
            stale::succeeds(peer, owner.epoch(), tombstone)
        });
        if !is_later {
            self.clear_log(id)?;
        }
        Ok(())
    }
}
