//! One engine, no replication, no regions.
//!
//! The request's context is not looked at: there is one region, everywhere, and nobody else. A write
//! is acknowledged either when the engine has it, which a crash of the process survives and a power
//! cut may not; or when it is durable. The latter goes through a [`GroupWriter`], which syncs once for
//! all the writes that came in while the last sync ran, and so neither a thread of the server waits
//! for the disk nor the disk for a thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use engine::{Cf, Cursor, Durability, Engine, KeyRange, Layout, Snapshot, WriteBatch};
use proto::kvrpcpb::Context;
use runtime::reply::{Abandoned, Reply};
use runtime::worker::{Runner, Tasks};

use crate::error::{Error, RegionError, Result};
use crate::safe_point::SafePoint;
use crate::storage::{Changes, Pending, Reader, Stamp, Storage};

/// How many bytes of writes wait for one sync; more are written in a turn of their own.
const GROUP_BYTES_MAX: usize = 8 << 20;

/// How many bytes of writes may wait for the disk, whatever their number; more are refused as busy.
const WAITING_BYTES_MAX: usize = 128 << 20;

/// A storage on a single engine.
pub struct Standalone {
    engine: Arc<dyn Engine>,
    writer: Option<Tasks<WriteTask>>,
    /// The bytes of the writes that wait for the disk.
    waiting_bytes: Arc<AtomicUsize>,
    safe_point: SafePoint,
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
        let safe_point = SafePoint::load(Arc::clone(&engine))?;
        Ok(Standalone { engine, writer, waiting_bytes: Arc::default(), safe_point })
    }

    fn enqueue(&self, writer: &Tasks<WriteTask>, changes: Changes) -> Pending<'static, ()> {
        let bytes = changes.batch.size_bytes();
        if bytes > WAITING_BYTES_MAX {
            // It would not find room later either.
            let reason = format!("{bytes} bytes are too many for one write");
            return Box::pin(std::future::ready(Err(Error::invalid(reason))));
        }
        let Some(room) = Room::take(&self.waiting_bytes, bytes) else {
            runtime::mark!("too many bytes wait for the disk");
            let busy = RegionError::Busy("too many bytes wait for the disk").into();
            return Box::pin(std::future::ready(Err(busy)));
        };
        let (reply, answer) = Reply::new();
        match writer.try_send(WriteTask { changes, reply, room }) {
            Ok(()) => Box::pin(async { answer.await.0 }),
            Err(refused) => {
                let error = if refused.is_full() {
                    RegionError::Busy("too many writes wait for the disk").into()
                } else {
                    Error::stopped("its writer has ended")
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
            return self.enqueue(writer, changes);
        }
        let written = self.engine.write(&changes.batch, Durability::Unsynced);
        // An engine that failed to write takes no further calls, which is what matters here.
        let written = written.map_err(|error| Error::stopped(&error.to_string()));
        Box::pin(std::future::ready(written))
    }

    fn raw_families(&self) -> &'static [Cf] {
        &Cf::DATA
    }

    fn safe_point(&self) -> u64 {
        self.safe_point.get()
    }

    fn raise_safe_point(&self, safe_point: u64) -> Pending<'_, u64> {
        Box::pin(std::future::ready(self.safe_point.raise(safe_point)))
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

    fn get_many(&self, cf: Cf, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>> {
        Ok(self.0.get_many(cf, keys)?)
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
    room: Room,
}

/// A share of the bytes that may wait, given back when it is dropped.
#[derive(Debug)]
struct Room {
    taken: Arc<AtomicUsize>,
    bytes: usize,
}

impl Room {
    /// Takes a share, if there is so much left.
    fn take(taken: &Arc<AtomicUsize>, bytes: usize) -> Option<Room> {
        let before = taken.fetch_add(bytes, Ordering::SeqCst);
        // Given back at once where it was too much.
        let room = Room { taken: Arc::clone(taken), bytes };
        (before + bytes <= WAITING_BYTES_MAX).then_some(room)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.bytes, Ordering::SeqCst);
    }
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
    /// Who waits for the batch, and holds latches and room until it is written.
    waiting: Vec<(Reply<Written>, Option<crate::txn::LatchGuard>, Room)>,
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
        let WriteTask { changes, reply, room } = task;
        self.batch.append(changes.batch);
        self.waiting.push((reply, changes.latches, room));
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
        for (reply, latches, room) in self.waiting.drain(..) {
            drop((latches, room));
            reply.answer(Written(
                failure.as_deref().map_or(Ok(()), |text| Err(Error::stopped(text))),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use runtime::worker::Inline;

    use super::*;

    fn put(bytes: usize) -> Changes {
        let mut batch = WriteBatch::new();
        batch.put(Cf::Default, &b"key"[..], vec![0; bytes]);
        Changes::blind(batch)
    }

    /// The answer to a write, if it does not have to wait.
    fn answer<T>(mut write: Pending<'_, T>) -> Option<Result<T>> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match write.as_mut().poll(&mut context) {
            std::task::Poll::Ready(answer) => Some(answer),
            std::task::Poll::Pending => None,
        }
    }

    #[test]
    fn writes_that_wait_are_limited_by_their_bytes() {
        let engine: Arc<dyn Engine> = Arc::new(engine::Memory::new(Layout::Kv));
        let (tasks, mut writer) = Inline::new(100, GroupWriter::new(Arc::clone(&engine)));
        let storage = Standalone::synced(engine, tasks).unwrap();
        let context = Context::default();
        let half = || put(WAITING_BYTES_MAX / 2 - 100);
        assert!(answer(storage.write(&context, half())).is_none(), "it waits");
        assert!(answer(storage.write(&context, half())).is_none(), "it waits");
        let refused = answer(storage.write(&context, put(1000))).unwrap().unwrap_err();
        assert!(refused.to_string().contains("busy"), "{refused}");
        assert_eq!(runtime::mark::hits("too many bytes wait for the disk"), 1);
        writer.run_all();
        assert!(answer(storage.write(&context, half())).is_none(), "there is room again");
        let never = answer(storage.write(&context, put(WAITING_BYTES_MAX))).unwrap().unwrap_err();
        assert!(matches!(never, Error::Invalid(_)), "{never}");
    }

    #[test]
    fn a_failed_raise_of_the_safe_point_ends_the_engine_like_any_failed_write() {
        let faults = engine::Faults::none();
        let engine = Arc::new(engine::Faulty::new(Layout::Kv, Arc::clone(&faults)));
        let storage = Standalone::unsynced(engine).unwrap();
        faults.fail_sync_after(0);
        let error = answer(storage.raise_safe_point(7)).unwrap().unwrap_err();
        assert!(matches!(&error, Error::Engine(error) if error.is_poisoned()), "{error}");
        assert_eq!(storage.safe_point(), 0);
    }
}
