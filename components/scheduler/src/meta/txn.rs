//! Writing: one key, a range, or a transaction of several operations under conditions.
//!
//! Everything that can be against a request is checked before the first key changes, so that a
//! transaction happens as a whole or not at all, without anything to take back.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use bytes::Bytes;
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::response_op::Response;
use proto::etcdserverpb::{
    Compare, DeleteRangeRequest, DeleteRangeResponse, LeaseGrantRequest, LeaseGrantResponse,
    LeaseRevokeRequest, LeaseRevokeResponse, PutRequest, PutResponse, RequestOp, ResponseOp,
    TxnRequest, TxnResponse,
};
use proto::mvccpb::KeyValue;
use runtime::Rng;
use runtime::clock::Instant;

use super::error::MetaError;
use super::lease::Leases;
use super::range::{self, KeyRange};
use super::space::{Space, Writing};

impl Space {
    /// Gives a key a value.
    pub fn execute_put(&mut self, request: PutRequest) -> Result<PutResponse, MetaError> {
        check_put(&request)?;
        self.check_room(request.key.len() + request.value.len())?;
        // Alone, a put looks for its lease first; within a transaction, for its key. So does etcd.
        self.check_lease(request.lease)?;
        self.check_references(&request)?;
        let mut writing = self.begin();
        Ok(self.put_checked(&mut writing, request))
    }

    /// Deletes a range.
    pub fn execute_delete(
        &mut self,
        request: &DeleteRangeRequest,
    ) -> Result<DeleteRangeResponse, MetaError> {
        check_delete(request)?;
        let mut writing = self.begin();
        Ok(self.delete_checked(&mut writing, request))
    }

    /// Compares, and executes one of two lists, at one revision.
    pub fn execute_txn(&mut self, request: TxnRequest) -> Result<TxnResponse, MetaError> {
        self.check_txn(&request)?;
        let mut succeeded = true;
        for compare in &request.compare {
            succeeded = succeeded && self.holds(compare)?;
        }
        let chosen = if succeeded { request.success } else { request.failure };
        for operation in chosen.iter().filter_map(|operation| operation.request.as_ref()) {
            match operation {
                Request::RequestRange(read) => {
                    range::readable(self, read)?;
                }
                Request::RequestPut(put) => {
                    self.check_room(put.key.len() + put.value.len())?;
                    self.check_references(put)?;
                }
                Request::RequestDeleteRange(_) | Request::RequestTxn(_) => {}
            }
        }
        let mut writing = self.begin();
        let mut responses = Vec::with_capacity(chosen.len());
        for operation in chosen {
            let response = self.execute(&mut writing, operation)?;
            responses.push(ResponseOp { response: Some(response) });
        }
        Ok(TxnResponse { header: Some(self.header()), succeeded, responses })
    }

    fn execute(
        &mut self,
        writing: &mut Writing,
        operation: RequestOp,
    ) -> Result<Response, MetaError> {
        Ok(match operation.request.ok_or(MetaError::NoOperation)? {
            Request::RequestRange(read) => Response::ResponseRange(range::range(self, &read)?),
            Request::RequestPut(put) => Response::ResponsePut(self.put_checked(writing, put)),
            Request::RequestDeleteRange(delete) => {
                Response::ResponseDeleteRange(self.delete_checked(writing, &delete))
            }
            Request::RequestTxn(_) => return Err(MetaError::Nested),
        })
    }

