//! Several schedulers over a real etcd: one leads, and another when it is gone.

use std::sync::Arc;

use bytes::Bytes;
use proto::etcdserverpb::RangeRequest;
use proto::schedulerpb::{AllocIdRequest, GetMembersRequest, TsoRequest};
use runtime::clock::SystemClock;
use runtime::units::Period;
use scheduler::config::Config;
use scheduler::tso::compose;
use tonic::Code;

use crate::debian::Etcd;
use crate::fixture::{Fixture, config, eventually, store};

fn member(etcd: &[String], name: &str) -> Config {
    Config {
        name: name.to_owned(),
        etcd_endpoints: etcd.to_vec(),
        lease: Period::secs(1),
        ..config()
    }
}

async fn start(etcd: &[String], name: &str) -> Fixture {
    Fixture::with(member(etcd, name), Arc::new(SystemClock)).await
}

/// Who leads, as this one sees it.
async fn leader(fixture: &Fixture) -> Option<String> {
    let mut client = fixture.client.clone();
    let members = client.get_members(GetMembersRequest::default()).await.unwrap().into_inner();
    members.leader.map(|leader| leader.name)
}

/// One timestamp from whoever gives one.
async fn timestamp(all: &[&Fixture]) -> Option<u64> {
    for fixture in all {
        let mut client = fixture.client.clone();
        let request = TsoRequest { header: fixture.header(), count: 10 };
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        sender.send(request).await.unwrap();
        let Ok(answers) = client.tso(crate::fixture::Requests(receiver)).await else { continue };
        if let Ok(Some(answer)) = answers.into_inner().message().await {
            return Some(compose(answer.timestamp.unwrap()));
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_and_ids_go_on_when_leaders_go_and_followers_refuse() {
    let Some(etcd) = Etcd::start_members(3).await else { return };
    let mut all = Vec::new();
    for name in ["a", "b", "c"] {
        all.push((name.to_owned(), start(&etcd.urls, name).await));
    }
    assert!(all.iter().all(|(_, fixture)| fixture.cluster_id == all[0].1.cluster_id));
    let (mut newest, mut newest_id, mut gaps) = (0, 0, Vec::new());
    for round in 0..2 {
        let see = || async {
            let mut seen = Vec::new();
            for (_, fixture) in &all {
                seen.push(leader(fixture).await);
            }
            seen
        };
        let agree = |seen: &Vec<Option<String>>| {
            seen[0].is_some() && seen.iter().all(|leader| *leader == seen[0])
        };
        let name = eventually(see, agree).await[0].clone().unwrap();
        let place = all.iter().position(|(other, _)| *other == name).unwrap();
        let (_, mut leading) = all.remove(place);
        if round == 0 {
            leading.bootstrap(1).await;
        }
        for _ in 0..100 {
            let given = timestamp(&[&leading]).await.expect("it leads");
            assert!(given - 9 > newest, "{given} after {newest}");
            newest = given;
        }
        let request = AllocIdRequest { header: leading.header() };
        let id = leading.client.alloc_id(request).await.unwrap().into_inner().id;
        assert!(id > newest_id);
        newest_id = id;
        for (_, follower) in &mut all {
            let request = AllocIdRequest { header: follower.header() };
            let refused = follower.client.alloc_id(request).await.unwrap_err();
            assert_eq!((refused.code(), refused.message()), (Code::Unavailable, "not leader"));
        }
        // It ends without saying so: its lease has to run out.
        leading.vanish();
        let left: Vec<&Fixture> = all.iter().map(|(_, fixture)| fixture).collect();
        let begun = std::sync::atomic::AtomicU32::new(0);
        let ask = || {
            begun.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            timestamp(&left)
        };
        let given = eventually(ask, Option::is_some).await.unwrap();
        assert!(given - 9 > newest, "{given} after {newest}");
        gaps.push((given >> 18) - (newest >> 18));
        newest = given;
    }
    // The last one knows what the first one was told.
    let (_, last) = &mut all[0];
    let request = proto::schedulerpb::GetStoreRequest { header: last.header(), store_id: 1 };
    let known = last.client.get_store(request).await.unwrap().into_inner();
    assert_eq!(known.store, Some(store(1)));
    // The last timestamps of a leader may lie ahead of the clock, so this is about the gap at most.
    assert!(gaps.iter().all(|&gap| gap < 10_000), "milliseconds without a leader: {gaps:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_key_is_taken_away_steps_down_and_time_never_goes_back() {
    let Some(etcd) = Etcd::start().await else { return };
    let urls = [etcd.url.clone()];
    let (one, two) = (start(&urls, "one").await, start(&urls, "two").await);
    let all = [&one, &two];
    let mut newest = 0;
    for _ in 0..3 {
        let given = eventually(|| timestamp(&all), Option::is_some).await.unwrap();
        assert!(given - 9 > newest);
        newest = given;
        let key = Bytes::from(format!("/pd/{}/leader", one.cluster_id));
        let delete = proto::etcdserverpb::DeleteRangeRequest {
            key: key.clone(),
            ..proto::etcdserverpb::DeleteRangeRequest::default()
        };
        // Through the scheduler: what clients ask of etcd is passed on.
        let gone = one.kv().delete_range(delete).await.unwrap().into_inner();
        assert_eq!(gone.deleted, 1);
        // Somebody is elected anew, and writes the key.
        let look = || async {
            let read = RangeRequest { key: key.clone(), ..RangeRequest::default() };
            one.kv().range(read).await.unwrap().into_inner().count
        };
        eventually(look, |&count| count == 1).await;
    }
}
