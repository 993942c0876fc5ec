//! One engine, no replication, no regions.
//!
//! The request's context is not looked at: there is one region, everywhere, and nobody else. A write
//! is acknowledged either when the engine has it, which a crash of the process survives and a power
//! cut may not; or when it is durable. The latter goes through a [`GroupWriter`], which syncs once for
//! all the writes that came in while the last sync ran, and so neither a thread of the server waits
//! for the disk nor the disk for a thread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use engine::{Cf, Cursor, Durability, Engine, KeyRange, Layout, Snapshot, WriteBatch};
use proto::kvrpcpb::Context;
use runtime::reply::{Abandoned, Reply};
use runtime::worker::{Runner, Tasks};

use crate::error::{Error, RegionError, Result};
use crate::storage::{Changes, Pending, Reader, Stamp, Storage};

/// Where the safe point is kept: in the store's own family, which no client can name. The first byte
/// is that of all local keys.
const SAFE_POINT_KEY: &[u8] = b"\x01gc-safe-point";

/// How many bytes of writes wait for one sync; more are written in a turn of their own.
const GROUP_BYTES_MAX: usize = 8 << 20;

/// A storage on a single engine.
pub struct Standalone {
    engine: Arc<dyn Engine>,
    writer: Option<Tasks<WriteTask>>,
    safe_point: AtomicU64,
    /// Held while the safe point is raised, so that a lower one is never written over a higher.
    raising: Mutex<()>,
}

impl Standalone {
    /// A storage whose writes are not synced one by one.
    pub fn unsynced(engine: Arc<dyn Engine>) -> Result<Self> {
        Self::open(engine, None)
    }

    /// A storage whose writes are durable when they are acknowledged. `writer` is the queue of a
    /// [`GroupWriter`] on the same engine; what does not fit into it is refused as busy.
    pub fn synced(engine: Arc<dyn Engine>, writer: Tasks<WriteTask>) -> Result<Self> {
        Self::open(engine, Some(writer))
    }

    /// An empty storage that forgets everything when it is dropped.
    pub fn in_memory() -> Self {
        Self::unsynced(Arc::new(engine::Memory::new(Layout::Kv))).expect("nothing is on this disk")
    }

    fn open(engine: Arc<dyn Engine>, writer: Option<Tasks<WriteTask>>) -> Result<Self> {
        let safe_point = match engine.get(Cf::Local, SAFE_POINT_KEY)? {
            None => 0,
            Some(record) => match <[u8; 8]>::try_from(record.as_ref()) {
                Ok(bytes) => u64::from_be_bytes(bytes),
                Err(_) => return Err(Error::corrupt("safe point", "it does not have eight bytes")),
            },
        };
        let safe_point = AtomicU64::new(safe_point);
        Ok(Standalone { engine, writer, safe_point, raising: Mutex::new(()) })
    }

    fn raise(&self, safe_point: u64) -> Result<u64> {
        let raising = self.raising.lock().expect("no thread panics while it raises the safe point");
        if safe_point > self.safe_point() {
            let mut batch = WriteBatch::new();
            batch.put(Cf::Local, SAFE_POINT_KEY, safe_point.to_be_bytes().to_vec());
            self.engine.write(&batch, Durability::Synced)?;
            self.safe_point.store(safe_point, Ordering::SeqCst);
        }
        drop(raising);
        Ok(self.safe_point())
    }

    fn enqueue(writer: &Tasks<WriteTask>, changes: Changes) -> Pending<'static, ()> {
        let (reply, answer) = Reply::new();
        match writer.try_send(WriteTask { changes, reply }) {
            Ok(()) => Box::pin(async { answer.await.0 }),
            Err(refused) => {
                let error = if refused.is_full() {
                    RegionError::Busy("too many writes wait for the disk").into()
                } else {
                    poisoned("its writer has ended")
                };
                // The reply in the refused task is of no use to anybody; this is the answer.
                drop(refused);
                Box::pin(std::future::ready(Err(error)))
            }
        }
    }
}

impl Storage for Standalone {
    fn snapshot<'a>(&'a self, _context: &'a Context) -> Pending<'a, Arc<dyn Reader>> {
        let snapshot = self.engine.snapshot().map_err(Error::from);
        let reader = snapshot.map(|snapshot| Arc::new(EngineReader(snapshot)) as Arc<dyn Reader>);
        Box::pin(std::future::ready(reader))
    }

    fn write<'a>(&'a self, _context: &'a Context, changes: Changes) -> Pending<'a, ()> {
        changes.assert_sound();
        if let Some(writer) = &self.writer {
            return Self::enqueue(writer, changes);
        }
        let written = self.engine.write(&changes.batch, Durability::Unsynced);
        Box::pin(std::future::ready(written.map_err(Error::from)))
    }

    fn raw_families(&self) -> &'static [Cf] {
        &Cf::DATA
    }

    fn safe_point(&self) -> u64 {
        self.safe_point.load(Ordering::SeqCst)
    }

    fn raise_safe_point(&self, safe_point: u64) -> Pending<'_, u64> {
        Box::pin(std::future::ready(self.raise(safe_point)))
    }
}

/// An engine's snapshot, seen by commands.
struct EngineReader(Arc<dyn Snapshot>);

impl Reader for EngineReader {
    fn stamp(&self) -> Stamp {
        Stamp::NONE
    }

    fn check(&self, _region_key: &[u8]) -> Result<()> {
        Ok(())
    }

    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.0.get(cf, key)?)
    }

    fn cursor<'a>(&'a self, cf: Cf, range: KeyRange<'_>) -> Result<Box<dyn Cursor + 'a>> {
        Ok(self.0.cursor(cf, range)?)
    }
}

/// One write on its way to the disk.
#[derive(Debug)]
pub struct WriteTask {
    changes: Changes,
    reply: Reply<Written>,
}

/// What became of a write.
#[derive(Debug)]
pub struct Written(Result<()>);

impl Abandoned for Written {
    fn abandoned() -> Self {
        Written(Err(RegionError::StaleCommand.into()))
    }
}

/// Writes what is queued, one sync for all of it.
pub struct GroupWriter {
    engine: Arc<dyn Engine>,
    batch: WriteBatch,
    /// Who waits for the batch, and holds latches until it is written.
    waiting: Vec<(Reply<Written>, Option<crate::txn::LatchGuard>)>,
}

impl GroupWriter {
    /// A writer without work.
    pub fn new(engine: Arc<dyn Engine>) -> Self {
        GroupWriter { engine, batch: WriteBatch::new(), waiting: Vec::new() }
    }
}

impl Runner for GroupWriter {
    type Task = WriteTask;

    fn run(&mut self, task: WriteTask) {
        let WriteTask { changes, reply } = task;
        self.batch.append(changes.batch);
        self.waiting.push((reply, changes.latches));
        if self.batch.size_bytes() > GROUP_BYTES_MAX {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let written = self.engine.write(&self.batch, Durability::Synced);
        self.batch.clear();
        // The engine's error cannot be given to several, but its text can.
        let failure = written.err().map(|error| error.to_string());
        for (reply, latches) in self.waiting.drain(..) {
            drop(latches);
            reply.answer(Written(failure.as_deref().map_or(Ok(()), |text| Err(poisoned(text)))));
        }
    }
}

fn poisoned(reason: &str) -> Error {
    Error::Engine(engine::Error::Poisoned { reason: reason.to_owned() })
}
