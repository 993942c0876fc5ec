//! What is kept of a run while it runs.

use std::collections::BTreeMap;
use std::time::Duration;

use runtime::clock::Instant;
use serde::{Deserialize, Serialize};

use crate::latency::{Latencies, Summary};
use crate::system::{Done, Failure};
use crate::workload::Kind;

/// How much of a run is one point of a plot.
pub(crate) const SLICE: Duration = Duration::from_secs(1);

/// How many texts of failures are kept of one run.
const COMPLAINTS_MAX: usize = 5;

/// Where all clients of a run write down what happened.
pub(crate) struct Recorder {
    begin: Instant,
    end: Instant,
    all: Latencies,
    kinds: BTreeMap<Kind, Latencies>,
    slice: Latencies,
    slices: Vec<Slice>,
    counts: Counts,
    complaints: Vec<String>,
    wrong: Option<String>,
}

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Operations that were done within the time.
    pub(crate) done: u64,
    /// Rows that they read.
    pub(crate) rows: u64,
    /// Transactions that were begun again, because another one was faster.
    pub(crate) begun_again: u64,
    /// Operations that were certainly not done.
    pub(crate) failed: u64,
    /// Operations of which nobody knows.
    pub(crate) unknown: u64,
    /// Operations that were due and not begun.
    pub(crate) left_over: u64,
}

/// What was done in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Slice {
    pub(crate) done: u64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// All that is kept of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) counts: Counts,
    pub(crate) latency: Summary,
    /// By kind of operation, where there are several.
    pub(crate) kinds: BTreeMap<String, Summary>,
    pub(crate) slices: Vec<Slice>,
    /// What the first failures said.
    pub(crate) complaints: Vec<String>,
}

impl Recorder {
    /// What is due before `begin` is to warm up, and does not count.
    pub(crate) fn new(begin: Instant, end: Instant) -> Self {
        Recorder {
            begin,
            end,
            all: Latencies::new(),
            kinds: BTreeMap::new(),
            slice: Latencies::new(),
            slices: Vec::new(),
            counts: Counts::default(),
            complaints: Vec::new(),
            wrong: None,
        }
    }

    /// An operation that was due then has ended now.
    pub(crate) fn record(
        &mut self,
        kind: Kind,
        due: Instant,
        now: Instant,
        ended: Result<Done, Failure>,
    ) {
        let done = match ended {
            Ok(done) => done,
            Err(failure) => return self.complain(due, &failure),
        };
        if now >= self.begin && now < self.end {
            self.turn_to(now);
            self.counts.done += 1;
            self.counts.rows += done.rows;
            self.counts.begun_again += done.begun_again;
            self.slice.record(now.since(due));
        }
        if due >= self.begin {
            self.all.record(now.since(due));
            self.kinds.entry(kind).or_insert_with(Latencies::new).record(now.since(due));
        }
    }

    /// These were due, and nobody had begun them at the end.
    pub(crate) fn leave_over(&mut self, due: impl Iterator<Item = Instant>) {
        for due in due.filter(|due| *due >= self.begin) {
            self.counts.left_over += 1;
            self.all.record(self.end.since(due));
        }
    }

    fn complain(&mut self, due: Instant, failure: &Failure) {
        let text = failure.to_string();
        match failure {
            Failure::Wrong(_) => self.wrong = Some(text),
            _ if due < self.begin => {}
            Failure::Refused(_) => {
                self.counts.failed += 1;
                self.keep(text);
            }
            Failure::Unknown(_) => {
                self.counts.unknown += 1;
                self.keep(text);
            }
        }
    }

    fn keep(&mut self, text: String) {
        if self.complaints.len() < COMPLAINTS_MAX && !self.complaints.contains(&text) {
            self.complaints.push(text);
        }
    }

    /// Closes the slices before this moment.
    fn turn_to(&mut self, now: Instant) {
        let current = now.since(self.begin).as_nanos() / SLICE.as_nanos();
        while (self.slices.len() as u128) < current {
            let Summary { p50_us, p99_us, .. } = self.slice.summary();
            self.slices.push(Slice { done: self.slice.count(), p50_us, p99_us });
            self.slice.reset();
        }
    }

