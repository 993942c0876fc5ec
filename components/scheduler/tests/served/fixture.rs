//! A scheduler in the process of the test, over a disk that can be cut off.

use std::sync::Arc;

use engine::{Engine, Faults, Faulty, Layout};
use program::{About, Failure};
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::lease_client::LeaseClient;
use proto::etcdserverpb::watch_client::WatchClient;
use proto::metapb::{Peer, Region, RegionEpoch, Store};
use proto::schedulerpb::scheduler_client::SchedulerClient;
use proto::schedulerpb::{
    BootstrapRequest, GetMembersRequest, PutStoreRequest, RegionHeartbeatRequest, RequestHeader,
    TsoRequest,
};
use runtime::clock::{Clock, SystemClock};
use runtime::shutdown::Stop;
use runtime::worker::Worker;
use scheduler::config::Config;
use scheduler::node::{Base, NodeError, Running};
use slog::{Discard, Logger, o};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};

pub(crate) type Client = SchedulerClient<Channel>;

pub(crate) struct Fixture {
    pub(crate) channel: Channel,
    pub(crate) client: Client,
    pub(crate) url: String,
    pub(crate) cluster_id: u64,
    pub(crate) status_addr: Option<std::net::SocketAddr>,
    pub(crate) engine: Arc<Faulty>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) failure: Arc<Failure>,
    stop: Stop,
    serving: JoinHandle<(Result<(), NodeError>, Vec<Worker>)>,
}

pub(crate) fn config() -> Config {
    let anywhere = "127.0.0.1:0".to_owned();
    Config { client_urls: format!("http://{anywhere}"), status_addr: anywhere, ..Config::default() }
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with(config(), Arc::new(SystemClock)).await
    }

    pub(crate) async fn with(config: Config, clock: Arc<dyn Clock>) -> Self {
        let faults = Arc::new(Faults::default());
        let engine = Arc::new(Faulty::new(Layout::Raft, Arc::clone(&faults)));
        Self::on(engine, faults, &config, clock).await.expect("it starts")
    }

    pub(crate) async fn on(
        engine: Arc<Faulty>,
        faults: Arc<Faults>,
        config: &Config,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, NodeError> {
        let stop = Stop::new();
        let failure = Arc::new(Failure::new(stop.trigger()));
        let logger = Logger::root(Discard, o!());
        let base = Base {
            engine: Arc::clone(&engine) as Arc<dyn Engine>,
            clock,
            failure: Arc::clone(&failure),
            about: About::default(),
            logger: logger.clone(),
        };
        let running = Running::start(config, base).await?;
        let (addr, status_addr) = (running.addr, running.status_addr);
        let stopping = stop.stopping();
        let serving = tokio::spawn(async move { running.until(&stopping, &logger).await });
        let url = format!("http://{addr}");
        let channel = channel(&url).await;
        let mut client = SchedulerClient::new(channel.clone());
        let members = client.get_members(GetMembersRequest::default()).await.unwrap().into_inner();
        let cluster_id = members.header.unwrap().cluster_id;
        let fixture = Fixture {
            channel,
            client,
            url,
            cluster_id,
            status_addr,
            engine,
            faults,
            failure,
            stop,
            serving,
        };
        Ok(fixture)
    }

    /// Ends the scheduler without asking it: what it has not synced is gone. A new one starts.
    pub(crate) async fn crash(self, config: &Config, clock: Arc<dyn Clock>) -> Self {
        let engine = Arc::new(self.engine.crash(0));
        let faults = Arc::clone(&self.faults);
        self.stop().await;
        Self::on(engine, faults, config, clock).await.expect("it starts again")
    }

    /// Stops it, and waits until all its threads have ended.
    pub(crate) async fn stop(self) {
        let Fixture { channel, client, stop, serving, .. } = self;
        drop((channel, client));
        stop.ask();
        let (_, workers) = serving.await.expect("it serves until it is asked");
        tokio::task::spawn_blocking(|| {
            for worker in workers {
                worker.join().expect("no thread panics");
            }
        })
        .await
        .unwrap();
    }

    /// Ends it in the middle of what it does, without a word to anybody.
    pub(crate) fn vanish(self) {
        let Fixture { serving, stop, .. } = self;
        serving.abort();
        // Dropped, it would ask everything to stop in good order.
        std::mem::forget(stop);
    }

    #[expect(clippy::unnecessary_wraps, reason = "a request has it as an option")]
    pub(crate) fn header(&self) -> Option<RequestHeader> {
        Some(RequestHeader { cluster_id: self.cluster_id })
    }

    pub(crate) fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone())
    }

    pub(crate) fn leases(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.channel.clone())
    }

    pub(crate) fn watches(&self) -> WatchClient<Channel> {
        WatchClient::new(self.channel.clone())
    }

    /// Founds the cluster with store 1, and registers the others.
    pub(crate) async fn bootstrap(&mut self, stores: u64) {
        let request = BootstrapRequest { header: self.header(), store: Some(store(1)) };
        let response = self.client.bootstrap(request).await.unwrap().into_inner();
        assert_eq!(response.header.unwrap().error, None);
        for id in 2..=stores {
            self.put_store(store(id)).await.unwrap();
        }
    }

    pub(crate) async fn put_store(&mut self, store: Store) -> Result<(), tonic::Status> {
        let request = PutStoreRequest { header: self.header(), store: Some(store) };
        let response = self.client.put_store(request).await?.into_inner();
        assert_eq!(response.header.unwrap().error, None);
        Ok(())
    }

    /// A stream of reports, and where its commands arrive.
    pub(crate) async fn heartbeats(&mut self) -> Heartbeats {
        let (sender, receiver) = mpsc::channel(16);
        let answers = self.client.region_heartbeat(Requests(receiver)).await.unwrap().into_inner();
        Heartbeats { header: self.header(), sender, answers }
    }

    /// So many timestamps, as the one number each ends in.
    pub(crate) async fn timestamps(
        &mut self,
        count: usize,
        each: u32,
    ) -> Result<Vec<u64>, tonic::Status> {
        let (sender, receiver) = mpsc::channel(16);
        let mut answers = self.client.tso(Requests(receiver)).await?.into_inner();
        let mut given = Vec::new();
        for _ in 0..count {
            let request = TsoRequest { header: self.header(), count: each };
            sender.send(request).await.expect("it listens");
            let answer = answers.message().await?.expect("one answer per request");
            assert_eq!(answer.count, each);
            given.push(scheduler::tso::compose(answer.timestamp.unwrap()));
        }
        Ok(given)
    }
}

