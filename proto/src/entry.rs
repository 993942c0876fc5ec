//! Small words about what Raft keeps: how an entry, a state or a snapshot is made, and when it says
//! nothing. Protobuf has no null; a record at zero is how *nothing* looks on the wire and on disk.

use bytes::Bytes;
use prost::Message as _;

use crate::eraftpb::{
    ConfChange, ConfState, Entry, EntryType, HardState, Snapshot, SnapshotMetadata,
};

impl Entry {
    /// An entry with a command of the layer above.
    pub fn normal(term: u64, index: u64, data: impl Into<Bytes>) -> Self {
        Self { entry_type: EntryType::EntryNormal.into(), term, index, data: data.into() }
    }

    /// The entry with which a leader begins its term. It commits what its predecessors left.
    pub fn empty(term: u64, index: u64) -> Self {
        Self::normal(term, index, Bytes::new())
    }

    /// An entry that changes the members.
    pub fn conf_change(term: u64, index: u64, change: &ConfChange) -> Self {
        let data = change.encode_to_vec().into();
        Self { entry_type: EntryType::EntryConfChange.into(), term, index, data }
    }

    /// Whether it carries nothing. Such an entry is committed like any other, and not applied.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Whether it changes the members.
    pub fn is_conf_change(&self) -> bool {
        self.entry_type == i32::from(EntryType::EntryConfChange)
    }
}

impl HardState {
    /// The state of a member that has seen `term`, voted for `vote` in it (zero: for nobody), and
    /// knows the log to be committed up to `commit`.
    pub fn new(term: u64, vote: u64, commit: u64) -> Self {
        Self { term, vote, commit }
    }

    /// Whether it says nothing: that of a member which has never heard of anyone.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl ConfState {
    /// The members with these ids.
    pub fn new(nodes: impl IntoIterator<Item = u64>) -> Self {
        Self { nodes: nodes.into_iter().collect() }
    }

    /// Whether nobody is a member: a peer that waits for its first snapshot.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Whether this id is a member's.
    pub fn contains(&self, id: u64) -> bool {
        self.nodes.contains(&id)
    }
}

impl Snapshot {
    /// A snapshot of everything up to the entry `index`, which is of `term`.
    pub fn new(term: u64, index: u64, members: ConfState, data: impl Into<Bytes>) -> Self {
        let metadata = SnapshotMetadata { conf_state: Some(members), index, term };
        Self { data: data.into(), metadata: Some(metadata) }
    }

    /// Whether it is none. No snapshot ends at index zero.
    pub fn is_empty(&self) -> bool {
        self.index() == 0
    }

    /// The last entry that it contains; zero when there is no snapshot.
    pub fn index(&self) -> u64 {
        self.metadata.as_ref().map_or(0, |metadata| metadata.index)
    }

    /// The term of that entry.
    pub fn term(&self) -> u64 {
        self.metadata.as_ref().map_or(0, |metadata| metadata.term)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eraftpb::ConfChangeType;

    #[test]
    fn what_is_at_zero_says_nothing() {
        assert!(Entry::default().is_empty() && Entry::empty(2, 3).is_empty());
        assert!(HardState::default().is_empty() && HardState::new(0, 0, 0).is_empty());
        assert!(ConfState::default().is_empty() && ConfState::new([]).is_empty());
        assert!(Snapshot::default().is_empty());
        assert!(Snapshot { data: "x".into(), metadata: None }.is_empty());
        assert!(Snapshot::new(1, 0, ConfState::default(), "x").is_empty());
    }

    #[test]
    fn what_is_not_at_zero_says_something() {
        assert!(!Entry::normal(1, 1, "x").is_empty());
        for state in [HardState::new(1, 0, 0), HardState::new(0, 1, 0), HardState::new(0, 0, 1)] {
            assert!(!state.is_empty(), "{state:?}");
        }
        let members = ConfState::new([1, 2]);
        assert!(!members.is_empty() && members.contains(2) && !members.contains(3));
        let snapshot = Snapshot::new(5, 9, members, "");
        assert!(!snapshot.is_empty());
        assert_eq!((snapshot.term(), snapshot.index()), (5, 9));
    }

    #[test]
    fn a_conf_change_comes_out_of_its_entry_as_it_went_in() {
        let change_type = ConfChangeType::RemoveNode.into();
        let change = ConfChange { change_type, node_id: 4, context: "ctx".into() };
        let entry = Entry::conf_change(2, 7, &change);
        assert!(entry.is_conf_change() && !Entry::normal(2, 7, "x").is_conf_change());
        assert_eq!(ConfChange::decode(entry.data).expect("our own bytes"), change);
    }
}
