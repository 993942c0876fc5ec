//! What a node measures of its calls and its streams.

use engine::Engine;
use runtime::metrics::{Counter, Gauge, Metrics, Unit};

/// Messages and snapshots to and from other stores.
#[derive(Clone, Debug)]
pub struct StreamMeters {
    /// Messages that were put into a queue to another store.
    pub messages_sent: Counter,
    /// Messages for which there was no room, or no store to send them to.
    pub messages_dropped: Counter,
    /// Messages that came.
    pub messages_received: Counter,
    /// Snapshots that arrived at another store.
    pub snapshots_sent: Counter,
    /// Snapshots that did not arrive.
    pub snapshots_not_sent: Counter,
    /// Snapshots that arrived here.
    pub snapshots_received: Counter,
    /// Snapshots that were begun here, and refused or broken off.
    pub snapshots_not_received: Counter,
    /// Bytes of snapshots that were sent.
    pub snapshot_bytes: Counter,
    /// Streams that were refused, as they are another cluster's.
    pub foreign: Counter,
}

impl StreamMeters {
    /// Declares them.
    pub fn new(metrics: &Metrics) -> Self {
        let metrics = metrics.within("stores");
        let messages = metrics.counter_by("messages", Unit::Count, "Raft messages", "fate");
        let snapshots = metrics.counter_by("snapshots", Unit::Count, "Snapshots", "fate");
        let help = "Bytes of snapshots sent";
        StreamMeters {
            messages_sent: messages.of("sent"),
            messages_dropped: messages.of("dropped"),
            messages_received: messages.of("received"),
            snapshots_sent: snapshots.of("sent"),
            snapshots_not_sent: snapshots.of("not_sent"),
            snapshots_received: snapshots.of("received"),
            snapshots_not_received: snapshots.of("not_received"),
            snapshot_bytes: metrics.counter("snapshot", Unit::Bytes, help),
            foreign: metrics.counter("foreign", Unit::Count, "Streams of other clusters refused"),
        }
    }
}

/// What an engine says of itself, as metrics.
#[derive(Clone, Debug)]
pub(crate) struct EngineGauges {
    files: Gauge,
    buffers: Gauge,
    cache: Gauge,
    pending_merges: Gauge,
    merges: Gauge,
    snapshots: Gauge,
    stalled: Gauge,
}

impl EngineGauges {
    /// Declares those of the engine of this name.
    pub(crate) fn new(metrics: &Metrics, name: &str) -> Self {
        let metrics = metrics.within("engine").within(name);
        let bytes = |name: &str, help: &str| metrics.gauge(name, Unit::Bytes, help);
        let count = |name: &str, help: &str| metrics.gauge(name, Unit::Count, help);
        EngineGauges {
            files: bytes("files", "All sorted files"),
            buffers: bytes("buffers", "What is not in sorted files yet"),
            cache: bytes("cache", "Blocks kept in memory"),
            pending_merges: bytes("pending_merges", "What merges have to read and write yet"),
            merges: count("merges", "Merges under way"),
            snapshots: count("snapshots", "Snapshots that somebody reads"),
            stalled: count("stalled", "1 while writes wait for merges"),
        }
    }

    /// Asks the engine.
    pub(crate) fn measure(&self, engine: &dyn Engine) {
        let Some(found) = engine.statistics() else { return };
        let set = |gauge: &Gauge, number: u64| {
            gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
        };
        set(&self.files, found.files_bytes);
        set(&self.buffers, found.buffers_bytes);
        set(&self.cache, found.cache_bytes);
        set(&self.pending_merges, found.pending_merge_bytes);
        set(&self.merges, found.merges);
        set(&self.snapshots, found.snapshots);
        set(&self.stalled, u64::from(found.is_stalled));
    }
}
