//! Timestamps over one stream, many callers at a time.
//!
//! A round trip takes far longer than handing out a number, so callers who wait meanwhile share the next
//! one:
//!
//! ```text
//!   a ──► ask 1 ─────────────► 7
//!   b ──────────► wait ──► ask 3 ───► 10   8
//!   c ──────────► wait ──┘              └► 9
//!   d ────────────► wait ┘                 10
//! ```
//!
//! Only one request is under way. That is what makes the answers safe: each caller's number was given
//! out after the caller had asked, so whatever was committed before it asked has a smaller one.
//!
//! A stream that breaks is opened again, at the leader of then. The callers keep waiting; each of them
//! has a limit of its own.

use std::sync::{Arc, Mutex, PoisonError};

use proto::schedulerpb::{TsoRequest, TsoResponse};
use runtime::Rng;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tonic::Streaming;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;

use super::members::{Leader, Members, NoLeader};
use super::{is_foreign, outcome};
use crate::backoff::{Backoff, Reason};
use crate::error::Cause;
use crate::timestamp::Timestamp;

/// The most timestamps of one request; also the most callers that wait.
const BATCH_MAX: usize = 10_000;

/// A caller who waits for a timestamp.
type Caller = oneshot::Sender<Result<Timestamp, Cause>>;

/// Where callers get in line. When the last one of these is gone, the stream ends.
#[derive(Clone)]
pub(crate) struct Timestamps {
    callers: mpsc::Sender<Caller>,
    /// What went wrong last, for the error of those who gave up waiting.
    trouble: Arc<Mutex<(String, String)>>,
}

impl Timestamps {
    /// Starts the task that talks to the scheduler.
    pub(crate) fn start(members: Arc<Members>, rng: Rng) -> Self {
        let (callers, waiting) = mpsc::channel(BATCH_MAX);
        let nothing = ("the scheduler".to_owned(), "no answer".to_owned());
        let trouble = Arc::new(Mutex::new(nothing));
        let source = Source {
            members,
            waiting,
            stream: None,
            backoff: Backoff::new(rng),
            latest: Timestamp::default(),
            trouble: Arc::clone(&trouble),
        };
        tokio::spawn(source.run());
        Timestamps { callers, trouble }
    }

    /// The next timestamp. Waits for as long as it takes; the caller sets the limit.
    pub(crate) async fn next(&self) -> Result<Timestamp, Cause> {
        let (sender, receiver) = oneshot::channel();
        let gone = || Cause::Refused("the source of timestamps has ended".to_owned());
        // A full line makes the caller wait in front of it.
        self.callers.send(sender).await.map_err(|_| gone())?;
        receiver.await.map_err(|_| gone())?
    }

    /// Whom was asked last without success, and what was wrong.
    pub(crate) fn trouble(&self) -> (String, String) {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The task's side.
struct Source {
    members: Arc<Members>,
    waiting: mpsc::Receiver<Caller>,
    stream: Option<Stream>,
    backoff: Backoff,
    latest: Timestamp,
    trouble: Arc<Mutex<(String, String)>>,
}

/// An open stream.
struct Stream {
    leader: Leader,
    requests: mpsc::Sender<TsoRequest>,
    responses: Streaming<TsoResponse>,
}

/// Why a request brought nothing.
enum Failed {
    /// Whom we asked, and what was wrong: try again.
    Again(String, String),
    /// All who wait are told so.
    Final(Cause),
}

impl Source {
    async fn run(mut self) {
        while let Some(caller) = self.waiting.recv().await {
            let mut callers = vec![caller];
            while !callers.is_empty() {
                while callers.len() < BATCH_MAX
                    && let Ok(caller) = self.waiting.try_recv()
                {
                    callers.push(caller);
                }
                self.serve(&mut callers).await;
            }
        }
    }

    /// One request for all who wait. Whoever got an answer is gone from `callers`.
    async fn serve(&mut self, callers: &mut Vec<Caller>) {
        let count = u32::try_from(callers.len()).expect("a batch is small");
        match self.ask(count).await {
            Ok(last) => {
                self.backoff.reset();
                let first = last.get() - u64::from(count - 1);
                for (number, caller) in (first..).zip(callers.drain(..)) {
                    // A caller that has gone away leaves a gap, which means nothing.
                    let _ = caller.send(Ok(Timestamp::new(number)));
                }
            }
            Err(Failed::Final(cause)) => {
                for caller in callers.drain(..) {
                    let _ = caller.send(Err(cause.clone()));
                }
            }
            Err(Failed::Again(whom, what)) => {
                *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = (whom, what);
                sleep(self.backoff.pause(Reason::Scheduler)).await;
                callers.retain(|caller| !caller.is_closed());
            }
        }
    }

    /// Asks for so many, over the stream or a new one. Answers the last of them.
    async fn ask(&mut self, count: u32) -> Result<Timestamp, Failed> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.open().await?,
        };
        let limit = self.members.config().scheduler_attempt;
        let last = match timeout(limit, stream.exchange(count)).await {
            Ok(Ok(last)) if last.get() - u64::from(count - 1) > self.latest.get() => Ok(last),
            Ok(Ok(_)) => Err("time went back".to_owned()),
            Ok(Err(outcome)) => Err(outcome),
            Err(_) => Err("no timestamp in time".to_owned()),
        };
        match last {
            Ok(last) => {
                self.latest = last;
                self.stream = Some(stream);
                Ok(last)
            }
            Err(outcome) if is_foreign(&outcome) => {
                Err(Failed::Final(Cause::ForeignCluster(outcome)))
            }
            Err(outcome) => {
                self.members.forget(&stream.leader).await;
                Err(Failed::Again(stream.leader.url, outcome))
            }
        }
    }