    /// The last full second.
    pub(crate) fn latest(&mut self, now: Instant) -> Option<Slice> {
        self.turn_to(now.min(self.end));
        self.slices.last().copied()
    }

    /// What a store answered that cannot be true, if one did.
    pub(crate) fn wrong(&self) -> Option<&str> {
        self.wrong.as_deref()
    }

    pub(crate) fn finish(&mut self) -> Measured {
        self.turn_to(self.end);
        let several = self.kinds.len() > 1;
        let kinds = self.kinds.iter().filter(|_| several);
        Measured {
            counts: self.counts,
            latency: self.all.summary(),
            kinds: kinds.map(|(kind, all)| (kind.name().to_owned(), all.summary())).collect(),
            slices: std::mem::take(&mut self.slices),
            complaints: std::mem::take(&mut self.complaints),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_start(Duration::from_millis(ms))
    }

    fn recorder() -> Recorder {
        Recorder::new(at(1000), at(4000))
    }

    #[test]
    fn warming_up_does_not_count() {
        let mut recorder = recorder();
        let done = || Ok(Done::rows(1));
        recorder.record(Kind::Get, at(100), at(200), done());
        recorder.record(Kind::Get, at(100), at(300), Err(Failure::Refused("early".to_owned())));
        recorder.record(Kind::Get, at(900), at(1100), done());
        recorder.record(Kind::Get, at(1100), at(1200), done());
        recorder.record(Kind::Get, at(3900), at(4100), done());
        let measured = recorder.finish();
        assert_eq!(measured.counts.done, 2, "within the time, whenever they began");
        assert_eq!(measured.latency.count, 2, "due within the time, whenever they ended");
        assert_eq!(measured.counts.failed, 0);
        assert_eq!(measured.kinds.len(), 0, "there is only one kind");
    }

    #[test]
    fn every_second_is_a_slice_also_one_in_which_nothing_happened() {
        let mut recorder = recorder();
        recorder.record(Kind::Get, at(1000), at(1500), Ok(Done::rows(0)));
        assert_eq!(recorder.latest(at(1900)), None, "the first second is not over");
        recorder.record(Kind::Put, at(3100), at(3200), Ok(Done::rows(0)));
        assert_eq!(recorder.latest(at(3300)).map(|slice| slice.done), Some(0));
        let measured = recorder.finish();
        let done: Vec<u64> = measured.slices.iter().map(|slice| slice.done).collect();
        assert_eq!(done, [1, 0, 1]);
        assert_eq!(measured.kinds.keys().collect::<Vec<_>>(), ["get", "put"]);
    }

    #[test]
    fn what_was_not_begun_counts_with_the_time_it_waited() {
        let mut recorder = recorder();
        recorder.leave_over([at(900), at(2000), at(3000)].into_iter());
        let measured = recorder.finish();
        assert_eq!(measured.counts.left_over, 2);
        assert!((measured.latency.max_us / 2e6 - 1.0).abs() < 0.001, "{:?}", measured.latency);
    }

    #[test]
    fn failures_are_counted_and_a_wrong_answer_is_remembered() {
        let mut recorder = recorder();
        for _ in 0..3 {
            recorder.record(
                Kind::Put,
                at(1100),
                at(1200),
                Err(Failure::Unknown("lost".to_owned())),
            );
        }
        recorder.record(Kind::Put, at(1100), at(1200), Err(Failure::Refused("busy".to_owned())));
        assert_eq!(recorder.wrong(), None);
        recorder.record(Kind::Get, at(1), at(2), Err(Failure::Wrong("key 1".to_owned())));
        assert_eq!(recorder.wrong(), Some("a wrong answer: key 1"));
        let measured = recorder.finish();
        assert_eq!((measured.counts.unknown, measured.counts.failed), (3, 1));
        assert_eq!(measured.complaints, ["unknown: lost", "refused: busy"]);
    }
}
