//! Raw keys and values: each call stands alone, and what is written is there at once.
//!
//! A raw write is sent once. If nobody says what became of it, that is what the caller is told: sending
//! it again could undo what somebody else wrote in between.
//!
//! ```text
//!   we        put k=1 ──► (answer lost)              put k=1 again: k is 1, and their write is gone
//!   another                              put k=2 ──► ok
//! ```
//!
//! A write that was certainly not done (the store was no leader, nobody listened) is sent again.

use std::sync::Arc;

use bytes::Bytes;
use proto::kvrpcpb::{RawDeleteRequest, RawGetRequest, RawPutRequest, RawScanRequest};

use crate::error::Result;
use crate::request::{Operation, Requests, check_key, check_value, refusal};
use crate::walk::Walk;

/// Pairs in one answer of a store.
const PAGE: u32 = 1024;

/// Raw calls to a cluster. A cluster holds raw data or transactional data, not both.
#[derive(Clone)]
pub struct Raw {
    requests: Arc<Requests>,
}

impl Raw {
    pub(crate) fn new(requests: Arc<Requests>) -> Self {
        Raw { requests }
    }

    /// The value of a key. An empty value is a value.
    pub async fn get(&self, key: impl Into<Bytes>) -> Result<Option<Bytes>> {
        let key = key.into();
        let get = async |operation: &mut Operation| {
            check_key(&key)?;
            let request = RawGetRequest { key: key.clone(), ..RawGetRequest::default() };
            let (response, _) = self.requests.send(operation, &key, &request).await?;
            refusal(response.error)?;
            Ok((!response.not_found).then_some(response.value))
        };
        self.requests.within("get", get).await
    }

    /// Writes a key.
    pub async fn put(&self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Result<()> {
        let (key, value) = (key.into(), value.into());
        let put = async |operation: &mut Operation| {
            check_key(&key)?;
            check_value(&value)?;
            let (key, value) = (key.clone(), value.clone());
            let request = RawPutRequest { key, value, ..RawPutRequest::default() };
            let (response, _) = self.requests.send(operation, &request.key, &request).await?;
            refusal(response.error)
        };
        self.requests.within("put", put).await
    }

    /// Removes a key; that there is none is as good.
    pub async fn delete(&self, key: impl Into<Bytes>) -> Result<()> {
        let key = key.into();
        let delete = async |operation: &mut Operation| {
            check_key(&key)?;
            let request = RawDeleteRequest { key: key.clone(), ..RawDeleteRequest::default() };
            let (response, _) = self.requests.send(operation, &key, &request).await?;
            refusal(response.error)
        };
        self.requests.within("delete", delete).await
    }

    /// The first `limit` pairs from `start` on and before `end`; an empty `end` is the end of all. It is
    /// not one moment's state: each page is read when it is reached.
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
                let start_key = walk.start.clone();
                let request =
                    RawScanRequest { start_key, limit: page, ..RawScanRequest::default() };
                let sent = self.requests.send(operation, &walk.start, &request);
                let (response, region) = sent.await?;
                refusal(response.error)?;
                let is_full = response.kvs.len() >= page as usize;
                let last = response.kvs.last().map(|pair| pair.key.clone());
                let wanted = response.kvs.into_iter().filter(|pair| walk.has(&pair.key));
                pairs.extend(wanted.map(|pair| (pair.key, pair.value)));
                walk.turn(last.as_ref(), is_full, &region.end_key);
            }
            Ok(pairs)
        };
        self.requests.within("scan", scan).await
    }
}
