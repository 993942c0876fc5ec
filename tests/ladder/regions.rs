//! Rungs about regions: they split, their leaders move, and every refusal says where to go on.

use bytes::Bytes;
use proto::errorpb;
use proto::kvrpcpb::{Context, GetRequest, ScanRequest};
use proto::metapb::Peer;
use proto::schedulerpb::GetStoreRequest;
use tests::cluster::{Cluster, Settings};
use tests::eventually;

use crate::quick;
use crate::tinysql::{Known, TinySql, put};

fn name(number: u32) -> String {
    format!("t{number:04}")
}

/// Writes rows until their region is larger than the cluster allows, and waits until it is not any more.
async fn split(cluster_settings: Settings) -> (Cluster, TinySql, Known, u64) {
    let mut settings = cluster_settings;
    settings
        .store
        .extend(["raftstore.region-size-max=128KiB", "raftstore.region-size-split=64KiB"]);
    let cluster = Cluster::start(1, &settings);
    let mut sql = TinySql::connect(cluster.address()).await;
    let before = sql.locate(b"t").await;
    let value = Bytes::from(vec![b'v'; 1 << 10]);
    let mut at = 0;
    for part in 0..4 {
        let rows: Vec<_> =
            (part * 75..(part + 1) * 75).map(|number| put(name(number), value.clone())).collect();
        at = sql.commit(&rows).await.unwrap();
    }
    eventually("a split", async || {
        sql.forget_regions();
        (!sql.locate(b"t").await.end.is_empty()).then_some(())
    })
    .await;
    (cluster, sql, before, at)
}

/// Asks a region once, as whoever has known it as it was.
async fn ask_once(sql: &mut TinySql, known: &Known, key: &[u8], version: u64) -> errorpb::Error {
    let key = Bytes::copy_from_slice(key);
    let request = GetRequest { context: Some(known.context()), key, version };
    let mut stub = sql.stub(known.peer().store_id).await.unwrap();
    *stub.kv_get(request).await.unwrap().into_inner().region_error.expect("it has changed")
}

/// A table grows: its region is split under it, in the middle of rows and of a transaction.
#[tokio::test]
async fn a_split_is_told_with_both_halves_and_each_half_serves_its_keys() {
    let (_cluster, mut sql, before, at) = split(quick()).await;
    let first = sql.locate(b"t").await;
    let refused = ask_once(&mut sql, &before, b"t0001", at).await;
    let halves = refused.epoch_not_match.clone().expect("its epoch is old").current_regions;
    assert!(halves.len() > 1, "a round trip is saved: {halves:?}");
    sql.forget_regions();
    sql.learn(&before, &refused);
    for key in [name(0), name(299)] {
        assert_eq!(sql.get(key.as_bytes(), at).await.len(), 1 << 10);
    }

    // A page ends where its region does.
    let request =
        ScanRequest { start_key: first.start.clone(), limit: 256, version: at, context: None };
    let (page, known) = sql.ask(b"t", request).await;
    assert!(!page.pairs.is_empty() && page.pairs.len() < 256);
    assert!(page.pairs.iter().all(|pair| pair.key < known.end), "{known:?}");
    let all = sql.scan(b"t", at).await;
    assert_eq!(all.len(), 300);
    assert!(all.is_sorted());

    // Locks on both sides of the boundary, of which one is of a client that died.
    let (low, high) = (name(0), name(299));
    assert_ne!(
        sql.locate(low.as_bytes()).await.region.id,
        sql.locate(high.as_bytes()).await.region.id
    );
    let written = sql.commit(&[put(low.clone(), "new"), put(high.clone(), "new")]).await.unwrap();
    for key in [&low, &high] {
        assert_eq!(sql.get(key.as_bytes(), written).await, "new");
        assert_eq!(sql.get(key.as_bytes(), at).await.len(), 1 << 10);
    }
}

/// A store is not what it was taken for: TinySQL repeats the request without a pause, so this is rare.
#[tokio::test]
async fn a_request_to_the_wrong_store_or_region_is_refused_in_words_that_help() {
    let (_cluster, mut sql) = crate::one_store().await;
    let known = sql.locate(b"t").await;
    let now = sql.timestamp().await;
    let mut wrong = known.clone();
    wrong.region.peers[0].store_id += 1;
    let request =
        GetRequest { context: Some(wrong.context()), key: Bytes::from_static(b"t"), version: now };
    let mut stub = sql.stub(known.peer().store_id).await.unwrap();
    let refused = stub.kv_get(request).await.unwrap().into_inner().region_error.unwrap();
    let store = refused.store_not_match.expect("it is another store");
    let stores = (wrong.peer().store_id, known.peer().store_id);
    assert_eq!((store.request_store_id, store.actual_store_id), stores);

    let mut unknown = known.clone();
    unknown.region.id += 1000;
    let refused = ask_once(&mut sql, &unknown, b"t", now).await;
    assert_eq!(refused.region_not_found.unwrap().region_id, unknown.region.id);
}

/// Asks all three peers: one serves, and the others say that it does.
async fn leader_of(three: &Known, sql: &mut TinySql, version: u64) -> Option<Peer> {
    let (mut leaders, mut named) = (Vec::new(), Vec::new());
    for peer in &three.region.peers {
        let mut stub = sql.stub(peer.store_id).await?;
        let context = Some(Context { peer: Some(*peer), ..three.context() });
        let request = GetRequest { context, key: Bytes::from_static(b"t1"), version };
        match stub.kv_get(request).await.ok()?.into_inner().region_error {
            None => leaders.push(*peer),
            Some(error) => named.push(error.not_leader?.leader?),
        }
    }
    let leader = *leaders.first()?;
    assert_eq!(leaders.len(), 1, "two lead: {leaders:?}");
    (named == [leader, leader]).then_some(leader)
}

/// A store is lost: the others say who leads, and the scheduler says the same.
#[tokio::test]
async fn after_the_loss_of_a_leader_another_one_is_told_by_stores_and_scheduler() {
    let mut cluster = Cluster::start(3, &quick());
    let mut sql = TinySql::connect(cluster.address()).await;
    let at = sql.commit(&[put("t1", "v")]).await.unwrap();
    let three = eventually("three replicas", async || {
        sql.forget_regions();
        let known = sql.locate(b"t1").await;
        (known.region.peers.len() == 3).then_some(known)
    })
    .await;
    let leader = eventually("a leader that both others name", async || {
        leader_of(&three, &mut sql, at).await
    })
    .await;
    let request = GetStoreRequest { header: sql.header, store_id: leader.store_id };
    let store = sql.scheduler().get_store(request).await.unwrap().into_inner().store.unwrap();
    cluster.kill_store(cluster.place_of(&store.address));

    let key = Bytes::from_static(b"t1");
    let request = GetRequest { key, version: at, ..GetRequest::default() };
    let (_, next) = sql.ask(b"t1", request).await;
    assert_ne!(next.peer(), leader);
    let written = sql.commit(&[put("t1", "w")]).await.unwrap();
    assert_eq!(sql.get(b"t1", written).await, "w");
    eventually("the scheduler's word about the new leader", async || {
        sql.forget_regions();
        (sql.locate(b"t1").await.peer() != leader).then_some(())
    })
    .await;
}
