//! What committed entries do to the data: computed here, written by the
//! [worker](crate::worker::apply).
//!
//! An [`Applier`] is the state machine of one region. It takes one entry after the other and adds what
//! follows to a [`Turn`], which is shared by all regions whose entries are applied together: changes of
//! the data to one batch, and the rest as [`Effect`]s. Every replica computes the same from the same
//! entry, refusals included, because all that is looked at was applied by earlier entries.
//!
//! Invariants:
//!
//! - A1: entries come one by one, without a gap.
//! - A2: the applied index is written in the batch of what it covers.

mod compact_log;
mod conf_change;
mod data;
mod request;
mod split;

use engine::{Engine, WriteBatch};
use prost::Message;
use proto::eraftpb::Entry;
use proto::metapb::{Peer, Region, RegionEpoch};
use proto::raft_cmdpb::{AdminCmdType, AdminRequest, RaftCmdRequest, RaftRequestHeader};
use proto::raft_serverpb::RaftApplyState;
use proto::{RegionId, StoreId};
use runtime::mutant;

pub(crate) use conf_change::changed;
pub(crate) use request::{
    changes_region, decode_requests, encode_admin, encode_change_peer, encode_write, has_sane_keys,
};

use crate::error::{RegionError, Result};
use crate::message::{AdminDone, Effect, Request};
use crate::state;

/// What entries of several regions add up to, before it is written.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// What changes on disk, together.
    pub(crate) batch: WriteBatch,
    /// Somebody's region state changes: the batch must be durable before anything depends on it.
    pub(crate) must_sync: bool,
}

/// What became of one entry, for whoever proposed it.
#[derive(Debug)]
pub(crate) enum Executed {
    /// Its changes are in the batch.
    Written,
    /// It reads as well: the requests are answered once the batch is written.
    Reads(Vec<Request>),
    /// The region is changed.
    Admin(AdminDone),
    /// It does nothing, on any replica.
    Refused(RegionError),
}

/// The state machine of one region on one store.
#[derive(Debug)]
pub(crate) struct Applier {
    store: StoreId,
    peer: Peer,
    region: Region,
    state: RaftApplyState,
    /// The term of the last applied entry.
    term: u64,
    /// What happened since it was last asked.
    effects: Vec<Effect>,
    bytes_written: u64,
    is_destroyed: bool,
}

impl Applier {
    /// The state machine of `region`, for the peer on `store`, that has applied what `state` says.
    pub(crate) fn new(peer: Peer, region: Region, state: RaftApplyState, term: u64) -> Self {
        let store = StoreId::new(peer.store_id);
        let effects = Vec::new();
        Applier { store, peer, region, state, term, effects, bytes_written: 0, is_destroyed: false }
    }

    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    pub(crate) fn region_id(&self) -> RegionId {
        self.region.region_id()
    }

    pub(crate) fn applied(&self) -> (u64, u64) {
        (self.state.applied_index, self.term)
    }

    /// The peer was removed by an entry: nothing may be applied to it any more.
    pub(crate) fn is_destroyed(&self) -> bool {
        self.is_destroyed
    }

    /// What happened, and how many bytes were written, since this was last asked.
    pub(crate) fn take_effects(&mut self) -> (Vec<Effect>, u64) {
        (std::mem::take(&mut self.effects), std::mem::take(&mut self.bytes_written))
    }

    /// Applies the next entry. `kv` is the data as it was before the turn.
    pub(crate) fn apply(
        &mut self,
        entry: &Entry,
        kv: &dyn Engine,
        turn: &mut Turn,
    ) -> Result<Executed> {
        assert!(!self.is_destroyed, "region {} is destroyed", self.region.id);
        let next = self.state.applied_index + 1;
        assert_eq!(entry.index, next, "A1: region {} applies out of order", self.region.id);
        let executed = self.execute(entry, kv, turn)?;
        (self.state.applied_index, self.term) = (entry.index, entry.term);
        Ok(executed)
    }

    /// A2: puts the applied index into the batch.
    pub(crate) fn save(&self, batch: &mut WriteBatch) {
        if !self.is_destroyed {
            state::put_apply_state(batch, self.region_id(), &self.state);
        }
    }

    fn execute(&mut self, entry: &Entry, kv: &dyn Engine, turn: &mut Turn) -> Result<Executed> {
        if entry.is_empty() {
            return Ok(Executed::Written);
        }
        if entry.is_conf_change() {
            return Ok(self.change_peer(entry, turn));
        }
        let Ok(request) = RaftCmdRequest::decode(entry.data.clone()) else {
            runtime::mark!("an entry that does not parse");
            return Ok(Executed::Refused(RegionError::Refused("the command does not parse")));
        };
        let header = request.header.unwrap_or_default();
        match request.admin_request {
            Some(admin) => self.administer(&header, &admin, kv, turn),
            None => Ok(self.execute_requests(&header, &request.requests, turn)),
        }
    }

    fn administer(
        &mut self,
        header: &RaftRequestHeader,
        admin: &AdminRequest,
        kv: &dyn Engine,
        turn: &mut Turn,
    ) -> Result<Executed> {
        match AdminCmdType::try_from(admin.cmd_type) {
            Ok(AdminCmdType::Split) => match &admin.split {
                Some(split) => self.split(header, split, kv, turn),
                None => Ok(refused("a split without its content")),
            },
            Ok(AdminCmdType::CompactLog) => Ok(self.compact_log(admin.compact_log.as_ref())),
            Ok(
                AdminCmdType::ChangePeer
                | AdminCmdType::TransferLeader
                | AdminCmdType::InvalidAdmin,
            )
            | Err(_) => Ok(refused("a command that does not go through the log like this")),
        }
    }

    /// The keys of a command must still be those that its sender meant.
    fn check_range_epoch(&self, header: &RaftRequestHeader) -> Result<(), RegionError> {
        let asked = header.region_epoch.unwrap_or_default();
        if !mutant::on(11) && !asked.is_same_range_as(&self.region.epoch()) {
            return Err(self.epoch_not_match());
        }
        Ok(())
    }

    /// A change of the region must be of exactly the region that its sender meant.
    fn check_whole_epoch(&self, asked: RegionEpoch) -> Result<(), RegionError> {
        if !mutant::on(11) && asked != self.region.epoch() {
            Err(self.epoch_not_match())
        } else {
            Ok(())
        }
    }

    fn epoch_not_match(&self) -> RegionError {
        RegionError::EpochNotMatch { regions: vec![self.region.clone()] }
    }
}

/// Why a command with an enormous key is refused.
pub(crate) const KEY_TOO_LONG: &str = "a key is longer than any engine takes";

fn refused(why: &'static str) -> Executed {
    Executed::Refused(RegionError::Refused(why))
}
