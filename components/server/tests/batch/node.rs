//! A node in the process of the test, whose writes wait until they may go on.

use std::sync::Arc;

use bytes::Bytes;
use engine::{Cf, Engine, Layout, Memory};
use program::Failure;
use program::incoming::Incoming;
use program::room::Room;
use proto::kvrpcpb::{Context, RawGetRequest, RawGetResponse};
use proto::tinykvext::tiny_kv_ext_client::TinyKvExtClient;
use proto::tinykvext::{
    BatchRequest, BatchResponse, BatchedRequest, BatchedResponse, GetSafePointResponse,
};
use proto::tinykvpb::tiny_kv_client::TinyKvClient;
use runtime::metrics::Metrics;
use runtime::shutdown::Stop;
use server::node::transport;
use server::service::Service;
use slog::{Discard, Logger, o};
use storage::{Changes, Kv, Limits, Pending, Reader, Standalone, Storage};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

/// A storage whose writes wait at a gate.
struct Gated {
    inner: Standalone,
    gate: watch::Receiver<bool>,
}

impl Storage for Gated {
    fn snapshot<'a>(&'a self, context: &'a Context) -> Pending<'a, Arc<dyn Reader>> {
        self.inner.snapshot(context)
    }

    fn write<'a>(&'a self, context: &'a Context, changes: Changes) -> Pending<'a, ()> {
        let mut gate = self.gate.clone();
        Box::pin(async move {
            gate.wait_for(|open| *open).await.expect("the test has it");
            self.inner.write(context, changes).await
        })
    }

    fn raw_families(&self) -> &'static [Cf] {
        self.inner.raw_families()
    }

    fn safe_point(&self) -> u64 {
        self.inner.safe_point()
    }

    fn raise_safe_point(&self, safe_point: u64) -> Pending<'_, u64> {
        self.inner.raise_safe_point(safe_point)
    }
}

/// A node with a closed gate.
pub(crate) struct Node {
    pub(crate) room: Arc<Room>,
    pub(crate) address: String,
    gate: watch::Sender<bool>,
    channel: Channel,
}

impl Node {
    pub(crate) async fn start(room: Arc<Room>) -> Self {
        let (gate, watching) = watch::channel(false);
        let engine: Arc<dyn Engine> = Arc::new(Memory::new(Layout::Kv));
        let inner = Standalone::unsynced(engine).expect("it is empty");
        let storage: Arc<dyn Storage> = Arc::new(Gated { inner, gate: watching });
        let kv = Arc::new(Kv::new(storage, Limits::default()));
        let failure = Arc::new(Failure::new(Stop::new().trigger()));
        let (metrics, log) = (Metrics::new("tinykv"), Logger::root(Discard, o!()));
        let service = Service::new(kv, failure, None, Arc::clone(&room), &metrics, log);
        let server = transport()
            .add_service(service.clone().into_server())
            .add_service(service.into_own_server());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there are ports");
        let address = listener.local_addr().expect("it is bound").to_string();
        tokio::spawn(server.serve_with_incoming(Incoming::new(listener)));
        let channel = connect(&address).await;
        Node { room, address, gate, channel }
    }

    /// Lets all writes go on, from now on.
    pub(crate) fn open(&self) {
        self.gate.send_replace(true);
    }

    /// Another connection for what comes, as one has a limit of its own.
    pub(crate) async fn reconnect(&mut self) {
        self.channel = connect(&self.address).await;
    }

    pub(crate) async fn try_stream(&self) -> Result<Client, Status> {
        let channel = self.channel.clone();
        let (sender, receiver) = mpsc::channel(16);
        let mut stub = TinyKvExtClient::new(channel);
        let answers = stub.batch(ReceiverStream::new(receiver)).await?.into_inner();
        Ok(Client { sender: Some(sender), answers, ahead: Vec::new() })
    }

    pub(crate) async fn stream(&self) -> Client {
        self.try_stream().await.expect("there is room for a stream")
    }

    /// Opens a stream, as soon as one that ended is known to have ended.
    pub(crate) async fn until_opened(&self) {
        while self.try_stream().await.is_err() {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn raw_get(&self, key: &'static str) -> RawGetResponse {
        let request = RawGetRequest { key: Bytes::from(key), ..RawGetRequest::default() };
        let mut stub = TinyKvClient::new(self.channel.clone());
        stub.raw_get(request).await.expect("it serves").into_inner()
    }

    /// Looks again until it is so.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        for _ in 0..2000 {
            if is_so() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("{what}: {} calls, {} bytes", self.room.calls(), self.room.bytes());
    }
}

async fn connect(address: &str) -> Channel {
    let endpoint = Endpoint::try_from(format!("http://{address}")).expect("an address");
    endpoint.connect().await.expect("the node serves")
}

/// A client's end of a stream.
pub(crate) struct Client {
    sender: Option<mpsc::Sender<BatchRequest>>,
    answers: Streaming<BatchResponse>,
    /// Answers that came and were not asked for yet.
    ahead: Vec<BatchedResponse>,
}

impl Client {
    pub(crate) async fn send(&mut self, requests: Vec<BatchedRequest>) {
        let sender = self.sender.as_ref().expect("it was not ended");
        sender.send(BatchRequest { requests }).await.expect("the stream is open");
    }

    /// Nothing more is sent.
    pub(crate) fn end(&mut self) {
        self.sender = None;
    }

    pub(crate) async fn message(&mut self) -> Result<Option<BatchResponse>, Status> {
        self.answers.message().await
    }

    /// The next answers, so many of them.
    pub(crate) async fn answers(&mut self, count: usize) -> Vec<BatchedResponse> {
        while self.ahead.len() < count {
            let message = self.message().await.expect("it is open").expect("more is to come");
            self.ahead.extend(message.responses);
        }
        self.ahead.drain(..count).collect()
    }
}

/// Sends a message that is no batch, and says how the stream ends.
pub(crate) async fn nonsense(address: &str) -> Status {
    let mut grpc = tonic::client::Grpc::new(connect(address).await);
    grpc.ready().await.expect("the node serves");
    // Its first field is a number, where a batch has requests.
    let message = GetSafePointResponse { safe_point: 1 };
    let (sender, receiver) = mpsc::channel(1);
    sender.send(message).await.expect("there is room");
    let codec = tonic_prost::ProstCodec::<GetSafePointResponse, BatchResponse>::new();
    let path = PathAndQuery::from_static("/tinykvext.TinyKvExt/Batch");
    let request = Request::new(ReceiverStream::new(receiver));
    let opened = grpc.streaming(request, path, codec).await;
    let ended = match opened {
        Ok(answers) => answers.into_inner().message().await.map(drop),
        Err(status) => Err(status),
    };
    ended.expect_err("it makes no sense")
}
