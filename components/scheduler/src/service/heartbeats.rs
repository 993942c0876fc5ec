//! The stream on which a store reports its regions, and hears what to do with them.

use std::sync::Arc;

use proto::schedulerpb::{ErrorType, RegionHeartbeatRequest, RegionHeartbeatResponse};
use tokio::sync::mpsc::Sender;
use tonic::{Status, Streaming};

use super::respond;
use crate::cluster::region::RegionInfo;
use crate::error::Error;
use crate::state::{Message, State};

/// Takes reports until the stream ends, or something is wrong with more than one region.
pub async fn serve(
    state: Arc<State>,
    mut requests: Streaming<RegionHeartbeatRequest>,
    responses: Sender<Message<RegionHeartbeatResponse>>,
) {
    let mut bound = None;
    while let Ok(Some(request)) = requests.message().await {
        let store = request.leader.as_ref().map_or(0, |leader| leader.store_id);
        if let Err(status) = check(&state, &request, store) {
            // The store hears why, and then the stream ends.
            let _ = responses.send(Err(status)).await;
            break;
        }
        if bound.is_none_or(|(of, _)| of != store) {
            unbind(&state, bound);
            bound = Some((store, state.bind(store, responses.clone())));
        }
        if let Some(refusal) = report(&state, request)
            && responses.send(Ok(refusal)).await.is_err()
        {
            break;
        }
    }
    unbind(&state, bound);
}

fn unbind(state: &State, bound: Option<(u64, u64)>) {
    if let Some((store, number)) = bound {
        state.unbind(store, number);
    }
}

/// What must be right with every report of a stream.
fn check(state: &State, request: &RegionHeartbeatRequest, store: u64) -> Result<(), Status> {
    respond::check(state, request.header.as_ref())?;
    let core = state.core();
    let error = match (core.cluster.meta(), core.cluster.stores.get(store)) {
        (Err(error), _) => error,
        (Ok(_), None) => Error::StoreNotFound(store),
        (Ok(_), Some(known)) if known.is_tombstone() => Error::StoreTombstone(store),
        (Ok(_), Some(_)) => return Ok(()),
    };
    Err(respond::status(&error))
}

/// Takes one report over, and answers why not, if not.
fn report(state: &State, request: RegionHeartbeatRequest) -> Option<RegionHeartbeatResponse> {
    let (id, leader) = (request.region.as_ref().map_or(0, |region| region.id), request.leader);
    let region = RegionInfo::from_heartbeat(request);
    let now = state.clock.now();
    // The lock ends here, before anything is sent.
    let reported = state.core().report(region, now);
    match reported {
        Ok((reported, command)) => {
            state.meters.reports.inc();
            state.note(&reported);
            state.send(command);
            None
        }
        Err(error) => {
            state.meters.reports_refused.inc();
            Some(RegionHeartbeatResponse {
                header: respond::header(state, ErrorType::Unknown, error.to_string()),
                region_id: id,
                target_peer: leader,
                ..RegionHeartbeatResponse::default()
            })
        }
    }
}
