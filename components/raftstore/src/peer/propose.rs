//! How a command gets into the log. Writes wait for others of the same turn: [`bundle`](super::bundle).

use proto::RegionId;
use proto::eraftpb::ConfChangeType;
use proto::metapb::Peer as PeerRecord;
use raft::progress::ProgressState;
use raft::{FollowerStatus, Position};
use runtime::clock::Instant;
use runtime::reply::Reply;
use slog::info;

use super::Peer;
use super::bundle::Bundle;
use crate::context::Context;
use crate::error::RegionError;
use crate::message::{
    Admin, AdminDone, Answer, Command, Done, Header, Request, Waiting, answer_all,
};
use crate::{apply, state};

impl Peer {
    /// Does a command that was admitted: proposes it, or lets it wait for a proof of leadership. How long
    /// it takes is measured from `since`; nobody waits for the store's own.
    pub(crate) fn begin(
        &mut self,
        context: &Context,
        since: Option<Instant>,
        header: &Header,
        command: Command,
        reply: Reply<Answer>,
    ) {
        match command {
            Command::Read => self.read(context, reply),
            Command::Write(requests) => self.gather(context, since, header, requests, reply),
            Command::Admin(Admin::TransferLeader { to }) => {
                self.propose_bundle(context);
                let answer =
                    self.transfer(context, to).map(|()| Done::Admin(AdminDone::TransferLeader));
                reply.answer(Answer(answer));
            }
            Command::Admin(admin) => {
                self.propose_bundle(context);
                let proposed = self.propose_admin(context, header, &admin);
                self.wait_for(proposed, since, vec![reply]);
            }
        }
    }

    fn wait_for(
        &mut self,
        proposed: Result<Position, RegionError>,
        since: Option<Instant>,
        replies: Vec<Reply<Answer>>,
    ) {
        match proposed {
            Ok(Position { index, term }) => {
                self.proposals.push(Waiting { index, term, replies }, since);
            }
            Err(error) => answer_all(replies, Answer(Err(error))),
        }
    }

    /// Lets a write join those of its turn.
    fn gather(
        &mut self,
        context: &Context,
        since: Option<Instant>,
        header: &Header,
        requests: Vec<Request>,
        reply: Reply<Answer>,
    ) {
        let (term, entry_bytes_max) = (self.term(), context.config.entry_size_max.get());
        if let Some(bundle) = &mut self.bundle
            && bundle.takes(header, term, &requests, entry_bytes_max)
        {
            bundle.push(requests, reply);
            return;
        }
        self.propose_bundle(context);
        self.bundle = Some(Bundle::new(*header, term, since, requests, reply));
    }

    /// Proposes the writes that wait for others.
    pub(super) fn propose_bundle(&mut self, context: &Context) {
        let Some(Bundle { header, term, requests, since, replies, .. }) = self.bundle.take() else {
            return;
        };
        let proposed = if term == self.term() {
            self.propose_writes(context, &header, &requests)
        } else {
            runtime::mark!("a bundle that was admitted in another term");
            Err(RegionError::Busy("leadership has changed since the command was admitted"))
        };
        self.wait_for(proposed, since, replies);
    }

    fn propose_writes(
        &mut self,
        context: &Context,
        header: &Header,
        requests: &[Request],
    ) -> Result<Position, RegionError> {
        let data = apply::encode_write(header, self.own, requests);
        if data.len() as u64 > context.config.entry_size_max.get() {
            return Err(RegionError::Refused("the command is larger than entry-size-max"));
        }
        self.node.propose(data).map_err(|error| self.refusal(&error))
    }

