//! What raw calls promise.

use bytes::Bytes;
use client::error::Cause;

use crate::world::World;

#[tokio::test]
async fn what_is_put_is_there_and_what_is_deleted_is_not() {
    let world = World::start(1).await;
    let raw = world.client().await.raw();
    assert_eq!(raw.get("k").await.unwrap(), None);
    raw.put("k", "v").await.unwrap();
    raw.put("empty", "").await.unwrap();
    assert_eq!(raw.get("k").await.unwrap(), Some("v".into()));
    assert_eq!(raw.get("empty").await.unwrap(), Some(Bytes::new()), "an empty value is a value");
    raw.delete("k").await.unwrap();
    raw.delete("k").await.unwrap();
    assert_eq!(raw.get("k").await.unwrap(), None);
}

#[tokio::test]
async fn a_scan_crosses_regions_and_ends_where_it_should() {
    let world = World::start(3).await;
    let raw = world.client().await.raw();
    for number in 0..30 {
        raw.put(format!("k{number:02}"), number.to_string()).await.unwrap();
    }
    for (key, store) in [("k05", 2), ("k10", 3), ("k10x", 1), ("k20", 2)] {
        world.split(key.into());
        world.lead(key.as_bytes(), store);
    }
    let cases = [
        ("", "", 100, 0..30),
        ("k03", "", 100, 3..30),
        ("k03", "k12", 100, 3..12),
        ("k03", "", 5, 3..8),
        ("k10", "k10", 5, 0..0),
        ("k09", "k11", 100, 9..11),
        ("x", "", 100, 0..0),
        ("", "", 0, 0..0),
    ];
    for (start, end, limit, expected) in cases {
        let pairs = raw.scan(start, end, limit).await.unwrap();
        let keys: Vec<Bytes> = pairs.into_iter().map(|(key, _)| key).collect();
        let expected: Vec<Bytes> = expected.map(|number| format!("k{number:02}").into()).collect();
        assert_eq!(keys, expected, "[{start}, {end}) {limit}");
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_not_sent() {
    let world = World::start(1).await;
    let raw = world.client().await.raw();
    let refused = [
        raw.put("", "v").await,
        raw.put(vec![b'k'; 8193], "v").await,
        raw.put("k", vec![0; (6 << 20) + 1]).await,
        raw.delete("").await,
        raw.get("").await.map(drop),
    ];
    for error in refused.map(Result::unwrap_err) {
        assert!(matches!(error.cause(), Cause::Invalid(_)), "{error}");
        assert!(!error.is_retryable() && !error.is_undetermined());
    }
    assert!(world.state().calls.is_empty());
}
