//! The first store, and the first region of a cluster.
//!
//! Founding a cluster takes several steps on two disks and at the scheduler. Each step may be the last
//! one before a crash, so each is safe to repeat:
//!
//! 1. The store writes whose disk this is ([`bootstrap_store`]), with a number from the scheduler.
//! 2. If the cluster has no region yet, it writes the first one, and beside it a marker that says that
//!    the scheduler has not agreed yet ([`prepare_bootstrap`]).
//! 3. It asks the scheduler. If it agrees, or did before the crash, the marker goes
//!    ([`clear_prepare`]); if another store was first, the region goes as well
//!    ([`clear_prepare_bootstrap`]).
//!
//! A start that finds the marker goes on with step 3.

use engine::{Cf, Durability, Engine, Engines, KeyRange, WriteBatch};
use prost::Message;
use proto::metapb::{Peer, Region};
use proto::raft_serverpb::StoreIdent;
use proto::{PeerId, RegionId, StoreId};

use crate::error::{Error, Result};
use crate::{keys, state};

/// Writes whose disk this is. Both engines must be empty.
pub fn bootstrap_store(engines: &Engines, cluster: u64, store: StoreId) -> Result<()> {
    for engine in [&engines.kv, &engines.raft] {
        if !is_empty(&**engine)? {
            return Err(Error::corrupt(
                "store ident",
                0,
                "it is missing, but the engine is not empty; was a file of the directory removed?",
            ));
        }
    }
    let ident = StoreIdent { cluster_id: cluster, store_id: store.get() };
    let mut batch = WriteBatch::new();
    batch.put(Cf::Local, keys::STORE_IDENT, ident.encode_to_vec());
    engines.kv.write(&batch, Durability::Synced)?;
    Ok(())
}

/// Writes the first region of the cluster, with its only peer on this store, and the marker that it is
/// not agreed on yet. May be repeated.
pub fn prepare_bootstrap(
    engines: &Engines,
    store: StoreId,
    region: RegionId,
    peer: PeerId,
) -> Result<Region> {
    let region = Region::new(region, "", "").with_peers([Peer::new(peer, store)]);
    write_initial_region(engines, &region, true)?;
    Ok(region)
}

/// Writes a region as it is founded. The kv engine is first and synced: a raft state without a region
/// means nothing, and a region without one begins with the initial one.
pub fn write_initial_region(engines: &Engines, region: &Region, is_prepared: bool) -> Result<()> {
    let id = region.region_id();
    let mut batch = WriteBatch::new();
    state::put_region(&mut batch, region);
    state::put_apply_state(&mut batch, id, &state::initial_apply_state());
    if is_prepared {
        batch.put(Cf::Local, keys::PREPARE_BOOTSTRAP, region.encode_to_vec());
    }
    engines.kv.write(&batch, Durability::Synced)?;

    let mut batch = WriteBatch::new();
    state::put_raft_state(&mut batch, id, &state::initial_raft_state());
    engines.raft.write(&batch, Durability::Synced)?;
    Ok(())
}

/// The region that was prepared, if the scheduler has not agreed yet.
pub fn prepared(engines: &Engines) -> Result<Option<Region>> {
    state::load(&*engines.kv, keys::PREPARE_BOOTSTRAP, "prepared region", RegionId::INVALID)
}

/// The scheduler has agreed: the marker goes.
pub fn clear_prepare(engines: &Engines) -> Result<()> {
    let mut batch = WriteBatch::new();
    batch.delete(Cf::Local, keys::PREPARE_BOOTSTRAP);
    engines.kv.write(&batch, Durability::Synced)?;
    Ok(())
}

/// Another store was first: marker and region go. The raft engine is first, because the marker is what
/// makes a start repeat this.
pub fn clear_prepare_bootstrap(engines: &Engines, region: RegionId) -> Result<()> {
    let mut batch = WriteBatch::new();
    state::clear_raft(&mut batch, region);
    engines.raft.write(&batch, Durability::Synced)?;

    let mut batch = WriteBatch::new();
    batch.delete(Cf::Local, keys::region_state(region));
    batch.delete(Cf::Local, keys::apply_state(region));
    batch.delete(Cf::Local, keys::PREPARE_BOOTSTRAP);
    engines.kv.write(&batch, Durability::Synced)?;
    Ok(())
}

fn is_empty(engine: &dyn Engine) -> Result<bool> {
    let snapshot = engine.snapshot()?;
    for &cf in engine.layout().families() {
        if snapshot.cursor(cf, KeyRange::ALL)?.seek_to_first()? {
            return Ok(false);
        }
    }
    Ok(true)
}
