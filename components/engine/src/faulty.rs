//! An engine whose disk behaves as badly as disks do.
//!
//! What a [`Memory`] engine shows is what the running process sees. Beside it this engine keeps what
//! the *disk* holds, and the writes in between that were not synced yet:
//!
//! ```text
//! durable:  a b c        pending:  d  e  f        what readers see:  a b c d e f
//!                                  |
//!                  crash(keep = 1) cuts here, and the disk holds a b c d afterwards
//! ```
//!
//! [`Faulty::crash`] answers with the engine that a restarted process would open. The old one is dead
//! from then on, so that nothing left over from before the crash can still write.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use bytes::Bytes;

use crate::poison::Poison;
use crate::sst::{self, FileWriter};
use crate::{
    Cf, Cursor, Durability, Engine, Error, KeyRange, Layout, Memory, Result, Snapshot, SstWriter,
    WriteBatch,
};

/// A memory engine with a disk that forgets, fails and stalls when it is told to.
#[derive(Debug)]
pub struct Faulty {
    live: Memory,
    disk: Mutex<Disk>,
    faults: Arc<Faults>,
    poison: Poison,
}

/// What a power cut would leave, and what it might take.
#[derive(Debug)]
struct Disk {
    durable: Memory,
    pending: Vec<Pending>,
}

/// A change that readers see and the disk does not hold yet.
#[derive(Debug)]
enum Pending {
    /// May be forgotten, with all batches after it.
    Batch(WriteBatch),
    /// Files are durable as soon as they are taken in, whatever happens to the batches around them.
    Files(Cf, Vec<(Bytes, Bytes)>),
}

impl Faulty {
    /// An empty engine on a disk that works, until `faults` says otherwise.
    pub fn new(layout: Layout, faults: Arc<Faults>) -> Self {
        Self::with_content(Memory::new(layout), Memory::new(layout), faults)
    }

    fn with_content(live: Memory, durable: Memory, faults: Arc<Faults>) -> Self {
        let disk = Mutex::new(Disk { durable, pending: Vec::new() });
        Faulty { live, disk, faults, poison: Poison::default() }
    }

    /// How many unsynced batches a crash could forget now.
    pub fn pending_batches(&self) -> usize {
        let is_batch = |pending: &&Pending| matches!(pending, Pending::Batch(_));
        self.disk().pending.iter().filter(is_batch).count()
    }

    /// The power goes. Of the unsynced batches the oldest `keep` had reached the disk; the rest is
    /// forgotten. Answers what a new process finds, and ends this engine.
    #[must_use = "the engine that crashed takes no further calls"]
    pub fn crash(&self, keep: usize) -> Faulty {
        self.poison.set("the process was stopped by a crash");
        let mut disk = self.disk();
        let layout = self.live.layout();
        let pending = std::mem::take(&mut disk.pending);
        let durable = std::mem::replace(&mut disk.durable, Memory::new(layout));
        let mut batches = 0;
        for change in pending {
            if let Pending::Batch(_) = change {
                batches += 1;
                if batches > keep {
                    continue;
                }
            }
            replay(&durable, change);
        }
        Self::with_content(copy(&durable), durable, Arc::clone(&self.faults))
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().expect("no thread panics while it holds the disk")
    }

    fn sync_disk(&self, disk: &mut Disk) -> Result<()> {
        self.faults.before_sync()?;
        for change in disk.pending.drain(..) {
            replay(&disk.durable, change);
        }
        Ok(())
    }
}

fn replay(durable: &Memory, change: Pending) {
    match change {
        Pending::Batch(batch) => durable.apply(&batch),
        Pending::Files(cf, entries) => durable.put_all(cf, entries),
    }
}

/// A second engine with the content of the first.
fn copy(memory: &Memory) -> Memory {
    let twin = Memory::new(memory.layout());
    for &cf in memory.layout().families() {
        twin.put_all(cf, memory.entries(cf));
    }
    twin
}

