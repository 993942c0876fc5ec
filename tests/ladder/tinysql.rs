//! How TinySQL calls a cluster: where it asks, what it remembers, and what it does about failures.
//!
//! What it does when a region refuses:
//!
//! | refusal | what is remembered | then |
//! |---|---|---|
//! | not the leader, but that one is | who leads; the region is forgotten if it has no such peer | again |
//! | not the leader | it is the next peer's turn | again |
//! | another store; a stale command | nothing | again at once |
//! | the region has changed, and is now these | these, led by the store that answered | grouped again |
//! | anything else | the region is forgotten | the scheduler is asked |
//! | a failed call | all regions that this store was asked for are forgotten | the scheduler is asked |

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use proto::kvrpcpb::{
    BatchRollbackRequest, CheckTxnStatusRequest, CommitRequest, Context, GetRequest, KeyError,
    LockInfo, Mutation, Op, PrewriteRequest, ResolveLockRequest, ScanRequest,
};
use proto::metapb::{Peer, Region};
use proto::schedulerpb::scheduler_client::SchedulerClient;
use proto::schedulerpb::{
    GetMembersRequest, GetRegionRequest, GetStoreRequest, RequestHeader, TsoRequest, TsoResponse,
};
use proto::tinykvpb::tiny_kv_client::TinyKvClient;
use proto::{coprocessor, errorpb};
use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status, Streaming};

pub(crate) type Stub = TinyKvClient<Channel>;

/// How often a request is repeated at most. TinySQL counts the time of its pauses.
const ATTEMPTS_MAX: u32 = 300;

/// How many bits of a timestamp count within a millisecond.
const LOGICAL_BITS: u32 = 18;

/// A request to a region.
pub(crate) trait Call: Clone {
    type Response;
    fn address(&mut self, context: Context);
    async fn send(self, stub: Stub) -> Result<Response<Self::Response>, Status>;
    fn refusal(response: &Self::Response) -> Option<&errorpb::Error>;
}

macro_rules! calls {
    ($($request:ty => $response:ty: $stub:ident;)+) => {
        $(impl Call for $request {
            type Response = $response;

            fn address(&mut self, context: Context) {
                self.context = Some(context);
            }

            async fn send(self, mut stub: Stub) -> Result<Response<Self::Response>, Status> {
                stub.$stub(self).await
            }

            fn refusal(response: &Self::Response) -> Option<&errorpb::Error> {
                response.region_error.as_deref()
            }
        })+
    };
}

calls! {
    GetRequest => proto::kvrpcpb::GetResponse: kv_get;
    ScanRequest => proto::kvrpcpb::ScanResponse: kv_scan;
    PrewriteRequest => proto::kvrpcpb::PrewriteResponse: kv_prewrite;
    CommitRequest => proto::kvrpcpb::CommitResponse: kv_commit;
    BatchRollbackRequest => proto::kvrpcpb::BatchRollbackResponse: kv_batch_rollback;
    CheckTxnStatusRequest => proto::kvrpcpb::CheckTxnStatusResponse: kv_check_txn_status;
    ResolveLockRequest => proto::kvrpcpb::ResolveLockResponse: kv_resolve_lock;
    coprocessor::Request => coprocessor::Response: coprocessor;
}

/// A region as TinySQL remembers it. Keys are those of users.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) region: Region,
    pub(crate) start: Bytes,
    pub(crate) end: Bytes,
    /// Which peer is asked.
    peer: usize,
}

impl Known {
    /// A region's boundaries must be those of whole keys, or TinySQL refuses the answer.
    fn new(region: Region, leader_store: Option<u64>) -> Self {
        assert!(!region.peers.is_empty(), "a region without peers ends a statement: {region:?}");
        let (start, end) = (decoded(&region.start_key), decoded(&region.end_key));
        let is_leader = |peer: &Peer| Some(peer.store_id) == leader_store;
        let peer = region.peers.iter().position(is_leader).unwrap_or(0);
        Known { region, start, end, peer }
    }

    pub(crate) fn peer(&self) -> Peer {
        self.region.peers[self.peer]
    }

    pub(crate) fn context(&self) -> Context {
        Context {
            region_id: self.region.id,
            region_epoch: self.region.region_epoch,
            peer: Some(self.peer()),
            term: 0,
        }
    }

    fn has(&self, key: &[u8]) -> bool {
        *key >= self.start[..] && (self.end.is_empty() || *key < self.end[..])
    }
}

/// A TinySQL server.
pub(crate) struct TinySql {
    pub(crate) channel: Channel,
    pub(crate) header: Option<RequestHeader>,
    timestamps: (mpsc::Sender<TsoRequest>, Streaming<TsoResponse>),
    stubs: BTreeMap<u64, Stub>,
    /// By the first key.
    regions: BTreeMap<Bytes, Known>,
}

