//! Calls from other stores: raft messages, and snapshots.
//!
//! Both are streams that name their cluster. What comes is believed as far as a member of the cluster is:
//! a message that makes no sense is dropped further in, a snapshot is checked against its announcement
//! byte by byte.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::Engine;
use prost::Message as _;
use proto::raft_serverpb::{Done, RaftMessage, RaftSnapshotData, SnapshotChunk};
use raftstore::snapshot::{Incoming, SnapKey, SnapManager};
use raftstore::{Router, SchedulerClient};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::sync::watch;
use tonic::{Request, Status, Streaming};

use crate::meters::StreamMeters;
use crate::respond::{foreign_cluster, snapshot_refused, snapshot_silent};
use crate::transport::CLUSTER_KEY;

/// Chunks that wait for the disk.
const CHUNKS_AHEAD: usize = 4;

/// How long the sender of a snapshot may say nothing.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// A store of a cluster, as calls see it.
#[derive(Clone)]
pub struct Peers {
    /// The cluster that this store belongs to.
    pub cluster: u64,
    /// The way to its regions.
    pub router: Router,
    /// The files of its snapshots.
    pub snapshots: Arc<SnapManager>,
    /// What it knows of regions that it does not have any more.
    pub kv: Arc<dyn Engine>,
    /// Who gives numbers to new regions.
    pub scheduler: Arc<dyn SchedulerClient>,
    /// Turns true when the store stops, and with it all streams.
    pub is_closing: watch::Receiver<bool>,
    /// What is counted of all that.
    pub meters: StreamMeters,
}

impl Peers {
    /// Refuses a stream of another cluster.
    fn check<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let named = request.metadata().get(CLUSTER_KEY);
        let cluster = named.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if cluster == Some(self.cluster) {
            return Ok(());
        }
        self.meters.foreign.inc();
        Err(foreign_cluster(self.cluster))
    }

    /// Takes in messages for as long as they come.
    pub(super) async fn raft(
        &self,
        request: Request<Streaming<RaftMessage>>,
    ) -> Result<Done, Status> {
        self.check(&request)?;
        let mut messages = request.into_inner();
        let mut is_closing = self.is_closing.clone();
        loop {
            let message = tokio::select! {
                message = messages.message() => message?,
                // An error means that the store is gone already.
                _ = is_closing.wait_for(|closing| *closing) => return Ok(Done {}),
            };
            let Some(message) = message else { return Ok(Done {}) };
            self.meters.messages_received.inc();
            self.router.raft_message(Box::new(message));
        }
    }

    /// Takes in one snapshot, and shows it to its region once all of it is on disk.
    pub(super) async fn snapshot(
        &self,
        request: Request<Streaming<SnapshotChunk>>,
    ) -> Result<Done, Status> {
        self.check(&request)?;
        let received = self.receive(request.into_inner()).await;
        let meters = &self.meters;
        if received.is_ok() { &meters.snapshots_received } else { &meters.snapshots_not_received }
            .inc();
        received
    }

    async fn receive(&self, mut chunks: Streaming<SnapshotChunk>) -> Result<Done, Status> {
        let first = next(&mut chunks).await?.and_then(|chunk| chunk.message);
        let message = first.ok_or_else(|| snapshot_refused("it begins without its message"))?;
        let carried = message.message.as_ref().and_then(|inner| inner.snapshot.as_ref());
        let carried = carried.ok_or_else(|| snapshot_refused("its message carries none"))?;
        let key = SnapKey::of(carried, message.region_id);
        let data = RaftSnapshotData::decode(carried.data.clone())
            .map_err(|error| snapshot_refused(&error.to_string()))?;

        let (to_disk, arrived) = channel(CHUNKS_AHEAD);
        let snapshots = Arc::clone(&self.snapshots);
        let writing = tokio::task::spawn_blocking(move || write(&snapshots, key, &data, arrived));
        while let Some(chunk) = next(&mut chunks).await? {
            if to_disk.send(chunk.data).await.is_err() {
                // It has enough, or can take no more; which of the two it says itself.
                break;
            }
        }
        drop(to_disk);
        let written = writing.await.map_err(|error| snapshot_refused(&error.to_string()))?;
        written.map_err(|error| snapshot_refused(&error.to_string()))?;
        self.router.raft_message(Box::new(message));
        Ok(Done {})
    }
}

/// The next chunk of a sender that is not silent for too long.
async fn next(chunks: &mut Streaming<SnapshotChunk>) -> Result<Option<SnapshotChunk>, Status> {
    match tokio::time::timeout(SILENCE_MAX, chunks.message()).await {
        Ok(chunk) => chunk,
        Err(_) => Err(snapshot_silent(SILENCE_MAX)),
    }
}

/// Writes what arrives, and checks that it is what was announced.
fn write(
    snapshots: &SnapManager,
    key: SnapKey,
    data: &RaftSnapshotData,
    mut arrived: Receiver<Bytes>,
) -> raftstore::snapshot::Result<()> {
    // One that is here already need not come again.
    let Some(mut incoming) = Incoming::open(snapshots, key, data)? else { return Ok(()) };
    while let Some(chunk) = arrived.blocking_recv() {
        incoming.push(&chunk)?;
    }
    incoming.finish()
}
