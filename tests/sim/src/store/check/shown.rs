//! A snapshot is sent in the epoch that it shows, and in no other.
//!
//! Healed worlds seldom show that one is not: it must meet the right part of a split on the store that it is
//! for, and a quiet region, where nobody needs a newer one.

use proto::metapb::Region;
use proto::raft_serverpb::{RaftMessage, RaftSnapshotData};

use super::{Property, Verdict};

pub(crate) static PROPERTY: Property = Property {
    name: "a snapshot is sent in the epoch that it shows",
    source: "docs/regions.md, A snapshot",
};

/// Checks the message that carries a snapshot against what that shows.
pub(crate) fn check(message: &RaftMessage, data: &RaftSnapshotData) -> Verdict {
    let (sent, shown) = (message.region_epoch, data.region.as_ref().map(Region::epoch));
    PROPERTY.require(sent == shown, || {
        format!("region {} is in {sent:?}, and its snapshot shows {shown:?}", message.region_id)
    })
}

#[cfg(test)]
mod tests {
    use proto::RegionId;
    use proto::metapb::RegionEpoch;

    use super::*;

    #[test]
    fn a_snapshot_from_before_a_split_is_not_sent_after_it() {
        let region = Region::new(RegionId::new(1), "", "");
        let sent_in = |epoch: RegionEpoch| RaftMessage {
            region_id: 1,
            region_epoch: Some(epoch),
            ..RaftMessage::default()
        };
        let (now, later) = (sent_in(region.epoch()), sent_in(region.epoch().after_split()));
        let data = RaftSnapshotData { region: Some(region), ..RaftSnapshotData::default() };
        assert!(check(&now, &data).is_ok());
        assert!(check(&later, &data).is_err());
    }
}