impl Engine for Faulty {
    fn layout(&self) -> Layout {
        self.live.layout()
    }

    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>> {
        self.poison.check()?;
        self.faults.before_read()?;
        self.live.get(cf, key)
    }

    /// Taking a snapshot touches no disk; reading from it does.
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        self.poison.check()?;
        let (snapshot, faults) = (self.live.snapshot()?, Arc::clone(&self.faults));
        Ok(Arc::new(FaultySnapshot { snapshot, faults }))
    }

    fn write(&self, batch: &WriteBatch, durability: Durability) -> Result<()> {
        self.poison.check()?;
        self.faults.wait_while_stalled();
        // The disk stays locked for the whole write, so that its order is the order readers see.
        let mut disk = self.disk();
        self.poison.check()?;
        self.poison.watch(self.faults.before_write())?;
        self.live.apply(batch);
        disk.pending.push(Pending::Batch(batch.clone()));
        match durability {
            Durability::Unsynced => Ok(()),
            Durability::Synced => self.poison.watch(self.sync_disk(&mut disk)),
        }
    }

    fn sync(&self) -> Result<()> {
        self.poison.check()?;
        self.faults.wait_while_stalled();
        let mut disk = self.disk();
        self.poison.check()?;
        self.poison.watch(self.sync_disk(&mut disk))
    }

    fn flush(&self) -> Result<()> {
        self.sync()
    }

    fn sst_writer(&self, cf: Cf, path: &Path) -> Result<Box<dyn SstWriter>> {
        self.poison.check()?;
        self.layout().check(cf);
        Ok(Box::new(FileWriter::create(path)?))
    }

    fn ingest(&self, cf: Cf, files: &[PathBuf]) -> Result<()> {
        self.poison.check()?;
        let entries = sst::read_all(files)?;
        let mut disk = self.disk();
        self.poison.check()?;
        self.poison.watch(self.faults.before_write())?;
        self.live.put_all(cf, entries.clone());
        disk.pending.push(Pending::Files(cf, entries));
        sst::remove_taken(files);
        Ok(())
    }

    fn checkpoint(&self, dir: &Path) -> Result<()> {
        self.poison.check()?;
        self.live.checkpoint(dir)
    }

    fn approximate_size(&self, cf: Cf, range: KeyRange<'_>) -> Result<u64> {
        self.poison.check()?;
        self.live.approximate_size(cf, range)
    }
}

/// A snapshot on a disk that may fail.
struct FaultySnapshot {
    snapshot: Arc<dyn Snapshot>,
    faults: Arc<Faults>,
}

impl Snapshot for FaultySnapshot {
    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>> {
        self.faults.before_read()?;
        self.snapshot.get(cf, key)
    }

    fn cursor<'a>(&'a self, cf: Cf, range: KeyRange<'_>) -> Result<Box<dyn Cursor + 'a>> {
        let cursor = self.snapshot.cursor(cf, range)?;
        Ok(Box::new(FaultyCursor { cursor, faults: &self.faults }))
    }

    fn sweep<'a>(&'a self, cf: Cf, range: KeyRange<'_>) -> Result<Box<dyn Cursor + 'a>> {
        let cursor = self.snapshot.sweep(cf, range)?;
        Ok(Box::new(FaultyCursor { cursor, faults: &self.faults }))
    }
}

/// A cursor on a disk that may fail.
struct FaultyCursor<'a> {
    cursor: Box<dyn Cursor + 'a>,
    faults: &'a Faults,
}

impl FaultyCursor<'_> {
    /// Before each move. On an error the cursor is left off the end, where a real one stands then.
    fn before_move(&mut self) -> Result<()> {
        if let Err(error) = self.faults.before_read() {
            while self.cursor.next()? {}
            return Err(error);
        }
        Ok(())
    }
}

