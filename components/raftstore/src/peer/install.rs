//! How a snapshot becomes a peer's data; the protocol is told in [`crate::storage`].

use proto::metapb::{Peer as PeerRecord, Region};
use raft::Storage as _;
use slog::{error, info};

use super::{Peer, at};
use crate::context::{Context, Outgoing};
use crate::error::Result;
use crate::peer::stage::Stage;
use crate::state::InstallMarker;
use crate::storage::{PeerStorage, snapshot_region};
use crate::worker::{ApplyTask, RegionTask};

impl Peer {
    /// A peer that goes on with a snapshot after a restart.
    pub(crate) fn resume_install(
        context: &Context,
        marker: InstallMarker,
        own: PeerRecord,
        out: &mut Outgoing,
    ) -> Result<Self> {
        let storage = PeerStorage::recover(context.engines.clone(), &marker)?;
        out.region.push(RegionTask::Install(Box::new(marker)));
        Peer::new(context, own, storage, Stage::Installing, true)
    }

    /// Nothing is applied to the region any more: the snapshot that has waited for this replaces the
    /// log, and then the data.
    pub(crate) fn on_applier_stopped(&mut self, out: &mut Outgoing) -> Result<()> {
        let Stage::Stopping(ready) = &mut self.stage else { return Ok(()) };
        let mut ready = std::mem::take(&mut **ready);
        let region = ready.snapshot.as_ref().and_then(snapshot_region).unwrap_or_default();
        let marker = self.node.storage_mut().accept_snapshot(&ready, region)?;
        self.stage = Stage::Installing;
        out.region.push(RegionTask::Install(Box::new(marker)));
        self.node.on_persisted(ready.number).map_err(at(self.region_id()))?;
        let messages = std::mem::take(&mut ready.messages);
        self.send_all(messages, &mut out.messages);
        let promises = std::mem::take(&mut ready.messages_after_persist);
        self.send_all(promises, &mut out.promises);
        Ok(())
    }

    /// The snapshot is in the data; or it is damaged, and this replica has nothing.
    pub(crate) fn on_installed(&mut self, installed: bool, out: &mut Outgoing) -> Option<Region> {
        if !matches!(self.stage, Stage::Installing) {
            return None;
        }
        if !installed {
            error!(
                self.log,
                "the snapshot was damaged after it came; this replica must be replaced"
            );
            self.stage = Stage::Broken;
            self.held.clear();
            return None;
        }
        self.stage = Stage::Active;
        let index = self.storage().applied_index();
        info!(self.log, "snapshot installed"; "index" => index);
        self.node.on_applied(index);
        self.duties.was_replaced();
        out.apply.push(self.registration());
        out.apply.append(&mut self.held);
        Some(self.region().clone())
    }

    /// What the apply worker must know before entries of this peer come.
    pub(crate) fn registration(&self) -> ApplyTask {
        let storage = self.storage();
        let state = proto::raft_serverpb::RaftApplyState {
            applied_index: storage.applied_index(),
            truncated_state: Some(storage.truncated()),
        };
        ApplyTask::Register {
            peer: self.own,
            region: self.region().clone(),
            state,
            term: storage.applied_term(),
        }
    }

    /// Whether a snapshot of this region may be of use: it is newer than what is there.
    pub(crate) fn could_use_snapshot(&self, index: u64) -> bool {
        let committed = self.node.raft().log().committed();
        index > committed || self.storage().last_index() == 0
    }
}
