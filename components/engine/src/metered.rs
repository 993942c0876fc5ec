//! An engine that measures how long writes take, around another one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use runtime::clock::{Clock, Instant};
use runtime::metrics::{Counter, Latency, Metrics, Unit};

use crate::{
    Cf, Durability, Engine, KeyRange, Layout, Result, Snapshot, SstWriter, Statistics, WriteBatch,
};

/// Measures what goes through it.
pub struct Metered {
    engine: Arc<dyn Engine>,
    clock: Arc<dyn Clock>,
    unsynced: Latency,
    synced: Latency,
    bytes: Counter,
}

impl Metered {
    /// Around `engine`, which is called `name`, a word of the program.
    pub fn new(
        engine: Arc<dyn Engine>,
        clock: Arc<dyn Clock>,
        metrics: &Metrics,
        name: &str,
    ) -> Self {
        let metrics = metrics.within("engine").within(name);
        let help = "How long writing a batch takes";
        let writes = metrics.latency_by("write", help, "durability");
        let bytes = metrics.counter("written", Unit::Bytes, "Bytes of batches written");
        let (unsynced, synced) = (writes.of("unsynced"), writes.of("synced"));
        Metered { engine, clock, unsynced, synced, bytes }
    }

    fn measured<T>(&self, durability: Durability, write: impl FnOnce() -> T) -> T {
        let before: Instant = self.clock.now();
        let outcome = write();
        let latency = match durability {
            Durability::Unsynced => &self.unsynced,
            Durability::Synced => &self.synced,
        };
        latency.observe(self.clock.now().since(before));
        outcome
    }
}

impl Engine for Metered {
    fn layout(&self) -> Layout {
        self.engine.layout()
    }

    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>> {
        self.engine.get(cf, key)
    }

    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        self.engine.snapshot()
    }

    fn write(&self, batch: &WriteBatch, durability: Durability) -> Result<()> {
        self.bytes.inc_by(batch.size_bytes() as u64);
        self.measured(durability, || self.engine.write(batch, durability))
    }

    fn sync(&self) -> Result<()> {
        self.measured(Durability::Synced, || self.engine.sync())
    }

    fn flush(&self) -> Result<()> {
        self.engine.flush()
    }

    fn sst_writer(&self, cf: Cf, path: &Path) -> Result<Box<dyn SstWriter>> {
        self.engine.sst_writer(cf, path)
    }

    fn ingest(&self, cf: Cf, files: &[PathBuf]) -> Result<()> {
        self.engine.ingest(cf, files)
    }

    fn checkpoint(&self, dir: &Path) -> Result<()> {
        self.engine.checkpoint(dir)
    }

    fn approximate_size(&self, cf: Cf, range: KeyRange<'_>) -> Result<u64> {
        self.engine.approximate_size(cf, range)
    }

    fn statistics(&self) -> Option<Statistics> {
        self.engine.statistics()
    }
}

#[cfg(test)]
mod tests {
    use runtime::clock::ManualClock;

    use super::*;
    use crate::Memory;

    #[test]
    fn what_is_written_is_there_and_counted() {
        let metrics = Metrics::new("tinykv");
        let clock = Arc::new(ManualClock::new());
        let memory: Arc<dyn Engine> = Arc::new(Memory::new(Layout::Kv));
        let engine = Metered::new(Arc::clone(&memory), clock, &metrics, "kv");
        let mut batch = WriteBatch::new();
        batch.put(Cf::Default, Bytes::from_static(b"k"), Bytes::from_static(b"v"));
        engine.write(&batch, Durability::Synced).expect("it is memory");
        let found = memory.get(Cf::Default, b"k").expect("it is memory");
        assert_eq!(found.as_deref(), Some(&b"v"[..]));
        let text = metrics.text();
        for line in [
            "tinykv_engine_kv_write_seconds_count{durability=\"synced\"} 1\n",
            "tinykv_engine_kv_write_seconds_count{durability=\"unsynced\"} 0\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert!(!text.contains("tinykv_engine_kv_written_bytes_total 0\n"), "{text}");
    }
}
