//! Requests that travel together: what a caller sees is what a call of its own would show.

use client::Client;
use client::error::Cause;
use tokio::task::{JoinHandle, JoinSet};

use crate::eventually;
use crate::streams::Ending;
use crate::world::{Fault, World};

/// Starts a put that arrives and is not answered.
async fn put_that_waits(world: &World, client: &Client) -> JoinHandle<client::Result<()>> {
    let (before, raw) = (world.count("raw_put"), client.raw());
    let put = tokio::spawn(async move { raw.put("k", "new").await });
    eventually(async || world.count("raw_put"), |count| *count > before).await;
    put
}

#[tokio::test]
async fn requests_of_many_callers_travel_together_and_each_gets_its_own_answer() {
    const CALLERS: usize = 300;
    let world = World::start(1).await;
    let client = world.client().await;
    client.raw().put("k", "v").await.unwrap();
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let raw = client.raw();
        callers.spawn(async move {
            let key = format!("k{number}");
            raw.put(key.clone(), number.to_string()).await.unwrap();
            assert_eq!(raw.get(key).await.unwrap(), Some(number.to_string().into()));
        });
    }
    while let Some(done) = callers.join_next().await {
        done.unwrap();
    }
    assert_eq!(world.count("raw_put"), 1 + CALLERS);
    assert_eq!(world.count("batch"), 1, "one stream has them all");
    let messages = world.count("message");
    assert!(messages < CALLERS, "{messages} messages for {CALLERS} puts and as many gets");
}

#[tokio::test]
async fn an_answer_that_takes_long_holds_up_no_other() {
    let world = World::start(1).await;
    let client = world.client().await;
    client.raw().put("k", "old").await.unwrap();
    world.fault("raw_put", Fault::Hold);
    let put = put_that_waits(&world, &client).await;
    assert_eq!(client.raw().get("k").await.unwrap(), Some("old".into()));
    assert!(!put.is_finished());
    world.release();
    put.await.unwrap().unwrap();
    assert_eq!(client.raw().get("k").await.unwrap(), Some("new".into()));
    assert_eq!(world.count("batch"), 1);
}

#[tokio::test]
async fn a_store_without_streams_is_sent_calls_and_asked_for_a_stream_once() {
    let world = World::start(1).await;
    world.state().has_no_streams = true;
    let client = world.client().await;
    let mut callers = JoinSet::new();
    for number in 0..20 {
        let raw = client.raw();
        callers.spawn(async move { raw.put(format!("k{number}"), "v").await });
    }
    while let Some(done) = callers.join_next().await {
        done.unwrap().unwrap();
    }
    for number in 0..20 {
        assert_eq!(client.raw().get(format!("k{number}")).await.unwrap(), Some("v".into()));
    }
    let counts = (world.count("batch"), world.count("raw_put"), world.count("raw_get"));
    assert_eq!(counts, (1, 20, 20));
}

#[tokio::test]
async fn without_batches_nobody_asks_for_a_stream() {
    let world = World::start(1).await;
    let config = client::Config { batched: false, ..crate::config() };
    let client = world.client_with(config).await;
    client.raw().put("k", "v").await.unwrap();
    assert_eq!((world.count("raw_put"), world.count("batch")), (1, 0));
}

#[tokio::test]
async fn of_a_stream_that_breaks_nobody_knows_what_became_of_a_put_and_a_get_is_asked_again() {
    for ending in [Ending::Broken, Ending::Refused, Ending::Nonsense] {
        let world = World::start(1).await;
        let client = world.client().await;
        client.raw().put("k", "old").await.unwrap();
        world.fault("raw_put", Fault::Silence);
        let put = put_that_waits(&world, &client).await;
        world.fault("raw_get", Fault::Silence);
        let raw = client.raw();
        let get = tokio::spawn(async move { raw.get("k").await });
        eventually(async || world.count("raw_get"), |count| *count == 1).await;

        world.end_streams(ending);
        let error = put.await.unwrap().unwrap_err();
        assert!(error.is_undetermined(), "{ending:?}: {error}");
        assert_eq!(error.attempts().count(), 1, "{ending:?}: {error}");
        assert_eq!(get.await.unwrap().unwrap(), Some("old".into()), "{ending:?}");
        assert_eq!((world.count("raw_put"), world.count("raw_get")), (2, 2), "{ending:?}");
        assert_eq!(world.count("batch"), 2, "{ending:?}: another stream, and no third one");
    }
}

#[tokio::test]
async fn a_store_that_is_about_to_stop_answers_what_was_sent_and_the_rest_goes_elsewhere() {
    let world = World::start(1).await;
    let client = world.client().await;
    world.fault("raw_put", Fault::Hold);
    let put = put_that_waits(&world, &client).await;
    world.end_streams(Ending::Closing);
    let again = async || client.raw().put("other", "v").await.map(|()| world.count("batch"));
    eventually(again, |streams| matches!(streams, Ok(2))).await.unwrap();
    assert!(!put.is_finished());
    world.release();
    put.await.unwrap().unwrap();
    assert_eq!(client.raw().get("k").await.unwrap(), Some("new".into()));
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_leaves_the_fate_unknown() {
    let world = World::start(1).await;
    let client = world.client_with(crate::world::impatient()).await;
    world.fault("raw_put", Fault::Silence);
    let error = client.raw().put("k", "v").await.unwrap_err();
    assert_eq!(*error.cause(), Cause::Undetermined, "{error}");
    assert!(error.to_string().contains("no answer within 1s"), "{error}");
    client.raw().put("k", "w").await.unwrap();
}
