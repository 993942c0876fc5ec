//! The course's tests of the slow work on a region (`kv/raftstore/runner/runner_test.go`).

use std::sync::Arc;

use engine::{Cf, Durability, Engines, Layout, Memory, WriteBatch};
use proto::RegionId;
use proto::metapb::Region;
use runtime::clock::ManualClock;
use runtime::units::Bytes as Size;
use runtime::worker::{self, Inline, Queue, Tasks};
use slog::{Discard, Logger, o};
use tempfile::TempDir;

use crate::config::Config;
use crate::keys;
use crate::message::Completion;
use crate::snapshot::{Limits, SnapManager};
use crate::worker::RegionTask;
use crate::worker::region::RegionWorker;

const REGION: RegionId = RegionId::new(1);

/// A region worker that is stepped by hand, over empty engines.
struct Stepped {
    engines: Engines,
    tasks: Tasks<RegionTask>,
    worker: Inline<RegionWorker>,
    completions: Queue<Completion>,
    _folder: TempDir,
}

impl Stepped {
    fn new(config: &Config) -> Self {
        let memory = |layout| Arc::new(Memory::new(layout));
        let engines = Engines::new(memory(Layout::Kv), memory(Layout::Raft));
        let folder = tempfile::tempdir().unwrap();
        let log = Logger::root(Discard, o!());
        let age = config.snapshot_age_max.get();
        let limits = Limits { space_bytes: 0, builds: 1, sends: 1, receives: 1, age };
        let snapshots = Arc::new(SnapManager::open(folder.path(), limits, log.clone()).unwrap());
        let (reports, completions) = worker::queue(16, true);
        let clock = Arc::new(ManualClock::new());
        let worker = RegionWorker::new(engines.clone(), snapshots, clock, config, reports, log);
        let (tasks, worker) = Inline::new(16, worker);
        Stepped { engines, tasks, worker, completions, _folder: folder }
    }

    fn run(&mut self, task: RegionTask) {
        self.tasks.try_send(task).unwrap();
        self.worker.run_all();
    }
}

#[test]
fn gc_raft_log() {
    let mut stepped = Stepped::new(&Config::default());
    let raft = Arc::clone(&stepped.engines.raft);
    let mut batch = WriteBatch::new();
    for index in 0..100 {
        batch.put(Cf::Local, keys::raft_log(REGION, index), "entry");
    }
    raft.write(&batch, Durability::Unsynced).unwrap();
    let is_there = |index| raft.get(Cf::Local, &keys::raft_log(REGION, index)).unwrap().is_some();
    let mut left = 100;
    for (end, collected) in [(10, 10), (50, 40), (50, 0), (60, 10)] {
        stepped.run(RegionTask::DeleteLog { region: REGION, end });
        let found: Vec<u64> = (0..100).filter(|index| is_there(*index)).collect();
        assert_eq!(left - found.len(), collected);
        assert_eq!(found, (end..100).collect::<Vec<_>>());
        left = found.len();
    }
}

#[test]
fn split_check() {
    let config = Config {
        region_size_max: Size::new(100),
        region_size_split: Size::new(50),
        ..Config::default()
    };
    let mut stepped = Stepped::new(&config);
    let user_key = |key: &str| {
        let mut encoded = Vec::new();
        codec::bytes::encode(&mut encoded, key.as_bytes());
        encoded
    };
    let mut batch = WriteBatch::new();
    for (key, ts) in [("k1", 1_u64), ("k1", 2), ("k2", 1), ("k2", 2), ("k3", 3)] {
        let key = [user_key(key), (!ts).to_be_bytes().to_vec()].concat();
        batch.put(Cf::Default, key, "entry");
    }
    stepped.engines.kv.write(&batch, Durability::Unsynced).unwrap();
    stepped.run(RegionTask::CheckSize { region: Region::new(REGION, "", ""), written: 110 });
    let Some(Completion::SizeKnown { split_key, .. }) = stepped.completions.try_take() else {
        panic!("no report of the size")
    };
    assert_eq!(split_key.unwrap(), user_key("k2"), "without its timestamp");
    assert!(stepped.completions.is_empty());
}
