//! What whoever looks after a node sees of it, and what it bears: pages, health, floods, nonsense.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use proto::eraftpb;
use proto::kvrpcpb::{RawGetRequest, RawPutRequest, RawScanRequest};
use proto::metapb::{Peer, RegionEpoch};
use proto::raft_serverpb::{RaftMessage, SnapshotChunk};
use proto::tinykvpb::tiny_kv_client::TinyKvClient;
use runtime::clock::{Clock, SystemClock};
use tests::process::Process;
use tokio::task::JoinSet;
use tonic::codegen::tokio_stream::{Once, once, pending};
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

/// What comes about does so within this time, or never.
const PATIENCE: Duration = Duration::from_mins(1);

/// A node with a status port.
struct Node {
    process: Process,
    status: String,
}

impl Node {
    fn start(dir: &Path, arguments: &[&str]) -> Node {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tinykv-server"));
        command.args(["-addr=127.0.0.1:0", "-status-addr=127.0.0.1:0"]).args(arguments);
        let mut process = Process::start(command.arg(format!("-path={}", dir.display())));
        let line = process.wait_for("status port open");
        let (_, status) = line.split_once("addr: ").expect("the line names the address");
        Node { process, status: status.trim().to_owned() }
    }

    async fn channel(&mut self) -> Channel {
        connect(&self.process.wait_until_serving()).await
    }

    /// The code and the body of a page.
    fn page(&self, request: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.status).expect("the status port is open");
        let length = body.len();
        let request = format!("{request} HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        (code.expect("a code"), body.to_owned())
    }

    fn get(&self, path: &str) -> (u16, String) {
        self.page(&format!("GET {path}"), "")
    }

    /// Where it serves.
    fn address(&self) -> String {
        let (_, status) = self.get("/status");
        let (_, rest) = status.split_once("\"address\":\"").expect("it says where it serves");
        rest.split('"').next().unwrap_or_default().to_owned()
    }

    /// The number behind a metric's name, with its labels.
    fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics");
        let mut lines = text.lines();
        let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a number")
    }
}

async fn connect(address: &str) -> Channel {
    let endpoint = Endpoint::try_from(format!("http://{address}")).expect("an address");
    endpoint.connect().await.expect("the node serves")
}

