//! Timestamps: numbers that only grow, and that roughly say what time it is.
//!
//! A timestamp is `physical * 2^18 + logical`, with the milliseconds since 1970 as its physical part.
//! Transactions are ordered by them, so two equal ones, or one that is smaller than one given before,
//! are lost updates. The clock cannot promise that: it is set back, it jumps, and the process that
//! comes after a crash does not know what its predecessor gave. Hence a *window*:
//!
//! ```text
//!            given          may be given                     saved: 9000
//!     ------------------|--------------------------------------|----------> physical
//!           8000      8420                                    9000
//!
//!     crash; the successor reads 9000, saves 12000, and begins at 9000, whatever its clock shows
//! ```
//!
//! The end of the window is on disk before anything in the window is given. A successor begins at the
//! end that it finds, so it gives nothing twice, and it needs no clock for that.
//!
//! # Which time it is
//!
//! - The wall clock ahead of us: we follow it, as far as the window reaches.
//! - The wall clock behind us, because somebody set it back or because our predecessor saved far
//!   ahead: we go on from where we are, at the pace of the steady clock. Standing still instead would
//!   make locks immortal, whose age is computed from timestamps.
//! - More timestamps in one millisecond than the logical part has room for: we go one millisecond
//!   ahead of the clock.
//!
//! # Invariants
//!
//! - T1: what is given lies before the end of the saved window.
//! - T2: what is given is greater than everything given before.
//! - T3: the window's end never moves back.
//!
//! # What is left out
//!
//! Who leads. A leader takes the number first and asks afterwards whether it still leads; the other
//! way round, a pause between the two would give a number in somebody else's time.

use std::time::Duration;

use proto::schedulerpb::Timestamp;
use runtime::clock::{Clock, Instant};

/// How many bits of a timestamp are logical.
pub const LOGICAL_BITS: u32 = 18;

/// How many timestamps one millisecond has, which also is the most that one request gets.
pub const LOGICAL_MAX: u64 = 1 << LOGICAL_BITS;

/// The first physical part that does not fit beside the logical one: in the year 4199.
const PHYSICAL_END: u64 = 1 << (u64::BITS - LOGICAL_BITS);

/// What both hands of a clock showed at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    /// On the steady scale.
    pub now: Instant,
    /// On the wall, in milliseconds since 1970.
    pub wall_ms: u64,
}

