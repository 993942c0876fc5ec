//! Several schedulers over a real etcd: one leads, and another when it is gone.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proto::etcdserverpb::RangeRequest;
use proto::etcdserverpb::kv_client::KvClient;
use proto::schedulerpb::scheduler_client::SchedulerClient;
use proto::schedulerpb::{
    AllocIdRequest, BootstrapRequest, GetGcSafePointRequest, GetMembersRequest, TsoRequest,
    UpdateGcSafePointRequest,
};
use runtime::clock::{Clock, SystemClock};
use runtime::units::Period;
use scheduler::config::Config;
use scheduler::endpoints::Endpoints;
use scheduler::tso::compose;
use tests::process::Process;
use tonic::{Code, Status};

use crate::debian::{Etcd, free_port};
use crate::fixture::{Fixture, config, eventually, store};
use crate::load::Load;

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

/// The default, which is what people have.
const LEASE: Duration = Duration::from_secs(3);

/// The program, with its data in a folder of its own.
fn process(etcd: &[String], home: &Path, name: &str) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tinyscheduler-server"));
    command.args(["-client-urls=http://127.0.0.1:0", "-status-addr=", "-name", name]);
    command.arg(format!("-data-dir={}", home.join(name).display()));
    Process::start(command.arg(format!("--etcd-endpoints={}", etcd.join(","))))
}

/// Has something written that only a leader may write, by whoever leads.
async fn move_safe_point(load: &Load, safe_point: u64) -> Result<u64, Status> {
    let request = UpdateGcSafePointRequest { header: load.header(), safe_point };
    let leader = load.leader().expect("somebody has led");
    let moved = load.client(leader).update_gc_safe_point(request).await?;
    Ok(moved.into_inner().new_safe_point)
}

/// Two schedulers of three are killed while they lead and are asked for timestamps all the time, and
/// in between the leader of the three etcds behind them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_under_load_repeat_no_timestamp_and_a_successor_serves_within_two_leases() {
    let Some(mut etcd) = Etcd::start_members(3).await else { return };
    let home = tempfile::tempdir().unwrap();
    let names = ["a", "b", "c"];
    let mut processes = names.map(|name| Some(process(&etcd.urls, home.path(), name)));
    let serving = processes.each_mut().map(|process| {
        let process = process.as_mut().expect("it was just started");
        format!("http://{}", process.wait_until_serving())
    });
    let load = Load::start(&serving).await;
    let mut leader = eventually(|| async { load.leader() }, Option::is_some).await.unwrap();
    let request = BootstrapRequest { header: load.header(), store: Some(store(1)) };
    load.client(leader).bootstrap(request).await.unwrap();
    for round in 1..=2 {
        let killed = SystemClock.now();
        processes[leader].take().expect("each dies once").kill();
        let successor = |found: &Option<usize>| *found != Some(leader);
        leader = eventually(|| async { load.leader() }, successor).await.unwrap();
        let took = SystemClock.now().since(killed);
        assert!(took < 2 * LEASE, "{took:?} without a leader");
        if round == 1 {
            etcd.kill_leader().await;
        }
        let written = eventually(|| move_safe_point(&load, round), Result::is_ok).await;
        assert_eq!(written.unwrap(), round);
    }
    let request = GetGcSafePointRequest { header: load.header() };
    let response = load.client(leader).get_gc_safe_point(request).await.unwrap().into_inner();
    assert_eq!(response.safe_point, 2);
    // One that was killed comes back to the cluster that it knows, and finds who leads.
    let killed = processes.iter().position(Option::is_none).expect("two of them");
    let mut again = process(&etcd.urls, home.path(), names[killed]);
    let url = format!("http://{}", again.wait_until_serving());
    let mut client = SchedulerClient::new(crate::fixture::channel(&url).await);
    let members = client.get_members(GetMembersRequest::default()).await.unwrap().into_inner();
    assert_eq!(members.header.map(|header| header.cluster_id), load.header().map(|h| h.cluster_id));
    assert!(load.stop().await > 1000, "there was a load");
}

/// As a member of an etcd that is not there any more, beside one that is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_etcd_fails_the_first_call_and_no_other() {
    // With a space of its own, a scheduler is an etcd to others.
    let live = Fixture::with(config(), Arc::new(SystemClock)).await;
    let dead = format!("http://127.0.0.1:{}", free_port());
    let endpoints = Endpoints::new(&[dead, live.url.clone()], None).unwrap();
    let ask = || {
        let request = RangeRequest { key: Bytes::from_static(b"k"), ..RangeRequest::default() };
        let mut kv = KvClient::new(endpoints.clone());
        async move { kv.range(request).await }
    };
    assert_eq!(ask().await.unwrap_err().code(), Code::Unavailable);
    for _ in 0..20 {
        ask().await.expect("the other one serves");
    }
}
