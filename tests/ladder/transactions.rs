//! Rungs about transactions: what is locked, what is committed, and what becomes of the rest.

use bytes::Bytes;
use proto::kvrpcpb::{
    Action, BatchRollbackRequest, CheckTxnStatusRequest, CheckTxnStatusResponse, CommitRequest,
    GetRequest, GetResponse, KeyError, KvPair, Mutation, Op, PrewriteRequest, ResolveLockRequest,
    ScanRequest,
};

use crate::tinysql::{TinySql, put};
use crate::{bytes, one_store};

/// Some requests with the fields that matter here.
impl TinySql {
    /// Locks keys for a transaction; answers what is wrong with it.
    async fn prewrite(&mut self, start: u64, mutations: &[Mutation]) -> Vec<KeyError> {
        let primary_lock = mutations[0].key.clone();
        let request = PrewriteRequest {
            mutations: mutations.to_vec(),
            primary_lock: primary_lock.clone(),
            start_version: start,
            lock_ttl: 3000,
            ..PrewriteRequest::default()
        };
        self.ask(&primary_lock, request).await.0.errors
    }

    async fn commit_keys(&mut self, start: u64, keys: &[&str], at: u64) -> Option<KeyError> {
        let request = CommitRequest {
            start_version: start,
            keys: keys.iter().map(|key| bytes(key)).collect(),
            commit_version: at,
            ..CommitRequest::default()
        };
        self.ask(keys[0].as_bytes(), request).await.0.error.map(|error| *error)
    }

    async fn look(&mut self, key: &str, version: u64) -> GetResponse {
        let request = GetRequest { key: bytes(key), version, ..GetRequest::default() };
        self.ask(key.as_bytes(), request).await.0
    }

    async fn status(&mut self, primary: &str, lock_ts: u64, now: u64) -> CheckTxnStatusResponse {
        let request = CheckTxnStatusRequest {
            primary_key: bytes(primary),
            lock_ts,
            current_ts: now,
            ..CheckTxnStatusRequest::default()
        };
        self.ask(primary.as_bytes(), request).await.0
    }

    async fn page(&mut self, start: &str, version: u64) -> Vec<KvPair> {
        let request = ScanRequest { start_key: bytes(start), limit: 256, version, context: None };
        self.ask(start.as_bytes(), request).await.0.pairs
    }
}

/// A timestamp so many milliseconds after another.
fn later(timestamp: u64, ms: u64) -> u64 {
    timestamp + (ms << 18)
}

/// A statement that writes one row. Every answer may be lost, so every request may come twice.
#[tokio::test]
async fn a_row_is_written_read_before_and_after_and_every_request_may_come_twice() {
    let (_cluster, mut sql) = one_store().await;
    let before = sql.timestamp().await;
    assert_eq!(sql.look("t1", before).await.value, "", "empty means absent");
    let start = sql.timestamp().await;
    for _ in 0..2 {
        assert_eq!(sql.prewrite(start, &[put("t1", "v")]).await, []);
    }
    let at = sql.timestamp().await;
    for _ in 0..2 {
        assert_eq!(sql.commit_keys(start, &["t1"], at).await, None);
    }
    assert_eq!(sql.prewrite(start, &[put("t1", "v")]).await, [], "and a very late one, too");
    assert_eq!(sql.look("t1", at - 1).await.value, "");
    assert_eq!(sql.look("t1", at).await.value, "v");
    let deletion = [Mutation { op: Op::Del.into(), key: bytes("t1"), value: Bytes::new() }];
    let deleted = sql.commit(&deletion).await.unwrap();
    assert_eq!(sql.look("t1", deleted).await.value, "");
    assert_eq!(sql.look("t1", deleted - 1).await.value, "v");
}

