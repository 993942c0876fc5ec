//! The calls of `schedulerpb.Scheduler`, an arm each.

use std::sync::Arc;

use proto::schedulerpb::scheduler_server::{Scheduler, SchedulerServer};
use proto::schedulerpb::{
    AllocIdRequest, AllocIdResponse, AskSplitRequest, AskSplitResponse, BootstrapRequest,
    BootstrapResponse, ErrorType, GetAllStoresRequest, GetAllStoresResponse,
    GetClusterConfigRequest, GetClusterConfigResponse, GetGcSafePointRequest,
    GetGcSafePointResponse, GetMembersRequest, GetMembersResponse, GetOperatorRequest,
    GetOperatorResponse, GetRegionByIdRequest, GetRegionRequest, GetRegionResponse,
    GetStoreRequest, GetStoreResponse, IsBootstrappedRequest, IsBootstrappedResponse,
    PutClusterConfigRequest, PutClusterConfigResponse, PutStoreRequest, PutStoreResponse,
    RegionHeartbeatRequest, RegionHeartbeatResponse, RequestHeader, ResponseHeader,
    ScanRegionsRequest, ScanRegionsResponse, ScatterRegionRequest, ScatterRegionResponse,
    StoreHeartbeatRequest, StoreHeartbeatResponse, TsoRequest, TsoResponse,
    UpdateGcSafePointRequest, UpdateGcSafePointResponse,
};
use runtime::reply::Reply;
use runtime::worker::Tasks;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};

use super::respond::{self, Answer};
use super::{Outgoing, STREAM_QUEUE, ask, heartbeats};
use crate::cluster::region::RegionInfo;
use crate::error::{Error, Result};
use crate::keeper::{Done, Task};
use crate::state::State;

/// The largest message that is read.
pub const MESSAGE_BYTES_MAX: usize = 10 << 20;

/// Regions in one answer; who wants more asks again from the last one's end.
const SCAN_MAX: usize = 10_000;

/// Peers of a region, so that a request for ids has a limit.
const PEERS_MAX: usize = 64;

/// What every arm needs.
#[derive(Clone)]
pub struct Service {
    state: Arc<State>,
    keeper: Tasks<Task>,
}

impl Service {
    /// Serves this state; what must be written goes to the keeper.
    pub fn new(state: Arc<State>, keeper: Tasks<Task>) -> Self {
        Service { state, keeper }
    }

    /// As the transport wants it.
    pub fn into_server(self) -> SchedulerServer<Self> {
        SchedulerServer::new(self).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    fn check(&self, header: Option<&RequestHeader>) -> std::result::Result<(), Status> {
        respond::check(&self.state, header)
    }

    /// The header of a response: of success, or of one of the failures that stores look for there.
    fn header<T: Default>(
        &self,
        outcome: Result<T>,
    ) -> std::result::Result<(Option<ResponseHeader>, T), Status> {
        match outcome {
            Ok(value) => Ok((self.state.header(), value)),
            Err(error) => Ok((respond::refused(&self.state, &error)?, T::default())),
        }
    }

    async fn keep<T>(&self, task: impl FnOnce(Reply<Done<T>>) -> Task) -> Result<T> {
        let busy = || Error::Records("too much waits to be written".to_owned());
        ask(&self.keeper, task).await.map_or_else(|| Err(busy()), |Done(done)| done)
    }

    /// So many ids, and more of them from the keeper if there are not enough.
    async fn ids(
        &self,
        take: impl Fn() -> Result<Option<Vec<u64>>>,
        count: u64,
    ) -> Result<Vec<u64>> {
        // Others may take them first, but nobody takes them all for long.
        for _ in 0..10 {
            if let Some(ids) = take()? {
                return Ok(ids);
            }
            self.keep(|reply| Task::MoreIds(count, reply)).await?;
        }
        Err(Error::Records("no ids are left".to_owned()))
    }

    fn region_response(&self, region: Option<&Arc<RegionInfo>>) -> GetRegionResponse {
        GetRegionResponse {
            header: self.state.header(),
            region: region.map(|region| region.meta.clone()),
            leader: region.and_then(|region| region.leader),
            slaves: Vec::new(),
        }
    }

    /// An answer about regions, from what is known.
    fn find_region(
        &self,
        find: impl FnOnce(&crate::core::Core) -> GetRegionResponse,
    ) -> Answer<GetRegionResponse> {
        let core = self.state.core();
        if let Err(error) = core.cluster.meta() {
            let header = respond::refused(&self.state, &error)?;
            return Ok(Response::new(GetRegionResponse { header, ..Default::default() }));
        }
        Ok(Response::new(find(&core)))
    }

    async fn serve_timestamps(
        self,
        mut requests: Streaming<TsoRequest>,
        responses: mpsc::Sender<std::result::Result<TsoResponse, Status>>,
    ) {
        while let Ok(Some(request)) = requests.message().await {
            let response = self.timestamps(&request);
            let is_last = response.is_err();
            if responses.send(response).await.is_err() || is_last {
                return;
            }
        }
    }

    fn timestamps(&self, request: &TsoRequest) -> std::result::Result<TsoResponse, Status> {
        self.check(request.header.as_ref())?;
        let timestamp = self.state.take_timestamps(request.count).map_err(respond::tso_status)?;
        self.state.meters.timestamps.inc_by(u64::from(request.count));
        let header = self.state.header();
        Ok(TsoResponse { header, count: request.count, timestamp: Some(timestamp) })
    }
}

fn missing<T>(what: Option<T>, name: &str) -> std::result::Result<T, Status> {
    what.ok_or_else(|| respond::invalid(&format!("the request has no {name}")))
}

#[tonic::async_trait]
impl Scheduler for Service {
    type TsoStream = Outgoing<TsoResponse>;
    type RegionHeartbeatStream = Outgoing<RegionHeartbeatResponse>;

