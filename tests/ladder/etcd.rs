//! Rungs about etcd's keys, served on the scheduler's port: the poll that keeps TinySQL reading, and the
//! elections and sessions of a TinySQL that shares its cluster with others.

use std::time::Duration;

use bytes::Bytes;
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::lease_client::LeaseClient;
use proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::response_op;
use proto::etcdserverpb::watch_client::WatchClient;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::{
    Compare, DeleteRangeRequest, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseLeasesRequest,
    LeaseRevokeRequest, LeaseTimeToLiveRequest, PutRequest, RangeRequest, RangeResponse, RequestOp,
    TxnRequest, TxnResponse, WatchCreateRequest, WatchRequest, WatchResponse,
};
use proto::mvccpb::Event;
use proto::mvccpb::event::EventType;
use tests::cluster::{Cluster, Settings};
use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Streaming};

use crate::bytes;
use crate::tinysql::dial;

const OWNERS: &str = "/tidb/ddl/fg/owner/";
const OWNERS_END: &str = "/tidb/ddl/fg/owner0";
const VERSION: &str = "/tidb/ddl/global_schema_version";
const VERSIONS: &str = "/tidb/ddl/all_schema_versions";
const VERSIONS_END: &str = "/tidb/ddl/all_schema_versiont";

/// An etcd client of a TinySQL.
struct Etcd(Channel);

impl Etcd {
    async fn new(cluster: &Cluster) -> Self {
        Etcd(dial(cluster.address()).await.expect("the scheduler serves"))
    }

    fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.0.clone())
    }

    fn leases(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.0.clone())
    }

    async fn get(&self, request: RangeRequest) -> RangeResponse {
        let answer = self.kv().range(request).await.unwrap().into_inner();
        assert!(answer.header.is_some(), "a client without it would panic");
        answer
    }

    async fn put(&self, key: &str, value: &str, lease: i64) -> i64 {
        let request = put(key, value, lease);
        self.kv().put(request).await.unwrap().into_inner().header.unwrap().revision
    }

    async fn txn(&self, request: TxnRequest) -> TxnResponse {
        self.kv().txn(request).await.unwrap().into_inner()
    }

    async fn grant(&self, ttl: i64) -> i64 {
        let grant = LeaseGrantRequest { ttl, id: 0 };
        let id = self.leases().lease_grant(grant).await.unwrap().into_inner().id;
        assert_ne!(id, 0);
        id
    }

    async fn revoke(&self, id: i64) {
        self.leases().lease_revoke(LeaseRevokeRequest { id }).await.unwrap();
    }

    /// Keys from a first to before a last, ordered by when they were made.
    async fn first_made(&self, order: SortOrder, max_create_revision: i64) -> RangeResponse {
        let request = RangeRequest {
            range_end: bytes(OWNERS_END),
            limit: 1,
            sort_order: order.into(),
            sort_target: SortTarget::Create.into(),
            max_create_revision,
            ..range(OWNERS)
        };
        self.get(request).await
    }

    async fn watch(&self, key: &str, start_revision: i64) -> Watching {
        let (requests, receiver) = mpsc::channel(4);
        let mut stub = WatchClient::new(self.0.clone());
        let answers = stub.watch(ReceiverStream::new(receiver)).await.unwrap().into_inner();
        let key = bytes(key);
        let create = WatchCreateRequest { key, start_revision, ..WatchCreateRequest::default() };
        let request = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        requests.send(request).await.unwrap();
        let mut watching = Watching { _requests: requests, answers };
        let created = watching.next().await;
        assert!(created.created && created.events.is_empty(), "{created:?}");
        watching
    }
}

/// A watch. It ends when it is dropped.
struct Watching {
    _requests: mpsc::Sender<WatchRequest>,
    answers: Streaming<WatchResponse>,
}

impl Watching {
    async fn next(&mut self) -> WatchResponse {
        let next = tokio::time::timeout(Duration::from_secs(20), self.answers.message());
        let answer = next.await.expect("in time").unwrap().expect("the stream goes on");
        assert!(answer.header.is_some(), "a client without it would panic");
        answer
    }

    /// The next event, which comes alone.
    async fn event(&mut self) -> Event {
        let mut answer = self.next().await;
        let event = answer.events.pop().expect("an event");
        assert!(answer.events.is_empty(), "{answer:?}");
        event
    }
}

fn range(key: &str) -> RangeRequest {
    RangeRequest { key: bytes(key), ..RangeRequest::default() }
}

