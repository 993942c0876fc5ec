//! Rungs about the scheduler's own service: members, timestamps, routing.

use proto::etcdserverpb::MemberListRequest;
use proto::etcdserverpb::cluster_client::ClusterClient;
use proto::schedulerpb::{GetMembersRequest, GetRegionRequest, GetStoreRequest, RequestHeader};
use tonic::Code;

use crate::one_store;
use crate::tinysql::{TinySql, encoded};

/// Before anything else: both services are asked over one connection, without a header.
#[tokio::test]
async fn members_and_etcds_members_tell_the_same_address_on_one_connection() {
    let (_cluster, sql) = one_store().await;
    let answer = sql.scheduler().get_members(GetMembersRequest::default()).await.unwrap();
    let answer = answer.into_inner();
    assert!(answer.header.unwrap().cluster_id > 0);
    let urls = answer.leader.unwrap().client_urls;
    assert!(urls[0].starts_with("http://127.0.0.1:"), "{urls:?}");
    let request = MemberListRequest::default();
    let listed = ClusterClient::new(sql.channel.clone()).member_list(request).await.unwrap();
    let listed = listed.into_inner();
    assert!(listed.header.is_some());
    let all: Vec<&String> = listed.members.iter().flat_map(|member| &member.client_urls).collect();
    assert_eq!(all, urls.iter().collect::<Vec<_>>(), "they replace what TinySQL was started with");
}

/// Each statement: all who wait share one request, and count down from the largest.
#[tokio::test]
async fn timestamps_are_counted_from_the_last_and_survive_a_crash_of_the_scheduler() {
    let (mut cluster, mut sql) = one_store().await;
    let mut newest = sql.timestamp().await;
    // The last ones are more than a millisecond has.
    for count in [1, 5, 10_000, 10_000, 200_000, 200_000, 200_000] {
        let last = sql.timestamps(count).await;
        assert!(last - u64::from(count) + 1 > newest, "{count} of them overlap");
        newest = last;
    }
    cluster.kill_scheduler();
    cluster.start_scheduler();
    let next = sql.timestamp().await;
    assert!(next > newest, "{next} was given before {newest}");
}

/// A scheduler of another cluster ends the process, so it must be told apart, and nothing else may be.
#[tokio::test]
async fn only_a_foreign_cluster_is_called_a_mismatch() {
    let (_cluster, mut sql) = one_store().await;
    let right = sql.header;
    sql.header = Some(RequestHeader { cluster_id: 7 });
    let request = GetStoreRequest { header: sql.header, store_id: 1 };
    let refused = sql.scheduler().get_store(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().starts_with("mismatch cluster id"), "{refused}");
    let request = GetStoreRequest { header: right, store_id: 999 };
    let unknown = sql.scheduler().get_store(request).await;
    let unknown = unknown.map_or_else(|status| status.to_string(), |answer| format!("{answer:?}"));
    assert!(!unknown.contains("mismatch"), "{unknown}");
}

/// The first use of a key: where it lies, and where that store is.
#[tokio::test]
async fn a_region_is_found_for_every_key_and_its_store_can_be_dialled() {
    let (_cluster, mut sql) = one_store().await;
    // A store reports its regions soon after it serves.
    sql.locate(b"").await;
    let scheduler = sql.scheduler();
    let mut regions = Vec::new();
    for region_key in [encoded(b""), encoded(b"mBootstrapKey"), vec![0xff].into()] {
        let request = GetRegionRequest { header: sql.header, region_key };
        let answer = scheduler.clone().get_region(request).await.unwrap().into_inner();
        regions.push(answer.region.expect("the cluster has a store"));
    }
    assert!(regions.windows(2).all(|pair| pair[0] == pair[1]), "there is one region: {regions:?}");
    let epoch = regions[0].region_epoch.unwrap();
    assert_eq!((epoch.conf_ver, epoch.version, regions[0].peers.len()), (1, 1, 1));
    let store = regions[0].peers[0].store_id;
    assert!(sql.stub(store).await.is_some(), "its address is bare, and somebody listens");
}

/// A second TinySQL starts while the first one works.
#[tokio::test]
async fn two_servers_never_get_the_same_timestamp() {
    let (cluster, mut one) = one_store().await;
    let mut other = TinySql::connect(cluster.address()).await;
    let mut newest = 0;
    for round in 0..100 {
        let next = if round % 2 == 0 { one.timestamp().await } else { other.timestamp().await };
        assert!(next > newest, "{next} was given before {newest}");
        newest = next;
    }
}
