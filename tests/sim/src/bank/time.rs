//! The world's time as those see it who wait: sleeping, and waiting no longer than that.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// The time, and who wants to be woken when.
#[derive(Default)]
pub(super) struct Time(Mutex<Clock>);

#[derive(Default)]
struct Clock {
    now: Duration,
    sequence: u64,
    timers: BTreeMap<(Duration, u64), Waker>,
}

impl Time {
    fn clock(&self) -> MutexGuard<'_, Clock> {
        self.0.lock().expect("nobody panics while it holds the clock")
    }

    /// What time it is.
    pub(super) fn now(&self) -> Duration {
        self.clock().now
    }

    /// Moves on to `now`, and wakes whoever wanted to sleep until then.
    pub(super) fn pass_to(&self, now: Duration) {
        let mut clock = self.clock();
        clock.now = now;
        let later = clock.timers.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut clock.timers, later);
        drop(clock);
        due.into_values().for_each(Waker::wake);
    }

    /// Ready when so much time has passed.
    pub(super) fn sleep(self: &Arc<Self>, length: Duration) -> Sleep {
        self.sleep_until(self.now() + length)
    }

    /// Ready at a certain time.
    pub(super) fn sleep_until(self: &Arc<Self>, until: Duration) -> Sleep {
        Sleep { time: Arc::clone(self), until, is_set: false }
    }

    /// What comes of `future`, unless that takes longer than `limit`.
    pub(super) fn within<F: Future>(self: &Arc<Self>, limit: Duration, future: F) -> Within<F> {
        Within { future: Box::pin(future), end: self.sleep(limit) }
    }
}

/// See [`Time::sleep`].
pub(super) struct Sleep {
    time: Arc<Time>,
    until: Duration,
    is_set: bool,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let time = Arc::clone(&self.time);
        let mut clock = time.clock();
        if clock.now >= self.until {
            return Poll::Ready(());
        }
        // Whoever sleeps stays in one task, so the first waker is the right one.
        if !self.is_set {
            clock.sequence += 1;
            let place = (self.until, clock.sequence);
            clock.timers.insert(place, context.waker().clone());
            self.is_set = true;
        }
        Poll::Pending
    }
}

/// See [`Time::within`].
pub(super) struct Within<F> {
    future: Pin<Box<F>>,
    end: Sleep,
}

impl<F: Future> Future for Within<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(output) = self.future.as_mut().poll(context) {
            return Poll::Ready(Some(output));
        }
        Pin::new(&mut self.end).poll(context).map(|()| None)
    }
}
