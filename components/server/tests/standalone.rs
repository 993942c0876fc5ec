//! The program as its users meet it: started, called over gRPC, killed, started again.

use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use proto::kvrpcpb::{
    BatchRollbackRequest, CheckTxnStatusRequest, CommitRequest, GetRequest, Mutation, Op,
    PrewriteRequest, RawDeleteRequest, RawGetRequest, RawPutRequest, RawScanRequest,
    ResolveLockRequest, ScanRequest,
};
use proto::tinykvext::tiny_kv_ext_client::TinyKvExtClient;
use proto::tinykvext::{BatchRequest, BatchedRequest, batched_request};
use proto::tinykvpb::tiny_kv_client::TinyKvClient;
use tests::process::Process;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

type Client = TinyKvClient<Channel>;

const SERVES: &str = "the node serves";

fn program(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tinykv-server"));
    command.args(["--standalone", "-addr=127.0.0.1:0"]).arg(format!("-path={}", dir.display()));
    command
}

async fn start(dir: &Path) -> (Process, Client) {
    let mut process = Process::start(&mut program(dir));
    let client = connect(&process.wait_until_serving()).await;
    (process, client)
}

async fn connect(address: &str) -> Client {
    let endpoint = Endpoint::try_from(format!("http://{address}")).expect("an address");
    TinyKvClient::new(endpoint.connect().await.expect(SERVES))
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

async fn raw_put(client: &mut Client, key: &str, value: &str) {
    let request =
        RawPutRequest { key: bytes(key), value: bytes(value), ..RawPutRequest::default() };
    let response = client.raw_put(request).await.expect(SERVES).into_inner();
    assert_eq!((response.region_error, response.error.as_str()), (None, ""));
}

async fn raw_get(client: &mut Client, key: &str) -> Option<Bytes> {
    let request = RawGetRequest { key: bytes(key), ..RawGetRequest::default() };
    let response = client.raw_get(request).await.expect(SERVES).into_inner();
    assert_eq!((response.region_error, response.error.as_str()), (None, ""));
    (!response.not_found).then_some(response.value)
}

fn prewrite(op: Op, keys: &[&str], start: u64) -> PrewriteRequest {
    let mutation = |key: &&str| Mutation {
        op: op.into(),
        key: bytes(key),
        value: bytes(&format!("{key}{start}")),
    };
    PrewriteRequest {
        mutations: keys.iter().map(mutation).collect(),
        primary_lock: bytes(keys[0]),
        start_version: start,
        lock_ttl: 3000,
        ..PrewriteRequest::default()
    }
}

async fn commit(client: &mut Client, keys: &[&str], start: u64, at: u64) {
    let response =
        client.kv_prewrite(prewrite(Op::Put, keys, start)).await.expect(SERVES).into_inner();
    assert_eq!((response.region_error, response.errors), (None, vec![]));
    let request = CommitRequest {
        start_version: start,
        commit_version: at,
        keys: keys.iter().map(|key| bytes(key)).collect(),
        ..CommitRequest::default()
    };
    let response = client.kv_commit(request).await.expect(SERVES).into_inner();
    assert_eq!((response.region_error, response.error), (None, None));
}

async fn kv_get(client: &mut Client, key: &str, version: u64) -> Option<Bytes> {
    let request = GetRequest { key: bytes(key), version, ..GetRequest::default() };
    let response = client.kv_get(request).await.expect(SERVES).into_inner();
    assert_eq!((response.region_error, response.error), (None, None));
    (!response.not_found).then_some(response.value)
}

/// Waiting for the program blocks this thread; another answers when the server says goodbye.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_was_acknowledged_survives_a_kill() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("deep/data");
    let (process, mut client) = start(&dir).await;
    for round in 0..20 {
        raw_put(&mut client, &format!("key{round}"), "value").await;
    }
    raw_put(&mut client, "empty", "").await;
    let delete = RawDeleteRequest { key: bytes("key7"), ..RawDeleteRequest::default() };
    assert_eq!(client.raw_delete(delete).await.unwrap().into_inner().error, "");
    commit(&mut client, &["a", "b"], 10, 11).await;
    let locked = client.kv_prewrite(prewrite(Op::Put, &["c"], 20)).await.unwrap().into_inner();
    assert_eq!(locked.errors, vec![]);
    process.kill();

    let (process, mut client) = start(&dir).await;
    for round in 0..20 {
        let expected = (round != 7).then(|| bytes("value"));
        assert_eq!(raw_get(&mut client, &format!("key{round}")).await, expected, "key{round}");
    }
    assert_eq!(raw_get(&mut client, "empty").await, Some(Bytes::new()), "an empty value is one");
    assert_eq!(raw_get(&mut client, "missing").await, None);
    assert_eq!(kv_get(&mut client, "b", 11).await, Some(bytes("b10")));
    assert_eq!(kv_get(&mut client, "b", 10).await, None);
    let request = GetRequest { key: bytes("c"), version: 30, ..GetRequest::default() };
    let error = client.kv_get(request).await.unwrap().into_inner().error.unwrap();
    assert_eq!(error.locked.unwrap().lock_version, 20, "a lock survives as well");

    process.terminate();
    let (status, log) = process.finish();
    assert!(status.success(), "{log:?}");
    assert!(log.last().unwrap().contains("stopped"), "{log:?}");
    assert!(!log.iter().any(|line| line.contains("did not end in time")), "{log:?}");
}

