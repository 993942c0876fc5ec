//! The calls of `tinykvpb.TinyKv`, an arm each: from the wire to storage's types and back; and those of
//! our own service beside it ([`admin`]).
//!
//! An arm decides nothing. What a request may ask is checked by storage, what a failure is called by
//! [`respond`](crate::respond).

mod admin;
mod coprocessor;
mod peers;
mod raw;
mod txn;

use std::sync::Arc;

use program::Failure;
use proto::kvrpcpb::Context;
use proto::tinykvpb::tiny_kv_server::{TinyKv, TinyKvServer};
use proto::{coprocessor as wire, kvrpcpb, raft_serverpb};
use slog::{Logger, error};
use tonic::{Request, Response, Status, Streaming};

use crate::node::MESSAGE_BYTES_MAX;
use crate::respond::alone;

use self::coprocessor::Computing;
pub use self::peers::Peers;

/// What every arm needs.
#[derive(Clone)]
pub struct Service {
    kv: Arc<storage::Kv>,
    failure: Arc<Failure>,
    computing: Computing,
    /// The store behind it; a node that serves alone has none.
    peers: Option<Peers>,
    log: Logger,
}

type Answer<T> = Result<Response<T>, Status>;

impl Service {
    /// Serves `kv`; a disk that fails is reported to `failure`.
    pub fn new(
        kv: Arc<storage::Kv>,
        failure: Arc<Failure>,
        peers: Option<Peers>,
        log: Logger,
    ) -> Self {
        Service { kv, failure, computing: Computing::new(), peers, log }
    }

    /// As the transport wants it.
    pub fn into_server(self) -> TinyKvServer<Self> {
        TinyKvServer::new(self).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Looks at an error on its way out. Damage and a failing disk are told to whoever looks after this
    /// node, because its clients go elsewhere and say nothing. An engine that failed to write ends the
    /// node. One that failed to read does not: the rest can be served, and the next start would meet
    /// the same block again.
    fn seen(&self, error: storage::Error) -> storage::Error {
        match &error {
            storage::Error::Corrupt { .. } => {
                error!(self.log, "a record is damaged"; "error" => %error);
            }
            storage::Error::Engine(engine) => {
                error!(self.log, "the disk failed a call"; "error" => %engine);
                if engine.is_poisoned() {
                    self.failure.report(&engine.to_string());
                }
            }
            storage::Error::Region(_)
            | storage::Error::Key(_)
            | storage::Error::Invalid(_)
            | storage::Error::TooLarge { .. } => {}
        }
        error
    }
}

/// The context of a request. One without says nothing, and a single engine asks nothing of it.
fn context(context: Option<Context>) -> Context {
    context.unwrap_or_default()
}

/// One arm: the call's name, its request and its response.
macro_rules! arms {
    ($($name:ident($request:ident) -> $response:ident;)+) => {
        #[tonic::async_trait]
        impl TinyKv for Service {
            $(
                async fn $name(
                    &self,
                    request: Request<kvrpcpb::$request>,
                ) -> Answer<kvrpcpb::$response> {
                    Service::$name(self, request.into_inner()).await.map(Response::new)
                }
            )+

            async fn raft(
                &self,
                request: Request<Streaming<raft_serverpb::RaftMessage>>,
            ) -> Answer<raft_serverpb::Done> {
                let peers = self.peers.as_ref().ok_or_else(alone)?;
                peers.raft(request).await.map(Response::new)
            }

            async fn snapshot(
                &self,
                request: Request<Streaming<raft_serverpb::SnapshotChunk>>,
            ) -> Answer<raft_serverpb::Done> {
                let peers = self.peers.as_ref().ok_or_else(alone)?;
                peers.snapshot(request).await.map(Response::new)
            }

            async fn coprocessor(
                &self,
                request: Request<wire::Request>,
            ) -> Answer<wire::Response> {
                Service::coprocessor(self, request.into_inner()).await.map(Response::new)
            }
        }
    };
}

arms! {
    kv_get(GetRequest) -> GetResponse;
    kv_scan(ScanRequest) -> ScanResponse;
    kv_prewrite(PrewriteRequest) -> PrewriteResponse;
    kv_commit(CommitRequest) -> CommitResponse;
    kv_check_txn_status(CheckTxnStatusRequest) -> CheckTxnStatusResponse;
    kv_batch_rollback(BatchRollbackRequest) -> BatchRollbackResponse;
    kv_resolve_lock(ResolveLockRequest) -> ResolveLockResponse;
    raw_get(RawGetRequest) -> RawGetResponse;
    raw_put(RawPutRequest) -> RawPutResponse;
    raw_delete(RawDeleteRequest) -> RawDeleteResponse;
    raw_scan(RawScanRequest) -> RawScanResponse;
}
