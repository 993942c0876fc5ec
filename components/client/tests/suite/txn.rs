//! What transactions promise.

use std::time::Duration;

use bytes::Bytes;
use client::error::Cause;
use client::{Client, Timestamp};
use proto::errorpb;
use proto::kvrpcpb::{BatchRollbackRequest, CommitRequest, Mutation, Op, PrewriteRequest};

use crate::eventually;
use crate::services::encode;
use crate::world::{Fault, World, impatient, soon_tired};

const CALM: &str = "what goes wrong is over";

async fn write(client: &Client, pairs: &[(&str, &str)]) -> Timestamp {
    let mut txn = client.begin().await.expect(CALM);
    for (key, value) in pairs {
        txn.put(key.to_string(), value.to_string()).expect(CALM);
    }
    let committed = txn.commit().await.expect(CALM);
    let at = committed.at().expect("it wrote something");
    committed.settled().await;
    at
}

async fn read(client: &Client, key: &str) -> Option<Bytes> {
    client.begin().await.expect(CALM).get(key.to_string()).await.expect(CALM)
}

async fn no_lock_is_left(world: &World) {
    eventually(|| async { world.state().model.locks() }, |&locks| locks == 0).await;
}

fn busy() -> Fault {
    let error = errorpb::Error { message: "busy".to_owned(), ..errorpb::Error::default() };
    Fault::Refuse(error.into())
}

#[tokio::test]
async fn a_transaction_sees_its_start_and_itself_and_others_see_it_from_its_commit_on() {
    let world = World::start(1).await;
    let client = world.client().await;
    let before = write(&client, &[("a", "1"), ("b", "1"), ("c", "")]).await;

    let mut txn = client.begin().await.unwrap();
    txn.put("a", "2").unwrap();
    txn.delete("b").unwrap();
    txn.put("d", "2").unwrap();
    assert_eq!(txn.get("a").await.unwrap(), Some("2".into()));
    assert_eq!(txn.get("b").await.unwrap(), None);
    assert_eq!(txn.get("c").await.unwrap(), Some(Bytes::new()), "an empty value is a value");
    let pairs = txn.scan("", "", 10).await.unwrap();
    let keys: Vec<_> = pairs.iter().map(|(key, _)| &key[..]).collect();
    assert_eq!(keys, [b"a", b"c", b"d"]);
    assert_eq!(txn.scan("", "", 2).await.unwrap().len(), 2);
    assert_eq!(read(&client, "a").await, Some("1".into()), "nobody else sees it yet");

    let start = txn.start();
    let at = txn.commit().await.unwrap().at().unwrap();
    assert!(before < start && start < at);
    assert_eq!(read(&client, "a").await, Some("2".into()));
    assert_eq!(read(&client, "b").await, None);
    let old = client.snapshot(start);
    assert_eq!(old.get("a").await.unwrap(), Some("1".into()), "a snapshot does not move");
    assert_eq!(old.scan("", "", 10).await.unwrap().len(), 3);
    let nothing = client.begin().await.unwrap().commit().await.unwrap();
    assert_eq!(nothing.at(), None);
}

#[tokio::test]
async fn of_two_that_write_one_key_the_second_is_told_to_begin_again() {
    let world = World::start(1).await;
    let client = world.client().await;
    let (mut first, mut second) = (client.begin().await.unwrap(), client.begin().await.unwrap());
    first.put("a", "1").unwrap();
    second.put("a", "2").unwrap();
    second.put("b", "2").unwrap();
    let at = first.commit().await.unwrap().at().unwrap();
    let error = second.commit().await.unwrap_err();
    let Cause::Conflict(conflict) = error.cause() else { panic!("{error}") };
    assert_eq!((conflict.committed_at, &conflict.key[..]), (at, &b"a"[..]));
    assert!(error.is_retryable() && !error.is_undetermined());
    no_lock_is_left(&world).await;
    assert_eq!((read(&client, "a").await, read(&client, "b").await), (Some("1".into()), None));

    // A key that is only locked is as good as written, for others.
    let (mut first, mut second) = (client.begin().await.unwrap(), client.begin().await.unwrap());
    first.lock("a").unwrap();
    second.put("a", "3").unwrap();
    first.commit().await.unwrap();
    assert!(matches!(second.commit().await.unwrap_err().cause(), Cause::Conflict(_)));
    assert_eq!(read(&client, "a").await, Some("1".into()));
}

