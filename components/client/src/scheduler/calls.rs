//! The calls of the scheduler, one method each.

use proto::metapb::{self, Region, Store};
use proto::schedulerpb::{
    AllocIdRequest, AllocIdResponse, AskSplitRequest, AskSplitResponse, BootstrapRequest,
    BootstrapResponse, GetAllStoresRequest, GetAllStoresResponse, GetClusterConfigRequest,
    GetClusterConfigResponse, GetGcSafePointRequest, GetGcSafePointResponse, GetMembersRequest,
    GetMembersResponse, GetOperatorRequest, GetOperatorResponse, GetRegionByIdRequest,
    GetRegionRequest, GetRegionResponse, GetStoreRequest, GetStoreResponse, IsBootstrappedRequest,
    IsBootstrappedResponse, Member, PutClusterConfigRequest, PutClusterConfigResponse,
    PutStoreRequest, PutStoreResponse, ResponseHeader, ScanRegionsRequest, ScanRegionsResponse,
    ScatterRegionRequest, ScatterRegionResponse, StoreHeartbeatRequest, StoreHeartbeatResponse,
    StoreStats, UpdateGcSafePointRequest, UpdateGcSafePointResponse,
};

use super::{Answer, RegionAndLeader, SchedulerClient};
use crate::error::{Cause, Error, Result};
use crate::timestamp::Timestamp;

macro_rules! answers {
    ($($response:ty),+ $(,)?) => {
        $(impl Answer for $response {
            fn header(&self) -> Option<&ResponseHeader> {
                self.header.as_ref()
            }
        })+
    };
}

answers! {
    AllocIdResponse, AskSplitResponse, BootstrapResponse, GetAllStoresResponse,
    GetClusterConfigResponse, GetGcSafePointResponse, GetMembersResponse, GetOperatorResponse,
    GetRegionResponse, GetStoreResponse, IsBootstrappedResponse, PutClusterConfigResponse,
    PutStoreResponse, ScanRegionsResponse, ScatterRegionResponse, StoreHeartbeatResponse,
    UpdateGcSafePointResponse,
}

/// A call: its name for people, its stub, its request without the header.
macro_rules! call {
    ($client:expr, $name:expr, $stub:ident, $request:ident { $($field:ident : $value:expr),* }) => {
        $client.call($name, |mut stub, header| {
            let request = $request { header, $($field: $value),* };
            async move { stub.$stub(request).await }
        })
    };
}

/// Members, ids, and the cluster as a whole.
impl SchedulerClient {
    /// The schedulers, and who of them leads.
    pub async fn members(&self) -> Result<(Vec<Member>, Option<Member>)> {
        let answer = call!(self, "list the schedulers", get_members, GetMembersRequest {}).await?;
        Ok((answer.members, answer.leader))
    }

    /// An id that nobody else ever gets.
    pub async fn alloc_id(&self) -> Result<u64> {
        const NAME: &str = "allocate an id";
        let answer = call!(self, NAME, alloc_id, AllocIdRequest {}).await?;
        if answer.id == 0 {
            return Err(malformed(NAME, "the id is zero"));
        }
        Ok(answer.id)
    }

    /// Whether the cluster was founded.
    pub async fn is_bootstrapped(&self) -> Result<bool> {
        let asked = call!(
            self,
            "ask for the cluster's founding",
            is_bootstrapped,
            IsBootstrappedRequest {}
        );
        Ok(asked.await?.bootstrapped)
    }

    /// Founds the cluster with this store. Answers whether it was this store that founded it, now or
    /// earlier; `false` means that another one was first.
    ///
    /// A store that founds has not registered itself by [`put_store`](Self::put_store) yet, so if it is
    /// known although the cluster is founded already, it was its own founding whose answer it missed: it
    /// crashed, or the answer was lost and the call repeated.
    pub async fn bootstrap(&self, store: &Store) -> Result<bool> {
        let asked = call!(
            self,
            "found the cluster",
            bootstrap,
            BootstrapRequest { store: Some(store.clone()) }
        );
        match asked.await {
            Ok(_) => Ok(true),
            Err(error) if *error.cause() == Cause::AlreadyBootstrapped => {
                Ok(self.store(store.id).await?.is_some())
            }
            Err(error) => Err(error),
        }
    }

    /// What the cluster is set to.
    pub async fn cluster_config(&self) -> Result<metapb::Cluster> {
        const NAME: &str = "read the cluster's settings";
        let asked = call!(self, NAME, get_cluster_config, GetClusterConfigRequest {});
        asked.await?.cluster.ok_or_else(|| malformed(NAME, "there are none"))
    }

    /// Sets the cluster.
    pub async fn put_cluster_config(&self, cluster: &metapb::Cluster) -> Result<()> {
        let asked = call!(
            self,
            "change the cluster's settings",
            put_cluster_config,
            PutClusterConfigRequest { cluster: Some(*cluster) }
        );
        asked.await.map(drop)
    }

    /// The time before which old versions may be collected; zero if it was never set.
    pub async fn gc_safe_point(&self) -> Result<Timestamp> {
        let asked = call!(self, "read the safe point", get_gc_safe_point, GetGcSafePointRequest {});
        Ok(Timestamp::new(asked.await?.safe_point))
    }

    /// Raises the safe point, which never falls, and answers what it is now.
    pub async fn update_gc_safe_point(&self, safe_point: Timestamp) -> Result<Timestamp> {
        let asked = call!(
            self,
            "raise the safe point",
            update_gc_safe_point,
            UpdateGcSafePointRequest { safe_point: safe_point.get() }
        );
        Ok(Timestamp::new(asked.await?.new_safe_point))
    }
}

