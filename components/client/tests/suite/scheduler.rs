//! The scheduler's client against a real scheduler, and against a network that breaks.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use client::error::Cause;
use client::{Config, SchedulerClient, Timestamp};
use proto::metapb::{Peer, Region, RegionEpoch, Store};
use proto::schedulerpb::{RegionHeartbeatRequest, StoreStats};
use runtime::Rng;

use crate::real::Scheduler;
use crate::{config, eventually};

fn store(id: u64) -> Store {
    Store { id, address: format!("127.0.0.1:{}", 20160 + id), ..Store::default() }
}

fn region(id: u64, start: &'static str, end: &'static str) -> Region {
    Region {
        id,
        start_key: Bytes::from(start),
        end_key: Bytes::from(end),
        region_epoch: Some(RegionEpoch { conf_ver: 1, version: 1 }),
        peers: vec![Peer { id: id * 10, store_id: 1 }],
    }
}

fn report(region: Region) -> RegionHeartbeatRequest {
    let leader = region.peers.first().copied();
    RegionHeartbeatRequest { region: Some(region), leader, ..RegionHeartbeatRequest::default() }
}

#[tokio::test]
async fn a_cluster_is_founded_by_one_store_and_it_learns_so_however_often_it_asks() {
    let scheduler = Scheduler::start().await;
    let client = scheduler.client().await;
    assert!(!client.is_bootstrapped().await.unwrap());
    let early = client.stores(true).await.unwrap_err();
    assert_eq!(*early.cause(), Cause::NotBootstrapped);
    assert!(early.is_retryable());

    assert!(client.bootstrap(&store(1)).await.unwrap());
    assert!(client.is_bootstrapped().await.unwrap());
    assert!(client.bootstrap(&store(1)).await.unwrap(), "it was this store, before");
    assert!(!client.bootstrap(&store(2)).await.unwrap(), "another store was first");

    let (members, leader) = client.members().await.unwrap();
    assert_eq!((members.len(), leader.as_ref()), (1, members.first()));
    let (first, second) = (client.alloc_id().await.unwrap(), client.alloc_id().await.unwrap());
    assert!(0 < first && first < second);
    let settings = client.cluster_config().await.unwrap();
    assert_eq!(settings.id, client.cluster_id());
    client.put_cluster_config(&settings).await.unwrap();
}

