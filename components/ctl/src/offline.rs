//! What a store that does not run has on its disk.
//!
//! Nothing is changed, and no server can start while it is looked at. It needs no cluster: this is for
//! when there is none any more.

use std::path::Path;

use engine::Engines;
use proto::RegionId;
use proto::raft_serverpb::{PeerState, RegionLocalState};
use raftstore::state;

use crate::Result;
use crate::error::CtlError;
use crate::form::Form;
use crate::output::{Cell, Output, Table};

/// Lists the regions of a store, those that it lost as well.
pub(crate) fn regions(dir: &Path, form: Form) -> Result<Output> {
    let engines = Engines::look_into(dir, &engine::Config::default())?;
    let mut rows = Vec::new();
    for (id, local) in state::region_states(&*engines.kv)? {
        let region = local.region.clone().unwrap_or_default();
        let apply = state::apply_state(&*engines.kv, id)?.unwrap_or_default();
        let raft = state::raft_state(&*engines.raft, id)?.unwrap_or_default();
        let stores: Vec<String> =
            region.peers.iter().map(|peer| peer.store_id.to_string()).collect();
        rows.push(vec![
            Cell::Number(id.get()),
            Cell::Text(told(&local).to_owned()),
            Cell::Key(form.boundary(&region.start_key)),
            Cell::Key(form.boundary(&region.end_key)),
            Cell::Text(stores.join(",")),
            Cell::Number(raft.hard_state.map_or(0, |hard| hard.term)),
            Cell::Number(raft.last_index),
            Cell::Number(apply.applied_index),
        ]);
    }
    let columns = &["region", "state", "start", "end", "stores", "term", "last", "applied"];
    Ok(Output::Table(Table { columns, rows }))
}

/// Shows everything that a store knows of a region.
pub(crate) fn region(dir: &Path, id: u64, form: Form) -> Result<Output> {
    let engines = Engines::look_into(dir, &engine::Config::default())?;
    let id = RegionId::new(id);
    let Some(local) = state::region_state(&*engines.kv, id)? else {
        let what = format!("the store in {} has never had region {id}", dir.display());
        return Err(CtlError::absent(what).hint("without a number all regions are listed"));
    };
    let region = local.region.clone().unwrap_or_default();
    let apply = state::apply_state(&*engines.kv, id)?.unwrap_or_default();
    let truncated = apply.truncated_state.unwrap_or_default();
    let raft = state::raft_state(&*engines.raft, id)?.unwrap_or_default();
    let hard = raft.hard_state.unwrap_or_default();
    let ident = state::store_ident(&*engines.kv)?.unwrap_or_default();
    let epoch = region.region_epoch.unwrap_or_default();
    let peers = region.peers.iter();
    let rows = peers.map(|peer| vec![Cell::Number(peer.id), Cell::Number(peer.store_id)]).collect();
    Ok(Output::Record(vec![
        ("cluster", Cell::Number(ident.cluster_id)),
        ("store", Cell::Number(ident.store_id)),
        ("region", Cell::Number(id.get())),
        ("state", Cell::Text(told(&local).to_owned())),
        ("start", Cell::Key(form.boundary(&region.start_key))),
        ("end", Cell::Key(form.boundary(&region.end_key))),
        ("version", Cell::Number(epoch.version)),
        ("conf_ver", Cell::Number(epoch.conf_ver)),
        ("term", Cell::Number(hard.term)),
        ("vote", Cell::known(hard.vote)),
        ("committed", Cell::Number(hard.commit)),
        ("applied", Cell::Number(apply.applied_index)),
        ("first", Cell::Number(truncated.index + 1)),
        ("last", Cell::Number(raft.last_index)),
        ("last_term", Cell::Number(raft.last_term)),
        ("peers", Cell::Table(Table { columns: &["peer", "store"], rows })),
    ]))
}

fn told(local: &RegionLocalState) -> &'static str {
    match local.state() {
        PeerState::Normal => "normal",
        PeerState::Tombstone => "removed",
    }
}
