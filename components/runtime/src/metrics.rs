//! What the process counts and measures.
//!
//! There is no global registry. A process makes one [`Metrics`] and passes it down the
//! constructors; each owner declares what it measures, with name, unit and a sentence of help in
//! one place, and keeps the handle that it gets. [`Metrics::text`] is what `/metrics` serves and
//! what the dashboard reads.
//!
//! ```
//! use runtime::metrics::{Metrics, Unit};
//!
//! let metrics = Metrics::new("tinykv").within("raftstore");
//! let proposals = metrics.counter_by("proposals", Unit::Count, "Commands proposed", "type");
//! let puts = proposals.of("put");
//! puts.inc();
//! assert!(metrics.text().contains("tinykv_raftstore_proposals_total{type=\"put\"} 1"));
//! ```
//!
//! Measured are duties and not functions: how long a proposal waits, how many entries a sync
//! carries. A label's values are words of the program and never ids or keys, so that the number of
//! series is known when the program is written.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::{self, Registry};

/// Counts what only becomes more; clones count together.
pub type Counter = prometheus_client::metrics::counter::Counter;
/// Adds up what is not whole, such as seconds; clones add together.
pub type Sum = prometheus_client::metrics::counter::Counter<f64, AtomicU64>;
/// Shows what goes up and down; clones show the same.
pub type Gauge = prometheus_client::metrics::gauge::Gauge;
/// Shows a share between 0 and 1; clones show the same.
pub type Share = prometheus_client::metrics::gauge::Gauge<f64, AtomicU64>;

/// The format of [`Metrics::text`], for the header of an HTTP answer.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a number counts; a part of the metric's name, as Prometheus wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
    /// Parts of a whole, between 0 and 1.
    Ratio,
}

impl Unit {
    /// The word that is added to a metric's name.
    fn in_a_name(self) -> Option<registry::Unit> {
        match self {
            Unit::Count => None,
            Unit::Bytes => Some(registry::Unit::Bytes),
            Unit::Seconds => Some(registry::Unit::Seconds),
            Unit::Ratio => Some(registry::Unit::Other("ratio".to_owned())),
        }
    }
}

/// Where metrics are declared and read; clones share them.
#[derive(Clone)]
pub struct Metrics {
    prefix: String,
    declared: Arc<Mutex<Declared>>,
}

#[derive(Default)]
struct Declared {
    registry: Registry,
    names: BTreeSet<String>,
}

impl Metrics {
    /// No metrics yet; all names will begin with `prefix`.
    pub fn new(prefix: &str) -> Self {
        Metrics { prefix: prefix.to_owned(), declared: Arc::default() }
    }

    /// The same metrics, but what is declared here has one more word in its name.
    #[must_use]
    pub fn within(&self, word: &str) -> Self {
        Metrics { prefix: self.name(word), declared: Arc::clone(&self.declared) }
    }

    /// Declares a counter. `_total` is added to its name.
    pub fn counter(&self, name: &str, unit: Unit, help: &str) -> Counter {
        self.declare(name, unit, help, Counter::default())
    }

    /// Declares a counter for each value of a label.
    pub fn counter_by(
        &self,
        name: &str,
        unit: Unit,
        help: &str,
        label: &'static str,
    ) -> By<Counter> {
        self.declare_by(name, unit, help, label, Counter::default)
    }

    /// Declares a sum for each value of a label. `_total` is added to its name.
    pub fn sum_by(&self, name: &str, unit: Unit, help: &str, label: &'static str) -> By<Sum> {
        self.declare_by(name, unit, help, label, Sum::default)
    }

    /// Declares a gauge.
    pub fn gauge(&self, name: &str, unit: Unit, help: &str) -> Gauge {
        self.declare(name, unit, help, Gauge::default())
    }

    /// Declares a gauge for each value of a label.
    pub fn gauge_by(&self, name: &str, unit: Unit, help: &str, label: &'static str) -> By<Gauge> {
        self.declare_by(name, unit, help, label, Gauge::default)
    }

    /// Declares a number that goes up and down and is not whole.
    pub fn value(&self, name: &str, unit: Unit, help: &str) -> Share {
        self.declare(name, unit, help, Share::default())
    }

