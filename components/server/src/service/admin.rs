//! The calls of `tinykvext.TinyKvExt`: what people and their tools ask of one store.
//!
//! A change of a region goes the way that the scheduler's wishes go: as a command through the router, to
//! the region's leader, which checks who asks and in which epoch. So a tool can do nothing that the
//! scheduler could not, and the two cannot get into each other's way: whoever comes second finds another
//! epoch, and is refused.
//!
//! Questions about a region need no leader. A peer answers for itself; where there is none, the disk is
//! asked for its tombstone.
//!
//! Collecting garbage is three calls, which whoever drives it makes in this order, on *all* stores or in
//! *all* regions each time: raise the safe point, look for old locks and resolve them, collect.

use proto::RegionId;
use proto::eraftpb::{ConfChangeType, HardState};
use proto::kvrpcpb::Context;
use proto::metapb::Peer;
use proto::raft_serverpb::{PeerState, RaftApplyState};
use proto::tinykvext::tiny_kv_ext_server::{TinyKvExt, TinyKvExtServer};
use proto::tinykvext::{
    BatchRequest, ChangePeerRequest, ChangePeerResponse, CollectGarbageRequest,
    CollectGarbageResponse, GetSafePointRequest, GetSafePointResponse, Progress, ProgressState,
    RaftStateRequest, RaftStateResponse, RegionStateRequest, RegionStateResponse, Role,
    ScanLocksRequest, ScanLocksResponse, SplitRegionRequest, SplitRegionResponse,
    TransferLeaderRequest, TransferLeaderResponse, UpdateSafePointRequest, UpdateSafePointResponse,
};
use raft::StateRole;
use raft::progress::ProgressState as Sending;
use raftstore::{Admin, AdminDone, Answer, Command, Done, Header, Looked, PeerLook, RegionError};
use runtime::reply::Reply;
use storage::txn::ScanLocks;
use tonic::{Request, Response, Status, Streaming};

use super::batch::Answers;
use super::room::Bounded;
use super::{Peers, Service, context};
use crate::node::MESSAGE_BYTES_MAX;
use crate::respond::{
    Refusal, alone, change_refusal, failed, lock_info, refusal, region_error, unreadable,
};

impl Service {
    /// Our own service, as the transport wants it.
    pub fn into_own_server(self) -> Bounded<TinyKvExtServer<Self>> {
        let room = std::sync::Arc::clone(&self.room);
        let server = TinyKvExtServer::new(self).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Bounded::new(server, room)
    }

    fn store(&self) -> Result<&Peers, Status> {
        self.peers.as_ref().ok_or_else(alone)
    }

    /// Has a region change itself.
    async fn change(
        &self,
        context: Option<Context>,
        admin: Admin,
    ) -> Result<Result<AdminDone, Refusal>, Status> {
        let context = context.unwrap_or_default();
        let header = Header {
            region: RegionId::new(context.region_id),
            peer: context.peer,
            epoch: context.region_epoch.unwrap_or_default(),
            term: context.term,
        };
        let (reply, answer) = Reply::new();
        self.store()?.router.command(header, Command::Admin(admin), reply);
        let Answer(answer) = answer.await;
        Ok(match answer {
            Ok(Done::Admin(done)) => Ok(done),
            Ok(Done::Written | Done::Responses(_) | Done::Read(_)) => {
                unreachable!("a change of a region is answered as one")
            }
            Err(error) => Err(change_refusal(&error)),
        })
    }

    async fn split(&self, request: SplitRegionRequest) -> Result<SplitRegionResponse, Status> {
        let refused = |refusal: Refusal| SplitRegionResponse {
            region_error: refusal.region,
            error: refusal.text,
            regions: Vec::new(),
        };
        let store = self.store()?;
        let region = RegionId::new(request.context.as_ref().map_or(0, |it| it.region_id));
        let Some(view) = store.router.view(region) else {
            let error = RegionError::NotFound { region: region.get() };
            return Ok(refused(change_refusal(&error)));
        };
        // Before it costs numbers; the leader looks again.
        if !view.region.contains_inside(&request.split_key) {
            let error = RegionError::key_not_in_region(&request.split_key, &view.region);
            return Ok(refused(change_refusal(&error)));
        }
        let scheduler = std::sync::Arc::clone(&store.scheduler);
        let asked = tokio::task::spawn_blocking(move || scheduler.ask_split(&view.region)).await;
        let (new_region, new_peers) = match asked.map_err(|error| error.to_string()) {
            Ok(Ok(ids)) => ids,
            Ok(Err(raftstore::SchedulerError(error))) | Err(error) => {
                let text = format!("the scheduler gives no ids for the new region: {error}");
                return Ok(refused(Refusal { text, ..Refusal::default() }));
            }
        };
        let admin = Admin::Split { key: request.split_key, new_region, new_peers };
        Ok(match self.change(request.context, admin).await? {
            Ok(AdminDone::Split(regions)) => {
                SplitRegionResponse { regions, ..SplitRegionResponse::default() }
            }
            Ok(_other) => unreachable!("a split is answered as one"),
            Err(refusal) => refused(refusal),
        })
    }

