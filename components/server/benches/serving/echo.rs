//! A server with the transport of a node and nothing behind it.

use bytes::Bytes;
use proto::tinykvpb::tiny_kv_server::{TinyKv, TinyKvServer};
use proto::{coprocessor, kvrpcpb, raft_serverpb};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, Streaming};

/// Set in the process that is to be the bare server.
pub(super) const VARIABLE: &str = "TINYKV_BENCH_ECHO";

/// Serves until it is killed.
pub(super) fn serve() {
    let runtime = program::async_runtime().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        announce(&listener.local_addr().expect("it is bound").to_string());
        let echo = Echo { value: Bytes::from(vec![b'v'; super::VALUE_BYTES]) };
        let serving = server::node::transport()
            .add_service(TinyKvServer::new(echo))
            .serve_with_incoming(program::incoming::Incoming::new(listener));
        serving.await.expect("it serves until it is killed");
    });
}

#[expect(clippy::print_stderr, reason = "the other process waits for this line")]
fn announce(address: &str) {
    eprintln!("serving, addr: {address}");
}

struct Echo {
    value: Bytes,
}

/// What is not measured is not answered.
fn unused<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("the bare server answers raw gets and puts"))
}

macro_rules! unused {
    ($($name:ident($request:path) -> $response:path;)+) => {
        #[tonic::async_trait]
        impl TinyKv for Echo {
            async fn raw_get(
                &self,
                _: Request<kvrpcpb::RawGetRequest>,
            ) -> Result<Response<kvrpcpb::RawGetResponse>, Status> {
                let value = self.value.clone();
                Ok(Response::new(kvrpcpb::RawGetResponse { value, ..Default::default() }))
            }

            async fn raw_put(
                &self,
                _: Request<kvrpcpb::RawPutRequest>,
            ) -> Result<Response<kvrpcpb::RawPutResponse>, Status> {
                Ok(Response::new(kvrpcpb::RawPutResponse::default()))
            }

            $(
                async fn $name(
                    &self,
                    _: Request<$request>,
                ) -> Result<Response<$response>, Status> {
                    unused()
                }
            )+
        }
    };
}

unused! {
    kv_get(kvrpcpb::GetRequest) -> kvrpcpb::GetResponse;
    kv_scan(kvrpcpb::ScanRequest) -> kvrpcpb::ScanResponse;
    kv_prewrite(kvrpcpb::PrewriteRequest) -> kvrpcpb::PrewriteResponse;
    kv_commit(kvrpcpb::CommitRequest) -> kvrpcpb::CommitResponse;
    kv_check_txn_status(kvrpcpb::CheckTxnStatusRequest) -> kvrpcpb::CheckTxnStatusResponse;
    kv_batch_rollback(kvrpcpb::BatchRollbackRequest) -> kvrpcpb::BatchRollbackResponse;
    kv_resolve_lock(kvrpcpb::ResolveLockRequest) -> kvrpcpb::ResolveLockResponse;
    raw_delete(kvrpcpb::RawDeleteRequest) -> kvrpcpb::RawDeleteResponse;
    raw_scan(kvrpcpb::RawScanRequest) -> kvrpcpb::RawScanResponse;
    raft(Streaming<raft_serverpb::RaftMessage>) -> raft_serverpb::Done;
    snapshot(Streaming<raft_serverpb::SnapshotChunk>) -> raft_serverpb::Done;
    coprocessor(coprocessor::Request) -> coprocessor::Response;
}
