//! One region becomes two.
//!
//! *Propose:* the leader, with ids from the scheduler. *Apply:* both parts are written in one batch, the
//! left one with the old id. *Afterwards:* the thread that owns the peers makes the right part's peer,
//! which campaigns at once where its parent led, and tells the scheduler.
//!
//! The right part's peer on this store may have a history already: members of the right part on faster
//! stores call it before this store has applied the split. Either it exists without data, and keeps its
//! vote; or it came, and was removed again, and has left a tombstone. Then the right part's data is
//! cleared instead, because nobody on this store will ever own it.

use engine::Engine;
use proto::RegionId;
use proto::metapb::{Peer, Region};
use proto::raft_cmdpb::{RaftRequestHeader, SplitRequest};
use runtime::mutant;

use super::{Applier, Executed, Turn, refused};
use crate::error::{Error, RegionError, Result};
use crate::message::{AdminDone, Effect};
use crate::state;

impl Applier {
    pub(super) fn split(
        &mut self,
        header: &RaftRequestHeader,
        request: &SplitRequest,
        kv: &dyn Engine,
        turn: &mut Turn,
    ) -> Result<Executed> {
        if let Err(error) = self.check_whole_epoch(header.region_epoch.unwrap_or_default()) {
            return Ok(Executed::Refused(error));
        }
        let (left, right) = match parts(&self.region, request) {
            Ok(parts) => parts,
            Err(error) => return Ok(Executed::Refused(error)),
        };
        if right.peer_on_store(self.store).is_none() {
            return Ok(refused("the region has no peer on this store"));
        }
        let is_right_here = match state::region_state(kv, right.region_id())? {
            None => true,
            Some(state) if state::is_tombstone(&state) => false,
            Some(_) => {
                let why = "a split meets a region that is there already";
                return Err(Error::corrupt("region state", right.id, why));
            }
        };

        turn.must_sync = true;
        state::put_region(&mut turn.batch, &left);
        if is_right_here {
            state::put_region(&mut turn.batch, &right);
            let begin = state::initial_apply_state();
            state::put_apply_state(&mut turn.batch, right.region_id(), &begin);
        } else {
            runtime::mark!("a split whose right part was removed already");
            state::clear_data(&mut turn.batch, &right.start_key, &right.end_key);
        }
        self.region = left.clone();
        let regions = vec![left.clone(), right.clone()];
        self.effects.push(Effect::Split { left, right, is_right_here });
        Ok(Executed::Admin(AdminDone::Split(regions)))
    }
}

/// Both parts of a region, or why it cannot be cut like this.
pub(crate) fn parts(
    region: &Region,
    request: &SplitRequest,
) -> Result<(Region, Region), RegionError> {
    if !mutant::on(13) && !region.contains_inside(&request.split_key) {
        return Err(RegionError::key_not_in_region(&request.split_key, region));
    }
    if request.split_key.len() > engine::MAX_KEY_BYTES {
        return Err(RegionError::Refused(super::KEY_TOO_LONG));
    }
    if request.new_region_id == 0 || request.new_region_id == region.id {
        return Err(RegionError::Refused("the right part needs an id of its own"));
    }
    let mut ids = request.new_peer_ids.clone();
    ids.sort_unstable();
    let is_distinct = ids.is_sorted_by(|a, b| a < b) && ids.first() != Some(&0);
    if ids.len() != region.peers.len() || !is_distinct {
        return Err(RegionError::Refused("the right part needs an id for each peer"));
    }
    let epoch = Some(region.epoch().after_split());
    let mut left = region.clone();
    left.end_key = request.split_key.clone();
    left.region_epoch = epoch;
    let peers = region.peers.iter().zip(&request.new_peer_ids);
    let mut right = Region::new(
        RegionId::new(request.new_region_id),
        request.split_key.clone(),
        region.end_key.clone(),
    );
    right.peers = peers.map(|(peer, id)| Peer { id: *id, store_id: peer.store_id }).collect();
    right.region_epoch = epoch;
    Ok((left, right))
}
