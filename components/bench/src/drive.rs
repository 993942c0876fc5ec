//! Clients at work: many of them, all in one thread, so that the load takes one core at most.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use runtime::Rng;
use runtime::clock::{Clock, Instant};
use tokio::task::JoinSet;

use crate::pace::{Pace, Plan};
use crate::record::{Measured, Recorder, SLICE, Slice};
use crate::system::Perform;
use crate::workload::Generator;

/// How a run is made.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// Operations per second; none is as many as can be.
    pub(crate) rate: Option<u64>,
    pub(crate) warm_up: Duration,
    pub(crate) length: Duration,
    pub(crate) seed: u64,
}

/// Why a run came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DriveError {
    /// What was read is not what was written.
    #[error("{0}")]
    Wrong(String),
    /// The system refused something.
    #[error(transparent)]
    System(#[from] std::io::Error),
}

type Shared = Arc<Mutex<Recorder>>;

fn lock(recorder: &Shared) -> MutexGuard<'_, Recorder> {
    recorder.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a load. The clients are `sessions`; `title` is for the line that shows how it goes.
pub(crate) async fn run<S: Perform>(
    sessions: Vec<S>,
    generator: Arc<Generator>,
    shape: &Shape,
    clock: Arc<dyn Clock>,
    title: &str,
) -> Result<Measured, DriveError> {
    let begin = clock.now();
    let measured_from = begin + shape.warm_up;
    let end = measured_from + shape.length;
    let recorder = Arc::new(Mutex::new(Recorder::new(measured_from, end)));
    let plan =
        shape.rate.map(|rate| Arc::new(Plan::new(rate, begin, shape.warm_up + shape.length)));
    let pace = match &plan {
        Some(plan) => Pace::Open(Arc::clone(plan)),
        None => Pace::Closed { end },
    };
    let seed = Rng::new(shape.seed);
    let mut clients = JoinSet::new();
    for (number, session) in sessions.into_iter().enumerate() {
        let client = Client {
            session,
            generator: Arc::clone(&generator),
            pace: pace.clone(),
            clock: Arc::clone(&clock),
            recorder: Arc::clone(&recorder),
        };
        clients.spawn(client.work(seed.fork(&number.to_string())));
    }
    let all = async {
        while let Some(ended) = clients.join_next().await {
            ended.expect("a client does not panic");
        }
    };
    let keep = async {
        match &plan {
            Some(plan) => plan.keep(clock.as_ref()).await,
            None => Ok(()),
        }
    };
    let work = async { tokio::join!(keep, all).0 };
    tokio::select! {
        kept = work => kept?,
        () = show(&recorder, clock.as_ref(), measured_from, title) => {}
    }
    wipe();
    let mut recorder = lock(&recorder);
    if let Some(plan) = plan {
        recorder.leave_over(plan.left_over());
    }
    match recorder.wrong() {
        Some(what) => Err(DriveError::Wrong(what.to_owned())),
        None => Ok(recorder.finish()),
    }
}

/// One client.
struct Client<S> {
    session: S,
    generator: Arc<Generator>,
    pace: Pace,
    clock: Arc<dyn Clock>,
    recorder: Shared,
}

impl<S: Perform> Client<S> {
    async fn work(mut self, mut rng: Rng) {
        while let Some(due) = self.pace.next(self.clock.as_ref()).await {
            let (kind, operation) = self.generator.next(&mut rng);
            let ended = self.session.perform(operation, &mut rng).await;
            let mut recorder = lock(&self.recorder);
            recorder.record(kind, due, self.clock.now(), ended);
            if recorder.wrong().is_some() {
                return;
            }
        }
    }
}

/// Shows every second how it goes, where somebody watches. Never ends.
async fn show(recorder: &Shared, clock: &dyn Clock, begin: Instant, title: &str) {
    loop {
        tokio::time::sleep(SLICE).await;
        let (now, watched) = (clock.now(), std::io::stderr().is_terminal());
        let slice = lock(recorder).latest(now).filter(|_| watched);
        if let Some(slice) = slice {
            tell(&progress(title, now.since(begin), slice));
        }
    }
}

fn progress(title: &str, elapsed: Duration, slice: Slice) -> String {
    format!(
        "{title} {:>3} s  {:>8}/s  p50 {:>8.2} ms  p99 {:>8.2} ms",
        elapsed.as_secs(),
        slice.done,
        slice.p50_us / 1e3,
        slice.p99_us / 1e3,
    )
}

/// Over the line before, and no further.
fn tell(line: &str) {
    let mut terminal = std::io::stderr().lock();
    // Who cannot be told how it goes is told at the end what came of it.
    let _ = write!(terminal, "\r{line}\x1b[K");
    let _ = terminal.flush();
}

fn wipe() {
    if std::io::stderr().is_terminal() {
        tell("");
    }
}

#[cfg(test)]
mod tests {
    use runtime::clock::SystemClock;

    use super::*;
    use crate::system::{Done, Failure};
    use crate::workload::{Operation, Workload};

    const STALL: Duration = Duration::from_millis(300);

    /// Answers at once, but for the first time, when it stalls.
    struct Stalling(bool);

    impl Perform for Stalling {
        async fn perform(&mut self, _: Operation, _: &mut Rng) -> Result<Done, Failure> {
            if !std::mem::replace(&mut self.0, true) {
                tokio::time::sleep(STALL).await;
            }
            tokio::task::yield_now().await;
            Ok(Done::rows(0))
        }
    }

    /// Never answers what was asked for.
    struct Lying;

    impl Perform for Lying {
        async fn perform(&mut self, _: Operation, _: &mut Rng) -> Result<Done, Failure> {
            Err(Failure::Wrong("key 1".to_owned()))
        }
    }

    fn shape(rate: Option<u64>) -> Shape {
        let (warm_up, length) = (Duration::ZERO, Duration::from_millis(400));
        Shape { rate, warm_up, length, seed: 1 }
    }

    fn generator() -> Arc<Generator> {
        Arc::new(Generator::new(Workload::Put, None, 10, 10))
    }

    async fn load<S: Perform>(session: S, rate: Option<u64>) -> Result<Measured, DriveError> {
        run(vec![session], generator(), &shape(rate), Arc::new(SystemClock), "test").await
    }

    #[tokio::test]
    async fn an_open_loop_counts_all_who_wait_and_a_closed_one_only_the_first() {
        let open = load(Stalling(false), Some(1000)).await.unwrap();
        let planned = open.latency.count;
        assert_eq!(planned, 400, "all that was due is counted, begun or not");
        assert!(open.latency.p50_us > 50_000.0, "most waited for long: {:?}", open.latency);
        let closed = load(Stalling(false), None).await.unwrap();
        assert!(closed.latency.max_us >= 300_000.0, "{:?}", closed.latency);
        assert!(closed.latency.p50_us < 50_000.0, "only one waited: {:?}", closed.latency);
    }

    #[tokio::test]
    async fn a_wrong_answer_ends_the_run() {
        let error = load(Lying, None).await.unwrap_err();
        assert_eq!(error.to_string(), "a wrong answer: key 1");
    }

    #[test]
    fn the_line_of_progress_has_a_fixed_place_for_everything() {
        let slice = Slice { done: 12_345, p50_us: 1234.5, p99_us: 99_000.0 };
        assert_eq!(
            progress("put tinykv 1/3", Duration::from_millis(4200), slice),
            "put tinykv 1/3   4 s     12345/s  p50     1.23 ms  p99    99.00 ms"
        );
    }
}
