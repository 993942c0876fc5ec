//! The scheduler, as those who call it see it: stores, clients and tools.
//!
//! A [`SchedulerClient`] hides that there may be several schedulers, that one of them leads, and that
//! each of them may be away for a while: it finds the leader, stays with it until a call fails, looks
//! again, and repeats the call, with pauses, until the call's time is over.
//!
//! Repeating is safe for every call of the scheduler. Reading changes nothing, reports replace each
//! other, a safe point only rises, an id that nobody heard of is never given again. Founding a cluster is
//! the one that needs thought, see [`bootstrap`](SchedulerClient::bootstrap). So no error of this module
//! is ever undetermined.
//!
//! | answer | what it is to us |
//! |---|---|
//! | a value | done |
//! | an error in the header | done: what it says is the cause |
//! | status `UNAVAILABLE`, `DEADLINE_EXCEEDED`, `CANCELLED`, `UNKNOWN`, `INTERNAL`, `RESOURCE_EXHAUSTED`, or none in time | the leader is looked for again, after a pause |
//! | status `FAILED_PRECONDITION` with `mismatch cluster id` | done: somebody else's scheduler |
//! | status `NOT_FOUND` | done: there is no such thing |
//! | any other status | done: refused |
//!
//! Two calls are streams: timestamps, which all callers of a process share, and the
//! [reports of regions](self::heartbeats).

mod calls;
pub mod heartbeats;
mod members;
mod timestamps;

use std::sync::{Arc, Mutex, PoisonError};

use proto::schedulerpb::scheduler_client::SchedulerClient as Stub;
use proto::schedulerpb::{ErrorType, RegionHeartbeatResponse, RequestHeader, ResponseHeader};
use runtime::Rng;
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use self::heartbeats::RegionHeartbeats;
use self::members::{Leader, Members, NoLeader};
use self::timestamps::Timestamps;
use crate::backoff::{Backoff, Reason};
use crate::config::Config;
use crate::dial::{urls, whole};
use crate::error::{Attempts, Cause, Error, Result};
use crate::timestamp::Timestamp;

/// Calls of the scheduler, wherever it is. Clones share one connection.
#[derive(Clone)]
pub struct SchedulerClient {
    members: Arc<Members>,
    timestamps: Timestamps,
    rng: Arc<Mutex<Rng>>,
}

/// A region, and who leads it, as the scheduler knows them.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionAndLeader {
    /// The region.
    pub region: proto::metapb::Region,
    /// Its leader, once one has reported.
    pub leader: Option<proto::metapb::Peer>,
}

impl SchedulerClient {
    /// Connects to the leader of the schedulers at these addresses, as `127.0.0.1:2379` or
    /// `http://127.0.0.1:2379`, each of which may also be a list with commas. Keeps trying for as long
    /// as a call may take.
    ///
    /// Must be called inside of an async runtime, where it leaves a task; chance comes from `rng`.
    pub async fn connect(addresses: &[&str], config: Config, rng: Rng) -> Result<Self> {
        const OPERATION: &str = "connect to the scheduler";
        let given = urls(addresses.iter().copied());
        let given = given.map_err(|what| Error::unsent(OPERATION, Cause::Invalid(what)))?;
        let members = Arc::new(Members::new(given, config));
        let timestamps = Timestamps::start(Arc::clone(&members), rng.fork("timestamps"));
        let client = SchedulerClient { members, timestamps, rng: Arc::new(Mutex::new(rng)) };
        let mut attempts = Attempts::default();
        let found = client.find_leader(&mut attempts);
        match timeout(client.members.config().scheduler_total, found).await {
            Ok(Ok(())) => Ok(client),
            Ok(Err(cause)) => Err(Error::new(OPERATION, cause, attempts)),
            Err(_) => Err(Error::new(OPERATION, Cause::Exhausted, attempts)),
        }
    }

    /// Which cluster this is.
    pub fn cluster_id(&self) -> u64 {
        self.members.cluster().expect("a client exists once it has found the leader")
    }