impl TinySql {
    /// Starts as far as the first timestamp, which is the one that is asked for once only.
    pub(crate) async fn connect(address: &str) -> Self {
        let channel = dial(address).await.expect("the scheduler serves");
        let mut members = SchedulerClient::new(channel.clone());
        // Twice, as it does: without a header, since it does not know the cluster yet.
        let first = members.get_members(GetMembersRequest::default()).await.expect("members");
        let cluster_id = first.into_inner().header.expect("a header").cluster_id;
        let second = members.get_members(GetMembersRequest::default()).await.expect("members");
        let second = second.into_inner();
        let leader = second.leader.as_ref().expect("without a leader it would go on asking");
        let url = leader.client_urls.first().expect("an address").clone();
        let host = url.strip_prefix("http://").expect("without a scheme the host is not found");
        assert!(second.members.iter().all(|member| !member.client_urls.is_empty()), "{second:?}");
        let channel = dial(host).await.expect("the leader is where it says");
        let timestamps = open(&channel).await;
        let header = Some(RequestHeader { cluster_id });
        let (stubs, regions) = (BTreeMap::new(), BTreeMap::new());
        let mut sql = TinySql { channel, header, timestamps, stubs, regions };
        sql.timestamp().await;
        sql
    }

    pub(crate) fn scheduler(&self) -> SchedulerClient<Channel> {
        SchedulerClient::new(self.channel.clone())
    }

