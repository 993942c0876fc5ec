//! Two ways of doing the same thing, timed in turn.
//!
//! A machine that is shared with others is never equally fast for long, so a time by itself says
//! little. What holds is a *ratio* of two things that were measured within the same second. Here
//! "ours" and "theirs" take turns, round after round, each first every other time:
//!
//! ```text
//! round 1: ours theirs    round 2: theirs ours    round 3: ours theirs   ...
//! ```
//!
//! Each round gives one ratio; the table shows the median of the ratios with their extremes beside
//! it, so that a reader sees how quiet the machine was.

use std::fmt;
use std::hint::black_box;
use std::time::Duration;

use runtime::clock::{Clock, SystemClock};

/// How many rounds there are, unless a table says otherwise. Odd, so that the median is one of them.
pub const ROUNDS: usize = 9;

/// A table of comparisons, printed as Markdown.
pub struct Table {
    ours: &'static str,
    theirs: &'static str,
    rounds: usize,
    rows: Vec<Row>,
}

/// One thing, done both ways.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What was done.
    pub what: String,
    /// Median time of one operation our way.
    pub ours_ns: f64,
    /// Median time of one operation their way.
    pub theirs_ns: f64,
    /// Our time by theirs, round by round, ascending.
    pub ratios: Vec<f64>,
}

impl Row {
    /// The median of the ratios: below 1, ours is faster.
    pub fn ratio(&self) -> f64 {
        self.ratios[self.ratios.len() / 2]
    }
}

impl Table {
    /// An empty table; the names head its columns.
    pub fn new(ours: &'static str, theirs: &'static str) -> Self {
        Table { ours, theirs, rounds: ROUNDS, rows: Vec::new() }
    }

    /// The same in so many rounds. A busy machine is told from a slow program by many short rounds better
    /// than by a few long ones: what others do lasts for seconds, and hits both ways of a short round.
    #[must_use]
    pub fn in_rounds(self, rounds: usize) -> Self {
        assert!(rounds % 2 == 1, "the median is one of them");
        Table { rounds, ..self }
    }

    /// Measures one row by the clock. Each closure does `operations` operations and answers something
    /// that depends on the work, so that the work cannot be left away.
    pub fn compare<A, B>(
        &mut self,
        what: impl Into<String>,
        operations: u64,
        ours: impl FnMut() -> A,
        theirs: impl FnMut() -> B,
    ) -> &Row {
        let (clock, start) = (SystemClock, SystemClock.now());
        self.compare_by(&|| clock.now().since(start), what, operations, ours, theirs)
    }

    /// Measures one row by a meter that never goes back, such as the processor time of a server.
    pub fn compare_by<A, B>(
        &mut self,
        meter: &dyn Fn() -> Duration,
        what: impl Into<String>,
        operations: u64,
        mut ours: impl FnMut() -> A,
        mut theirs: impl FnMut() -> B,
    ) -> &Row {
        black_box((ours(), theirs()));
        let rounds: Vec<_> = (0..self.rounds)
            .map(|round| {
                if round % 2 == 0 {
                    let first = spend(meter, &mut ours);
                    (first, spend(meter, &mut theirs))
                } else {
                    let first = spend(meter, &mut theirs);
                    (spend(meter, &mut ours), first)
                }
            })
            .collect();
        self.rows.push(row(what.into(), operations, &rounds));
        &self.rows[self.rows.len() - 1]
    }

    /// The rows so far.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }
}

fn spend<T>(meter: &dyn Fn() -> Duration, work: &mut impl FnMut() -> T) -> Duration {
    let start = meter();
    black_box(work());
    meter().saturating_sub(start)
}

fn row(what: String, operations: u64, rounds: &[(Duration, Duration)]) -> Row {
    #[expect(clippy::cast_precision_loss, reason = "counts of operations are far below 2^52")]
    let each = |time: Duration| time.as_secs_f64() * 1e9 / operations as f64;
    let sorted = |values: &mut dyn Iterator<Item = f64>| {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let median = |values: Vec<f64>| values[values.len() / 2];
    Row {
        what,
        ours_ns: median(sorted(&mut rounds.iter().map(|&(ours, _)| each(ours)))),
        theirs_ns: median(sorted(&mut rounds.iter().map(|&(_, theirs)| each(theirs)))),
        ratios: sorted(&mut rounds.iter().map(|(ours, theirs)| {
            ours.as_secs_f64() / theirs.as_secs_f64().max(f64::MIN_POSITIVE)
        })),
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ours, theirs) = (self.ours, self.theirs);
        writeln!(f, "| | {ours}, ns | {theirs}, ns | {ours} / {theirs} | min to max |")?;
        writeln!(f, "|---|---:|---:|---:|---:|")?;
        for row in &self.rows {
            let (least, most) = (row.ratios[0], row.ratios[row.ratios.len() - 1]);
            writeln!(
                f,
                "| {} | {:.0} | {:.0} | **{:.2}** | {least:.2} to {most:.2} |",
                row.what,
                row.ours_ns,
                row.theirs_ns,
                row.ratio()
            )?;
        }
        write!(f, "\nMedian of {} rounds in turn; per operation.", self.rounds)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn the_median_ratio_is_taken_round_by_round() {
        let ms = Duration::from_millis;
        // A noisy machine: round two was ten times slower for both.
        let rounds = [(ms(10), ms(20)), (ms(100), ms(200)), (ms(30), ms(20))];
        let row = row("work".to_owned(), 10_000, &rounds);
        assert_eq!(row.ratios, [0.5, 0.5, 1.5]);
        assert!((row.ratio() - 0.5).abs() < 1e-9);
        assert!((row.ours_ns - 3000.0).abs() < 1e-6);
        assert!((row.theirs_ns - 2000.0).abs() < 1e-6);
    }

    #[test]
    fn a_meter_may_count_something_else_than_time() {
        let used = Cell::new(0);
        let meter = || Duration::from_millis(used.get());
        let mut table = Table::new("ours", "theirs");
        let (ours, theirs) = (|| used.set(used.get() + 30), || used.set(used.get() + 20));
        let row = table.compare_by(&meter, "work", 10, ours, theirs);
        assert!(row.ratios.iter().all(|ratio| (ratio - 1.5).abs() < 1e-9), "{row:?}");
    }

    #[test]
    fn both_ways_are_run_in_every_round() {
        let (mut ours, mut theirs) = (0, 0);
        let mut table = Table::new("ours", "theirs").in_rounds(3);
        table.compare("counting", 1, || ours += 1, || theirs += 1);
        assert_eq!((ours, theirs), (4, 4), "and once to warm up");
        let text = table.to_string();
        assert!(text.starts_with("| | ours, ns | theirs, ns | ours / theirs |"), "{text}");
        assert!(text.contains("| counting |"), "{text}");
    }
}
