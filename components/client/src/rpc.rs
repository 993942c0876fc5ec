//! The requests that a client sends to regions, and the two ways to send them: over the stream of their
//! store, or as a call of its own where the store takes no streams.

use proto::eraftpb::ConfChangeType;
use proto::errorpb;
use proto::kvrpcpb::{self, Context};
use proto::tinykvext::batched_request::Request as Ask;
use proto::tinykvext::batched_response::Response as Tell;
use proto::tinykvext::{
    ChangePeerRequest, ChangePeerResponse, CollectGarbageRequest, CollectGarbageResponse,
    ScanLocksRequest, ScanLocksResponse, SplitRegionRequest, SplitRegionResponse,
    TransferLeaderRequest, TransferLeaderResponse,
};
use tonic::{Response, Status};

use crate::batch::Unanswered;
use crate::failure::Failure;
use crate::stores::Stub;

/// What repeating a request does, and what not knowing its fate means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It may be repeated, and its own fate does not matter to anybody.
    Harmless,
    /// It may be repeated, but its fate is the operation's.
    Decides,
    /// It must not be repeated while its fate is unknown.
    Once,
}

/// A request to a region.
pub(crate) trait Rpc: Clone + Send + Sync + 'static {
    /// What a store answers.
    type Response: Send;
    /// What repeating it does.
    const EFFECT: Effect;
    /// Says for which region it is.
    fn address(&mut self, context: Context);
    /// Sends it as a call of its own.
    fn send(
        self,
        stub: &Stub,
    ) -> impl Future<Output = Result<Response<Self::Response>, Status>> + Send;
    /// What it is in a batch, if it can be in one.
    fn in_batch(self) -> Option<Ask> {
        None
    }
    /// The answer to it in a batch, if it is one.
    fn told(_: Tell) -> Option<Self::Response> {
        None
    }
    /// Why the region did not serve, if it did not.
    fn region_error(response: &mut Self::Response) -> Option<Box<errorpb::Error>>;
}

macro_rules! rpcs {
    ($service:ident: $($request:path => $response:path:
        $stub:ident $(as $batched:ident)?, $effect:ident;)+) => {
        $(impl Rpc for $request {
            type Response = $response;
            const EFFECT: Effect = Effect::$effect;

            fn address(&mut self, context: Context) {
                self.context = Some(context);
            }

            async fn send(self, stub: &Stub) -> Result<Response<Self::Response>, Status> {
                stub.$service.clone().$stub(self).await
            }

            $(fn in_batch(self) -> Option<Ask> {
                Some(Ask::$batched(Box::new(self)))
            }

            fn told(answer: Tell) -> Option<Self::Response> {
                if let Tell::$batched(response) = answer { Some(response) } else { None }
            })?

            fn region_error(response: &mut Self::Response) -> Option<Box<errorpb::Error>> {
                response.region_error.take()
            }
        })+
    };
}

rpcs! { kv:
    kvrpcpb::RawGetRequest => kvrpcpb::RawGetResponse: raw_get as RawGet, Harmless;
    kvrpcpb::RawScanRequest => kvrpcpb::RawScanResponse: raw_scan as RawScan, Harmless;
    kvrpcpb::RawPutRequest => kvrpcpb::RawPutResponse: raw_put as RawPut, Once;
    kvrpcpb::RawDeleteRequest => kvrpcpb::RawDeleteResponse: raw_delete as RawDelete, Once;
    kvrpcpb::GetRequest => kvrpcpb::GetResponse: kv_get as Get, Harmless;
    kvrpcpb::ScanRequest => kvrpcpb::ScanResponse: kv_scan as Scan, Harmless;
    kvrpcpb::PrewriteRequest => kvrpcpb::PrewriteResponse: kv_prewrite as Prewrite, Harmless;
    kvrpcpb::CommitRequest => kvrpcpb::CommitResponse: kv_commit as Commit, Decides;
    kvrpcpb::BatchRollbackRequest => kvrpcpb::BatchRollbackResponse: kv_batch_rollback as BatchRollback, Harmless;
    kvrpcpb::CheckTxnStatusRequest => kvrpcpb::CheckTxnStatusResponse: kv_check_txn_status as CheckTxnStatus, Harmless;
    kvrpcpb::ResolveLockRequest => kvrpcpb::ResolveLockResponse: kv_resolve_lock as ResolveLock, Harmless;
}

rpcs! { ext:
    SplitRegionRequest => SplitRegionResponse: split_region, Once;
    TransferLeaderRequest => TransferLeaderResponse: transfer_leader, Harmless;
    ScanLocksRequest => ScanLocksResponse: scan_locks, Harmless;
    CollectGarbageRequest => CollectGarbageResponse: collect_garbage, Harmless;
}

/// A change of a region's peers, of either kind: both have the same words.
#[derive(Clone)]
pub(crate) struct ChangePeer {
    pub(crate) change: ConfChangeType,
    pub(crate) request: ChangePeerRequest,
}

impl Rpc for ChangePeer {
    type Response = ChangePeerResponse;
    const EFFECT: Effect = Effect::Once;

    fn address(&mut self, context: Context) {
        self.request.context = Some(context);
    }

    async fn send(self, stub: &Stub) -> Result<Response<Self::Response>, Status> {
        let mut ext = stub.ext.clone();
        match self.change {
            ConfChangeType::AddNode => ext.add_peer(self.request).await,
            ConfChangeType::RemoveNode => ext.remove_peer(self.request).await,
        }
    }

    fn region_error(response: &mut Self::Response) -> Option<Box<errorpb::Error>> {
        response.region_error.take()
    }
}

/// Sends a request to a region, and waits for its answer for as long as it takes.
pub(crate) async fn exchange<R: Rpc>(
    stub: &Stub,
    request: &R,
    region: Context,
) -> Result<R::Response, Failure> {
    let addressed = || {
        let mut request = request.clone();
        request.address(region);
        request
    };
    if let Some(batches) = stub.batches()
        && let Some(ask) = addressed().in_batch()
    {
        match batches.ask(ask).await {
            Ok(answer) => {
                let other = || Failure::Lost("an answer to another call".to_owned());
                return R::told(answer).ok_or_else(other);
            }
            Err(Unanswered::Failed(failure)) => return Err(failure),
            Err(Unanswered::NotOffered) => {}
        }
    }
    let answered = addressed().send(stub).await;
    answered.map(Response::into_inner).map_err(|status| Failure::of_status(&status))
}
