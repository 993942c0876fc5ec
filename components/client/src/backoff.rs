//! Waiting before the next attempt: longer each time, never the same for two clients.
//!
//! A store that restarts is asked by all its clients at once, and then by all of them again after the
//! same pause, and again. So a pause is drawn between its half and its whole: the clients of one crash
//! spread out. Pauses grow from attempt to attempt up to a bound, and each reason has a count of its
//! own: having waited long for a lock says nothing about how long an election takes.

use std::time::Duration;

use runtime::Rng;

/// Why somebody waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The leader moved, and we were told where to.
    Moved,
    /// The region has no leader, another shape, or no time for us.
    Region,
    /// The store does not answer.
    Store,
    /// The scheduler does not answer, or does not know the region yet.
    Scheduler,
    /// A living transaction holds a key.
    Lock,
}

/// The first pause of a reason, and the longest, in milliseconds.
const fn bounds(reason: Reason) -> (u64, u64) {
    match reason {
        Reason::Moved => (1, 10),
        Reason::Region => (2, 500),
        Reason::Store => (20, 2_000),
        Reason::Scheduler => (20, 1_000),
        Reason::Lock => (10, 1_000),
    }
}

/// How many reasons there are.
const REASONS: usize = 5;

/// The pauses of one operation.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    counts: [u32; REASONS],
    rng: Rng,
}

impl Backoff {
    /// No pause was made yet.
    pub(crate) fn new(rng: Rng) -> Self {
        Backoff { counts: [0; REASONS], rng }
    }

    /// How long to wait this time.
    pub(crate) fn pause(&mut self, reason: Reason) -> Duration {
        let (first, longest) = bounds(reason);
        let count = &mut self.counts[reason as usize];
        let whole = first.saturating_mul(1 << (*count).min(20)).min(longest);
        *count += 1;
        // In microseconds, so that the shortest pauses differ, too.
        let (half, whole) = (whole * 500, whole * 1000);
        Duration::from_micros(self.rng.range(half..whole + 1))
    }

    /// A region has answered, so the next one is not waited for as if it were the same that failed before.
    /// Who waits for a lock has answers all the time.
    pub(crate) fn answered(&mut self) {
        let lock = self.counts[Reason::Lock as usize];
        self.reset();
        self.counts[Reason::Lock as usize] = lock;
    }

    /// What went wrong is over; if it comes back, pauses start small again.
    pub(crate) fn reset(&mut self) {
        self.counts = [0; REASONS];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Reason; REASONS] =
        [Reason::Moved, Reason::Region, Reason::Store, Reason::Scheduler, Reason::Lock];

    #[test]
    fn pauses_double_up_to_their_bound_and_keep_between_half_and_whole() {
        for reason in ALL {
            let (first, longest) = bounds(reason);
            let mut backoff = Backoff::new(Rng::new(1));
            for round in 0..40 {
                let whole = Duration::from_millis((first << round.min(20)).min(longest));
                let pause = backoff.pause(reason);
                assert!(whole / 2 <= pause && pause <= whole, "{reason:?} {round}: {pause:?}");
            }
            backoff.reset();
            assert!(backoff.pause(reason) <= Duration::from_millis(first));
        }
    }

    #[test]
    fn an_answer_ends_all_waiting_but_that_for_a_lock() {
        let mut backoff = Backoff::new(Rng::new(1));
        for reason in ALL {
            (0..12).for_each(|_| assert!(!backoff.pause(reason).is_zero()));
        }
        backoff.answered();
        for reason in ALL {
            let (_, longest) = bounds(reason);
            let is_long = backoff.pause(reason) >= Duration::from_millis(longest / 2);
            assert_eq!(is_long, reason == Reason::Lock, "{reason:?}");
        }
    }

    #[test]
    fn reasons_count_for_themselves_and_clients_differ() {
        let mut backoff = Backoff::new(Rng::new(1));
        (0..10).for_each(|_| assert!(!backoff.pause(Reason::Region).is_zero()));
        assert!(backoff.pause(Reason::Moved) <= Duration::from_millis(1));
        let first = |seed| Backoff::new(Rng::new(seed)).pause(Reason::Store);
        assert!((2..10).any(|seed| first(seed) != first(1)));
    }
}
