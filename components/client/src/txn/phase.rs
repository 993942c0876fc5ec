//! One phase of a transaction: the same request to every region that has some of its keys.
//!
//! Keys are grouped by the regions we know, and each group is sent as one request or, if it is large, as
//! several. Those that fail are grouped anew: their region may have become two. What happens in a round
//! to one request is nothing to the others, because each may be repeated and none depends on another.

use std::sync::Arc;

use bytes::Bytes;
use proto::kvrpcpb::{
    BatchRollbackRequest, BatchRollbackResponse, CommitRequest, CommitResponse, KeyError, LockInfo,
    Mutation, PrewriteRequest, PrewriteResponse,
};
use tokio::task::JoinSet;

use super::encode;
use crate::backoff::Reason;
use crate::error::Cause;
use crate::failure::{Failure, KeyFailure};
use crate::region_cache::Route;
use crate::request::{Next, Operation, Requests};
use crate::rpc::Rpc;

/// Keys and values of one request; a single larger one goes alone.
pub(crate) const BATCH_BYTES: usize = 256 << 10;

/// Requests of one phase that are under way at a time.
const AT_A_TIME: usize = 16;

/// What to do with every key.
pub(crate) trait Phase: Clone + Send + Sync + 'static {
    /// What it needs of a key.
    type Item: Clone + Send + Sync + 'static;
    /// The request for some keys of one region.
    type Request: Rpc;

    /// The user key.
    fn key(item: &Self::Item) -> &Bytes;
    /// The bytes that it adds to a request.
    fn size(item: &Self::Item) -> usize;
    /// The request for these.
    fn request(&self, items: &[Self::Item]) -> Self::Request;
    /// What the states of the keys say against it.
    fn errors(response: <Self::Request as Rpc>::Response) -> Vec<KeyError>;
}

/// Locks keys, and lays their values down.
#[derive(Clone, Debug)]
pub(crate) struct Prewrite {
    pub(crate) primary: Bytes,
    pub(crate) start_ts: u64,
    pub(crate) ttl_ms: u64,
}

/// Makes writes visible.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Commit {
    pub(crate) start_ts: u64,
    pub(crate) commit_ts: u64,
}

/// Undoes a prewrite, also one that has not arrived yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rollback {
    pub(crate) start_ts: u64,
}

impl Phase for Prewrite {
    type Item = Mutation;
    type Request = PrewriteRequest;

    fn key(item: &Mutation) -> &Bytes {
        &item.key
    }

    fn size(item: &Mutation) -> usize {
        item.key.len() + item.value.len()
    }

    fn request(&self, items: &[Mutation]) -> PrewriteRequest {
        PrewriteRequest {
            context: None,
            mutations: items.to_vec(),
            primary_lock: self.primary.clone(),
            start_version: self.start_ts,
            lock_ttl: self.ttl_ms,
        }
    }

    fn errors(response: PrewriteResponse) -> Vec<KeyError> {
        response.errors
    }
}

impl Phase for Commit {
    type Item = Bytes;
    type Request = CommitRequest;

    fn key(item: &Bytes) -> &Bytes {
        item
    }

    fn size(item: &Bytes) -> usize {
        item.len()
    }

    fn request(&self, items: &[Bytes]) -> CommitRequest {
        CommitRequest {
            context: None,
            start_version: self.start_ts,
            keys: items.to_vec(),
            commit_version: self.commit_ts,
        }
    }

    fn errors(response: CommitResponse) -> Vec<KeyError> {
        response.error.into_iter().map(|error| *error).collect()
    }
}

impl Phase for Rollback {
    type Item = Bytes;
    type Request = BatchRollbackRequest;

    fn key(item: &Bytes) -> &Bytes {
        item
    }

    fn size(item: &Bytes) -> usize {
        item.len()
    }

    fn request(&self, items: &[Bytes]) -> BatchRollbackRequest {
        BatchRollbackRequest { context: None, start_version: self.start_ts, keys: items.to_vec() }
    }

    fn errors(response: BatchRollbackResponse) -> Vec<KeyError> {
        response.error.into_iter().map(|error| *error).collect()
    }
}

/// Keys of one region that go in one request.
pub(crate) struct Batch<I> {
    pub(crate) route: Route,
    pub(crate) items: Vec<I>,
}

