//! From a key to an answer: find the region, ask its leader, learn from the refusal, ask again.
//!
//! ```text
//!            ┌───────────────────────────────────────────────┐
//!            v                                               │ pause
//!   key -> locate -> attempt -> failure? -> learn, and decide ┘
//!          cache,    one call,     │
//!          scheduler one limit     └ no: the answer
//! ```
//!
//! What is done for which failure is the table in [`failure`](crate::failure). Here is what all
//! operations share: the limits on time and attempts, the record of what was tried, and the care about
//! requests whose fate is unknown. Those differ in what an unknown fate means:
//!
//! | request | may it be repeated? | if its fate stays unknown |
//! |---|---|---|
//! | reads | yes | nothing happened |
//! | prewrite, rollback, status, resolve, commit of other keys | yes, the answer is the same | others find out |
//! | commit of the primary | yes, the answer is the same | **the operation is undetermined** |
//! | raw put, raw delete | no: another write may have come between | **the operation is undetermined** |
//! | split, change of peers | no: it would be refused for having been done | **the operation is undetermined** |

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use proto::kvrpcpb::Context;
use runtime::Rng;
use runtime::clock::Clock;
use tokio::time::error::Elapsed;
use tokio::time::{sleep, timeout};
use tonic::{Response, Status};

use crate::backoff::{Backoff, Reason};
use crate::config::Config;
use crate::error::{Attempts, Cause, Error, Result};
use crate::failure::{Failure, Fate, Lesson};
use crate::region_cache::{RegionCache, Route};
use crate::rpc::{Effect, Rpc, exchange};
use crate::scheduler::SchedulerClient;
use crate::stores::{Stores, Stub};
use crate::txn::resolve::Fates;

/// One thing that a caller wants, with everything that was tried for it.
pub(crate) struct Operation {
    name: &'static str,
    total: Duration,
    attempts_max: u32,
    attempts: Attempts,
    backoff: Backoff,
    /// A request that decides was sent, and nobody said what became of it.
    is_unknown: bool,
    /// Such a request is under way right now: if the time is over, its fate is unknown.
    is_under_way: bool,
}

impl Operation {
    /// How long it may take.
    pub(crate) fn total(&self) -> Duration {
        self.total
    }

    /// Another name, for the later part of a long operation.
    pub(crate) fn rename(&mut self, name: &'static str) {
        self.name = name;
    }

    /// Notes a failed attempt.
    pub(crate) fn note(&mut self, whom: impl Into<String>, failure: &impl ToString) {
        self.attempts.add(whom, failure.to_string());
    }

    /// Waits before the next attempt, if there may be one.
    pub(crate) async fn pause(&mut self, reason: Reason) -> Result<(), Cause> {
        self.pause_at_most(reason, Duration::MAX).await
    }

    /// The same, but not longer than this.
    pub(crate) async fn pause_at_most(
        &mut self,
        reason: Reason,
        most: Duration,
    ) -> Result<(), Cause> {
        if self.attempts.count() >= self.attempts_max {
            return Err(Cause::Exhausted);
        }
        sleep(self.backoff.pause(reason).min(most)).await;
        Ok(())
    }

    /// A request that decides is sent now, or has come back.
    pub(crate) fn set_under_way(&mut self, is_under_way: bool) {
        self.is_under_way = is_under_way;
    }

    /// Whether a request that decides may have been done although nobody said so.
    fn is_unknown(&self) -> bool {
        self.is_unknown || self.is_under_way
    }

    /// The outcome for the caller. What is unknown is said to be so, whatever came after it.
    pub(crate) fn end<T>(self, done: Result<Result<T, Cause>, Elapsed>) -> Result<T> {
        let cause = match done {
            Ok(Ok(value)) => return Ok(value),
            // Time is over, attempts are used up, or something went wrong that says nothing of the
            // request that was sent before.
            Ok(Err(_)) | Err(_) if self.is_unknown() => Cause::Undetermined,
            Ok(Err(cause)) => cause,
            Err(_) => Cause::Exhausted,
        };
        Err(Error::new(self.name, cause, self.attempts))
    }

