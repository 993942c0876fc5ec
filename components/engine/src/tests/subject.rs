//! The engines that the suites run on.

use std::path::Path;
use std::sync::Arc;

use crate::{Engine, Faults, Faulty, Layout, Memory};

/// One kind of engine.
pub(super) trait Subject {
    /// An engine in `dir`, empty unless the kind remembers what it held there.
    fn open(&self, dir: &Path, layout: Layout) -> Arc<dyn Engine>;

    /// The engine that a checkpoint became.
    fn open_checkpoint(&self, dir: &Path, layout: Layout) -> Arc<dyn Engine>;

    /// Whether an engine that is closed and opened again still holds everything.
    fn remembers(&self) -> bool;
}

pub(super) struct InMemory;

impl Subject for InMemory {
    fn open(&self, _dir: &Path, layout: Layout) -> Arc<dyn Engine> {
        Arc::new(Memory::new(layout))
    }

    fn open_checkpoint(&self, dir: &Path, layout: Layout) -> Arc<dyn Engine> {
        Arc::new(Memory::open_checkpoint(layout, dir).expect("the checkpoint is whole"))
    }

    fn remembers(&self) -> bool {
        false
    }
}

pub(super) struct WithoutFaults;

impl Subject for WithoutFaults {
    fn open(&self, _dir: &Path, layout: Layout) -> Arc<dyn Engine> {
        Arc::new(Faulty::new(layout, Faults::none()))
    }

    fn open_checkpoint(&self, dir: &Path, layout: Layout) -> Arc<dyn Engine> {
        InMemory.open_checkpoint(dir, layout)
    }

    fn remembers(&self) -> bool {
        false
    }
}

#[cfg(feature = "rocksdb")]
pub(super) struct OnRocks;

#[cfg(feature = "rocksdb")]
impl Subject for OnRocks {
    fn open(&self, dir: &Path, layout: Layout) -> Arc<dyn Engine> {
        use crate::{Config, OpenMode, Recovery, Rocks};
        let recovery = match layout {
            Layout::Kv => Recovery::PointInTime,
            Layout::Raft => Recovery::Strict,
        };
        let config = Config::default();
        let opened = Rocks::open(dir, layout, &config, OpenMode::CreateIfMissing, recovery);
        Arc::new(opened.expect("the directory is ours"))
    }

    fn open_checkpoint(&self, dir: &Path, layout: Layout) -> Arc<dyn Engine> {
        self.open(dir, layout)
    }

    fn remembers(&self) -> bool {
        true
    }
}
