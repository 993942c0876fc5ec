//! What the other workers report, and what follows from it for several peers.

use proto::RegionId;
use proto::metapb::Region;
use proto::raft_serverpb::RaftMessage;

use super::raft::{RaftWorker, snapshot_key};
use crate::error::{Error, Result};
use crate::message::{Applied, Completion};
use crate::peer::applied::Consequence;
use crate::peer::stage::Stage;
use crate::peer::{self, Peer};
use crate::storage::PeerStorage;

impl RaftWorker {
    pub(super) fn on_completion(&mut self, completion: Completion) -> Result<()> {
        match completion {
            Completion::Applied(reports) => {
                for applied in reports {
                    self.on_applied(applied)?;
                }
            }
            Completion::ApplierStopped(id) => {
                if let Some(peer) = self.touch(id) {
                    // Borrowed apart, as the peer is part of the worker.
                    let mut out = std::mem::take(&mut self.out);
                    let accepted =
                        self.peers.get_mut(&peer).map(|peer| peer.on_applier_stopped(&mut out));
                    self.out = out;
                    accepted.transpose()?;
                }
            }
            Completion::Destroyed { region, peer } => {
                if self.peers.get(&region).is_some_and(|known| known.own() == peer) {
                    self.bury(region)?;
                } else {
                    runtime::mark!("a peer that was removed twice");
                }
            }
            Completion::SnapshotBuilt { region, snapshot } => {
                if self.touch(region).is_some()
                    && let Some(peer) = self.peers.get_mut(&region)
                {
                    peer.node.storage_mut().snapshot_built(snapshot);
                }
            }
            Completion::SnapshotChecked { message, is_whole } => {
                self.on_snapshot_checked(*message, is_whole)?;
            }
            Completion::SnapshotInstalled { region, installed } => {
                self.on_installed(region, installed);
            }
            Completion::SizeKnown { region, epoch, size, split_key } => {
                if let Some(peer) = self.peers.get_mut(&region) {
                    peer.on_size_known(epoch, size, split_key, &mut self.out);
                }
            }
            Completion::SplitIds { region, epoch, key, ids } => {
                if let Some(peer) = self.peers.get_mut(&region) {
                    peer.on_split_ids(&self.context, epoch, key, ids);
                    self.dirty.insert(region);
                }
            }
            Completion::Membership { region, current } => self.on_membership(region, current),
            Completion::Failed(why) => return Err(Error::Worker(why)),
        }
        Ok(())
    }

    /// Marks a peer as one that something has happened to, if it is there.
    pub(super) fn touch(&mut self, id: RegionId) -> Option<RegionId> {
        self.peers.contains_key(&id).then(|| {
            self.dirty.insert(id);
            id
        })
    }

    pub(super) fn on_applied(&mut self, applied: Applied) -> Result<()> {
        let id = applied.region;
        let Some(peer) = self.peers.get_mut(&id) else { return Ok(()) };
        let consequences = peer.on_applied(&self.context, applied, &mut self.out)?;
        self.dirty.insert(id);
        for consequence in consequences {
            match consequence {
                Consequence::RegionChanged(region) => self.index.put(&region),
                Consequence::RightPart { right, campaigns, written } => {
                    self.add_right(&right, campaigns, written)?;
                }
                Consequence::Gone => self.bury(id)?,
            }
        }
        Ok(())
    }

    /// The right part of a split is here: as a new peer, or as one that was called before.
    pub(super) fn add_right(
        &mut self,
        right: &Region,
        campaigns: bool,
        written: u64,
    ) -> Result<()> {
        let id = right.region_id();
        let Some(own) = right.peer_on_store(self.context.store).copied() else { return Ok(()) };
        if let Some(known) = self.peers.get(&id)
            && matches!(known.stage, Stage::Destroying)
        {
            runtime::mark!("the right part of a split is being removed already");
            return Ok(());
        }
        // What it has voted while it was only called is on disk, or was never said. But a leader whose
        // heartbeats it has answered may count on that, like on the promise of a peer that restarts.
        let has_promised =
            self.peers.get(&id).is_some_and(|known| known.node.raft().leader().is_some());
        let storage = PeerStorage::load(self.context.engines.clone(), right.clone())?;
        let mut peer = Peer::new(&self.context, own, storage, Stage::Active, has_promised)?;
        peer.was_cut_off(written);
        self.out.apply.push(peer.registration());
        if campaigns {
            peer.node.campaign().map_err(peer::at(id))?;
        }
        self.index.put(right);
        self.insert(peer);
        for call in self.calls.take(id) {
            self.on_raft_message(call)?;
        }
        Ok(())
    }

    pub(super) fn on_installed(&mut self, id: RegionId, installed: bool) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if let Some(region) = peer.on_installed(installed, &mut self.out) {
            self.release(id);
            self.index.put(&region);
        }
        self.dirty.insert(id);
    }

    /// What the scheduler says about a peer that has heard from no leader.
    pub(super) fn on_membership(&mut self, id: RegionId, current: Option<Region>) {
        let (Some(peer), Some(current)) = (self.peers.get(&id), current) else { return };
        // The scheduler may not have heard yet of the change that made this peer.
        let is_newer = current.epoch().conf_ver > peer.known_conf_ver();
        if is_newer && !current.peers.contains(&peer.own()) {
            runtime::mark!("the scheduler says that the peer is gone");
            self.destroy(id, current.epoch());
        }
    }

    /// The files of a snapshot were read through: Raft may look at it, if the peer is still as it was.
    pub(super) fn on_snapshot_checked(
        &mut self,
        envelope: RaftMessage,
        is_whole: bool,
    ) -> Result<()> {
        let id = RegionId::new(envelope.region_id);
        let own = self.peers.get(&id).filter(|peer| peer.stage.takes_messages()).map(Peer::own);
        let is_for_own = own.is_some() && own == envelope.to_peer;
        let key = snapshot_key(&envelope);
        let (Some(from), Some(message)) = (envelope.from_peer, envelope.message) else {
            return Ok(());
        };
        if is_whole && is_for_own {
            self.shown.push(id);
            return self.step(id, from, message);
        }
        self.give_up(id, key);
        Ok(())
    }
}
