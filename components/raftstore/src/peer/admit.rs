//! May this command be done here, now?
//!
//! Everything is checked that can be checked before a command takes a place in the log, so that most
//! refusals are definite and cost nothing. The epoch and the keys are checked again when it is applied,
//! because a split or a change of peers may be before it in the log.

use proto::metapb::RegionEpoch;
use raft::Storage as _;
use runtime::mutant;

use super::Peer;
use crate::apply;
use crate::error::RegionError;
use crate::message::{Admin, Command, Header};

impl Peer {
    /// Why a command is refused, if it is.
    pub(crate) fn admit(&self, header: &Header, command: &Command) -> Result<(), RegionError> {
        self.admit_leader(header)?;
        self.admit_epoch(header.epoch, command)?;
        match command {
            Command::Write(requests) => {
                if requests.is_empty() {
                    return Err(RegionError::Refused("a command without requests"));
                }
                if !apply::has_sane_keys(requests) {
                    return Err(RegionError::Refused(apply::KEY_TOO_LONG));
                }
                let keys = requests.iter().filter_map(crate::message::Request::key);
                match keys.into_iter().find(|key| !self.region().contains(key)) {
                    Some(key) => Err(RegionError::key_not_in_region(key, self.region())),
                    None => Ok(()),
                }
            }
            Command::Read => Ok(()),
            Command::Admin(admin) => self.admit_admin(admin),
        }
    }

    fn admit_leader(&self, header: &Header) -> Result<(), RegionError> {
        let region = self.region().id;
        if header.peer.is_some_and(|peer| peer.id != 0 && peer.id != self.own.id) {
            return Err(RegionError::NotFound { region });
        }
        if !self.is_leader() {
            return Err(RegionError::NotLeader { region, leader: self.leader() });
        }
        if header.term != 0 && header.term != self.term() && !mutant::on(27) {
            runtime::mark!("a write that was computed in another term");
            return Err(RegionError::Busy("leadership has changed since the command was computed"));
        }
        Ok(())
    }

    fn admit_epoch(&self, asked: RegionEpoch, command: &Command) -> Result<(), RegionError> {
        let current = self.region().epoch();
        let matches = match command {
            Command::Write(_) => asked.is_same_range_as(&current),
            Command::Read => mutant::on(12) || asked.is_same_range_as(&current),
            Command::Admin(Admin::CompactLog { .. }) => true,
            Command::Admin(
                Admin::ChangePeer { .. } | Admin::Split { .. } | Admin::TransferLeader { .. },
            ) => asked == current,
        };
        if matches {
            return Ok(());
        }
        Err(RegionError::EpochNotMatch { regions: vec![self.region().clone()] })
    }

    fn admit_admin(&self, admin: &Admin) -> Result<(), RegionError> {
        match admin {
            Admin::ChangePeer { change, peer } => {
                apply::changed(self.region(), *change, *peer).map(drop)
            }
            Admin::Split { key, .. } => {
                if !mutant::on(13) && !self.region().contains_inside(key) {
                    return Err(RegionError::key_not_in_region(key, self.region()));
                }
                Ok(())
            }
            Admin::TransferLeader { to } => {
                if self.region().peers.contains(to) {
                    Ok(())
                } else {
                    Err(RegionError::Refused("the region has no such peer"))
                }
            }
            Admin::CompactLog { index, term } => {
                // Every replica will believe that this is where its log begins.
                let is_known = self.storage().term(*index).is_ok_and(|known| known == *term);
                let is_applied = *index <= self.storage().applied_index();
                if is_known && is_applied {
                    Ok(())
                } else {
                    Err(RegionError::Refused("the log has no such applied entry"))
                }
            }
        }
    }
}