    /// Declares a share for each value of a label. `_ratio` is added to its name.
    pub fn share_by(&self, name: &str, help: &str, label: &'static str) -> By<Share> {
        self.declare_by(name, Unit::Ratio, help, label, Share::default)
    }

    /// Declares how long something takes. `_seconds` is added to its name.
    pub fn latency(&self, name: &str, help: &str) -> Latency {
        self.declare(name, Unit::Seconds, help, Latency::default())
    }

    /// Declares how long something takes, for each value of a label.
    pub fn latency_by(&self, name: &str, help: &str, label: &'static str) -> By<Latency> {
        self.declare_by(name, Unit::Seconds, help, label, Latency::default)
    }

    /// Declares how much or how many come at once.
    pub fn amount(&self, name: &str, unit: Unit, help: &str) -> Amount {
        self.declare(name, unit, help, Amount::default())
    }

    /// Everything that was declared, under whichever prefix, in the format of [`CONTENT_TYPE`].
    pub fn text(&self) -> String {
        let mut out = String::new();
        text::encode(&mut out, &self.lock().registry).expect("a string takes everything");
        out
    }

    fn declare<M>(&self, name: &str, unit: Unit, help: &str, metric: M) -> M
    where
        M: registry::Metric + Clone,
    {
        let name = self.name(name);
        let mut declared = self.lock();
        assert!(declared.names.insert(name.clone()), "the metric {name} is declared twice");
        let (registry, handle) = (&mut declared.registry, metric.clone());
        match unit.in_a_name() {
            Some(unit) => registry.register_with_unit(name, help, unit, metric),
            None => registry.register(name, help, metric),
        }
        handle
    }

    fn declare_by<M>(
        &self,
        name: &str,
        unit: Unit,
        help: &str,
        label: &'static str,
        new: fn() -> M,
    ) -> By<M>
    where
        M: EncodeMetric + TypedMetric + Clone + fmt::Debug + Send + Sync + 'static,
    {
        let family = Family::new_with_constructor(new);
        By { label, family: self.declare(name, unit, help, family) }
    }

    /// The whole name of what is called `word` here.
    fn name(&self, word: &str) -> String {
        let is_fit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        assert!(word.bytes().all(is_fit), "{word:?} is no name for a metric");
        format!("{}_{word}", self.prefix)
    }

    fn lock(&self) -> MutexGuard<'_, Declared> {
        self.declared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metrics({}, {} declared)", self.prefix, self.lock().names.len())
    }
}

/// The name of a label and one of its values.
type Label = [(&'static str, &'static str); 1];

/// One metric for each value of a label.
#[derive(Clone, Debug)]
pub struct By<M> {
    label: &'static str,
    family: Family<Label, M, fn() -> M>,
}

impl<M: Clone> By<M> {
    /// The metric of one value, a word of the program. It is searched for, so keep the handle.
    pub fn of(&self, value: &'static str) -> M {
        self.family.get_or_create_owned(&[(self.label, value)])
    }
}

/// How long something takes; clones measure together.
///
/// The buckets double from 10 µs, less than a hop between threads takes, to 10 s, more than any
/// client waits. Measuring takes no lock and no search: it may be done for each call.
#[derive(Clone, Debug, Default)]
pub struct Latency(Arc<Buckets>);

/// The upper end of the first bucket.
const FIRST_NANOS: u64 = 10_000;

/// How many buckets have an upper end.
const BOUNDED: usize = 21;

#[derive(Debug, Default)]
struct Buckets {
    /// The last one has no upper end.
    counts: [AtomicU64; BOUNDED + 1],
    nanos: AtomicU64,
}

/// How much or how many come at once; clones measure together.
///
/// The buckets grow fourfold from 1 to a billion, enough for entries in a batch and for the bytes
/// of a snapshot.
#[derive(Clone, Debug)]
pub struct Amount(Histogram);