    fn put_checked(&mut self, writing: &mut Writing, request: PutRequest) -> PutResponse {
        let PutRequest { key, mut value, mut lease, prev_kv, ignore_value, ignore_lease } = request;
        if let Some(old) = self.newest(&key) {
            if ignore_value {
                value = old.value.clone();
            }
            if ignore_lease {
                lease = old.lease;
            }
        }
        // What arrived from the network is a slice of a larger buffer; what is kept is its own.
        let kept = (Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value));
        let prev = self.put(writing, kept, lease);
        let prev_kv = prev.filter(|_| prev_kv).map(|kv| kv.as_ref().clone());
        PutResponse { header: Some(self.header()), prev_kv }
    }

    fn delete_checked(
        &mut self,
        writing: &mut Writing,
        request: &DeleteRangeRequest,
    ) -> DeleteRangeResponse {
        let range = KeyRange::new(&request.key, &request.range_end);
        let gone = self.delete(writing, &range);
        let deleted = i64::try_from(gone.len()).unwrap_or(i64::MAX);
        let prev_kvs = gone.iter().filter(|_| request.prev_kv).map(|kv| kv.as_ref().clone());
        DeleteRangeResponse { header: Some(self.header()), deleted, prev_kvs: prev_kvs.collect() }
    }

    /// Whether a condition holds: with a range for every key of it, and for one that does not exist
    /// as if it were zero everywhere; but a value that does not exist is equal to none.
    fn holds(&self, compare: &Compare) -> Result<bool, MetaError> {
        let result = CompareResult::try_from(compare.result).map_err(|_| MetaError::InvalidSort)?;
        let target = CompareTarget::try_from(compare.target).map_err(|_| MetaError::InvalidSort)?;
        let found = self.at(&KeyRange::new(&compare.key, &compare.range_end), i64::MAX);
        let holds = |kv: &KeyValue| match result {
            CompareResult::Equal => ordering(kv, target, compare) == Ordering::Equal,
            CompareResult::NotEqual => ordering(kv, target, compare) != Ordering::Equal,
            CompareResult::Greater => ordering(kv, target, compare) == Ordering::Greater,
            CompareResult::Less => ordering(kv, target, compare) == Ordering::Less,
        };
        if found.is_empty() {
            return Ok(target != CompareTarget::Value && holds(&KeyValue::default()));
        }
        Ok(found.iter().all(|kv| holds(kv)))
    }

    fn check_room(&self, more: usize) -> Result<(), MetaError> {
        if more > self.limits.request_bytes {
            return Err(MetaError::TooLarge);
        }
        let is_room = self.bytes() + more <= self.limits.bytes;
        if is_room { Ok(()) } else { Err(MetaError::NoSpace) }
    }

    /// What a put refers to must exist: its lease, and the key of which something is kept.
    fn check_references(&self, put: &PutRequest) -> Result<(), MetaError> {
        if (put.ignore_value || put.ignore_lease) && self.newest(&put.key).is_none() {
            return Err(MetaError::KeyNotFound);
        }
        self.check_lease(put.lease)
    }

    fn check_lease(&self, lease: i64) -> Result<(), MetaError> {
        let is_there = lease == 0 || self.leases.contains(lease);
        if is_there { Ok(()) } else { Err(MetaError::LeaseNotFound) }
    }

    fn check_txn(&self, request: &TxnRequest) -> Result<(), MetaError> {
        let lists = [request.success.as_slice(), request.failure.as_slice()];
        let longest = request.compare.len().max(lists[0].len()).max(lists[1].len());
        if longest > self.limits.txn_ops {
            return Err(MetaError::TooManyOps);
        }
        if prost::Message::encoded_len(request) > self.limits.request_bytes {
            return Err(MetaError::TooLarge);
        }
        if request.compare.iter().any(|compare| compare.key.is_empty()) {
            return Err(MetaError::EmptyKey);
        }
        // First each operation by itself, then all of a list together: that is etcd's order, too.
        lists.into_iter().flatten().try_for_each(check_operation)?;
        lists.into_iter().try_for_each(check_writes_once)
    }

    /// Begins a lease. One without an id gets one by chance.
    pub fn grant(
        &mut self,
        request: LeaseGrantRequest,
        rng: &mut Rng,
        now: Instant,
    ) -> Result<LeaseGrantResponse, MetaError> {
        let mut id = request.id;
        while id == 0 || (request.id == 0 && self.leases.contains(id)) {
            id = i64::try_from(rng.next_u64() >> 1).expect("63 bits fit");
        }
        let ttl = Leases::granted(id, request.ttl)?;
        if self.leases.contains(id) {
            return Err(MetaError::LeaseExists);
        }
        self.leases.insert(id, ttl, now);
        self.save_lease(&LeaseGrantRequest { id, ttl });
        let header = Some(self.header());
        Ok(LeaseGrantResponse { header, id, ttl, error: String::new() })
    }

    /// Ends a lease and deletes its keys, at one revision.
    pub fn revoke(
        &mut self,
        request: LeaseRevokeRequest,
    ) -> Result<LeaseRevokeResponse, MetaError> {
        let keys = self.leases.remove(request.id).ok_or(MetaError::LeaseNotFound)?;
        self.forget_lease(request.id);
        let mut writing = self.begin();
        for key in keys {
            self.delete(&mut writing, &KeyRange::new(&key, &Bytes::new()));
        }
        Ok(LeaseRevokeResponse { header: Some(self.header()) })
    }

    /// Ends leases whose time is over, at most so many.
    pub fn expire(&mut self, now: Instant, limit: usize) {
        for id in self.leases.ended(now, limit) {
            let revoked = self.revoke(LeaseRevokeRequest { id });
            assert!(revoked.is_ok(), "E3: a lease that ended is a lease");
        }
    }
}

