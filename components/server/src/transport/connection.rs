//! One stream to one store: a bounded queue, and a task that keeps it connected.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use prost::Message as _;
use proto::raft_serverpb::RaftMessage;
use proto::tinykvpb::tiny_kv_client::TinyKvClient;
use proto::{RegionId, StoreId};
use raftstore::Unsent;
use runtime::mutant;
use slog::{debug, info};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::AbortHandle;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::{CLUSTER_KEY, Shared};
use crate::node::MESSAGE_BYTES_MAX;

/// Messages that wait for one store; further ones are dropped.
const QUEUE_MESSAGES: usize = 8192;

/// Bytes that wait for one store; further messages are dropped.
const QUEUE_BYTES: usize = 64 << 20;

/// How long a connection may take to come about.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// How long a store that cannot be reached is left alone, at first and at most.
const BACKOFF: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(3);

/// A connection over which nothing comes is asked whether it is alive, and given up if it is not.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVE_PATIENCE: Duration = Duration::from_secs(3);

/// The sending end. Dropping it ends the task.
pub(super) struct Connection {
    queue: Sender<RaftMessage>,
    waiting_bytes: Arc<AtomicUsize>,
    task: AbortHandle,
}

impl Connection {
    pub(super) fn start(runtime: &Handle, shared: Arc<Shared>, store: StoreId) -> Self {
        let (queue, arrived) =
            channel(if mutant::on(26) { 100 * QUEUE_MESSAGES } else { QUEUE_MESSAGES });
        let waiting_bytes = Arc::default();
        let keeper = Keeper { shared, store, arrived, waiting_bytes: Arc::clone(&waiting_bytes) };
        let task = runtime.spawn(keeper.run()).abort_handle();
        Connection { queue, waiting_bytes, task }
    }