fn put(key: &str, value: &str, lease: i64) -> PutRequest {
    PutRequest { key: bytes(key), value: bytes(value), lease, ..PutRequest::default() }
}

/// If the key was made at this revision, 0 being never: one thing; otherwise reads it.
fn if_made_at(key: &str, revision: i64, then: Request) -> TxnRequest {
    let operation = |request| vec![RequestOp { request: Some(request) }];
    TxnRequest {
        compare: vec![Compare {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Create.into(),
            key: bytes(key),
            target_union: Some(TargetUnion::CreateRevision(revision)),
            range_end: Bytes::new(),
        }],
        success: operation(then),
        failure: operation(Request::RequestRange(range(key))),
    }
}

/// A TinySQL that wants to be the owner.
struct Candidate {
    etcd: Etcd,
    name: &'static str,
    lease: i64,
    key: String,
    /// When its key was made.
    revision: i64,
}

impl Candidate {
    /// A session, and a place in the queue of owners.
    async fn enter(cluster: &Cluster, name: &'static str, ttl: i64) -> Self {
        let etcd = Etcd::new(cluster).await;
        let lease = etcd.grant(ttl).await;
        let key = format!("{OWNERS}{lease:x}");
        let campaign = if_made_at(&key, 0, Request::RequestPut(put(&key, name, lease)));
        let entered = etcd.txn(campaign.clone()).await;
        assert!(entered.succeeded);
        let revision = entered.header.unwrap().revision;
        // The answer may be lost. Asked again, it finds its own key.
        let again = etcd.txn(campaign).await;
        let Some(response_op::Response::ResponseRange(found)) = &again.responses[0].response else {
            panic!("{again:?}")
        };
        assert!(!again.succeeded);
        assert_eq!(
            (found.kvs[0].create_revision, &found.kvs[0].value[..]),
            (revision, name.as_bytes())
        );
        Candidate { etcd, name, lease, key, revision }
    }

    /// Waits until nobody is before it, and the queue's first is itself.
    async fn wait_until_elected(&self) {
        loop {
            let before = self.etcd.first_made(SortOrder::Descend, self.revision - 1).await;
            let Some(other) = before.kvs.first() else { break };
            let other = String::from_utf8(other.key.to_vec()).unwrap();
            let mut gone = self.etcd.watch(&other, before.header.unwrap().revision).await;
            while gone.event().await.r#type() != EventType::Delete {}
        }
        let first = self.etcd.first_made(SortOrder::Ascend, 0).await;
        assert_eq!(first.kvs[0].value, self.name);
    }
}

/// Every ten seconds. When it has failed for 99 seconds, every read of every table fails.
#[tokio::test]
async fn the_safe_point_is_read_whether_or_not_a_store_runs() {
    const SAFE_POINT: &str = "/tidb/store/gcworker/saved_safe_point";
    let mut cluster = Cluster::start(1, &Settings::default());
    let etcd = Etcd::new(&cluster).await;
    cluster.kill_store(0);
    for _ in 0..20 {
        let found = etcd.get(range(SAFE_POINT)).await;
        assert!(found.kvs.is_empty() && found.header.unwrap().revision >= 1, "{found:?}");
    }
    etcd.put(SAFE_POINT, "413", 0).await;
    cluster.kill_scheduler();
    cluster.start_scheduler();
    let found = tests::eventually("a read after the restart", async || {
        Some(etcd.kv().range(range(SAFE_POINT)).await.ok()?.into_inner())
    })
    .await;
    assert_eq!(found.kvs[0].value, "413", "a decimal number, or the poll has failed");
}

