//! A storage whose thread is now and then not scheduled: between the snapshot that a command decides
//! over and the write that it decides on, anything may happen to the region.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::Cf;
use proto::kvrpcpb::Context;
use runtime::Rng;
use storage::{Changes, Pending, Reader, Replicated, Storage};

use super::time::{Sleep, Time};
use crate::store::settings::draw;

/// Of a hundred calls, how many take a long while.
const STALLS: u64 = 8;

/// The storage of one life of a store.
pub(super) struct Slow {
    pub(super) inner: Replicated,
    pub(super) time: Arc<Time>,
    pub(super) rng: Mutex<Rng>,
    /// How long a stall is at most.
    pub(super) most: Duration,
}

impl Slow {
    fn stall(&self) -> Sleep {
        let mut rng = self.rng.lock().expect("nobody panics while it draws");
        let is_stalled = rng.chance(STALLS, 100);
        let most = if is_stalled { self.most } else { Duration::ZERO };
        self.time.sleep(draw(&mut rng, &(Duration::ZERO..most)))
    }
}

impl Storage for Slow {
    fn snapshot<'a>(&'a self, context: &'a Context) -> Pending<'a, Arc<dyn Reader>> {
        Box::pin(async move {
            let reader = self.inner.snapshot(context).await?;
            self.stall().await;
            Ok(reader)
        })
    }

    fn write<'a>(&'a self, context: &'a Context, changes: Changes) -> Pending<'a, ()> {
        self.inner.write(context, changes)
    }

    fn raw_families(&self) -> &'static [Cf] {
        self.inner.raw_families()
    }

    fn safe_point(&self) -> u64 {
        self.inner.safe_point()
    }

    fn raise_safe_point(&self, safe_point: u64) -> Pending<'_, u64> {
        self.inner.raise_safe_point(safe_point)
    }
}
