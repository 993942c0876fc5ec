//! All state machines apply the same entries in the same order, each once (State Machine Safety,
//! paper, Figure 3). Each keeps a hash over everything it has applied; two that have applied up to the
//! same index must have the same hash, and a snapshot must bring the state that its index stands for.

use raft::NodeId;

use super::super::state::State;
use super::{Property, Verdict};

pub(crate) static PROPERTY: Property = Property {
    name: "all apply the same entries in the same order, each once",
    source: "State Machine Safety, Raft paper, Figure 3",
};

/// The state at each index, as of whoever was there first.
#[derive(Default)]
pub(crate) struct Applied {
    states: Vec<State>,
}

impl Applied {
    /// Everybody starts from `first`.
    pub(crate) fn start(&mut self, first: State) {
        let place = usize::try_from(first.index).expect("logs are short");
        self.states = vec![first; place + 1];
    }

    /// Node `id` has reached `state`. Returns whether it is the first.
    pub(crate) fn reached(&mut self, id: NodeId, state: State) -> Verdict<bool> {
        let place = usize::try_from(state.index).expect("logs are short");
        match self.states.get(place) {
            Some(known) if *known == state => Ok(false),
            Some(known) => Err(PROPERTY
                .violated(format!("node {id} is at {state:?} where another one was at {known:?}"))),
            None if place == self.states.len() => {
                self.states.push(state);
                Ok(true)
            }
            None => Err(PROPERTY.violated(format!("node {id} skipped to {}", state.index))),
        }
    }

    /// The state of whoever is furthest.
    pub(crate) fn newest(&self) -> State {
        self.states.last().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_different_history_is_noticed() {
        let at = |index, hash| State { index, hash, ..State::default() };
        let mut applied = Applied::default();
        applied.start(at(5, 0));
        assert!(applied.reached(1, at(6, 1)).is_ok());
        assert!(applied.reached(2, at(6, 1)).is_ok());
        assert!(applied.reached(3, at(6, 2)).is_err());
        assert!(applied.reached(3, at(8, 2)).is_err());
        assert_eq!(applied.newest(), at(6, 1));
    }
}
