//! Rungs about connections: pings on idle ones, and messages as large as TinySQL's.

use std::time::Duration;

use bytes::Bytes;
use proto::coprocessor::{KeyRange, Request};
use proto::kvrpcpb::{BatchRollbackRequest, GetRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::one_store;
use crate::tinysql::put;

/// Frames of HTTP/2, by their number.
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const ACKNOWLEDGED: u8 = 1;

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, 0], payload].concat()
}

async fn next_frame(stream: &mut TcpStream) -> (u8, u8, Vec<u8>) {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.expect("the connection lives");
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).await.expect("the connection lives");
    (head[3], head[4], payload)
}

/// Pings a connection that has never had a call, and waits for each answer.
async fn ping(address: &str, pauses: &[Duration]) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(&frame(SETTINGS, 0, &[])).await.unwrap();
    for (number, pause) in pauses.iter().enumerate() {
        tokio::time::sleep(*pause).await;
        let payload = (number as u64).to_be_bytes();
        stream.write_all(&frame(PING, 0, &payload)).await.unwrap();
        let answered = async {
            loop {
                let (kind, flags, answer) = next_frame(&mut stream).await;
                assert_ne!(kind, GO_AWAY, "{}", String::from_utf8_lossy(&answer));
                if (kind, flags) == (PING, ACKNOWLEDGED) {
                    return answer;
                }
            }
        };
        let answer = tokio::time::timeout(Duration::from_secs(3), answered).await;
        assert_eq!(answer.expect("or the connection is given up"), payload, "ping {number}");
    }
}

/// All the time, to every store and to the scheduler: a connection without calls is pinged.
#[tokio::test]
async fn pings_on_idle_connections_are_answered_and_not_punished() {
    let (cluster, _sql) = one_store().await;
    let mut pauses = vec![Duration::from_secs(2); 3];
    // Far more than anybody sends.
    pauses.extend([Duration::ZERO; 50]);
    tokio::join!(ping(cluster.address(), &pauses), ping(cluster.store_address(0), &pauses));
}

/// A row of the largest size, the ranges of an index look-up, and what a careful server accepts.
#[tokio::test]
async fn messages_of_ten_mebibytes_are_accepted() {
    let (_cluster, mut sql) = one_store().await;
    let value = Bytes::from(vec![b'v'; 6 << 20]);
    let written = sql.commit(&[put("t-large", value.clone())]).await.unwrap();
    assert!(sql.get(b"t-large", written).await == value);

    // Rollbacks of keys that were never locked: 10 MiB of them.
    let keys: Vec<Bytes> = (0..1279_u32)
        .map(|number| {
            let mut key = vec![b't'; 8 << 10];
            key[1..5].copy_from_slice(&number.to_be_bytes());
            key.into()
        })
        .collect();
    let start_version = sql.timestamp().await;
    let request = BatchRollbackRequest { keys, start_version, ..BatchRollbackRequest::default() };
    let (answer, _) = sql.ask(b"t", request).await;
    assert_eq!(answer.error, None);

    let range = |number: u32| {
        let start = [b"t".as_slice(), &[b'a'; 20], &number.to_be_bytes()].concat();
        let end = [&start[..], &[0]].concat();
        KeyRange { start: start.into(), end: end.into() }
    };
    let (tp, data, start_ts) = (103, crate::coprocessor::handles(false), sql.timestamp().await);
    let ranges = (0..25_000).map(range).collect();
    let request = Request { tp, data, ranges, start_ts, ..Request::default() };
    let (answer, _) = sql.ask(b"t", request).await;
    assert_eq!((answer.other_error.as_str(), &answer.data[..]), ("", &b"\x48\x00"[..]));
}

/// A burst of statements: a thousand calls are under way at once, over one connection.
#[tokio::test]
async fn a_thousand_calls_at_once_are_all_answered() {
    let (_cluster, mut sql) = one_store().await;
    let version = sql.commit(&[put("t1", "v1")]).await.unwrap();
    let known = sql.locate(b"t1").await;
    let stub = sql.stub(known.peer().store_id).await.unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let (mut stub, context) = (stub.clone(), Some(known.context()));
        let key = Bytes::from_static(b"t1");
        calls.spawn(async move { stub.kv_get(GetRequest { context, key, version }).await });
    }
    for answer in calls.join_all().await {
        let answer = answer.unwrap().into_inner();
        assert_eq!(
            (answer.region_error, answer.error, &answer.value[..]),
            (None, None, &b"v1"[..])
        );
    }
}
