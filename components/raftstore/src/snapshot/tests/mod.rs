//! Suites over real files, in folders that go away with the test.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use engine::{Cf, Durability, Engine, KeyRange, Layout, Memory, WriteBatch};
use proto::metapb::Region;
use proto::raft_serverpb::RaftSnapshotData;
use slog::{Discard, Logger, o};
use tempfile::TempDir;

use super::{Limits, SnapKey, SnapManager, build};

mod course;
mod damage;
mod limits;
mod repeat;
mod round_trip;

const KEY: SnapKey = SnapKey { region: 7, term: 6, index: 120 };

const ROOMY: Limits = Limits {
    space_bytes: 1 << 30,
    builds: 4,
    sends: 4,
    receives: 4,
    age: Duration::from_secs(100),
};

/// Keys and values of all data families.
type Pairs = BTreeMap<(Cf, Vec<u8>), Vec<u8>>;

fn log() -> Logger {
    Logger::root(Discard, o!())
}

fn manager(dir: &Path) -> SnapManager {
    SnapManager::open(dir, ROOMY, log()).unwrap()
}

fn region(start: &[u8], end: &[u8]) -> Region {
    let (start_key, end_key) = (start.to_vec().into(), end.to_vec().into());
    Region { id: KEY.region, start_key, end_key, ..Region::default() }
}

fn pairs(entries: &[(Cf, &str, &str)]) -> Pairs {
    let owned = |&(cf, key, value): &(Cf, &str, &str)| ((cf, key.into()), value.into());
    entries.iter().map(owned).collect()
}

fn fill(engine: &dyn Engine, pairs: &Pairs) {
    let mut batch = WriteBatch::new();
    for ((cf, key), value) in pairs {
        batch.put(*cf, key.clone(), value.clone());
    }
    engine.write(&batch, Durability::Synced).unwrap();
}

fn engine_with(pairs: &Pairs) -> Memory {
    let engine = Memory::new(Layout::Kv);
    fill(&engine, pairs);
    engine
}

/// Everything in the data families of an engine.
fn content(engine: &dyn Engine) -> Pairs {
    let snapshot = engine.snapshot().unwrap();
    let mut pairs = Pairs::new();
    for cf in Cf::DATA {
        let mut cursor = snapshot.cursor(cf, KeyRange::ALL).unwrap();
        let mut more = cursor.seek_to_first().unwrap();
        while more {
            pairs.insert((cf, cursor.key().to_vec()), cursor.value().to_vec());
            more = cursor.next().unwrap();
        }
    }
    pairs
}

/// The content of a folder, by name.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entry = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read(path).unwrap())
    };
    std::fs::read_dir(dir).unwrap().map(entry).collect()
}

fn names(dir: &Path) -> Vec<String> {
    files(dir).into_keys().collect()
}

/// Makes a folder hold just these files.
fn lay_out(dir: &Path, files: &BTreeMap<String, Vec<u8>>) {
    for name in names(dir) {
        std::fs::remove_file(dir.join(name)).unwrap();
    }
    for (name, content) in files {
        std::fs::write(dir.join(name), content).unwrap();
    }
}

/// A store with a little data, whose snapshot is built, and a folder of another store.
struct Pair {
    pairs: Pairs,
    engine: Memory,
    sender: SnapManager,
    receiver: SnapManager,
    data: RaftSnapshotData,
    _dir: TempDir,
}

impl Pair {
    /// Two families with keys, and one without.
    fn new() -> Self {
        let few = [(Cf::Default, "a", "one"), (Cf::Default, "b", ""), (Cf::Write, "c", "three")];
        Self::with(pairs(&few))
    }

    fn with(pairs: Pairs) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let engine = engine_with(&pairs);
        let sender = manager(&dir.path().join("sender"));
        let receiver = manager(&dir.path().join("receiver"));
        let data = build_all(&engine, &sender);
        Pair { pairs, engine, sender, receiver, data, _dir: dir }
    }

    /// All bytes that go over the wire.
    fn stream(&self) -> Vec<u8> {
        let chunks = super::Outgoing::open(&self.sender, KEY, &self.data, 5).unwrap();
        chunks.flat_map(|chunk| chunk.unwrap()).collect()
    }
}

fn build_all(engine: &dyn Engine, manager: &SnapManager) -> RaftSnapshotData {
    let snapshot = engine.snapshot().unwrap();
    build(&*snapshot, engine, &region(b"", b""), KEY, manager).unwrap()
}
