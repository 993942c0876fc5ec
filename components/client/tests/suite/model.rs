//! What a store does to keys, in the simplest way that is right: a naive twin of the server's storage.

use std::collections::BTreeMap;

use bytes::Bytes;
use proto::kvrpcpb::{
    BatchRollbackRequest, BatchRollbackResponse, CheckTxnStatusRequest, CheckTxnStatusResponse,
    CommitRequest, CommitResponse, GetRequest, GetResponse, KeyError, KvPair, LockInfo, Mutation,
    Op, PrewriteRequest, PrewriteResponse, RawDeleteRequest, RawDeleteResponse, RawGetRequest,
    RawGetResponse, RawPutRequest, RawPutResponse, RawScanRequest, RawScanResponse,
    ResolveLockRequest, ResolveLockResponse, ScanRequest, ScanResponse, WriteConflict,
};

/// How many bits of a timestamp count within a millisecond.
const LOGICAL_BITS: u32 = 18;

/// All keys of a cluster.
#[derive(Default)]
pub(crate) struct Model {
    raw: BTreeMap<Bytes, Bytes>,
    rows: BTreeMap<Bytes, Row>,
    /// The region that is served, in the regions' form.
    pub(crate) region: (Bytes, Bytes),
}

#[derive(Default)]
struct Row {
    lock: Option<Lock>,
    /// By commit timestamp; a rollback stands at its start.
    records: BTreeMap<u64, Record>,
}

struct Lock {
    start: u64,
    primary: Bytes,
    ttl: u64,
    mutation: Mutation,
}

struct Record {
    start: u64,
    kind: Kind,
}

enum Kind {
    Put(Bytes),
    Delete,
    Lock,
    Rollback,
}

impl Row {
    /// What a transaction left here: when it was committed, and zero for a rollback.
    fn end_of(&self, start: u64) -> Option<u64> {
        let (at, record) = self.records.iter().find(|(_, record)| record.start == start)?;
        Some(if matches!(record.kind, Kind::Rollback) { 0 } else { *at })
    }

    fn is_committed(&self, start: u64) -> bool {
        self.end_of(start).is_some_and(|at| at > 0)
    }

    fn read(&self, version: u64) -> Option<Bytes> {
        for (_, record) in self.records.range(..=version).rev() {
            match &record.kind {
                Kind::Put(value) => return Some(value.clone()),
                Kind::Delete => return None,
                Kind::Lock | Kind::Rollback => {}
            }
        }
        None
    }

    fn blocks(&self, version: u64) -> Option<&Lock> {
        let is_write = |lock: &&Lock| lock.mutation.op != i32::from(Op::Lock);
        self.lock.as_ref().filter(is_write).filter(|lock| lock.start <= version)
    }

    fn finish(&mut self, start: u64, commit: Option<u64>) {
        let Some(lock) = self.lock.take_if(|lock| lock.start == start) else {
            if commit.is_none() && self.end_of(start).is_none() {
                self.records.insert(start, Record { start, kind: Kind::Rollback });
            }
            return;
        };
        let kind = match (commit, lock.mutation.op()) {
            (None, _) => Kind::Rollback,
            (Some(_), Op::Put) => Kind::Put(lock.mutation.value),
            (Some(_), Op::Del) => Kind::Delete,
            (Some(_), Op::Lock | Op::Rollback) => Kind::Lock,
        };
        self.records.insert(commit.unwrap_or(start), Record { start, kind });
    }
}

fn locked(key: &Bytes, lock: &Lock) -> KeyError {
    let info = LockInfo {
        primary_lock: lock.primary.clone(),
        lock_version: lock.start,
        key: key.clone(),
        lock_ttl: lock.ttl,
    };
    KeyError { locked: Some(info), ..KeyError::default() }
}

impl Model {
    pub(crate) fn kv_get(&self, request: &GetRequest) -> GetResponse {
        let mut response = GetResponse::default();
        let row = self.rows.get(&request.key);
        if let Some(lock) = row.and_then(|row| row.blocks(request.version)) {
            response.error = Some(Box::new(locked(&request.key, lock)));
            return response;
        }
        match row.and_then(|row| row.read(request.version)) {
            Some(value) => response.value = value,
            None => response.not_found = true,
        }
        response
    }

    pub(crate) fn kv_scan(&self, request: &ScanRequest) -> ScanResponse {
        let rows = self.rows.range(request.start_key.clone()..);
        let pair = |(key, row): (&Bytes, &Row)| {
            if let Some(lock) = row.blocks(request.version) {
                let error = Some(Box::new(locked(key, lock)));
                return Some(KvPair { error, key: key.clone(), value: Bytes::new() });
            }
            let value = row.read(request.version)?;
            Some(KvPair { error: None, key: key.clone(), value })
        };
        let pairs = rows.filter_map(pair).take(request.limit as usize).collect();
        ScanResponse { region_error: None, pairs }
    }

