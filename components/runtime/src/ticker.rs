//! Things to do now and then, counted in ticks.
//!
//! A core does not know what time it is; it is told that a tick passed. [`Ticker`] sits in the loop
//! around the core and turns the clock into ticks. [`Duties`] sits in the core and turns ticks into
//! what is due.
//!
//! Both *drop* what was missed instead of catching up. After a pause, of a busy disk or a sleeping
//! machine, a hundred ticks at once would make every follower believe that it had not heard from
//! its leader for a hundred ticks, and every duty run a hundred times in a row.
//!
//! ```text
//! tick           1  2  3  4  5  6  7  8  9
//! heartbeat /2      x     x     x     x
//! log gc    /4, phase 1
//!                1        .  x           x      without a phase it would share every tick
//!                                               of the heartbeat
//! ```

use std::time::Duration;

use crate::clock::Instant;

/// Says when a tick is due, at a fixed interval of the clock.
#[derive(Clone, Debug)]
pub struct Ticker {
    interval: Duration,
    next: Instant,
}

impl Ticker {
    /// A ticker whose first tick is due one interval after `now`. The interval must not be zero.
    pub fn new(interval: Duration, now: Instant) -> Self {
        assert!(!interval.is_zero(), "a ticker needs an interval");
        Ticker { interval, next: now + interval }
    }

    /// Whether a tick is due. At most one is, however long nobody asked: the next one is due a whole
    /// interval after the last that was, or after `now` when that has already passed as well.
    pub fn is_due(&mut self, now: Instant) -> bool {
        if now < self.next {
            return false;
        }
        // Counting from the last tick keeps the beat even when a loop asks a little late each time.
        self.next = self.next + self.interval;
        if self.next <= now {
            self.next = now + self.interval;
        }
        true
    }

    /// How long a loop may wait for other work before it must ask again.
    pub fn until_due(&self, now: Instant) -> Duration {
        self.next.since(now)
    }
}

/// What is to be done periodically, and how often; `D` names the duties.
#[derive(Clone, Debug)]
pub struct Duties<D> {
    /// Ticks that passed since the beginning.
    now: u64,
    duties: Vec<Duty<D>>,
}

#[derive(Clone, Debug)]
struct Duty<D> {
    name: D,
    interval: u64,
    phase: u64,
    /// The tick at which it is due next.
    next: u64,
}

impl<D: Copy + PartialEq> Duties<D> {
    /// No duties yet.
    pub const fn new() -> Self {
        Duties { now: 0, duties: Vec::new() }
    }

    /// Adds a duty that is due every `interval` ticks. An interval of zero switches it off.
    #[must_use]
    pub fn every(self, interval: u64, name: D) -> Self {
        self.every_with_phase(interval, 0, name)
    }

    /// Adds a duty that is due at the ticks that leave `phase` when divided by `interval`, so that
    /// not everything falls on one tick. A region's number makes a good phase.
    #[must_use]
    pub fn every_with_phase(mut self, interval: u64, phase: u64, name: D) -> Self {
        if let Some(phase) = phase.checked_rem(interval) {
            let next = next_due(self.now, interval, phase);
            self.duties.push(Duty { name, interval, phase, next });
        }
        self
    }

    /// One tick passes; returns what is due, in the order in which duties were added.
    #[must_use = "what is due is not due again before its next turn"]
    pub fn tick(&mut self) -> Vec<D> {
        self.pass(1)
    }

    /// Several ticks pass at once. What became due meanwhile is due once, not once per tick.
    #[must_use = "what is due is not due again before its next turn"]
    pub fn pass(&mut self, ticks: u64) -> Vec<D> {
        self.now += ticks;
        // Mostly nothing is due, and then an empty list allocates nothing.
        let mut due = Vec::new();
        for duty in &mut self.duties {
            if duty.next <= self.now {
                duty.next = next_due(self.now, duty.interval, duty.phase);
                due.push(duty.name);
            }
        }
        due
    }

    /// Makes a duty due at the next tick already; afterwards it goes on in its old beat.
    pub fn hurry(&mut self, name: D) {
        for duty in self.duties.iter_mut().filter(|duty| duty.name == name) {
            duty.next = self.now + 1;
        }
    }
}

impl<D: Copy + PartialEq> Default for Duties<D> {
    fn default() -> Self {
        Self::new()
    }
}

/// The first tick after `now` that leaves `phase` when divided by `interval`.
fn next_due(now: u64, interval: u64, phase: u64) -> u64 {
    let candidate = now - now % interval + phase;
    if candidate > now { candidate } else { candidate + interval }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Duty {
        Heartbeat,
        LogGc,
        Never,
    }

    fn duties() -> Duties<Duty> {
        Duties::new()
            .every(2, Duty::Heartbeat)
            .every_with_phase(4, 1, Duty::LogGc)
            .every(0, Duty::Never)
    }

    #[test]
    fn duties_are_due_at_their_interval_and_phase() {
        let mut duties = duties();
        let due: Vec<_> = (1..=9).map(|_| duties.tick()).collect();
        let (beat, gc) = ([Duty::Heartbeat].as_slice(), [Duty::LogGc].as_slice());
        assert_eq!(due, [gc, beat, &[], beat, gc, beat, &[], beat, gc]);
    }

    #[test]
    fn missed_ticks_are_dropped_and_the_beat_is_kept() {
        let mut duties = duties();
        assert_eq!(duties.pass(1001), [Duty::Heartbeat, Duty::LogGc]);
        assert_eq!(duties.tick(), [Duty::Heartbeat], "tick 1002");
        assert_eq!(duties.pass(3), [Duty::Heartbeat, Duty::LogGc], "tick 1005");
        assert!(duties.pass(0).is_empty());
    }

    #[test]
    fn a_hurried_duty_is_due_at_once_and_keeps_its_beat() {
        let mut duties = duties();
        assert_eq!(duties.tick(), [Duty::LogGc]);
        duties.hurry(Duty::LogGc);
        duties.hurry(Duty::Never);
        assert_eq!(duties.tick(), [Duty::Heartbeat, Duty::LogGc]);
        let later: Vec<_> = (3..=5).map(|_| duties.tick().contains(&Duty::LogGc)).collect();
        assert_eq!(later, [false, false, true]);
    }

    #[test]
    fn a_ticker_keeps_its_beat_but_does_not_catch_up() {
        let at = |ms| Instant::from_start(Duration::from_millis(ms));
        let mut ticker = Ticker::new(Duration::from_millis(100), at(0));
        assert_eq!(ticker.until_due(at(30)), Duration::from_millis(70));
        // (asked at, is due): 10 late does not move the beat; 250 late drops two ticks.
        let asked = [(99, false), (110, true), (199, false), (200, true), (550, true)];
        for (ms, due) in asked.into_iter().chain([(551, false), (649, false), (650, true)]) {
            assert_eq!(ticker.is_due(at(ms)), due, "at {ms} ms");
        }
        assert_eq!(ticker.until_due(at(1000)), Duration::ZERO);
    }
}
