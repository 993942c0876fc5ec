//! Every store is killed in turn, and the scheduler; what was committed is there all the time.

use std::time::Duration;

use runtime::clock::{Clock, SystemClock};
use tests::eventually;

use crate::world::{World, key, value};

/// Rows that are more than one region.
const ROWS: u32 = 300;

/// With one store gone at a time a majority is left, so everything goes on.
async fn kill_each_in_turn(stores: usize) {
    let mut world = World::start(stores).await;
    let mut rows = world.fill(600).await;
    for place in 0..stores {
        world.cluster.kill_store(place);
        world.expect(&rows).await;
        let number = 1000 + u32::try_from(place).unwrap();
        let mut txn = world.client.begin().await.unwrap();
        txn.put(key(number), value(number)).unwrap();
        txn.commit().await.unwrap();
        rows.insert(key(number), value(number));
        world.cluster.start_store(place);
        world.expect(&rows).await;
    }
    // All at once: nothing is served meanwhile, and everything is there afterwards.
    (0..stores).for_each(|place| world.cluster.kill_store(place));
    world.cluster.kill_scheduler();
    world.cluster.start_scheduler();
    (0..stores).for_each(|place| world.cluster.start_store(place));
    world.expect(&rows).await;
    assert_eq!(world.fill(100).await.len(), 100, "it takes writes again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn three_stores_are_killed_in_turn_and_nothing_is_lost() {
    kill_each_in_turn(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn five_stores_are_killed_in_turn_and_nothing_is_lost() {
    kill_each_in_turn(5).await;
}

/// As when a machine is shut down: everything is asked to end at once, and the scheduler is first.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn stores_end_in_time_although_the_scheduler_is_gone_already() {
    let mut world = World::start(3).await;
    world.fill(100).await;
    world.cluster.stop_scheduler();
    let start = SystemClock.now();
    let stores = (0..3).map(|place| world.cluster.take_store(place)).collect::<Vec<_>>();
    stores.iter().for_each(tests::process::Process::terminate);
    for store in stores {
        let (status, log) = store.finish();
        assert!(status.success(), "{log:?}");
    }
    // They try to hand over for 3 seconds; a single call to the scheduler may take 10.
    let took = SystemClock.now().since(start);
    assert!(took < Duration::from_secs(8), "{took:?}");
}

/// New transactions wait for a timestamp. Everything else goes on, for longer than any lease or report
/// lasts.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn reads_and_writes_go_on_without_the_scheduler() {
    let mut world = World::start(3).await;
    let raw = world.client.raw();
    for number in 0..ROWS {
        raw.put(key(number), value(number)).await.unwrap();
    }
    eventually("two regions", async || (world.regions().await.len() >= 2).then_some(())).await;
    world.wait_for_replicas().await;
    // The client has met all leaders before.
    for number in 0..ROWS {
        assert_eq!(raw.get(key(number)).await.unwrap(), Some(value(number)));
    }
    world.cluster.kill_scheduler();
    let start = SystemClock.now();
    let mut written = 0;
    while SystemClock.now().since(start) < Duration::from_secs(8) {
        let (key, old, new) = (key(written % ROWS), value(written), value(written + ROWS));
        assert_eq!(raw.get(key.clone()).await.unwrap(), Some(old));
        raw.put(key, new).await.unwrap();
        written += 1;
    }
    assert!(written > 100, "{written}");
    world.cluster.start_scheduler();
    eventually("a transaction", async || world.client.begin().await.ok()).await;
}
