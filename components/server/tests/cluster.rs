//! Three stores and a scheduler, as processes: what a client sees of them.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use client::SchedulerClient;
use proto::kvrpcpb::{Context, RawGetRequest, RawPutRequest};
use proto::metapb::{Peer, Region};
use proto::tinykvpb::tiny_kv_client::TinyKvClient;
use runtime::Rng;
use runtime::clock::{Clock, SystemClock};
use tests::process::Process;
use tonic::transport::Channel;

/// Everything is found again within this time, or never.
const PATIENCE: Duration = Duration::from_mins(1);

fn scheduler(dir: &Path, address: &str) -> (Process, String) {
    let program = tests::process::program("tinyscheduler-server");
    let mut command = Command::new(program);
    command.arg(format!("-client-urls=http://{address}"));
    command.args(["--status-addr", ""]).arg(format!("-data-dir={}", dir.display()));
    let mut process = Process::start(&mut command);
    let address = process.wait_until_serving();
    (process, address)
}

fn store(dir: &Path, scheduler: &str) -> (Process, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tinykv-server"));
    command.args(["-addr=127.0.0.1:0", "-scheduler", scheduler]);
    command.arg(format!("-path={}", dir.display()));
    command.args(["--set", "raftstore.region-heartbeat-period=200ms"]);
    let mut process = Process::start(&mut command);
    let address = process.wait_until_serving();
    (process, address)
}

/// Asks again until there is an answer.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let start = SystemClock.now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(SystemClock.now().since(start) < PATIENCE, "{what} does not come about");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a client knows.
struct Client {
    scheduler: SchedulerClient,
}

impl Client {
    async fn region(&self, key: &str) -> Option<(Region, Peer)> {
        let found = self.scheduler.region(key.as_bytes()).await.ok()??;
        Some((found.region, found.leader?))
    }

    /// A stub of the leader of a key's region, and the context for it.
    async fn leader(&self, key: &str) -> Option<(TinyKvClient<Channel>, Context)> {
        let (region, peer) = self.region(key).await?;
        let address = self.scheduler.store(peer.store_id).await.ok()??.address;
        let stub = TinyKvClient::connect_to(&address).await?;
        let context = Context {
            region_id: region.id,
            region_epoch: region.region_epoch,
            peer: Some(peer),
            term: 0,
        };
        Some((stub, context))
    }

    async fn put(&self, key: &str, value: &str) {
        until("a put", || async {
            let (mut stub, context) = self.leader(key).await?;
            let request = RawPutRequest {
                context: Some(context),
                key: Bytes::copy_from_slice(key.as_bytes()),
                value: Bytes::copy_from_slice(value.as_bytes()),
                cf: "default".to_owned(),
            };
            let response = stub.raw_put(request).await.ok()?.into_inner();
            assert_eq!(response.error, "");
            response.region_error.is_none().then_some(())
        })
        .await;
    }

    async fn get(&self, key: &str) -> Option<Bytes> {
        until("a get", || async {
            let (mut stub, context) = self.leader(key).await?;
            let request = RawGetRequest {
                context: Some(context),
                key: Bytes::copy_from_slice(key.as_bytes()),
                cf: "default".to_owned(),
            };
            let response = stub.raw_get(request).await.ok()?.into_inner();
            assert_eq!(response.error, "");
            response
                .region_error
                .is_none()
                .then_some((!response.not_found).then_some(response.value))
        })
        .await
    }
}

trait ConnectTo: Sized {
    fn connect_to(address: &str) -> impl Future<Output = Option<Self>>;
}

impl ConnectTo for TinyKvClient<Channel> {
    async fn connect_to(address: &str) -> Option<Self> {
        let endpoint = tonic::transport::Endpoint::try_from(format!("http://{address}")).ok()?;
        Some(TinyKvClient::new(endpoint.connect().await.ok()?))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_cluster_of_three_survives_the_loss_of_its_leader_and_of_everything() {
    let home = tempfile::tempdir().unwrap();
    let dir = |name: &str| home.path().join(name);
    let (scheduler_process, address) = scheduler(&dir("scheduler"), "127.0.0.1:0");
    let mut stores: Vec<Option<(Process, String)>> = Vec::new();
    for name in ["store1", "store2", "store3"] {
        stores.push(Some(store(&dir(name), &address)));
    }
    let rng = Rng::new(1);
    let scheduler_client =
        SchedulerClient::connect(&[&address], client::Config::default(), rng).await.unwrap();
    let client = Client { scheduler: scheduler_client };
    client.put("k1", "v1").await;
    assert_eq!(client.get("k1").await.unwrap(), "v1");

    // The scheduler sees to it that there are three replicas.
    until("three replicas", || async {
        let (region, _) = client.region("k1").await?;
        (region.peers.len() == 3).then_some(())
    })
    .await;
    client.put("k2", "v2").await;

    // The leader's process is killed; another store goes on.
    let (_, leader) = client.region("k1").await.unwrap();
    let lost = client.scheduler.store(leader.store_id).await.unwrap().unwrap().address;
    let place = stores
        .iter()
        .position(|store| store.as_ref().is_some_and(|(_, address)| *address == lost))
        .expect("it is one of ours");
    stores[place].take().expect("it runs").0.kill();
    client.put("k3", "v3").await;
    for (key, value) in [("k1", "v1"), ("k2", "v2"), ("k3", "v3")] {
        assert_eq!(client.get(key).await.unwrap(), value);
    }

    // Everything is killed, and started again from its disks.
    for store in &mut stores {
        if let Some((process, _)) = store.take() {
            process.kill();
        }
    }
    drop(client);
    scheduler_process.terminate();
    let (status, _) = scheduler_process.finish();
    assert!(status.success(), "{status}");
    let (_scheduler_process, address) = scheduler(&dir("scheduler"), "127.0.0.1:0");
    for name in ["store1", "store2", "store3"] {
        stores.push(Some(store(&dir(name), &address)));
    }
    let rng = Rng::new(2);
    let scheduler_client =
        SchedulerClient::connect(&[&address], client::Config::default(), rng).await.unwrap();
    let client = Client { scheduler: scheduler_client };
    for (key, value) in [("k1", "v1"), ("k2", "v2"), ("k3", "v3")] {
        assert_eq!(client.get(key).await.unwrap(), value);
    }
    client.put("k4", "v4").await;

    // Asked to stop, a store hands over and ends well.
    let (process, _) = stores.pop().flatten().expect("it runs");
    process.terminate();
    let (status, log) = process.finish();
    assert!(status.success(), "{status}: {log:?}");
    assert_eq!(client.get("k4").await.unwrap(), "v4");
}
