//! Time, asked for and never looked at.
//!
//! Whoever needs the time takes a [`Clock`]; in production that is the [`SystemClock`], in tests
//! and in the simulator a [`ManualClock`] that stands still until somebody moves it. No other file
//! reads a clock, so no behaviour can depend on how long a test took.
//!
//! A clock shows two times that must not be confused:
//!
//! - [`now`](Clock::now) measures distances. It never goes back, and it also counts while the
//!   machine sleeps: a leader's lease that did not age during a suspend would let a deposed leader
//!   answer reads. Only differences mean something, and only on the same machine.
//! - [`wall`](Clock::wall) is what the clock on the wall shows. It may jump in either direction
//!   when somebody sets it. Timestamps begin with it and log lines carry it; no rule of safety
//!   rests on it.

use std::fmt;
use std::ops::Add;
use std::panic::RefUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Where time comes from.
///
/// A log stamps its lines with a clock and must also do so after a panic elsewhere: hence the last
/// bound, which says that no panic leaves a clock half changed.
pub trait Clock: Send + Sync + RefUnwindSafe + 'static {
    /// A point on a scale that never goes back and counts while the machine sleeps.
    fn now(&self) -> Instant;

    /// The time since the beginning of 1970, as the machine believes it; may jump both ways.
    fn wall(&self) -> Duration;
}

/// A point in time on one machine's steady scale, for measuring distances.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(Duration);

impl Instant {
    /// The point `distance` after the scale's beginning, which is arbitrary; for clocks and tests.
    pub const fn from_start(distance: Duration) -> Self {
        Instant(distance)
    }

    /// The time from `earlier` to here; nothing when `earlier` is in fact later.
    pub fn since(self, earlier: Instant) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    /// The point `distance` later; the end of the scale when it would lie beyond.
    fn add(self, distance: Duration) -> Instant {
        Instant(self.0.saturating_add(distance))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{:?}", self.0)
    }
}

/// The clocks of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl SystemClock {
    /// The one clock of Linux that is steady and counts through a suspend. Elsewhere the monotonic
    /// clock has to do: on macOS it counts, on other systems leases age too slowly in a suspend.
    #[cfg(target_os = "linux")]
    const STEADY: ClockId = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    const STEADY: ClockId = ClockId::Monotonic;
}

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        let Timespec { tv_sec, tv_nsec } = clock_gettime(Self::STEADY);
        let seconds = u64::try_from(tv_sec).expect("the machine started in the past");
        let nanos = u32::try_from(tv_nsec).expect("a part of a second");
        Instant(Duration::new(seconds, nanos))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the place that reads the wall clock")]
    fn wall(&self) -> Duration {
        // A machine that believes to be before 1970 has no time to offer; zero is never ahead.
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }
}

/// A clock that stands still until it is moved.
///
/// Clones show and move the same time, so that a test keeps one and gives the other away.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<Hands>>);

#[derive(Debug)]
struct Hands {
    now: Instant,
    wall: Duration,
}

impl ManualClock {
    /// A clock at the beginning of its scale, a billion seconds after the beginning of 1970.
    pub fn new() -> Self {
        let wall = Duration::from_secs(1_000_000_000);
        ManualClock(Arc::new(Mutex::new(Hands { now: Instant::default(), wall })))
    }

    /// Lets time pass, on both scales.
    pub fn advance(&self, distance: Duration) {
        let mut hands = self.hands();
        hands.now = hands.now + distance;
        hands.wall += distance;
    }

    /// Lets time pass on the steady scale only, as if somebody held the wall clock back.
    pub fn advance_steady(&self, distance: Duration) {
        let mut hands = self.hands();
        hands.now = hands.now + distance;
    }

    /// Sets the wall clock, forward or back, as an operator might; the steady scale stays.
    pub fn set_wall(&self, since_1970: Duration) {
        self.hands().wall = since_1970;
    }

    fn hands(&self) -> MutexGuard<'_, Hands> {
        // Each change is a single assignment, so the hands are good even after a panic elsewhere.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        self.hands().now
    }

    fn wall(&self) -> Duration {
        self.hands().wall
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_system_clock_goes_forward_and_knows_the_century() {
        let clock = SystemClock;
        let readings = [clock.now(), clock.now(), clock.now()];
        assert!(readings.is_sorted(), "{readings:?}");
        assert!(clock.wall() > Duration::from_secs(1_700_000_000), "{:?}", clock.wall());
    }

    #[test]
    fn a_manual_clock_moves_only_when_moved_and_each_scale_alone() {
        let clock = ManualClock::new();
        let seen: Box<dyn Clock> = Box::new(clock.clone());
        let (now, wall) = (seen.now(), seen.wall());
        assert_eq!((seen.now(), seen.wall()), (now, wall));

        clock.advance(SECOND);
        assert_eq!((seen.now(), seen.wall()), (now + SECOND, wall + SECOND));
        clock.advance_steady(SECOND);
        assert_eq!((seen.now(), seen.wall()), (now + 2 * SECOND, wall + SECOND));
        clock.set_wall(SECOND);
        assert_eq!((seen.now(), seen.wall()), (now + 2 * SECOND, SECOND));
    }

    #[test]
    fn distances_never_are_negative_and_never_overflow() {
        let start = Instant::default();
        assert_eq!((start + SECOND).since(start), SECOND);
        assert_eq!(start.since(start + SECOND), Duration::ZERO);
        assert_eq!((start + Duration::MAX) + SECOND, start + Duration::MAX);
    }
}