#[tokio::test]
async fn a_transaction_over_many_regions_is_one_and_leaves_no_locks() {
    let world = World::start(3).await;
    let client = world.client().await;
    let key = |number: u32| format!("k{number:03}");
    let mut txn = client.begin().await.unwrap();
    for number in 0..600 {
        txn.put(key(number), vec![b'v'; 2000]).unwrap();
    }
    for (number, store) in [(50, 2), (100, 3), (101, 1), (400, 2)] {
        world.split(encode(key(number).as_bytes()));
        world.lead(&encode(key(number).as_bytes()), store);
    }
    let start = txn.start();
    let committed = txn.commit().await.unwrap();
    committed.settled().await;
    assert_eq!(world.state().model.locks(), 0);
    assert!(world.count("kv_prewrite") > 6, "by region, and by size");
    let pairs = client.begin().await.unwrap().scan("", "", 1000).await.unwrap();
    assert_eq!(pairs.len(), 600);
    assert!(pairs.is_sorted_by(|a, b| a.0 < b.0));
    let part = client.begin().await.unwrap().scan(key(90), key(110), 1000).await.unwrap();
    assert_eq!(part.len(), 20);
    assert!(client.snapshot(start).scan("", "", 1000).await.unwrap().is_empty());
}

/// Leaves what a client leaves that dies in the middle: `a`, its primary, and `b`.
fn die(world: &World, start: Timestamp, ttl: u64, committed_at: Option<Timestamp>) {
    let mutation =
        |key: &'static str| Mutation { op: Op::Put.into(), key: key.into(), value: "dead".into() };
    let prewrite = PrewriteRequest {
        mutations: vec![mutation("a"), mutation("b")],
        primary_lock: "a".into(),
        start_version: start.get(),
        lock_ttl: ttl,
        ..PrewriteRequest::default()
    };
    let mut state = world.state();
    assert!(state.model.kv_prewrite(&prewrite).errors.is_empty());
    if let Some(at) = committed_at {
        let commit = CommitRequest {
            start_version: start.get(),
            keys: vec!["a".into()],
            commit_version: at.get(),
            ..CommitRequest::default()
        };
        assert_eq!(state.model.kv_commit(&commit).error, None);
    }
}

#[tokio::test]
async fn the_locks_of_the_dead_are_resolved_by_the_fate_of_their_primary() {
    // (its time to live, whether its primary was committed, what a reader then sees)
    for (ttl, is_committed, seen) in [(1, false, None), (1, true, Some("dead")), (300, false, None)]
    {
        let world = World::start(2).await;
        world.split(encode(b"b"));
        world.lead(&encode(b"b"), 2);
        let client = world.client().await;
        let (start, at) =
            (client.scheduler().timestamp().await.unwrap(), client.scheduler().timestamp().await);
        die(&world, start, ttl, is_committed.then_some(at.unwrap()));
        let older = client.snapshot(Timestamp::new(start.get() - 1));
        assert_eq!(older.get("b").await.unwrap(), None);
        assert_eq!(world.count("kv_check_txn_status"), 0, "a younger lock concerns nobody");

        let seen = seen.map(Bytes::from);
        assert_eq!(read(&client, "b").await, seen, "{ttl} {is_committed}");
        let pairs = client.begin().await.unwrap().scan("", "", 10).await.unwrap();
        assert_eq!(pairs.len(), if is_committed { 2 } else { 0 });
        assert_eq!(read(&client, "a").await, seen);
        assert_eq!(world.state().model.locks(), 0);
        let asked = world.count("kv_check_txn_status");
        assert!(if ttl == 1 { asked <= 2 } else { asked > 1 }, "{asked}: ends are remembered");
    }
}

#[tokio::test]
async fn a_writer_waits_for_the_living_and_goes_on_when_they_are_gone() {
    let world = World::start(1).await;
    let client = world.client_with(impatient()).await;
    let start = client.scheduler().timestamp().await.unwrap();
    die(&world, start, 60_000, None);
    let mut txn = client.begin().await.unwrap();
    txn.put("b", "mine").unwrap();
    let error = txn.commit().await.unwrap_err();
    assert_eq!(*error.cause(), Cause::Exhausted, "{error}");
    let last = error.attempts().latest().last().unwrap().clone();
    assert!(last.outcome.contains("locked"), "{error}");

    let rollback = BatchRollbackRequest {
        start_version: start.get(),
        keys: vec!["a".into(), "b".into()],
        ..BatchRollbackRequest::default()
    };
    world.state().model.kv_batch_rollback(&rollback);
    write(&client, &[("b", "mine")]).await;
    assert_eq!(read(&client, "b").await, Some("mine".into()));
}

