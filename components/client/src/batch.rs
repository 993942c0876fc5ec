//! One stream to a store, over which many requests travel together.
//!
//! A call of its own costs more than the small read or write in it. So whoever has a request puts it in
//! line, and a task takes along whatever waits there; meanwhile more gather for the next message:
//!
//! ```text
//!   put a ──┐
//!   get b ──┼──► line ──► [1: put a, 2: get b, 3: put c] ──► store
//!   put c ──┘                                                  │
//!             b ◄── [2] ◄──────────────────────────────────────┤
//!          a, c ◄── [1, 3] ◄───────────────────────────────────┘
//! ```
//!
//! To a caller it is what a call of its own would be. An answer is the same response or the same status,
//! and what is not known of a request after the stream broke is what is not known of a call then:
//!
//! | what became of the stream | a request that had been sent | one that waited in line |
//! |---|---|---|
//! | no connection came about | was not done | was not done |
//! | the store takes no streams | goes as a call | goes as a call, and so do all later ones |
//! | it broke | **unknown** | was not done |
//! | the store is about to stop | is answered | was not done |
//!
//! A stream that broke is not mended. Whoever met the failure forgets the store, as after any other, and
//! the next request makes a connection and a stream, after the same pauses.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use proto::tinykvext::batched_request::Request as Ask;
use proto::tinykvext::batched_response::Response as Tell;
use proto::tinykvext::tiny_kv_ext_client::TinyKvExtClient;
use proto::tinykvext::{BatchRequest, BatchResponse, BatchedRequest};
use tokio::sync::{mpsc, oneshot};
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use crate::failure::Failure;

/// Requests that wait in line; whoever finds it full waits in front of it.
const WAITING_MAX: usize = 1024;

/// Requests that were sent and not answered; with so many, the others stay in line.
const UNDER_WAY_MAX: usize = 1024;

/// A message has at most so many requests. It is full as well when it has so many bytes, which the last
/// request may pass: the largest one has some six mebibytes, and a store reads ten.
const REQUESTS_MAX: usize = 256;
const BYTES_MAX: usize = 1 << 20;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Unanswered {
    /// As a call of its own would have failed.
    Failed(Failure),
    /// The store takes no streams, and has done nothing: send a call.
    NotOffered,
}

/// A request in line, and who waits for the answer. One that is dropped was not sent only if it says so.
struct Waiting {
    request: Ask,
    caller: Caller,
}

type Caller = oneshot::Sender<Result<Tell, Unanswered>>;

/// Where requests to one store get in line. When the last clone is gone, the stream ends.
#[derive(Clone)]
pub(crate) struct Batches {
    line: mpsc::Sender<Waiting>,
    is_offered: Arc<AtomicBool>,
}

impl Batches {
    /// Starts the task that talks to the store, which may wait for an answer for so long.
    pub(crate) fn start(store: TinyKvExtClient<Channel>, patience: Duration) -> Self {
        let (line, waiting) = mpsc::channel(WAITING_MAX);
        let is_offered = Arc::new(AtomicBool::new(true));
        let timeout_ms = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
        let carrier = Carrier {
            waiting,
            sent: BTreeMap::new(),
            next_id: 1,
            timeout_ms,
            is_offered: Arc::clone(&is_offered),
        };
        tokio::spawn(carrier.run(store));
        Batches { line, is_offered }
    }

    /// Whether requests may go this way.
    pub(crate) fn is_offered(&self) -> bool {
        self.is_offered.load(Ordering::Relaxed)
    }

    /// Sends a request, and waits for its answer for as long as it takes; the caller sets the limit.
    pub(crate) async fn ask(&self, request: Ask) -> Result<Tell, Unanswered> {
        let (caller, answer) = oneshot::channel();
        let ended = || Failure::Unreachable("the stream to the store has ended".to_owned());
        self.line
            .send(Waiting { request, caller })
            .await
            .map_err(|_| Unanswered::Failed(ended()))?;
        // Whoever ends without a word may have sent it.
        let lost = || Failure::Lost("the stream to the store is gone".to_owned());
        answer.await.unwrap_or_else(|_| Err(Unanswered::Failed(lost())))
    }
}

