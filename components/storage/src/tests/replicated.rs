//! A storage over the regions of one store, stepped by hand.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use engine::{Cf, Engine, Engines, KeyRange, Layout, Memory, WriteBatch};
use proto::kvrpcpb::Context;
use proto::metapb::{Peer, Region, Store};
use proto::raft_serverpb::RaftMessage;
use proto::schedulerpb::StoreStats;
use proto::{PeerId, RegionId, StoreId};
use raftstore::snapshot::{Limits as SnapshotLimits, SnapManager};
use raftstore::worker::apply::ApplyWorker;
use raftstore::worker::raft::Workers;
use raftstore::worker::region::RegionWorker;
use raftstore::worker::scheduler::SchedulerWorker;
use raftstore::{
    Config, Layout as StoreLayout, RaftWorker, RegionHeartbeat, SchedulerClient, SchedulerError,
    Setup, Transport, Unsent, bootstrap,
};
use runtime::Rng;
use runtime::clock::{Clock, ManualClock};
use runtime::worker::Inline;

use super::contract::Subject;
use crate::mvcc::encode_user_key;
use crate::storage::Changes;
use crate::{Error, RegionError, Replicated};

const REGION: RegionId = RegionId::new(2);

/// There is nobody else.
struct Nowhere;

impl Transport for Nowhere {
    fn send(&self, _message: RaftMessage) -> Result<(), Unsent> {
        Err(Unsent { why: "there is one store" })
    }
}

impl SchedulerClient for Nowhere {
    fn alloc_id(&self) -> Result<u64, SchedulerError> {
        Err(SchedulerError("nobody asks".to_owned()))
    }
    fn is_bootstrapped(&self) -> Result<bool, SchedulerError> {
        Ok(true)
    }
    fn bootstrap(&self, _store: &Store, _region: &Region) -> Result<bool, SchedulerError> {
        Ok(false)
    }
    fn put_store(&self, _store: &Store) -> Result<(), SchedulerError> {
        Ok(())
    }
    fn store_heartbeat(&self, _stats: &StoreStats) -> Result<(), SchedulerError> {
        Ok(())
    }
    fn region_heartbeat(&self, _heartbeat: RegionHeartbeat) -> Result<(), SchedulerError> {
        Ok(())
    }
    fn ask_split(&self, _region: &Region) -> Result<(RegionId, Vec<u64>), SchedulerError> {
        Err(SchedulerError("nobody asks".to_owned()))
    }
    fn region(&self, _id: RegionId) -> Result<Option<Region>, SchedulerError> {
        Ok(None)
    }
}

/// A store without threads.
struct Stepped {
    clock: ManualClock,
    raft: RaftWorker,
    apply: Inline<ApplyWorker>,
    region: Inline<RegionWorker>,
    scheduler: Inline<SchedulerWorker>,
    _files: tempfile::TempDir,
}

impl Stepped {
    fn tick(&mut self) {
        self.clock.advance(Duration::from_millis(100));
        self.raft.tick(self.clock.now()).unwrap();
        self.turn();
    }

    /// Steps everybody until nobody has anything to do.
    fn turn(&mut self) {
        loop {
            self.raft.turn(self.clock.now()).unwrap();
            let batches = self.apply.run_all() + self.region.run_all() + self.scheduler.run_all();
            if batches == 0 && !self.raft.has_arrivals() {
                return;
            }
        }
    }
}

/// A store with one region that it leads, and what it shows of itself.
fn store() -> (Stepped, Replicated, Arc<dyn Engine>) {
    let kv: Arc<dyn Engine> = Arc::new(Memory::new(Layout::Kv));
    let engines = Engines::new(Arc::clone(&kv), Arc::new(Memory::new(Layout::Raft)));
    let store = StoreId::new(1);
    bootstrap::bootstrap_store(&engines, 1, store).unwrap();
    let region = Region::new(REGION, "", "").with_peers([Peer::new(PeerId::new(3), store)]);
    bootstrap::write_initial_region(&engines, &region, false).unwrap();
    let files = tempfile::tempdir().unwrap();
    let log = slog::Logger::root(slog::Discard, slog::o!());
    let limits = SnapshotLimits {
        space_bytes: 1 << 20,
        builds: 1,
        sends: 1,
        receives: 1,
        age: Duration::from_mins(1),
    };
    let clock = ManualClock::new();
    let snapshots = SnapManager::open(files.path().join("snap"), limits, log.clone()).unwrap();
    let setup = Setup {
        config: Config::default(),
        engines,
        store,
        transport: Arc::new(Nowhere),
        scheduler: Arc::new(Nowhere),
        snapshots: Arc::new(snapshots),
        clock: Arc::new(clock.clone()),
        rng: Rng::new(1),
        log,
    };
    let StoreLayout { router, apply, region, scheduler, raft } = setup.lay_out(true);
    let (apply_tasks, apply) = Inline::new(64, apply);
    let (region_tasks, region) = Inline::new(64, region);
    let (scheduler_tasks, scheduler) = Inline::new(64, scheduler);
    let workers = Workers { apply: apply_tasks, region: region_tasks, scheduler: scheduler_tasks };
    let raft = raft.finish(workers).unwrap();
    let mut stepped = Stepped { clock, raft, apply, region, scheduler, _files: files };
    for _ in 0..100 {
        stepped.tick();
    }
    let storage = Replicated::new(router, Arc::clone(&kv)).unwrap();
    (stepped, storage, kv)
}