/// A stream over which requests may come for ever does not keep a node from stopping.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_node_that_stops_asks_its_streams_to_end_and_answers_what_was_sent() {
    let home = tempfile::tempdir().unwrap();
    let mut process = Process::start(&mut program(home.path()));
    let address = process.wait_until_serving();
    let endpoint = Endpoint::try_from(format!("http://{address}")).expect("an address");
    let mut ext = TinyKvExtClient::new(endpoint.connect().await.expect(SERVES));
    let (requests, sent) = tokio::sync::mpsc::channel(1);
    let mut answers = ext.batch(ReceiverStream::new(sent)).await.expect(SERVES).into_inner();
    let put = |id| {
        let (key, value) = (bytes("key"), bytes("value"));
        let put = RawPutRequest { key, value, ..RawPutRequest::default() };
        let request = Some(batched_request::Request::RawPut(Box::new(put)));
        BatchRequest { requests: vec![BatchedRequest { id, timeout_ms: 0, request }] }
    };
    requests.send(put(1)).await.unwrap();
    assert_eq!(answers.message().await.unwrap().unwrap().responses[0].id, 1);
    process.terminate();
    assert!(answers.message().await.unwrap().unwrap().is_closing);
    requests.send(put(2)).await.unwrap();
    drop(requests);
    assert_eq!(answers.message().await.unwrap().unwrap().responses[0].id, 2);
    assert_eq!(answers.message().await.unwrap(), None);
    let (status, log) = process.finish();
    assert!(status.success(), "{log:?}");
    assert!(!log.iter().any(|line| line.contains("did not end in time")), "{log:?}");
    let (_process, mut client) = start(home.path()).await;
    assert_eq!(raw_get(&mut client, "key").await, Some(bytes("value")));
}

