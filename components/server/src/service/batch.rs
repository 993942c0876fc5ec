//! The same calls, many in each message of one stream.
//!
//! A call by itself costs the transport more than the small read or write inside it. Here a message
//! carries whatever the client had to ask, and the next one back carries whatever is answered by then:
//!
//! ```text
//!   [put 1, get 2, put 3] ──►  1, 2 and 3 begin together
//!           [get 4] ────────►  4 begins
//!                          ◄──  [2, 4]       reads are there at once
//!                          ◄──  [1, 3]       two writes, synced together
//! ```
//!
//! # Guarantees
//!
//! - A request goes the way that it would go as a call: the same arm, the same share of the room, the
//!   same errors in its response. What would have been the call's gRPC status is a [`Failure`](Tell) in
//!   the answer.
//! - Every request gets one answer, in any order, unless the stream breaks. A request for which there is
//!   no room is answered *busy*; one that this store does not know gets a failure, and the others of its
//!   message are done.
//! - Nothing is taken in that could not be answered: no message is read while [`UNDER_WAY_MAX`] requests
//!   are under way, and nothing is done while the client does not read its answers.
//! - When the client goes away, what is under way is dropped, as the calls of a lost connection are.
//! - A message that cannot be read, or has more than [`REQUESTS_MAX`] requests, ends the stream, and with
//!   it what came over it before. Other streams and calls do not notice.
//! - When the port closes, the client is told to send nothing more. What it had sent is answered.
//!
//! Everything happens in the task that serves the stream, which is polled by the transport: no task and
//! no queue for each request, and one wake-up for all answers that were given meanwhile.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use program::room::Share;
use prost::Message as _;
use proto::tinykvext::batched_request::Request as Ask;
use proto::tinykvext::batched_response::Response as Tell;
use proto::tinykvext::{BatchRequest, BatchResponse, BatchedRequest, BatchedResponse};
use tokio::time::timeout;
use tonic::codegen::tokio_stream::Stream;
use tonic::{Request, Status, Streaming};

use super::{Call, NO_PLACE, Service, refused};
use crate::respond::{in_batch, late, no_streams, too_many_requests, unknown_call};

/// The most requests of one message.
const REQUESTS_MAX: usize = 1024;

/// With so many requests of a stream under way, no further message is read. As many calls may be under way
/// on one connection.
const UNDER_WAY_MAX: usize = 1024;

/// An answer leaves with those that are ready as well, up to so many, or so many bytes.
const ANSWERS_MAX: usize = 256;
const ANSWERS_BYTES: usize = 256 << 10;

/// A request that is being done.
type UnderWay = Pin<Box<dyn Future<Output = Done> + Send>>;

/// An answer, and the share of the room that its request had; one that was not let in had none.
struct Done {
    response: BatchedResponse,
    share: Option<Share>,
}

impl Service {
    /// The answers to a stream of requests.
    pub(super) fn answers(
        &self,
        mut request: Request<Streaming<BatchRequest>>,
    ) -> Result<Answers, Status> {
        let reading = request.extensions_mut().remove::<Arc<Share>>().ok_or_else(no_streams)?;
        Ok(Answers {
            service: Arc::new(self.clone()),
            requests: request.into_inner(),
            reading,
            under_way: FuturesUnordered::new(),
            closing: Some(Box::pin(self.room.closing())),
            stage: Stage::Open,
            leaving: Vec::new(),
        })
    }
}

/// How far a stream has come.
#[derive(Clone, Copy, PartialEq)]
enum Stage {
    /// Requests may come.
    Open,
    /// The client has sent all that it wants to.
    Sent,
    /// It is over.
    Over,
}

/// The answers to a stream of requests.
pub struct Answers {
    service: Arc<Service>,
    requests: Streaming<BatchRequest>,
    /// What has arrived, and was not looked at.
    reading: Arc<Share>,
    under_way: FuturesUnordered<UnderWay>,
    /// Until the client is told that the port closes.
    closing: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    stage: Stage,
    /// Of the answers that the transport took last.
    leaving: Vec<Share>,
}

