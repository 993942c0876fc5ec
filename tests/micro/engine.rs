//! The engine over RocksDB, on data that is in cache. What the seam itself costs is the matter of the
//! crate's own bench.

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use engine::{
    Cf, Config, Durability, Engine, KeyRange, Layout, OpenMode, Recovery, Rocks, WriteBatch,
};
use runtime::Rng;

const KEYS: u64 = 100_000;

fn key(number: u64) -> Bytes {
    format!("key{number:013}").into()
}

fn put(engine: &Rocks, numbers: impl Iterator<Item = u64>, durability: Durability) {
    let mut batch = WriteBatch::new();
    for number in numbers {
        batch.put(Cf::Default, key(number), Bytes::from_static(&[7; 100]));
    }
    engine.write(&batch, durability).expect("the disk works");
}

fn scan(engine: &Rocks, from: u64, rows: u64) -> usize {
    let snapshot = engine.snapshot().expect("the disk works");
    let (from, to) = (key(from), key(from + rows));
    let mut cursor =
        snapshot.cursor(Cf::Default, KeyRange::new(&from, &to)).expect("the disk works");
    let mut bytes = 0;
    let mut on_key = cursor.seek_to_first().expect("the disk works");
    while on_key {
        let (key, value) = cursor.entry();
        bytes += key.len() + value.len();
        on_key = cursor.next().expect("the disk works");
    }
    bytes
}

/// Get, put and scan, over one database.
pub(crate) fn all(criterion: &mut Criterion) {
    let home = tempfile::tempdir().expect("a place for the data");
    let (mode, recovery) = (OpenMode::CreateIfMissing, Recovery::PointInTime);
    let engine = Rocks::open(home.path(), Layout::Kv, &Config::default(), mode, recovery)
        .expect("a new directory opens");
    put(&engine, 0..KEYS, Durability::Unsynced);
    engine.flush().expect("the disk works");
    let mut rng = Rng::new(1);
    criterion.bench_function("engine/get", |bencher| {
        bencher.iter(|| engine.get(Cf::Default, &key(rng.below(KEYS))).expect("the disk works"));
    });
    criterion.bench_function("engine/put, unsynced", |bencher| {
        bencher.iter(|| put(&engine, std::iter::once(rng.below(KEYS)), Durability::Unsynced));
    });
    criterion.bench_function("engine/batch of 32 puts, synced", |bencher| {
        bencher.iter(|| put(&engine, (0..32).map(|_| rng.below(KEYS)), Durability::Synced));
    });
    let mut group = criterion.benchmark_group("engine");
    group.throughput(Throughput::Elements(100));
    group.bench_function("scan of 100 rows", |bencher| {
        bencher.iter(|| scan(&engine, rng.below(KEYS - 100), 100));
    });
    group.finish();
}