/// Looks again until it is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let start = SystemClock.now();
    while !is_so().await {
        assert!(SystemClock.now().since(start) < PATIENCE, "{what} does not come about");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn put(key: String, value: Bytes) -> RawPutRequest {
    RawPutRequest { key: key.into(), value, ..RawPutRequest::default() }
}

fn is_serving(
    checked: Result<tonic::Response<tonic_health::pb::HealthCheckResponse>, Status>,
) -> bool {
    checked.expect("it is asked for").into_inner().status()
        == tonic_health::pb::health_check_response::ServingStatus::Serving
}

#[tokio::test]
async fn pages_tell_what_the_node_does_and_how_it_was_started() {
    let home = tempfile::tempdir().unwrap();
    let mut node = Node::start(home.path(), &["--standalone"]);
    let channel = node.channel().await;
    let mut client = TinyKvClient::new(channel.clone());
    for key in 0..3 {
        client.raw_put(put(format!("key{key}"), Bytes::from_static(b"v"))).await.unwrap();
    }
    assert_eq!(node.get("/livez"), (200, "ok\n".to_owned()));
    assert_eq!(node.get("/readyz"), (200, "ok\n".to_owned()));
    let (_, status) = node.get("/status");
    assert!(status.contains("\"ready\":true") && status.contains("\"member\":null"), "{status}");
    assert!((node.metric("tinykv_call_seconds_count{call=\"raw_put\"}") - 3.0).abs() < 0.1);
    assert!(node.metric("tinykv_engine_kv_write_seconds_count{durability=\"synced\"}") >= 1.0);
    assert!(node.metric("tinykv_engine_kv_buffers_bytes") > 0.0);
    assert!(node.metric("tinykv_process_resident_bytes") > 0.0);
    let (_, settings) = node.get("/config");
    assert!(settings.contains("raft = false  # from the flag --standalone"), "{settings}");
    assert!(settings.contains("sync = true  # default"), "{settings}");

    assert_eq!(node.page("PUT /log-level", "debug"), (200, "debug\n".to_owned()));
    assert_eq!(node.get("/log-level"), (200, "debug\n".to_owned()));
    assert_eq!(node.page("PUT /log-level", "loud").0, 400);
    assert_eq!(node.page("POST /status", "").0, 405);
    assert_eq!(node.get("/nothing").0, 404);

    let mut health = HealthClient::new(channel);
    for service in ["", "tinykvpb.TinyKv"] {
        until("health", async || {
            let request = HealthCheckRequest { service: service.to_owned() };
            health.check(request).await.is_ok_and(|found| is_serving(Ok(found)))
        })
        .await;
    }
}

#[tokio::test]
async fn tools_learn_which_calls_there_are_only_if_they_may() {
    let home = tempfile::tempdir().unwrap();
    let ask = || {
        let list = MessageRequest::ListServices(String::new());
        let request = ServerReflectionRequest { host: String::new(), message_request: Some(list) };
        once(request)
    };
    let mut node = Node::start(&home.path().join("closed"), &["--standalone"]);
    let mut tool = ServerReflectionClient::new(node.channel().await);
    let refused = tool.server_reflection_info(ask()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);

    let open = home.path().join("open");
    let mut node = Node::start(&open, &["--standalone", "--set", "reflection=true"]);
    let mut tool = ServerReflectionClient::new(node.channel().await);
    let mut answers = tool.server_reflection_info(ask()).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else { panic!("{answer:?}") };
    assert!(list.service.iter().any(|service| service.name == "tinykvpb.TinyKv"), "{list:?}");
}

#[tokio::test]
async fn a_store_without_its_scheduler_lives_and_is_not_ready() {
    let home = tempfile::tempdir().unwrap();
    // Port 1 is nobody's.
    let node = Node::start(home.path(), &["-scheduler=127.0.0.1:1"]);
    assert_eq!(node.get("/livez").0, 200);
    let (code, why) = node.get("/readyz");
    assert!(code == 503 && why.contains("has not joined its cluster yet"), "{code} {why}");
    node.process.terminate();
    let (status, log) = node.process.finish();
    assert!(status.success(), "{log:?}");
}

/// A call that never ends holds the first signal up.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_second_signal_ends_at_once() {
    let home = tempfile::tempdir().unwrap();
    let mut node = Node::start(home.path(), &["--standalone", "--set", "reflection=true"]);
    let mut tools = ServerReflectionClient::new(node.channel().await);
    let endless = tools.server_reflection_info(pending()).await.expect("it listens");
    node.process.terminate();
    node.process.wait_for("a second signal ends at once");
    node.process.terminate();
    let (status, log) = node.process.finish();
    assert_eq!(status.code(), Some(1), "{log:?}");
    assert!(!log.iter().any(|line| line.contains("some calls did not end in time")), "{log:?}");
    drop(endless);
}

