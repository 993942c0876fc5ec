//! The world's services: from the wire to the world and back.

use bytes::Bytes;
use proto::kvrpcpb::{self, KvPair};
use proto::schedulerpb::scheduler_server::{Scheduler, SchedulerServer};
use proto::schedulerpb::{self as pd, Member, ResponseHeader};
use proto::tinykvpb::tiny_kv_server::{TinyKv, TinyKvServer};
use proto::{coprocessor, raft_serverpb};
use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::world::{Arrival, World};

type Answer<T> = Result<Response<T>, Status>;

pub(crate) struct StoreService {
    pub(crate) world: World,
    pub(crate) id: u64,
}

impl StoreService {
    pub(crate) fn into_server(self) -> TinyKvServer<Self> {
        TinyKvServer::new(self)
    }
}

/// The form in which regions order transactional keys.
pub(crate) fn encode(key: &[u8]) -> Bytes {
    let mut encoded = Vec::new();
    codec::bytes::encode(&mut encoded, key);
    encoded.into()
}

fn encode_all<'a>(keys: impl IntoIterator<Item = &'a Bytes>) -> Vec<Bytes> {
    keys.into_iter().map(|key| encode(key)).collect()
}

/// A response that may hold pairs from behind its region.
trait Cut {
    fn cut(&mut self, _end: &Bytes) {}
}

fn cut(pairs: &mut Vec<KvPair>, is_inside: impl Fn(&Bytes) -> bool) {
    pairs.retain(|pair| is_inside(&pair.key));
}

impl Cut for kvrpcpb::ScanResponse {
    fn cut(&mut self, end: &Bytes) {
        cut(&mut self.pairs, |key| proto::region::is_before_end(&encode(key), end));
    }
}

impl Cut for kvrpcpb::RawScanResponse {
    fn cut(&mut self, end: &Bytes) {
        cut(&mut self.kvs, |key| proto::region::is_before_end(key, end));
    }
}

/// An arm: the call, its messages, and the keys that must be in the region.
macro_rules! arms {
    ($($name:ident($request:ident) -> $response:ident: |$it:ident| $keys:expr;)+) => {
        #[tonic::async_trait]
        impl TinyKv for StoreService {
            $(async fn $name(
                &self,
                request: Request<kvrpcpb::$request>,
            ) -> Answer<kvrpcpb::$response> {
                let $it = request.into_inner();
                let keys: Vec<Bytes> = $keys;
                let arrived =
                    self.world.arrive(stringify!($name), self.id, $it.context.as_ref(), &keys);
                let mut response;
                match arrived.await? {
                    Arrival::Refused(error) => {
                        response = kvrpcpb::$response::default();
                        response.region_error = Some(error);
                    }
                    Arrival::Serve { region, loses_answer } => {
                        let mut state = self.world.state();
                        state.model.region = region.clone();
                        response = state.model.$name(&$it);
                        response.cut(&region.1);
                        if loses_answer {
                            return Err(Status::unavailable("the answer was lost"));
                        }
                    }
                }
                Ok(Response::new(response))
            })+

            async fn raft(
                &self,
                _: Request<Streaming<raft_serverpb::RaftMessage>>,
            ) -> Answer<raft_serverpb::Done> {
                Err(Status::unimplemented("not here"))
            }

            async fn snapshot(
                &self,
                _: Request<Streaming<raft_serverpb::SnapshotChunk>>,
            ) -> Answer<raft_serverpb::Done> {
                Err(Status::unimplemented("not here"))
            }

            async fn coprocessor(
                &self,
                _: Request<coprocessor::Request>,
            ) -> Answer<coprocessor::Response> {
                Err(Status::unimplemented("not here"))
            }
        }
    };
}

arms! {
    kv_get(GetRequest) -> GetResponse: |it| vec![encode(&it.key)];
    kv_scan(ScanRequest) -> ScanResponse: |it| vec![encode(&it.start_key)];
    kv_prewrite(PrewriteRequest) -> PrewriteResponse:
        |it| encode_all(it.mutations.iter().map(|mutation| &mutation.key));
    kv_commit(CommitRequest) -> CommitResponse: |it| encode_all(&it.keys);
    kv_check_txn_status(CheckTxnStatusRequest) -> CheckTxnStatusResponse:
        |it| vec![encode(&it.primary_key)];
    kv_batch_rollback(BatchRollbackRequest) -> BatchRollbackResponse: |it| encode_all(&it.keys);
    kv_resolve_lock(ResolveLockRequest) -> ResolveLockResponse: |it| Vec::new();
    raw_get(RawGetRequest) -> RawGetResponse: |it| vec![it.key.clone()];
    raw_put(RawPutRequest) -> RawPutResponse: |it| vec![it.key.clone()];
    raw_delete(RawDeleteRequest) -> RawDeleteResponse: |it| vec![it.key.clone()];
    raw_scan(RawScanRequest) -> RawScanResponse: |it| vec![it.start_key.clone()];
}

