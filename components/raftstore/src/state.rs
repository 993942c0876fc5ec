//! The records that a store keeps about its regions: read, checked, and put into batches.
//!
//! A change of a record goes *copy, write, install*: whoever changes one makes the new one beside the
//! old, puts it into a batch, and takes it for true only when the batch is written. So memory never
//! promises what the disk does not hold.

use std::collections::BTreeMap;

use engine::{Cf, Engine, WriteBatch};
use prost::Message;
use proto::eraftpb::{HardState, Snapshot};
use proto::metapb::{Region, RegionEpoch};
use proto::raft_serverpb::{
    PeerState, RaftApplyState, RaftLocalState, RaftTruncatedState, RegionLocalState, StoreIdent,
};
use proto::{RegionId, StoreId};

use crate::error::{Error, Result};
use crate::keys;

/// The index at which the log of a region begins that was not created by a message: everything before
/// is what the region was founded with. Not zero, so that a new member, whose log begins at zero, needs a
/// snapshot and gets what the region was founded with.
pub const INITIAL_INDEX: u64 = 5;

/// The term of that index.
pub const INITIAL_TERM: u64 = 5;

/// A snapshot that is on its way into the data.
///
/// From when it is on disk the snapshot counts as taken, whatever the raft engine says; until it is
/// removed, together with the first write of the states that it leads to, a start goes on from it.
#[derive(Clone, PartialEq, Message)]
pub struct InstallMarker {
    /// What the raft engine must hold before anything else happens.
    #[prost(message, optional, tag = "1")]
    pub raft_state: Option<RaftLocalState>,
    /// The snapshot, whose files are in the directory of snapshots.
    #[prost(message, optional, tag = "2")]
    pub snapshot: Option<Snapshot>,
    /// The region that it shows.
    #[prost(message, optional, tag = "3")]
    pub region: Option<Region>,
    /// The beginning of what is cleared before.
    #[prost(bytes = "bytes", tag = "4")]
    pub clear_start: bytes::Bytes,
    /// The end of what is cleared; empty for infinity.
    #[prost(bytes = "bytes", tag = "5")]
    pub clear_end: bytes::Bytes,
}

/// Reads a record, if it is there.
pub(crate) fn load<M: Message + Default>(
    engine: &dyn Engine,
    key: &[u8],
    record: &'static str,
    region: RegionId,
) -> Result<Option<M>> {
    let Some(bytes) = engine.get(Cf::Local, key)? else { return Ok(None) };
    match M::decode(bytes) {
        Ok(message) => Ok(Some(message)),
        Err(error) => Err(Error::corrupt(record, region.get(), error.to_string())),
    }
}

/// Whose disk this is.
pub fn store_ident(kv: &dyn Engine) -> Result<Option<StoreIdent>> {
    load(kv, keys::STORE_IDENT, "store ident", RegionId::INVALID)
}

/// What the disk says about a region.
pub fn region_state(kv: &dyn Engine, region: RegionId) -> Result<Option<RegionLocalState>> {
    load(kv, &keys::region_state(region), "region state", region)
}

/// How much of a region's log is in the data.
pub fn apply_state(kv: &dyn Engine, region: RegionId) -> Result<Option<RaftApplyState>> {
    load(kv, &keys::apply_state(region), "apply state", region)
}

/// The end of a region's log, and what its peer has promised.
pub fn raft_state(raft: &dyn Engine, region: RegionId) -> Result<Option<RaftLocalState>> {
    load(raft, &keys::raft_state(region), "raft state", region)
}

/// The states of all regions, in the order of their ids.
pub fn region_states(kv: &dyn Engine) -> Result<Vec<(RegionId, RegionLocalState)>> {
    let (start, end) = keys::region_states();
    let snapshot = kv.snapshot()?;
    let mut cursor = snapshot.cursor(Cf::Local, engine::KeyRange::new(&start, &end))?;
    let mut states = Vec::new();
    let mut is_valid = cursor.seek_to_first()?;
    while is_valid {
        if let Some(region) = keys::region_of_state(cursor.key()) {
            let state = RegionLocalState::decode(cursor.value())
                .map_err(|error| Error::corrupt("region state", region.get(), error.to_string()))?;
            states.push((region, state));
        }
        is_valid = cursor.next()?;
    }
    Ok(states)
}

/// Writes a region as a living one.
pub(crate) fn put_region(batch: &mut WriteBatch, region: &Region) {
    let state = RegionLocalState { state: PeerState::Normal.into(), region: Some(region.clone()) };
    batch.put(Cf::Local, keys::region_state(region.region_id()), state.encode_to_vec());
}