    async fn transfer(
        &self,
        request: TransferLeaderRequest,
    ) -> Result<TransferLeaderResponse, Status> {
        let admin = Admin::TransferLeader { to: request.peer.unwrap_or_default() };
        let mut response = TransferLeaderResponse::default();
        if let Err(refusal) = self.change(request.context, admin).await? {
            (response.region_error, response.error) = (refusal.region, refusal.text);
        }
        Ok(response)
    }

    async fn change_peer(
        &self,
        change: ConfChangeType,
        request: ChangePeerRequest,
    ) -> Result<ChangePeerResponse, Status> {
        let Some(peer) = request.peer.filter(|peer| peer.id != 0 && peer.store_id != 0) else {
            let error = "the request names no peer".to_owned();
            return Ok(ChangePeerResponse { error, ..ChangePeerResponse::default() });
        };
        let mut response = ChangePeerResponse::default();
        match self.change(request.context, Admin::ChangePeer { change, peer }).await? {
            Ok(AdminDone::ChangePeer(region)) => response.region = Some(region),
            Ok(_other) => unreachable!("a change of peers is answered as one"),
            Err(refusal) => {
                (response.region_error, response.error) = (refusal.region, refusal.text);
            }
        }
        Ok(response)
    }

    async fn look(&self, region: RegionId) -> Result<Option<PeerLook>, Status> {
        let (reply, looked) = Reply::new();
        self.store()?.router.look(region, reply);
        let Looked(look) = looked.await;
        Ok(look.map(|look| *look))
    }

    async fn region_state(
        &self,
        request: RegionStateRequest,
    ) -> Result<RegionStateResponse, Status> {
        let id = RegionId::new(request.region_id);
        if let Some(look) = self.look(id).await? {
            return Ok(RegionStateResponse {
                region_error: None,
                region: Some(look.region),
                peer_state: PeerState::Normal.into(),
                peer: Some(look.peer),
                leader: look.leader,
                term: look.raft.term,
                committed_index: look.raft.committed,
                applied_index: look.raft.applied,
                approximate_size: look.size.unwrap_or_default(),
            });
        }
        let mut response = RegionStateResponse::default();
        match raftstore::state::region_state(&*self.store()?.kv, id) {
            Ok(Some(state)) => (response.region, response.peer_state) = (state.region, state.state),
            Ok(None) => {
                let error = RegionError::NotFound { region: id.get() };
                response.region_error = Some(Box::new(region_error(&error)));
            }
            Err(error) => return Err(unreadable(&error)),
        }
        Ok(response)
    }

    async fn raft_state(&self, request: RaftStateRequest) -> Result<RaftStateResponse, Status> {
        let id = RegionId::new(request.region_id);
        if let Some(look) = self.look(id).await? {
            return Ok(raft_state(look));
        }
        let error = RegionError::NotFound { region: id.get() };
        let region_error = Some(Box::new(region_error(&error)));
        Ok(RaftStateResponse { region_error, ..RaftStateResponse::default() })
    }

    async fn scan_locks(&self, request: ScanLocksRequest) -> Result<ScanLocksResponse, Status> {
        let context = context(request.context);
        let scan = ScanLocks {
            start: request.start_key,
            max_ts: request.max_version,
            limit: request.limit as usize,
        };
        let mut response = ScanLocksResponse::default();
        match self.kv.scan_locks(&context, scan).await {
            Ok(found) => {
                response.locks = found.locks.iter().map(lock_info).collect();
                response.next_key = found.next.unwrap_or_default();
            }
            Err(error) => {
                let refused = refusal(&self.seen(error))?;
                (response.region_error, response.error) = (refused.region, refused.text);
            }
        }
        Ok(response)
    }

