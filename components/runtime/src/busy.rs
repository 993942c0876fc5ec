//! How busy a loop is.
//!
//! A loop either works, or waits for the disk, or waits for something to do. When the shares of
//! the first two near the whole, the loop is what limits the store, and its queue is about to grow;
//! that shows here minutes before it shows in latencies.
//!
//! The owner of the loop says when it begins what, with a time that it has at hand anyway:
//!
//! ```text
//! working   ████      ██            seconds, added up per activity: the rate is the share
//! syncing       ███                 over any span that whoever looks may choose
//! waiting          ███  ████
//! ```
//!
//! Beside the sums there is a gauge with the shares of the last second, for a dashboard that keeps
//! no history.

use std::time::Duration;

use crate::clock::Instant;
use crate::metrics::{Metrics, Share, Sum, Unit};

/// What a loop does at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Nothing: its queues are empty.
    Waiting,
    /// It computes.
    Working,
    /// It waits for the disk to make something durable.
    Syncing,
}

impl Activity {
    const ALL: [Activity; 3] = [Activity::Waiting, Activity::Working, Activity::Syncing];

    const fn as_str(self) -> &'static str {
        match self {
            Activity::Waiting => "waiting",
            Activity::Working => "working",
            Activity::Syncing => "syncing",
        }
    }
}

/// The shortest span that shares are computed over.
const WINDOW: Duration = Duration::from_secs(1);

/// Measures one loop, and belongs to it.
#[derive(Debug)]
pub struct Busy {
    activity: Activity,
    since: Instant,
    window_start: Instant,
    meters: [Meter; 3],
}

/// What is known of one activity.
#[derive(Debug)]
struct Meter {
    total: Sum,
    share: Share,
    in_window: Duration,
}

impl Busy {
    /// A loop that begins to wait at `now`; `name` is the first word of its metrics.
    pub fn new(metrics: &Metrics, name: &str, now: Instant) -> Self {
        let metrics = metrics.within(name);
        let help = "Time that the loop spent on each activity";
        let totals = metrics.sum_by("time", Unit::Seconds, help, "activity");
        let help = "Share of each activity in the last second";
        let shares = metrics.share_by("share", help, "activity");
        let meters = Activity::ALL.map(|activity| Meter {
            total: totals.of(activity.as_str()),
            share: shares.of(activity.as_str()),
            in_window: Duration::ZERO,
        });
        Busy { activity: Activity::Waiting, since: now, window_start: now, meters }
    }

    /// From `now` on the loop does something else; or the same, which brings the metrics up to date.
    pub fn begin(&mut self, activity: Activity, now: Instant) {
        let spent = now.since(self.since);
        let meter = &mut self.meters[self.activity as usize];
        meter.total.inc_by(spent.as_secs_f64());
        meter.in_window += spent;
        self.activity = activity;
        self.since = now;

        let window = now.since(self.window_start);
        if window >= WINDOW {
            for meter in &mut self.meters {
                meter.share.set(meter.in_window.as_secs_f64() / window.as_secs_f64());
                meter.in_window = Duration::ZERO;
            }
            self.window_start = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_to_what_was_done_and_shares_to_the_last_second() {
        let at = |ms| Instant::from_start(Duration::from_millis(ms));
        let metrics = Metrics::new("tinykv");
        let mut busy = Busy::new(&metrics, "raft_loop", at(1000));
        let shows = |line: &str| {
            let text = metrics.text();
            assert!(text.contains(&format!("tinykv_raft_loop_{line}\n")), "{line}\n{text}");
        };
        busy.begin(Activity::Working, at(1250));
        busy.begin(Activity::Syncing, at(1500));
        shows("time_seconds_total{activity=\"waiting\"} 0.25");
        shows("time_seconds_total{activity=\"working\"} 0.25");
        shows("share_ratio{activity=\"working\"} 0.0");

        busy.begin(Activity::Waiting, at(3000));
        shows("time_seconds_total{activity=\"syncing\"} 1.5");
        shows("share_ratio{activity=\"working\"} 0.125");
        shows("share_ratio{activity=\"syncing\"} 0.75");

        busy.begin(Activity::Waiting, at(4000));
        shows("share_ratio{activity=\"waiting\"} 1.0");
        shows("share_ratio{activity=\"syncing\"} 0.0");
    }
}
