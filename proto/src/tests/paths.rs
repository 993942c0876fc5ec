//! The path of calls, as the clients really ask for them: the name of a service or of a method is
//! as much a part of the wire as a field's number.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use tonic::body::Body;
use tonic::codegen::{Service, http, tokio_stream};

use crate::etcdserverpb::maintenance_client::MaintenanceClient;
use crate::schedulerpb::scheduler_client::SchedulerClient;
use crate::tinykvext::tiny_kv_ext_client::TinyKvExtClient;
use crate::tinykvpb::tiny_kv_client::TinyKvClient;

/// A channel that leads nowhere and remembers what was asked.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<String>>>);

impl Service<http::Request<Body>> for Recorder {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.0.lock().expect("no one panics").push(request.uri().path().to_owned());
        ready(Ok(http::Response::new(Body::empty())))
    }
}

/// What a future that waits for nobody comes to.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the recorder answers at once"),
    }
}

/// Calls every method of a client, with an empty message or an empty stream, and tells what paths
/// were asked for. The calls themselves fail, because the recorder's answers say nothing.
macro_rules! paths {
    ($client:ident: unary $($unary:ident)* ; stream $($stream:ident)*) => {{
        let recorder = Recorder::default();
        let mut client = $client::new(recorder.clone());
        $(assert!(now(client.$unary(tonic::Request::new(Default::default()))).is_err());)*
        $(let _ = now(client.$stream(tokio_stream::empty()));)*
        let asked = recorder.0.lock().expect("no one panics").clone();
        asked
    }};
}

#[test]
fn tinykvpb() {
    let asked = paths!(TinyKvClient:
        unary kv_get kv_scan kv_prewrite kv_commit kv_check_txn_status kv_batch_rollback
            kv_resolve_lock raw_get raw_put raw_delete raw_scan coprocessor;
        stream raft snapshot);
    let expected = [
        "/tinykvpb.TinyKv/KvGet",
        "/tinykvpb.TinyKv/KvScan",
        "/tinykvpb.TinyKv/KvPrewrite",
        "/tinykvpb.TinyKv/KvCommit",
        "/tinykvpb.TinyKv/KvCheckTxnStatus",
        "/tinykvpb.TinyKv/KvBatchRollback",
        "/tinykvpb.TinyKv/KvResolveLock",
        "/tinykvpb.TinyKv/RawGet",
        "/tinykvpb.TinyKv/RawPut",
        "/tinykvpb.TinyKv/RawDelete",
        "/tinykvpb.TinyKv/RawScan",
        "/tinykvpb.TinyKv/Coprocessor",
        "/tinykvpb.TinyKv/Raft",
        "/tinykvpb.TinyKv/Snapshot",
    ];
    assert_eq!(asked, expected);
}

#[test]
fn the_other_services() {
    let asked = paths!(SchedulerClient: unary get_members alloc_id get_region_by_id
        get_gc_safe_point; stream tso region_heartbeat);
    let expected = [
        "/schedulerpb.Scheduler/GetMembers",
        "/schedulerpb.Scheduler/AllocID",
        "/schedulerpb.Scheduler/GetRegionByID",
        "/schedulerpb.Scheduler/GetGCSafePoint",
        "/schedulerpb.Scheduler/Tso",
        "/schedulerpb.Scheduler/RegionHeartbeat",
    ];
    assert_eq!(asked, expected);
    let asked = paths!(TinyKvExtClient: unary split_region; stream batch);
    assert_eq!(asked, ["/tinykvext.TinyKvExt/SplitRegion", "/tinykvext.TinyKvExt/Batch"]);
    let asked = paths!(MaintenanceClient: unary status; stream);
    assert_eq!(asked, ["/etcdserverpb.Maintenance/Status"]);
}