/// The start of each server: who runs the changes of the schema, and who does when that one stops.
#[tokio::test]
async fn an_owner_is_elected_followed_when_it_stops_and_resigns() {
    let cluster = Cluster::start(0, &Settings::default());
    let first = Candidate::enter(&cluster, "first", 60).await;
    let second = Candidate::enter(&cluster, "second", 60).await;
    first.wait_until_elected().await;
    let mut own = first.etcd.watch(&first.key, 0).await;
    tokio::join!(second.wait_until_elected(), first.etcd.revoke(first.lease));
    let lost = own.event().await;
    assert_eq!(lost.r#type(), EventType::Delete);
    let kv = lost.kv.unwrap();
    assert!(kv.key == first.key && kv.value.is_empty() && kv.mod_revision > second.revision);

    let request = DeleteRangeRequest { key: bytes(&second.key), ..DeleteRangeRequest::default() };
    let resign = if_made_at(&second.key, second.revision, Request::RequestDeleteRange(request));
    assert!(second.etcd.txn(resign.clone()).await.succeeded);
    assert!(!second.etcd.txn(resign).await.succeeded, "it is not the owner any more");
    assert!(second.etcd.first_made(SortOrder::Ascend, 0).await.kvs.is_empty());
}

/// A server that is killed renews its session no more; one that lives renews it every third of its time.
#[tokio::test]
async fn an_owner_that_falls_silent_is_followed_when_its_session_is_over() {
    let cluster = Cluster::start(0, &Settings::default());
    let silent = Candidate::enter(&cluster, "silent", 2).await;
    let alive = Candidate::enter(&cluster, "alive", 2).await;
    let (sender, receiver) = mpsc::channel(1);
    let renewals = alive.etcd.leases().lease_keep_alive(ReceiverStream::new(receiver)).await;
    let mut renewals = renewals.unwrap().into_inner();
    let renewing = async {
        loop {
            sender.send(LeaseKeepAliveRequest { id: alive.lease }).await.unwrap();
            let renewed = renewals.message().await.unwrap().unwrap();
            assert_eq!((renewed.id, renewed.ttl), (alive.lease, 2));
            tokio::time::sleep(Duration::from_millis(600)).await;
        }
    };
    tokio::select! {
        () = alive.wait_until_elected() => {}
        () = renewing => {}
    }
    sender.send(LeaseKeepAliveRequest { id: silent.lease }).await.unwrap();
    let renewed = renewals.message().await.unwrap().unwrap();
    assert_eq!(
        (renewed.id, renewed.ttl),
        (silent.lease, 0),
        "the lease is gone, and that is no error"
    );
    let gone = alive.etcd.leases().lease_revoke(LeaseRevokeRequest { id: silent.lease }).await;
    let gone = gone.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    assert_eq!(gone.message(), "etcdserver: requested lease not found", "it is known by its text");
}

/// A change of the schema: the owner says its number, and waits until all servers say it, too.
#[tokio::test]
async fn a_schema_version_is_announced_seen_and_answered_by_all_servers() {
    let cluster = Cluster::start(0, &Settings::default());
    let (owner, other) = (Etcd::new(&cluster).await, Etcd::new(&cluster).await);
    let begin = if_made_at(VERSION, 0, Request::RequestPut(put(VERSION, "0", 0)));
    assert!(owner.txn(begin.clone()).await.succeeded && !other.txn(begin).await.succeeded);
    let mut news = other.watch(VERSION, 0).await;
    let mut leases = Vec::new();
    for (etcd, name) in [(&owner, "one"), (&other, "two")] {
        let lease = etcd.grant(90).await;
        etcd.put(&format!("{VERSIONS}/{name}"), "0", lease).await;
        leases.push(lease);
    }
    let announced = owner.put(VERSION, "1", 0).await;
    owner.put(&format!("{VERSIONS}/one"), "1", leases[0]).await;
    let event = news.event().await.kv.unwrap();
    assert_eq!((&event.value[..], event.mod_revision), (&b"1"[..], announced));
    let all = || async {
        let request = RangeRequest { range_end: bytes(VERSIONS_END), ..range(VERSIONS) };
        let found = owner.get(request).await;
        found.kvs.iter().map(|kv| kv.value.clone()).collect::<Vec<_>>()
    };
    assert_eq!(all().await, ["1", "0"], "one server is behind");
    other.put(&format!("{VERSIONS}/two"), "1", leases[1]).await;
    assert_eq!(all().await, ["1", "1"]);

    // Cleaning up after servers that are gone: all sessions, and how long each has left.
    let listed = owner.leases().lease_leases(LeaseLeasesRequest {}).await.unwrap().into_inner();
    let mut ids: Vec<i64> = listed.leases.iter().map(|lease| lease.id).collect();
    ids.sort_unstable();
    leases.sort_unstable();
    assert_eq!(ids, leases);
    let request = LeaseTimeToLiveRequest { id: 12345, keys: false };
    let unknown = owner.leases().lease_time_to_live(request).await.unwrap().into_inner();
    assert_eq!(unknown.ttl, -1, "an unknown lease is no error");
    owner.revoke(leases[0]).await;
    assert_eq!(all().await, ["1"], "its keys go with it");
}
