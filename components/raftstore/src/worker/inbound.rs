//! What comes from outside: raft messages and commands for the store's regions.

use proto::RegionId;
use proto::metapb::Peer as PeerRecord;
use proto::raft_serverpb::RaftMessage;
use runtime::reply::Reply;
use slog::warn;

use super::RegionTask;
use super::raft::RaftWorker;
use crate::error::{RegionError, Result};
use crate::message::{Answer, Command, Header, Looked, PeerMsg};
use crate::peer;
use crate::peer::stale::{self, Verdict};

impl RaftWorker {
    pub(super) fn on_peer_message(&mut self, id: RegionId, message: PeerMsg) -> Result<()> {
        match message {
            PeerMsg::Raft(message) => self.on_raft_message(*message)?,
            PeerMsg::Command { header, command, reply } => {
                self.on_command(id, &header, command, reply);
            }
            PeerMsg::Unreachable { peer: other } => {
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.node.report_unreachable(other);
                }
            }
            PeerMsg::SnapshotSent { to, key, delivered } => {
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.node.report_snapshot(to, delivered);
                    if !delivered {
                        peer.node.storage_mut().forget_snapshot();
                        warn!(self.context.log, "a snapshot did not arrive"; "to" => to, "index" => key.index);
                    }
                }
            }
            PeerMsg::Look(reply) => {
                let look = self.peers.get(&id).map(|peer| Box::new(peer.look()));
                reply.answer(Looked(look));
                return Ok(());
            }
        }
        self.dirty.insert(id);
        Ok(())
    }

    pub(super) fn on_command(
        &mut self,
        id: RegionId,
        header: &Header,
        command: Command,
        reply: Reply<Answer>,
    ) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return reply.answer(Answer(Err(RegionError::NotFound { region: id.get() })));
        };
        match peer.admit(header, &command) {
            Ok(()) => peer.begin(&self.context, Some(self.out.now), header, command, reply),
            Err(error) => reply.answer(Answer(Err(self.with_neighbours(error)))),
        }
    }

    /// A client whose region has changed is told about the regions beside it as well.
    pub(super) fn with_neighbours(&self, error: RegionError) -> RegionError {
        let RegionError::EpochNotMatch { mut regions } = error else { return error };
        if let Some(region) = regions.first().cloned() {
            regions.extend(self.index.right_neighbour(&region).cloned());
            regions.extend(self.index.left_neighbour(&region).cloned());
        }
        RegionError::EpochNotMatch { regions }
    }

    pub(super) fn on_raft_message(&mut self, envelope: RaftMessage) -> Result<()> {
        let id = RegionId::new(envelope.region_id);
        let Some(from) = super::store::validate(&envelope, self.context.store) else {
            runtime::mark!("an envelope that makes no sense");
            return Ok(());
        };
        let Some(peer) = self.peers.get_mut(&id) else { return self.on_unknown(envelope) };
        if envelope.is_tombstone {
            if stale::is_believable(&envelope, peer.region(), peer.own()) {
                self.destroy(id, envelope.region_epoch.unwrap_or_default());
            }
            return Ok(());
        }
        let Some(message) = envelope.message.clone() else { return Ok(()) };
        let wants_vote = peer::wants_vote(&message);
        match stale::judge(&envelope, peer.region(), peer.own(), wants_vote) {
            Verdict::Fresh => {}
            Verdict::Ignore | Verdict::ForAnother | Verdict::LastOfTwo => return Ok(()),
            Verdict::TellSender => {
                let epoch = peer.region().epoch();
                self.tell_that_it_is_gone(&envelope, epoch);
                return Ok(());
            }
            Verdict::OwnIsGone => {
                self.destroy(id, envelope.region_epoch.unwrap_or_default());
                return Ok(());
            }
        }
        if !peer.stage.takes_messages() {
            return Ok(());
        }
        if let Some(snapshot) = &message.snapshot {
            // Its files are read through first; one that is being looked at already need not be twice.
            if !self.holds.contains_key(&id) && self.admit_snapshot(id, snapshot) {
                self.out.region.push(RegionTask::CheckSnapshot(Box::new(envelope)));
            }
            return Ok(());
        }
        self.step(id, from, message)
    }

    pub(super) fn step(
        &mut self,
        id: RegionId,
        from: PeerRecord,
        message: proto::eraftpb::Message,
    ) -> Result<()> {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.meet(from);
            peer.step(message)?;
            self.dirty.insert(id);
        }
        Ok(())
    }
}