impl Cut for kvrpcpb::GetResponse {}
impl Cut for kvrpcpb::PrewriteResponse {}
impl Cut for kvrpcpb::CommitResponse {}
impl Cut for kvrpcpb::CheckTxnStatusResponse {}
impl Cut for kvrpcpb::BatchRollbackResponse {}
impl Cut for kvrpcpb::ResolveLockResponse {}
impl Cut for kvrpcpb::RawGetResponse {}
impl Cut for kvrpcpb::RawPutResponse {}
impl Cut for kvrpcpb::RawDeleteResponse {}

pub(crate) struct SchedulerService {
    pub(crate) world: World,
}

impl SchedulerService {
    pub(crate) fn into_server(self) -> SchedulerServer<Self> {
        SchedulerServer::new(self)
    }
}

const HEADER: Option<ResponseHeader> = Some(ResponseHeader { cluster_id: 42, error: None });

/// Calls that nobody makes here.
macro_rules! absent {
    ($($name:ident($request:ident) -> $response:ident;)+) => {
        #[tonic::async_trait]
        impl Scheduler for SchedulerService {
            type TsoStream = ReceiverStream<Result<pd::TsoResponse, Status>>;
            type RegionHeartbeatStream =
                ReceiverStream<Result<pd::RegionHeartbeatResponse, Status>>;

            async fn get_members(
                &self,
                _: Request<pd::GetMembersRequest>,
            ) -> Answer<pd::GetMembersResponse> {
                let url = format!("http://{}", self.world.address());
                let me = Member { client_urls: vec![url], ..Member::default() };
                Ok(Response::new(pd::GetMembersResponse {
                    header: HEADER,
                    members: vec![me.clone()],
                    leader: Some(me),
                    etcd_leader: None,
                }))
            }

            async fn tso(
                &self,
                request: Request<Streaming<pd::TsoRequest>>,
            ) -> Answer<Self::TsoStream> {
                let (mut requests, world) = (request.into_inner(), self.world.clone());
                let (sender, receiver) = mpsc::channel(1);
                tokio::spawn(async move {
                    while let Ok(Some(request)) = requests.message().await {
                        let count = request.count;
                        let timestamp = Some(world.timestamps(count));
                        let answer = pd::TsoResponse { header: HEADER, count, timestamp };
                        if sender.send(Ok(answer)).await.is_err() {
                            return;
                        }
                    }
                });
                Ok(Response::new(ReceiverStream::new(receiver)))
            }

            async fn get_region(
                &self,
                request: Request<pd::GetRegionRequest>,
            ) -> Answer<pd::GetRegionResponse> {
                let mut state = self.world.state();
                state.calls.push(("get_region", 0));
                let told = state.told(&request.get_ref().region_key);
                let leader = told.as_ref().and_then(|led| {
                    led.region.peers.iter().find(|peer| peer.store_id == led.leader).copied()
                });
                let region = told.map(|led| led.region);
                Ok(Response::new(pd::GetRegionResponse {
                    header: HEADER,
                    region,
                    leader,
                    slaves: Vec::new(),
                }))
            }

            async fn get_store(
                &self,
                request: Request<pd::GetStoreRequest>,
            ) -> Answer<pd::GetStoreResponse> {
                let id = request.get_ref().store_id;
                let mut state = self.world.state();
                state.calls.push(("get_store", id));
                let store = state.stores.iter().find(|store| store.id == id).cloned();
                Ok(Response::new(pd::GetStoreResponse { header: HEADER, store, stats: None }))
            }

            async fn region_heartbeat(
                &self,
                _: Request<Streaming<pd::RegionHeartbeatRequest>>,
            ) -> Answer<Self::RegionHeartbeatStream> {
                Err(Status::unimplemented("not here"))
            }

            $(async fn $name(&self, _: Request<pd::$request>) -> Answer<pd::$response> {
                Err(Status::unimplemented("not here"))
            })+
        }
    };
}

absent! {
    bootstrap(BootstrapRequest) -> BootstrapResponse;
    is_bootstrapped(IsBootstrappedRequest) -> IsBootstrappedResponse;
    alloc_id(AllocIdRequest) -> AllocIdResponse;
    put_store(PutStoreRequest) -> PutStoreResponse;
    get_all_stores(GetAllStoresRequest) -> GetAllStoresResponse;
    store_heartbeat(StoreHeartbeatRequest) -> StoreHeartbeatResponse;
    get_prev_region(GetRegionRequest) -> GetRegionResponse;
    get_region_by_id(GetRegionByIdRequest) -> GetRegionResponse;
    scan_regions(ScanRegionsRequest) -> ScanRegionsResponse;
    ask_split(AskSplitRequest) -> AskSplitResponse;
    get_cluster_config(GetClusterConfigRequest) -> GetClusterConfigResponse;
    put_cluster_config(PutClusterConfigRequest) -> PutClusterConfigResponse;
    scatter_region(ScatterRegionRequest) -> ScatterRegionResponse;
    get_gc_safe_point(GetGcSafePointRequest) -> GetGcSafePointResponse;
    update_gc_safe_point(UpdateGcSafePointRequest) -> UpdateGcSafePointResponse;
    get_operator(GetOperatorRequest) -> GetOperatorResponse;
}
