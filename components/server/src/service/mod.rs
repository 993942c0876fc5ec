//! The calls of `tinykvpb.TinyKv`, an arm each: from the wire to storage's types and back; and those of
//! our own service beside it (`admin`).
//!
//! An arm decides nothing. What a request may ask is checked by storage, what a failure is called by
//! [`respond`](crate::respond).

mod admin;
mod coprocessor;
mod peers;
mod raw;
pub mod room;
mod txn;

use std::sync::Arc;

use program::Failure;
use prost::Message as _;
use proto::kvrpcpb::Context;
use proto::tinykvpb::tiny_kv_server::{TinyKv, TinyKvServer};
use proto::{coprocessor as wire, errorpb, kvrpcpb, raft_serverpb};
use runtime::clock::{Clock, SystemClock};
use runtime::metrics::{By, Latency, Metrics};
use slog::{Logger, error};
use tonic::{Request, Response, Status, Streaming};

use crate::node::MESSAGE_BYTES_MAX;
use crate::respond::{alone, busy};

use self::coprocessor::Computing;
pub use self::peers::Peers;
use self::room::{Bounded, Room, Share};

/// What every arm needs.
#[derive(Clone)]
pub struct Service {
    kv: Arc<storage::Kv>,
    failure: Arc<Failure>,
    computing: Computing,
    /// The store behind it; a node that serves alone has none.
    peers: Option<Peers>,
    meters: CallMeters,
    log: Logger,
}

type Answer<T> = Result<Response<T>, Status>;

impl Service {
    /// Serves `kv`; a disk that fails is reported to `failure`.
    pub fn new(
        kv: Arc<storage::Kv>,
        failure: Arc<Failure>,
        peers: Option<Peers>,
        metrics: &Metrics,
        log: Logger,
    ) -> Self {
        let help = "How long calls take that were let in";
        let meters = CallMeters::new(&metrics.latency_by("call", help, "call"));
        Service { kv, failure, computing: Computing::new(), peers, meters, log }
    }

    /// As the transport wants it. All calls together take no more than the room.
    pub fn into_server(self, room: Arc<Room>) -> Bounded<TinyKvServer<Self>> {
        let server = TinyKvServer::new(self).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Bounded::new(server, room)
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

/// Does a call that has a share of the room, and measures it.
macro_rules! bounded {
    ($self:ident, $call:ident, $kind:ident, $request:ident, $response:ty) => {{
        let Some(share) = $request.extensions_mut().remove::<Arc<Share>>() else {
            let region_error = Some(busy("too many calls are under way"));
            return Ok(Response::new(<$response>::from_refusal(region_error)));
        };
        let since = SystemClock.now();
        let answer = Service::$call($self, $request.into_inner()).await?;
        $self.meters.$call.observe(SystemClock.now().since(since));
        let is_held = Kind::$kind == Kind::Write || share.take(answer.encoded_len());
        Ok(Response::new(if is_held {
            answer
        } else {
            <$response>::from_refusal(Some(busy("too many bytes of answers wait for clients")))
        }))
    }};
}

/// Whether an answer may still be refused when it is made.
#[derive(PartialEq)]
enum Kind {
    Read,
    Write,
}

/// A response that says only why there is none.
trait FromRefusal {
    fn from_refusal(region_error: Option<Box<errorpb::Error>>) -> Self;
}

/// One arm: the call's name, its request and its response, and what it does.
macro_rules! arms {
    ($($name:ident($request:ident) -> $response:ident, $kind:ident;)+) => {
        /// How long each call takes.
        #[derive(Clone)]
        struct CallMeters {
            $($name: Latency,)+
            coprocessor: Latency,
        }

        impl CallMeters {
            fn new(latencies: &By<Latency>) -> Self {
                CallMeters {
                    $($name: latencies.of(stringify!($name)),)+
                    coprocessor: latencies.of("coprocessor"),
                }
            }
        }

        $(
            impl FromRefusal for kvrpcpb::$response {
                fn from_refusal(region_error: Option<Box<errorpb::Error>>) -> Self {
                    kvrpcpb::$response { region_error, ..Self::default() }
                }
            }
        )+

        impl FromRefusal for wire::Response {
            fn from_refusal(region_error: Option<Box<errorpb::Error>>) -> Self {
                wire::Response { region_error, ..Self::default() }
            }
        }

        #[tonic::async_trait]
        impl TinyKv for Service {
            $(
                async fn $name(
                    &self,
                    mut request: Request<kvrpcpb::$request>,
                ) -> Answer<kvrpcpb::$response> {
                    bounded!(self, $name, $kind, request, kvrpcpb::$response)
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
                mut request: Request<wire::Request>,
            ) -> Answer<wire::Response> {
                bounded!(self, coprocessor, Read, request, wire::Response)
            }
        }
    };
}

arms! {
    kv_get(GetRequest) -> GetResponse, Read;
    kv_scan(ScanRequest) -> ScanResponse, Read;
    kv_prewrite(PrewriteRequest) -> PrewriteResponse, Write;
    kv_commit(CommitRequest) -> CommitResponse, Write;
    kv_check_txn_status(CheckTxnStatusRequest) -> CheckTxnStatusResponse, Write;
    kv_batch_rollback(BatchRollbackRequest) -> BatchRollbackResponse, Write;
    kv_resolve_lock(ResolveLockRequest) -> ResolveLockResponse, Write;
    raw_get(RawGetRequest) -> RawGetResponse, Read;
    raw_put(RawPutRequest) -> RawPutResponse, Write;
    raw_delete(RawDeleteRequest) -> RawDeleteResponse, Write;
    raw_scan(RawScanRequest) -> RawScanResponse, Read;
}
