//! When clients do the next thing: as soon as the last one is done, or when it is due.
//!
//! A closed loop says what a system can do: each client waits for an answer and goes on. It says little
//! about how long people wait, because a system that stalls also stops being asked, and all those who
//! would have come meanwhile are never counted: *coordinated omission*.
//!
//! ```text
//!   a stall of 100 ms, one operation due in each ms
//!   closed loop   one operation took 100 ms, all others 1 ms
//!   open loop     100 operations took 100, 99, 98, ... ms
//! ```
//!
//! An open loop has a plan: operation number n is due n / rate after the beginning, whoever does it. Its
//! latency counts from there. Those that were due and that nobody had the time to begin before the end
//! count as well, with the time that they had waited by then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use runtime::clock::{Clock, Instant};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::Semaphore;

/// The shortest time between two looks at the plan; what becomes due meanwhile begins together.
const LOOK: Duration = Duration::from_micros(100);

/// When the next operation begins.
#[derive(Clone)]
pub(crate) enum Pace {
    /// When the one before it is done, until the end.
    Closed { end: Instant },
    /// When it is due.
    Open(Arc<Plan>),
}

impl Pace {
    /// Waits until an operation may begin; answers when it should have. None: no more.
    pub(crate) async fn next(&self, clock: &dyn Clock) -> Option<Instant> {
        match self {
            Pace::Closed { end } => Some(clock.now()).filter(|now| now < end),
            Pace::Open(plan) => plan.next().await,
        }
    }
}

/// Operations, each due at its time.
pub(crate) struct Plan {
    begin: Instant,
    rate: u64,
    total: u64,
    begun: AtomicU64,
    due: Semaphore,
}

impl Plan {
    /// So many in a second, from `begin` on, for so long.
    pub(crate) fn new(rate: u64, begin: Instant, length: Duration) -> Self {
        let total = due(rate, length);
        Plan { begin, rate, total, begun: AtomicU64::new(0), due: Semaphore::new(0) }
    }

    /// When an operation is due.
    fn time(&self, number: u64) -> Instant {
        let nanos = u128::from(number) * 1_000_000_000 / u128::from(self.rate);
        self.begin + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    async fn next(&self) -> Option<Instant> {
        // An error says that the time is over, whatever is still to be done.
        self.due.acquire().await.ok()?.forget();
        Some(self.time(self.begun.fetch_add(1, Relaxed)))
    }

    /// Lets begin what is due, until the end.
    pub(crate) async fn keep(&self, clock: &dyn Clock) -> std::io::Result<()> {
        let mut timer = Timer::new()?;
        let mut released = 0;
        while released < self.total {
            let due = due(self.rate, clock.now().since(self.begin)).min(self.total);
            let more = usize::try_from(due - released).unwrap_or(usize::MAX);
            self.due.add_permits(more);
            released = due;
            let wait = self.time(released).since(clock.now());
            timer.wait(wait.max(LOOK)).await?;
        }
        self.due.close();
        Ok(())
    }

    /// When those were due that nobody has begun, once the time is over.
    pub(crate) fn left_over(&self) -> impl Iterator<Item = Instant> {
        (self.begun.load(Relaxed)..self.total).map(|number| self.time(number))
    }
}

/// How many operations are due after some time; the first one is due at once.
fn due(rate: u64, elapsed: Duration) -> u64 {
    let count = elapsed.as_nanos().saturating_mul(u128::from(rate)) / 1_000_000_000;
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Waits to within some microseconds. The timers of the async runtime count milliseconds, which is longer
/// than what is to be measured. To the runtime, a timer of the kernel is a pipe on which eight bytes arrive
/// when it rings.
struct Timer(pipe::Receiver);

impl Timer {
    fn new() -> std::io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Timer(pipe::Receiver::from_owned_fd_unchecked(timer)?))
    }

    async fn wait(&mut self, time: Duration) -> std::io::Result<()> {
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec {
                tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(time.subsec_nanos()),
            },
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
        self.0.read_u64_le().await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use runtime::clock::{ManualClock, SystemClock};

    use super::*;

    #[test]
    fn a_plan_says_what_is_due_and_when() {
        let second = Duration::from_secs(1);
        let plan = Plan::new(3, Instant::from_start(second), second * 2);
        assert_eq!(plan.total, 6);
        assert_eq!(due(3, Duration::from_millis(333)), 0);
        assert_eq!(due(3, Duration::from_millis(334)), 1);
        assert_eq!(due(u64::MAX, Duration::MAX), u64::MAX);
        let times: Vec<_> = plan.left_over().collect();
        assert_eq!(times[0], Instant::from_start(second));
        assert_eq!(times[3], Instant::from_start(second * 2));
        assert_eq!(times.len(), 6);
    }

    #[tokio::test]
    async fn what_nobody_begins_is_left_over_and_a_plan_ends_for_all_who_wait() {
        let clock = SystemClock;
        let plan = Arc::new(Plan::new(1000, clock.now(), Duration::from_millis(20)));
        let pace = Pace::Open(Arc::clone(&plan));
        let (kept, first) = tokio::join!(plan.keep(&clock), pace.next(&clock));
        kept.unwrap();
        assert_eq!(first, Some(plan.begin));
        assert_eq!(pace.next(&clock).await, None);
        assert_eq!(plan.left_over().count(), 19);
    }

    #[tokio::test]
    async fn a_closed_loop_ends_at_the_end() {
        let clock = ManualClock::new();
        let pace = Pace::Closed { end: clock.now() + Duration::from_secs(1) };
        assert_eq!(pace.next(&clock).await, Some(clock.now()));
        clock.advance(Duration::from_secs(1));
        assert_eq!(pace.next(&clock).await, None);
    }

    #[tokio::test]
    async fn the_timer_waits_at_least_as_long_as_it_is_told_to_and_again() {
        let mut timer = Timer::new().unwrap();
        for micros in [300, 100, 1500] {
            let start = SystemClock.now();
            let time = Duration::from_micros(micros);
            timer.wait(time).await.unwrap();
            assert!(SystemClock.now().since(start) >= time);
        }
    }
}