    /// The next timestamp: greater than every one that was given before this call.
    pub async fn timestamp(&self) -> Result<Timestamp> {
        let limit = self.members.config().scheduler_total;
        let cause = match timeout(limit, self.timestamps.next()).await {
            Ok(Ok(timestamp)) => return Ok(timestamp),
            Ok(Err(cause)) => cause,
            Err(_) => Cause::Exhausted,
        };
        let mut attempts = Attempts::default();
        let (whom, what) = self.timestamps.trouble();
        attempts.add(whom, what);
        Err(Error::new("take a timestamp", cause, attempts))
    }

    /// Opens the stream on which regions are reported. Every answer goes to `handler`, and so does the
    /// error of a stream that broke, which is opened again; after an answer of a foreign cluster, it is
    /// not. The handler runs on the async runtime and must not block.
    pub fn region_heartbeats<H>(&self, handler: H) -> RegionHeartbeats
    where
        H: FnMut(Result<RegionHeartbeatResponse>) + Send + 'static,
    {
        RegionHeartbeats::start(Arc::clone(&self.members), self.chance(), handler)
    }

    /// Chance for one operation, independent of all others.
    fn chance(&self) -> Rng {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        Rng::new(rng.next_u64())
    }

    async fn find_leader(&self, attempts: &mut Attempts) -> Result<(), Cause> {
        let mut backoff = Backoff::new(self.chance());
        loop {
            match self.members.leader().await {
                Ok(_) => return Ok(()),
                Err(NoLeader::Final(cause)) => return Err(cause),
                Err(NoLeader::Unknown(whom, what)) => attempts.add(whom, what),
            }
            sleep(backoff.pause(Reason::Scheduler)).await;
        }
    }

    /// Makes a call until it is answered, or its time is over.
    async fn call<T, F>(
        &self,
        operation: &'static str,
        send: impl Fn(Stub<Channel>, Option<RequestHeader>) -> F,
    ) -> Result<T>
    where
        T: Answer,
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let config = self.members.config();
        let mut attempts = Attempts::default();
        let mut backoff = Backoff::new(self.chance());
        let all = async {
            while attempts.count() < config.attempts_max {
                match self.attempt(&send).await {
                    Ok(answer) => return Ok(answer),
                    Err(Attempt::Final(cause)) => return Err(cause),
                    Err(Attempt::Again(whom, what)) => attempts.add(whom, what),
                }
                sleep(backoff.pause(Reason::Scheduler)).await;
            }
            Err(Cause::Exhausted)
        };
        let done = timeout(config.scheduler_total, all).await;
        done.unwrap_or(Err(Cause::Exhausted))
            .map_err(|cause| Error::new(operation, cause, attempts))
    }

    async fn attempt<T, F>(
        &self,
        send: &impl Fn(Stub<Channel>, Option<RequestHeader>) -> F,
    ) -> Result<T, Attempt>
    where
        T: Answer,
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let leader = match self.members.leader().await {
            Ok(leader) => leader,
            Err(NoLeader::Unknown(whom, what)) => return Err(Attempt::Again(whom, what)),
            Err(NoLeader::Final(cause)) => return Err(Attempt::Final(cause)),
        };
        let Leader { stub, header, .. } = leader.clone();
        let failed =
            match timeout(self.members.config().scheduler_attempt, send(stub, header)).await {
                Ok(Ok(response)) => {
                    let answer = response.into_inner();
                    return match refusal(answer.header()) {
                        None => Ok(answer),
                        Some(cause) => Err(Attempt::Final(cause)),
                    };
                }
                Ok(Err(status)) => judge(&status),
                Err(_) => Err("no answer in time".to_owned()),
            };
        match failed {
            Ok(cause) => Err(Attempt::Final(cause)),
            Err(what) => {
                self.members.forget(&leader).await;
                Err(Attempt::Again(leader.url, what))
            }
        }
    }
}

/// How an attempt failed.
enum Attempt {
    /// Whom we asked, and what was wrong: the next one may succeed.
    Again(String, String),
    /// The call is over.
    Final(Cause),
}

/// What every response has.
trait Answer {
    fn header(&self) -> Option<&ResponseHeader>;
}

