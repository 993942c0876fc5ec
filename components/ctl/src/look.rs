//! What there is: regions, stores, schedulers, and what is being done with them.

use client::scheduler::RegionAndLeader;
use proto::metapb::{Peer, Region as RegionRecord, StoreState};
use proto::schedulerpb::{GetOperatorResponse, OperatorStatus, StoreStats};
use proto::tinykvext::{ProgressState, RaftStateResponse, Role};

use crate::args::{Region, Regions};
use crate::error::CtlError;
use crate::form::{Form, place};
use crate::output::{Cell, Output, Table};
use crate::{Result, Session};

/// Regions in one answer of the scheduler.
const PAGE: u32 = 256;

/// Lists regions in the order of their keys.
pub(crate) async fn regions(session: &Session, wish: &Regions) -> Result<Output> {
    let start = place(&session.form.read(&wish.start)?, wish.raw);
    let found = scan(session, &start, wish.limit).await?;
    let rows = found.iter().map(|region| brief(session.form, region)).collect();
    Ok(Output::Table(table_of_regions(rows)))
}

/// The regions from the one that has `start` on.
pub(crate) async fn scan(
    session: &Session,
    start: &[u8],
    limit: u32,
) -> Result<Vec<RegionAndLeader>> {
    let mut found: Vec<RegionAndLeader> = Vec::new();
    let mut start = start.to_vec();
    loop {
        let left = limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        if left == 0 {
            return Ok(found);
        }
        let page = session.client.scheduler().scan_regions(&start, b"", left.min(PAGE)).await?;
        let Some(last) = page.last() else { return Ok(found) };
        start = last.region.end_key.to_vec();
        found.extend(page);
        if start.is_empty() {
            return Ok(found);
        }
    }
}

pub(crate) fn table_of_regions(rows: Vec<Vec<Cell>>) -> Table {
    Table { columns: &["region", "start", "end", "leader", "stores", "version", "conf_ver"], rows }
}

/// A region in one line.
pub(crate) fn brief(form: Form, found: &RegionAndLeader) -> Vec<Cell> {
    let RegionAndLeader { region, leader } = found;
    let epoch = region.region_epoch.unwrap_or_default();
    vec![
        Cell::Number(region.id),
        Cell::Key(form.boundary(&region.start_key)),
        Cell::Key(form.boundary(&region.end_key)),
        leader.map_or(Cell::Nothing, |peer| Cell::Number(peer.store_id)),
        Cell::Text(stores_of(region)),
        Cell::Number(epoch.version),
        Cell::Number(epoch.conf_ver),
    ]
}

fn stores_of(region: &RegionRecord) -> String {
    let stores: Vec<String> = region.peers.iter().map(|peer| peer.store_id.to_string()).collect();
    stores.join(",")
}

/// Shows a region, and asks each of its peers how it is.
pub(crate) async fn region(session: &Session, wish: &Region) -> Result<Output> {
    let scheduler = session.client.scheduler();
    let number = if wish.key || wish.raw { None } else { wish.which.parse().ok() };
    let found = match number {
        Some(id) => scheduler.region_by_id(id).await?,
        None => scheduler.region(&place(&session.form.read(&wish.which)?, wish.raw)).await?,
    };
    let Some(found) = found else {
        let what = format!("there is no region {}", wish.which);
        return Err(
            CtlError::absent(what).hint("`regions` lists them; a key of digits needs --key")
        );
    };
    let RegionAndLeader { region, leader } = found;
    let admin = session.client.admin();
    let (mut rows, mut size) = (Vec::new(), 0);
    for peer in &region.peers {
        let state = admin.raft_state(peer.store_id, region.id).await;
        if leader.is_some_and(|leader| leader.store_id == peer.store_id)
            && let Ok(state) = admin.region_state(peer.store_id, region.id).await
        {
            size = state.approximate_size;
        }
        rows.push((*peer, state));
    }
    let progress = rows.iter().filter_map(|(_, state)| state.as_ref().ok());
    let leading: Option<&RaftStateResponse> =
        progress.filter(|state| state.role() == Role::Leader).max_by_key(|state| term(state));
    let cells = rows.iter().map(|(peer, state)| match state {
        Ok(state) => peer_row(*peer, state, leading),
        Err(error) => silent_row(*peer, error),
    });
    let peers = Table {
        columns: &[
            "peer",
            "store",
            "role",
            "term",
            "last",
            "committed",
            "applied",
            "first",
            "follows",
        ],
        rows: cells.collect(),
    };
    let epoch = region.region_epoch.unwrap_or_default();
    Ok(Output::Record(vec![
        ("region", Cell::Number(region.id)),
        ("start", Cell::Key(session.form.boundary(&region.start_key))),
        ("end", Cell::Key(session.form.boundary(&region.end_key))),
        ("version", Cell::Number(epoch.version)),
        ("conf_ver", Cell::Number(epoch.conf_ver)),
        ("leader", leader.map_or(Cell::Nothing, |peer| Cell::Number(peer.store_id))),
        ("bytes", Cell::known(size)),
        ("peers", Cell::Table(peers)),
    ]))
}

