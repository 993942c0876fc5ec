//! The stream on which a store reports its regions, and hears what to do with them.
//!
//! Reports and answers have nothing to do with each other in time: the scheduler says something when it
//! wants something. So reporting is putting into a queue, and every answer goes to a handler.
//!
//! A report is good for a moment only, and the next one follows soon. Therefore nothing is kept for
//! certain: what finds the queue full is refused, what was under way when the stream broke is lost.

use std::sync::Arc;

use proto::schedulerpb::{RegionHeartbeatRequest, RegionHeartbeatResponse};
use runtime::Rng;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;

use super::members::{Leader, Members, NoLeader};
use super::{is_foreign, outcome};
use crate::backoff::{Backoff, Reason};
use crate::error::{Attempts, Cause, Error, Result};

/// Reports that wait for the stream; more are refused.
const WAITING_MAX: usize = 4096;

/// Reports that were handed to the connection and not taken by it.
const UNDER_WAY_MAX: usize = 64;

const OPERATION: &str = "report regions";

/// Where reports go. When the last clone is dropped, the stream ends.
#[derive(Clone)]
pub struct RegionHeartbeats {
    reports: mpsc::Sender<RegionHeartbeatRequest>,
}

/// A report was not taken: too many are waiting already. There will be a newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many reports wait for the scheduler")]
pub struct Unreported;

impl RegionHeartbeats {
    /// Reports a region. Never waits; the header is filled in when the report leaves.
    pub fn report(&self, report: RegionHeartbeatRequest) -> Result<(), Unreported> {
        self.reports.try_send(report).map_err(|_| Unreported)
    }

    pub(super) fn start<H>(members: Arc<Members>, rng: Rng, handler: H) -> Self
    where
        H: FnMut(Result<RegionHeartbeatResponse>) + Send + 'static,
    {
        let (reports, waiting) = mpsc::channel(WAITING_MAX);
        let stream = Stream { members, waiting, backoff: Backoff::new(rng), handler };
        tokio::spawn(stream.run());
        RegionHeartbeats { reports }
    }
}

struct Stream<H> {
    members: Arc<Members>,
    waiting: mpsc::Receiver<RegionHeartbeatRequest>,
    backoff: Backoff,
    handler: H,
}

/// How a stream ended.
enum End {
    /// Nobody reports any more.
    Done,
    /// Whom we talked to, and what was wrong.
    Broken(String, String),
}

impl<H: FnMut(Result<RegionHeartbeatResponse>) + Send> Stream<H> {
    /// One stream after the other. The handler hears of each that broke.
    async fn run(mut self) {
        while let End::Broken(whom, what) = self.talk().await {
            let is_foreign = is_foreign(&what);
            let cause =
                if is_foreign { Cause::ForeignCluster(what.clone()) } else { Cause::Exhausted };
            let mut attempts = Attempts::default();
            attempts.add(whom, what);
            (self.handler)(Err(Error::new(OPERATION, cause, attempts)));
            if is_foreign {
                return;
            }
            sleep(self.backoff.pause(Reason::Scheduler)).await;
            if self.waiting.is_closed() && self.waiting.is_empty() {
                return;
            }
        }
    }

    async fn talk(&mut self) -> End {
        let leader = match self.members.leader().await {
            Ok(leader) => leader,
            Err(NoLeader::Unknown(whom, what)) => return End::Broken(whom, what),
            Err(NoLeader::Final(cause)) => {
                return End::Broken("the scheduler".to_owned(), cause.to_string());
            }
        };
        let end = self.exchange(&leader).await;
        if let End::Broken(..) = end {
            self.members.forget(&leader).await;
        }
        end
    }

    async fn exchange(&mut self, leader: &Leader) -> End {
        let broken = |what: String| End::Broken(leader.url.clone(), what);
        let (sender, receiver) = mpsc::channel(UNDER_WAY_MAX);
        let mut stub = leader.stub.clone();
        let opened = stub.region_heartbeat(ReceiverStream::new(receiver));
        let mut answers = match timeout(self.members.config().scheduler_attempt, opened).await {
            Ok(Ok(answers)) => answers.into_inner(),
            Ok(Err(status)) => return broken(outcome(&status)),
            Err(_) => return broken("no stream in time".to_owned()),
        };
        loop {
            // A report is taken from the queue only when there is room for it further on.
            let next = async { (sender.reserve().await, self.waiting.recv().await) };
            tokio::select! {
                answer = answers.message() => match answer {
                    Ok(Some(answer)) => {
                        self.backoff.reset();
                        (self.handler)(Ok(answer));
                    }
                    Ok(None) => return broken("the stream has ended".to_owned()),
                    Err(status) => return broken(outcome(&status)),
                },
                (room, report) = next => match (room, report) {
                    (_, None) => return End::Done,
                    (Err(_), Some(_)) => return broken("the stream is closed".to_owned()),
                    (Ok(room), Some(report)) => {
                        room.send(RegionHeartbeatRequest { header: leader.header, ..report });
                    }
                },
            }
        }
    }
}
