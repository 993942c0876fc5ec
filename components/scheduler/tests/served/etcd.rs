//! etcd's API as TinySQL's client uses it: elections, versions of a schema, sessions.

use std::time::Duration;

use bytes::Bytes;
use proto::etcdserverpb::cluster_client::ClusterClient;
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::response_op::Response;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::{
    CompactionRequest, Compare, DeleteRangeRequest, LeaseGrantRequest, LeaseKeepAliveRequest,
    LeaseLeasesRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest, MemberListRequest, PutRequest,
    RangeRequest, RangeResponse, RequestOp, StatusRequest, TxnRequest, TxnResponse,
    WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
};
use proto::mvccpb::event::EventType;
use runtime::clock::{ManualClock, SystemClock};
use std::sync::Arc;
use tokio::sync::mpsc;
use tonic::Code;

use crate::fixture::{Fixture, Requests, config, eventually};

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(crate) fn put(key: &str, value: &str) -> PutRequest {
    PutRequest { key: bytes(key), value: bytes(value), ..PutRequest::default() }
}

fn read(key: &str) -> RangeRequest {
    RangeRequest { key: bytes(key), ..RangeRequest::default() }
}

async fn get(fixture: &Fixture, request: RangeRequest) -> RangeResponse {
    let response = fixture.kv().range(request).await.unwrap().into_inner();
    assert!(response.header.is_some(), "a client without it would panic");
    response
}

fn campaign(key: &str, me: &str, lease: i64) -> TxnRequest {
    let operation = |request: Request| RequestOp { request: Some(request) };
    TxnRequest {
        compare: vec![Compare {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Create.into(),
            key: bytes(key),
            target_union: Some(TargetUnion::CreateRevision(0)),
            range_end: Bytes::new(),
        }],
        success: vec![operation(Request::RequestPut(PutRequest { lease, ..put(key, me) }))],
        failure: vec![operation(Request::RequestRange(read(key)))],
    }
}

fn first(response: &TxnResponse) -> &RangeResponse {
    match &response.responses[0].response {
        Some(Response::ResponseRange(found)) => found,
        other => panic!("{other:?}"),
    }
}

pub(crate) struct Watching {
    requests: mpsc::Sender<WatchRequest>,
    responses: tonic::Streaming<WatchResponse>,
}

impl Watching {
    pub(crate) async fn open(fixture: &Fixture) -> Self {
        let (requests, receiver) = mpsc::channel(16);
        let responses = fixture.watches().watch(Requests(receiver)).await.unwrap().into_inner();
        Watching { requests, responses }
    }

    pub(crate) async fn send(&self, union: RequestUnion) {
        let request = WatchRequest { request_union: Some(union) };
        self.requests.send(request).await.expect("it listens");
    }

    pub(crate) async fn next(&mut self) -> WatchResponse {
        let next = tokio::time::timeout(Duration::from_secs(20), self.responses.message());
        let response = next.await.expect("in time").unwrap().expect("the stream goes on");
        assert!(response.header.is_some(), "a client without it would panic");
        response
    }

    pub(crate) async fn create(&mut self, request: WatchCreateRequest) -> WatchResponse {
        self.send(RequestUnion::CreateRequest(request)).await;
        let created = self.next().await;
        assert!(created.created && created.events.is_empty(), "{created:?}");
        created
    }
}

pub(crate) fn watch(key: &str, end: &str, start_revision: i64) -> WatchCreateRequest {
    let (key, range_end) = (bytes(key), bytes(end));
    WatchCreateRequest { key, range_end, start_revision, ..WatchCreateRequest::default() }
}