/// Writes that this store's peer of a region is gone for good. The region is as it was last known, and
/// the removed peer is among its peers, so that it is known which one it was.
pub(crate) fn put_tombstone(batch: &mut WriteBatch, region: &Region) {
    let state =
        RegionLocalState { state: PeerState::Tombstone.into(), region: Some(region.clone()) };
    batch.put(Cf::Local, keys::region_state(region.region_id()), state.encode_to_vec());
}

/// Writes how much of a region's log is in the data.
pub(crate) fn put_apply_state(batch: &mut WriteBatch, region: RegionId, state: &RaftApplyState) {
    batch.put(Cf::Local, keys::apply_state(region), state.encode_to_vec());
}

/// Writes the end of a region's log.
pub(crate) fn put_raft_state(batch: &mut WriteBatch, region: RegionId, state: &RaftLocalState) {
    batch.put(Cf::Local, keys::raft_state(region), state.encode_to_vec());
}

/// Deletes everything that the raft engine holds for a region.
pub(crate) fn clear_raft(batch: &mut WriteBatch, region: RegionId) {
    let (start, end) = keys::raft_range(region);
    batch.delete_range(Cf::Local, start, end);
}

/// Deletes the data of all keys in a range.
pub(crate) fn clear_data(batch: &mut WriteBatch, start: &bytes::Bytes, end: &bytes::Bytes) {
    for cf in Cf::DATA {
        batch.delete_range(cf, start.clone(), end.clone());
    }
}

/// How a region that was founded, or split off, begins.
pub(crate) fn initial_apply_state() -> RaftApplyState {
    RaftApplyState {
        applied_index: INITIAL_INDEX,
        truncated_state: Some(RaftTruncatedState { index: INITIAL_INDEX, term: INITIAL_TERM }),
    }
}

/// The raft state that belongs to it.
pub(crate) fn initial_raft_state() -> RaftLocalState {
    RaftLocalState {
        hard_state: Some(HardState::new(INITIAL_TERM, 0, INITIAL_INDEX)),
        last_index: INITIAL_INDEX,
        last_term: INITIAL_TERM,
    }
}

/// Whether the disk says that this store's peer is gone for good.
pub(crate) fn is_tombstone(state: &RegionLocalState) -> bool {
    state.state == i32::from(PeerState::Tombstone)
}

/// The region that a state is about; an absent one is a region of which nothing is known.
pub(crate) fn region_of(state: &RegionLocalState) -> Region {
    state.region.clone().unwrap_or_default()
}

/// The tombstone of a region's peer on this store, as it is written: with the epoch that ended it, if
/// that is newer than what the peer knew. Who the members were then is not known, and whoever came in
/// between must not be taken for a stranger: so of the peers only the own one is left.
pub(crate) fn tombstone_region(
    region: &Region,
    peer: proto::metapb::Peer,
    ended_by: RegionEpoch,
) -> Region {
    let known = region.epoch();
    let epoch = RegionEpoch {
        conf_ver: known.conf_ver.max(ended_by.conf_ver),
        version: known.version.max(ended_by.version),
    };
    let mut region = region.clone();
    region.region_epoch = Some(epoch);
    if known.conf_ver < epoch.conf_ver {
        region.peers.clear();
    }
    if region.peer_on_store(StoreId::new(peer.store_id)).is_none() {
        region.peers.push(peer);
    }
    region
}

/// Whether a tombstone tells who the members are as of its epoch. A region never loses its last member,
/// so there is one beside the buried peer.
pub(crate) fn knows_members(tombstone: &Region) -> bool {
    tombstone.peers.len() > 1
}

/// The snapshot that is being installed for a region, if one is.
pub fn install_marker(kv: &dyn Engine, region: RegionId) -> Result<Option<InstallMarker>> {
    load(kv, &keys::install_marker(region), "install marker", region)
}

/// The snapshots that are being installed.
pub fn install_markers(kv: &dyn Engine) -> Result<BTreeMap<RegionId, InstallMarker>> {
    let (start, end) = keys::region_records();
    let snapshot = kv.snapshot()?;
    let mut cursor = snapshot.cursor(Cf::Local, engine::KeyRange::new(&start, &end))?;
    let mut markers = BTreeMap::new();
    let mut is_valid = cursor.seek_to_first()?;
    while is_valid {
        if let Some(region) = keys::region_of_install(cursor.key()) {
            let marker = InstallMarker::decode(cursor.value()).map_err(|error| {
                Error::corrupt("install marker", region.get(), error.to_string())
            })?;
            markers.insert(region, marker);
        }
        is_valid = cursor.next()?;
    }
    Ok(markers)
}
