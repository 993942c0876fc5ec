//! Leader Completeness: an entry that was committed in some term is in the logs of the leaders of all
//! later terms (paper, Figure 3). By Log Matching it is enough to look for the last such entry.

use raft::{NodeId, Position, RaftLog, Storage, StorageError};

use super::{Property, Verdict};

pub(crate) static PROPERTY: Property = Property {
    name: "a new leader has everything that was committed before its term",
    source: "Leader Completeness, Raft paper, Figure 3",
};

/// `id` was elected with `log`; `committed` was the last position committed in earlier terms.
pub(crate) fn check<S: Storage>(id: NodeId, log: &RaftLog<S>, committed: Position) -> Verdict {
    let has = match log.term(committed.index) {
        Ok(term) => term == committed.term,
        Err(StorageError::Compacted) => true,
        Err(_) => false,
    };
    PROPERTY.require(has, || {
        format!("node {id} leads with a log up to {}, without {committed}", log.last_index())
    })
}
