//! etcd's services: over a space of our own, or passed on to a real etcd.
//!
//! Who the members are, and how they do, is always answered here. A client replaces its endpoints by
//! the addresses it is told; were it told those of the etcd behind us, it would leave us.

use std::sync::Arc;

use proto::etcdserverpb::cluster_server::{Cluster, ClusterServer};
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::kv_server::{Kv, KvServer};
use proto::etcdserverpb::lease_client::LeaseClient;
use proto::etcdserverpb::lease_server::{Lease, LeaseServer};
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::etcdserverpb::maintenance_server::{Maintenance, MaintenanceServer};
use proto::etcdserverpb::watch_server::{Watch, WatchServer};
use proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse,
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
    LeaseLeasesRequest, LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse,
    LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, Member, MemberAddRequest, MemberAddResponse,
    MemberListRequest, MemberListResponse, MemberPromoteRequest, MemberPromoteResponse,
    MemberRemoveRequest, MemberRemoveResponse, MemberUpdateRequest, MemberUpdateResponse,
    PutRequest, PutResponse, RangeRequest, RangeResponse, ResponseHeader, StatusRequest,
    StatusResponse, TxnRequest, TxnResponse, WatchRequest, WatchResponse,
};
use runtime::reply::Reply;
use runtime::worker::Tasks;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};

use super::respond::{Answer, meta_status};
use super::{Outgoing, STREAM_QUEUE, ask, watches};
use crate::endpoints::Endpoints;
use crate::meta::worker::Task;
use crate::meta::{MetaError, Outcome};
use crate::state::State;

/// The largest request that is read, as in etcd with its overhead.
const REQUEST_BYTES_MAX: usize = 2 << 20;

/// Where the keys are.
#[derive(Clone)]
pub enum Backend {
    /// In a space of our own.
    Own(Tasks<Task>),
    /// In a real etcd.
    Outside(Endpoints),
}

/// Serves etcd's API.
#[derive(Clone)]
pub struct Etcd {
    state: Arc<State>,
    backend: Backend,
}

impl Etcd {
    /// Serves the keys of a backend.
    pub fn new(state: Arc<State>, backend: Backend) -> Self {
        Etcd { state, backend }
    }

    /// The services, to be added to a server.
    pub fn kv(&self) -> KvServer<Self> {
        KvServer::new(self.clone()).max_decoding_message_size(REQUEST_BYTES_MAX)
    }

    /// Watches.
    pub fn watches(&self) -> WatchServer<Self> {
        WatchServer::new(self.clone()).max_decoding_message_size(REQUEST_BYTES_MAX)
    }

    /// Leases.
    pub fn leases(&self) -> LeaseServer<Self> {
        LeaseServer::new(self.clone())
    }

    /// Members.
    pub fn members(&self) -> ClusterServer<Self> {
        ClusterServer::new(self.clone())
    }

    /// Maintenance.
    pub fn maintenance(&self) -> MaintenanceServer<Self> {
        MaintenanceServer::new(self.clone())
    }

    #[expect(clippy::unnecessary_wraps, reason = "a response has it as an option")]
    fn header(&self) -> Option<ResponseHeader> {
        Some(ResponseHeader {
            cluster_id: self.state.cluster_id,
            member_id: self.state.membership.me().member_id,
            revision: 0,
            raft_term: 1,
        })
    }
}

async fn execute<T>(
    tasks: &Tasks<Task>,
    task: impl FnOnce(Reply<Outcome<T>>) -> Task,
) -> Answer<T> {
    let outcome = ask(tasks, task).await.unwrap_or(Outcome(Err(MetaError::TooManyRequests)));
    outcome.0.map(Response::new).map_err(|error| meta_status(&error))
}

/// Calls with one request and one response: executed here, or by the etcd behind us.
macro_rules! arms {
    ($service:ident for $client:ident {
        $($name:ident($request:ident) -> $response:ident: $task:ident;)+
    } $($more:item)*) => {
        #[tonic::async_trait]
        impl $service for Etcd {
            $(
                async fn $name(&self, request: Request<$request>) -> Answer<$response> {
                    match &self.backend {
                        Backend::Own(tasks) => {
                            let request = request.into_inner();
                            execute(tasks, |reply| Task::$task(request, reply)).await
                        }
                        Backend::Outside(endpoints) => {
                            let mut client = $client::new(endpoints.clone())
                                .max_decoding_message_size(usize::MAX);
                            client.$name(request.into_inner()).await
                        }
                    }
                }
            )+
            $($more)*
        }
    };
}

arms! { Kv for KvClient {
    range(RangeRequest) -> RangeResponse: Range;
    put(PutRequest) -> PutResponse: Put;
    delete_range(DeleteRangeRequest) -> DeleteRangeResponse: DeleteRange;
    txn(TxnRequest) -> TxnResponse: Txn;
    compact(CompactionRequest) -> CompactionResponse: Compact;
} }

