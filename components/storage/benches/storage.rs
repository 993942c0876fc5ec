//! What versions cost: transactional reads beside raw ones, over the same number of keys and values of
//! the same size, on RocksDB, from the driver down. No network is in between.
//!
//! Prints a table, and rows per second of scans.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};

use bytes::Bytes;
use engine::{Cf, Config, Durability, Engine, Layout, OpenMode, Recovery, Rocks, WriteBatch};
use proto::kvrpcpb::Context;
use rounds::{Row, Table};
use runtime::Rng;
use storage::mvcc::{Direction, Write, WriteKind, encode_key};
use storage::txn::{Get, Scan};
use storage::{Kv, Limits, Standalone};

const KEYS: u64 = 50_000;
const VALUE_BYTES: usize = 256;
const SCAN_ROWS: u32 = 1000;
const OPERATIONS: u64 = 20_000;

fn main() {
    let home = tempfile::tempdir().expect("a place for the data");
    let mut table = Table::new("transactional", "raw");
    let mut rates = Vec::new();
    let raw = Bench::new(&home.path().join("raw"), 0);
    for versions in [1, 10] {
        let bench = Bench::new(&home.path().join(versions.to_string()), versions);
        let what = format!("get, {versions} versions of each key");
        table.compare(what, OPERATIONS, || bench.gets(), || raw.raw_gets());
        let what = format!("a row of a scan of {SCAN_ROWS}, {versions} versions of each key");
        let scans = OPERATIONS / 100;
        let rows = scans * u64::from(SCAN_ROWS);
        let row = table.compare(what, rows, || bench.scans(scans), || raw.raw_scans(scans));
        rates.push((versions, rows_per_second(row)));
    }
    print(&format!("{table}\n"));
    for (versions, rate) in rates {
        print(&format!("{rate:.0} rows a second at {versions} versions of each key\n"));
    }
}

#[expect(clippy::print_stdout, reason = "a bench is for somebody who reads its output")]
fn print(text: &str) {
    println!("{text}");
}

fn rows_per_second(row: &Row) -> f64 {
    1e9 / row.ours_ns
}

/// A storage with data.
struct Bench {
    kv: Kv,
    region: Context,
    rng: Rng,
}

fn key(number: u64) -> Bytes {
    Bytes::copy_from_slice(format!("key-{number:012}").as_bytes())
}

impl Bench {
    /// As many versions of each key as asked for; none is raw data.
    fn new(dir: &Path, versions: u64) -> Self {
        let (mode, recovery) = (OpenMode::CreateIfMissing, Recovery::PointInTime);
        let engine = Rocks::open(dir, Layout::Kv, &Config::default(), mode, recovery)
            .expect("a new directory opens");
        let mut rng = Rng::new(1);
        for number in 0..KEYS {
            let mut batch = WriteBatch::new();
            let key = key(number);
            let value = |rng: &mut Rng| -> Bytes {
                (0..VALUE_BYTES).map(|_| rng.next_u64().to_le_bytes()[0]).collect()
            };
            if versions == 0 {
                batch.put(Cf::Default, key.clone(), value(&mut rng));
            }
            for version in 0..versions {
                let (start_ts, commit_ts) = (10 * version + 1, 10 * version + 2);
                batch.put(Cf::Default, encode_key(&key, start_ts), value(&mut rng));
                let write = Write { kind: WriteKind::Put, start_ts };
                batch.put(Cf::Write, encode_key(&key, commit_ts), write.to_bytes());
            }
            engine.write(&batch, Durability::Unsynced).expect("the disk works");
        }
        engine.flush().expect("the disk works");
        let storage = Standalone::unsynced(Arc::new(engine)).expect("a new engine is in order");
        let kv = Kv::new(Arc::new(storage), Limits::default());
        Bench { kv, region: Context::default(), rng }
    }

    fn numbers(&self, count: u64, below: u64) -> impl Iterator<Item = u64> {
        let mut rng = self.rng.fork("numbers");
        (0..count).map(move |_| rng.below(below))
    }

    fn gets(&self) -> usize {
        let get = |number| {
            let get = Get { key: key(number), version: 1000 };
            wait(self.kv.read(&self.region, get)).expect("the disk works").expect("it is there")
        };
        self.numbers(OPERATIONS, KEYS).map(|number| get(number).len()).sum()
    }

    fn raw_gets(&self) -> usize {
        let get = |number| {
            let found = self.kv.raw_get(&self.region, "default", key(number));
            wait(found).expect("the disk works").expect("it is there")
        };
        self.numbers(OPERATIONS, KEYS).map(|number| get(number).len()).sum()
    }

    fn scans(&self, count: u64) -> usize {
        let scan = |number| {
            let (start, direction) = (key(number), Direction::Forward);
            let scan = Scan { start, limit: SCAN_ROWS, version: 1000, direction };
            wait(self.kv.read(&self.region, scan)).expect("the disk works").len()
        };
        self.numbers(count, KEYS - u64::from(SCAN_ROWS)).map(scan).sum()
    }

    fn raw_scans(&self, count: u64) -> usize {
        let scan = |number| {
            let pairs = self.kv.raw_scan(&self.region, "default", key(number), SCAN_ROWS);
            wait(pairs).expect("the disk works").len()
        };
        self.numbers(count, KEYS - u64::from(SCAN_ROWS)).map(scan).sum()
    }
}

/// On a single engine nothing is waited for; long work only lets others have their turn.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut context = TaskContext::from_waker(Waker::noop());
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}