fn ordering(kv: &KeyValue, target: CompareTarget, compare: &Compare) -> Ordering {
    let given = compare.target_union.as_ref();
    // A value that was not given is zero, as etcd's own getters have it.
    match target {
        CompareTarget::Version => kv.version.cmp(&match given {
            Some(TargetUnion::Version(version)) => *version,
            Some(_) | None => 0,
        }),
        CompareTarget::Create => kv.create_revision.cmp(&match given {
            Some(TargetUnion::CreateRevision(revision)) => *revision,
            Some(_) | None => 0,
        }),
        CompareTarget::Mod => kv.mod_revision.cmp(&match given {
            Some(TargetUnion::ModRevision(revision)) => *revision,
            Some(_) | None => 0,
        }),
        CompareTarget::Lease => kv.lease.cmp(&match given {
            Some(TargetUnion::Lease(lease)) => *lease,
            Some(_) | None => 0,
        }),
        CompareTarget::Value => match given {
            Some(TargetUnion::Value(value)) => kv.value.cmp(value),
            Some(_) | None => kv.value.cmp(&Bytes::new()),
        },
    }
}

fn check_put(put: &PutRequest) -> Result<(), MetaError> {
    if put.key.is_empty() {
        return Err(MetaError::EmptyKey);
    }
    if put.ignore_value && !put.value.is_empty() {
        return Err(MetaError::ValueProvided);
    }
    if put.ignore_lease && put.lease != 0 {
        return Err(MetaError::LeaseProvided);
    }
    Ok(())
}

fn check_delete(delete: &DeleteRangeRequest) -> Result<(), MetaError> {
    if delete.key.is_empty() { Err(MetaError::EmptyKey) } else { Ok(()) }
}

fn check_operation(operation: &RequestOp) -> Result<(), MetaError> {
    match operation.request.as_ref().ok_or(MetaError::NoOperation)? {
        Request::RequestRange(read) if read.key.is_empty() => Err(MetaError::EmptyKey),
        Request::RequestRange(_) => Ok(()),
        Request::RequestPut(put) => check_put(put),
        Request::RequestDeleteRange(delete) => check_delete(delete),
        Request::RequestTxn(_) => Err(MetaError::Nested),
    }
}

/// No key is written twice, nor written and deleted.
fn check_writes_once(operations: &[RequestOp]) -> Result<(), MetaError> {
    let mut puts = BTreeSet::new();
    let mut deleted = Vec::new();
    for operation in operations {
        match &operation.request {
            Some(Request::RequestPut(put)) => {
                if !puts.insert(&put.key) {
                    return Err(MetaError::DuplicateKey);
                }
            }
            Some(Request::RequestDeleteRange(delete)) => {
                deleted.push(KeyRange::new(&delete.key, &delete.range_end));
            }
            Some(Request::RequestRange(_) | Request::RequestTxn(_)) | None => {}
        }
    }
    let is_deleted = |key: &&Bytes| deleted.iter().any(|range| range.contains(key));
    if puts.iter().any(is_deleted) { Err(MetaError::DuplicateKey) } else { Ok(()) }
}