#[tokio::test]
async fn a_lost_answer_to_a_commit_is_asked_for_again() {
    let stale = || {
        let stale_command = Some(errorpb::StaleCommand {});
        let error = errorpb::Error { stale_command, ..errorpb::Error::default() };
        Fault::Refuse(error.into())
    };
    for fault in [Fault::LoseAnswer, stale(), Fault::Fail(tonic::Code::Internal), Fault::Silence] {
        for call in ["kv_prewrite", "kv_commit"] {
            let world = World::start(2).await;
            let client = world.client_with(impatient()).await;
            world.fault(call, fault.clone());
            write(&client, &[("a", "1"), ("b", "1")]).await;
            assert!(world.count(call) > 1, "{call} {fault:?}");
            assert_eq!(read(&client, "b").await, Some("1".into()), "{call} {fault:?}");
        }
    }
}

#[tokio::test]
async fn a_commit_that_nobody_confirms_is_undetermined_whether_it_was_done_or_not() {
    for (fault, is_done) in [(Fault::LoseAnswer, true), (Fault::Silence, false)] {
        let world = World::start(1).await;
        let client = world.client_with(impatient()).await;
        (0..1000).for_each(|_| world.fault("kv_commit", fault.clone()));
        let mut txn = client.begin().await.unwrap();
        txn.put("a", "1").unwrap();
        let error = txn.commit().await.unwrap_err();
        assert!(error.is_undetermined() && !error.is_retryable(), "{error}");
        assert_eq!(world.count("kv_batch_rollback"), 0, "who does not know leaves it alone");
        let locks = world.state().model.locks();
        assert_eq!(locks == 0, is_done, "{fault:?}");
    }
}

#[tokio::test]
async fn a_commit_that_certainly_did_not_happen_is_rolled_back_and_may_be_begun_again() {
    let world = World::start(1).await;
    let client = world.client_with(soon_tired()).await;
    (0..1000).for_each(|_| world.fault("kv_commit", busy()));
    let mut txn = client.begin().await.unwrap();
    txn.put("a", "1").unwrap();
    let error = txn.commit().await.unwrap_err();
    assert_eq!(*error.cause(), Cause::Exhausted, "{error}");
    assert!(error.is_retryable());
    no_lock_is_left(&world).await;
    assert!(world.count("kv_batch_rollback") > 0);
    world.state().faults.clear();
    assert_eq!(read(&client, "a").await, None);
}

#[tokio::test]
async fn a_transaction_that_others_gave_up_hears_so_even_after_a_lost_answer() {
    let world = World::start(1).await;
    let client = world.client().await;
    world.fault("kv_commit", Fault::Fail(tonic::Code::Unavailable));
    (0..1000).for_each(|_| world.fault("kv_commit", busy()));
    let mut txn = client.begin().await.unwrap();
    txn.put("a", "1").unwrap();
    let start_version = txn.start().get();
    let committing = tokio::spawn(txn.commit());
    eventually(|| async { world.count("kv_commit") }, |&count| count > 1).await;
    let keys = vec![Bytes::from("a")];
    let rollback = BatchRollbackRequest { context: None, start_version, keys };
    world.state().model.kv_batch_rollback(&rollback);
    world.state().faults.clear();
    let error = committing.await.unwrap().unwrap_err();
    assert!(matches!(error.cause(), Cause::RolledBack(_)), "{error}");
    assert!(error.is_retryable() && !error.is_undetermined());
}

#[tokio::test]
async fn a_commit_goes_on_when_its_caller_goes_away() {
    let world = World::start(1).await;
    let client = world.client().await;
    world.fault("kv_prewrite", busy());
    let mut txn = client.begin().await.unwrap();
    txn.put("a", "1").unwrap();
    let given_up = tokio::time::timeout(Duration::ZERO, txn.commit()).await;
    assert!(given_up.is_err());
    let written = || async { read(&client, "a").await };
    eventually(written, Option::is_some).await;
    no_lock_is_left(&world).await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_before_it_is_kept() {
    let world = World::start(1).await;
    let mut txn = world.client().await.begin().await.unwrap();
    let refused = [
        txn.put("", "v"),
        txn.put("k", vec![0; (6 << 20) + 1]),
        txn.delete(vec![b'k'; 8193]),
        txn.lock(""),
        txn.get("").await.map(drop),
    ];
    for error in refused.map(Result::unwrap_err) {
        assert!(matches!(error.cause(), Cause::Invalid(_)), "{error}");
    }
    txn.commit().await.unwrap();
    assert_eq!(world.count("kv_prewrite"), 0);
}