/// The calls that are refused say so in a way that makes clients try again, and what is acknowledged is
/// there.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn ten_thousand_calls_at_once_are_answered_or_refused() {
    const CALLS: usize = 10_000;
    const CONNECTIONS: usize = 16;
    let home = tempfile::tempdir().unwrap();
    let mut node = Node::start(home.path(), &["--standalone", "--set", "limits.calls=1000"]);
    let mut channels = vec![node.channel().await];
    let address = node.address();
    for _ in 1..CONNECTIONS {
        channels.push(connect(&address).await);
    }
    let mut calls = JoinSet::new();
    for number in 0..CALLS {
        let mut client = TinyKvClient::new(channels[number % CONNECTIONS].clone());
        calls.spawn(async move {
            let value = Bytes::from(vec![b'v'; 4 << 10]);
            let answer = client.raw_put(put(format!("key{number}"), value)).await;
            (number, answer.expect("it is answered").into_inner())
        });
    }
    let (mut written, mut refused) = (Vec::new(), 0);
    while let Some(answered) = calls.join_next().await {
        let (number, answer) = answered.expect("no call panics");
        assert_eq!(answer.error, "");
        match answer.region_error {
            None => written.push(number),
            Some(error) => {
                assert!(error.message.contains("busy"), "{}", error.message);
                refused += 1;
            }
        }
    }
    assert_eq!(written.len() + refused, CALLS);
    assert!(!written.is_empty());
    let mut client = TinyKvClient::new(channels[0].clone());
    for number in written {
        let request =
            RawGetRequest { key: format!("key{number}").into(), ..RawGetRequest::default() };
        assert!(!client.raw_get(request).await.unwrap().into_inner().not_found, "{number}");
    }
    let resident = node.metric("tinykv_process_resident_bytes");
    assert!(resident < 512e6, "{resident}");
    until("room again", async || node.metric("tinykv_calls_under_way") < 0.5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn requests_take_no_more_memory_than_they_may() {
    const CALLS: usize = 64;
    let home = tempfile::tempdir().unwrap();
    let arguments = ["--standalone", "--set", "limits.bytes=32MiB", "--set", "sync=false"];
    let mut node = Node::start(home.path(), &arguments);
    let channel = node.channel().await;
    let mut calls = JoinSet::new();
    for number in 0..CALLS {
        let mut client = TinyKvClient::new(channel.clone());
        let value = Bytes::from(vec![b'v'; 6 << 20]);
        calls.spawn(async move { client.raw_put(put(format!("key{number}"), value)).await });
    }
    let mut refused = 0;
    while let Some(answered) = calls.join_next().await {
        match answered.expect("no call panics") {
            Ok(answer) => assert_eq!(answer.into_inner().error, ""),
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
                refused += 1;
            }
        }
    }
    assert!(refused < CALLS, "some are done");
    until("room again", async || node.metric("tinykv_calls_held_bytes") < 0.5).await;
    let mut client = TinyKvClient::new(channel);
    let answer = client.raw_put(put("later".to_owned(), Bytes::from_static(b"v"))).await;
    assert_eq!(answer.unwrap().into_inner().error, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn callers_that_go_away_leave_nothing_behind() {
    let home = tempfile::tempdir().unwrap();
    let mut node = Node::start(home.path(), &["--standalone", "--set", "sync=false"]);
    let mut client = TinyKvClient::new(node.channel().await);
    for key in 0..300 {
        let value = Bytes::from(vec![b'v'; 4 << 10]);
        client.raw_put(put(format!("key{key}"), value)).await.unwrap();
    }
    let address = node.address();
    let before = node.metric("tinykv_process_descriptors");
    for _ in 0..50 {
        let channel = connect(&address).await;
        let mut calls = JoinSet::new();
        for _ in 0..40 {
            let mut client = TinyKvClient::new(channel.clone());
            let request = RawScanRequest { limit: 300, ..RawScanRequest::default() };
            calls.spawn(async move { client.raw_scan(request).await.is_ok() });
        }
        // One has its answer; others have a part of it, or are under way, or have not left.
        assert!(calls.join_next().await.expect("there are some").expect("no call panics"));
    }
    until("nothing left of them", async || {
        node.metric("tinykv_engine_kv_snapshots") < 0.5
            && node.metric("tinykv_calls_under_way") < 0.5
            && node.metric("tinykv_process_descriptors") <= before + 1.0
    })
    .await;
}

fn of_cluster<T>(said: T, cluster: Option<u64>) -> Request<Once<T>> {
    let mut request = Request::new(once(said));
    if let Some(cluster) = cluster {
        let value = MetadataValue::from(cluster);
        request.metadata_mut().insert(server::transport::CLUSTER_KEY, value);
    }
    request
}

/// Messages between stores that make no sense.
fn nonsense() -> Vec<RaftMessage> {
    let peer = |id| Some(Peer { id, store_id: id });
    let inner = |msg_type| Some(eraftpb::Message { msg_type, ..eraftpb::Message::default() });
    let empty = RaftMessage::default();
    let huge = RegionEpoch { conf_ver: u64::MAX, version: u64::MAX };
    let whole = RaftMessage {
        region_id: u64::MAX,
        from_peer: peer(u64::MAX),
        to_peer: peer(1),
        region_epoch: Some(huge),
        message: inner(77),
        ..empty.clone()
    };
    vec![
        empty.clone(),
        RaftMessage { region_id: 1, ..empty.clone() },
        RaftMessage { from_peer: None, ..whole.clone() },
        RaftMessage { to_peer: None, ..whole.clone() },
        RaftMessage { message: None, ..whole.clone() },
        RaftMessage { message: inner(0), region_id: 2, from_peer: peer(9), ..whole.clone() },
        RaftMessage { is_tombstone: true, ..whole.clone() },
        RaftMessage {
            start_key: Bytes::from_static(b"z"),
            end_key: Bytes::from_static(b"a"),
            ..whole.clone()
        },
        whole,
    ]
}

#[tokio::test]
async fn streams_of_strangers_and_nonsense_on_streams_change_nothing() {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(tests::process::program("tinyscheduler-server"));
    command.args(["-client-urls=http://127.0.0.1:0", "--status-addr", ""]);
    let mut scheduler = Process::start(
        command.arg(format!("-data-dir={}", home.path().join("scheduler").display())),
    );
    let at = format!("-scheduler={}", scheduler.wait_until_serving());
    let mut node = Node::start(&home.path().join("store"), &[&at]);
    let channel = node.channel().await;
    let mut client = TinyKvClient::new(channel);
    until("readiness", async || node.get("/readyz").0 == 200).await;
    let (_, status) = node.get("/status");
    let (_, rest) = status.split_once("\"cluster\":").expect("it is a member");
    let own: u64 = rest.split([',', '}']).next().unwrap().parse().unwrap();

    for cluster in [None, Some(own ^ 1)] {
        let stream = of_cluster(RaftMessage::default(), cluster);
        let refused = client.raft(stream).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        let stream = of_cluster(SnapshotChunk::default(), cluster);
        let refused = client.snapshot(stream).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    }
    assert!((node.metric("tinykv_stores_foreign_total") - 4.0).abs() < 0.1);
    for message in nonsense() {
        client.raft(of_cluster(message.clone(), Some(own))).await.unwrap();
        let chunk = SnapshotChunk { message: Some(message), data: Bytes::from_static(b"x") };
        let refused = client.snapshot(of_cluster(chunk, Some(own))).await.unwrap_err();
        assert_eq!(refused.code(), Code::Aborted, "{refused}");
    }
    let carried = eraftpb::Snapshot { data: Bytes::from_static(b"\xff\xff"), metadata: None };
    let inner = eraftpb::Message { snapshot: Some(carried), ..eraftpb::Message::default() };
    let message = RaftMessage { region_id: 2, message: Some(inner), ..RaftMessage::default() };
    let chunk = SnapshotChunk { message: Some(message), data: Bytes::new() };
    let refused = client.snapshot(of_cluster(chunk, Some(own))).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted, "{refused}");

    assert_eq!(node.get("/readyz").0, 200);
    assert!(node.metric("tinykv_raftstore_leaders") > 0.5);
    assert!(
        node.metric("tinykv_raftstore_raft_loop_time_seconds_total{activity=\"waiting\"}") > 0.0
    );
    for stage in ["propose", "sync", "apply"] {
        let name = format!("tinykv_raftstore_stage_seconds_count{{stage=\"{stage}\"}}");
        assert!(node.metric(&name) >= 0.0);
    }
    node.process.terminate();
    let (status, log) = node.process.finish();
    assert!(status.success(), "{log:?}");
}