/// Two sessions write one row: the later commit is refused, and who reads meanwhile is told by whom.
#[tokio::test]
async fn a_conflict_and_a_lock_are_told_with_everything_that_is_known() {
    let (_cluster, mut sql) = one_store().await;
    let early = sql.timestamp().await;
    let at = sql.commit(&[put("t1", "old")]).await.unwrap();
    let conflict = sql.commit_since(early, &[put("t1", "x")]).await.unwrap_err().conflict.unwrap();
    assert_eq!((conflict.start_ts, conflict.conflict_ts), (early, at));
    assert_eq!((&conflict.key[..], &conflict.primary[..]), (&b"t1"[..], &b"t1"[..]));

    let start = sql.timestamp().await;
    let both = [put("t1", "new"), put("t2", "new")];
    assert_eq!(sql.prewrite(start, &both).await, []);
    let other = sql.timestamp().await;
    let errors = sql.prewrite(other, &[put("t2", "other")]).await;
    let found = sql.look("t2", other).await.error.unwrap();
    for lock in [errors[0].locked.as_ref().unwrap(), found.locked.as_ref().unwrap()] {
        assert_eq!((&lock.key[..], &lock.primary_lock[..]), (&b"t2"[..], &b"t1"[..]));
        assert_eq!((lock.lock_version, lock.lock_ttl), (start, 3000));
    }
    assert_eq!(sql.look("t1", start - 1).await.value, "old", "below the lock nobody waits");
}

/// Who meets a lock asks its primary what became of the transaction, and believes the answer for ever.
#[tokio::test]
async fn a_transactions_fate_is_told_and_once_told_it_stays() {
    let (_cluster, mut sql) = one_store().await;
    let start = sql.timestamp().await;
    assert_eq!(sql.prewrite(start, &[put("t1", "v")]).await, []);
    let alive = sql.status("t1", start, later(start, 2999)).await;
    assert_eq!((alive.lock_ttl, alive.commit_version), (3000, 0));
    let expired = sql.status("t1", start, later(start, 3000)).await;
    assert_eq!((expired.lock_ttl, expired.commit_version), (0, 0));
    assert_eq!(expired.action(), Action::TtlExpireRollback);
    let at = sql.timestamp().await;
    let too_late = sql.commit_keys(start, &["t1"], at).await;
    assert!(too_late.is_some(), "a success would be told to the user");

    let unknown = sql.timestamp().await;
    let fate = sql.status("t2", unknown, unknown).await;
    assert_eq!((fate.lock_ttl, fate.commit_version), (0, 0));
    assert_eq!(fate.action(), Action::LockNotExistRollback);
    let errors = sql.prewrite(unknown, &[put("t2", "v")]).await;
    assert!(!errors.is_empty(), "it was said to be rolled back");

    let start = sql.timestamp().await;
    let at = sql.commit_since(start, &[put("t3", "v")]).await.unwrap();
    let done = sql.status("t3", start, later(at, 9000)).await;
    assert_eq!((done.lock_ttl, done.commit_version), (0, at));
}

/// What a dead transaction left in a region is ended in one call, and nothing else is.
#[tokio::test]
async fn all_locks_of_a_transaction_are_resolved_and_only_those() {
    let (_cluster, mut sql) = one_store().await;
    let (one, other) = (sql.timestamp().await, sql.timestamp().await);
    assert_eq!(sql.prewrite(one, &[put("t1", "v"), put("t5", "v")]).await, []);
    assert_eq!(sql.prewrite(other, &[put("t3", "v")]).await, []);
    let at = sql.timestamp().await;
    for _ in 0..2 {
        let request =
            ResolveLockRequest { start_version: one, commit_version: at, ..Default::default() };
        assert_eq!(sql.ask(b"t1", request).await.0.error, None);
    }
    for key in ["t1", "t5"] {
        assert_eq!(sql.look(key, at).await.value, "v");
    }
    let untouched = sql.look("t3", at).await.error.unwrap();
    assert_eq!(untouched.locked.unwrap().lock_version, other);
    // Nobody will end that one, and its time comes: whoever reads does.
    assert_eq!(sql.status("t3", other, later(other, 3000)).await.commit_version, 0);
    assert_eq!(sql.get(b"t3", at).await, "");
}

