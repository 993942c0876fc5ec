//! The calls of `schedulerpb.Scheduler`, and the status port.

use std::sync::Arc;
use std::time::Duration;

use crate::fixture::{Fixture, config, eventually, region, store};
use bytes::Bytes;
use proto::metapb::{self, Region, RegionEpoch, StoreState};
use proto::schedulerpb::{
    AllocIdRequest, AskSplitRequest, BootstrapRequest, ErrorType, GetAllStoresRequest,
    GetClusterConfigRequest, GetGcSafePointRequest, GetMembersRequest, GetOperatorRequest,
    GetRegionByIdRequest, GetRegionRequest, GetRegionResponse, GetStoreRequest,
    IsBootstrappedRequest, PutClusterConfigRequest, PutStoreRequest, RequestHeader,
    ScanRegionsRequest, ScatterRegionRequest, StoreHeartbeatRequest, StoreStats,
    UpdateGcSafePointRequest,
};
use runtime::clock::{ManualClock, SystemClock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::Code;

async fn get_region(fixture: &Fixture, key: &[u8]) -> GetRegionResponse {
    let region_key = Bytes::copy_from_slice(key);
    let request = GetRegionRequest { header: fixture.header(), region_key };
    fixture.client.clone().get_region(request).await.unwrap().into_inner()
}

fn id(response: &GetRegionResponse) -> Option<u64> {
    response.region.as_ref().map(|region| region.id)
}

#[tokio::test]
async fn a_cluster_is_founded_once() {
    let mut fixture = Fixture::new().await;
    let header = fixture.header();
    let is_founded = || async {
        let request = IsBootstrappedRequest { header };
        fixture.client.clone().is_bootstrapped(request).await.unwrap().into_inner().bootstrapped
    };
    assert!(!is_founded().await);
    let early = get_region(&fixture, b"a").await.header.unwrap().error.unwrap();
    assert_eq!(early.r#type(), ErrorType::NotBootstrapped);
    let request = BootstrapRequest { header, store: Some(store(1)) };
    let first = fixture.client.bootstrap(request.clone()).await.unwrap().into_inner();
    assert_eq!(first.header.unwrap().error, None);
    let request_again = IsBootstrappedRequest { header };
    let founded = fixture.client.is_bootstrapped(request_again).await.unwrap().into_inner();
    assert!(founded.bootstrapped);
    let second = fixture.client.bootstrap(request).await.unwrap().into_inner();
    let error = second.header.unwrap().error.unwrap();
    assert_eq!(error.r#type(), ErrorType::AlreadyBootstrapped);
}

#[tokio::test]
async fn members_are_told_to_anybody_with_addresses_that_can_be_dialled() {
    let mut fixture = Fixture::new().await;
    let members = fixture.client.get_members(GetMembersRequest::default()).await.unwrap();
    let members = members.into_inner();
    assert_eq!(members.members.len(), 1);
    let leader = members.leader.unwrap();
    assert_eq!(leader, members.members[0]);
    assert!(leader.client_urls[0].starts_with("http://127.0.0.1:"), "{leader:?}");
    crate::fixture::channel(&leader.client_urls[0]).await;
}

#[tokio::test]
async fn timestamps_grow_and_ids_are_distinct_for_all_who_ask_at_once() {
    let mut fixture = Fixture::new().await;
    let given = fixture.timestamps(100, 1).await.unwrap();
    assert!(given.is_sorted_by(|a, b| a < b), "{given:?}");
    let batches = fixture.timestamps(30, 10).await.unwrap();
    assert!(batches.is_sorted_by(|a, b| a + 9 < *b) && given[99] + 9 < batches[0]);
    let refused = fixture.timestamps(1, 0).await.unwrap_err();
    assert_eq!(refused.message(), "tso count should be positive");

    let mut askers = Vec::new();
    for _ in 0..10 {
        let header = fixture.header();
        let mut client = fixture.client.clone();
        askers.push(tokio::spawn(async move {
            let mut ids = Vec::new();
            for _ in 0..300 {
                let request = AllocIdRequest { header };
                ids.push(client.alloc_id(request).await.unwrap().into_inner().id);
            }
            ids
        }));
    }
    let mut all = Vec::new();
    for asker in askers {
        let ids = asker.await.unwrap();
        assert!(ids.is_sorted_by(|a, b| a < b));
        all.extend(ids);
    }
    all.sort_unstable();
    assert!(all.is_sorted_by(|a, b| a < b), "3000 distinct ones");
}

/// The course's test of the same name, lesson 3C.
#[tokio::test]
async fn project3c_concurrent_handle_region() {
    let mut fixture = Fixture::new().await;
    fixture.bootstrap(3).await;
    for store_id in 1..=3 {
        let stats =
            StoreStats { store_id, capacity: 1 << 30, available: 1 << 30, ..Default::default() };
        let request = StoreHeartbeatRequest { header: fixture.header(), stats: Some(stats) };
        fixture.client.store_heartbeat(request).await.unwrap();
    }
    let mut streams = Vec::new();
    for store_id in 1..=3 {
        let stream = fixture.heartbeats().await;
        let everything = region(store_id, b"", b"", &[store_id]);
        stream.report(Region { region_epoch: None, ..everything }).await;
        streams.push(stream);
        if let [first] = &mut streams[..] {
            // It has one peer of three, so its leader is told to take more in.
            let told = first.answers.message().await.unwrap().unwrap();
            assert!(told.change_peer.is_some(), "{told:?}");
        }
    }
    let mut reporters = Vec::new();
    for worker in 0..20 {
        let mut stream = fixture.heartbeats().await;
        reporters.push(tokio::spawn(async move {
            let key = |number: u64| match number {
                0 | 2000 => Vec::new(),
                number => format!("{number:5}").into_bytes(),
            };
            for number in (0..2000).filter(|number| number % 20 == worker) {
                stream.report(region(10 + number, &key(number), &key(number + 1), &[1])).await;
            }
            drop(stream.sender);
            let mut refused = Vec::new();
            while let Ok(Some(answer)) = stream.answers.message().await {
                refused.extend(answer.header.and_then(|header| header.error));
            }
            refused
        }));
    }
    for reporter in reporters {
        assert_eq!(reporter.await.unwrap(), []);
    }
    let request = ScanRegionsRequest { header: fixture.header(), ..Default::default() };
    let found = fixture.client.scan_regions(request).await.unwrap().into_inner();
    assert_eq!(found.regions.len(), 2000);
    drop(streams);
    fixture.stop().await;
}

/// Ten regions of one byte each.
async fn ten(fixture: &mut Fixture) {
    fixture.bootstrap(3).await;
    let stream = fixture.heartbeats().await;
    for number in 0..10u8 {
        stream.report(region(u64::from(number) + 1, &[number], &[number + 1], &[1, 2, 3])).await;
    }
    eventually(|| get_region(fixture, &[9]), |found| id(found) == Some(10)).await;
}

#[tokio::test]
async fn regions_are_found_by_key_by_id_and_in_order() {
    let mut fixture = Fixture::new().await;
    ten(&mut fixture).await;
    let found = get_region(&fixture, &[3, 7]).await;
    assert_eq!(found.region, Some(region(4, &[3], &[4], &[1, 2, 3])));
    assert_eq!(found.leader.unwrap().store_id, 1);
    assert_eq!(get_region(&fixture, &[100]).await.region, None, "an empty success");
    for key in 0..20u8 {
        let region_key = Bytes::copy_from_slice(&[key]);
        let request = GetRegionRequest { header: fixture.header(), region_key };
        let before = fixture.client.get_prev_region(request).await.unwrap().into_inner();
        assert_eq!(id(&before), (1..10).contains(&key).then_some(u64::from(key)), "key {key}");
    }
    let request = GetRegionByIdRequest { header: fixture.header(), region_id: 7 };
    let by_id = fixture.client.get_region_by_id(request).await.unwrap().into_inner();
    assert_eq!(id(&by_id), Some(7));
    let header = fixture.header();
    let scan = |start: &[u8], end: &[u8], limit: i32| ScanRegionsRequest {
        header,
        start_key: start.to_vec().into(),
        end_key: end.to_vec().into(),
        limit,
    };
    let cases = [
        (scan(&[0], b"", 10), (1..=10).collect::<Vec<u64>>()),
        (scan(&[1], b"", 5), (2..=6).collect()),
        (scan(&[100], b"", 1), vec![]),
        (scan(&[1], &[6], 0), (2..=6).collect()),
        (scan(&[1], &[6], 2), vec![2, 3]),
    ];
    for (request, expected) in cases {
        let found = fixture.client.scan_regions(request).await.unwrap().into_inner();
        assert_eq!(found.regions.iter().map(|region| region.id).collect::<Vec<_>>(), expected);
        assert_eq!(found.leaders.len(), found.regions.len());
    }
    let reversed = scan(&[6], &[1], 0);
    let refused = fixture.client.scan_regions(reversed).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn only_a_current_region_gets_ids_for_a_split() {
    let mut fixture = Fixture::new().await;
    fixture.bootstrap(1).await;
    let stream = fixture.heartbeats().await;
    let known = Region {
        region_epoch: Some(RegionEpoch { conf_ver: 2, version: 2 }),
        ..region(1, b"", b"a", &[1])
    };
    stream.report(known.clone()).await;
    eventually(|| get_region(&fixture, b""), |found| id(found) == Some(1)).await;
    let mut ask = async |region: Region| {
        let request = AskSplitRequest { header: fixture.header(), region: Some(region) };
        fixture.client.ask_split(request).await.map(tonic::Response::into_inner)
    };
    let first = ask(known.clone()).await.unwrap();
    let second = ask(known.clone()).await.unwrap();
    assert!(first.new_region_id < second.new_region_id && first.new_peer_ids.len() == 1);
    assert_eq!(ask(region(2, b"a", b"b", &[1])).await.unwrap_err().code(), Code::NotFound);
    for (conf_ver, version) in [(1, 2), (2, 1)] {
        let region_epoch = Some(RegionEpoch { conf_ver, version });
        let stale = ask(Region { region_epoch, ..known.clone() }).await.unwrap_err();
        assert_eq!(stale.code(), Code::Aborted, "{stale:?}");
    }
}

#[tokio::test]
async fn stores_come_and_leave_and_never_come_back() {
    let clock = ManualClock::new();
    let mut fixture = Fixture::with(config(), Arc::new(clock.clone())).await;
    fixture.bootstrap(2).await;
    let header = fixture.header();
    let same_address = metapb::Store { id: 9, ..store(1) };
    let refused = fixture.put_store(same_address).await.unwrap_err();
    assert!(refused.message().contains("duplicated store address"), "{refused:?}");
    let get = |id: u64| GetStoreRequest { header, store_id: id };
    let unknown = fixture.client.get_store(get(77)).await.unwrap_err();
    assert_eq!(unknown.message(), "invalid store ID 77, not found");
    let known = fixture.client.get_store(get(2)).await.unwrap().into_inner();
    assert_eq!(known.store, Some(store(2)));

    // It holds nothing, so it is gone soon after it was asked to leave.
    let leaving = metapb::Store { state: StoreState::Offline.into(), ..store(2) };
    fixture.put_store(leaving).await.unwrap();
    let client = fixture.client.clone();
    let state = || {
        let mut client = client.clone();
        async move { client.get_store(get(2)).await.unwrap().into_inner().store.unwrap().state() }
    };
    tokio::time::timeout(Duration::from_secs(30), async {
        eventually(state, |state| *state == StoreState::Tombstone).await;
    })
    .await
    .unwrap();
    let again = PutStoreRequest { header, store: Some(store(2)) };
    let refused = fixture.client.put_store(again).await.unwrap().into_inner();
    assert_eq!(refused.header.unwrap().error.unwrap().r#type(), ErrorType::StoreTombstone);
    let request = StoreHeartbeatRequest {
        header,
        stats: Some(StoreStats { store_id: 2, ..StoreStats::default() }),
    };
    let refused = fixture.client.store_heartbeat(request).await.unwrap().into_inner();
    assert_eq!(refused.header.unwrap().error.unwrap().r#type(), ErrorType::StoreTombstone);
    for (exclude_tombstone_stores, count) in [(false, 2), (true, 1)] {
        let request = GetAllStoresRequest { header, exclude_tombstone_stores };
        let all = fixture.client.get_all_stores(request).await.unwrap().into_inner();
        assert_eq!(all.stores.len(), count);
    }
    // The address is free again, for another store.
    fixture.put_store(metapb::Store { id: 3, ..store(2) }).await.unwrap();
}

#[tokio::test]
async fn the_safe_point_never_goes_back() {
    let mut fixture = Fixture::new().await;
    fixture.bootstrap(1).await;
    let header = fixture.header();
    for safe_point in [0, 1, 2, 3, 233, 23333, 233_333_333_333, u64::MAX] {
        let request = UpdateGcSafePointRequest { header, safe_point };
        let held = fixture.client.update_gc_safe_point(request).await.unwrap().into_inner();
        assert_eq!(held.new_safe_point, safe_point);
    }
    let request = UpdateGcSafePointRequest { header, safe_point: 1 };
    let held = fixture.client.update_gc_safe_point(request).await.unwrap().into_inner();
    assert_eq!(held.new_safe_point, u64::MAX);
    let config = config();
    let mut fixture = fixture.crash(&config, Arc::new(SystemClock)).await;
    let request = GetGcSafePointRequest { header };
    let held = fixture.client.get_gc_safe_point(request).await.unwrap().into_inner();
    assert_eq!(held.safe_point, u64::MAX);
}

#[tokio::test]
async fn after_a_crash_no_timestamp_and_no_id_comes_again_whatever_the_clock_says() {
    let clock = ManualClock::new();
    let config = config();
    let mut fixture = Fixture::with(config.clone(), Arc::new(clock.clone())).await;
    fixture.bootstrap(2).await;
    let cluster_id = fixture.cluster_id;
    let (mut newest, mut newest_id) = (0, 0);
    let day = Duration::from_hours(24);
    for jump in [0, 3, -2, 1, -4, 0] {
        let request = AllocIdRequest { header: fixture.header() };
        let id = fixture.client.alloc_id(request).await.unwrap().into_inner().id;
        assert!(id > newest_id, "{id} after {newest_id}");
        newest_id = id;
        for _ in 0..5 {
            let given = fixture.timestamps(20, 7).await.unwrap();
            assert!(given.iter().all(|given| given - 6 > newest) && given.is_sorted());
            newest = given[19];
            clock.advance(Duration::from_millis(10));
        }
        let wall = runtime::clock::Clock::wall(&clock);
        let days = u32::try_from(i32::abs(jump)).unwrap();
        clock.set_wall(if jump < 0 { wall.saturating_sub(day * days) } else { wall + day * days });
        fixture = fixture.crash(&config, Arc::new(clock.clone())).await;
        assert_eq!(fixture.cluster_id, cluster_id);
    }
    let request = GetStoreRequest { header: fixture.header(), store_id: 2 };
    let known = fixture.client.get_store(request).await.unwrap().into_inner();
    assert_eq!(known.store, Some(store(2)));
    fixture.stop().await;
}

#[tokio::test]
async fn a_restarted_scheduler_knows_where_keys_lie_before_anybody_reports() {
    let mut fixture = Fixture::new().await;
    ten(&mut fixture).await;
    // What is remembered is not synced by itself; the next thing that is carries it along, and this goes
    // on at a pace for as long as several turns of the one who remembers.
    let header = fixture.header();
    for safe_point in 1..50 {
        let request = UpdateGcSafePointRequest { header, safe_point };
        fixture.client.update_gc_safe_point(request).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let fixture = fixture.crash(&config(), Arc::new(SystemClock)).await;
    let found = get_region(&fixture, &[3]).await;
    assert_eq!(found.region, Some(region(4, &[3], &[4], &[1, 2, 3])));
    assert_eq!(found.leader, None, "who leads has to be heard anew");
}

#[tokio::test]
async fn a_disk_that_fails_ends_the_scheduler_and_gives_nothing_that_is_not_saved() {
    let clock = ManualClock::new();
    let mut fixture = Fixture::with(config(), Arc::new(clock.clone())).await;
    fixture.bootstrap(1).await;
    fixture.timestamps(3, 1).await.unwrap();
    fixture.faults.fail_sync_after(0);
    let request = UpdateGcSafePointRequest { header: fixture.header(), safe_point: 5 };
    assert!(fixture.client.update_gc_safe_point(request).await.is_err());
    clock.advance(Duration::from_mins(1));
    // What is left of the window may be given, and then nothing more.
    let late = fixture.timestamps(2, 1 << 18).await;
    assert!(late.is_err(), "the window is used up, and no other can be saved: {late:?}");
    let reason = || async { fixture.failure.reason().map(str::to_owned) };
    eventually(reason, Option::is_some).await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_disturbs_nobody() {
    let mut fixture = Fixture::new().await;
    ten(&mut fixture).await;
    let header = fixture.header();
    let foreign = Some(RequestHeader { cluster_id: fixture.cluster_id + 1 });
    let refused = fixture.client.alloc_id(AllocIdRequest { header: foreign }).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().starts_with("mismatch cluster id"), "{refused:?}");
    let refused = fixture.client.alloc_id(AllocIdRequest { header: None }).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(!refused.message().contains("mismatch"), "a client would end itself: {refused:?}");

    let refusals = [
        fixture.client.put_store(PutStoreRequest { header, store: None }).await.err(),
        fixture
            .client
            .put_store(PutStoreRequest { header, store: Some(metapb::Store::default()) })
            .await
            .err(),
        fixture.client.ask_split(AskSplitRequest { header, region: None }).await.err(),
        fixture.client.store_heartbeat(StoreHeartbeatRequest { header, stats: None }).await.err(),
        fixture
            .client
            .put_cluster_config(PutClusterConfigRequest {
                header,
                cluster: Some(metapb::Cluster { id: 5, max_peer_count: 3 }),
            })
            .await
            .err(),
        fixture
            .client
            .scatter_region(ScatterRegionRequest { header, region_id: 99, ..Default::default() })
            .await
            .err(),
    ];
    for refused in refusals {
        let refused = refused.expect("it makes no sense");
        assert!(!refused.message().contains("mismatch cluster id"), "{refused:?}");
    }
    let request = GetOperatorRequest { header, region_id: 1 };
    let none = fixture.client.get_operator(request).await.unwrap().into_inner();
    assert_eq!(none.header.unwrap().error.unwrap().r#type(), ErrorType::RegionNotFound);

    let mut stream = fixture.heartbeats().await;
    let bad = [
        Region { id: 0, ..region(1, &[0], &[1], &[1]) },
        region(50, &[5], &[2], &[1]),
        Region {
            region_epoch: Some(RegionEpoch { conf_ver: 0, version: 1 }),
            ..region(1, &[0], &[1], &[1])
        },
    ];
    for region in bad {
        stream.report(region.clone()).await;
        let answer = stream.answers.message().await.unwrap().unwrap();
        let error = answer.header.unwrap().error.expect("it is refused");
        assert_eq!(answer.region_id, region.id, "{error:?}");
    }
    stream.report(region(60, &[60], &[61], &[77])).await;
    let ended = stream.answers.message().await.unwrap_err();
    assert_eq!(ended.message(), "invalid store ID 77, not found");
    let request = ScanRegionsRequest { header, ..ScanRegionsRequest::default() };
    let found = fixture.client.scan_regions(request).await.unwrap().into_inner();
    assert_eq!(found.regions.len(), 10, "nothing has changed");
}

#[tokio::test]
async fn the_number_of_replicas_can_be_changed() {
    let mut fixture = Fixture::new().await;
    fixture.bootstrap(1).await;
    let header = fixture.header();
    let cluster = metapb::Cluster { id: fixture.cluster_id, max_peer_count: 5 };
    let request = PutClusterConfigRequest { header, cluster: Some(cluster) };
    fixture.client.put_cluster_config(request).await.unwrap();
    let fixture = &mut fixture.crash(&config(), Arc::new(SystemClock)).await;
    let request = GetClusterConfigRequest { header };
    let held = fixture.client.get_cluster_config(request).await.unwrap().into_inner();
    assert_eq!(held.cluster, Some(cluster));
}

#[tokio::test]
async fn a_directory_of_another_cluster_is_refused() {
    let fixture = Fixture::new().await;
    let (engine, faults) = (Arc::new(fixture.engine.crash(0)), Arc::clone(&fixture.faults));
    let config = scheduler::config::Config { cluster_id: fixture.cluster_id ^ 1, ..config() };
    fixture.stop().await;
    let refused = Fixture::on(engine, faults, &config, Arc::new(SystemClock)).await;
    let text = refused.map(|_| ()).unwrap_err().to_string();
    assert!(text.contains("the data directory belongs to cluster"), "{text}");
}

async fn page(fixture: &Fixture, request: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(fixture.status_addr.unwrap()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn the_status_port_shows_pages_and_survives_nonsense() {
    let mut fixture = Fixture::new().await;
    ten(&mut fixture).await;
    let get = async |path: &str| page(&fixture, &format!("GET {path} HTTP/1.1\r\n\r\n")).await;
    assert!(get("/livez").await.starts_with("HTTP/1.1 200 OK"));
    assert!(get("/readyz").await.ends_with("\r\n\r\nok\n"));
    let status = get("/status").await;
    assert!(status.contains("\"leads\": true") && status.contains("\"stores\": 3"), "{status}");
    assert!(get("/metrics").await.contains("tinyscheduler_region_reports_total 10"));
    assert!(get("/nothing").await.starts_with("HTTP/1.1 404"));
    let post = page(&fixture, "POST /status HTTP/1.1\r\n\r\n").await;
    assert!(post.starts_with("HTTP/1.1 405"), "{post}");
    let put = async |level: &str| {
        let head = format!("PUT /log-level HTTP/1.1\r\nContent-Length: {}\r\n\r\n", level.len());
        page(&fixture, &(head + level)).await
    };
    assert!(put("debug").await.ends_with("\r\n\r\ndebug\n"));
    assert!(put("loud").await.starts_with("HTTP/1.1 400"));
    assert!(get("/log-level").await.ends_with("\r\n\r\ndebug\n"));
    assert!(get("/config").await.starts_with("HTTP/1.1 200 OK"));
    assert!(page(&fixture, "\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    let long = "x".repeat(9 << 10);
    assert!(page(&fixture, &long).await.starts_with("HTTP/1.1 431"));
    assert!(get("/livez").await.starts_with("HTTP/1.1 200 OK"));
}