pub(crate) struct Heartbeats {
    header: Option<RequestHeader>,
    pub(crate) sender: mpsc::Sender<RegionHeartbeatRequest>,
    pub(crate) answers: tonic::Streaming<proto::schedulerpb::RegionHeartbeatResponse>,
}

impl Heartbeats {
    pub(crate) async fn report(&self, region: Region) {
        let leader = region.peers.first().copied();
        let request = RegionHeartbeatRequest {
            header: self.header,
            region: Some(region),
            leader,
            ..RegionHeartbeatRequest::default()
        };
        self.sender.send(request).await.expect("it listens");
    }
}

pub(crate) async fn channel(url: &str) -> Channel {
    Endpoint::try_from(url.to_owned()).unwrap().connect().await.expect("it serves")
}

/// What a test sends, as a stream.
pub(crate) struct Requests<T>(pub(crate) mpsc::Receiver<T>);

impl<T> tonic::codegen::tokio_stream::Stream for Requests<T> {
    type Item = T;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<T>> {
        self.0.poll_recv(cx)
    }
}

pub(crate) fn store(id: u64) -> Store {
    Store { id, address: format!("127.0.0.1:{}", 20160 + id), ..Store::default() }
}

/// A region of one peer per store, the first of which leads.
pub(crate) fn region(id: u64, start: &[u8], end: &[u8], stores: &[u64]) -> Region {
    let peer = |&store_id: &u64| Peer { id: id * 100 + store_id, store_id };
    Region {
        id,
        start_key: start.to_vec().into(),
        end_key: end.to_vec().into(),
        region_epoch: Some(RegionEpoch { conf_ver: 1, version: 1 }),
        peers: stores.iter().map(peer).collect(),
    }
}

/// Asks again until the answer fits; for what takes effect a moment after it was sent.
pub(crate) async fn eventually<T, F>(mut ask: impl FnMut() -> F, fits: impl Fn(&T) -> bool) -> T
where
    F: Future<Output = T>,
    T: std::fmt::Debug,
{
    let mut last = None;
    for _ in 0..2000 {
        let answer = ask().await;
        if fits(&answer) {
            return answer;
        }
        last = Some(answer);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("it never came to fit: {last:?}");
}