    async fn collect_garbage(
        &self,
        request: CollectGarbageRequest,
    ) -> Result<CollectGarbageResponse, Status> {
        let context = context(request.context);
        let mut response = CollectGarbageResponse::default();
        match self.kv.collect_garbage(&context, request.safe_point).await {
            Ok(removed) => response.removed = removed,
            Err(error) => {
                let refused = refusal(&self.seen(error))?;
                (response.region_error, response.error) = (refused.region, refused.text);
            }
        }
        Ok(response)
    }
}

/// A look at a peer, in the words of the wire.
fn raft_state(look: PeerLook) -> RaftStateResponse {
    let PeerLook { peer, leader, raft, last_term, truncated, .. } = look;
    let progress = raft.followers.iter().map(|follower| Progress {
        peer_id: follower.id,
        match_index: follower.match_index,
        next_index: follower.next_index,
        state: i32::from(match follower.state {
            Sending::Probe { .. } => ProgressState::Probe,
            Sending::Replicate { .. } => ProgressState::Replicate,
            Sending::Snapshot { .. } => ProgressState::Snapshot,
        }),
    });
    RaftStateResponse {
        region_error: None,
        peer: Some(peer),
        role: i32::from(match raft.soft_state.role {
            StateRole::Follower => Role::Follower,
            StateRole::Candidate => Role::Candidate,
            StateRole::Leader => Role::Leader,
        }),
        leader_id: leader.map_or(0, |leader: Peer| leader.id),
        hard_state: Some(HardState::new(raft.term, raft.vote.unwrap_or(0), raft.committed)),
        last_index: raft.last_index,
        last_term,
        apply_state: Some(RaftApplyState {
            applied_index: raft.applied,
            truncated_state: Some(truncated),
        }),
        progress: progress.collect(),
    }
}

#[tonic::async_trait]
impl TinyKvExt for Service {
    type BatchStream = Answers;

    async fn batch(
        &self,
        request: Request<Streaming<BatchRequest>>,
    ) -> Result<Response<Self::BatchStream>, Status> {
        self.answers(request).map(Response::new)
    }

    async fn split_region(
        &self,
        request: Request<SplitRegionRequest>,
    ) -> Result<Response<SplitRegionResponse>, Status> {
        self.split(request.into_inner()).await.map(Response::new)
    }

    async fn transfer_leader(
        &self,
        request: Request<TransferLeaderRequest>,
    ) -> Result<Response<TransferLeaderResponse>, Status> {
        self.transfer(request.into_inner()).await.map(Response::new)
    }

    async fn add_peer(
        &self,
        request: Request<ChangePeerRequest>,
    ) -> Result<Response<ChangePeerResponse>, Status> {
        let change = ConfChangeType::AddNode;
        self.change_peer(change, request.into_inner()).await.map(Response::new)
    }

    async fn remove_peer(
        &self,
        request: Request<ChangePeerRequest>,
    ) -> Result<Response<ChangePeerResponse>, Status> {
        let change = ConfChangeType::RemoveNode;
        self.change_peer(change, request.into_inner()).await.map(Response::new)
    }

    async fn region_state(
        &self,
        request: Request<RegionStateRequest>,
    ) -> Result<Response<RegionStateResponse>, Status> {
        Service::region_state(self, request.into_inner()).await.map(Response::new)
    }

    async fn raft_state(
        &self,
        request: Request<RaftStateRequest>,
    ) -> Result<Response<RaftStateResponse>, Status> {
        Service::raft_state(self, request.into_inner()).await.map(Response::new)
    }

    async fn get_safe_point(
        &self,
        _: Request<GetSafePointRequest>,
    ) -> Result<Response<GetSafePointResponse>, Status> {
        let safe_point = self.kv.storage().safe_point();
        Ok(Response::new(GetSafePointResponse { safe_point }))
    }

    async fn update_safe_point(
        &self,
        request: Request<UpdateSafePointRequest>,
    ) -> Result<Response<UpdateSafePointResponse>, Status> {
        let raised = self.kv.raise_safe_point(request.into_inner().safe_point).await;
        let new_safe_point = raised.map_err(|error| failed(&self.seen(error)))?;
        Ok(Response::new(UpdateSafePointResponse { new_safe_point }))
    }

    async fn scan_locks(
        &self,
        request: Request<ScanLocksRequest>,
    ) -> Result<Response<ScanLocksResponse>, Status> {
        Service::scan_locks(self, request.into_inner()).await.map(Response::new)
    }

    async fn collect_garbage(
        &self,
        request: Request<CollectGarbageRequest>,
    ) -> Result<Response<CollectGarbageResponse>, Status> {
        Service::collect_garbage(self, request.into_inner()).await.map(Response::new)
    }
}
