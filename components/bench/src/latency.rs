//! How long operations took, with the tail kept: a histogram whose error is a thousandth everywhere.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::number::{float, tenths};

/// What is shorter counts as about this long.
const LEAST_NS: u64 = 1_000;

/// What is longer counts as this long: an operation is given up long before.
const MOST_NS: u64 = 300_000_000_000;

/// Significant decimal digits.
const DIGITS: u8 = 3;

/// A histogram of durations.
pub(crate) struct Latencies(Histogram<u64>);

/// The parts of a histogram that are kept, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// How many operations.
    pub(crate) count: u64,
    pub(crate) mean_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p95_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) p9999_us: f64,
    pub(crate) max_us: f64,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(LEAST_NS, MOST_NS, DIGITS);
        Latencies(histogram.expect("the bounds are constants that fit each other"))
    }

    pub(crate) fn record(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(MOST_NS));
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    pub(crate) fn reset(&mut self) {
        self.0.reset();
    }

    pub(crate) fn summary(&self) -> Summary {
        // One of nothing would have the histogram's least value for its greatest.
        if self.0.is_empty() {
            return Summary::default();
        }
        let at = |quantile: f64| micros(self.0.value_at_quantile(quantile));
        Summary {
            count: self.0.len(),
            mean_us: tenths(self.0.mean() / 1e3),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p95_us: at(0.95),
            p99_us: at(0.99),
            p999_us: at(0.999),
            p9999_us: at(0.9999),
            max_us: micros(self.0.max()),
        }
    }
}

fn micros(nanos: u64) -> f64 {
    tenths(float(nanos) / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_thousandth_and_the_tail_is_kept() {
        let mut latencies = Latencies::new();
        for micros in 1..=100_000 {
            latencies.record(Duration::from_micros(micros));
        }
        let summary = latencies.summary();
        let near = |value: f64, expected: f64| (value / expected - 1.0).abs() < 0.0015;
        assert_eq!(summary.count, 100_000);
        assert!(near(summary.p50_us, 50_000.0), "{summary:?}");
        assert!(near(summary.p99_us, 99_000.0), "{summary:?}");
        assert!(near(summary.p9999_us, 99_990.0), "{summary:?}");
        assert!(near(summary.max_us, 100_000.0), "{summary:?}");
        assert!(near(summary.mean_us, 50_000.5), "{summary:?}");
    }

    #[test]
    fn what_is_beyond_the_bounds_is_counted_at_the_bounds() {
        let mut latencies = Latencies::new();
        latencies.record(Duration::ZERO);
        latencies.record(Duration::from_hours(1));
        let summary = latencies.summary();
        assert_eq!(summary.count, 2);
        assert!(summary.max_us >= 300e6, "{summary:?}");
        latencies.reset();
        assert_eq!(latencies.summary(), Summary::default());
    }
}