/// The task's side.
struct Carrier {
    waiting: mpsc::Receiver<Waiting>,
    /// Who waits for which answer.
    sent: BTreeMap<u64, Caller>,
    next_id: u64,
    timeout_ms: u32,
    is_offered: Arc<AtomicBool>,
}

/// How a stream ended.
enum End {
    /// Nobody asks any more.
    Done,
    /// It was there, and is not any more. Whatever the reason, requests that were sent may have been done:
    /// what is said of the stream is not said of them.
    Broken(String),
}

impl Carrier {
    async fn run(mut self, mut store: TinyKvExtClient<Channel>) {
        let (to_wire, messages) = mpsc::channel(1);
        let mut opening = Box::pin(store.batch(ReceiverStream::new(messages)));
        let to_wire = Some(to_wire);
        // The first requests leave together with the call, whose answer is that there is a stream.
        let opened = loop {
            tokio::select! {
                opened = &mut opening => break opened,
                batch = next(&mut self.waiting, to_wire.as_ref(), self.sent.len()) => match batch {
                    Some((room, batch)) => self.send(room, batch),
                    None => return,
                },
            }
        };
        drop(opening);
        let failure = match opened {
            Ok(answers) => match self.exchange(to_wire, answers.into_inner()).await {
                End::Done => return,
                End::Broken(why) => Failure::Lost(why),
            },
            Err(status) if is_refused(&status) => {
                self.is_offered.store(false, Ordering::Relaxed);
                return self.fail_all(&Unanswered::NotOffered, &Unanswered::NotOffered).await;
            }
            Err(status) => Failure::of_status(&status),
        };
        let unsent = Failure::Unreachable(failure.to_string());
        self.fail_all(&Unanswered::Failed(failure), &Unanswered::Failed(unsent)).await;
    }

    /// Requests go, and answers come, until one of the two ends.
    async fn exchange(
        &mut self,
        mut to_wire: Option<mpsc::Sender<BatchRequest>>,
        mut answers: Streaming<BatchResponse>,
    ) -> End {
        loop {
            let is_closing = tokio::select! {
                message = answers.message() => match message {
                    Ok(Some(message)) => {
                        let is_closing = message.is_closing;
                        if let Err(id) = self.unpack(message) {
                            return End::Broken(format!("an answer to {id}, which was not asked"));
                        }
                        is_closing
                    }
                    Ok(None) => return End::Broken("the store has ended the stream".to_owned()),
                    Err(status) => return End::Broken(Failure::of_status(&status).to_string()),
                },
                batch = next(&mut self.waiting, to_wire.as_ref(), self.sent.len()) => match batch {
                    Some((room, batch)) => {
                        self.send(room, batch);
                        false
                    }
                    None => return End::Done,
                },
            };
            if is_closing {
                to_wire = None;
                let failure = Failure::Unreachable("the store is about to stop".to_owned());
                self.fail_line(&Unanswered::Failed(failure)).await;
            }
        }
    }

    /// Puts requests on the wire. Whoever does not wait any more is not asked for.
    fn send(&mut self, room: mpsc::Permit<'_, BatchRequest>, batch: Vec<Waiting>) {
        let requests = self.pack(batch);
        if !requests.is_empty() {
            room.send(BatchRequest { requests });
        }
    }

    /// Gives requests their numbers.
    fn pack(&mut self, batch: Vec<Waiting>) -> Vec<BatchedRequest> {
        let mut requests = Vec::with_capacity(batch.len());
        for Waiting { request, caller } in batch {
            if caller.is_closed() {
                continue;
            }
            let id = self.next_id;
            self.next_id += 1;
            self.sent.insert(id, caller);
            let timeout_ms = self.timeout_ms;
            requests.push(BatchedRequest { id, timeout_ms, request: Some(request) });
        }
        requests
    }

