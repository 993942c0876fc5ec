//! Each row of the table of failures, from the wire on: what a caller gets, who is asked next, and what is
//! asked of the scheduler. All of it is the same whether requests travel together or as calls.

use client::error::Cause;
use client::{Client, Config, Error};
use proto::errorpb;
use proto::metapb::Peer;
use tonic::Code;

use crate::world::{Fault, World, impatient, soon_tired};

/// What a caller gets.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Done,
    Undetermined,
    Refused,
}

use Outcome::{Done, Refused, Undetermined};

fn outcome<T>(result: &Result<T, Error>) -> Outcome {
    match result {
        Ok(_) => Done,
        Err(error) if error.is_undetermined() => Undetermined,
        Err(error) => {
            assert!(matches!(error.cause(), Cause::Refused(_)), "{error}");
            assert!(error.attempts().count() > 0, "{error}");
            Refused
        }
    }
}

/// A row: what goes wrong once, what a read and a write come to, the stores that a read then asked, the
/// regions and the stores that the scheduler was then asked for.
struct Row {
    fault: Fault,
    read: Outcome,
    write: Outcome,
    asked: &'static [u64],
    regions: usize,
    stores: usize,
}

fn refuse(error: errorpb::Error) -> Fault {
    Fault::Refuse(error.into())
}

fn rows() -> Vec<Row> {
    let empty = errorpb::Error::default;
    let second = Some(Peer { id: 102, store_id: 2 });
    let not_leader = |leader| {
        let not_leader = Some(errorpb::NotLeader { region_id: 1, leader });
        refuse(errorpb::Error { not_leader, ..empty() })
    };
    let region_not_found = Some(errorpb::RegionNotFound { region_id: 1 });
    let key_not_in_region = Some(errorpb::KeyNotInRegion::default());
    let epoch_not_match = Some(errorpb::EpochNotMatch::default());
    let stale_command = Some(errorpb::StaleCommand {});
    let store_not_match = Some(errorpb::StoreNotMatch::default());
    let message = "the server is busy".to_owned();
    let row = |fault, (read, write), asked, regions, stores| Row {
        fault,
        read,
        write,
        asked,
        regions,
        stores,
    };
    vec![
        row(not_leader(second), (Done, Done), &[1, 2, 1], 0, 1),
        row(not_leader(None), (Done, Done), &[1, 2, 1], 0, 1),
        row(refuse(errorpb::Error { region_not_found, ..empty() }), (Done, Done), &[1, 1], 1, 0),
        row(refuse(errorpb::Error { key_not_in_region, ..empty() }), (Done, Done), &[1, 1], 1, 0),
        row(refuse(errorpb::Error { epoch_not_match, ..empty() }), (Done, Done), &[1, 1], 1, 0),
        row(
            refuse(errorpb::Error { stale_command, ..empty() }),
            (Done, Undetermined),
            &[1, 1],
            0,
            0,
        ),
        row(refuse(errorpb::Error { store_not_match, ..empty() }), (Done, Done), &[1, 1], 0, 1),
        row(refuse(errorpb::Error { message, ..empty() }), (Done, Done), &[1, 1], 0, 0),
        row(Fault::LoseAnswer, (Done, Undetermined), &[1, 2, 1], 0, 2),
        row(Fault::Fail(Code::Internal), (Done, Undetermined), &[1, 2, 1], 0, 2),
        row(Fault::Silence, (Done, Undetermined), &[1, 2, 1], 0, 2),
        row(Fault::Fail(Code::InvalidArgument), (Refused, Refused), &[1], 0, 0),
    ]
}

/// All rows, for calls and for batches.
fn rows_both_ways() -> impl Iterator<Item = (Row, bool)> {
    let calls = rows().into_iter().map(|row| (row, false));
    calls.chain(rows().into_iter().map(|row| (row, true)))
}

/// A client that has used the region before.
async fn warm(batched: bool) -> (World, Client) {
    let world = World::start(3).await;
    let client = world.client_with(Config { batched, ..impatient() }).await;
    client.raw().put("k", "before").await.expect("nothing is wrong yet");
    world.state().calls.clear();
    (world, client)
}

