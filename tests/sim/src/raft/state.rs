//! The state machine: a register, the members, and a hash over everything that was applied.

use std::fmt;

use proto::eraftpb::{ConfChange, ConfChangeType, ConfState, Entry, Snapshot};
use raft::{Index, NodeId, Position, Term};

/// A set of machines, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Members(u32);

impl Members {
    pub(crate) fn of(ids: impl IntoIterator<Item = NodeId>) -> Self {
        Members(ids.into_iter().fold(0, |bits, id| bits | 1 << id))
    }

    pub(crate) fn contains(self, id: NodeId) -> bool {
        self.0 & (1 << id) != 0
    }

    pub(crate) fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = NodeId> {
        (0..32).filter(move |id| self.contains(*id))
    }

    pub(crate) fn to_vec(self) -> Vec<NodeId> {
        self.iter().collect()
    }

    /// The members after `change`.
    pub(crate) fn after(self, change: &ConfChange) -> Self {
        match change.change_type() {
            ConfChangeType::AddNode => Members(self.0 | 1 << change.node_id),
            ConfChangeType::RemoveNode => Members(self.0 & !(1 << change.node_id)),
        }
    }
}

impl fmt::Display for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_vec())
    }
}

/// What one machine has made of the log so far. Equal logs make equal states, so one comparison of
/// hashes compares two whole histories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// Everything up to here is applied.
    pub(crate) index: Index,
    /// A hash over all of it, in order.
    pub(crate) hash: u64,
    /// The register: the name of the last command.
    pub(crate) register: u64,
    /// Who belongs to the group.
    pub(crate) members: Members,
}

impl State {
    /// Applies the next entry. Membership changes are given to the core by the driver as well.
    pub(crate) fn apply(&mut self, entry: &Entry, change: Option<&ConfChange>) {
        self.index = entry.index;
        self.hash = chain(self.hash, entry);
        match change {
            Some(change) => self.members = self.members.after(change),
            None => self.register = name(&entry.data).unwrap_or(self.register),
        }
    }

    /// A snapshot of this state, whose last entry is of this term.
    pub(crate) fn to_snapshot(self, term: Term) -> Snapshot {
        let mut data = self.hash.to_be_bytes().to_vec();
        data.extend_from_slice(&self.register.to_be_bytes());
        Snapshot::new(term, self.index, ConfState::new(self.members.iter()), data)
    }

    pub(crate) fn of_snapshot(snapshot: &Snapshot) -> Self {
        let metadata = snapshot.metadata.as_ref();
        let members = metadata.and_then(|metadata| metadata.conf_state.as_ref());
        State {
            index: Position::of_snapshot(snapshot).index,
            hash: name(&snapshot.data).unwrap_or_default(),
            register: name(snapshot.data.get(8..).unwrap_or_default()).unwrap_or_default(),
            members: Members::of(members.into_iter().flat_map(|state| state.nodes.iter().copied())),
        }
    }
}

/// The first eight bytes as a number.
fn name(data: &[u8]) -> Option<u64> {
    data.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

/// What is left of an entry in the hash chain: all of it.
pub(crate) fn digest(entry: &Entry) -> u64 {
    let mut hash = mix(entry.term, entry.entry_type.unsigned_abs().into());
    let (words, rest) = entry.data.as_chunks();
    for word in words {
        hash = mix(hash, u64::from_be_bytes(*word));
    }
    rest.iter().fold(mix(hash, entry.data.len() as u64), |hash, byte| mix(hash, (*byte).into()))
}

fn chain(hash: u64, entry: &Entry) -> u64 {
    mix(mix(hash, entry.index), digest(entry))
}

/// A hash of two words; neither can be recovered, and the order matters.
pub(crate) fn mix(left: u64, right: u64) -> u64 {
    let word = (left.rotate_left(25) ^ right).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word ^ (word >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_survives_its_snapshot() {
        let mut state = State { members: Members::of([1, 2]), ..State::default() };
        state.apply(&Entry::normal(6, 1, 77u64.to_be_bytes().to_vec()), None);
        assert_eq!(State::of_snapshot(&state.to_snapshot(6)), state);
        assert_eq!(state.register, 77);
    }

    #[test]
    fn the_hash_sees_order_and_content() {
        let run = |entries: &[(u64, &'static str)]| {
            let mut state = State::default();
            for (index, data) in entries {
                state.apply(&Entry::normal(1, *index, *data), None);
            }
            state.hash
        };
        assert_ne!(run(&[(1, "a"), (2, "b")]), run(&[(1, "b"), (2, "a")]));
        assert_ne!(run(&[(1, "a")]), run(&[(1, "aa")]));
    }
}