    pub(crate) fn kv_prewrite(&mut self, request: &PrewriteRequest) -> PrewriteResponse {
        let start = request.start_version;
        let mut errors = Vec::new();
        for mutation in &request.mutations {
            let row = self.rows.entry(mutation.key.clone()).or_default();
            if let Some((at, _)) = row.records.range(start..).next_back() {
                errors.push(KeyError {
                    conflict: Some(WriteConflict {
                        start_ts: start,
                        conflict_ts: *at,
                        key: mutation.key.clone(),
                        primary: request.primary_lock.clone(),
                    }),
                    ..KeyError::default()
                });
            } else if let Some(lock) = row.lock.as_ref().filter(|lock| lock.start != start) {
                errors.push(locked(&mutation.key, lock));
            }
        }
        if errors.is_empty() {
            for mutation in &request.mutations {
                let row = self.rows.entry(mutation.key.clone()).or_default();
                row.lock = Some(Lock {
                    start,
                    primary: request.primary_lock.clone(),
                    ttl: request.lock_ttl,
                    mutation: mutation.clone(),
                });
            }
        }
        PrewriteResponse { region_error: None, errors }
    }

    pub(crate) fn kv_commit(&mut self, request: &CommitRequest) -> CommitResponse {
        let start = request.start_version;
        let is_lost = |row: &Row| {
            let holds = row.lock.as_ref().is_some_and(|lock| lock.start == start);
            !holds && !row.is_committed(start)
        };
        if request.keys.iter().any(|key| self.rows.get(key).is_none_or(is_lost)) {
            let error = KeyError { retryable: "rolled back".to_owned(), ..KeyError::default() };
            return CommitResponse { region_error: None, error: Some(Box::new(error)) };
        }
        for key in &request.keys {
            let row = self.rows.get_mut(key).expect("it was looked at");
            row.finish(start, Some(request.commit_version));
        }
        CommitResponse::default()
    }

    pub(crate) fn kv_batch_rollback(
        &mut self,
        request: &BatchRollbackRequest,
    ) -> BatchRollbackResponse {
        for key in &request.keys {
            let row = self.rows.entry(key.clone()).or_default();
            if row.is_committed(request.start_version) {
                let error = KeyError { abort: "committed".to_owned(), ..KeyError::default() };
                return BatchRollbackResponse { region_error: None, error: Some(error.into()) };
            }
            row.finish(request.start_version, None);
        }
        BatchRollbackResponse::default()
    }

    pub(crate) fn kv_check_txn_status(
        &mut self,
        request: &CheckTxnStatusRequest,
    ) -> CheckTxnStatusResponse {
        let mut response = CheckTxnStatusResponse::default();
        let row = self.rows.entry(request.primary_key.clone()).or_default();
        match row.lock.as_ref().filter(|lock| lock.start == request.lock_ts) {
            Some(lock) => {
                let dies = (lock.start >> LOGICAL_BITS) + lock.ttl;
                if dies > request.current_ts >> LOGICAL_BITS {
                    response.lock_ttl = lock.ttl;
                    return response;
                }
                row.finish(request.lock_ts, None);
            }
            None => match row.end_of(request.lock_ts) {
                Some(end) => response.commit_version = end,
                None => row.finish(request.lock_ts, None),
            },
        }
        response
    }

    pub(crate) fn kv_resolve_lock(&mut self, request: &ResolveLockRequest) -> ResolveLockResponse {
        let commit = Some(request.commit_version).filter(|&at| at > 0);
        let (start, end) = self.region.clone();
        for (key, row) in &mut self.rows {
            let key = crate::services::encode(key);
            let is_inside = start <= key && proto::region::is_before_end(&key, &end);
            if is_inside
                && row.lock.as_ref().is_some_and(|lock| lock.start == request.start_version)
            {
                row.finish(request.start_version, commit);
            }
        }
        ResolveLockResponse::default()
    }

    pub(crate) fn raw_get(&self, request: &RawGetRequest) -> RawGetResponse {
        let value = self.raw.get(&request.key).cloned();
        let not_found = value.is_none();
        RawGetResponse { value: value.unwrap_or_default(), not_found, ..RawGetResponse::default() }
    }

    pub(crate) fn raw_put(&mut self, request: &RawPutRequest) -> RawPutResponse {
        self.raw.insert(request.key.clone(), request.value.clone());
        RawPutResponse::default()
    }

    pub(crate) fn raw_delete(&mut self, request: &RawDeleteRequest) -> RawDeleteResponse {
        self.raw.remove(&request.key);
        RawDeleteResponse::default()
    }

    pub(crate) fn raw_scan(&self, request: &RawScanRequest) -> RawScanResponse {
        let rows = self.raw.range(request.start_key.clone()..).take(request.limit as usize);
        let pair = |(key, value): (&Bytes, &Bytes)| KvPair {
            error: None,
            key: key.clone(),
            value: value.clone(),
        };
        RawScanResponse { kvs: rows.map(pair).collect(), ..RawScanResponse::default() }
    }

    /// How many keys are locked.
    pub(crate) fn locks(&self) -> usize {
        self.rows.values().filter(|row| row.lock.is_some()).count()
    }
}