#[tokio::test]
async fn stores_regions_and_the_safe_point_are_told_and_asked_for() {
    let scheduler = Scheduler::start().await;
    let client = scheduler.client().await;
    assert!(client.bootstrap(&store(1)).await.unwrap());
    client.put_store(&store(2)).await.unwrap();
    assert_eq!(client.stores(false).await.unwrap(), vec![store(1), store(2)]);
    assert_eq!(client.store(2).await.unwrap(), Some(store(2)));
    assert_eq!(client.store(9).await.unwrap(), None);
    let stats = StoreStats { store_id: 1, capacity: 100, available: 50, ..StoreStats::default() };
    client.store_heartbeat(&stats).await.unwrap();
    let (_, told) = client.store_stats(1).await.unwrap().unwrap();
    assert_eq!(told.unwrap().available, 50);

    let heartbeats = client.region_heartbeats(|_| {});
    let (left, right) = (region(2, "", "m"), region(3, "m", ""));
    for region in [&left, &right] {
        heartbeats.report(report(region.clone())).unwrap();
    }
    let found = || async { client.region(b"z").await.unwrap() };
    let found = eventually(found, Option::is_some).await.unwrap();
    assert_eq!((&found.region, found.leader), (&right, Some(right.peers[0])));
    let before = client.prev_region(b"z").await.unwrap().unwrap();
    assert_eq!(before.region, left);
    assert_eq!(client.region_by_id(3).await.unwrap().unwrap().region, right);
    assert_eq!(client.region_by_id(99).await.unwrap(), None);
    let all = client.scan_regions(b"", b"", 0).await.unwrap();
    assert_eq!(all.iter().map(|found| found.region.id).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(client.scan_regions(b"a", b"", 1).await.unwrap().len(), 1);
    assert!(client.scan_regions(b"b", b"a", 1).await.is_err_and(|error| !error.is_retryable()));

    let (id, peers) = client.ask_split(&right).await.unwrap();
    assert!(id > 0 && peers.len() == 1);
    assert_eq!(client.operator(99).await.unwrap(), None);
    assert_eq!(client.gc_safe_point().await.unwrap(), Timestamp::new(0));
    let raise = |number| client.update_gc_safe_point(Timestamp::new(number));
    assert_eq!(raise(100).await.unwrap(), Timestamp::new(100));
    assert_eq!(raise(50).await.unwrap(), Timestamp::new(100), "it never falls");
    assert_eq!(client.gc_safe_point().await.unwrap(), Timestamp::new(100));
}

#[tokio::test]
async fn timestamps_of_all_who_ask_at_once_are_distinct_and_grow_for_each() {
    let scheduler = Scheduler::start().await;
    let client = scheduler.client().await;
    let mut tasks = Vec::new();
    for _ in 0..20 {
        let client = client.clone();
        tasks.push(tokio::spawn(async move {
            let mut taken = Vec::new();
            for _ in 0..100 {
                taken.push(client.timestamp().await.unwrap());
            }
            assert!(taken.is_sorted_by(|a, b| a < b));
            taken
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    all.sort_unstable();
    assert!(all.is_sorted_by(|a, b| a < b), "2000 distinct ones");
    assert!(client.timestamp().await.unwrap() > *all.last().unwrap());
}

#[tokio::test]
async fn a_broken_network_delays_calls_streams_and_timestamps_and_fails_none() {
    let scheduler = Scheduler::start().await;
    let client = scheduler.client().await;
    assert!(client.bootstrap(&store(1)).await.unwrap());
    let broken = Arc::new(Mutex::new(0));
    let count = Arc::clone(&broken);
    let heartbeats = client.region_heartbeats(move |answer| {
        *count.lock().unwrap() += u32::from(answer.is_err());
    });
    heartbeats.report(report(region(2, "", ""))).unwrap();
    let first = client.timestamp().await.unwrap();
    let known = || async { client.region_by_id(2).await.unwrap() };
    eventually(known, Option::is_some).await;

    let target = scheduler.gate.close().expect("it was open");
    let waiting = {
        let client = client.clone();
        tokio::spawn(async move { (client.timestamp().await, client.alloc_id().await) })
    };
    eventually(|| async { *broken.lock().unwrap() }, |&count| count > 1).await;
    assert!(!waiting.is_finished(), "there is nobody to answer");
    scheduler.gate.open(target);
    let (second, id) = waiting.await.unwrap();
    assert!(second.unwrap() > first && id.unwrap() > 0);
    heartbeats.report(report(region(3, "", ""))).unwrap();
    let known = || async { client.region_by_id(3).await.unwrap() };
    eventually(known, Option::is_some).await;
}

#[tokio::test]
async fn what_takes_too_long_ends_with_what_was_tried() {
    let scheduler = Scheduler::start().await;
    let patience = Duration::from_millis(300);
    let client = scheduler.client_with(Config { scheduler_total: patience, ..config() }).await;
    scheduler.gate.close();
    for error in [client.alloc_id().await.unwrap_err(), client.timestamp().await.unwrap_err()] {
        assert_eq!(*error.cause(), Cause::Exhausted);
        assert!(error.is_retryable() && error.attempts().count() > 0, "{error}");
    }
    let addr = scheduler.gate.addr().to_string();
    let config = Config { scheduler_total: patience, ..config() };
    let refused = SchedulerClient::connect(&[&addr], config.clone(), Rng::new(1)).await;
    let error = refused.err().expect("nobody is there");
    assert!(error.is_retryable() && error.attempts().count() > 1, "{error}");
    let refused = SchedulerClient::connect(&["nowhere"], config, Rng::new(1)).await;
    assert!(matches!(refused.err().expect("no port").cause(), Cause::Invalid(_)));
}

#[tokio::test]
async fn a_client_finds_a_scheduler_that_starts_after_it_and_ignores_addresses_of_nobody() {
    let scheduler = Scheduler::start().await;
    let target = scheduler.gate.close().expect("it was open");
    let addr = scheduler.gate.addr().to_string();
    let addresses = format!("127.0.0.1:1,{addr}");
    let connecting = tokio::spawn(async move {
        SchedulerClient::connect(&[&addresses], config(), Rng::new(1)).await
    });
    tokio::task::yield_now().await;
    scheduler.gate.open(target);
    let client = connecting.await.unwrap().unwrap();
    assert!(client.timestamp().await.unwrap().physical_ms() > 1_700_000_000_000);
}
