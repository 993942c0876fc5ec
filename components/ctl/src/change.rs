//! Changes of regions.
//!
//! The scheduler has wishes of its own. It removes a peer that is one too many, replaces one that is
//! missing, and moves leaders and peers until stores are even; what is changed by hand stays only as long
//! as it agrees.

use client::scheduler::RegionAndLeader;
use proto::metapb::{Peer, Region};

use crate::args::Place;
use crate::error::CtlError;
use crate::form::place;
use crate::look::{brief, table_of_regions};
use crate::output::{Cell, Output};
use crate::{Result, Session};

/// Cuts a region in two.
pub(crate) async fn split(session: &Session, key: &str, is_raw: bool) -> Result<Output> {
    let key = session.form.read(key)?;
    if key.is_empty() {
        return Err(CtlError::misused("the first region begins at the empty key already"));
    }
    let parts = session.client.admin().split(place(&key, is_raw)).await?;
    let parts = parts.into_iter().map(|region| RegionAndLeader { region, leader: None });
    let rows = parts.map(|part| brief(session.form, &part)).collect();
    Ok(Output::Table(table_of_regions(rows)))
}

/// Moves the leader.
pub(crate) async fn transfer_leader(session: &Session, place: Place) -> Result<Output> {
    let region = find(session, place.region).await?;
    let to = peer_on(&region, place.store)?;
    session.client.admin().transfer_leader(&region, to).await?;
    Ok(Output::Record(vec![
        ("region", Cell::Number(region.id)),
        ("leader", Cell::Number(to.store_id)),
    ]))
}

/// Gives a region a peer.
pub(crate) async fn add_peer(session: &Session, place: Place) -> Result<Output> {
    let region = find(session, place.region).await?;
    if peer_on(&region, place.store).is_ok() {
        let what = format!("region {} has a peer on store {} already", region.id, place.store);
        return Err(CtlError::failed(what));
    }
    let scheduler = session.client.scheduler();
    if scheduler.store(place.store).await?.is_none() {
        let what = format!("there is no store {}", place.store);
        return Err(CtlError::absent(what).hint("`stores` lists them"));
    }
    let peer = Peer { id: scheduler.alloc_id().await?, store_id: place.store };
    let region = session.client.admin().add_peer(&region, peer).await?;
    Ok(shown(session, region))
}

/// Takes a peer away.
pub(crate) async fn remove_peer(session: &Session, place: Place) -> Result<Output> {
    let region = find(session, place.region).await?;
    let peer = peer_on(&region, place.store)?;
    if region.peers.len() == 1 {
        let what = format!("region {} has no other peer; its data would be gone", region.id);
        return Err(CtlError::failed(what).hint("give it another one first, with `add-peer`"));
    }
    let region = session.client.admin().remove_peer(&region, peer).await?;
    Ok(shown(session, region))
}

async fn find(session: &Session, id: u64) -> Result<Region> {
    let found = session.client.scheduler().region_by_id(id).await?;
    let absent =
        || CtlError::absent(format!("there is no region {id}")).hint("`regions` lists them");
    Ok(found.ok_or_else(absent)?.region)
}

fn peer_on(region: &Region, store: u64) -> Result<Peer> {
    let peer = region.peers.iter().find(|peer| peer.store_id == store);
    peer.copied().ok_or_else(|| {
        let what = format!("region {} has no peer on store {store}", region.id);
        let stores: Vec<String> =
            region.peers.iter().map(|peer| peer.store_id.to_string()).collect();
        CtlError::absent(what).hint(format!("it has them on stores {}", stores.join(", ")))
    })
}

fn shown(session: &Session, region: Region) -> Output {
    let row = brief(session.form, &RegionAndLeader { region, leader: None });
    Output::Table(table_of_regions(vec![row]))
}
