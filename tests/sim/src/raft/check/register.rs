//! The client's view: a register whose reads are linearizable (thesis, chapter 6).
//!
//! All writes have a place in the log, so a history of this register is linearizable exactly if each
//! read is answered from a state that is no older than the newest one that anybody was shown before
//! the read began: by the acknowledgement of a write, or by another read.

use raft::{Index, NodeId};

use super::{Property, Verdict};

pub(crate) static PROPERTY: Property = Property {
    name: "a read sees everything that was acknowledged before it began",
    source: "Linearizability, Raft thesis, chapter 6",
};

/// What clients were shown.
#[derive(Default)]
pub(crate) struct Client {
    shown: Index,
}

impl Client {
    /// A read begins; what it returns must be given to [`Client::read`].
    pub(crate) fn begin(&self) -> Index {
        self.shown
    }

    /// A write at `index` was acknowledged.
    pub(crate) fn wrote(&mut self, index: Index) {
        self.shown = self.shown.max(index);
    }

    /// A read that began at `floor` was answered by node `id` from the state at `index`.
    pub(crate) fn read(&mut self, id: NodeId, floor: Index, index: Index) -> Verdict {
        PROPERTY.require(index >= floor, || {
            format!("node {id} answers a read at {index}, after {floor} was shown to a client")
        })?;
        self.shown = self.shown.max(index);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_read_is_noticed() {
        let mut client = Client::default();
        client.wrote(7);
        let floor = client.begin();
        client.wrote(9);
        assert!(client.read(1, floor, 8).is_ok(), "9 was shown after it began");
        assert!(client.read(1, client.begin(), 8).is_err());
    }
}
