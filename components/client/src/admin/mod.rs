//! What tools do to regions and stores, and ask of them.
//!
//! A change of a region is a command that its leader takes, the same as the scheduler's wishes. It may
//! lose a race against one of those, and is then made again as the region is now. What the scheduler
//! thinks of the result is another matter: a peer too many it takes away again, and a leader that makes
//! stores uneven it moves.
//!
//! A region is named as it is known, and found by its first key. That never changes: a split leaves the
//! id with the left part, and nothing joins regions.
//!
//! Old versions are collected in three steps, each of them everywhere before the next begins:
//!
//! ```text
//!   raise_safe_point     the scheduler, then every store     nobody reads below it, or prewrites
//!   resolve_locks        region after region                 no transaction from below it is left open
//!   collect_garbage      region after region                 what nobody can see goes
//! ```

mod garbage;

use std::sync::Arc;

use bytes::Bytes;
use proto::eraftpb::ConfChangeType;
use proto::metapb::{Peer, Region};
use proto::tinykvext::{
    ChangePeerRequest, RaftStateRequest, RaftStateResponse, RegionStateRequest,
    RegionStateResponse, SplitRegionRequest, TransferLeaderRequest,
};

pub use self::garbage::{Collected, Resolved};
use crate::backoff::Reason;
use crate::error::{Attempts, Cause, Error, Result};
use crate::failure::Failure;
use crate::request::{Operation, Requests, refusal};
use crate::rpc::ChangePeer;

/// Administration of a cluster.
#[derive(Clone)]
pub struct Admin {
    requests: Arc<Requests>,
}

impl Admin {
    pub(crate) fn new(requests: Arc<Requests>) -> Self {
        Admin { requests }
    }

    /// Cuts a region in two. The key is in the form in which regions order keys, and becomes the first
    /// one of the right part. Answers both parts, the left one first.
    pub async fn split(&self, key: impl Into<Bytes>) -> Result<Vec<Region>> {
        let key = key.into();
        let split = async |operation: &mut Operation| {
            let route = self.requests.locate(operation, &key).await?;
            if route.region.start_key == key {
                let id = route.region.id;
                return Err(Cause::Invalid(format!("region {id} begins at this key already")));
            }
            let request = SplitRegionRequest { context: None, split_key: key.clone() };
            let (response, _) = self.requests.send(operation, &key, &request).await?;
            refusal(response.error)?;
            Ok(response.regions)
        };
        self.requests.within("split", split).await
    }

    /// Hands the leadership of a region over, and waits until that has come about.
    pub async fn transfer_leader(&self, region: &Region, to: Peer) -> Result<()> {
        let transfer = async |operation: &mut Operation| {
            loop {
                let request = TransferLeaderRequest { context: None, peer: Some(to) };
                let start = &region.start_key;
                let (response, _) = self.requests.send(operation, start, &request).await?;
                refusal(response.error)?;
                // It has begun. It may also come to nothing, so now and then it is asked for again.
                for _ in 0..LOOKS {
                    operation.pause(Reason::Region).await?;
                    match self.look(to.store_id, region.id).await {
                        Ok(state) if state.leader == Some(to) => return Ok(()),
                        Ok(_) => operation.note(at(to.store_id), &"it does not lead yet"),
                        Err(failure) => operation.note(at(to.store_id), &failure),
                    }
                }
            }
        };
        self.requests.within("move the leader", transfer).await
    }

    /// Adds a peer to a region, with an id that is new. Answers the region with it.
    pub async fn add_peer(&self, region: &Region, peer: Peer) -> Result<Region> {
        self.change_peer("add the peer", ConfChangeType::AddNode, region, peer).await
    }

    /// Removes a peer from a region; one that leads hands over first. Answers the region without it.
    pub async fn remove_peer(&self, region: &Region, peer: Peer) -> Result<Region> {
        self.change_peer("remove the peer", ConfChangeType::RemoveNode, region, peer).await
    }

    async fn change_peer(
        &self,
        name: &'static str,
        change: ConfChangeType,
        region: &Region,
        peer: Peer,
    ) -> Result<Region> {
        let attempt = async |operation: &mut Operation| {
            let request = ChangePeerRequest { context: None, peer: Some(peer) };
            let request = ChangePeer { change, request };
            let start = &region.start_key;
            let (response, _) = self.requests.send(operation, start, &request).await?;
            refusal(response.error)?;
            let nothing = || Cause::Malformed("the region after the change is missing".to_owned());
            response.region.ok_or_else(nothing)
        };
        self.requests.within(name, attempt).await
    }

    /// What a store knows of a region. Asked once: a store that is not there is an answer, too.
    pub async fn region_state(&self, store: u64, region: u64) -> Result<RegionStateResponse> {
        let looked = self.look(store, region).await;
        looked.map_err(|failure| unanswered("look at the region", store, &failure))
    }

    /// What a store's peer of a region knows of its Raft group. Asked once.
    pub async fn raft_state(&self, store: u64, region: u64) -> Result<RaftStateResponse> {
        let request = RaftStateRequest { region_id: region };
        let ask =
            self.requests.ask(store, |mut stub| async move { stub.ext.raft_state(request).await });
        let state = ask.await.and_then(|mut state| match state.region_error.take() {
            None => Ok(state),
            Some(error) => Err(Failure::of_region(*error)),
        });
        state.map_err(|failure| unanswered("look at the peer", store, &failure))
    }

    async fn look(&self, store: u64, region: u64) -> Result<RegionStateResponse, Failure> {
        let request = RegionStateRequest { region_id: region };
        let mut state = self
            .requests
            .ask(store, |mut stub| async move { stub.ext.region_state(request).await })
            .await?;
        match state.region_error.take() {
            None => Ok(state),
            Some(error) => Err(Failure::of_region(*error)),
        }
    }
}

/// How often a peer is asked whether it leads, before it is told again to.
const LOOKS: u32 = 8;

fn at(store: u64) -> String {
    format!("store {store}")
}

/// One attempt that came to nothing.
fn unanswered(operation: &'static str, store: u64, failure: &Failure) -> Error {
    let mut attempts = Attempts::default();
    attempts.add(at(store), failure.to_string());
    let cause = match failure {
        Failure::RegionNotFound => Cause::NotFound(failure.to_string()),
        Failure::Refused(text) => Cause::Refused(text.clone()),
        Failure::NotLeader { .. }
        | Failure::KeyNotInRegion
        | Failure::EpochNotMatch { .. }
        | Failure::StaleCommand
        | Failure::StoreNotMatch
        | Failure::Busy(_)
        | Failure::Unreachable(_)
        | Failure::Lost(_)
        | Failure::Unlocated(_) => Cause::Exhausted,
    };
    Error::new(operation, cause, attempts)
}