#[tokio::test]
async fn every_transactional_call_is_answered() {
    let home = tempfile::tempdir().unwrap();
    let (_process, mut client) = start(home.path()).await;
    commit(&mut client, &["a", "b", "c"], 10, 11).await;

    // A second writer that started before the commit is refused; one that meets a lock is told so.
    let late = client.kv_prewrite(prewrite(Op::Put, &["b"], 5)).await.unwrap().into_inner();
    assert_eq!(late.errors[0].conflict.as_ref().unwrap().conflict_ts, 11);
    let held = client.kv_prewrite(prewrite(Op::Del, &["b", "d"], 20)).await.unwrap().into_inner();
    assert_eq!(held.errors, vec![]);
    let scan = ScanRequest { limit: 2, version: 30, ..ScanRequest::default() };
    let pairs = client.kv_scan(scan).await.unwrap().into_inner().pairs;
    assert_eq!((&pairs[0].key[..], &pairs[0].value[..]), (&b"a"[..], &b"a10"[..]));
    let lock = pairs[1].error.as_ref().unwrap().locked.as_ref().unwrap();
    assert_eq!(
        (&lock.key[..], &lock.primary_lock[..], lock.lock_ttl),
        (&b"b"[..], &b"b"[..], 3000)
    );

    // Time passes: somebody asks, the transaction is rolled back, and its locks are resolved.
    let check = CheckTxnStatusRequest {
        primary_key: bytes("b"),
        lock_ts: 20,
        current_ts: 20 + (3001 << 18),
        ..CheckTxnStatusRequest::default()
    };
    let status = client.kv_check_txn_status(check).await.unwrap().into_inner();
    assert_eq!((status.lock_ttl, status.commit_version, status.action), (0, 0, 1));
    let resolve = ResolveLockRequest { start_version: 20, ..ResolveLockRequest::default() };
    assert_eq!(client.kv_resolve_lock(resolve).await.unwrap().into_inner().error, None);
    let scan = ScanRequest { limit: 10, version: 30, ..ScanRequest::default() };
    let pairs = client.kv_scan(scan).await.unwrap().into_inner().pairs;
    let keys: Vec<_> = pairs.iter().map(|pair| &pair.key[..]).collect();
    assert_eq!(keys, [b"a", b"b", b"c"]);
    let rollback = BatchRollbackRequest {
        start_version: 40,
        keys: vec![bytes("e")],
        ..BatchRollbackRequest::default()
    };
    assert_eq!(client.kv_batch_rollback(rollback).await.unwrap().into_inner().error, None);
    let late = client.kv_prewrite(prewrite(Op::Put, &["e"], 40)).await.unwrap().into_inner();
    assert_eq!(late.errors.len(), 1, "it must not come back");
}

#[tokio::test]
async fn a_request_that_makes_no_sense_gets_an_answer_and_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let (_process, mut client) = start(home.path()).await;
    let long = "k".repeat((8 << 10) + 1);
    for (key, cf, message) in [
        ("", "", "the key is empty"),
        (&long, "", "the limit is 8192"),
        ("key", "local", "no column family \"local\""),
        ("key", "DEFAULT", "no column family"),
    ] {
        let (key, cf) = (bytes(key), cf.to_owned());
        let put = RawPutRequest { key: key.clone(), cf: cf.clone(), ..RawPutRequest::default() };
        let answer = client.raw_put(put).await.unwrap().into_inner();
        assert!(answer.error.contains(message), "{}", answer.error);
        let get = RawGetRequest { key, cf, ..RawGetRequest::default() };
        let answer = client.raw_get(get).await.unwrap().into_inner();
        assert!(answer.error.contains(message), "{}", answer.error);
    }
    let value = Bytes::from(vec![0; (6 << 20) + 1]);
    let put = RawPutRequest { key: bytes("key"), value, ..RawPutRequest::default() };
    assert!(client.raw_put(put).await.unwrap().into_inner().error.contains("the limit is 6291456"));

    let mut unknown = prewrite(Op::Put, &["key"], 1);
    unknown.mutations[0].op = 77;
    for (request, message) in [
        (unknown, "no operation 77"),
        (prewrite(Op::Rollback, &["key"], 1), "cannot roll back"),
        (prewrite(Op::Put, &["key", "key"], 1), "appears twice"),
        (prewrite(Op::Put, &[""], 1), "the key is empty"),
    ] {
        let answer = client.kv_prewrite(request).await.unwrap().into_inner();
        assert!(answer.errors[0].abort.contains(message), "{:?}", answer.errors);
    }
    let commit = CommitRequest {
        start_version: 5,
        commit_version: 5,
        keys: vec![bytes("key")],
        ..CommitRequest::default()
    };
    let answer = client.kv_commit(commit).await.unwrap().into_inner();
    assert!(!answer.error.unwrap().abort.is_empty());
    let check = CheckTxnStatusRequest::default();
    let status: Status = client.kv_check_txn_status(check).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let scan = RawScanRequest { limit: u32::MAX, ..RawScanRequest::default() };
    assert_eq!(client.raw_scan(scan).await.unwrap().into_inner().kvs, vec![]);
    let scan = ScanRequest { limit: 0, version: 9, ..ScanRequest::default() };
    assert_eq!(client.kv_scan(scan).await.unwrap().into_inner().pairs, vec![]);
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_its_call_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let (_process, mut client) = start(home.path()).await;
    let value = Bytes::from(vec![0; 11 << 20]);
    let put = RawPutRequest { key: bytes("key"), value, ..RawPutRequest::default() };
    let status = client.raw_put(put).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
    assert_eq!(raw_get(&mut client, "key").await, None);
}