impl Cursor for FaultyCursor<'_> {
    fn seek_to_first(&mut self) -> Result<bool> {
        self.before_move()?;
        self.cursor.seek_to_first()
    }

    fn seek_to_last(&mut self) -> Result<bool> {
        self.before_move()?;
        self.cursor.seek_to_last()
    }

    fn seek(&mut self, key: &[u8]) -> Result<bool> {
        self.before_move()?;
        self.cursor.seek(key)
    }

    fn seek_for_prev(&mut self, key: &[u8]) -> Result<bool> {
        self.before_move()?;
        self.cursor.seek_for_prev(key)
    }

    fn next(&mut self) -> Result<bool> {
        self.before_move()?;
        self.cursor.next()
    }

    fn prev(&mut self) -> Result<bool> {
        self.before_move()?;
        self.cursor.prev()
    }

    fn is_valid(&self) -> bool {
        self.cursor.is_valid()
    }

    fn key(&self) -> &[u8] {
        self.cursor.key()
    }

    fn value(&self) -> &[u8] {
        self.cursor.value()
    }

    fn entry(&self) -> (&[u8], &[u8]) {
        self.cursor.entry()
    }
}

/// What the disk does wrong, shared with whoever makes it do so. It outlives crashes.
#[derive(Debug, Default)]
pub struct Faults {
    plan: Mutex<Plan>,
    resumed: Condvar,
}

#[derive(Debug, Default)]
struct Plan {
    /// How many more writes succeed before one fails.
    writes_until_failure: Option<u64>,
    /// How many more syncs succeed before one fails.
    syncs_until_failure: Option<u64>,
    /// Whether reads find damage.
    reads_fail: bool,
    /// Whether writers wait.
    stalled: bool,
}

impl Faults {
    /// A disk that works.
    pub fn none() -> Arc<Self> {
        Arc::default()
    }

    /// After `successes` more writes one fails, as on a full disk.
    pub fn fail_write_after(&self, successes: u64) {
        self.plan().writes_until_failure = Some(successes);
    }

    /// After `successes` more syncs one fails.
    pub fn fail_sync_after(&self, successes: u64) {
        self.plan().syncs_until_failure = Some(successes);
    }

    /// From now on reads find damage, or no longer do.
    pub fn set_reads_fail(&self, fail: bool) {
        self.plan().reads_fail = fail;
    }

    /// From now on writers wait, until [`Faults::resume`].
    pub fn stall(&self) {
        self.plan().stalled = true;
    }

    /// Lets the waiting writers go on.
    pub fn resume(&self) {
        self.plan().stalled = false;
        self.resumed.notify_all();
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().expect("no thread panics while it holds the plan")
    }

    fn wait_while_stalled(&self) {
        let plan = self.plan();
        let waited = self.resumed.wait_while(plan, |plan| plan.stalled);
        drop(waited.expect("no thread panics while it holds the plan"));
    }

    fn before_write(&self) -> Result<()> {
        let left = &mut self.plan().writes_until_failure;
        count_down(left, "writing a batch", io::ErrorKind::StorageFull)
    }

    fn before_sync(&self) -> Result<()> {
        count_down(&mut self.plan().syncs_until_failure, "syncing", io::ErrorKind::Other)
    }

    fn before_read(&self) -> Result<()> {
        if self.plan().reads_fail {
            let reason = "the disk was told to fail".to_owned();
            return Err(Error::Corrupt { path: PathBuf::from("faulty"), reason });
        }
        Ok(())
    }
}

/// Fails when the count has run out. A failure is not repeated: the engine is poisoned by then, and
/// the one that a restart opens has a mended disk.
fn count_down(left: &mut Option<u64>, doing: &'static str, kind: io::ErrorKind) -> Result<()> {
    match left {
        None => Ok(()),
        Some(0) => {
            *left = None;
            let source = io::Error::new(kind, "the disk was told to fail");
            Err(Error::io(Path::new("faulty"), doing, source))
        }
        Some(count) => {
            *count -= 1;
            Ok(())
        }
    }
}
