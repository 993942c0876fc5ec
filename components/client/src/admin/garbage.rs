//! The three steps of collecting old versions, a region at a time.

use bytes::Bytes;
use proto::tinykvext::{CollectGarbageRequest, ScanLocksRequest, UpdateSafePointRequest};

use super::{Admin, at};
use crate::error::{Cause, Error, Result};
use crate::request::{Operation, refusal};
use crate::timestamp::Timestamp;
use crate::txn::{decode, encode};

/// Locks in one answer of a store.
const PAGE: u32 = 256;

/// A region without locks of old transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The region.
    pub region: u64,
    /// How many locks were found in it.
    pub locks: u64,
    /// Where the next region begins; empty if this was the last one.
    pub next: Bytes,
}

/// A region without old versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collected {
    /// The region.
    pub region: u64,
    /// How many records went.
    pub removed: u64,
    /// Where the next region begins; empty if this was the last one.
    pub next: Bytes,
}

impl Admin {
    /// Raises the safe point of a store, which never falls. Answers what it is now.
    pub async fn raise_safe_point(&self, store: u64, safe_point: Timestamp) -> Result<Timestamp> {
        let request = UpdateSafePointRequest { safe_point: safe_point.get() };
        let raise = async |operation: &mut Operation| {
            loop {
                let ask = self.requests.ask(store, |mut stub| async move {
                    stub.ext.update_safe_point(request).await
                });
                match ask.await {
                    Ok(response) => return Ok(Timestamp::new(response.new_safe_point)),
                    Err(failure) => {
                        operation.note(at(store), &failure);
                        let Some(reason) = failure.pause() else {
                            return Err(Cause::Refused(failure.to_string()));
                        };
                        operation.pause(reason).await?;
                    }
                }
            }
        };
        self.requests.within("raise the store's safe point", raise).await
    }

    /// Ends the transactions that began at or before `upto` and have locks in the region at `start`,
    /// which is in the form of regions.
    pub async fn resolve_locks(&self, start: &[u8], upto: Timestamp) -> Result<Resolved> {
        let mut locks = 0;
        let mut from = if start.is_empty() { Bytes::new() } else { boundary(start)? };
        loop {
            // Each page has its own time: a region may have many.
            let page =
                async |operation: &mut Operation| self.resolve_page(operation, &from, upto).await;
            let page = self.requests.within("resolve old locks", page).await?;
            locks += page.found;
            match page.on {
                Next::Page(key) => from = key,
                Next::Region(region, next) => return Ok(Resolved { region, locks, next }),
            }
        }
    }

    /// Looks until it finds no more locks on a page.
    async fn resolve_page(
        &self,
        operation: &mut Operation,
        from: &Bytes,
        upto: Timestamp,
    ) -> Result<Page, Cause> {
        let mut found = 0;
        loop {
            let request = ScanLocksRequest {
                context: None,
                start_key: from.clone(),
                max_version: upto.get(),
                limit: PAGE,
            };
            let place = if from.is_empty() { Bytes::new() } else { encode(from) };
            let (response, region) = self.requests.send(operation, &place, &request).await?;
            refusal(response.error)?;
            if response.locks.is_empty() {
                let on = if response.next_key.is_empty() {
                    Next::Region(region.id, region.end_key.clone())
                } else {
                    Next::Page(response.next_key)
                };
                return Ok(Page { found, on });
            }
            found += response.locks.len() as u64;
            self.requests.resolve(operation, response.locks).await?;
        }
    }

    /// Collects what only readers before `safe_point` see in the region at `start`, which is in the form
    /// of regions. All stores must have been told the safe point, and all regions have been cleared of
    /// older locks.
    pub async fn collect_garbage(&self, start: &[u8], safe_point: Timestamp) -> Result<Collected> {
        let collect = async |operation: &mut Operation| {
            let request = CollectGarbageRequest { context: None, safe_point: safe_point.get() };
            let (response, region) = self.requests.send(operation, start, &request).await?;
            refusal(response.error)?;
            let (region, next) = (region.id, region.end_key.clone());
            Ok(Collected { region, removed: response.removed, next })
        };
        self.requests.within("collect garbage", collect).await
    }
}

/// The user key at which a region begins.
fn boundary(start: &[u8]) -> Result<Bytes> {
    decode(start).map_err(|cause| Error::unsent("resolve old locks", cause))
}

/// What became of a page of locks.
struct Page {
    /// A lock is counted each time that it is met.
    found: u64,
    on: Next,
}

/// Where to go on.
enum Next {
    /// At this user key, in the same region.
    Page(Bytes),
    /// The region is through; the next one begins here.
    Region(u64, Bytes),
}
