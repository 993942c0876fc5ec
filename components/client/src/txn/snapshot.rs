//! Reading the state of one moment.
//!
//! A snapshot is a timestamp and nothing else: it sees what was committed before or at it, now and
//! whenever it asks again. A lock that is older than it may be a commit that it must see, so it finds out
//! what became of that transaction before it reads on; a younger one does not concern it.

use std::sync::Arc;

use bytes::Bytes;
use proto::kvrpcpb::{GetRequest, ScanRequest};
use tokio::time::timeout;

use super::{decode, encode};
use crate::error::{Cause, Result};
use crate::failure::KeyFailure;
use crate::request::{Operation, Requests, after, check_key};
use crate::timestamp::Timestamp;

/// Pairs in one answer of a store.
const PAGE: u32 = 256;

/// The state of the cluster as of one moment.
#[derive(Clone)]
pub struct Snapshot {
    requests: Arc<Requests>,
    version: Timestamp,
}

impl Snapshot {
    pub(crate) fn new(requests: Arc<Requests>, version: Timestamp) -> Self {
        Snapshot { requests, version }
    }

    /// Its moment.
    pub fn version(&self) -> Timestamp {
        self.version
    }

    /// The value of a key, at that moment.
    pub async fn get(&self, key: impl Into<Bytes>) -> Result<Option<Bytes>> {
        let key = key.into();
        let mut operation = self.operation("get");
        let total = operation.total();
        let done = timeout(total, self.try_get(&mut operation, key)).await;
        operation.end(done)
    }

    pub(super) async fn try_get(
        &self,
        operation: &mut Operation,
        key: Bytes,
    ) -> Result<Option<Bytes>, Cause> {
        check_key(&key)?;
        let encoded = encode(&key);
        let version = self.version.get();
        let request = GetRequest { key, version, ..GetRequest::default() };
        loop {
            let (response, _) = self.requests.send(operation, &encoded, &request).await?;
            match response.error.map(|error| KeyFailure::of(*error)) {
                None => return Ok((!response.not_found).then_some(response.value)),
                Some(KeyFailure::Locked(lock)) => {
                    self.requests.resolve(operation, vec![lock]).await?;
                }
                Some(KeyFailure::Final(cause)) => return Err(cause),
            }
        }
    }

    /// The first `limit` pairs from `start` on and before `end`, at that moment; an empty `end` is the
    /// end of all.
    pub async fn scan(
        &self,
        start: impl Into<Bytes>,
        end: impl Into<Bytes>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>> {
        let range = (start.into(), end.into());
        let mut operation = self.operation("scan");
        let total = operation.total();
        let done = timeout(total, self.try_scan(&mut operation, range, limit)).await;
        operation.end(done)
    }

    async fn try_scan(
        &self,
        operation: &mut Operation,
        (mut start, end): (Bytes, Bytes),
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, Cause> {
        let mut pairs = Vec::new();
        while pairs.len() < limit && proto::region::is_before_end(&start, &end) {
            let page = u32::try_from(limit - pairs.len()).unwrap_or(PAGE).min(PAGE);
            let request = ScanRequest {
                start_key: start.clone(),
                limit: page,
                version: self.version.get(),
                ..ScanRequest::default()
            };
            let (response, region) =
                self.requests.send(operation, &encode(&start), &request).await?;
            let found = response.pairs.len();
            let mut last = None;
            for pair in response.pairs {
                let row = match pair.error.map(|error| KeyFailure::of(*error)) {
                    None => Row::Value(pair.key, pair.value),
                    Some(KeyFailure::Locked(lock)) => Row::Locked(lock.key),
                    Some(KeyFailure::Final(cause)) => return Err(cause),
                };
                let key = row.key();
                if !proto::region::is_before_end(key, &end) {
                    return Ok(pairs);
                }
                last = Some(after(key));
                // A locked row is read by itself, which finds out about the lock.
                let pair = match row {
                    Row::Value(key, value) => Some((key, value)),
                    Row::Locked(key) => {
                        self.try_get(operation, key.clone()).await?.map(|value| (key, value))
                    }
                };
                pairs.extend(pair);
            }
            // Fewer than asked for means that the region has no more.
            start = match last.filter(|_| found >= page as usize) {
                Some(next) => next,
                None if region.end_key.is_empty() => break,
                None => decode(&region.end_key)?,
            };
        }
        Ok(pairs)
    }

    fn operation(&self, name: &'static str) -> Operation {
        self.requests.operation(name, self.requests.config.operation_total)
    }
}

/// A row of a page.
enum Row {
    Value(Bytes, Bytes),
    Locked(Bytes),
}

impl Row {
    fn key(&self) -> &Bytes {
        match self {
            Row::Value(key, _) | Row::Locked(key) => key,
        }
    }
}