fn term(state: &RaftStateResponse) -> u64 {
    state.hard_state.as_ref().map_or(0, |hard| hard.term)
}

fn peer_row(
    peer: Peer,
    state: &RaftStateResponse,
    leading: Option<&RaftStateResponse>,
) -> Vec<Cell> {
    let role = match state.role() {
        Role::Follower => "follower",
        Role::PreCandidate => "pre-candidate",
        Role::Candidate => "candidate",
        Role::Leader => "leader",
    };
    // How the leader sees it.
    let of = |state: &RaftStateResponse| {
        state.progress.iter().find(|progress| progress.peer_id == peer.id).copied()
    };
    let follows = leading.and_then(of).map_or(Cell::Nothing, |progress| {
        let how = match progress.state() {
            ProgressState::Probe => "probe",
            ProgressState::Replicate => "replicate",
            ProgressState::Snapshot => "snapshot",
        };
        Cell::Text(format!("{how} at {}", progress.match_index))
    });
    let hard = state.hard_state.unwrap_or_default();
    let apply = state.apply_state.unwrap_or_default();
    let first = apply.truncated_state.unwrap_or_default().index + 1;
    let mut cells =
        vec![Cell::Number(peer.id), Cell::Number(peer.store_id), Cell::Text(role.to_owned())];
    let numbers = [hard.term, state.last_index, hard.commit, apply.applied_index, first];
    cells.extend(numbers.map(Cell::Number));
    cells.push(follows);
    cells
}

/// A peer that says nothing.
fn silent_row(peer: Peer, error: &client::Error) -> Vec<Cell> {
    let why = error
        .attempts()
        .latest()
        .last()
        .map_or_else(|| error.cause().to_string(), |attempt| attempt.outcome.clone());
    let mut cells = vec![Cell::Number(peer.id), Cell::Number(peer.store_id), Cell::Text(why)];
    cells.extend(std::iter::repeat_n(Cell::Nothing, 6));
    cells
}

/// Lists the stores.
pub(crate) async fn stores(session: &Session, all: bool) -> Result<Output> {
    let scheduler = session.client.scheduler();
    let mut rows = Vec::new();
    for store in scheduler.stores(all).await? {
        let told = scheduler.store_stats(store.id).await?.and_then(|(_, stats)| stats);
        let StoreStats { region_count, capacity, available, is_busy, .. } =
            told.unwrap_or_default();
        let state = match store.state() {
            StoreState::Up => "up",
            StoreState::Offline => "being emptied",
            StoreState::Tombstone => "removed",
        };
        let used = Cell::Number(capacity.saturating_sub(available));
        rows.push(vec![
            Cell::Number(store.id),
            Cell::Text(store.address.clone()),
            Cell::Text(state.to_owned()),
            Cell::Number(region_count.into()),
            Cell::known(capacity),
            if capacity == 0 { Cell::Nothing } else { used },
            Cell::Flag(is_busy),
        ]);
    }
    let columns = &["store", "address", "state", "peers", "disk_bytes", "disk_used", "busy"];
    Ok(Output::Table(Table { columns, rows }))
}

/// Lists the schedulers.
pub(crate) async fn members(session: &Session) -> Result<Output> {
    let (members, leader) = session.client.scheduler().members().await?;
    let leads = |id: u64| leader.as_ref().is_some_and(|leader| leader.member_id == id);
    let rows = members.iter().map(|member| {
        vec![
            Cell::Text(member.name.clone()),
            Cell::Text(format!("{:016x}", member.member_id)),
            Cell::Text(member.client_urls.join(",")),
            Cell::Flag(leads(member.member_id)),
        ]
    });
    let columns = &["name", "id", "address", "leads"];
    Ok(Output::Table(Table { columns, rows: rows.collect() }))
}

/// Shows what the scheduler does with one region, or with each.
pub(crate) async fn operators(session: &Session, region: Option<u64>) -> Result<Output> {
    let scheduler = session.client.scheduler();
    let ids = if let Some(id) = region {
        vec![id]
    } else {
        let all = scan(session, b"", u32::MAX).await?;
        all.iter().map(|found| found.region.id).collect()
    };
    let mut rows = Vec::new();
    for id in ids {
        if let Some(operator) = scheduler.operator(id).await? {
            rows.push(operator_row(&operator));
        }
    }
    Ok(Output::Table(Table { columns: &["region", "operator", "kind", "status"], rows }))
}

fn operator_row(operator: &GetOperatorResponse) -> Vec<Cell> {
    let status = match operator.status() {
        OperatorStatus::Success => "done",
        OperatorStatus::Timeout => "timed out",
        OperatorStatus::Cancel => "given up",
        OperatorStatus::Replace => "replaced",
        OperatorStatus::Running => "running",
    };
    let text = |bytes: &[u8]| Cell::Text(String::from_utf8_lossy(bytes).into_owned());
    vec![
        Cell::Number(operator.region_id),
        text(&operator.desc),
        text(&operator.kind),
        Cell::Text(status.to_owned()),
    ]
}