/// The one call that every TinySQL makes: without it, all reads fail after 99 seconds.
#[tokio::test]
async fn a_key_that_nobody_wrote_is_an_empty_success_and_members_can_be_dialled() {
    let fixture = Fixture::new().await;
    let found = get(&fixture, read("/tidb/store/gcworker/saved_safe_point")).await;
    assert!(found.kvs.is_empty() && found.header.unwrap().revision == 1);
    let members = ClusterClient::new(fixture.channel.clone())
        .member_list(MemberListRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(members.members.len(), 1);
    crate::fixture::channel(&members.members[0].client_urls[0]).await;
    let status = MaintenanceClient::new(fixture.channel.clone())
        .status(StatusRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(status.leader, members.members[0].id);
    let header = status.header.unwrap();
    assert!(header.cluster_id == fixture.cluster_id && header.raft_term > 0);
}

#[tokio::test]
async fn an_owner_is_elected_and_followed_when_its_session_ends() {
    let clock = ManualClock::new();
    let fixture = Fixture::with(config(), Arc::new(clock.clone())).await;
    let mut leases = Vec::new();
    for name in ["one", "two"] {
        let grant = LeaseGrantRequest { ttl: 60, id: 0 };
        let granted = fixture.leases().lease_grant(grant).await.unwrap().into_inner();
        assert!(granted.id > 0 && granted.ttl == 60);
        let key = format!("/tidb/ddl/fg/owner/{:x}", granted.id);
        let won = fixture.kv().txn(campaign(&key, name, granted.id)).await.unwrap().into_inner();
        assert!(won.succeeded);
        let again = fixture.kv().txn(campaign(&key, name, granted.id)).await.unwrap().into_inner();
        assert_eq!(first(&again).kvs[0].create_revision, won.header.unwrap().revision);
        leases.push((granted.id, won.header.unwrap().revision));
    }
    let owners = RangeRequest {
        range_end: bytes("/tidb/ddl/fg/owner0"),
        limit: 1,
        sort_target: SortTarget::Create.into(),
        ..read("/tidb/ddl/fg/owner/")
    };
    let ascending = RangeRequest { sort_order: SortOrder::Ascend.into(), ..owners.clone() };
    assert_eq!(get(&fixture, ascending.clone()).await.kvs[0].value, "one");
    let before_two = RangeRequest {
        sort_order: SortOrder::Descend.into(),
        max_create_revision: leases[1].1 - 1,
        ..owners
    };
    let waited_for = get(&fixture, before_two).await;
    let key = String::from_utf8(waited_for.kvs[0].key.to_vec()).unwrap();
    let mut watching = Watching::open(&fixture).await;
    watching.create(watch(&key, "", waited_for.header.unwrap().revision)).await;

    // The second renews its session, the first does not.
    let (sender, receiver) = mpsc::channel(4);
    let mut renewals =
        fixture.leases().lease_keep_alive(Requests(receiver)).await.unwrap().into_inner();
    for _ in 0..4 {
        clock.advance(Duration::from_secs(20));
        sender.send(LeaseKeepAliveRequest { id: leases[1].0 }).await.unwrap();
        let renewed = renewals.message().await.unwrap().unwrap();
        assert_eq!((renewed.id, renewed.ttl), (leases[1].0, 60));
    }
    let ended = watching.next().await;
    let event = &ended.events[0];
    assert_eq!(event.r#type(), EventType::Delete);
    let kv = event.kv.as_ref().unwrap();
    assert!(kv.key == key && kv.value.is_empty() && kv.mod_revision > leases[1].1);
    assert_eq!(get(&fixture, ascending).await.kvs[0].value, "two");
    sender.send(LeaseKeepAliveRequest { id: leases[0].0 }).await.unwrap();
    assert_eq!(renewals.message().await.unwrap().unwrap().ttl, 0, "no error");
}

#[tokio::test]
async fn leases_are_listed_described_and_revoked() {
    let fixture = Fixture::new().await;
    let mut client = fixture.leases();
    let granted = client.lease_grant(LeaseGrantRequest { ttl: 90, id: 77 }).await.unwrap();
    assert_eq!(granted.into_inner().id, 77);
    let taken = client.lease_grant(LeaseGrantRequest { ttl: 90, id: 77 }).await.unwrap_err();
    assert_eq!(taken.message(), "etcdserver: lease already exists");
    for key in ["b", "a"] {
        fixture.kv().put(PutRequest { lease: 77, ..put(key, "") }).await.unwrap();
    }
    let lost = fixture.kv().put(PutRequest { lease: 78, ..put("c", "") }).await.unwrap_err();
    assert_eq!(lost.message(), "etcdserver: requested lease not found");
    assert_eq!(lost.code(), Code::NotFound);
    let listed = client.lease_leases(LeaseLeasesRequest {}).await.unwrap().into_inner();
    assert_eq!(listed.leases.iter().map(|lease| lease.id).collect::<Vec<_>>(), [77]);
    let mut describe = async |id: i64| {
        let request = LeaseTimeToLiveRequest { id, keys: true };
        client.lease_time_to_live(request).await.unwrap().into_inner()
    };
    let described = describe(77).await;
    assert!((80..=90).contains(&described.ttl) && described.granted_ttl == 90, "{described:?}");
    assert_eq!(described.keys, ["a", "b"]);
    assert_eq!(describe(78).await.ttl, -1, "no error");
    let before = get(&fixture, read("a")).await.header.unwrap().revision;
    client.lease_revoke(LeaseRevokeRequest { id: 77 }).await.unwrap();
    let after = get(&fixture, read("a")).await;
    assert!(after.kvs.is_empty() && after.header.unwrap().revision == before + 1);
    let gone = client.lease_revoke(LeaseRevokeRequest { id: 77 }).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
}

#[tokio::test]
async fn a_watch_shows_the_past_the_present_and_ends_when_asked() {
    let fixture = Fixture::new().await;
    for value in ["1", "2"] {
        fixture.kv().put(put("/schema", value)).await.unwrap();
    }
    let mut watching = Watching::open(&fixture).await;
    let created = watching.create(watch("/schema", "", 2)).await;
    assert_eq!(created.watch_id, 0);
    let past = watching.next().await;
    let values: Vec<&[u8]> =
        past.events.iter().map(|event| event.kv.as_ref().unwrap().value.as_ref()).collect();
    assert_eq!(values, [b"1", b"2"]);

    let with_prev = WatchCreateRequest { prev_kv: true, filters: vec![1], ..watch("/", "0", 0) };
    let second = watching.create(with_prev).await;
    assert_eq!(second.watch_id, 1);
    fixture.kv().put(put("/schema", "3")).await.unwrap();
    let mut seen = [watching.next().await, watching.next().await];
    seen.sort_by_key(|response| response.watch_id);
    assert_eq!(seen[1].events[0].prev_kv.as_ref().unwrap().value, "2");
    assert_eq!(seen[0].events[0].prev_kv, None);
    let delete = DeleteRangeRequest { key: bytes("/schema"), ..DeleteRangeRequest::default() };
    fixture.kv().delete_range(delete).await.unwrap();
    let deletion = watching.next().await;
    assert_eq!((deletion.watch_id, deletion.events.len()), (0, 1), "the second wants none");

    watching.send(RequestUnion::ProgressRequest(WatchProgressRequest {})).await;
    let progress = watching.next().await;
    assert_eq!((progress.watch_id, progress.header.unwrap().revision), (-1, 5));
    watching.send(RequestUnion::CancelRequest(WatchCancelRequest { watch_id: 0 })).await;
    let ended = watching.next().await;
    assert!(ended.canceled && ended.watch_id == 0);
    fixture.kv().put(put("/schema", "4")).await.unwrap();
    assert_eq!(watching.next().await.watch_id, 1);

    fixture.kv().compact(CompactionRequest { revision: 4, physical: false }).await.unwrap();
    watching.create(watch("/schema", "", 2)).await;
    let gone = watching.next().await;
    assert!(gone.canceled && gone.compact_revision == 4, "{gone:?}");
    let refused = WatchCreateRequest { watch_id: 1, ..watch("x", "", 0) };
    let refused = watching.create(refused).await;
    assert!(refused.canceled && refused.watch_id == -1 && !refused.cancel_reason.is_empty());
}

#[tokio::test]
async fn what_etcd_acknowledged_survives_a_crash_and_a_watch_resumes() {
    let fixture = Fixture::new().await;
    for number in 0..50 {
        fixture.kv().put(put(&format!("k{number}"), "v")).await.unwrap();
    }
    let fixture = fixture.crash(&config(), Arc::new(SystemClock)).await;
    let all = RangeRequest { range_end: bytes("l"), ..read("k") };
    let found = get(&fixture, all).await;
    assert_eq!((found.count, found.header.unwrap().revision), (50, 51));
    let mut watching = Watching::open(&fixture).await;
    watching.create(watch("k", "l", 42)).await;
    assert_eq!(watching.next().await.events.len(), 10);
}

#[tokio::test]
async fn ten_thousand_watchers_see_what_concerns_them_and_slow_ones_disturb_nobody() {
    let fixture = Fixture::new().await;
    let mut watching = Watching::open(&fixture).await;
    for number in 0..10_000 {
        watching.create(watch(&format!("k{number}"), "", 0)).await;
    }
    // This one never reads what it is shown.
    let idle = Watching::open(&fixture).await;
    idle.send(RequestUnion::CreateRequest(watch("k", "l", 0))).await;
    for number in (0..10_000).step_by(1000) {
        fixture.kv().put(put(&format!("k{number}"), "v")).await.unwrap();
        let seen = watching.next().await;
        assert_eq!((seen.watch_id, seen.events.len()), (number, 1));
    }
    let big = "x".repeat(10_000);
    for _ in 0..3000 {
        fixture.kv().put(put("kx", &big)).await.unwrap();
    }
    fixture.kv().put(put("k9999", "v")).await.unwrap();
    assert_eq!(watching.next().await.watch_id, 9999);
    let is_there = || get(&fixture, read("k9999"));
    eventually(is_there, |found| found.count == 1).await;
}

#[tokio::test]
async fn nonsense_is_refused_in_etcds_words() {
    let fixture = Fixture::new().await;
    let mut kv = fixture.kv();
    fixture.kv().put(put("a", "1")).await.unwrap();
    let future = RangeRequest { revision: 99, ..read("a") };
    let refusals = [
        (kv.range(read("")).await.err(), Code::InvalidArgument, "etcdserver: key is not provided"),
        (
            kv.range(future).await.err(),
            Code::OutOfRange,
            "etcdserver: mvcc: required revision is a future revision",
        ),
        (
            kv.put(put("", "x")).await.err(),
            Code::InvalidArgument,
            "etcdserver: key is not provided",
        ),
        (
            kv.put(put("big", &"x".repeat(1 << 21).split_off(400_000))).await.err(),
            Code::InvalidArgument,
            "etcdserver: request is too large",
        ),
        (
            kv.compact(CompactionRequest { revision: 99, physical: false }).await.err(),
            Code::OutOfRange,
            "etcdserver: mvcc: required revision is a future revision",
        ),
    ];
    for (refused, code, text) in refusals {
        let refused = refused.expect("it makes no sense");
        assert_eq!((refused.code(), refused.message()), (code, text));
    }
    assert_eq!(get(&fixture, read("a")).await.kvs[0].value, "1");
}
