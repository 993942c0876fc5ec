//! The safe point of a store: remembered on its disk, and never falling.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use engine::{Cf, Durability, Engine, WriteBatch};

use crate::error::{Error, Result};

/// Where it is kept: in the store's own family, which no client can name. The first byte is that of all
/// local keys.
const KEY: &[u8] = b"\x01gc-safe-point";

/// A timestamp below which nothing is promised.
pub(crate) struct SafePoint {
    engine: Arc<dyn Engine>,
    now: AtomicU64,
    /// Held while it is raised, so that a lower one is never written over a higher.
    raising: Mutex<()>,
}

impl SafePoint {
    /// The one that the disk remembers; zero if it does not.
    pub(crate) fn load(engine: Arc<dyn Engine>) -> Result<Self> {
        let now = match engine.get(Cf::Local, KEY)? {
            None => 0,
            Some(record) => match <[u8; 8]>::try_from(record.as_ref()) {
                Ok(bytes) => u64::from_be_bytes(bytes),
                Err(_) => return Err(Error::corrupt("safe point", "it does not have eight bytes")),
            },
        };
        Ok(SafePoint { engine, now: AtomicU64::new(now), raising: Mutex::new(()) })
    }

    pub(crate) fn get(&self) -> u64 {
        self.now.load(Ordering::SeqCst)
    }

    /// Raises it, unless it is as high already, and answers what it is now.
    pub(crate) fn raise(&self, safe_point: u64) -> Result<u64> {
        let raising = self.raising.lock().expect("no thread panics while it raises the safe point");
        if safe_point > self.get() {
            let mut batch = WriteBatch::new();
            batch.put(Cf::Local, KEY, safe_point.to_be_bytes().to_vec());
            let written = self.engine.write(&batch, Durability::Synced);
            // An engine that failed to write takes no further calls, which is what matters here.
            written.map_err(|error| Error::stopped(&error.to_string()))?;
            self.now.store(safe_point, Ordering::SeqCst);
        }
        drop(raising);
        Ok(self.get())
    }
}