/// An index is added: each row is locked without a change, so that a concurrent change of it is refused.
#[tokio::test]
async fn a_lock_mutation_changes_nothing_and_conflicts_with_who_began_before() {
    let (_cluster, mut sql) = one_store().await;
    sql.commit(&[put("t1", "v")]).await.unwrap();
    let early = sql.timestamp().await;
    let lock = Mutation { op: Op::Lock.into(), key: bytes("t1"), value: Bytes::new() };
    let at = sql.commit(&[lock]).await.unwrap();
    assert_eq!(sql.look("t1", at).await.value, "v");
    assert_eq!(sql.page("t", at).await.len(), 1);
    let refused = sql.commit_since(early, &[put("t1", "w")]).await.unwrap_err();
    assert_eq!(refused.conflict.unwrap().conflict_ts, at);
}

/// A transaction gives up: also keys that it never locked stay closed to it.
#[tokio::test]
async fn what_was_rolled_back_cannot_be_locked_by_a_late_request() {
    let (_cluster, mut sql) = one_store().await;
    let start = sql.timestamp().await;
    assert_eq!(sql.prewrite(start, &[put("t1", "v")]).await, []);
    for _ in 0..2 {
        let keys = vec![bytes("t1"), bytes("t2")];
        let request =
            BatchRollbackRequest { keys, start_version: start, ..BatchRollbackRequest::default() };
        assert_eq!(sql.ask(b"t1", request).await.0.error, None);
    }
    for key in ["t1", "t2"] {
        assert!(!sql.prewrite(start, &[put(key, "v")]).await.is_empty(), "{key}");
    }
    let now = sql.timestamp().await;
    assert_eq!(sql.look("t1", now).await, GetResponse { not_found: true, ..Default::default() });
}

/// A table is read page by page, and a page that is not full is the last one of its region.
#[tokio::test]
async fn a_page_is_full_or_the_last_and_a_lock_counts_in_its_place() {
    let (_cluster, mut sql) = one_store().await;
    let name = |number: u32| format!("t{number:03}");
    let rows: Vec<Mutation> = (0..600).map(|number| put(name(number), "v")).collect();
    let at = sql.commit(&rows).await.unwrap();
    let (mut counts, mut start) = (Vec::new(), "t".to_owned());
    for _ in 0..3 {
        let page = sql.page(&start, at).await;
        counts.push(page.len());
        let last = page.last().expect("600 rows");
        start = format!("{}\0", String::from_utf8(last.key.to_vec()).unwrap());
    }
    assert_eq!(counts, [256, 256, 88]);

    let half: Vec<Mutation> = (0..600)
        .step_by(2)
        .map(|number| Mutation { op: Op::Del.into(), ..put(name(number), "") })
        .collect();
    let at = sql.commit(&half).await.unwrap();
    assert_eq!(sql.page("t", at).await.len(), 256, "those that are gone do not count");
    // One on a row, and one on a row that nobody has committed yet.
    let start = sql.timestamp().await;
    assert_eq!(sql.prewrite(start, &[put("t101", "new"), put("t102", "new")]).await, []);
    let now = sql.timestamp().await;
    let page = sql.page("t", now).await;
    assert_eq!(page.len(), 256);
    let locked: Vec<(usize, &[u8])> = page
        .iter()
        .enumerate()
        .filter_map(|(place, pair)| Some((place, &pair.error.as_ref()?.locked.as_ref()?.key[..])))
        .collect();
    assert_eq!(locked, [(50, &b"t101"[..]), (51, &b"t102"[..])]);
    assert_eq!(
        sql.page("t", start - 1).await.iter().filter(|pair| pair.error.is_some()).count(),
        0
    );
}
