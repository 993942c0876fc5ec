//! The calls of `tinykvpb.TinyKv`, an arm each: from the wire to storage's types and back; and those of
//! our own service beside it: administration (`admin`), and the same arms over one stream (`batch`).
//!
//! An arm decides nothing. What a request may ask is checked by storage, what a failure is called by
//! [`respond`](crate::respond).

mod admin;
mod batch;
mod coprocessor;
mod peers;
mod raw;
mod room;
mod txn;

use std::sync::Arc;

use program::Failure;
use program::room::{Room, Share};
use prost::Message;
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
use self::room::Bounded;

/// What every arm needs.
#[derive(Clone)]
pub struct Service {
    kv: Arc<storage::Kv>,
    failure: Arc<Failure>,
    computing: Computing,
    /// The store behind it; a node that serves alone has none.
    peers: Option<Peers>,
    meters: CallMeters,
    room: Arc<Room>,
    log: Logger,
}

type Answer<T> = Result<Response<T>, Status>;

impl Service {
    /// Serves `kv`; a disk that fails is reported to `failure`. All calls together take no more than the
    /// room.
    pub fn new(
        kv: Arc<storage::Kv>,
        failure: Arc<Failure>,
        peers: Option<Peers>,
        room: Arc<Room>,
        metrics: &Metrics,
        log: Logger,
    ) -> Self {
        let help = "How long calls take that were let in";
        let meters = CallMeters::new(&metrics.latency_by("call", help, "call"));
        Service { kv, failure, computing: Computing::new(), peers, meters, room, log }
    }

    /// As the transport wants it.
    pub fn into_server(self) -> Bounded<TinyKvServer<Self>> {
        let room = Arc::clone(&self.room);
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

/// A request that takes a place in the room, however it came.
trait Call: Send + 'static {
    type Response: FromRefusal + Message;
    const KIND: Kind;
    /// How long such requests take.
    fn latency(meters: &CallMeters) -> &Latency;
    /// The arm.
    fn serve(
        self,
        service: &Service,
    ) -> impl Future<Output = Result<Self::Response, Status>> + Send;
}

impl Service {
    /// Does a call within its share of the room, and measures it.
    async fn within<C: Call>(&self, call: C, share: &Share) -> Result<C::Response, Status> {
        let since = SystemClock.now();
        let answer = call.serve(self).await?;
        C::latency(&self.meters).observe(SystemClock.now().since(since));
        if C::KIND == Kind::Write || share.take(answer.encoded_len()) {
            return Ok(answer);
        }
        Ok(refused("too many bytes of answers wait for clients"))
    }

    /// Does a call that came by itself, if it has a share of the room.
    async fn by_itself<C: Call>(&self, mut request: Request<C>) -> Answer<C::Response> {
        let Some(share) = request.extensions_mut().remove::<Arc<Share>>() else {
            return Ok(Response::new(refused(NO_PLACE)));
        };
        self.within(request.into_inner(), &share).await.map(Response::new)
    }
}

/// Why a call is not let in.
const NO_PLACE: &str = "too many calls are under way";

/// The answer to a call for which there is no room.
fn refused<T: FromRefusal>(why: &'static str) -> T {
    T::from_refusal(Some(busy(why)))
}

/// One arm: the call's name, its request and its response, and what it does.
macro_rules! arms {
    ($($name:ident($request:path) -> $response:path, $kind:ident;)+) => {
        /// How long each call takes.
        #[derive(Clone)]
        struct CallMeters {
            $($name: Latency,)+
        }

        impl CallMeters {
            fn new(latencies: &By<Latency>) -> Self {
                CallMeters { $($name: latencies.of(stringify!($name)),)+ }
            }
        }

        $(
            impl FromRefusal for $response {
                fn from_refusal(region_error: Option<Box<errorpb::Error>>) -> Self {
                    $response { region_error, ..Self::default() }
                }
            }

            impl Call for $request {
                type Response = $response;
                const KIND: Kind = Kind::$kind;

                fn latency(meters: &CallMeters) -> &Latency {
                    &meters.$name
                }

                async fn serve(self, service: &Service) -> Result<$response, Status> {
                    Service::$name(service, self).await
                }
            }
        )+

        #[tonic::async_trait]
        impl TinyKv for Service {
            $(
                async fn $name(&self, request: Request<$request>) -> Answer<$response> {
                    self.by_itself(request).await
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
        }
    };
}

arms! {
    kv_get(kvrpcpb::GetRequest) -> kvrpcpb::GetResponse, Read;
    kv_scan(kvrpcpb::ScanRequest) -> kvrpcpb::ScanResponse, Read;
    kv_prewrite(kvrpcpb::PrewriteRequest) -> kvrpcpb::PrewriteResponse, Write;
    kv_commit(kvrpcpb::CommitRequest) -> kvrpcpb::CommitResponse, Write;
    kv_check_txn_status(kvrpcpb::CheckTxnStatusRequest) -> kvrpcpb::CheckTxnStatusResponse, Write;
    kv_batch_rollback(kvrpcpb::BatchRollbackRequest) -> kvrpcpb::BatchRollbackResponse, Write;
    kv_resolve_lock(kvrpcpb::ResolveLockRequest) -> kvrpcpb::ResolveLockResponse, Write;
    raw_get(kvrpcpb::RawGetRequest) -> kvrpcpb::RawGetResponse, Read;
    raw_put(kvrpcpb::RawPutRequest) -> kvrpcpb::RawPutResponse, Write;
    raw_delete(kvrpcpb::RawDeleteRequest) -> kvrpcpb::RawDeleteResponse, Write;
    raw_scan(kvrpcpb::RawScanRequest) -> kvrpcpb::RawScanResponse, Read;
    coprocessor(wire::Request) -> wire::Response, Read;
}