#[tokio::test]
async fn a_directory_and_a_port_belong_to_one_process() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("first");
    let (_process, mut client) = start(&dir).await;
    raw_put(&mut client, "key", "value").await;
    let (status, log) = Process::start(&mut program(&dir)).finish();
    assert_eq!(status.code(), Some(1));
    assert!(log.join("\n").contains("in use by another process"), "{log:?}");

    let mut other = Process::start(&mut program(&home.path().join("second")));
    let address = other.wait_until_serving();
    let mut third = Command::new(env!("CARGO_BIN_EXE_tinykv-server"));
    third.args(["--standalone", "-addr", &address, "-path"]).arg(home.path().join("third"));
    let (status, log) = Process::start(&mut third).finish();
    assert_eq!(status.code(), Some(1));
    assert!(log.join("\n").contains("choose another address with -addr"), "{log:?}");
    assert_eq!(raw_get(&mut client, "key").await, Some(bytes("value")));
}

/// The disk takes files of two megabytes and no more. The node says so and ends; whatever it had
/// acknowledged is there when it starts on a better disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_disk_that_fails_ends_the_node_and_loses_nothing() {
    let home = tempfile::tempdir().unwrap();
    let plain = program(home.path());
    let mut limited = Command::new("sh");
    // Blocks of 512 bytes. The signal that comes with the limit is ignored, as on a full disk.
    limited.args(["-c", "trap '' XFSZ; ulimit -f 4096; exec \"$0\" \"$@\""]);
    limited.arg(plain.get_program()).args(plain.get_args());
    let mut process = Process::start(&mut limited);
    let mut client = connect(&process.wait_until_serving()).await;

    let value = Bytes::from(vec![b'v'; 64 << 10]);
    let mut acknowledged = 0;
    let failure = loop {
        let key = bytes(&format!("key{acknowledged}"));
        let put = RawPutRequest { key, value: value.clone(), ..RawPutRequest::default() };
        match client.raw_put(put).await {
            Ok(answer) => assert_eq!(answer.into_inner().error, ""),
            Err(status) => break status,
        }
        acknowledged += 1;
        assert!(acknowledged < 100, "the limit was reached long ago");
    };
    assert!(acknowledged > 10, "{acknowledged}");
    assert!(matches!(failure.code(), Code::Internal | Code::Unavailable), "{failure}");
    drop(client);
    let (status, log) = process.finish();
    assert_eq!(status.code(), Some(1), "{log:?}");
    let reason = log.iter().find(|line| line.contains("the node had to stop")).unwrap();
    assert!(reason.contains(home.path().to_str().unwrap()), "{reason}");

    let (_process, mut client) = start(home.path()).await;
    for number in 0..acknowledged {
        let found = raw_get(&mut client, &format!("key{number}")).await;
        assert_eq!(found.as_ref(), Some(&value), "key{number}");
    }
}

#[test]
fn wrong_flags_end_the_program_before_anything_is_created() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    for arguments in [["--nonsense", ""], ["--set", "syn=true"], ["-addr", "nowhere"]] {
        let (status, log) = Process::start(program(&dir).args(arguments)).finish();
        assert_eq!(status.code(), Some(2), "{log:?}");
    }
    assert!(!dir.exists());
}

#[tokio::test]
async fn a_damaged_record_is_an_error_of_its_call_and_a_line_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (process, mut client) = start(dir.path()).await;
    let damage = RawPutRequest {
        cf: "lock".to_owned(),
        key: bytes("a"),
        value: bytes("no lock"),
        ..RawPutRequest::default()
    };
    client.raw_put(damage).await.expect(SERVES);
    let get = |key| GetRequest { key: bytes(key), version: 10, ..GetRequest::default() };
    let error = client.kv_get(get("a")).await.unwrap_err();
    assert_eq!(error.code(), Code::DataLoss, "{error}");
    assert!(client.kv_get(get("b")).await.expect(SERVES).into_inner().not_found);
    process.terminate();
    let (status, lines) = process.finish();
    assert!(status.success(), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("a record is damaged")), "{lines:?}");
}
