//! What all peers of a store share, and what a turn of their loop collects.

use std::sync::Arc;

use engine::{Engines, WriteBatch};
use proto::StoreId;
use proto::raft_serverpb::RaftMessage;
use runtime::Rng;
use runtime::clock::Instant;
use slog::Logger;

use crate::config::{Config, Ticks};
use crate::ports::Transport;
use crate::router::Router;
use crate::snapshot::SnapManager;
use crate::worker::{ApplyTask, RegionTask, SchedulerTask};

/// What all peers of a store share.
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) ticks: Ticks,
    pub(crate) store: StoreId,
    pub(crate) engines: Engines,
    pub(crate) router: Router,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) snapshots: Arc<SnapManager>,
    /// Forked for each peer, so that elections differ between them.
    pub(crate) rng: Rng,
    pub(crate) log: Logger,
}

/// What a turn wants done: one write for all regions, and work for others.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// When the turn began; not later than anything that it sends.
    pub(crate) now: Instant,
    /// What the raft engine must take in.
    pub(crate) batch: WriteBatch,
    /// Somebody will rely on it.
    pub(crate) must_sync: bool,
    /// Messages that may leave at once.
    pub(crate) messages: Vec<RaftMessage>,
    /// Messages that may leave once the batch is on disk.
    pub(crate) promises: Vec<RaftMessage>,
    /// When the oldest command was proposed that is committed now.
    pub(crate) oldest_committed: Option<Instant>,
    /// For the apply worker.
    pub(crate) apply: Vec<ApplyTask>,
    /// For the region worker.
    pub(crate) region: Vec<RegionTask>,
    /// For the scheduler worker.
    pub(crate) scheduler: Vec<SchedulerTask>,
}
