//! How much may be under way: what is too much is refused in words that say try again, and the rest goes
//! on.

use std::sync::Arc;
use std::time::Duration;

use proto::etcdserverpb::PutResponse;
use proto::etcdserverpb::watch_request::RequestUnion;
use runtime::clock::SystemClock;
use runtime::units::Bytes;
use scheduler::config::{Config, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::{Code, Response, Status};

use crate::etcd::{Watching, put, watch};
use crate::fixture::{Fixture, Requests, config, eventually};

async fn limited(limits: Limits) -> Fixture {
    Fixture::with(Config { limits, ..config() }, Arc::new(SystemClock)).await
}

type Answers = JoinSet<Result<Response<PutResponse>, Status>>;

/// So many puts at once.
fn puts(fixture: &Fixture, count: usize, value: &str) -> Answers {
    let mut answers = JoinSet::new();
    for number in 0..count {
        let (mut kv, request) = (fixture.kv(), put(&format!("k{number}"), value));
        answers.spawn(async move { kv.put(request).await });
    }
    answers
}

/// The next of them, which has to be a refusal.
async fn refused(answers: &mut Answers) -> String {
    let next = tokio::time::timeout(Duration::from_secs(20), answers.join_next()).await;
    let answer = next.expect("in time").expect("there is one").expect("no call panics");
    let status = answer.expect_err("the disk stands still, so nothing else is answered");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    status.message().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_call_too_many_is_refused_and_time_is_given_all_the_while() {
    let mut fixture = limited(Limits { calls: 2, ..Limits::default() }).await;
    fixture.faults.stall();
    let mut answers = puts(&fixture, 3, "v");
    assert_eq!(refused(&mut answers).await, "too many calls are under way; try again");
    assert_eq!(fixture.timestamps(3, 1).await.unwrap().len(), 3);
    fixture.faults.resume();
    let left = answers.join_all().await;
    assert!(left.len() == 2 && left.iter().all(Result::is_ok), "{left:?}");
    fixture.kv().put(put("k", "v")).await.expect("there is room again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_take_no_more_memory_than_they_may() {
    let fixture = limited(Limits { bytes: Bytes::mib(10), ..Limits::default() }).await;
    fixture.faults.stall();
    // Seven of them fit.
    let mut answers = puts(&fixture, 10, &"x".repeat(1_400_000));
    for _ in 0..3 {
        let text = refused(&mut answers).await;
        assert_eq!(text, "too many bytes of requests are under way; try again");
    }
    fixture.faults.resume();
    let left = answers.join_all().await;
    assert!(left.iter().any(Result::is_ok), "{left:?}");
    fixture.kv().put(put("k", &"x".repeat(1_400_000))).await.expect("there is room again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_stream_too_many_is_refused_and_calls_go_on() {
    let fixture = limited(Limits { streams: 2, ..Limits::default() }).await;
    let first = Watching::open(&fixture).await;
    let mut second = Watching::open(&fixture).await;
    let another = || async {
        let (_requests, receiver) = tokio::sync::mpsc::channel(1);
        fixture.watches().watch(Requests(receiver)).await.map(drop)
    };
    let status = another().await.unwrap_err();
    let expected = (Code::ResourceExhausted, "too many streams are open; try again");
    assert_eq!((status.code(), status.message()), expected);
    second.create(watch("k", "", 0)).await;
    fixture.kv().put(put("k", "v")).await.unwrap();
    assert_eq!(second.next().await.events.len(), 1);
    drop(first);
    eventually(another, Result::is_ok).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_watcher_too_many_is_refused_and_the_others_see_on() {
    let fixture = limited(Limits { watchers: 2, ..Limits::default() }).await;
    let (mut one, mut two) = (Watching::open(&fixture).await, Watching::open(&fixture).await);
    one.create(watch("k", "", 0)).await;
    two.create(watch("k", "", 0)).await;
    two.send(RequestUnion::CreateRequest(watch("k", "", 0))).await;
    let refused = two.next().await;
    assert!(refused.created && refused.canceled && refused.watch_id == -1, "{refused:?}");
    assert_eq!(refused.cancel_reason, "etcdserver: too many watchers");
    fixture.kv().put(put("k", "v")).await.unwrap();
    assert_eq!((one.next().await.events.len(), two.next().await.events.len()), (1, 1));
}

/// Whatever comes, until the other side closes.
async fn rest(mut stream: TcpStream) -> usize {
    let mut buffer = [0; 256];
    let mut length = 0;
    // Reset is as good an end as any.
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        length += read;
    }
    length
}

/// One has crashed before it said anything, and one in the middle: the other machine does not say so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_has_vanished_is_noticed() {
    let fixture = Fixture::new().await;
    let address = fixture.url.trim_start_matches("http://");
    let silent = TcpStream::connect(address).await.unwrap();
    let mut vanished = TcpStream::connect(address).await.unwrap();
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let opening = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..]].concat();
    vanished.write_all(&opening).await.unwrap();
    let both = async { tokio::join!(rest(silent), rest(vanished)) };
    let ended = tokio::time::timeout(Duration::from_secs(25), both).await;
    let (_, asked) = ended.expect("both are closed");
    // An acknowledgement of the settings, at least, and a question whether anybody is there.
    assert!(asked >= 9 + 17, "{asked}");
}
