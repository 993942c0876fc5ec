//! What a world of stores is like: how far everything is from everything, and how slow.

use std::ops::Range;
use std::time::Duration;

use raftstore::Config;
use raftstore::snapshot::Limits;
use runtime::Rng;

/// Everything about a world that is not decided by chance while it runs. May be changed at any time,
/// except for what a store is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How the stores behave; read when a store starts.
    pub config: Config,
    /// The most that snapshots may take of a store; read when a store starts.
    pub snapshots: Limits,
    /// How many batches may wait to be applied, and how many slow tasks; read when a store starts.
    pub queues: (usize, usize),
    /// How far the clock of a store may run ahead or behind, in thousandths; drawn once per store.
    pub skew: u64,

    /// How long a message travels.
    pub latency: Range<Duration>,
    /// Whether messages may overtake each other.
    pub is_reordering: bool,
    /// Of a thousand messages, how many are lost.
    pub loss: u64,
    /// Of a thousand messages, how many come twice.
    pub duplicates: u64,
    /// Of a thousand messages, how many take up to thirty seconds.
    pub stragglers: u64,
    /// How long the files of a snapshot travel.
    pub freight: Range<Duration>,
    /// Of a hundred snapshots, how many are damaged, cut off or lost on the way.
    pub damage: u64,

    /// How long a turn of the raft thread takes, with its sync.
    pub turn: Range<Duration>,
    /// How late a tick may be.
    pub tick_delay: Range<Duration>,
    /// How long it takes until something is applied, and again until the store knows.
    pub apply: Range<Duration>,
    /// How long slow work on a region takes until it is done, and again until the store knows.
    pub region: Range<Duration>,
    /// How long a call to the scheduler takes, or an answer of it.
    pub scheduler: Range<Duration>,
}

/// Microseconds `from` to, and without, `to`.
pub(crate) fn micros(range: Range<u64>) -> Range<Duration> {
    Duration::from_micros(range.start)..Duration::from_micros(range.end)
}

/// A duration as a number; the worlds here do not last for centuries.
pub(crate) fn whole_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).expect("no world lasts for centuries")
}

/// Some duration of a range.
pub(crate) fn draw(rng: &mut Rng, range: &Range<Duration>) -> Duration {
    let [start, end] = [range.start, range.end].map(whole_micros);
    Duration::from_micros(rng.range(start..end.max(start + 1)))
}

impl Settings {
    /// A world in which nothing is lost and everything takes as long as it does on a good day.
    pub fn calm(config: Config) -> Self {
        let space_bytes = config.snapshot_space_max.get();
        let at_once = config.snapshots_at_once;
        let age = config.snapshot_age_max.get();
        Settings {
            config,
            snapshots: Limits {
                space_bytes,
                builds: at_once,
                sends: at_once,
                receives: at_once,
                age,
            },
            queues: (256, 4096),
            skew: 0,
            latency: micros(200..1000),
            is_reordering: false,
            loss: 0,
            duplicates: 0,
            stragglers: 0,
            freight: micros(2000..5000),
            damage: 0,
            turn: micros(20..200),
            tick_delay: micros(0..1),
            apply: micros(20..200),
            region: micros(100..1000),
            scheduler: micros(100..1000),
        }
    }
}
