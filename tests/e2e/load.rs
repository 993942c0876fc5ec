//! Writers that never pause, while regions split under them, and while every store is restarted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use bytes::Bytes;
use client::Client;
use tests::eventually;
use tokio::task::JoinSet;

use crate::world::{World, key, value};

const WRITERS: u32 = 4;

/// Writers, each of rows of its own, one transaction after the other.
struct Load {
    writers: JoinSet<Written>,
    is_over: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU32>,
}

/// What became of the rows of a writer.
#[derive(Default)]
struct Written {
    done: BTreeMap<Bytes, Bytes>,
    /// Nobody knows: they may be there, or not.
    unknown: BTreeMap<Bytes, Bytes>,
    failures: Vec<client::Error>,
}

impl Load {
    fn start(client: &Client) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(AtomicU32::new(0));
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let (client, is_over) = (client.clone(), Arc::clone(&is_over));
            let acknowledged = Arc::clone(&acknowledged);
            writers.spawn(async move {
                let mut written = Written::default();
                for number in 0.. {
                    if is_over.load(Relaxed) {
                        break;
                    }
                    // Neighbours of one writer are far from each other, so all regions are written.
                    let row = writer * 250_000 + number % 10 * 25_000 + number / 10;
                    let (key, value) = (key(row), value(row));
                    match write(&client, &key, &value).await {
                        Ok(()) => {
                            written.done.insert(key, value);
                            acknowledged.fetch_add(1, Relaxed);
                        }
                        Err(error) if error.is_undetermined() => {
                            written.unknown.insert(key, value);
                        }
                        Err(error) => written.failures.push(error),
                    }
                }
                written
            });
        }
        Load { writers, is_over, acknowledged }
    }

    /// Waits until so many more rows are acknowledged.
    async fn go_on(&self, rows: u32) {
        let until = self.acknowledged.load(Relaxed) + rows;
        eventually("progress", async || (self.acknowledged.load(Relaxed) >= until).then_some(()))
            .await;
    }

    async fn stop(self) -> Written {
        self.is_over.store(true, Relaxed);
        let mut all = Written::default();
        for written in self.writers.join_all().await {
            all.done.extend(written.done);
            all.unknown.extend(written.unknown);
            all.failures.extend(written.failures);
        }
        all
    }
}

async fn write(client: &Client, key: &Bytes, value: &Bytes) -> client::Result<()> {
    let mut txn = client.begin().await?;
    txn.put(key.clone(), value.clone())?;
    txn.commit().await.map(drop)
}

impl World {
    /// What was acknowledged is there; beside it only what may be.
    async fn expect_written(&self, written: &Written) {
        assert!(written.failures.is_empty(), "{:?}", written.failures);
        let found: BTreeMap<Bytes, Bytes> = self.rows().await.into_iter().collect();
        for (key, value) in &written.done {
            assert_eq!(found.get(key), Some(value), "it was acknowledged");
        }
        for (key, value) in &found {
            let known = written.done.get(key).or(written.unknown.get(key));
            assert_eq!(known, Some(value), "nobody wrote {key:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn regions_split_under_load_and_no_write_is_lost_or_refused() {
    let world = World::start(3).await;
    let load = Load::start(&world.client);
    eventually("six regions", async || (world.regions().await.len() >= 6).then_some(())).await;
    load.go_on(100).await;
    let written = load.stop().await;
    assert!(written.unknown.is_empty(), "nobody was away: {:?}", written.unknown.keys());
    world.expect_written(&written).await;
}

/// As for an upgrade: asked to stop, started again, one after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_store_is_restarted_under_load_and_no_write_fails() {
    let mut world = World::start(3).await;
    let load = Load::start(&world.client);
    load.go_on(100).await;
    for place in 0..3 {
        world.cluster.stop_store(place);
        load.go_on(50).await;
        world.cluster.start_store(place);
        load.go_on(50).await;
    }
    world.cluster.stop_scheduler();
    world.cluster.start_scheduler();
    load.go_on(50).await;
    let written = load.stop().await;
    world.expect_written(&written).await;
}
