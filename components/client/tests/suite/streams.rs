//! The streams of the world's stores: each request in a batch is done as if it had come by itself.

use std::sync::Arc;

use proto::tinykvext as ext;
use proto::tinykvext::batched_request::Request as Ask;
use proto::tinykvext::batched_response::Response as Tell;
use proto::tinykvext::tiny_kv_ext_server::{TinyKvExt, TinyKvExtServer};
use proto::tinykvext::{BatchRequest, BatchResponse, BatchedRequest, BatchedResponse};
use proto::tinykvpb::tiny_kv_server::TinyKv;
use tokio::sync::mpsc::{self, Sender};
use tokio::task::JoinSet;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::services::StoreService;

/// What becomes of all streams that are open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Ending {
    /// They break.
    Broken,
    /// They end with a status that would say of a call that it was not done.
    Refused,
    /// Their stores are about to stop.
    Closing,
    /// Something is answered that nobody asked.
    Nonsense,
}

type Answer<T> = Result<Response<T>, Status>;
type Message = Result<BatchResponse, Status>;

pub(crate) struct StreamService(pub(crate) Arc<StoreService>);

impl StreamService {
    pub(crate) fn into_server(self) -> TinyKvExtServer<Self> {
        TinyKvExtServer::new(self)
    }
}

macro_rules! serve {
    ($service:ident, $request:ident: $($call:ident => $arm:ident,)+) => {
        match $request {
            $(Ask::$call(request) => {
                let answered = TinyKv::$arm(&*$service, Request::new(*request)).await;
                answered.map(|response| Tell::$call(response.into_inner()))
            })+
        }
    };
}

/// Does a request, and answers it in a message of its own.
async fn serve(service: Arc<StoreService>, asked: BatchedRequest, answers: Sender<Message>) {
    let request = asked.request.expect("the client asks for something");
    let answered = serve! { service, request:
        RawGet => raw_get,
        RawPut => raw_put,
        RawDelete => raw_delete,
        RawScan => raw_scan,
        Get => kv_get,
        Scan => kv_scan,
        Prewrite => kv_prewrite,
        Commit => kv_commit,
        CheckTxnStatus => kv_check_txn_status,
        BatchRollback => kv_batch_rollback,
        ResolveLock => kv_resolve_lock,
        Coprocessor => coprocessor,
    };
    let failure = |status: Status| ext::Failure {
        code: u32::try_from(i32::from(status.code())).expect("a code"),
        message: status.message().to_owned(),
    };
    let response = Some(answered.unwrap_or_else(|status| Tell::Failure(failure(status))));
    let responses = vec![BatchedResponse { id: asked.id, response }];
    // The client may be gone.
    let _ = answers.send(Ok(BatchResponse { responses, is_closing: false })).await;
}

/// Serves one stream.
async fn talk(
    service: Arc<StoreService>,
    mut requests: Streaming<BatchRequest>,
    answers: Sender<Message>,
) {
    let mut endings = service.world.endings();
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            message = requests.message() => {
                let Ok(Some(batch)) = message else { break };
                service.world.state().calls.push(("message", service.id));
                for request in batch.requests {
                    running.spawn(serve(Arc::clone(&service), request, answers.clone()));
                }
            }
            ending = endings.recv() => {
                let message = match ending.expect("the world goes on") {
                    Ending::Broken => {
                        let _ = answers.send(Err(Status::unavailable("the stream broke"))).await;
                        return;
                    }
                    Ending::Refused => {
                        let _ = answers.send(Err(Status::invalid_argument("no batch"))).await;
                        return;
                    }
                    Ending::Closing => BatchResponse { is_closing: true, ..Default::default() },
                    Ending::Nonsense => BatchResponse {
                        responses: vec![BatchedResponse { id: u64::MAX, response: None }],
                        is_closing: false,
                    },
                };
                let _ = answers.send(Ok(message)).await;
            }
        }
    }
    while running.join_next().await.is_some() {}
}

/// Calls that nobody makes here.
macro_rules! absent {
    ($($name:ident($request:ident) -> $response:ident;)+) => {
        #[tonic::async_trait]
        impl TinyKvExt for StreamService {
            type BatchStream = ReceiverStream<Message>;

            async fn batch(
                &self,
                request: Request<Streaming<BatchRequest>>,
            ) -> Answer<Self::BatchStream> {
                {
                    let mut state = self.0.world.state();
                    state.calls.push(("batch", self.0.id));
                    if state.has_no_streams {
                        return Err(Status::unimplemented("not here"));
                    }
                }
                let (answers, receiver) = mpsc::channel(64);
                tokio::spawn(talk(Arc::clone(&self.0), request.into_inner(), answers));
                Ok(Response::new(ReceiverStream::new(receiver)))
            }

            $(async fn $name(&self, _: Request<ext::$request>) -> Answer<ext::$response> {
                Err(Status::unimplemented("not here"))
            })+
        }
    };
}

absent! {
    split_region(SplitRegionRequest) -> SplitRegionResponse;
    transfer_leader(TransferLeaderRequest) -> TransferLeaderResponse;
    add_peer(ChangePeerRequest) -> ChangePeerResponse;
    remove_peer(ChangePeerRequest) -> ChangePeerResponse;
    region_state(RegionStateRequest) -> RegionStateResponse;
    raft_state(RaftStateRequest) -> RaftStateResponse;
    get_safe_point(GetSafePointRequest) -> GetSafePointResponse;
    update_safe_point(UpdateSafePointRequest) -> UpdateSafePointResponse;
    scan_locks(ScanLocksRequest) -> ScanLocksResponse;
    collect_garbage(CollectGarbageRequest) -> CollectGarbageResponse;
}