    /// Answers anybody: this is how a client learns the cluster's id, and who leads.
    async fn get_members(&self, _: Request<GetMembersRequest>) -> Answer<GetMembersResponse> {
        let membership = &self.state.membership;
        let leader = membership.leader();
        let etcd_leader = leader.clone();
        let (header, members) = (self.state.header(), membership.members());
        Ok(Response::new(GetMembersResponse { header, members, leader, etcd_leader }))
    }

    async fn tso(&self, request: Request<Streaming<TsoRequest>>) -> Answer<Self::TsoStream> {
        let (sender, receiver) = mpsc::channel(STREAM_QUEUE);
        tokio::spawn(self.clone().serve_timestamps(request.into_inner(), sender));
        Ok(Response::new(Outgoing(receiver)))
    }

    async fn bootstrap(&self, request: Request<BootstrapRequest>) -> Answer<BootstrapResponse> {
        let request = request.into_inner();
        self.check(request.header.as_ref())?;
        let store = missing(request.store, "store")?;
        let done = self.keep(|reply| Task::Bootstrap(store, reply)).await;
        let (header, ()) = self.header(done)?;
        Ok(Response::new(BootstrapResponse { header }))
    }

    async fn is_bootstrapped(
        &self,
        request: Request<IsBootstrappedRequest>,
    ) -> Answer<IsBootstrappedResponse> {
        self.check(request.get_ref().header.as_ref())?;
        let bootstrapped = self.state.core().cluster.meta.is_some();
        let header = self.state.header();
        Ok(Response::new(IsBootstrappedResponse { header, bootstrapped }))
    }

    async fn alloc_id(&self, request: Request<AllocIdRequest>) -> Answer<AllocIdResponse> {
        self.check(request.get_ref().header.as_ref())?;
        let take = || Ok(self.state.core().ids.take_all(1));
        let ids = self.ids(take, 1).await.map_err(|error| respond::status(&error))?;
        self.state.check_leads().map_err(|error| respond::status(&error))?;
        Ok(Response::new(AllocIdResponse { header: self.state.header(), id: ids[0] }))
    }

    async fn get_store(&self, request: Request<GetStoreRequest>) -> Answer<GetStoreResponse> {
        let request = request.into_inner();
        self.check(request.header.as_ref())?;
        let found = {
            let core = self.state.core();
            let store = core.cluster.stores.get(request.store_id);
            let found = || store.map(|store| (store.meta.clone(), store.stats.clone()));
            let absent = || Error::StoreNotFound(request.store_id);
            core.cluster.meta().and_then(|_| found().ok_or_else(absent).map(Some))
        };
        let (header, found) = self.header(found)?;
        let (store, stats) = found.unzip();
        Ok(Response::new(GetStoreResponse { header, store, stats }))
    }

