//! The way out of a store: what it sends in one event lies here until the world takes it.

use std::sync::{Arc, Mutex, MutexGuard};

use proto::raft_serverpb::RaftMessage;
use raftstore::{Transport, Unsent};

/// The outbox of a store.
#[derive(Default)]
pub(crate) struct Post(Mutex<Outbox>);

#[derive(Default)]
struct Outbox {
    messages: Vec<RaftMessage>,
    /// Nothing is taken: the store's own network is down, and it knows.
    is_broken: bool,
}

impl Post {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn take(&self) -> Vec<RaftMessage> {
        std::mem::take(&mut self.outbox().messages)
    }

    pub(crate) fn set_broken(&self, is_broken: bool) {
        self.outbox().is_broken = is_broken;
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.0.lock().expect("no thread panics while it holds the outbox")
    }
}

impl Transport for Post {
    fn send(&self, message: RaftMessage) -> Result<(), Unsent> {
        let mut outbox = self.outbox();
        if outbox.is_broken {
            return Err(Unsent { why: "the network is down" });
        }
        outbox.messages.push(message);
        Ok(())
    }
}
