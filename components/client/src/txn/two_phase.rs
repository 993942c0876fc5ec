//! Committing: two phases, and one moment between them.
//!
//! ```text
//!   prewrite   a  b  c        lock every key, lay the values down; a is the primary
//!   timestamp  ts             greater than that of every read that did not see the locks
//!   commit     a       <----  the moment: before it nothing is written, after it everything is
//!   commit        b  c        only tells others what is already true; may be left to them
//! ```
//!
//! What goes wrong *before* the moment ends the transaction: its locks are rolled back, in the
//! background, and the caller is told that nothing was written. What goes wrong *after* it does not
//! matter to the caller, who has been told that everything was. And if nobody says whether the moment
//! came, the caller is told just that, and nothing is rolled back: [`Cause::Undetermined`].
//!
//! A lost answer alone does not make a commit undetermined. Committing may be repeated, and the answer
//! to a repetition is the answer: the primary is committed, or it was rolled back for ever. It is
//! undetermined when no repetition is answered in the time there is.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proto::kvrpcpb::{CommitRequest, Mutation};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::buffer::Buffer;
use super::encode;
use super::phase::{self, BATCH_BYTES, Commit, Phase, Prewrite, Rollback};
use crate::error::{Cause, Result};
use crate::failure::KeyFailure;
use crate::request::{Next, Operation, Requests};
use crate::timestamp::Timestamp;

/// How long a small transaction's locks live at least.
const TTL_MIN: Duration = Duration::from_secs(3);

/// How long a large transaction's locks live at most.
const TTL_MAX: Duration = Duration::from_mins(2);

/// A transaction that was committed.
#[derive(Debug)]
pub struct Committed {
    at: Option<Timestamp>,
    rest: Option<JoinHandle<()>>,
}

impl Committed {
    /// There was nothing to commit.
    pub(super) fn nothing() -> Self {
        Committed { at: None, rest: None }
    }

    /// When; `None` if it wrote nothing.
    pub fn at(&self) -> Option<Timestamp> {
        self.at
    }

    /// Waits until all its keys have been told, which nobody needs to: who meets one that has not finds
    /// out. A process that is about to end spares others that work.
    pub async fn settled(self) {
        if let Some(rest) = self.rest {
            // It was aborted with its runtime, or it is done.
            let _ = rest.await;
        }
    }
}

/// A transaction on its way.
struct Commission {
    requests: Arc<Requests>,
    start_ts: Timestamp,
    primary: Bytes,
    keys: Vec<Bytes>,
}

/// Commits what a transaction wants. `age` is how long ago it began.
pub(super) async fn commit(
    requests: Arc<Requests>,
    start_ts: Timestamp,
    buffer: Buffer,
    age: Duration,
) -> Result<Committed> {
    let mutations = buffer.into_mutations();
    let keys: Vec<Bytes> = mutations.iter().map(|mutation| mutation.key.clone()).collect();
    let Some(primary) = keys.first().cloned() else { return Ok(Committed::nothing()) };
    let ttl = ttl(mutations.iter().map(Prewrite::size).sum(), age);
    let commission = Commission { requests, start_ts, primary, keys };

    let commit_ts = match commission.prepare(mutations, ttl).await {
        Ok(commit_ts) => commit_ts,
        Err(error) => {
            commission.roll_back();
            return Err(error);
        }
    };
    match commission.decide(commit_ts).await {
        Ok(told) => {
            let rest = commission.tell_the_rest(commit_ts, told);
            Ok(Committed { at: Some(commit_ts), rest })
        }
        Err(error) => {
            if !error.is_undetermined() {
                commission.roll_back();
            }
            Err(error)
        }
    }
}

impl Commission {
    /// Everything before the moment. Answers the timestamp to commit at.
    async fn prepare(&self, mutations: Vec<Mutation>, ttl: Duration) -> Result<Timestamp> {
        let total = self.requests.config.operation_total;
        let mut operation = self.requests.operation("prewrite", total);
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let start_ts = self.start_ts.get();
        let prewrite = Prewrite { primary: self.primary.clone(), start_ts, ttl_ms };
        let done = async {
            phase::run(&self.requests, &mut operation, &prewrite, mutations).await?;
            operation.rename("take the timestamp of a commit");
            let taken = self.requests.scheduler.timestamp().await;
            let commit_ts = taken.map_err(|error| {
                operation.note("the scheduler", &error);
                error.cause().clone()
            })?;
            if commit_ts <= self.start_ts {
                let text = format!("time went back from {} to {commit_ts}", self.start_ts);
                return Err(Cause::Malformed(text));
            }
            Ok(commit_ts)
        };
        let done = timeout(total, done).await;
        operation.end(done)
    }

