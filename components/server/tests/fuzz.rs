//! Any bytes for any call: they are answered, somehow.
//!
//! The whole way of a request is in it: the frame of gRPC, the message, the arm, the storage. The seeds
//! are requests that make sense, of every call; what is sent is a seed with a few bytes changed, under
//! the name of any call. Batches are messages on a stream, with some of those requests in each.
//! `FUZZ_CASES` in the environment says how many are tried.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use engine::{Engine, Layout, Memory};
use http_body::Body as _;
use http_body_util::Full;
use program::Failure;
use program::room::Room;
use prost::Message;
use proto::kvrpcpb::{
    self, BatchRollbackRequest, CheckTxnStatusRequest, CommitRequest, GetRequest, Mutation,
    PrewriteRequest, RawDeleteRequest, RawGetRequest, RawPutRequest, RawScanRequest,
    ResolveLockRequest, ScanRequest,
};
use proto::{coprocessor, raft_serverpb};
use runtime::Rng;
use runtime::metrics::Metrics;
use runtime::shutdown::Stop;
use server::service::Service as Calls;
use slog::{Discard, Logger, o};
use storage::{Kv, Limits, Standalone, Storage};
use tests::fuzz::{cases, damage};
use tonic::body::Body;
use tonic::codegen::{Service, http};

/// How many requests are tried, if nobody says otherwise.
const CASES: u64 = 20_000;

/// A message as gRPC frames it.
fn framed(message: &[u8]) -> Vec<u8> {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).expect("it is short"));
    frame.put_slice(message);
    frame.to_vec()
}

/// Every call, with a request that makes sense.
fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let key = Bytes::from_static(b"key");
    let value = Bytes::from_static(b"value");
    let context = Some(kvrpcpb::Context { region_id: 1, ..kvrpcpb::Context::default() });
    let put = Mutation { op: 0, key: key.clone(), value: value.clone() };
    let prewrite = PrewriteRequest {
        context,
        mutations: vec![put.clone(), Mutation { key: Bytes::from_static(b"k2"), ..put }],
        primary_lock: key.clone(),
        start_version: 10,
        lock_ttl: 3000,
    };
    let scan = ScanRequest { context, start_key: key.clone(), limit: 10, version: 30 };
    let keys = vec![key.clone()];
    let commit =
        CommitRequest { start_version: 10, keys: keys.clone(), commit_version: 20, context };
    let get = GetRequest { context, key: key.clone(), version: 30 };
    let status = CheckTxnStatusRequest {
        primary_key: key.clone(),
        lock_ts: 10,
        current_ts: 1 << 40,
        ..CheckTxnStatusRequest::default()
    };
    let rollback =
        BatchRollbackRequest { start_version: 10, keys, ..BatchRollbackRequest::default() };
    let resolve = ResolveLockRequest { start_version: 10, ..ResolveLockRequest::default() };
    let cf = || "default".to_owned();
    let raw = RawPutRequest { context, key: key.clone(), value, cf: cf() };
    let raw_get = RawGetRequest { context, key: key.clone(), cf: cf() };
    let raw_delete = RawDeleteRequest { key: key.clone(), ..RawDeleteRequest::default() };
    let raw_scan = RawScanRequest { start_key: key, limit: 3, ..RawScanRequest::default() };
    let plan = coprocessor::Request { tp: 103, start_ts: 9, ..coprocessor::Request::default() };
    vec![
        ("KvGet", get.encode_to_vec()),
        ("KvScan", scan.encode_to_vec()),
        ("KvPrewrite", prewrite.encode_to_vec()),
        ("KvCommit", commit.encode_to_vec()),
        ("KvCheckTxnStatus", status.encode_to_vec()),
        ("KvBatchRollback", rollback.encode_to_vec()),
        ("KvResolveLock", resolve.encode_to_vec()),
        ("RawGet", raw_get.encode_to_vec()),
        ("RawPut", raw.encode_to_vec()),
        ("RawDelete", raw_delete.encode_to_vec()),
        ("RawScan", raw_scan.encode_to_vec()),
        ("Coprocessor", plan.encode_to_vec()),
        ("Raft", raft_serverpb::RaftMessage::default().encode_to_vec()),
        ("Snapshot", raft_serverpb::SnapshotChunk::default().encode_to_vec()),
    ]
}

/// The status of a call, whatever it answers.
async fn status(response: http::Response<Body>) -> u32 {
    let (head, mut body) = response.into_parts();
    let mut status = head.headers.get("grpc-status").cloned();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.expect("an answer comes to its end");
        status = status.or(frame.trailers_ref().and_then(|end| end.get("grpc-status").cloned()));
    }
    let status = status.expect("every answer ends with a status");
    status.to_str().expect("a number").parse().expect("a number")
}