/// Stores.
impl SchedulerClient {
    /// A store announces itself, at each of its starts.
    pub async fn put_store(&self, store: &Store) -> Result<()> {
        let asked = call!(
            self,
            "register the store",
            put_store,
            PutStoreRequest { store: Some(store.clone()) }
        );
        asked.await.map(drop)
    }

    /// A store by its id.
    pub async fn store(&self, id: u64) -> Result<Option<Store>> {
        let asked = call!(self, "look up a store", get_store, GetStoreRequest { store_id: id });
        match asked.await {
            Ok(answer) => Ok(answer.store),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A store with its latest report.
    pub async fn store_stats(&self, id: u64) -> Result<Option<(Store, Option<StoreStats>)>> {
        let asked = call!(self, "look up a store", get_store, GetStoreRequest { store_id: id });
        match asked.await {
            Ok(answer) => Ok(answer.store.map(|store| (store, answer.stats))),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All stores, those that were removed for ever only on request.
    pub async fn stores(&self, with_tombstones: bool) -> Result<Vec<Store>> {
        let asked = call!(
            self,
            "list the stores",
            get_all_stores,
            GetAllStoresRequest { exclude_tombstone_stores: !with_tombstones }
        );
        Ok(asked.await?.stores)
    }

    /// A store reports its load.
    pub async fn store_heartbeat(&self, stats: &StoreStats) -> Result<()> {
        let asked = call!(
            self,
            "report the store",
            store_heartbeat,
            StoreHeartbeatRequest { stats: Some(stats.clone()) }
        );
        asked.await.map(drop)
    }
}

/// Regions. Keys are in the form in which regions order them: the transactional ones encoded.
impl SchedulerClient {
    /// The region that contains a key.
    pub async fn region(&self, key: &[u8]) -> Result<Option<RegionAndLeader>> {
        let key = bytes::Bytes::copy_from_slice(key);
        let asked =
            call!(self, "find a region", get_region, GetRegionRequest { region_key: key.clone() });
        found(asked.await)
    }

    /// The region before the one that contains a key.
    pub async fn prev_region(&self, key: &[u8]) -> Result<Option<RegionAndLeader>> {
        let key = bytes::Bytes::copy_from_slice(key);
        let asked = call!(
            self,
            "find a region",
            get_prev_region,
            GetRegionRequest { region_key: key.clone() }
        );
        found(asked.await)
    }

    /// A region by its id.
    pub async fn region_by_id(&self, id: u64) -> Result<Option<RegionAndLeader>> {
        let request =
            call!(self, "find a region", get_region_by_id, GetRegionByIdRequest { region_id: id });
        found(request.await)
    }

    /// Neighbouring regions, from the one that contains `start`; an empty `end` is the end of all. At
    /// most `limit` of them, or as many as the scheduler gives if that is zero.
    pub async fn scan_regions(
        &self,
        start: &[u8],
        end: &[u8],
        limit: u32,
    ) -> Result<Vec<RegionAndLeader>> {
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let start = bytes::Bytes::copy_from_slice(start);
        let end = bytes::Bytes::copy_from_slice(end);
        let asked = call!(
            self,
            "list regions",
            scan_regions,
            ScanRegionsRequest { start_key: start.clone(), end_key: end.clone(), limit: limit }
        );
        let answer = asked.await?;
        if answer.regions.len() != answer.leaders.len() {
            return Err(malformed("list regions", "there are not as many leaders as regions"));
        }
        let pairs = answer.regions.into_iter().zip(answer.leaders);
        let pair = |(region, leader): (Region, metapb::Peer)| RegionAndLeader {
            region,
            leader: Some(leader).filter(|leader| leader.id != 0),
        };
        Ok(pairs.map(pair).collect())
    }

    /// Ids for the right part of a split: the region's, and one for each of its peers.
    pub async fn ask_split(&self, region: &Region) -> Result<(u64, Vec<u64>)> {
        const NAME: &str = "ask for the ids of a split";
        let asked = call!(self, NAME, ask_split, AskSplitRequest { region: Some(region.clone()) });
        let answer = asked.await?;
        if answer.new_region_id == 0 || answer.new_peer_ids.len() != region.peers.len() {
            return Err(malformed(NAME, "there is not one id for each"));
        }
        Ok((answer.new_region_id, answer.new_peer_ids))
    }

    /// Spreads the peers of a region over other stores.
    pub async fn scatter_region(&self, id: u64) -> Result<()> {
        let asked = self.call("scatter a region", |mut stub, header| {
            let request =
                ScatterRegionRequest { header, region_id: id, ..ScatterRegionRequest::default() };
            async move { stub.scatter_region(request).await }
        });
        asked.await.map(drop)
    }

    /// What the scheduler is doing with a region, or did last.
    pub async fn operator(&self, region: u64) -> Result<Option<GetOperatorResponse>> {
        let asked = call!(
            self,
            "look up an operator",
            get_operator,
            GetOperatorRequest { region_id: region }
        );
        match asked.await {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn found(answer: Result<GetRegionResponse>) -> Result<Option<RegionAndLeader>> {
    let GetRegionResponse { region, leader, .. } = answer?;
    let leader = leader.filter(|leader| leader.id != 0);
    Ok(region.map(|region| RegionAndLeader { region, leader }))
}

fn is_not_found(error: &Error) -> bool {
    matches!(error.cause(), Cause::NotFound(_))
}

fn malformed(operation: &'static str, what: &str) -> Error {
    Error::unsent(operation, Cause::Malformed(what.to_owned()))
}