impl Stream for Answers {
    type Item = Result<BatchResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        // Who asks for the next message has put the last one on its way.
        this.leaving.clear();
        if this.stage == Stage::Over {
            return Poll::Ready(None);
        }
        let mut message = BatchResponse::default();
        if this.closing.as_mut().is_some_and(|closing| closing.as_mut().poll(context).is_ready()) {
            (this.closing, message.is_closing) = (None, true);
        }
        if let Err(status) = this.take_in(&mut message, context) {
            (this.stage, this.under_way) = (Stage::Over, FuturesUnordered::new());
            return Poll::Ready(Some(Err(status)));
        }
        this.collect(&mut message, context);
        if message.is_closing || !message.responses.is_empty() {
            return Poll::Ready(Some(Ok(message)));
        }
        if this.stage == Stage::Sent && this.under_way.is_empty() {
            this.stage = Stage::Over;
            return Poll::Ready(None);
        }
        Poll::Pending
    }
}

impl Answers {
    /// Begins what has come, as far as there is room. What is not let in is answered at once.
    fn take_in(
        &mut self,
        message: &mut BatchResponse,
        context: &mut Context<'_>,
    ) -> Result<(), Status> {
        while self.stage == Stage::Open
            && self.under_way.len() < UNDER_WAY_MAX
            && message.responses.len() < ANSWERS_MAX
        {
            match Pin::new(&mut self.requests).poll_next(context) {
                Poll::Ready(Some(Ok(batch))) => {
                    self.reading.give_back();
                    let requests = batch.requests.len();
                    if requests > REQUESTS_MAX {
                        return Err(too_many_requests(requests, REQUESTS_MAX));
                    }
                    let refused = batch.requests.into_iter().filter_map(|asked| self.begin(asked));
                    message.responses.extend(refused);
                }
                Poll::Ready(Some(Err(status))) => return Err(status),
                Poll::Ready(None) => self.stage = Stage::Sent,
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    /// Begins a request, or answers why it is not begun.
    fn begin(&self, asked: BatchedRequest) -> Option<BatchedResponse> {
        let bytes = asked.encoded_len();
        let BatchedRequest { id, timeout_ms, request } = asked;
        let answer = |response| Some(BatchedResponse { id, response: Some(response) });
        let Some(request) = request else {
            return answer(Tell::Failure(in_batch(&unknown_call())));
        };
        let Some(share) = self.service.room.enter() else {
            return answer(refusal(&request, NO_PLACE));
        };
        if !share.take(bytes) {
            return answer(refusal(&request, "too many bytes of requests are under way"));
        }
        let patience = (timeout_ms > 0).then(|| Duration::from_millis(timeout_ms.into()));
        let turn = Turn { service: Arc::clone(&self.service), share, patience, id };
        self.under_way.push(turn.begin(request));
        None
    }

    /// Takes along what is done.
    fn collect(&mut self, message: &mut BatchResponse, context: &mut Context<'_>) {
        let mut bytes = 0;
        while message.responses.len() < ANSWERS_MAX && bytes < ANSWERS_BYTES {
            let polled = Pin::new(&mut self.under_way).poll_next(context);
            let Poll::Ready(Some(Done { response, share })) = polled else { return };
            message.responses.push(response);
            bytes += share.as_ref().map_or(0, Share::bytes);
            self.leaving.extend(share);
        }
    }
}

/// What a request needs while it is done.
struct Turn {
    service: Arc<Service>,
    share: Share,
    patience: Option<Duration>,
    id: u64,
}

impl Turn {
    /// Does a request, for as long as its client waits.
    async fn serve<C: Call>(self, call: C, tell: fn(C::Response) -> Tell) -> Done {
        let Turn { service, share, patience, id } = self;
        let serving = service.within(call, &share);
        let answer = match patience {
            None => serving.await,
            Some(patience) => match timeout(patience, serving).await {
                Ok(answer) => answer,
                Err(_) => Err(late(patience)),
            },
        };
        let response = answer.map_or_else(|status| Tell::Failure(in_batch(&status)), tell);
        Done { response: BatchedResponse { id, response: Some(response) }, share: Some(share) }
    }
}

/// The calls of a batch. The request and the answer of each have one name.
macro_rules! calls {
    ($($call:ident,)+) => {
        impl Turn {
            /// The request is done from when this is polled.
            fn begin(self, request: Ask) -> UnderWay {
                match request {
                    $(Ask::$call(request) => Box::pin(self.serve(*request, Tell::$call)),)+
                }
            }
        }

        /// The answer to a request for which there is no room.
        fn refusal(request: &Ask, why: &'static str) -> Tell {
            match request {
                $(Ask::$call(_) => Tell::$call(refused(why)),)+
            }
        }
    };
}

calls! {
    RawGet,
    RawPut,
    RawDelete,
    RawScan,
    Get,
    Scan,
    Prewrite,
    Commit,
    CheckTxnStatus,
    BatchRollback,
    ResolveLock,
    Coprocessor,
}
