//! The two engines of a store.

use std::sync::Arc;

use crate::{Engine, Layout};

/// The two engines of a store, shared by its threads.
#[derive(Clone)]
pub struct Engines {
    /// What clients wrote, and how far the log has been applied to it.
    pub kv: Arc<dyn Engine>,
    /// The log, and what raft promised about it.
    pub raft: Arc<dyn Engine>,
}

impl Engines {
    /// Pairs the two.
    pub fn new(kv: Arc<dyn Engine>, raft: Arc<dyn Engine>) -> Self {
        assert_eq!(kv.layout(), Layout::Kv, "the kv engine has the kv layout");
        assert_eq!(raft.layout(), Layout::Raft, "the raft engine has the raft layout");
        Engines { kv, raft }
    }
}
