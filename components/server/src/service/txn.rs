//! Transactional calls.

use proto::kvrpcpb;
use proto::kvrpcpb::{
    Action, BatchRollbackRequest, BatchRollbackResponse, CheckTxnStatusRequest,
    CheckTxnStatusResponse, CommitRequest, CommitResponse, GetRequest, GetResponse, KvPair, Op,
    PrewriteRequest, PrewriteResponse, ResolveLockRequest, ResolveLockResponse, ScanRequest,
    ScanResponse,
};
use storage::mvcc::{Direction, Row};
use storage::txn::{
    CheckStatus, Commit, Get, Mutation, Prewrite, ResolveLock, Rollback, Scan, Status as Fate,
};
use tonic::Status;

use super::{Service, context};
use crate::respond::{abort, key_error, locked_pair, refusal, region_refusal};

impl Service {
    pub(super) async fn kv_get(&self, request: GetRequest) -> Result<GetResponse, Status> {
        let context = context(request.context);
        let mut response = GetResponse::default();
        let get = Get { key: request.key, version: request.version };
        match self.kv.read(&context, get).await {
            Ok(Some(value)) => response.value = value,
            Ok(None) => response.not_found = true,
            Err(error) => {
                let refused = refusal(&self.seen(error))?;
                (response.region_error, response.error) = (refused.region, refused.key);
            }
        }
        Ok(response)
    }

    pub(super) async fn kv_scan(&self, request: ScanRequest) -> Result<ScanResponse, Status> {
        let context = context(request.context);
        let mut response = ScanResponse::default();
        let scan = Scan {
            start: request.start_key,
            limit: request.limit,
            version: request.version,
            direction: Direction::Forward,
        };
        match self.kv.read(&context, scan).await {
            Ok(rows) => response.pairs = rows.into_iter().map(pair).collect(),
            Err(error) => {
                // The response has no error of its own but those of its pairs.
                let refused = refusal(&self.seen(error))?;
                response.region_error = refused.region;
                let failed = |error| KvPair { error: Some(error), ..KvPair::default() };
                response.pairs = refused.key.map(failed).into_iter().collect();
            }
        }
        Ok(response)
    }

    pub(super) async fn kv_prewrite(
        &self,
        request: PrewriteRequest,
    ) -> Result<PrewriteResponse, Status> {
        let context = context(request.context);
        let mut response = PrewriteResponse::default();
        let mutations = match mutations(request.mutations) {
            Ok(mutations) => mutations,
            Err(text) => {
                response.errors = vec![abort(&text)];
                return Ok(response);
            }
        };
        let prewrite = Prewrite {
            mutations,
            primary: request.primary_lock,
            start_ts: request.start_version,
            ttl: request.lock_ttl,
        };
        match self.kv.run(&context, prewrite).await {
            Ok(errors) => response.errors = errors.iter().map(key_error).collect(),
            Err(error) => {
                let refused = refusal(&self.seen(error))?;
                response.region_error = refused.region;
                response.errors = refused.key.map(|error| *error).into_iter().collect();
            }
        }
        Ok(response)
    }

    pub(super) async fn kv_commit(&self, request: CommitRequest) -> Result<CommitResponse, Status> {
        let context = context(request.context);
        let mut response = CommitResponse::default();
        let commit = Commit {
            keys: request.keys,
            start_ts: request.start_version,
            commit_ts: request.commit_version,
        };
        if let Err(error) = self.kv.run(&context, commit).await {
            let refused = refusal(&self.seen(error))?;
            (response.region_error, response.error) = (refused.region, refused.key);
        }
        Ok(response)
    }

    pub(super) async fn kv_check_txn_status(
        &self,
        request: CheckTxnStatusRequest,
    ) -> Result<CheckTxnStatusResponse, Status> {
        let context = context(request.context);
        let mut response = CheckTxnStatusResponse::default();
        let check = CheckStatus {
            primary: request.primary_key,
            lock_ts: request.lock_ts,
            current_ts: request.current_ts,
        };
        match self.kv.run(&context, check).await {
            Ok(Fate::Alive { ttl }) => response.lock_ttl = ttl,
            Ok(Fate::Committed { commit_ts }) => response.commit_version = commit_ts,
            Ok(Fate::RolledBack) => response.set_action(Action::NoAction),
            Ok(Fate::Expired) => response.set_action(Action::TtlExpireRollback),
            Ok(Fate::NeverSeen) => response.set_action(Action::LockNotExistRollback),
            Err(error) => response.region_error = Some(region_refusal(&self.seen(error))?),
        }
        Ok(response)
    }

    pub(super) async fn kv_batch_rollback(
        &self,
        request: BatchRollbackRequest,
    ) -> Result<BatchRollbackResponse, Status> {
        let context = context(request.context);
        let mut response = BatchRollbackResponse::default();
        let rollback = Rollback { keys: request.keys, start_ts: request.start_version };
        if let Err(error) = self.kv.rollback(&context, rollback).await {
            let refused = refusal(&self.seen(error))?;
            (response.region_error, response.error) = (refused.region, refused.key);
        }
        Ok(response)
    }

    pub(super) async fn kv_resolve_lock(
        &self,
        request: ResolveLockRequest,
    ) -> Result<ResolveLockResponse, Status> {
        let context = context(request.context);
        let mut response = ResolveLockResponse::default();
        // On the wire, zero means that the transaction was rolled back.
        let commit_ts = Some(request.commit_version).filter(|&ts| ts > 0);
        let resolve = ResolveLock::new(request.start_version, commit_ts);
        if let Err(error) = self.kv.resolve_lock(&context, resolve).await {
            let refused = refusal(&self.seen(error))?;
            (response.region_error, response.error) = (refused.region, refused.key);
        }
        Ok(response)
    }
}

fn pair(row: Row) -> KvPair {
    match row {
        Row::Value { key, value } => KvPair { error: None, key, value },
        Row::Locked(locked) => locked_pair(&locked),
    }
}

/// What a prewrite is to do, or which of its operations makes no sense.
fn mutations(mutations: Vec<kvrpcpb::Mutation>) -> Result<Vec<Mutation>, String> {
    mutations
        .into_iter()
        .map(|mutation| match Op::try_from(mutation.op) {
            Ok(Op::Put) => Ok(Mutation::Put(mutation.key, mutation.value)),
            Ok(Op::Del) => Ok(Mutation::Delete(mutation.key)),
            Ok(Op::Lock) => Ok(Mutation::Lock(mutation.key)),
            Ok(Op::Rollback) => Err("a prewrite cannot roll back".to_owned()),
            Err(_) => Err(format!("there is no operation {}", mutation.op)),
        })
        .collect()
}
