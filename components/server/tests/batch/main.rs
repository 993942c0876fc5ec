//! Many requests over one stream: what is answered when, what is refused, and what happens when a stream
//! ends in one of the ways in which streams end.
//!
//! The node is in the process of the test, on real sockets, over a storage whose writes wait until a
//! [`gate`](node::Node::open) opens: a request can be under way for as long as a test likes.

mod node;

use bytes::Bytes;
use program::room::Room;
use proto::kvrpcpb::{GetRequest, RawGetRequest, RawPutRequest, RawScanRequest};
use proto::tinykvext::batched_request::Request as Ask;
use proto::tinykvext::batched_response::Response as Tell;
use proto::tinykvext::{BatchedRequest, BatchedResponse};
use tonic::Code;

use crate::node::{Node, nonsense};

/// Room for everything that a test does.
const CALLS: usize = 4096;
const BYTES: usize = 64 << 20;

fn put(key: &str, bytes: usize) -> Ask {
    let (key, value) = (Bytes::copy_from_slice(key.as_bytes()), Bytes::from(vec![b'v'; bytes]));
    Ask::RawPut(Box::new(RawPutRequest { key, value, ..RawPutRequest::default() }))
}

fn get(key: &str) -> Ask {
    let key = Bytes::copy_from_slice(key.as_bytes());
    Ask::RawGet(Box::new(RawGetRequest { key, ..RawGetRequest::default() }))
}

fn asked(id: u64, request: Ask) -> BatchedRequest {
    BatchedRequest { id, timeout_ms: 0, request: Some(request) }
}

/// The ids of answers, in the order in which they came.
fn ids(answers: &[BatchedResponse]) -> Vec<u64> {
    answers.iter().map(|answer| answer.id).collect()
}

/// Of a write: whether it was done, or the text of what the region said against it.
fn written(answer: &BatchedResponse) -> Result<(), String> {
    match &answer.response {
        Some(Tell::RawPut(put)) if put.error.is_empty() => match &put.region_error {
            None => Ok(()),
            Some(error) => Err(error.message.clone()),
        },
        other => panic!("{other:?}"),
    }
}