impl Time {
    /// Reads a clock.
    pub fn of(clock: &dyn Clock) -> Time {
        Time { now: clock.now(), wall_ms: ms(clock.wall()) }
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Why there is no timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TsoError {
    /// None was asked for.
    #[error("tso count should be positive")]
    Zero,
    /// More than one millisecond has were asked for.
    #[error("at most {LOGICAL_MAX} timestamps can be had at once")]
    TooMany,
    /// No window is open: this process does not lead, or has only just begun to.
    #[error("timestamps are not served here, not leader")]
    Closed,
    /// The window is used up, and the next one is not saved yet.
    #[error("the window of timestamps cannot be saved fast enough")]
    Exhausted,
}

/// Gives timestamps, within the window that was saved for it.
#[derive(Debug)]
pub struct Tso {
    ahead_ms: u64,
    window: Option<Window>,
}

/// What is given from while a term lasts.
#[derive(Debug)]
struct Window {
    /// The newest physical part that was given, and how many of its logical parts are gone.
    physical: u64,
    logical: u64,
    /// The first physical part that must not be given.
    end: u64,
    /// A moment, and what was the time then; time goes on from here while the wall clock is behind.
    anchor: (Instant, u64),
}

impl Tso {
    /// Gives nothing yet. Each window will reach `ahead` into the future: longer ones are saved less
    /// often, and leave a longer gap after a crash.
    pub fn new(ahead: Duration) -> Self {
        Tso { ahead_ms: ms(ahead).max(2), window: None }
    }

    /// Begins a term. `saved` is the end of the last window on record, zero when there is none. What
    /// is answered must be saved, and told to [`opened`](Tso::opened), before anything is given.
    pub fn first_window(&mut self, saved: u64, time: Time) -> u64 {
        self.window = None;
        saved.max(time.wall_ms).saturating_add(self.ahead_ms).min(PHYSICAL_END)
    }

    /// The first window is saved: begins to give. `saved` is where the predecessor's window ended.
    pub fn opened(&mut self, saved: u64, end: u64, time: Time) {
        let start = saved.max(time.wall_ms).min(end);
        assert!(start <= end, "T1: a window cannot end before it starts");
        self.window = Some(Window { physical: start, logical: 0, end, anchor: (time.now, start) });
    }

    /// The end of the next window, when it is time to save one.
    pub fn next_window(&self, time: Time) -> Option<u64> {
        let window = self.window.as_ref()?;
        let physical = window.time_is(time).max(window.physical);
        let left = window.end.saturating_sub(physical);
        let end = physical.saturating_add(self.ahead_ms).min(PHYSICAL_END);
        (left <= self.ahead_ms / 2 && end > window.end).then_some(end)
    }

    /// The next window is saved and may be used.
    pub fn extended(&mut self, end: u64) {
        if let Some(window) = &mut self.window {
            assert!(end >= window.end, "T3: the window's end moves from {} to {end}", window.end);
            window.end = end;
        }
    }

    /// Ends the term: somebody else may be giving timestamps now.
    pub fn close(&mut self) {
        self.window = None;
    }

    /// Whether timestamps can be had.
    pub fn is_open(&self) -> bool {
        self.window.is_some()
    }

    /// Gives `count` timestamps: the largest of them, which is how a client expects it. The others
    /// have the same physical part and the logical parts right below.
    pub fn take(&mut self, count: u32, time: Time) -> Result<Timestamp, TsoError> {
        let count = u64::from(count);
        if count == 0 {
            return Err(TsoError::Zero);
        }
        if count > LOGICAL_MAX {
            return Err(TsoError::TooMany);
        }
        self.window.as_mut().ok_or(TsoError::Closed)?.take(count, time)
    }
}

impl Window {
    /// What time it is, in milliseconds: the wall's, unless that is behind where we are by the steady
    /// clock.
    fn time_is(&self, time: Time) -> u64 {
        let (moment, physical) = self.anchor;
        time.wall_ms.max(physical.saturating_add(ms(time.now.since(moment))))
    }

    fn take(&mut self, count: u64, time: Time) -> Result<Timestamp, TsoError> {
        let before = (self.physical, self.logical);
        let is = self.time_is(time);
        if time.wall_ms >= is {
            self.anchor = (time.now, time.wall_ms);
        }
        let physical = is.min(self.end.saturating_sub(1));
        if physical > self.physical {
            (self.physical, self.logical) = (physical, 0);
        }
        if self.physical >= self.end {
            return Err(TsoError::Exhausted);
        }
        if self.logical + count > LOGICAL_MAX {
            if self.physical + 1 >= self.end {
                return Err(TsoError::Exhausted);
            }
            (self.physical, self.logical) = (self.physical + 1, 0);
        }
        self.logical += count;
        assert!(self.physical < self.end, "T1: {} is not before {}", self.physical, self.end);
        assert!((self.physical, self.logical) > before, "T2: timestamps go back to {before:?}");
        let signed = |part: u64| i64::try_from(part).expect("46 bits fit");
        Ok(Timestamp { physical: signed(self.physical), logical: signed(self.logical - 1) })
    }
}

/// A timestamp as the one number that transactions carry.
pub fn compose(timestamp: Timestamp) -> u64 {
    let part = |part: i64| u64::try_from(part).expect("we give no negative parts");
    (part(timestamp.physical) << LOGICAL_BITS) + part(timestamp.logical)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(now: u64, wall_ms: u64) -> Time {
        Time { now: Instant::from_start(Duration::from_millis(now)), wall_ms }
    }

    fn open(saved: u64, time: Time) -> Tso {
        let mut tso = Tso::new(Duration::from_secs(3));
        let end = tso.first_window(saved, time);
        assert_eq!(tso.take(1, time), Err(TsoError::Closed), "nothing is saved yet");
        tso.opened(saved, end, time);
        tso
    }

    fn parts(given: Result<Timestamp, TsoError>) -> (i64, i64) {
        let given = given.unwrap();
        (given.physical, given.logical)
    }

    #[test]
    fn the_largest_of_a_batch_is_given_and_logical_parts_begin_anew_each_millisecond() {
        let mut tso = open(0, at(0, 10_000));
        assert_eq!(parts(tso.take(1, at(0, 10_000))), (10_000, 0));
        assert_eq!(parts(tso.take(10, at(0, 10_000))), (10_000, 10));
        assert_eq!(parts(tso.take(5, at(1, 10_001))), (10_001, 4));
        assert_eq!(tso.take(0, at(1, 10_001)), Err(TsoError::Zero));
        assert_eq!(tso.take(u32::MAX, at(1, 10_001)), Err(TsoError::TooMany));
    }

    #[test]
    fn with_the_wall_clock_behind_time_goes_on_at_the_pace_of_the_steady_one() {
        let mut tso = open(20_000, at(0, 10_000));
        assert_eq!(parts(tso.take(1, at(0, 10_000))), (20_000, 0));
        assert_eq!(parts(tso.take(1, at(700, 10_700))), (20_700, 0));
        assert_eq!(parts(tso.take(1, at(800, 1))), (20_800, 0), "it was set back again");
        assert_eq!(parts(tso.take(1, at(900, 21_500))), (21_500, 0), "it is ahead now");
        assert_eq!(parts(tso.take(1, at(950, 5))), (21_550, 0));
    }

    #[test]
    fn a_jump_ahead_stops_at_the_end_of_the_window_until_the_next_is_saved() {
        let mut tso = open(0, at(0, 1_000));
        let day = at(10, 86_400_000);
        assert_eq!(parts(tso.take(1, day)), (3_999, 0));
        assert_eq!(parts(tso.take(1, day)), (3_999, 1));
        assert_eq!(tso.take(1 << 18, day), Err(TsoError::Exhausted));
        let end = tso.next_window(day).unwrap();
        assert_eq!(end, 86_403_000);
        tso.extended(end);
        assert_eq!(tso.next_window(day), None);
        assert_eq!(parts(tso.take(1, day)), (86_400_000, 0));
    }

    #[test]
    fn a_burst_borrows_milliseconds_from_the_future_but_not_from_beyond_the_window() {
        let mut tso = open(0, at(0, 1_000));
        let mut given = Vec::new();
        while let Ok(timestamp) = tso.take(1 << 18, at(0, 1_000)) {
            given.push(timestamp.physical);
        }
        assert_eq!(given, (1_000..4_000).collect::<Vec<_>>());
        assert_eq!(tso.take(1, at(0, 1_000)), Err(TsoError::Exhausted));
    }

    #[test]
    fn at_the_end_of_time_there_are_no_more() {
        let mut tso = open(0, at(0, u64::MAX));
        assert_eq!(tso.take(1, at(0, u64::MAX)), Err(TsoError::Exhausted));
        assert_eq!(tso.next_window(at(0, u64::MAX)), None);
        let mut tso = open(PHYSICAL_END - 5, at(0, 0));
        let last = tso.take(1, at(100, 0)).unwrap();
        assert_eq!(compose(last), u64::MAX - (LOGICAL_MAX - 1));
    }
}
