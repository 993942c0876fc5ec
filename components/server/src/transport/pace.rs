//! How fast snapshots leave, all of them together.
//!
//! A snapshot is as large as a region, and the disk that it is read from and the wire that it travels on
//! are those of the clients' calls. So its chunks wait for their turn: each takes as much time as its
//! bytes are worth, and the next one, of whichever snapshot, begins where that ends.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use runtime::clock::{Clock, Instant, SystemClock};
use runtime::units::Bytes;

/// So many bytes each second.
pub(crate) struct Pace {
    bytes_per_second: f64,
    /// When everything that was let go is paid for.
    paid: Mutex<Instant>,
}

impl Pace {
    /// A pace of so many bytes each second.
    #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 bytes a second nothing waits")]
    pub(crate) fn new(bytes_per_second: Bytes) -> Self {
        let bytes_per_second = bytes_per_second.get().max(1) as f64;
        Pace { bytes_per_second, paid: Mutex::default() }
    }

    /// Waits until so many bytes may go.
    pub(crate) async fn wait(&self, bytes: usize) {
        let wait = self.pay(bytes, SystemClock.now());
        if wait > Duration::ZERO {
            tokio::time::sleep(wait).await;
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "chunks are small")]
    fn pay(&self, bytes: usize, now: Instant) -> Duration {
        let worth = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second);
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = (*paid).max(now);
        *paid = begins + worth;
        begins.since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_of_all_snapshots_share_one_pace_and_a_pause_is_not_saved_up() {
        let pace = Pace::new(Bytes::mib(1));
        let at = |seconds| Instant::from_start(Duration::from_secs(seconds));
        let half = Duration::from_millis(500);
        assert_eq!(pace.pay(512 << 10, at(10)), Duration::ZERO);
        assert_eq!(pace.pay(512 << 10, at(10)), half);
        assert_eq!(pace.pay(512 << 10, at(10)), 2 * half);
        assert_eq!(pace.pay(1 << 20, at(20)), Duration::ZERO, "what was owed is long paid");
        assert_eq!(pace.pay(1, at(20)), 2 * half);
    }
}
