//! The network between the stores of a test: a list of messages that is delivered by hand, and cut,
//! filtered and kept back by wish.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use proto::eraftpb::MessageType;
use proto::raft_serverpb::RaftMessage;

use crate::ports::{Transport, Unsent};

/// Whether a message is lost.
type Filter = Box<dyn Fn(&RaftMessage) -> bool + Send>;

/// What is on its way, and what becomes of it. Clones are the same network.
#[derive(Clone, Default)]
pub(crate) struct Net(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    on_the_way: VecDeque<RaftMessage>,
    cut: BTreeSet<(u64, u64)>,
    filters: Vec<Filter>,
    is_down: bool,
    log: Vec<RaftMessage>,
}

impl Net {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Cuts a store off from all others.
    pub(crate) fn isolate(&self, store: u64, others: impl IntoIterator<Item = u64>) {
        for other in others.into_iter().filter(|other| *other != store) {
            self.state().cut.extend([(store, other), (other, store)]);
        }
    }

    /// Cuts one direction.
    pub(crate) fn cut(&self, from: u64, to: u64) {
        self.state().cut.insert((from, to));
    }

    /// Loses whatever `is_lost` says.
    pub(crate) fn lose(&self, is_lost: impl Fn(&RaftMessage) -> bool + Send + 'static) {
        self.state().filters.push(Box::new(is_lost));
    }

    /// The transport takes nothing, or takes again.
    pub(crate) fn set_down(&self, is_down: bool) {
        self.state().is_down = is_down;
    }

    /// All links are whole, and nothing is filtered.
    pub(crate) fn heal(&self) {
        let mut state = self.state();
        state.cut.clear();
        state.filters.clear();
    }

    /// The next message that arrives.
    pub(crate) fn take(&self) -> Option<RaftMessage> {
        let mut state = self.state();
        while let Some(message) = state.on_the_way.pop_front() {
            let is_cut = state.cut.contains(&(from_store(&message), to_store(&message)));
            if !is_cut && !state.filters.iter().any(|filter| filter(&message)) {
                return Some(message);
            }
        }
        None
    }

    /// Forgets what is on its way to a store that has crashed, or from it.
    pub(crate) fn forget(&self, store: u64) {
        let is_other =
            |message: &RaftMessage| from_store(message) != store && to_store(message) != store;
        self.state().on_the_way.retain(is_other);
    }

    /// Everything that was sent since this was last asked.
    pub(crate) fn sent(&self) -> Vec<RaftMessage> {
        std::mem::take(&mut self.state().log)
    }
}

impl Transport for Net {
    fn send(&self, message: RaftMessage) -> Result<(), Unsent> {
        let mut state = self.state();
        if state.is_down {
            return Err(Unsent { why: "the network is down" });
        }
        state.log.push(message.clone());
        state.on_the_way.push_back(message);
        Ok(())
    }
}

pub(crate) fn from_store(message: &RaftMessage) -> u64 {
    message.from_peer.unwrap_or_default().store_id
}

pub(crate) fn to_store(message: &RaftMessage) -> u64 {
    message.to_peer.unwrap_or_default().store_id
}

/// What kind of raft message it carries, if it carries one.
pub(crate) fn kind(message: &RaftMessage) -> Option<MessageType> {
    MessageType::try_from(message.message.as_ref()?.msg_type).ok()
}