/// What a header says against a request. One without an error, or with error `OK`, says nothing.
fn refusal(header: Option<&ResponseHeader>) -> Option<Cause> {
    let error = header?.error.as_ref()?;
    let message = || error.message.clone();
    match ErrorType::try_from(error.r#type) {
        Ok(ErrorType::Ok) => None,
        Ok(ErrorType::NotBootstrapped) => Some(Cause::NotBootstrapped),
        Ok(ErrorType::AlreadyBootstrapped) => Some(Cause::AlreadyBootstrapped),
        Ok(ErrorType::StoreTombstone) => Some(Cause::Tombstone(message())),
        Ok(ErrorType::RegionNotFound) => Some(Cause::NotFound(message())),
        Ok(ErrorType::Unknown | ErrorType::IncompatibleVersion) | Err(_) => {
            Some(Cause::Refused(message()))
        }
    }
}

/// Whether a status ends the call, with this cause; or what was wrong with the attempt.
fn judge(status: &Status) -> Result<Cause, String> {
    let message = status.message().to_owned();
    match status.code() {
        Code::FailedPrecondition if is_foreign(&message) => Ok(Cause::ForeignCluster(message)),
        Code::NotFound => Ok(Cause::NotFound(message)),
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Cancelled
        | Code::Unknown
        | Code::Internal
        | Code::ResourceExhausted => Err(outcome(status)),
        Code::Ok
        | Code::InvalidArgument
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss
        | Code::Unauthenticated => Ok(Cause::Refused(message)),
    }
}

/// Whether a scheduler said that the request is for another cluster. It says so in these words only.
fn is_foreign(message: &str) -> bool {
    message.contains("mismatch cluster id")
}

/// A failed attempt, for people.
fn outcome(status: &Status) -> String {
    match std::error::Error::source(status) {
        Some(source) => whole(source),
        None => status.message().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proto::schedulerpb;

    use super::*;

    #[test]
    fn headers_end_calls_with_what_they_say() {
        let header = |kind: i32| ResponseHeader {
            cluster_id: 1,
            error: Some(schedulerpb::Error { r#type: kind, message: "why".to_owned() }),
        };
        let of = |kind: ErrorType| refusal(Some(&header(kind.into())));
        assert_eq!(refusal(None), None);
        assert_eq!(refusal(Some(&ResponseHeader::default())), None);
        assert_eq!(of(ErrorType::Ok), None);
        assert_eq!(of(ErrorType::NotBootstrapped), Some(Cause::NotBootstrapped));
        assert_eq!(of(ErrorType::AlreadyBootstrapped), Some(Cause::AlreadyBootstrapped));
        assert_eq!(of(ErrorType::StoreTombstone), Some(Cause::Tombstone("why".to_owned())));
        assert_eq!(of(ErrorType::RegionNotFound), Some(Cause::NotFound("why".to_owned())));
        let refused = Some(Cause::Refused("why".to_owned()));
        assert_eq!(of(ErrorType::Unknown), refused);
        assert_eq!(of(ErrorType::IncompatibleVersion), refused);
        assert_eq!(refusal(Some(&header(99))), refused, "one that is not known yet");
    }

    /// Every code there is, and whether it is worth another attempt.
    #[test]
    fn every_status_is_final_or_worth_another_attempt() {
        let again = [
            Code::Unavailable,
            Code::DeadlineExceeded,
            Code::Cancelled,
            Code::Unknown,
            Code::Internal,
            Code::ResourceExhausted,
        ];
        for code in (0..=16).map(Code::from) {
            let judged = judge(&Status::new(code, "why"));
            assert_eq!(judged.is_err(), again.contains(&code), "{code:?}");
        }
        let not_found = judge(&Status::not_found("no store"));
        assert_eq!(not_found, Ok(Cause::NotFound("no store".to_owned())));
        let text = "mismatch cluster id, need 1 but got 2";
        let foreign = judge(&Status::failed_precondition(text));
        assert_eq!(foreign, Ok(Cause::ForeignCluster(text.to_owned())));
        let other = judge(&Status::failed_precondition("too early"));
        assert_eq!(other, Ok(Cause::Refused("too early".to_owned())));
    }
}