    pub(super) fn send(&self, message: RaftMessage) -> Result<(), Unsent> {
        let bytes = message.encoded_len();
        let before = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let sent = if before + bytes > QUEUE_BYTES && !mutant::on(26) {
            Err(Unsent { why: "too many bytes wait for the store" })
        } else {
            let refused = |_| Unsent { why: "too many messages wait for the store" };
            self.queue.try_send(message).map_err(refused)
        };
        if sent.is_err() {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        sent
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Keeps a store connected.
struct Keeper {
    shared: Arc<Shared>,
    store: StoreId,
    arrived: Receiver<RaftMessage>,
    waiting_bytes: Arc<AtomicUsize>,
}

impl Keeper {
    async fn run(mut self) {
        let mut backoff = BACKOFF;
        loop {
            match self.connect().await {
                Ok(client) => {
                    backoff = BACKOFF;
                    debug!(self.shared.log, "connected to a store"; "to" => self.store.get());
                    let ended = self.stream(client).await;
                    let why = ended.err().map(|status| status.message().to_owned());
                    info!(self.shared.log, "lost a store"; "to" => self.store.get(), "error" => why);
                }
                Err(error) => {
                    debug!(self.shared.log, "a store cannot be reached";
                        "to" => self.store.get(), "error" => error);
                }
            }
            self.drop_waiting();
            tokio::time::sleep(backoff).await;
            self.drop_waiting();
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    async fn connect(&self) -> Result<TinyKvClient<Channel>, String> {
        let address = self.shared.resolver.address(self.store).await?;
        let channel = connect(&address).await?;
        Ok(TinyKvClient::new(channel).max_encoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// Carries messages until the stream ends.
    async fn stream(&mut self, mut client: TinyKvClient<Channel>) -> Result<(), Status> {
        let (to_wire, messages) = channel::<RaftMessage>(WIRE_MESSAGES);
        let request = of_cluster(Stream(messages), self.shared.cluster);
        let mut call = std::pin::pin!(client.raft(request));
        loop {
            tokio::select! {
                ended = &mut call => return ended.map(drop),
                message = self.arrived.recv() => {
                    let Some(message) = message else { return Ok(()) };
                    self.waiting_bytes.fetch_sub(message.encoded_len(), Ordering::Relaxed);
                    tokio::select! {
                        ended = &mut call => return ended.map(drop),
                        sent = to_wire.send(message) => {
                            if sent.is_err() {
                                return Ok(());
                            }
                        }
                    }
                }
            }
        }
    }

    /// Whatever waits is for somebody who is not there.
    fn drop_waiting(&mut self) {
        while let Ok(message) = self.arrived.try_recv() {
            self.waiting_bytes.fetch_sub(message.encoded_len(), Ordering::Relaxed);
            self.shared.meters.messages_dropped.inc();
            let region = RegionId::new(message.region_id);
            if let Some(router) = self.shared.router() {
                router.unreachable(region, message.to_peer.unwrap_or_default().id);
            }
        }
    }
}

/// Messages that are being put on the wire; the rest stays in the queue, where it is counted.
const WIRE_MESSAGES: usize = 256;

/// A channel's end, as the body of a call.
pub(super) struct Stream<T>(pub(super) Receiver<T>);

impl<T> tonic::codegen::tokio_stream::Stream for Stream<T> {
    type Item = T;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<T>> {
        self.0.poll_recv(context)
    }
}

/// A connection to an address.
pub(super) async fn connect(address: &str) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| format!("{address} is not an address: {error}"))?
        .connect_timeout(CONNECT_MAX)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_PATIENCE)
        .keep_alive_while_idle(true);
    endpoint.connect().await.map_err(|error| format!("{address}: {error}"))
}

/// A call that says of which cluster it is.
pub(super) fn of_cluster<T>(body: T, cluster: u64) -> Request<T> {
    let mut request = Request::new(body);
    request.metadata_mut().insert(CLUSTER_KEY, MetadataValue::from(cluster));
    request
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;
    use std::path::Path;
    use std::sync::Mutex;

    use bytes::Bytes;
    use proto::eraftpb;
    use raftstore::snapshot::{Limits, SnapManager};
    use runtime::metrics::Metrics;
    use runtime::units;
    use slog::{Discard, Logger, o};

    use super::*;
    use crate::meters::StreamMeters;
    use crate::transport::pace::Pace;
    use crate::transport::{Address, Resolver};

    struct Nowhere;

    impl Resolver for Nowhere {
        fn address(&self, _store: StoreId) -> Address<'_> {
            Box::pin(std::future::pending())
        }
    }

    struct At(String);

    impl Resolver for At {
        fn address(&self, _store: StoreId) -> Address<'_> {
            Box::pin(async { Ok(self.0.clone()) })
        }
    }

    fn shared(folder: &Path, resolver: Arc<dyn Resolver>) -> Arc<Shared> {
        let log = Logger::root(Discard, o!());
        let (builds, sends, receives) = (1, 1, 1);
        let age = Duration::from_mins(1);
        let limits = Limits { space_bytes: 1, builds, sends, receives, age };
        let snapshots = SnapManager::open(folder.join("snap"), limits, log.clone()).unwrap();
        Arc::new(Shared {
            cluster: 1,
            resolver,
            snapshots: Arc::new(snapshots),
            pace: Pace::new(units::Bytes::mib(1)),
            meters: StreamMeters::new(&Metrics::new("tinykv")),
            log,
            router: Mutex::default(),
        })
    }

    fn message(bytes: usize) -> RaftMessage {
        let context = Bytes::from(vec![0; bytes]);
        let inner = eraftpb::Message { context, ..eraftpb::Message::default() };
        RaftMessage { region_id: 1, message: Some(inner), ..RaftMessage::default() }
    }

    /// How many messages of a size are taken before the first is refused.
    fn taken(connection: &Connection, bytes: usize) -> usize {
        (0..4 * QUEUE_MESSAGES).take_while(|_| connection.send(message(bytes)).is_ok()).count()
    }

    #[test]
    fn a_store_that_is_not_there_costs_a_bounded_number_of_messages_and_of_bytes() {
        let home = tempfile::tempdir().unwrap();
        let shared = shared(home.path(), Arc::new(Nowhere));
        // Nobody drives it, so nothing is taken out.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let start = |id| Connection::start(runtime.handle(), Arc::clone(&shared), StoreId::new(id));
        assert_eq!(taken(&start(2), 0), QUEUE_MESSAGES);
        let large = start(3);
        let count = taken(&large, 1 << 20);
        assert_eq!(count, QUEUE_BYTES / message(1 << 20).encoded_len());
        assert_eq!(taken(&large, 1 << 20), 0, "what was refused takes no room");
        assert!(large.waiting_bytes.load(Ordering::Relaxed) <= QUEUE_BYTES);
    }
    /// What the kernel takes is acknowledged, so that to whoever sends nothing looks wrong.
    #[test]
    fn a_store_that_swallows_everything_is_given_up_and_dialled_again() {
        let home = tempfile::tempdir().unwrap();
        let swallows = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = At(swallows.local_addr().unwrap().to_string());
        let shared = shared(home.path(), Arc::new(address));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let connection = Connection::start(runtime.handle(), shared, StoreId::new(2));
        let (mut first, _) = swallows.accept().unwrap();
        connection.send(message(100)).unwrap();
        // It was connected: the greeting came. Then it is never answered, and never closed from here.
        let mut greeting = [0; 24];
        first.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        swallows.accept().expect("it is dialled again");
        let mut rest = Vec::new();
        first.read_to_end(&mut rest).expect("the first one was closed");
        assert!(!rest.is_empty());
    }
}