arms! { Lease for LeaseClient {
    lease_grant(LeaseGrantRequest) -> LeaseGrantResponse: LeaseGrant;
    lease_revoke(LeaseRevokeRequest) -> LeaseRevokeResponse: LeaseRevoke;
    lease_time_to_live(LeaseTimeToLiveRequest) -> LeaseTimeToLiveResponse: LeaseTimeToLive;
}
    type LeaseKeepAliveStream = Outgoing<LeaseKeepAliveResponse>;

    async fn lease_leases(&self, request: Request<LeaseLeasesRequest>) -> Answer<LeaseLeasesResponse> {
        match &self.backend {
            Backend::Own(tasks) => execute(tasks, Task::LeaseLeases).await,
            Backend::Outside(endpoints) => {
                LeaseClient::new(endpoints.clone()).lease_leases(request.into_inner()).await
            }
        }
    }

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Answer<Self::LeaseKeepAliveStream> {
        let (sender, receiver) = mpsc::channel(STREAM_QUEUE);
        let requests = request.into_inner();
        match &self.backend {
            Backend::Own(tasks) => {
                tokio::spawn(keep_alive(tasks.clone(), requests, sender));
            }
            Backend::Outside(endpoints) => {
                let mut client = LeaseClient::new(endpoints.clone());
                let passed_on = watches::pass_on(requests);
                tokio::spawn(async move {
                    watches::pass_back(client.lease_keep_alive(passed_on).await, sender).await;
                });
            }
        }
        Ok(Response::new(Outgoing(receiver)))
    }
}

async fn keep_alive(
    tasks: Tasks<Task>,
    mut requests: Streaming<LeaseKeepAliveRequest>,
    responses: mpsc::Sender<Result<LeaseKeepAliveResponse, Status>>,
) {
    while let Ok(Some(request)) = requests.message().await {
        let renewed = execute(&tasks, |reply| Task::LeaseKeepAlive(request, reply)).await;
        if responses.send(renewed.map(Response::into_inner)).await.is_err() {
            return;
        }
    }
}

#[tonic::async_trait]
impl Watch for Etcd {
    type WatchStream = Outgoing<WatchResponse>;

    async fn watch(&self, request: Request<Streaming<WatchRequest>>) -> Answer<Self::WatchStream> {
        let (sender, receiver) = mpsc::channel(STREAM_QUEUE);
        match &self.backend {
            Backend::Own(tasks) => {
                tokio::spawn(watches::serve(tasks.clone(), request.into_inner(), sender));
            }
            Backend::Outside(endpoints) => {
                let mut client =
                    proto::etcdserverpb::watch_client::WatchClient::new(endpoints.clone())
                        .max_decoding_message_size(usize::MAX);
                let passed_on = watches::pass_on(request.into_inner());
                tokio::spawn(async move {
                    watches::pass_back(client.watch(passed_on).await, sender).await;
                });
            }
        }
        Ok(Response::new(Outgoing(receiver)))
    }
}

#[tonic::async_trait]
impl Maintenance for Etcd {
    async fn status(&self, request: Request<StatusRequest>) -> Answer<StatusResponse> {
        let mut response = match &self.backend {
            Backend::Own(tasks) => execute(tasks, Task::Status).await?,
            Backend::Outside(endpoints) => {
                MaintenanceClient::new(endpoints.clone()).status(request.into_inner()).await?
            }
        };
        let status = response.get_mut();
        status.leader = self.state.membership.leader().map_or(0, |leader| leader.member_id);
        if let Some(header) = &mut status.header {
            header.member_id = self.state.membership.me().member_id;
        }
        Ok(response)
    }
}

fn unchangeable<T>() -> Answer<T> {
    Err(meta_status(&MetaError::Unchangeable))
}

#[tonic::async_trait]
impl Cluster for Etcd {
    async fn member_list(&self, _: Request<MemberListRequest>) -> Answer<MemberListResponse> {
        let member = |member: proto::schedulerpb::Member| Member {
            id: member.member_id,
            name: member.name,
            peer_urls: member.peer_urls,
            client_urls: member.client_urls,
            is_learner: false,
        };
        let members = self.state.membership.members().into_iter().map(member).collect();
        Ok(Response::new(MemberListResponse { header: self.header(), members }))
    }

    async fn member_add(&self, _: Request<MemberAddRequest>) -> Answer<MemberAddResponse> {
        unchangeable()
    }

    async fn member_remove(&self, _: Request<MemberRemoveRequest>) -> Answer<MemberRemoveResponse> {
        unchangeable()
    }

    async fn member_update(&self, _: Request<MemberUpdateRequest>) -> Answer<MemberUpdateResponse> {
        unchangeable()
    }

    async fn member_promote(
        &self,
        _: Request<MemberPromoteRequest>,
    ) -> Answer<MemberPromoteResponse> {
        unchangeable()
    }
}
