//! What repeats itself is cut short.
//!
//! A store that cannot reach another says so for each message it wanted to send: thousands of
//! equal lines per second, which hide the one that matters and fill the disk. So each place in the
//! code may log a message only so often per period. What is beyond is counted, and when the period
//! is over one line tells how many there were:
//!
//! ```text
//! warn message not sent store=3
//! warn message not sent store=3
//! warn repeats suppressed count=4711 message="message not sent"
//! ```
//!
//! Only *info*, *warn* and *error* are limited. *Fatal* comes once by nature, and who turns on
//! *debug* or *trace* wants to see everything.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use slog::{BorrowedKV, Drain, Level, OwnedKVList, Record, RecordLocation, RecordStatic};

use crate::clock::{Clock, Instant};
use crate::units::Period;

/// How often the same message may come from the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct RepeatLimit {
    /// Records that are written per period; zero switches the limit off.
    pub count: u64,
    /// The length of the period, which begins with the first of the records.
    pub period: Period,
}

impl Default for RepeatLimit {
    /// A burst of a hundred regions changing their leader passes; a loop that complains does not.
    fn default() -> Self {
        RepeatLimit { count: 100, period: Period::secs(10) }
    }
}

/// Passes on each message so often per period.
pub(super) struct Repeats<D> {
    drain: D,
    limit: RepeatLimit,
    clock: Arc<dyn Clock>,
    places: Mutex<Places>,
}

/// What was logged where; never longer than the code has places that log.
#[derive(Default)]
struct Places {
    counts: BTreeMap<Place, Count>,
    /// The first end of a period, so that most records need not look through them all.
    next_end: Option<Instant>,
}

/// File, line, column and level of a statement that logs.
type Place = (&'static str, u32, u32, usize);

struct Count {
    seen: u64,
    end: Instant,
    level: Level,
    message: String,
    location: RecordLocation,
}

impl<D> Repeats<D> {
    pub(super) fn new(limit: RepeatLimit, clock: Arc<dyn Clock>, drain: D) -> Self {
        Repeats { drain, limit, clock, places: Mutex::default() }
    }

    /// The station behind this one.
    pub(super) fn inner(&self) -> &D {
        &self.drain
    }

    /// Counts a record; returns whether it may pass, and the counts whose period is over.
    fn admit(&self, record: &Record<'_>) -> (bool, Vec<Count>) {
        if self.limit.count == 0 || !is_limited(record.level()) {
            return (true, Vec::new());
        }
        let now = self.clock.now();
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = places.take_ended(now);
        let seen = places.count(record, now + self.limit.period.get());
        (seen <= self.limit.count, ended)
    }
}

impl Places {
    fn take_ended(&mut self, now: Instant) -> Vec<Count> {
        if self.next_end.is_none_or(|end| now < end) {
            return Vec::new();
        }
        let ended = self.counts.extract_if(.., |_, count| count.end <= now);
        let ended = ended.map(|(_, count)| count).collect();
        self.next_end = self.counts.values().map(|count| count.end).min();
        ended
    }

    fn count(&mut self, record: &Record<'_>, end: Instant) -> u64 {
        let location = *record.location();
        let level = record.level();
        let place = (location.file, location.line, location.column, level.as_usize());
        let count = self.counts.entry(place).or_insert_with(|| Count {
            seen: 0,
            end,
            level,
            message: record.msg().to_string(),
            location,
        });
        count.seen += 1;
        self.next_end = self.next_end.or(Some(end));
        count.seen
    }
}

impl<D: Drain<Ok = ()>> Repeats<D> {
    /// Writes what was suppressed up to now, although the periods are not over: for the end.
    pub(super) fn report(&self) -> Result<(), D::Err> {
        let places =
            std::mem::take(&mut *self.places.lock().unwrap_or_else(PoisonError::into_inner));
        places.counts.into_values().try_for_each(|count| self.report_one(&count))
    }

    fn report_one(&self, count: &Count) -> Result<(), D::Err> {
        let suppressed = count.seen.saturating_sub(self.limit.count);
        if suppressed == 0 {
            return Ok(());
        }
        let place = RecordStatic { location: &count.location, tag: "", level: count.level };
        let values = slog::kv!("count" => suppressed, "message" => &count.message);
        let no_context = slog::o!().into();
        self.drain.log(
            &Record::new(&place, &format_args!("repeats suppressed"), BorrowedKV(&values)),
            &no_context,
        )
    }
}

impl<D: Drain<Ok = ()>> Drain for Repeats<D> {
    type Ok = ();
    type Err = D::Err;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), D::Err> {
        let (may_pass, ended) = self.admit(record);
        // Written without the lock, so that a slow disk delays nobody but who has something to say.
        ended.iter().try_for_each(|count| self.report_one(count))?;
        if may_pass { self.drain.log(record, values) } else { Ok(()) }
    }

    fn is_enabled(&self, level: Level) -> bool {
        self.drain.is_enabled(level)
    }
}

