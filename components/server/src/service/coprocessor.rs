//! The coprocessor's call: plans and statistics, computed beside the other calls.
//!
//! A plan may look at a million rows, and a call that took that long would hold up all the others on its
//! thread. So plans have threads of their own, and as many run at a time as there are cores. Some more
//! wait; a client that comes then is told to try again a little later. Whoever goes away is not computed
//! for any longer, which a plan notices when it is done with a few hundred rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use coprocessor::{Interrupt, Options, answer};
use proto::coprocessor::{Request, Response};
use runtime::clock::{Clock, SystemClock};
use storage::RegionError;
use tokio::sync::Semaphore;
use tonic::Status;

use super::{Service, context};
use crate::respond::{computed, not_computed, not_finished};

/// How many plans may wait for others to end; more are refused as busy.
const WAITING_MAX: usize = 256;

/// How long a plan may run. TinySQL does not wait longer.
const RUNNING_MAX: Duration = Duration::from_mins(1);

/// Who computes, and who waits for it.
#[derive(Clone)]
pub(super) struct Computing {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Computing {
    pub(super) fn new() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        let waiting = Arc::new(Semaphore::new(WAITING_MAX));
        Computing { running: Arc::new(Semaphore::new(cores)), waiting }
    }
}

/// Tells a plan that nobody waits for it: the future of a call that is not needed is dropped.
struct GoneWhenDropped(Arc<AtomicBool>);

impl Drop for GoneWhenDropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Service {
    pub(super) async fn coprocessor(&self, mut request: Request) -> Result<Response, Status> {
        let context = context(request.context.take());
        let Ok(place) = self.computing.waiting.try_acquire() else {
            return not_computed(&RegionError::Busy("too many plans wait").into());
        };
        let running = Arc::clone(&self.computing.running).acquire_owned().await;
        let running = running.expect("nobody closes it");
        drop(place);
        let reader = match self.kv.reader(&context, request.start_ts).await {
            Ok(reader) => reader,
            Err(error) => return not_computed(&self.seen(error)),
        };
        let gone = Arc::new(AtomicBool::new(false));
        let _guard = GoneWhenDropped(Arc::clone(&gone));
        let deadline = SystemClock.now() + RUNNING_MAX;
        let patience = move || {
            if gone.load(Ordering::Relaxed) {
                Some(Interrupt::Cancelled)
            } else {
                (SystemClock.now() > deadline).then_some(Interrupt::Deadline)
            }
        };
        let work = tokio::task::spawn_blocking(move || {
            // Whoever comes next has to wait for the end of this, whether or not anybody else does.
            let _running = running;
            answer(&*reader, &request, &Options::default(), &patience)
        });
        match work.await {
            Ok(Ok(answer)) => Ok(computed(answer)),
            Ok(Err(error)) => not_computed(&self.seen(error)),
            Err(panicked) => Err(not_finished(&panicked)),
        }
    }
}
