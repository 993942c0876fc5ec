//! One stream to one store: a bounded queue, and a task that keeps it connected.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use prost::Message as _;
use proto::raft_serverpb::RaftMessage;
use proto::tinykvpb::tiny_kv_client::TinyKvClient;
use proto::{RegionId, StoreId};
use raftstore::{Router, Unsent};
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
    pub(super) fn start(
        runtime: &Handle,
        shared: Arc<Shared>,
        router: Router,
        store: StoreId,
    ) -> Self {
        let (queue, arrived) = channel(QUEUE_MESSAGES);
        let waiting_bytes = Arc::default();
        let keeper =
            Keeper { shared, router, store, arrived, waiting_bytes: Arc::clone(&waiting_bytes) };
        let task = runtime.spawn(keeper.run()).abort_handle();
        Connection { queue, waiting_bytes, task }
    }

    pub(super) fn send(&self, message: RaftMessage) -> Result<(), Unsent> {
        let bytes = message.encoded_len();
        let before = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let sent = if before + bytes > QUEUE_BYTES {
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
    router: Router,
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
            let region = RegionId::new(message.region_id);
            self.router.unreachable(region, message.to_peer.unwrap_or_default().id);
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
