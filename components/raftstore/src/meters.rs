//! What a store measures of itself.
//!
//! The way of a command through the store has six stages. They are measured by turn and not by command:
//! a turn does the same for everything that came together, so one look at the clock at each border tells
//! as much, and costs a busy store next to nothing.
//!
//! | stage | from | to |
//! |---|---|---|
//! | `admit` | the raft thread takes in what has arrived | it is admitted, and proposed |
//! | `propose` | it is proposed | it is in the batch of the turn, and sent to followers |
//! | `sync` | the batch is handed to the disk | it is on the disk |
//! | `commit` | the oldest command of a turn was proposed | a quorum has it |
//! | `apply` | the apply worker takes in what is committed | it is written |
//! | `answer` | it is written | whoever waited is answered |

use std::sync::Arc;

use runtime::busy::{Activity, Busy};
use runtime::clock::{Clock, Instant};
use runtime::metrics::{Amount, Gauge, Latency, Metrics, Unit};

/// What the raft thread measures.
pub(crate) struct RaftMeters {
    clock: Arc<dyn Clock>,
    busy: Busy,
    pub(crate) admit: Latency,
    pub(crate) propose: Latency,
    pub(crate) sync: Latency,
    pub(crate) commit: Latency,
    /// Messages and commands that a turn took in.
    pub(crate) arrived: Amount,
    pub(crate) gauges: Gauges,
}

/// What is looked at once a tick.
pub(crate) struct Gauges {
    pub(crate) regions: Gauge,
    pub(crate) leaders: Gauge,
    pub(crate) installing: Gauge,
    pub(crate) snapshots: Gauge,
    pub(crate) inbox: Gauge,
    pub(crate) apply: Gauge,
    pub(crate) region: Gauge,
    pub(crate) scheduler: Gauge,
}

/// What the apply worker measures.
pub(crate) struct ApplyMeters {
    clock: Arc<dyn Clock>,
    /// When the first task came that is not written yet.
    since: Option<Instant>,
    apply: Latency,
    answer: Latency,
}

/// Declares what a store measures.
pub(crate) fn declare(metrics: &Metrics, clock: &Arc<dyn Clock>) -> (RaftMeters, ApplyMeters) {
    let metrics = &metrics.within("raftstore");
    let help = "How long a stage of a command's way takes";
    let stages = metrics.latency_by("stage", help, "stage");
    let gauge = |name: &str, help: &str| metrics.gauge(name, Unit::Count, help);
    let waiting = metrics.gauge_by("waiting", Unit::Count, "What waits in a queue", "queue");
    let raft = RaftMeters {
        clock: Arc::clone(clock),
        busy: Busy::new(metrics, "raft_loop", clock.now()),
        admit: stages.of("admit"),
        propose: stages.of("propose"),
        sync: stages.of("sync"),
        commit: stages.of("commit"),
        arrived: metrics.amount("arrived", Unit::Count, "What a turn of the raft thread took in"),
        gauges: Gauges {
            regions: gauge("regions", "Regions on this store"),
            leaders: gauge("leaders", "Regions that this store leads"),
            installing: gauge("snapshots_installing", "Regions whose snapshot is being installed"),
            snapshots: gauge("snapshots", "Snapshots that have files here"),
            inbox: waiting.of("raft"),
            apply: waiting.of("apply"),
            region: waiting.of("region"),
            scheduler: waiting.of("scheduler"),
        },
    };
    let (apply, answer) = (stages.of("apply"), stages.of("answer"));
    let apply = ApplyMeters { clock: Arc::clone(clock), since: None, apply, answer };
    (raft, apply)
}

impl RaftMeters {
    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// From `now` on, the thread does something else.
    pub(crate) fn begin(&mut self, activity: Activity, now: Instant) {
        self.busy.begin(activity, now);
    }

    /// Measures a stage that has begun at `since` and ends now.
    pub(crate) fn ended(&self, stage: &Latency, since: Instant) -> Instant {
        let now = self.now();
        stage.observe(now.since(since));
        now
    }
}

impl ApplyMeters {
    /// A task is taken in.
    pub(crate) fn begin(&mut self) {
        self.since.get_or_insert_with(|| self.clock.now());
    }

    /// What was taken in is written.
    pub(crate) fn written(&mut self) -> Instant {
        let now = self.clock.now();
        if let Some(since) = self.since.take() {
            self.apply.observe(now.since(since));
        }
        now
    }

    /// Whoever waited for what was written at `since` is answered.
    pub(crate) fn answered(&self, since: Instant) {
        self.answer.observe(self.clock.now().since(since));
    }
}

/// A number for a gauge.
pub(crate) fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