#[tokio::test]
async fn every_failure_of_a_read_is_followed_by_what_the_table_says() {
    for (row, batched) in rows_both_ways() {
        let (world, client) = warm(batched).await;
        world.fault("raw_get", row.fault.clone());
        let read = client.raw().get("k").await;
        let what = format!("{:?}, batched: {batched}", row.fault);
        assert_eq!(outcome(&read), row.read, "{what}");
        if let Ok(value) = read {
            assert_eq!(value, Some("before".into()));
        }
        assert_eq!(world.asked("raw_get"), row.asked, "{what}");
        assert_eq!(world.count("get_region"), row.regions, "{what}");
        assert_eq!(world.count("get_store"), row.stores, "{what}");
        assert_eq!(world.count("message") > 0, batched, "{what}");
    }
}

#[tokio::test]
async fn a_raw_write_is_sent_again_only_if_it_was_certainly_not_done() {
    for (row, batched) in rows_both_ways() {
        for (call, value) in [("raw_put", Some("after")), ("raw_delete", None)] {
            let (world, client) = warm(batched).await;
            world.fault(call, row.fault.clone());
            let written = match value {
                Some(value) => client.raw().put("k", value).await,
                None => client.raw().delete("other").await,
            };
            assert_eq!(outcome(&written), row.write, "{call} {:?} {batched}", row.fault);
            let times = world.asked(call).len();
            let is_repeated = row.write == Done;
            assert_eq!(times > 1, is_repeated, "{call} {:?} {batched}: {times} times", row.fault);
        }
    }
}

/// The rows that no store can be told to show: it has moved, or the region has.
#[tokio::test]
async fn a_region_that_was_split_is_learned_from_the_refusal() {
    let (world, client) = warm(true).await;
    world.split("g".into());
    assert_eq!(client.raw().get("k").await.unwrap(), Some("before".into()));
    client.raw().put("a", "1").await.unwrap();
    assert_eq!((world.asked("raw_get"), world.asked("raw_put")), (vec![1, 1], vec![1]));
    assert_eq!(world.count("get_region"), 0, "the store has told both halves");
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_done_and_another_peer_is_asked() {
    let world = World::start(3).await;
    world.freeze_belief();
    world.lead(b"", 2);
    let address = std::mem::replace(&mut world.state().stores[0].address, "127.0.0.1:1".to_owned());
    let client = world.client_with(soon_tired()).await;
    client.raw().put("k", "v").await.unwrap();
    assert_eq!(world.asked("raw_put"), [2]);

    // Nobody listens at all: the end comes in time, and says that nothing was done.
    world.lead(b"", 1);
    let error = client.raw().put("k", "w").await.unwrap_err();
    assert_eq!(*error.cause(), Cause::Exhausted, "{error}");
    assert!(error.is_retryable() && error.attempts().count() > 2, "{error}");

    // It comes back elsewhere, and is found.
    world.state().stores[0].address = address;
    client.raw().put("k", "x").await.unwrap();
    assert_eq!(client.raw().get("k").await.unwrap(), Some("x".into()));
}

#[tokio::test]
async fn a_store_that_lags_behind_is_asked_again_until_it_has_caught_up() {
    let (world, client) = warm(true).await;
    world.split("g".into());
    client.raw().get("k").await.unwrap();
    let behind = {
        let state = world.state();
        let mut region = state.regions[0].region.clone();
        region.end_key = bytes::Bytes::new();
        region.region_epoch.as_mut().unwrap().version -= 1;
        errorpb::EpochNotMatch { current_regions: vec![region] }
    };
    world.state().calls.clear();
    let error = errorpb::Error { epoch_not_match: Some(behind), ..errorpb::Error::default() };
    world.fault("raw_get", Fault::Refuse(error.into()));
    client.raw().get("a").await.unwrap();
    assert_eq!((world.asked("raw_get"), world.count("get_region")), (vec![1, 1], 0));
}
