//! Sending a snapshot: its message ahead, and then its files, on a stream of their own.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use proto::raft_serverpb::{RaftMessage, RaftSnapshotData, SnapshotChunk};
use proto::tinykvpb::tiny_kv_client::TinyKvClient;
use proto::{RegionId, StoreId};
use raftstore::Router;
use raftstore::snapshot::{CHUNK_BYTES, Outgoing, SnapKey, SnapManager};
use slog::{info, warn};
use tokio::sync::mpsc::{Sender, channel};

use super::Shared;
use super::connection::{Stream, connect, of_cluster};

/// Chunks that are read ahead of the wire.
const CHUNKS_AHEAD: usize = 4;

/// How long a snapshot may take altogether. What is slower is given up and tried anew.
const TRANSFER_MAX: Duration = Duration::from_mins(10);

/// Sends the snapshot that `message` carries, and says what became of it.
pub(super) async fn send(
    shared: Arc<Shared>,
    router: Router,
    store: StoreId,
    message: RaftMessage,
) {
    let region = RegionId::new(message.region_id);
    let to = message.to_peer.unwrap_or_default().id;
    let carried = message.message.as_ref().and_then(|inner| inner.snapshot.as_ref());
    let Some(carried) = carried else { return };
    let key = SnapKey::of(carried, message.region_id);
    let data = RaftSnapshotData::decode(carried.data.clone()).unwrap_or_default();
    let transfer = transfer(&shared, store, message, key, data);
    let sent = match tokio::time::timeout(TRANSFER_MAX, transfer).await {
        Ok(sent) => sent,
        Err(_) => Err(format!("it took longer than {TRANSFER_MAX:?}")),
    };
    let meters = &shared.meters;
    if sent.is_ok() { &meters.snapshots_sent } else { &meters.snapshots_not_sent }.inc();
    match &sent {
        Ok(()) => info!(shared.log, "snapshot sent";
            "region" => region.get(), "to" => store.get(), "index" => key.index),
        Err(error) => warn!(shared.log, "a snapshot was not sent";
            "region" => region.get(), "to" => store.get(), "error" => error),
    }
    router.snapshot_sent(region, to, key, sent.is_ok());
}

async fn transfer(
    shared: &Shared,
    store: StoreId,
    message: RaftMessage,
    key: SnapKey,
    data: RaftSnapshotData,
) -> Result<(), String> {
    let address = shared.resolver.address(store).await?;
    let mut client = TinyKvClient::new(connect(&address).await?);
    let (chunks, mut in_order) = channel::<SnapshotChunk>(CHUNKS_AHEAD);
    let (to_wire, body) = channel(1);
    let snapshots = Arc::clone(&shared.snapshots);
    let reading =
        tokio::task::spawn_blocking(move || read(&snapshots, key, &data, message, &chunks));
    let request = of_cluster(Stream(body), shared.cluster);
    let paced = async {
        while let Some(chunk) = in_order.recv().await {
            let bytes = chunk.data.len();
            shared.pace.wait(bytes).await;
            shared.meters.snapshot_bytes.inc_by(bytes as u64);
            if to_wire.send(chunk).await.is_err() {
                break;
            }
        }
        // Nobody reads ahead for a wire that is closed.
        drop((in_order, to_wire));
    };
    let (answered, ()) = tokio::join!(client.snapshot(request), paced);
    let read = reading.await.map_err(|error| error.to_string())?;
    // Why nothing more came says more than that the other side missed it.
    read?;
    answered.map(drop).map_err(|status| status.message().to_owned())
}

/// Reads the files, ahead of the wire by a few chunks.
fn read(
    snapshots: &SnapManager,
    key: SnapKey,
    data: &RaftSnapshotData,
    message: RaftMessage,
    chunks: &Sender<SnapshotChunk>,
) -> Result<(), String> {
    let first = SnapshotChunk { message: Some(message), data: Bytes::new() };
    let gone = "the other store ended the transfer";
    chunks.blocking_send(first).map_err(|_| gone.to_owned())?;
    let files = Outgoing::open(snapshots, key, data, CHUNK_BYTES).map_err(|e| e.to_string())?;
    for chunk in files {
        let chunk = SnapshotChunk { message: None, data: chunk.map_err(|e| e.to_string())? };
        if chunks.blocking_send(chunk).is_err() {
            // It may have the snapshot already; its answer tells.
            return Ok(());
        }
    }
    Ok(())
}