    async fn open(&self) -> Result<Stream, Failed> {
        let leader = self.members.leader().await.map_err(|error| match error {
            NoLeader::Unknown(whom, what) => Failed::Again(whom, what),
            NoLeader::Final(cause) => Failed::Final(cause),
        })?;
        // One request is under way at a time, so there is never more than one in here.
        let (requests, receiver) = mpsc::channel(1);
        let mut stub = leader.stub.clone();
        let opened = stub.tso(ReceiverStream::new(receiver));
        let what = match timeout(self.members.config().scheduler_attempt, opened).await {
            Ok(Ok(responses)) => {
                return Ok(Stream { leader, requests, responses: responses.into_inner() });
            }
            Ok(Err(status)) => outcome(&status),
            Err(_) => "no stream in time".to_owned(),
        };
        self.members.forget(&leader).await;
        Err(Failed::Again(leader.url, what))
    }
}

impl Stream {
    /// One request and its answer.
    async fn exchange(&mut self, count: u32) -> Result<Timestamp, String> {
        let request = TsoRequest { header: self.leader.header, count };
        self.requests.send(request).await.map_err(|_| "the stream is closed".to_owned())?;
        let response = match self.responses.message().await {
            Ok(Some(response)) => response,
            Ok(None) => return Err("the stream has ended".to_owned()),
            Err(status) => return Err(outcome(&status)),
        };
        last_of(&response, count).ok_or_else(|| format!("{response:?} is no answer to {count}"))
    }
}

/// The last timestamp of an answer, if it answers this request: `count` of them, of one millisecond.
fn last_of(response: &TsoResponse, count: u32) -> Option<Timestamp> {
    let timestamp = response.timestamp.filter(|_| response.count == count)?;
    let last = Timestamp::compose(timestamp.physical, timestamp.logical)?;
    (last.logical() + 1 >= u64::from(count)).then_some(last)
}

#[cfg(test)]
mod tests {
    use proto::schedulerpb;

    use super::*;

    #[test]
    fn an_answer_must_have_room_for_all_that_were_asked_for() {
        let of = |count, physical, logical| TsoResponse {
            count,
            timestamp: Some(schedulerpb::Timestamp { physical, logical }),
            ..TsoResponse::default()
        };
        let cases = [
            (of(1, 5, 0), Timestamp::compose(5, 0)),
            (of(1, 5, 9), Timestamp::compose(5, 9)),
            (of(2, 5, 1), None),
            (of(1, -5, 1), None),
            (of(1, 5, 1 << 18), None),
            (TsoResponse { count: 1, ..TsoResponse::default() }, None),
        ];
        for (response, expected) in cases {
            assert_eq!(last_of(&response, 1), expected, "{response:?}");
        }
        assert_eq!(last_of(&of(3, 5, 1), 3), None, "only two fit before it");
        assert_eq!(last_of(&of(3, 5, 2), 3), Timestamp::compose(5, 2));
    }
}