/// What a request of a phase came to.
type Sent<P> = (Batch<<P as Phase>::Item>, Result<Vec<KeyError>, Failure>);

/// Groups keys, which are in order, by region and size.
pub(crate) async fn group<P: Phase>(
    requests: &Requests,
    operation: &mut Operation,
    items: Vec<P::Item>,
) -> Result<Vec<Batch<P::Item>>, Cause> {
    let mut batches: Vec<Batch<P::Item>> = Vec::new();
    let mut size = 0;
    for item in items {
        let key = encode(P::key(&item));
        let item_size = P::size(&item);
        match batches.last_mut() {
            Some(batch) if batch.route.region.contains(&key) && size + item_size <= BATCH_BYTES => {
                size += item_size;
                batch.items.push(item);
            }
            Some(_) | None => {
                let route = requests.locate(operation, &key).await?;
                size = item_size;
                batches.push(Batch { route, items: vec![item] });
            }
        }
    }
    Ok(batches)
}

/// Does a phase for all keys, which are in order.
pub(crate) async fn run<P: Phase>(
    requests: &Arc<Requests>,
    operation: &mut Operation,
    phase: &P,
    items: Vec<P::Item>,
) -> Result<(), Cause> {
    let mut pending = items;
    while !pending.is_empty() {
        let batches = group::<P>(requests, operation, pending).await?;
        let mut round = Round::default();
        for (batch, outcome) in send_all(requests, phase, batches).await {
            round.take::<P>(requests, operation, batch, outcome)?;
        }
        // A key comes back at its place, so that groups are as large as they can be.
        pending = round.again;
        pending.sort_by(|a, b| P::key(a).cmp(P::key(b)));
        requests.resolve(operation, round.locks).await?;
        if let Some(reason) = round.pause {
            operation.pause(reason).await?;
        }
    }
    Ok(())
}

/// What a round left to do.
struct Round<I> {
    again: Vec<I>,
    locks: Vec<LockInfo>,
    pause: Option<Reason>,
}

impl<I> Default for Round<I> {
    fn default() -> Self {
        Round { again: Vec::new(), locks: Vec::new(), pause: None }
    }
}

impl<I> Round<I> {
    fn take<P: Phase<Item = I>>(
        &mut self,
        requests: &Requests,
        operation: &mut Operation,
        batch: Batch<I>,
        outcome: Result<Vec<KeyError>, Failure>,
    ) -> Result<(), Cause> {
        match outcome {
            Ok(errors) => {
                if errors.is_empty() {
                    return Ok(());
                }
                for error in errors {
                    match KeyFailure::of(error) {
                        KeyFailure::Locked(lock) => self.locks.push(lock),
                        KeyFailure::Final(cause) => return Err(cause),
                    }
                }
            }
            Err(failure) => match requests.judge::<P::Request>(operation, &batch.route, &failure) {
                Next::Again(reason) => self.pause = Some(reason),
                Next::Stop(cause) => return Err(cause),
            },
        }
        self.again.extend(batch.items);
        Ok(())
    }
}

/// Sends every batch once, some at a time.
async fn send_all<P: Phase>(
    requests: &Arc<Requests>,
    phase: &P,
    mut batches: Vec<Batch<P::Item>>,
) -> Vec<Sent<P>> {
    if batches.len() == 1 {
        let batch = batches.remove(0);
        return vec![send(requests, phase, batch).await];
    }
    let mut sent = Vec::with_capacity(batches.len());
    let mut running = JoinSet::new();
    for batch in batches {
        if running.len() == AT_A_TIME {
            sent.extend(running.join_next().await.map(finished));
        }
        let (requests, phase) = (Arc::clone(requests), phase.clone());
        running.spawn(async move { send(&requests, &phase, batch).await });
    }
    while let Some(done) = running.join_next().await {
        sent.push(finished(done));
    }
    sent
}

async fn send<P: Phase>(requests: &Requests, phase: &P, batch: Batch<P::Item>) -> Sent<P> {
    let request = phase.request(&batch.items);
    let outcome = requests.attempt(&batch.route, &request).await;
    (batch, outcome.map(P::errors))
}

/// A task that was not aborted ends by returning, or by a panic that goes on here.
fn finished<T>(done: Result<T, tokio::task::JoinError>) -> T {
    match done {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
