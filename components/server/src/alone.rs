//! A node that serves alone: one engine, no regions, no scheduler.

use std::sync::Arc;

use engine::{Engine, Layout, Metered, OpenMode, Recovery, Rocks};
use runtime::clock::SystemClock;
use runtime::metrics::Metrics;
use runtime::worker::{Alarm, Worker};
use storage::{GroupWriter, Standalone};

use crate::config::Config;
use crate::node::NodeError;
use crate::status;

/// How many writes may wait for the disk; more are refused as busy.
const WRITES_WAITING_MAX: usize = 8192;

/// Its storage, with the thread that syncs for it. Nothing stands behind its log, so the engine must not
/// lose the end of it.
pub(crate) fn open(
    config: &Config,
    alarm: &Alarm,
    metrics: &Metrics,
) -> Result<(Standalone, Option<Worker>, status::Kept), NodeError> {
    let path = config.path.join("kv");
    let (mode, recovery) = (OpenMode::CreateIfMissing, Recovery::Strict);
    let rocks = Rocks::open(&path, Layout::Kv, &config.engine, mode, recovery)?;
    let measured = Metered::new(Arc::new(rocks), Arc::new(SystemClock), metrics, "kv");
    let engine: Arc<dyn Engine> = Arc::new(measured);
    let shown = status::Kept { engines: vec![("kv", Arc::clone(&engine))], place: None };
    if raftstore::state::store_ident(&*engine)?.is_some() {
        return Err(NodeError::BelongsToCluster { path: config.path.clone() });
    }
    if !config.sync {
        return Ok((Standalone::unsynced(engine)?, None, shown));
    }
    let runner = GroupWriter::new(Arc::clone(&engine));
    let (tasks, writer) = Worker::spawn("write", WRITES_WAITING_MAX, alarm, runner)?;
    Ok((Standalone::synced(engine, tasks)?, Some(writer), shown))
}