fn code(answer: &BatchedResponse) -> Code {
    match &answer.response {
        Some(Tell::Failure(failure)) => Code::from(i32::try_from(failure.code).expect("a code")),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_done_first_is_answered_first_and_what_is_done_together_together() {
    let node = Node::start(Room::new(CALLS, BYTES)).await;
    let mut stream = node.stream().await;
    stream.send(vec![asked(1, put("a", 1)), asked(2, get("x")), asked(3, put("b", 1))]).await;
    let first = stream.answers(1).await;
    assert_eq!(ids(&first), [2], "the writes wait");
    stream.send(vec![asked(4, get("x"))]).await;
    assert_eq!(ids(&stream.answers(1).await), [4]);
    node.open();
    let message = stream.message().await.expect("it is open").expect("more is to come");
    let mut together = ids(&message.responses);
    together.sort_unstable();
    assert_eq!(together, [1, 3], "one message has both");
    assert!(message.responses.iter().all(|answer| written(answer) == Ok(())));

    stream.send(vec![asked(1, get("a"))]).await;
    stream.end();
    let last = stream.answers(1).await;
    assert!(matches!(&last[0].response, Some(Tell::RawGet(get)) if get.value == "v"), "{last:?}");
    assert!(stream.message().await.expect("it ends well").is_none());
}

#[tokio::test]
async fn a_request_that_cannot_be_done_has_an_answer_and_its_neighbours_are_done() {
    let node = Node::start(Room::new(CALLS, BYTES)).await;
    node.open();
    let damage = RawPutRequest {
        cf: "lock".to_owned(),
        key: Bytes::from_static(b"a"),
        value: Bytes::from_static(b"no lock"),
        ..RawPutRequest::default()
    };
    let mut stream = node.stream().await;
    stream.send(vec![asked(1, Ask::RawPut(Box::new(damage)))]).await;
    assert_eq!(written(&stream.answers(1).await[0]), Ok(()));

    let key = Bytes::from_static(b"a");
    let ill = Ask::Get(Box::new(GetRequest { key, version: 9, ..GetRequest::default() }));
    let nothing = BatchedRequest { id: 3, timeout_ms: 0, request: None };
    stream.send(vec![asked(2, ill), nothing, asked(4, put("", 1)), asked(5, put("b", 1))]).await;
    let mut answers = stream.answers(4).await;
    answers.sort_unstable_by_key(|answer| answer.id);
    assert_eq!(code(&answers[0]), Code::DataLoss, "as the call would end");
    assert_eq!(code(&answers[1]), Code::Unimplemented);
    let Some(Tell::RawPut(refused)) = &answers[2].response else { panic!("{answers:?}") };
    assert!(refused.error.contains("the key is empty"), "{refused:?}");
    assert_eq!(written(&answers[3]), Ok(()));
}

#[tokio::test]
async fn a_request_is_given_up_when_its_client_does_not_wait_any_more() {
    let node = Node::start(Room::new(CALLS, BYTES)).await;
    let mut stream = node.stream().await;
    let hasty = BatchedRequest { timeout_ms: 20, ..asked(1, put("a", 1)) };
    stream.send(vec![hasty, asked(2, put("b", 1))]).await;
    let late = stream.answers(1).await;
    assert_eq!((ids(&late), code(&late[0])), (vec![1], Code::DeadlineExceeded));
    node.open();
    assert_eq!(ids(&stream.answers(1).await), [2]);
}

#[tokio::test]
async fn whoever_goes_away_leaves_nothing_behind() {
    let node = Node::start(Room::new(CALLS, BYTES)).await;
    let mut stream = node.stream().await;
    stream.send(vec![asked(1, put("a", 100)), asked(2, put("b", 100)), asked(3, get("c"))]).await;
    assert_eq!(ids(&stream.answers(1).await), [3]);
    node.until("two under way", || node.room.calls() == 2 && node.room.bytes() > 200).await;
    drop(stream);
    node.until("none under way", || (node.room.calls(), node.room.bytes()) == (0, 0)).await;
}

#[tokio::test]
async fn every_request_takes_a_place_and_its_bytes_and_is_busy_where_there_are_none() {
    let node = Node::start(Room::new(3, 10_000)).await;
    let mut stream = node.stream().await;
    let large = asked(2, put("b", 9_900));
    stream.send(vec![asked(1, put("a", 100)), large, asked(3, put("c", 1))]).await;
    let refused = stream.answers(1).await;
    assert_eq!(ids(&refused), [2], "its bytes are too many");
    assert!(written(&refused[0]).unwrap_err().contains("bytes of requests"), "{refused:?}");
    stream.send(vec![asked(4, put("d", 1)), asked(5, get("e")), asked(6, get("f"))]).await;
    let refused = stream.answers(2).await;
    assert_eq!(ids(&refused), [5, 6], "there is no place");
    for answer in refused {
        let Some(Tell::RawGet(get)) = answer.response else { panic!("{answer:?}") };
        assert!(get.region_error.is_some_and(|error| error.message.contains("too many calls")));
    }
    // Whoever comes with a call of its own finds as little room.
    let alone = node.raw_get("x").await.region_error.expect("it is refused");
    assert!(alone.message.contains("too many calls"), "{alone:?}");
    node.open();
    let mut done = ids(&stream.answers(3).await);
    done.sort_unstable();
    assert_eq!(done, [1, 3, 4]);
    node.until("room again", || (node.room.calls(), node.room.bytes()) == (0, 0)).await;
    stream.send(vec![asked(7, get("a"))]).await;
    assert_eq!(ids(&stream.answers(1).await), [7]);
}

#[tokio::test]
async fn answers_take_room_until_they_have_left() {
    let node = Node::start(Room::new(CALLS, 40_000)).await;
    node.open();
    let mut stream = node.stream().await;
    for key in 0..3 {
        stream.send(vec![asked(key, put(&format!("k{key}"), 10_000))]).await;
        assert_eq!(written(&stream.answers(1).await[0]), Ok(()));
    }
    let scan = || Ask::RawScan(Box::new(RawScanRequest { limit: 3, ..RawScanRequest::default() }));
    stream.send(vec![asked(10, scan()), asked(11, scan())]).await;
    let mut answers = stream.answers(2).await;
    answers.sort_unstable_by_key(|answer| answer.id);
    let rows = answers.into_iter().map(|answer| match answer.response {
        Some(Tell::RawScan(scan)) => (scan.kvs.len(), scan.region_error.is_some()),
        other => panic!("{other:?}"),
    });
    assert_eq!(rows.collect::<Vec<_>>(), [(3, false), (0, true)]);
    node.until("room again", || node.room.bytes() == 0).await;
}

/// What is beyond the most that may be under way is not read, and is done later.
#[tokio::test]
async fn a_stream_has_so_many_requests_under_way_and_no_more() {
    const MESSAGES: u64 = 6;
    const EACH: u64 = 500;
    let node = Node::start(Room::new(CALLS, BYTES)).await;
    let mut stream = node.stream().await;
    for message in 0..MESSAGES {
        let requests = (0..EACH).map(|id| asked(message * EACH + id, put("k", 1)));
        stream.send(requests.collect()).await;
    }
    node.until("as many as there may be", || node.room.calls() > 1024).await;
    // A call on the same connection is read after everything that was sent before it.
    assert_eq!(node.raw_get("x").await.region_error, None);
    assert_eq!(node.room.calls(), 1500, "the third message was the last one");
    node.open();
    let mut done = ids(&stream.answers(usize::try_from(MESSAGES * EACH).unwrap()).await);
    done.sort_unstable();
    assert_eq!(done, (0..MESSAGES * EACH).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_message_that_makes_no_sense_ends_its_stream_and_nothing_else() {
    let node = Node::start(Room::new(CALLS, BYTES)).await;
    let mut other = node.stream().await;
    other.send(vec![asked(1, put("a", 1))]).await;

    let mut long = node.stream().await;
    long.send((0..1025).map(|id| asked(id, get("x"))).collect()).await;
    let status = long.message().await.expect_err("the limit is 1024");
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert!(status.message().contains("the limit is 1024"), "{status}");

    let status = nonsense(&node.address).await;
    assert_eq!(status.code(), Code::Internal, "{status}");

    node.until("what came over them is gone", || node.room.calls() == 1).await;
    node.open();
    assert_eq!(ids(&other.answers(1).await), [1]);
}

#[tokio::test]
async fn when_the_port_closes_what_was_sent_is_answered_and_the_stream_ends() {
    let node = Node::start(Room::new(CALLS, BYTES)).await;
    let mut stream = node.stream().await;
    stream.send(vec![asked(1, put("a", 1)), asked(2, get("x"))]).await;
    assert_eq!(ids(&stream.answers(1).await), [2]);
    node.room.close();
    let message = stream.message().await.expect("it is open").expect("more is to come");
    assert!(message.is_closing && message.responses.is_empty(), "{message:?}");
    // It was on its way before we heard of that.
    stream.send(vec![asked(3, put("b", 1))]).await;
    stream.end();
    node.until("both under way", || node.room.calls() == 2).await;
    node.open();
    let mut done = ids(&stream.answers(2).await);
    done.sort_unstable();
    assert_eq!(done, [1, 3]);
    assert!(stream.message().await.expect("it ends well").is_none());

    let mut late = node.stream().await;
    let message = late.message().await.expect("it is open").expect("it is told");
    assert!(message.is_closing, "{message:?}");
}

#[tokio::test]
async fn so_many_streams_are_open_at_a_time() {
    let mut node = Node::start(Room::new(CALLS, BYTES)).await;
    let mut streams = Vec::new();
    for _ in 0..2 {
        for _ in 0..512 {
            streams.push(node.stream().await);
        }
        node.reconnect().await;
    }
    let status = node.try_stream().await.err().expect("there are too many");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    streams.pop();
    node.until_opened().await;
}