    fn propose_admin(
        &mut self,
        context: &Context,
        header: &Header,
        admin: &Admin,
    ) -> Result<Position, RegionError> {
        if let Admin::ChangePeer { change, peer } = admin {
            return self.propose_change(context, header, *change, *peer);
        }
        if let Admin::Split { new_region, .. } = admin
            && is_known(context, *new_region)
        {
            // Every store that has it would stop when it applies the entry, and at each start again.
            return Err(RegionError::Refused("the id of the right part is taken"));
        }
        let Some(data) = apply::encode_admin(header, self.own, admin) else {
            return Err(RegionError::Refused("it does not go through the log"));
        };
        let proposed = self.node.propose(data).map_err(|error| self.refusal(&error))?;
        if let Admin::Split { .. } = admin {
            // From here until it is applied the lease is not renewed: the right part may get another
            // leader as soon as the split is committed.
            self.pending_split = Some(proposed.index);
        }
        Ok(proposed)
    }

    fn propose_change(
        &mut self,
        context: &Context,
        header: &Header,
        change: ConfChangeType,
        peer: PeerRecord,
    ) -> Result<Position, RegionError> {
        if change == ConfChangeType::RemoveNode && peer == self.own {
            // Were it to remove itself, the last of its followers might never learn that it is alone.
            if let Some(heir) = self.best_heir(context) {
                self.transfer(context, heir)?;
            }
            return Err(RegionError::Busy("the leader hands over before it is removed"));
        }
        let change = apply::encode_change_peer(header, self.own, change, peer);
        self.node.propose_conf_change(&change).map_err(|error| self.refusal(&error))
    }

    /// The follower that has most of the log, of those that follow it and answer: one that needs a snapshot
    /// would keep the region waiting for nothing.
    fn best_heir(&self, context: &Context) -> Option<PeerRecord> {
        let truncated = self.storage().truncated().index;
        let status = self.node.status();
        let heirs = status.followers.iter().filter(|follower| {
            follower.match_index >= truncated
                && answers(context, follower)
                && matches!(follower.state, ProgressState::Replicate { .. })
        });
        self.find(heirs.max_by_key(|follower| follower.match_index)?.id)
    }

    fn transfer(&mut self, context: &Context, to: PeerRecord) -> Result<(), RegionError> {
        if to == self.own {
            return Ok(());
        }
        let status = self.node.status();
        let heir = status.followers.iter().find(|follower| follower.id == to.id);
        if heir.is_some_and(|heir| !answers(context, heir)) {
            runtime::mark!("an heir that does not answer");
            return Err(RegionError::Busy("the heir does not answer"));
        }
        info!(self.log, "leadership is handed over"; "to" => to.id);
        self.node.transfer_leader(to.id).map_err(|error| self.refusal(&error))
    }

    /// Why Raft did not take a wish; it certainly was not done.
    pub(crate) fn refusal(&self, error: &raft::Error) -> RegionError {
        match error {
            raft::Error::NotLeader { .. } => {
                RegionError::NotLeader { region: self.region().id, leader: self.leader() }
            }
            raft::Error::Transferring { .. } => {
                RegionError::Busy("leadership is being handed over")
            }
            raft::Error::ConfChangePending { .. } => {
                RegionError::Busy("another change of the peers is under way")
            }
            raft::Error::Busy { .. } => RegionError::Busy("too much waits to be replicated"),
            raft::Error::Malformed(_)
            | raft::Error::Impossible { .. }
            | raft::Error::Config(_)
            | raft::Error::Storage(_) => RegionError::Refused("Raft does not take the command"),
        }
    }
}

/// Whether a follower has not been silent for longer than two heartbeats. Nothing is proposed while
/// leadership is handed over, so an heir that is gone would stop the region for an election timeout, at each
/// attempt.
fn answers(context: &Context, follower: &FollowerStatus) -> bool {
    follower.silent_ticks <= 2 * context.config.heartbeat_ticks
}

/// Whether this store has a region of this id, has had one, or has heard of one. Ids are never given out
/// twice, so that nobody can tell what would become of the second.
fn is_known(context: &Context, id: RegionId) -> bool {
    context.router.view(id).is_some()
        || !matches!(state::region_state(&*context.engines.kv, id), Ok(None))
}