    /// The moment: commits the primary, and the keys that fit beside it. Answers how many.
    async fn decide(&self, commit_ts: Timestamp) -> Result<usize> {
        let total = self.requests.config.commit_total;
        let mut operation = self.requests.operation("commit", total);
        let done = timeout(total, self.try_decide(&mut operation, commit_ts)).await;
        operation.end(done)
    }

    async fn try_decide(
        &self,
        operation: &mut Operation,
        commit_ts: Timestamp,
    ) -> Result<usize, Cause> {
        let commit = Commit { start_ts: self.start_ts.get(), commit_ts: commit_ts.get() };
        let primary = encode(&self.primary);
        loop {
            let route = self.requests.locate(operation, &primary).await?;
            let keys = self.beside_the_primary(|key| route.region.contains(key));
            operation.set_under_way(true);
            let attempt = self.requests.attempt(&route, &commit.request(&keys)).await;
            operation.set_under_way(false);
            let failure = match attempt {
                Ok(response) => match response.error {
                    None => return Ok(keys.len()),
                    Some(error) => return Err(refusal(operation, KeyFailure::of(*error))),
                },
                Err(failure) => failure,
            };
            match self.requests.judge::<CommitRequest>(operation, &route, &failure) {
                Next::Again(reason) => operation.pause(reason).await?,
                Next::Stop(cause) => return Err(cause),
            }
        }
    }

    /// The primary, which is the first key, and the keys after it that are in its region, as far as they
    /// fit into one request. They are committed with it or not at all.
    fn beside_the_primary(&self, is_in_region: impl Fn(&[u8]) -> bool) -> Vec<Bytes> {
        let mut size = 0;
        let fits = |key: &&Bytes| {
            size += key.len();
            **key == self.primary || (size <= BATCH_BYTES && is_in_region(&encode(key)))
        };
        self.keys.iter().take_while(fits).cloned().collect()
    }

    /// After the moment: commits the other keys, in the background.
    fn tell_the_rest(self, commit_ts: Timestamp, told: usize) -> Option<JoinHandle<()>> {
        let rest = self.keys[told..].to_vec();
        let commit = Commit { start_ts: self.start_ts.get(), commit_ts: commit_ts.get() };
        (!rest.is_empty()).then(|| self.in_background("commit the other keys", commit, rest))
    }

    /// Removes the locks, in the background, and keeps late ones out.
    fn roll_back(self) {
        let keys = self.keys.clone();
        let rollback = Rollback { start_ts: self.start_ts.get() };
        drop(self.in_background("roll back", rollback, keys));
    }

    /// If it does not succeed, whoever meets the locks does it.
    fn in_background<P>(self, name: &'static str, phase: P, keys: Vec<Bytes>) -> JoinHandle<()>
    where
        P: Phase<Item = Bytes>,
    {
        let requests = self.requests;
        tokio::spawn(async move {
            let mut operation = requests.operation(name, requests.config.operation_total);
            let total = operation.total();
            let run = phase::run(&requests, &mut operation, &phase, keys);
            let _ = timeout(total, run).await;
        })
    }
}

/// What the primary's state says against the commit.
fn refusal(operation: &mut Operation, failure: KeyFailure) -> Cause {
    match failure {
        // It was rolled back there for ever, so no earlier attempt can have committed it.
        KeyFailure::Final(cause @ Cause::RolledBack(_)) => {
            operation.is_decided();
            cause
        }
        KeyFailure::Final(cause) => cause,
        KeyFailure::Locked(lock) => {
            let text = format!("a commit met the lock of {}", lock.lock_version);
            Cause::Malformed(text)
        }
    }
}

/// How long locks shall live: for as long as the transaction is old, and as sending it may take.
fn ttl(bytes: usize, age: Duration) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "a size that large is refused long before")]
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    let sending = Duration::from_secs_f64(6.0 * mebibytes.sqrt());
    sending.clamp(TTL_MIN, TTL_MAX) + age
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_live_longer_for_large_and_for_old_transactions() {
        let seconds = Duration::from_secs;
        let cases = [
            (0, seconds(0), seconds(3)),
            (100, seconds(7), seconds(10)),
            (1 << 20, seconds(0), seconds(6)),
            (4 << 20, seconds(1), seconds(13)),
            (1 << 40, seconds(1), seconds(121)),
        ];
        for (bytes, age, expected) in cases {
            assert_eq!(ttl(bytes, age), expected, "{bytes} {age:?}");
        }
    }
}