fn context(storage: &Replicated) -> Context {
    let view = storage.router().view(REGION).unwrap();
    assert_eq!(view.leader, Some(view.peer), "a group of one elects itself");
    Context {
        region_id: REGION.get(),
        region_epoch: Some(view.region.epoch()),
        peer: Some(view.peer),
        term: 0,
    }
}

/// For the contract.
pub(super) fn subject() -> Subject {
    let (stepped, storage, _) = store();
    let stepped = Mutex::new(stepped);
    let region = context(&storage);
    let turn = Box::new(move || stepped.lock().unwrap().turn());
    Subject { storage: Box::new(storage), turn, region }
}

fn put(cf: Cf, key: &'static [u8], value: &'static [u8]) -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.put(cf, key, value);
    batch
}

/// The context of a store, and how to wait for its calls.
fn waiting() -> (Subject, Arc<dyn Engine>) {
    let (stepped, storage, kv) = store();
    let stepped = Mutex::new(stepped);
    let region = context(&storage);
    let turn = Box::new(move || stepped.lock().unwrap().turn());
    (Subject { storage: Box::new(storage), turn, region }, kv)
}

#[test]
fn a_write_that_was_computed_in_another_term_is_refused() {
    let (subject, _) = waiting();
    let reader = subject.wait(subject.storage.snapshot(&subject.region)).unwrap();
    let stamp = reader.stamp();
    assert!(stamp.term > 0, "a snapshot tells its term");
    assert_eq!(Some(stamp.epoch), subject.region.region_epoch);

    let mut changes = Changes::blind(put(Cf::Default, b"k", b"v"));
    changes.stamp = stamp;
    changes.stamp.term -= 1;
    let refused = subject.wait(subject.storage.write(&subject.region, changes)).unwrap_err();
    let Error::Region(error) = refused else { panic!("{refused}") };
    assert!(matches!(*error, RegionError::Busy(_)), "certainly not written: {error}");

    let mut changes = Changes::blind(put(Cf::Default, b"k", b"v"));
    changes.stamp = stamp;
    subject.wait(subject.storage.write(&subject.region, changes)).unwrap();
    assert_eq!(reader.get(Cf::Default, b"k").unwrap(), None, "a reader does not move");
}

#[test]
fn a_lock_lies_under_the_encoded_key_and_is_shown_under_its_own() {
    let (subject, kv) = waiting();
    let key: &'static [u8] = b"a key of more than eight bytes";
    let changes = Changes::blind(put(Cf::Lock, key, b"lock"));
    subject.wait(subject.storage.write(&subject.region, changes)).unwrap();
    assert_eq!(kv.get(Cf::Lock, &encode_user_key(key)).unwrap().unwrap(), "lock");
    assert_eq!(kv.get(Cf::Lock, key).unwrap(), None);

    let reader = subject.wait(subject.storage.snapshot(&subject.region)).unwrap();
    assert_eq!(reader.get(Cf::Lock, key).unwrap(), Some(Bytes::from_static(b"lock")));
    let mut cursor = reader.cursor(Cf::Lock, KeyRange::new(b"a", b"b")).unwrap();
    assert!(cursor.seek(b"a key").unwrap());
    assert_eq!(cursor.entry(), (key, &b"lock"[..]));
    assert!(!cursor.next().unwrap());
}

#[test]
fn an_unknown_region_and_an_old_epoch_are_told_as_such() {
    let (subject, _) = waiting();
    let elsewhere = Context { region_id: 77, ..subject.region };
    let Err(Error::Region(error)) = subject.wait(subject.storage.snapshot(&elsewhere)) else {
        panic!("there is no region 77")
    };
    assert_eq!(*error, RegionError::NotFound { region: 77 });

    let mut old = subject.region;
    old.region_epoch = Some(proto::metapb::RegionEpoch { conf_ver: 1, version: 9 });
    let Err(Error::Region(error)) = subject.wait(subject.storage.snapshot(&old)) else {
        panic!("it is not of that epoch")
    };
    assert!(matches!(*error, RegionError::EpochNotMatch { ref regions } if regions.len() == 1));
    assert_eq!(subject.storage.raw_families(), [Cf::Default]);
}