    async fn put_store(&self, request: Request<PutStoreRequest>) -> Answer<PutStoreResponse> {
        let request = request.into_inner();
        self.check(request.header.as_ref())?;
        let store = missing(request.store, "store")?;
        let done = self.keep(|reply| Task::PutStore(store, reply)).await;
        let (header, ()) = self.header(done)?;
        Ok(Response::new(PutStoreResponse { header }))
    }

    async fn get_all_stores(
        &self,
        request: Request<GetAllStoresRequest>,
    ) -> Answer<GetAllStoresResponse> {
        let request = request.into_inner();
        self.check(request.header.as_ref())?;
        let found = {
            let core = self.state.core();
            let wanted = core
                .cluster
                .stores
                .iter()
                .filter(|store| !(request.exclude_tombstone_stores && store.is_tombstone()));
            core.cluster.meta().map(|_| wanted.map(|store| store.meta.clone()).collect())
        };
        let (header, stores) = self.header(found)?;
        Ok(Response::new(GetAllStoresResponse { header, stores }))
    }

    async fn store_heartbeat(
        &self,
        request: Request<StoreHeartbeatRequest>,
    ) -> Answer<StoreHeartbeatResponse> {
        let request = request.into_inner();
        self.check(request.header.as_ref())?;
        let stats = missing(request.stats, "stats")?;
        let reported = self.state.core().report_store(stats, self.state.clock.now());
        let (header, ()) = self.header(reported)?;
        Ok(Response::new(StoreHeartbeatResponse { header }))
    }

    async fn region_heartbeat(
        &self,
        request: Request<Streaming<RegionHeartbeatRequest>>,
    ) -> Answer<Self::RegionHeartbeatStream> {
        let (sender, receiver) = mpsc::channel(STREAM_QUEUE);
        let state = Arc::clone(&self.state);
        tokio::spawn(heartbeats::serve(state, request.into_inner(), sender));
        Ok(Response::new(Outgoing(receiver)))
    }

    async fn get_region(&self, request: Request<GetRegionRequest>) -> Answer<GetRegionResponse> {
        let request = request.into_inner();
        self.check(request.header.as_ref())?;
        self.find_region(|core| self.region_response(core.cluster.regions.at(&request.region_key)))
    }

    async fn get_prev_region(
        &self,
        request: Request<GetRegionRequest>,
    ) -> Answer<GetRegionResponse> {
        let request = request.into_inner();
        self.check(request.header.as_ref())?;
        self.find_region(|core| {
            self.region_response(core.cluster.regions.before(&request.region_key))
        })
    }

    async fn get_region_by_id(
        &self,
        request: Request<GetRegionByIdRequest>,
    ) -> Answer<GetRegionResponse> {
        let request = request.into_inner();
        self.check(request.header.as_ref())?;
        self.find_region(|core| self.region_response(core.cluster.regions.get(request.region_id)))
    }

    async fn scan_regions(
        &self,
        request: Request<ScanRegionsRequest>,
    ) -> Answer<ScanRegionsResponse> {
        let request = request.into_inner();
        self.check(request.header.as_ref())?;
        let (start, end) = (&request.start_key, &request.end_key);
        if !end.is_empty() && start > end {
            return Err(respond::invalid("the range ends before it starts"));
        }
        let limit = usize::try_from(request.limit).unwrap_or(0);
        let limit = if limit == 0 { SCAN_MAX } else { limit.min(SCAN_MAX) };
        let found: Result<Vec<Arc<RegionInfo>>> = {
            let core = self.state.core();
            let regions = core.cluster.regions.scan(start, end).take(limit);
            core.cluster.meta().map(|_| regions.cloned().collect())
        };
        let (header, found) = self.header(found)?;
        let regions = found.iter().map(|region| region.meta.clone()).collect();
        // As many leaders as regions: a peer of nobody where none is known.
        let leaders = found.iter().map(|region| region.leader.unwrap_or_default()).collect();
        Ok(Response::new(ScanRegionsResponse { header, regions, leaders }))
    }