    /// The fate became known after all.
    pub(crate) fn is_decided(&mut self) {
        (self.is_unknown, self.is_under_way) = (false, false);
    }
}

/// What all operations of a client share.
pub(crate) struct Requests {
    pub(crate) scheduler: SchedulerClient,
    pub(crate) config: Config,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) fates: Fates,
    regions: RegionCache,
    stores: Stores,
    rng: Mutex<Rng>,
}

/// What follows from a failed attempt.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    /// Another attempt, after a pause for this reason.
    Again(Reason),
    /// The end.
    Stop(Cause),
}

impl Requests {
    pub(crate) fn new(
        scheduler: SchedulerClient,
        config: Config,
        clock: Arc<dyn Clock>,
        rng: Rng,
    ) -> Self {
        let stores = Stores::new(scheduler.clone(), config.clone());
        Requests {
            scheduler,
            config,
            clock,
            fates: Fates::default(),
            regions: RegionCache::default(),
            stores,
            rng: Mutex::new(rng),
        }
    }

    /// Begins an operation.
    pub(crate) fn operation(&self, name: &'static str, total: Duration) -> Operation {
        let seed = self.rng.lock().unwrap_or_else(PoisonError::into_inner).next_u64();
        Operation {
            name,
            total,
            attempts_max: self.config.attempts_max,
            attempts: Attempts::default(),
            backoff: Backoff::new(Rng::new(seed)),
            is_unknown: false,
            is_under_way: false,
        }
    }

    /// Does an operation with all its attempts, within the time that one may take.
    pub(crate) async fn within<T>(
        &self,
        name: &'static str,
        attempt: impl AsyncFnOnce(&mut Operation) -> Result<T, Cause>,
    ) -> Result<T> {
        let mut operation = self.operation(name, self.config.operation_total);
        let done = timeout(operation.total(), attempt(&mut operation)).await;
        operation.end(done)
    }

    /// Asks a store, whatever regions it has.
    pub(crate) async fn ask<T, F>(
        &self,
        store: u64,
        call: impl FnOnce(Stub) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let limit = self.config.store_attempt;
        let answer = match self.stores.get(store).await {
            Ok(stub) => match timeout(limit, call(Stub::clone(&stub))).await {
                Ok(Ok(response)) => Ok(response.into_inner()),
                Ok(Err(status)) => Err(Failure::of_status(&status)),
                Err(_) => Err(Failure::of_silence(limit)),
            },
            Err(failure) => Err(failure),
        };
        if answer.is_err() {
            self.stores.forget(store);
        }
        answer
    }

    /// Sends a request to the region of a key, until it answers. The region is the one that did.
    pub(crate) async fn send<R: Rpc>(
        &self,
        operation: &mut Operation,
        key: &[u8],
        request: &R,
    ) -> Result<(R::Response, Arc<proto::metapb::Region>), Cause> {
        loop {
            let route = self.locate(operation, key).await?;
            operation.set_under_way(R::EFFECT != Effect::Harmless);
            let attempt = self.attempt(&route, request).await;
            operation.set_under_way(false);
            match attempt {
                Ok(response) => {
                    operation.backoff.answered();
                    return Ok((response, route.region));
                }
                Err(failure) => match self.judge::<R>(operation, &route, &failure) {
                    Next::Again(reason) => operation.pause(reason).await?,
                    Next::Stop(cause) => return Err(cause),
                },
            }
        }
    }

    /// Notes a failed attempt, learns from it, and says what follows.
    pub(crate) fn judge<R: Rpc>(
        &self,
        operation: &mut Operation,
        route: &Route,
        failure: &Failure,
    ) -> Next {
        operation.note(whom(route), failure);
        self.learn(route, failure);
        let is_unknown = failure.fate() == Fate::Unknown && R::EFFECT != Effect::Harmless;
        operation.is_unknown |= is_unknown;
        if is_unknown && R::EFFECT == Effect::Once {
            return Next::Stop(Cause::Undetermined);
        }
        match failure.pause() {
            Some(reason) => Next::Again(reason),
            None => Next::Stop(Cause::Refused(failure.to_string())),
        }
    }