/// A node with an empty storage.
struct Node {
    calls: Calls,
    room: Arc<Room>,
    failure: Arc<Failure>,
}

impl Node {
    fn new() -> Self {
        let engine: Arc<dyn Engine> = Arc::new(Memory::new(Layout::Kv));
        let standalone = Standalone::unsynced(engine).expect("it is empty");
        let kv = Arc::new(Kv::new(Arc::new(standalone) as Arc<dyn Storage>, Limits::default()));
        let failure = Arc::new(Failure::new(Stop::new().trigger()));
        let metrics = Metrics::new("tinykv");
        let log = Logger::root(Discard, o!());
        let room = Room::new(64, 16 << 20);
        let calls = Calls::new(kv, Arc::clone(&failure), None, Arc::clone(&room), &metrics, log);
        Node { calls, room, failure }
    }

    /// After each request.
    fn check(&self, name: &str) {
        assert_eq!((self.room.calls(), self.room.bytes()), (0, 0), "{name} keeps room");
    }
}

/// A call that sends these bytes.
fn post(path: &str, frames: Vec<u8>) -> http::Request<Body> {
    let mut request = http::Request::new(Body::new(Full::<Bytes>::from(frames)));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = path.parse().expect("a path");
    let kind = http::HeaderValue::from_static("application/grpc");
    request.headers_mut().insert("content-type", kind);
    request
}

#[tokio::test]
async fn any_bytes_for_any_call_are_answered() {
    let node = Node::new();
    let mut calls = node.calls.clone().into_server();
    let (seeds, mut rng) = (seeds(), Rng::new(7));
    let mut served = 0;
    for _ in 0..cases(CASES) {
        let (own, message) = rng.pick(&seeds).unwrap();
        let name = if rng.chance(1, 8) { rng.pick(&seeds).unwrap().0 } else { own };
        let mut frame = message.clone();
        damage(&mut frame, &mut rng);
        frame = framed(&frame);
        if rng.chance(1, 8) {
            damage(&mut frame, &mut rng);
        }
        let response = calls.call(post(&format!("/tinykvpb.TinyKv/{name}"), frame)).await;
        served += u64::from(status(response.expect("a call is answered")).await == 0);
        node.check(name);
    }
    assert_eq!(node.failure.reason(), None);
    assert!(served > cases(CASES) / 10 && served < cases(CASES), "{served} were served");
}

/// A seed as a member of a batch: the number of the field, its length, and the request.
fn member(name: &str, request: &[u8]) -> Option<Vec<u8>> {
    let members = [
        ("RawGet", 3),
        ("RawPut", 4),
        ("RawDelete", 5),
        ("RawScan", 6),
        ("KvGet", 7),
        ("KvScan", 8),
        ("KvPrewrite", 9),
        ("KvCommit", 10),
        ("KvCheckTxnStatus", 11),
        ("KvBatchRollback", 12),
        ("KvResolveLock", 13),
        ("Coprocessor", 14),
    ];
    let (_, number) = members.iter().find(|(member, _)| *member == name)?;
    Some(field(*number, request))
}

/// A field with bytes in it.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    out.put_u8(number << 3 | 2);
    prost::encode_length_delimiter(bytes.len(), &mut out).expect("there is room");
    out.put_slice(bytes);
    out.to_vec()
}

#[tokio::test]
async fn any_bytes_for_a_stream_of_batches_are_answered() {
    let node = Node::new();
    let mut calls = node.calls.clone().into_own_server();
    let (seeds, mut rng) = (seeds(), Rng::new(11));
    let members: Vec<_> = seeds.iter().filter_map(|(name, seed)| member(name, seed)).collect();
    let mut served = 0;
    for number in 0..cases(CASES) / 4 {
        let mut frames = Vec::new();
        for _ in 0..=rng.below(3) {
            let mut batch = Vec::new();
            for id in 0..rng.below(4) {
                // A number for the id, and a request that is whole or not.
                let mut request = vec![1 << 3, u8::try_from(id).expect("it is small")];
                request.extend(rng.pick(&members).unwrap());
                if rng.chance(1, 4) {
                    damage(&mut request, &mut rng);
                }
                batch.extend(field(1, &request));
            }
            if rng.chance(1, 8) {
                batch.push(0);
                damage(&mut batch, &mut rng);
            }
            frames.extend(framed(&batch));
        }
        if rng.chance(1, 16) {
            damage(&mut frames, &mut rng);
        }
        let response = calls.call(post("/tinykvext.TinyKvExt/Batch", frames)).await;
        served += u64::from(status(response.expect("a stream is answered")).await == 0);
        node.check(&format!("stream {number}"));
    }
    assert_eq!(node.failure.reason(), None);
    assert!(served > cases(CASES) / 16 && served < cases(CASES) / 4, "{served} came to a good end");
}
