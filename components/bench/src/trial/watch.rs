//! When the clients of a load are answered: how often, and what was the longest time in which none of them
//! was.
//!
//! ```text
//!   answers of all clients   | ||| || |                     || |||| |
//!                            begin     '---- the gap ------'        end
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use runtime::Rng;
use runtime::clock::{Clock, Instant};

use crate::system::{Done, Failure, Perform};
use crate::workload::Operation;

/// Watches clients from now on. Clones watch together.
#[derive(Clone)]
pub(super) struct Watch {
    clock: Arc<dyn Clock>,
    answers: Arc<Mutex<Answers>>,
}

impl Watch {
    /// For so long.
    pub(super) fn new(clock: &Arc<dyn Clock>, length: Duration) -> Self {
        let begin = clock.now();
        let answers = Answers::between(begin, begin + length);
        Watch { clock: Arc::clone(clock), answers: Arc::new(Mutex::new(answers)) }
    }

    /// These clients.
    pub(super) fn over<S>(&self, clients: Vec<S>) -> Vec<Watched<S>> {
        let watched = |session| Watched { session, watch: self.clone() };
        clients.into_iter().map(watched).collect()
    }

    /// How often they were answered so far.
    pub(super) fn count(&self) -> u64 {
        self.lock().count
    }

    /// The longest time in which none of them was, once it is over.
    pub(super) fn longest_gap(&self) -> Duration {
        self.lock().longest_gap()
    }

    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client that is watched.
pub(super) struct Watched<S> {
    session: S,
    watch: Watch,
}

impl<S: Perform> Perform for Watched<S> {
    async fn perform(&mut self, operation: Operation, rng: &mut Rng) -> Result<Done, Failure> {
        let done = self.session.perform(operation, rng).await;
        if done.is_ok() {
            let now = self.watch.clock.now();
            self.watch.lock().note(now);
        }
        done
    }
}

/// What is kept of answers.
#[derive(Clone, Debug)]
struct Answers {
    count: u64,
    last: Instant,
    longest: Duration,
    end: Instant,
}

impl Answers {
    fn between(begin: Instant, end: Instant) -> Self {
        Answers { count: 0, last: begin, longest: Duration::ZERO, end }
    }

    fn note(&mut self, now: Instant) {
        self.count += 1;
        self.wait_until(now);
    }

    /// Nobody asks any more after the end, so nothing can be missed there.
    fn wait_until(&mut self, now: Instant) {
        let now = now.min(self.end);
        self.longest = self.longest.max(now.since(self.last));
        self.last = self.last.max(now);
    }

    fn longest_gap(&mut self) -> Duration {
        self.wait_until(self.end);
        self.longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_is_found_also_at_either_end() {
        let at = |ms| Instant::from_start(Duration::from_millis(ms));
        let cases: [(&[u64], u64); 6] = [
            (&[1100, 1200, 2700, 2800, 3900], 1500),
            (&[1900, 2700, 3800], 1100),
            (&[1100, 1200], 2800),
            (&[2500, 3900], 1500),
            (&[], 3000),
            // After the end only late answers come.
            (&[2000, 3000, 3900, 6000, 9000], 1000),
        ];
        for (times, expected) in cases {
            let mut answers = Answers::between(at(1000), at(4000));
            for time in times {
                answers.note(at(*time));
            }
            assert_eq!(answers.longest_gap(), Duration::from_millis(expected), "{times:?}");
            assert_eq!(answers.count, times.len() as u64);
        }
    }
}