fn is_limited(level: Level) -> bool {
    match level {
        Level::Error | Level::Warning | Level::Info => true,
        Level::Critical | Level::Debug | Level::Trace => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use slog::{Logger, debug, info, warn};

    use super::super::capture::{Capture, Kept};
    use super::*;
    use crate::clock::ManualClock;

    /// A log of at most two equal records per ten seconds, and what it wrote.
    fn limited() -> (Logger, Arc<Repeats<Kept>>, Capture, ManualClock) {
        let clock = ManualClock::new();
        let capture = Capture::new(100, Arc::new(clock.clone()));
        let limit = RepeatLimit { count: 2, period: Period::secs(10) };
        let repeats = Repeats::new(limit, Arc::new(clock.clone()), Kept(capture.clone()));
        let repeats = Arc::new(repeats);
        (Logger::root(Arc::clone(&repeats), slog::o!()), repeats, capture, clock)
    }

    fn lines(capture: &Capture) -> Vec<String> {
        capture.take().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn beyond_the_limit_only_a_count_is_written() {
        let (log, _, capture, clock) = limited();
        let complain = |store| warn!(log, "message not sent"; "store" => store);
        (1..=5).for_each(complain);
        let shown = ["warn  message not sent store=1", "warn  message not sent store=2"];
        assert_eq!(lines(&capture), shown);

        clock.advance(Duration::from_secs(9));
        info!(log, "something else");
        assert_eq!(lines(&capture), ["info  something else"], "the period is not over");
        clock.advance(Duration::from_secs(1));
        complain(6);
        let shown = [
            "warn  repeats suppressed count=3 message=message not sent",
            "warn  message not sent store=6",
        ];
        assert_eq!(lines(&capture), shown);
    }

    #[test]
    fn any_record_brings_the_overdue_counts_with_it() {
        let (log, _, capture, clock) = limited();
        (0..3).for_each(|_| warn!(log, "first"));
        clock.advance(Duration::from_secs(4));
        (0..4).for_each(|_| warn!(log, "second"));
        lines(&capture);
        clock.advance(Duration::from_secs(7));
        info!(log, "other");
        let first = "warn  repeats suppressed count=1 message=first";
        assert_eq!(lines(&capture), [first, "info  other"]);
        clock.advance(Duration::from_secs(3));
        info!(log, "other again");
        let second = "warn  repeats suppressed count=2 message=second";
        assert_eq!(lines(&capture), [second, "info  other again"]);
    }

    #[test]
    fn debug_is_not_limited_and_a_report_at_the_end_forgets_nothing() {
        let (log, repeats, capture, _) = limited();
        (0..3).for_each(|_| debug!(log, "step"));
        assert_eq!(lines(&capture).len(), 3);
        (0..3).for_each(|_| warn!(log, "odd"));
        lines(&capture);
        assert!(repeats.report().is_ok());
        assert_eq!(lines(&capture), ["warn  repeats suppressed count=1 message=odd"]);
        assert!(repeats.report().is_ok());
        assert_eq!(lines(&capture), [""; 0]);
    }
}