impl Latency {
    /// Something took so long.
    pub fn observe(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let firsts = nanos.div_ceil(FIRST_NANOS).max(1);
        // The smallest power of two that is not less.
        let power = (u64::BITS - (firsts - 1).leading_zeros()) as usize;
        self.0.counts[power.min(BOUNDED)].fetch_add(1, Ordering::Relaxed);
        self.0.nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}

impl Amount {
    /// So many came at once.
    #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 a bucket is chosen as well")]
    pub fn observe(&self, amount: u64) {
        self.0.observe(amount as f64);
    }
}

impl Default for Amount {
    fn default() -> Self {
        Amount(Histogram::new(exponential_buckets(1.0, 4.0, 16)))
    }
}

impl TypedMetric for Latency {
    const TYPE: MetricType = MetricType::Histogram;
}

impl TypedMetric for Amount {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Latency {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let ends = (0..BOUNDED).map(|power| Duration::from_nanos(FIRST_NANOS << power));
        let ends = ends.map(|end| end.as_secs_f64()).chain([f64::INFINITY]);
        let counts = self.0.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = ends.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let seconds = Duration::from_nanos(self.0.nanos.load(Ordering::Relaxed)).as_secs_f64();
        encoder.encode_histogram::<NoLabelSet>(seconds, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl EncodeMetric for Amount {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        self.0.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_declared_is_served_with_name_unit_and_help() {
        let root = Metrics::new("tinykv");
        let metrics = root.within("raft");
        let synced = metrics.counter("synced", Unit::Bytes, "Bytes made durable");
        let regions = root.gauge("regions", Unit::Count, "Regions on this store");
        synced.inc_by(10);
        synced.clone().inc_by(5);
        regions.set(-3);
        let expected = "\
# HELP tinykv_raft_synced_bytes Bytes made durable.
# TYPE tinykv_raft_synced_bytes counter
# UNIT tinykv_raft_synced_bytes bytes
tinykv_raft_synced_bytes_total 15
# HELP tinykv_regions Regions on this store.
# TYPE tinykv_regions gauge
tinykv_regions -3
# EOF
";
        assert_eq!(root.text(), expected);
        assert_eq!(metrics.text(), expected, "every handle serves everything");
    }

    #[test]
    fn each_value_of_a_label_is_a_series_of_its_own() {
        let metrics = Metrics::new("tinykv");
        let messages = metrics.counter_by("messages", Unit::Count, "Messages sent", "type");
        messages.of("append").inc();
        messages.of("append").inc();
        messages.of("vote").inc();
        let queued = metrics.gauge_by("queued", Unit::Count, "Tasks that wait", "worker");
        queued.of("apply").set(2);
        let text = metrics.text();
        for line in [
            "tinykv_messages_total{type=\"append\"} 2\n",
            "tinykv_messages_total{type=\"vote\"} 1\n",
            "tinykv_queued{worker=\"apply\"} 2\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn latencies_and_amounts_fall_into_our_buckets() {
        let metrics = Metrics::new("tinykv");
        let sync = metrics.latency_by("sync", "How long a sync takes", "engine").of("raft");
        sync.observe(Duration::from_micros(15));
        sync.observe(Duration::from_mins(1));
        sync.observe(Duration::ZERO);
        sync.observe(Duration::from_micros(20));
        let batch = metrics.amount("batch", Unit::Count, "Entries per sync");
        batch.observe(5);
        let text = metrics.text();
        for line in [
            "tinykv_sync_seconds_bucket{le=\"0.00001\",engine=\"raft\"} 1\n",
            "tinykv_sync_seconds_bucket{le=\"0.00002\",engine=\"raft\"} 3\n",
            "tinykv_sync_seconds_bucket{le=\"10.48576\",engine=\"raft\"} 3\n",
            "tinykv_sync_seconds_bucket{le=\"+Inf\",engine=\"raft\"} 4\n",
            "tinykv_sync_seconds_count{engine=\"raft\"} 4\n",
            "tinykv_sync_seconds_sum{engine=\"raft\"} 60.000035\n",
            "tinykv_batch_bucket{le=\"4.0\"} 0\n",
            "tinykv_batch_bucket{le=\"16.0\"} 1\n",
            "tinykv_batch_bucket{le=\"1073741824.0\"} 1\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }

    #[test]
    #[should_panic(expected = "the metric tinykv_regions is declared twice")]
    fn a_name_is_declared_once() {
        let metrics = Metrics::new("tinykv");
        metrics.gauge("regions", Unit::Count, "Regions on this store");
        metrics.clone().gauge("regions", Unit::Count, "Regions on another");
    }
}
