//! Three stores and a scheduler, as processes: what a client sees of them.

use bytes::Bytes;
use client::SchedulerClient;
use proto::kvrpcpb::{Context, RawGetRequest, RawPutRequest};
use proto::metapb::{Peer, Region};
use proto::tinykvpb::tiny_kv_client::TinyKvClient;
use runtime::Rng;
use tests::cluster::{Cluster, Settings};
use tests::eventually;
use tonic::transport::Channel;

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
        eventually("a put", async || {
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
        eventually("a get", async || {
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
    let store = vec!["raftstore.region-heartbeat-period=200ms"];
    let mut cluster = Cluster::start(3, &Settings { store, ..Settings::default() });
    let rng = Rng::new(1);
    let scheduler_client =
        SchedulerClient::connect(&[cluster.address()], client::Config::default(), rng)
            .await
            .unwrap();
    let client = Client { scheduler: scheduler_client };
    client.put("k1", "v1").await;
    assert_eq!(client.get("k1").await.unwrap(), "v1");

    // The scheduler sees to it that there are three replicas.
    eventually("three replicas", async || {
        let (region, _) = client.region("k1").await?;
        (region.peers.len() == 3).then_some(())
    })
    .await;
    client.put("k2", "v2").await;

    // The leader's process is killed; another store goes on.
    let (_, leader) = client.region("k1").await.unwrap();
    let lost = client.scheduler.store(leader.store_id).await.unwrap().unwrap().address;
    let lost = cluster.place_of(&lost);
    cluster.kill_store(lost);
    client.put("k3", "v3").await;
    for (key, value) in [("k1", "v1"), ("k2", "v2"), ("k3", "v3")] {
        assert_eq!(client.get(key).await.unwrap(), value);
    }

    // Everything is killed, and started again from its disks.
    let others = (0..3).filter(|place| *place != lost);
    others.for_each(|place| cluster.kill_store(place));
    drop(client);
    cluster.stop_scheduler();
    cluster.start_scheduler();
    (0..3).for_each(|place| cluster.start_store(place));
    let rng = Rng::new(2);
    let scheduler_client =
        SchedulerClient::connect(&[cluster.address()], client::Config::default(), rng)
            .await
            .unwrap();
    let client = Client { scheduler: scheduler_client };
    for (key, value) in [("k1", "v1"), ("k2", "v2"), ("k3", "v3")] {
        assert_eq!(client.get(key).await.unwrap(), value);
    }
    client.put("k4", "v4").await;

    // Asked to stop, a store hands over and ends well.
    cluster.stop_store(2);
    assert_eq!(client.get("k4").await.unwrap(), "v4");
}
