//! At most one leader of a region in a term, and at most one lease for a key at a time.

use std::collections::BTreeMap;

use proto::RegionId;
use raft::StateRole;
use raftstore::View;
use raftstore::worker::raft::RaftWorker;

use super::{Property, Verdict};

pub(crate) static PROPERTY: Property = Property {
    name: "a region has at most one leader in a term",
    source: "Election Safety, Raft paper, Figure 3",
};

pub(crate) static LEASES: Property = Property {
    name: "at most one store may answer reads of a key by itself",
    source: "S4: a lease is shorter than an election",
};

/// Who has led what.
#[derive(Debug, Default)]
pub(crate) struct Leaders {
    known: BTreeMap<(RegionId, u64), u64>,
}

impl Leaders {
    /// Looks at all peers of a store. Answers how many leaders are new.
    pub(crate) fn look(&mut self, peers: &RaftWorker) -> Verdict<u64> {
        let mut elected = 0;
        for (region, own, status) in peers.statuses() {
            if status.soft_state.role != StateRole::Leader {
                continue;
            }
            let term = status.term;
            let known = *self.known.entry((region, term)).or_insert_with(|| {
                elected += 1;
                own.id
            });
            PROPERTY.require(known == own.id, || {
                format!("peers {known} and {} lead region {region} in term {term}", own.id)
            })?;
        }
        Ok(elected)
    }
}

/// Two stores with valid leases: no key may be in both. `of` are the views of one store, `others` those
/// of another one.
pub(crate) fn check_leases(of: (u64, &[View]), others: (u64, &[View])) -> Verdict {
    for one in of.1 {
        for other in others.1 {
            let (left, right) = (&one.region, &other.region);
            LEASES.require(!left.overlaps(&right.start_key, &right.end_key), || {
                let (a, b) = (of.0, others.0);
                format!("store {a} has a lease in {one:?}, and store {b} one in {other:?}")
            })?;
        }
    }
    Ok(())
}
