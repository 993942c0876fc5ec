//! The way to other stores: raft messages and snapshots over gRPC.
//!
//! One stream to each store carries the messages of all regions. The thread that owns the peers only
//! puts messages into a queue; a task for each store takes them out, connects, and connects again. What
//! does not fit into the queue is dropped, and so is what waits for a store that cannot be reached: Raft
//! says it again, and a slow store costs a bounded buffer and slows nobody else.
//!
//! ```text
//!   raft thread ── send ──► [ queue to store 2 ] ──► task ──► one stream ──► store 2
//!                     └───► [ queue to store 3 ] ──► task ──► one stream ──► store 3
//!                     └───► a snapshot: a task and a stream of its own
//! ```

mod connection;
mod pace;
mod snapshot;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use proto::StoreId;
use proto::raft_serverpb::RaftMessage;
use raftstore::snapshot::SnapManager;
use raftstore::{Router, Transport, Unsent};
use runtime::units::Bytes;
use slog::Logger;
use tokio::runtime::Handle;

use crate::meters::StreamMeters;

use connection::Connection;
use pace::Pace;

/// The name under which a stream between stores says of which cluster it is.
pub const CLUSTER_KEY: &str = "tinykv-cluster-id";

/// An address to come, or why there is none.
pub type Address<'a> = Pin<Box<dyn Future<Output = Result<String, String>> + Send + 'a>>;

/// Who knows where stores are.
pub trait Resolver: Send + Sync {
    /// Where a store listens now. Asked for each time that a connection is made, because a store may
    /// have moved.
    fn address(&self, store: StoreId) -> Address<'_>;
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) cluster: u64,
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) snapshots: Arc<SnapManager>,
    pub(crate) pace: Pace,
    pub(crate) meters: StreamMeters,
    pub(crate) log: Logger,
    /// Known while the store runs: failures are told to it.
    router: Mutex<Option<Router>>,
}

impl Shared {
    fn router(&self) -> Option<Router> {
        self.router.lock().expect(UNPOISONED).clone()
    }
}

/// What a transport is made of.
pub struct Setup {
    /// The cluster that this store belongs to.
    pub cluster: u64,
    /// Who knows where others are.
    pub resolver: Arc<dyn Resolver>,
    /// The files of this store's snapshots.
    pub snapshots: Arc<SnapManager>,
    /// How many bytes of them leave each second, at most.
    pub snapshot_pace: Bytes,
    /// What connections run on.
    pub runtime: Handle,
    /// Where is counted.
    pub meters: StreamMeters,
    /// Where is told what happens to connections.
    pub log: Logger,
}

/// Messages to other stores.
pub struct GrpcTransport {
    shared: Arc<Shared>,
    runtime: Handle,
    connections: Mutex<BTreeMap<StoreId, Connection>>,
}

const UNPOISONED: &str = "no thread panics while it holds the connections";

impl GrpcTransport {
    /// A transport without connections. They are made when there is something to send.
    pub fn new(setup: Setup) -> Self {
        let Setup { cluster, resolver, snapshots, snapshot_pace, runtime, meters, log } = setup;
        let pace = Pace::new(snapshot_pace);
        let router = Mutex::default();
        let shared = Shared { cluster, resolver, snapshots, pace, meters, log, router };
        GrpcTransport { shared: Arc::new(shared), runtime, connections: Mutex::default() }
    }

    /// From now on it is known whom to tell about failures.
    pub fn report_to(&self, router: Router) {
        *self.shared.router.lock().expect(UNPOISONED) = Some(router);
    }

    /// Ends all connections.
    pub fn close(&self) {
        self.connections.lock().expect(UNPOISONED).clear();
        *self.shared.router.lock().expect(UNPOISONED) = None;
    }
}

impl Transport for GrpcTransport {
    fn send(&self, message: RaftMessage) -> Result<(), Unsent> {
        let router = self.shared.router().ok_or(Unsent { why: "the store is not running" })?;
        let store = StoreId::new(message.to_peer.unwrap_or_default().store_id);
        let carries_snapshot =
            message.message.as_ref().is_some_and(|inner| inner.snapshot.is_some());
        if carries_snapshot {
            let shared = Arc::clone(&self.shared);
            self.runtime.spawn(snapshot::send(shared, router, store, message));
            return Ok(());
        }
        let mut connections = self.connections.lock().expect(UNPOISONED);
        let connection = connections
            .entry(store)
            .or_insert_with(|| Connection::start(&self.runtime, Arc::clone(&self.shared), store));
        let sent = connection.send(message);
        let meters = &self.shared.meters;
        if sent.is_ok() { &meters.messages_sent } else { &meters.messages_dropped }.inc();
        sent
    }
}