    async fn ask_split(&self, request: Request<AskSplitRequest>) -> Answer<AskSplitResponse> {
        let request = request.into_inner();
        self.check(request.header.as_ref())?;
        let region = missing(request.region, "region")?;
        if region.peers.len() > PEERS_MAX {
            return Err(respond::invalid("the region has too many peers"));
        }
        let take = || self.state.core().ask_split(&region);
        let asked = self.ids(take, 1 + region.peers.len() as u64).await;
        let (header, ids) = self.header(asked)?;
        self.state.check_leads().map_err(|error| respond::status(&error))?;
        let mut ids = ids.into_iter();
        let new_region_id = ids.next().unwrap_or_default();
        let new_peer_ids = ids.collect();
        Ok(Response::new(AskSplitResponse { header, new_region_id, new_peer_ids }))
    }

    async fn get_cluster_config(
        &self,
        request: Request<GetClusterConfigRequest>,
    ) -> Answer<GetClusterConfigResponse> {
        self.check(request.get_ref().header.as_ref())?;
        let found = self.state.core().cluster.meta().map(|meta| Some(*meta));
        let (header, cluster) = self.header(found)?;
        Ok(Response::new(GetClusterConfigResponse { header, cluster }))
    }

    async fn put_cluster_config(
        &self,
        request: Request<PutClusterConfigRequest>,
    ) -> Answer<PutClusterConfigResponse> {
        let request = request.into_inner();
        self.check(request.header.as_ref())?;
        let cluster = missing(request.cluster, "cluster")?;
        let done = self.keep(|reply| Task::PutCluster(cluster, reply)).await;
        let (header, ()) = self.header(done)?;
        Ok(Response::new(PutClusterConfigResponse { header }))
    }

    async fn scatter_region(
        &self,
        request: Request<ScatterRegionRequest>,
    ) -> Answer<ScatterRegionResponse> {
        let request = request.into_inner();
        self.check(request.header.as_ref())?;
        let described = request.region.map(|region| (region, request.leader));
        let now = self.state.clock.now();
        let command = {
            let mut core = self.state.core();
            let bootstrapped = core.cluster.meta().map(|_| ());
            bootstrapped.and_then(|()| core.scatter(request.region_id, described, now))
        };
        let (header, command) = self.header(command)?;
        self.state.send(command);
        Ok(Response::new(ScatterRegionResponse { header }))
    }

    async fn get_gc_safe_point(
        &self,
        request: Request<GetGcSafePointRequest>,
    ) -> Answer<GetGcSafePointResponse> {
        self.check(request.get_ref().header.as_ref())?;
        let found = {
            let core = self.state.core();
            core.cluster.meta().map(|_| core.cluster.safe_point)
        };
        let (header, safe_point) = self.header(found)?;
        Ok(Response::new(GetGcSafePointResponse { header, safe_point }))
    }

    async fn update_gc_safe_point(
        &self,
        request: Request<UpdateGcSafePointRequest>,
    ) -> Answer<UpdateGcSafePointResponse> {
        let request = request.into_inner();
        self.check(request.header.as_ref())?;
        let done = self.keep(|reply| Task::UpdateSafePoint(request.safe_point, reply)).await;
        let (header, new_safe_point) = self.header(done)?;
        Ok(Response::new(UpdateGcSafePointResponse { header, new_safe_point }))
    }

    async fn get_operator(
        &self,
        request: Request<GetOperatorRequest>,
    ) -> Answer<GetOperatorResponse> {
        let request = request.into_inner();
        self.check(request.header.as_ref())?;
        let core = self.state.core();
        let mut response = GetOperatorResponse::default();
        if let Err(error) = core.cluster.meta() {
            response.header = respond::refused(&self.state, &error)?;
            return Ok(Response::new(response));
        }
        let Some((plan, status)) =
            core.controller.status(request.region_id, self.state.clock.now())
        else {
            let message = "Not Found".to_owned();
            response.header = respond::header(&self.state, ErrorType::RegionNotFound, message);
            return Ok(Response::new(response));
        };
        Ok(Response::new(GetOperatorResponse {
            header: self.state.header(),
            region_id: request.region_id,
            desc: plan.desc.into(),
            status: status.into(),
            kind: plan.kind.to_string().into(),
        }))
    }
}