    /// So many timestamps; the largest. The stream is opened again when it breaks.
    pub(crate) async fn timestamps(&mut self, count: u32) -> u64 {
        for _ in 0..ATTEMPTS_MAX {
            if let Some(answer) = self.batch(count).await {
                assert_eq!(answer.count, count, "all who wait would fail");
                let last = answer.timestamp.expect("a timestamp");
                assert!(last.logical + 1 >= i64::from(count) && last.logical < 1 << LOGICAL_BITS);
                let (physical, logical) =
                    (last.physical.unsigned_abs(), last.logical.unsigned_abs());
                return (physical << LOGICAL_BITS) + logical;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
            if let Ok(Ok(timestamps)) =
                tokio::time::timeout(Duration::from_secs(1), try_open(&self.channel)).await
            {
                self.timestamps = timestamps;
            }
        }
        panic!("there are no timestamps");
    }

    async fn batch(&mut self, count: u32) -> Option<TsoResponse> {
        let (sender, answers) = &mut self.timestamps;
        sender.send(TsoRequest { header: self.header, count }).await.ok()?;
        let answer = tokio::time::timeout(Duration::from_secs(3), answers.message()).await;
        answer.ok()?.ok()?
    }

    pub(crate) async fn timestamp(&mut self) -> u64 {
        self.timestamps(1).await
    }

    /// Where a key lies, from memory or from the scheduler.
    pub(crate) async fn locate(&mut self, key: &[u8]) -> Known {
        let before = self.regions.range(..=Bytes::copy_from_slice(key)).next_back();
        if let Some((_, known)) = before.filter(|(_, known)| known.has(key)) {
            return known.clone();
        }
        for _ in 0..ATTEMPTS_MAX {
            let request = GetRegionRequest { header: self.header, region_key: encoded(key) };
            let answer = self.scheduler().get_region(request).await;
            if let Ok(answer) = answer.map(Response::into_inner)
                && let Some(region) = answer.region
            {
                let known = Known::new(region, answer.leader.map(|peer| peer.store_id));
                assert!(known.has(key), "the request would go to the wrong place: {known:?}");
                self.remember(known.clone());
                return known;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("nobody knows where the key lies");
    }

    fn remember(&mut self, known: Known) {
        self.regions.retain(|_, other| {
            let is_before = !other.end.is_empty() && other.end <= known.start;
            let is_after = !known.end.is_empty() && known.end <= other.start;
            is_before || is_after
        });
        self.regions.insert(known.start.clone(), known);
    }

    /// Forgets all regions, as after ten minutes without a use.
    pub(crate) fn forget_regions(&mut self) {
        self.regions.clear();
    }

    /// A connection to a store, at the address that the scheduler says.
    pub(crate) async fn stub(&mut self, store_id: u64) -> Option<Stub> {
        if let Some(stub) = self.stubs.get(&store_id) {
            return Some(stub.clone());
        }
        let request = GetStoreRequest { header: self.header, store_id };
        let store = self.scheduler().get_store(request).await.ok()?.into_inner().store?;
        let stub = TinyKvClient::new(dial(&store.address).await?);
        // TinySQL takes answers of any size.
        let stub = stub.max_decoding_message_size(usize::MAX);
        self.stubs.insert(store_id, stub.clone());
        Some(stub)
    }

    /// Sends a request to the region of a key until it is served; answers by which region, too.
    pub(crate) async fn ask<C: Call>(&mut self, key: &[u8], call: C) -> (C::Response, Known) {
        let mut reasons = Vec::new();
        for attempt in 0..ATTEMPTS_MAX {
            let known = self.locate(key).await;
            let store = known.peer().store_id;
            let mut call = call.clone();
            call.address(known.context());
            let answer = match self.stub(store).await {
                Some(stub) => call.send(stub).await.map_err(|status| status.to_string()),
                None => Err("nobody listens".to_owned()),
            };
            match answer {
                Ok(answer) => match C::refusal(answer.get_ref()) {
                    None => return (answer.into_inner(), known),
                    Some(error) => {
                        reasons.push(format!("store {store}: {error:?}"));
                        self.learn(&known, error);
                    }
                },
                Err(status) => {
                    reasons.push(format!("store {store}: {status}"));
                    self.stubs.remove(&store);
                    self.regions.retain(|_, known| known.peer().store_id != store);
                }
            }
            let pause = Duration::from_millis(2 << attempt.min(6));
            tokio::time::sleep(pause).await;
        }
        panic!(
            "no region serves: {}",
            reasons.split_off(reasons.len().saturating_sub(9)).join("\n")
        );
    }

    /// What is done about a refusal.
    pub(crate) fn learn(&mut self, asked: &Known, error: &errorpb::Error) {
        if error.store_not_match.is_some() || error.stale_command.is_some() {
            return;
        }
        if let Some(not_leader) = &error.not_leader {
            let Some(known) = self.regions.get_mut(&asked.start) else { return };
            let Some(leader) = not_leader.leader else {
                known.peer = (known.peer + 1) % known.region.peers.len();
                return;
            };
            let is_leader = |peer: &Peer| peer.store_id == leader.store_id;
            match known.region.peers.iter().position(is_leader) {
                Some(peer) => known.peer = peer,
                None => drop(self.regions.remove(&asked.start)),
            }
            return;
        }
        self.regions.remove(&asked.start);
        if let Some(changed) = &error.epoch_not_match {
            let store = Some(asked.peer().store_id);
            for region in &changed.current_regions {
                self.remember(Known::new(region.clone(), store));
            }
        }
    }
}

impl TinySql {
    /// Reads a key, waiting for those who write it.
    pub(crate) async fn get(&mut self, key: &[u8], version: u64) -> Bytes {
        for _ in 0..ATTEMPTS_MAX {
            let request =
                GetRequest { key: Bytes::copy_from_slice(key), version, ..GetRequest::default() };
            let (answer, _) = self.ask(key, request).await;
            let Some(error) = answer.error else { return answer.value };
            let lock = error.locked.expect("any other error ends the statement");
            self.settle(&lock).await;
        }
        panic!("the lock is immortal");
    }

    /// Asks what became of the transaction that left a lock, and ends it if that is known.
    pub(crate) async fn settle(&mut self, lock: &LockInfo) {
        let request = CheckTxnStatusRequest {
            primary_key: lock.primary_lock.clone(),
            lock_ts: lock.lock_version,
            current_ts: self.timestamp().await,
            ..CheckTxnStatusRequest::default()
        };
        let (status, _) = self.ask(&lock.primary_lock, request).await;
        if status.lock_ttl > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            return;
        }
        let resolve = ResolveLockRequest {
            start_version: lock.lock_version,
            commit_version: status.commit_version,
            ..ResolveLockRequest::default()
        };
        let (resolved, _) = self.ask(&lock.key, resolve).await;
        assert_eq!(resolved.error, None, "this ends the statement");
    }

    /// Mutations grouped by the regions of their keys, at most 16 KiB of them at a time.
    async fn grouped(&mut self, mutations: &[Mutation]) -> Vec<Vec<Mutation>> {
        let mut groups: Vec<(u64, usize, Vec<Mutation>)> = Vec::new();
        for mutation in mutations {
            let region = self.locate(&mutation.key).await.region.id;
            let size = mutation.key.len() + mutation.value.len();
            match groups.iter_mut().find(|group| group.0 == region && group.1 < 16 << 10) {
                Some(group) => {
                    group.1 += size;
                    group.2.push(mutation.clone());
                }
                None => groups.push((region, size, vec![mutation.clone()])),
            }
        }
        groups.into_iter().map(|(_, _, mutations)| mutations).collect()
    }

    /// Writes all of them or none; the timestamp of the commit, or the first error that ends it.
    pub(crate) async fn commit(&mut self, mutations: &[Mutation]) -> Result<u64, KeyError> {
        let start_version = self.timestamp().await;
        self.commit_since(start_version, mutations).await
    }

    /// The same, for a transaction that began earlier.
    pub(crate) async fn commit_since(
        &mut self,
        start_version: u64,
        mutations: &[Mutation],
    ) -> Result<u64, KeyError> {
        let primary = mutations.iter().map(|mutation| &mutation.key).min().expect("one at least");
        let mut waiting = vec![mutations.to_vec()];
        while let Some(group) = waiting.pop() {
            let parts = self.grouped(&group).await;
            if parts.len() > 1 {
                waiting.extend(parts);
                continue;
            }
            let request = PrewriteRequest {
                mutations: group.clone(),
                primary_lock: primary.clone(),
                start_version,
                lock_ttl: 3000,
                ..PrewriteRequest::default()
            };
            let (answer, _) = self.ask(&group[0].key, request).await;
            if !answer.errors.is_empty() {
                waiting.push(group);
            }
            for error in answer.errors {
                match &error.locked {
                    Some(lock) => self.settle(lock).await,
                    None => return Err(error),
                }
            }
        }
        let commit_version = self.timestamp().await;
        assert!(commit_version > start_version, "it would go no further");
        let mut groups = self.grouped(mutations).await;
        groups.sort_by_key(|group| !group.iter().any(|mutation| mutation.key == primary));
        for group in groups {
            let keys: Vec<Bytes> = group.iter().map(|mutation| mutation.key.clone()).collect();
            let first = keys[0].clone();
            let request =
                CommitRequest { start_version, keys, commit_version, ..CommitRequest::default() };
            let (answer, _) = self.ask(&first, request).await;
            if let Some(error) = answer.error {
                return Err(*error);
            }
        }
        Ok(commit_version)
    }

    /// All rows from a key on, a page at a time as TinySQL reads them: each region to its end.
    pub(crate) async fn scan(&mut self, start: &[u8], version: u64) -> Vec<(Bytes, Bytes)> {
        const PAGE: u32 = 256;
        let (mut found, mut next) = (Vec::new(), Bytes::copy_from_slice(start));
        loop {
            let request =
                ScanRequest { start_key: next.clone(), limit: PAGE, version, context: None };
            let (answer, known) = self.ask(&next, request).await;
            let is_full = answer.pairs.len() == PAGE as usize;
            for pair in answer.pairs {
                let key = pair.error.as_ref().map_or(pair.key, |error| {
                    error.locked.as_ref().expect("any other error ends the scan").key.clone()
                });
                let value = match pair.error {
                    None => pair.value,
                    Some(_) => Box::pin(self.get(&key, version)).await,
                };
                next = [&key[..], &[0]].concat().into();
                if !value.is_empty() {
                    found.push((key, value));
                }
            }
            if is_full {
                continue;
            }
            if known.end.is_empty() {
                return found;
            }
            next = known.end;
        }
    }
}

/// A connection to an address as TinySQL is told it: bare, without a scheme.
pub(crate) async fn dial(address: &str) -> Option<Channel> {
    assert!(!address.contains('/'), "it is dialled as it is: {address}");
    let endpoint = Endpoint::try_from(format!("http://{address}")).expect("an address");
    endpoint.connect_timeout(Duration::from_secs(3)).connect().await.ok()
}

type Timestamps = (mpsc::Sender<TsoRequest>, Streaming<TsoResponse>);

async fn open(channel: &Channel) -> Timestamps {
    try_open(channel).await.expect("a stream of timestamps is accepted at once")
}

async fn try_open(channel: &Channel) -> Result<Timestamps, Status> {
    let (sender, receiver) = mpsc::channel(1);
    let mut stub = SchedulerClient::new(channel.clone());
    Ok((sender, stub.tso(ReceiverStream::new(receiver)).await?.into_inner()))
}

/// A key of users in the form in which regions are cut.
pub(crate) fn encoded(key: &[u8]) -> Bytes {
    let mut out = Vec::new();
    if !key.is_empty() {
        codec::bytes::encode(&mut out, key);
    }
    out.into()
}

fn decoded(boundary: &[u8]) -> Bytes {
    if boundary.is_empty() {
        return Bytes::new();
    }
    let mut rest = boundary;
    let key = codec::bytes::decode(&mut rest).expect("a boundary is a whole key");
    assert!(rest.is_empty(), "a boundary is a key without a timestamp");
    key.into()
}

/// A write of a value.
pub(crate) fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Mutation {
    Mutation { op: Op::Put.into(), key: key.into(), value: value.into() }
}