    /// Hands answers to those who wait for them, or says which one was not asked for.
    fn unpack(&mut self, message: BatchResponse) -> Result<(), u64> {
        for answer in message.responses {
            let caller = self.sent.remove(&answer.id).ok_or(answer.id)?;
            let told = match answer.response {
                Some(Tell::Failure(failure)) => {
                    Err(Unanswered::Failed(Failure::of_batch(&failure)))
                }
                Some(response) => Ok(response),
                None => Err(Unanswered::Failed(Failure::Lost("an empty answer".to_owned()))),
            };
            // A caller that has gone away has set itself a limit.
            let _ = caller.send(told);
        }
        Ok(())
    }

    /// The end: for those whose request was sent, and for those in line.
    async fn fail_all(mut self, sent: &Unanswered, unsent: &Unanswered) {
        for (_, caller) in std::mem::take(&mut self.sent) {
            let _ = caller.send(Err(sent.clone()));
        }
        self.fail_line(unsent).await;
    }

    /// Closes the line, and tells those in it. Who comes later finds it closed.
    async fn fail_line(&mut self, why: &Unanswered) {
        self.waiting.close();
        while let Some(waiting) = self.waiting.recv().await {
            let _ = waiting.caller.send(Err(why.clone()));
        }
    }
}

/// Whether the store takes no streams, or not another one. It has read nothing then.
fn is_refused(status: &Status) -> bool {
    matches!(status.code(), Code::Unimplemented | Code::ResourceExhausted)
}

/// What waits in line, as soon as it can be sent; `None` if nobody will ever ask again. Comes to no end
/// while nothing may be sent.
async fn next<'a>(
    waiting: &mut mpsc::Receiver<Waiting>,
    to_wire: Option<&'a mpsc::Sender<BatchRequest>>,
    under_way: usize,
) -> Option<(mpsc::Permit<'a, BatchRequest>, Vec<Waiting>)> {
    let free = UNDER_WAY_MAX.saturating_sub(under_way);
    let Some(to_wire) = to_wire.filter(|_| free > 0) else {
        return std::future::pending().await;
    };
    // If the transport takes no more, the end of the stream is about to come.
    let Ok(room) = to_wire.reserve().await else { return std::future::pending().await };
    let first = waiting.recv().await?;
    let mut bytes = size(&first);
    let mut batch = vec![first];
    while batch.len() < REQUESTS_MAX.min(free)
        && bytes < BYTES_MAX
        && let Ok(more) = waiting.try_recv()
    {
        bytes += size(&more);
        batch.push(more);
    }
    Some((room, batch))
}

/// The bytes of its keys and values; the rest is small.
fn size(waiting: &Waiting) -> usize {
    let all = |keys: &[Bytes]| keys.iter().map(Bytes::len).sum();
    match &waiting.request {
        Ask::RawGet(get) => get.key.len(),
        Ask::RawPut(put) => put.key.len() + put.value.len(),
        Ask::RawDelete(delete) => delete.key.len(),
        Ask::RawScan(scan) => scan.start_key.len(),
        Ask::Get(get) => get.key.len(),
        Ask::Scan(scan) => scan.start_key.len(),
        Ask::Prewrite(prewrite) => {
            let mutations = prewrite.mutations.iter();
            let bytes: usize = mutations.map(|it| it.key.len() + it.value.len()).sum();
            bytes + prewrite.primary_lock.len()
        }
        Ask::Commit(commit) => all(&commit.keys),
        Ask::CheckTxnStatus(check) => check.primary_key.len(),
        Ask::BatchRollback(rollback) => all(&rollback.keys),
        Ask::ResolveLock(_) => 0,
        Ask::Coprocessor(request) => request.data.len(),
    }
}
