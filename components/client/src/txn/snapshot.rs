//! Reading the state of one moment.
//!
//! A snapshot is a timestamp and nothing else: it sees what was committed before or at it, now and
//! whenever it asks again. A lock that is older than it may be a commit that it must see, so it finds out
//! what became of that transaction before it reads on; a younger one does not concern it.

use std::sync::Arc;

use bytes::Bytes;
use proto::kvrpcpb::{GetRequest, KvPair, ScanRequest};

use super::{decode, encode};
use crate::error::{Cause, Result};
use crate::failure::KeyFailure;
use crate::request::{Operation, Requests, check_key};
use crate::timestamp::Timestamp;
use crate::walk::Walk;

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
        let get = async |operation: &mut Operation| self.try_get(operation, key.clone()).await;
        self.requests.within("get", get).await
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
        let scan = async |operation: &mut Operation| {
            let (mut walk, mut pairs) = (Walk::new(range.clone(), PAGE), Vec::new());
            while let Some(page) = walk.next(limit.saturating_sub(pairs.len())) {
                let (start_key, version) = (walk.start.clone(), self.version.get());
                let request =
                    ScanRequest { start_key, limit: page, version, ..ScanRequest::default() };
                let place = encode(&walk.start);
                let (response, region) = self.requests.send(operation, &place, &request).await?;
                let is_full = response.pairs.len() >= page as usize;
                let last = self.take(operation, response.pairs, &walk, &mut pairs).await?;
                if last.as_ref().is_some_and(|key| !walk.has(key)) {
                    break;
                }
                let is_known = is_full || region.end_key.is_empty();
                let region_end = if is_known { Bytes::new() } else { decode(&region.end_key)? };
                walk.turn(last.as_ref(), is_full, &region_end);
            }
            Ok(pairs)
        };
        self.requests.within("scan", scan).await
    }

    /// Takes the pairs of a page as far as the walk goes. Answers the last key that it looked at.
    async fn take(
        &self,
        operation: &mut Operation,
        page: Vec<KvPair>,
        walk: &Walk,
        pairs: &mut Vec<(Bytes, Bytes)>,
    ) -> Result<Option<Bytes>, Cause> {
        let mut last = None;
        for pair in page {
            let row = match pair.error.map(|error| KeyFailure::of(*error)) {
                None => Row::Value(pair.key, pair.value),
                Some(KeyFailure::Locked(lock)) => Row::Locked(lock.key),
                Some(KeyFailure::Final(cause)) => return Err(cause),
            };
            last = Some(row.key().clone());
            if !walk.has(row.key()) {
                break;
            }
            // A locked row is read by itself, which finds out about the lock.
            let pair = match row {
                Row::Value(key, value) => Some((key, value)),
                Row::Locked(key) => {
                    self.try_get(operation, key.clone()).await?.map(|value| (key, value))
                }
            };
            pairs.extend(pair);
        }
        Ok(last)
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
