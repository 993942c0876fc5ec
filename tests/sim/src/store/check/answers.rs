//! Every command is answered, once, and by a region that is what its sender took it for.

use proto::metapb::RegionEpoch;
use raftstore::{Admin, AdminDone, Command, Done, Response};

use super::{Property, Verdict};

pub(crate) static EPOCHS: Property = Property {
    name: "a command is executed in the epoch for which it was meant",
    source: "S5: the epoch guards every command, at propose and again at apply",
};

pub(crate) static ANSWERED: Property =
    Property { name: "every command is answered once", source: "S9: a reply is given once" };

/// Checks the region that has executed `command`, meant for `asked`.
pub(crate) fn check_epoch(asked: RegionEpoch, command: &Command, done: &Done) -> Verdict {
    let is_range = |found: RegionEpoch| {
        EPOCHS.require(found.is_same_range_as(&asked), || {
            format!("asked in {asked:?}, answered in {found:?}: {command:?}")
        })
    };
    let is_exactly = |found: RegionEpoch, wanted: RegionEpoch| {
        EPOCHS.require(found == wanted, || {
            format!("asked in {asked:?}, and now it is {found:?}: {command:?}")
        })
    };
    match done {
        Done::Written | Done::Admin(AdminDone::CompactLog | AdminDone::TransferLeader) => Ok(()),
        Done::Read(snapshot) => is_range(snapshot.region.epoch()),
        Done::Responses(responses) => responses.iter().try_for_each(|response| match response {
            Response::Snap(snapshot) => is_range(snapshot.region.epoch()),
            Response::Put | Response::Delete | Response::Get(_) => Ok(()),
        }),
        Done::Admin(AdminDone::ChangePeer(region)) => {
            is_exactly(region.epoch(), asked.after_peer_change())
        }
        Done::Admin(AdminDone::Split(regions)) => {
            let wants_split = matches!(command, Command::Admin(Admin::Split { .. }));
            EPOCHS.require(wants_split && regions.len() == 2, || {
                format!("{command:?} was answered with {regions:?}")
            })?;
            regions.iter().try_for_each(|part| is_exactly(part.epoch(), asked.after_split()))
        }
    }
}
