//! The bounded queue before the thread that writes.
//!
//! When more is logged than can be written, records are lost and not the time of those who log.
//! How many were lost is told by a line of its own, as soon as there is room for it.

use std::sync::atomic::{AtomicU64, Ordering};

use slog::{BorrowedKV, Drain, Level, Never, OwnedKVList, Record};
use slog_async::{AsyncCore, AsyncError, AsyncGuard};

pub(super) struct Queue {
    queue: AsyncCore,
    /// Records that were lost and not yet told of.
    dropped: AtomicU64,
}

impl Queue {
    /// Starts the thread of `writer`; its end is that of the guard, which waits for the rest.
    pub(super) fn open(
        capacity: usize,
        writer: impl Drain<Ok = (), Err = Never> + Send + 'static,
    ) -> (Queue, AsyncGuard) {
        let builder = AsyncCore::custom(writer).chan_size(capacity.max(1));
        let (queue, guard) = builder.thread_name("log".to_owned()).build_with_guard();
        (Queue { queue, dropped: AtomicU64::new(0) }, guard)
    }

    /// Tells how many records were lost, if any were and there is room to say so.
    pub(super) fn report(&self) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let message = format_args!("records dropped, the log is slower than the process");
            let values = slog::kv!("count" => dropped);
            let record = slog::record!(Level::Warning, "", &message, BorrowedKV(&values));
            self.push(&record, &slog::o!().into(), dropped);
        }
    }

    /// Queues a record; when there is no room, `lost` more records are.
    fn push(&self, record: &Record<'_>, context: &OwnedKVList, lost: u64) {
        match self.queue.log(record, context) {
            // A fatal error means that the thread has ended: the log is closed.
            Ok(()) | Err(AsyncError::Fatal(_)) => {}
            Err(AsyncError::Full) => {
                self.dropped.fetch_add(lost, Ordering::Relaxed);
            }
        }
    }
}

impl Drain for Queue {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, context: &OwnedKVList) -> Result<(), Never> {
        self.report();
        self.push(record, context, 1);
        Ok(())
    }
}