    /// Where to send a request for this key.
    pub(crate) async fn locate(
        &self,
        operation: &mut Operation,
        key: &[u8],
    ) -> Result<Route, Cause> {
        loop {
            if let Some(route) = self.regions.find(key) {
                return Ok(route);
            }
            let failure = match self.scheduler.region(key).await {
                Ok(Some(found)) if found.region.contains(key) => {
                    match self.regions.put(found.region, found.leader) {
                        Some(route) => return Ok(route),
                        None => "the region has no peers".to_owned(),
                    }
                }
                Ok(Some(found)) => format!("region {} does not have the key", found.region.id),
                Ok(None) => "no region is known there".to_owned(),
                Err(error) if error.is_retryable() => error.to_string(),
                Err(error) => return Err(error.cause().clone()),
            };
            operation.note("the scheduler", &failure);
            operation.pause(Reason::Scheduler).await?;
        }
    }

    /// Sends a request once.
    pub(crate) async fn attempt<R: Rpc>(
        &self,
        route: &Route,
        request: &R,
    ) -> Result<R::Response, Failure> {
        let stub = self.stores.get(route.peer.store_id).await?;
        let region = Context {
            region_id: route.region.id,
            region_epoch: route.region.region_epoch,
            peer: Some(route.peer),
            term: 0,
        };
        let limit = self.config.store_attempt;
        let exchanged = timeout(limit, exchange(&stub, request, region)).await;
        let mut response = exchanged.unwrap_or_else(|_| Err(Failure::of_silence(limit)))?;
        match R::region_error(&mut response) {
            None => Ok(response),
            Some(error) => Err(Failure::of_region(*error)),
        }
    }

    /// Remembers what a failed attempt teaches.
    fn learn(&self, route: &Route, failure: &Failure) {
        match failure.lesson() {
            Lesson::Nothing => {}
            Lesson::Leader(leader) => self.regions.lead(route, &leader),
            Lesson::NextPeer => self.regions.next_peer(route),
            Lesson::ForgetRegion => self.regions.forget(route),
            Lesson::Regions(regions) => self.regions.learn(route, regions),
            Lesson::ForgetStore => self.stores.forget(route.peer.store_id),
            Lesson::ForgetStoreAndNextPeer => {
                self.stores.forget(route.peer.store_id);
                self.regions.next_peer(route);
            }
        }
    }
}

/// A response that says in words what is wrong, or nothing.
pub(crate) fn refusal(text: String) -> Result<(), Cause> {
    if text.is_empty() { Ok(()) } else { Err(Cause::Refused(text)) }
}

/// Who was asked, for people.
pub(crate) fn whom(route: &Route) -> String {
    format!("store {} for region {}", route.peer.store_id, route.region.id)
}

/// The longest key and the largest value that stores take.
const KEY_BYTES_MAX: usize = 8 << 10;
const VALUE_BYTES_MAX: usize = 6 << 20;

/// A key that something can be stored under.
pub(crate) fn check_key(key: &[u8]) -> Result<(), Cause> {
    match key.len() {
        0 => Err(Cause::Invalid("the key is empty".to_owned())),
        len if len > KEY_BYTES_MAX => {
            let text = format!("the key has {len} bytes, the limit is {KEY_BYTES_MAX}");
            Err(Cause::Invalid(text))
        }
        _ => Ok(()),
    }
}

/// A value that can be stored.
pub(crate) fn check_value(value: &[u8]) -> Result<(), Cause> {
    let len = value.len();
    if len > VALUE_BYTES_MAX {
        let text = format!("the value has {len} bytes, the limit is {VALUE_BYTES_MAX}");
        return Err(Cause::Invalid(text));
    }
    Ok(())
}

/// The first key after this one.
pub(crate) fn after(key: &[u8]) -> Bytes {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stores_take_is_sent() {
        assert!(check_key(b"k").is_ok() && check_key(&[0; 8 << 10]).is_ok());
        assert!(check_key(b"").is_err() && check_key(&[0; (8 << 10) + 1]).is_err());
        assert!(check_value(b"").is_ok() && check_value(&vec![0; 6 << 20]).is_ok());
        assert!(check_value(&vec![0; (6 << 20) + 1]).is_err());
        assert_eq!(after(b"a"), b"a\0"[..]);
    }
}
