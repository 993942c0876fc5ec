//! What the seam costs: the same work through `Engine` and with the bare library, on databases with
//! the same options. Both take turns, which gives the table of docs/performance.md.

use std::path::Path;

use bytes::Bytes;
use engine::{
    Cf, Config, Durability, Engine, KeyRange, Layout, OpenMode, Recovery, Rocks, WriteBatch,
};
use rocksdb::{DB, ReadOptions, WriteOptions};
use rounds::Table;
use runtime::Rng;

/// How many keys there are to read.
const KEYS: u64 = 200_000;
const VALUE_BYTES: usize = 100;

fn main() {
    let home = tempfile::tempdir().expect("a place for the data");
    Bench::new(home.path()).in_turn();
}

/// Two databases: each side writes into its own, and both read from the first.
struct Bench {
    ours: Rocks,
    theirs: Rocks,
    value: Bytes,
    random: Rng,
}

fn key(number: u64) -> [u8; 16] {
    let mut key = *b"key-000000000000";
    key[8..].copy_from_slice(&number.to_be_bytes());
    key
}

impl Bench {
    fn new(home: &Path) -> Self {
        let open = |name: &str| {
            let (mode, recovery) = (OpenMode::CreateIfMissing, Recovery::PointInTime);
            Rocks::open(&home.join(name), Layout::Kv, &Config::default(), mode, recovery)
                .expect("a new directory opens")
        };
        let mut random = Rng::new(1);
        let value = (0..VALUE_BYTES).map(|_| random.next_u64().to_le_bytes()[0]).collect();
        let bench = Bench { ours: open("ours"), theirs: open("theirs"), value, random };
        for engine in [&bench.ours, &bench.theirs] {
            for number in 0..KEYS {
                let mut batch = WriteBatch::new();
                batch.put(Cf::Default, key(number).to_vec(), bench.value.clone());
                engine.write(&batch, Durability::Unsynced).expect("the disk works");
            }
            engine.flush().expect("the disk works");
        }
        bench
    }

    fn keys(&mut self, count: u64) -> Vec<[u8; 16]> {
        (0..count).map(|_| key(self.random.below(KEYS))).collect()
    }

    fn in_turn(&mut self) {
        let mut table = Table::new("engine", "bare");
        let keys = self.keys(100_000);
        let (ours, theirs, value) = (&self.ours, self.theirs.db(), &self.value);
        let same = ours.db();
        let gets = keys.len() as u64;
        table.compare("get", gets, || our_gets(ours, &keys), || bare_gets(same, &keys));
        table.compare(
            "snapshot and get",
            gets,
            || our_snapshot_gets(ours, &keys),
            || bare_snapshot_gets(same, &keys),
        );
        for (rows, scans) in [(10, 5000_u64), (1000, 300)] {
            let starts: Vec<u64> = (0..scans).map(|scan| scan * 37 % (KEYS - rows)).collect();
            table.compare(
                format!("row of a scan of {rows}"),
                rows * scans,
                || starts.iter().map(|&start| our_scan(ours, start, rows)).sum::<usize>(),
                || starts.iter().map(|&start| bare_scan(same, start, rows)).sum::<usize>(),
            );
        }
        // What a server has in hand: bytes that came from a socket.
        let puts: Vec<Bytes> = keys.iter().map(|key| Bytes::copy_from_slice(key)).collect();
        let puts = &puts[..20_000];
        table.compare(
            "put, unsynced",
            puts.len() as u64,
            || our_puts(ours, puts, value),
            || bare_puts(theirs, puts, value),
        );
        for (name, sync, puts) in [("unsynced", false, puts), ("synced", true, &puts[..4000])] {
            table.compare(
                format!("put in a batch of 32, {name}"),
                puts.len() as u64,
                || our_batches(ours, puts, value, sync),
                || bare_batches(theirs, puts, value, sync),
            );
        }
        print(&table);
    }
}

#[expect(clippy::print_stdout, reason = "a bench is a program that prints")]
fn print(table: &Table) {
    println!("{table}");
}

fn our_gets(engine: &Rocks, keys: &[[u8; 16]]) -> usize {
    let get = |key: &[u8; 16]| engine.get(Cf::Default, key).expect("the disk works");
    keys.iter().map(|key| get(key).map_or(0, |value| value.len())).sum()
}

fn bare_gets(db: &DB, keys: &[[u8; 16]]) -> usize {
    let family = db.cf_handle("default").expect("always there");
    let get = |key: &[u8; 16]| db.get_cf(family, key).expect("the disk works");
    keys.iter().map(|key| get(key).map_or(0, |value| value.len())).sum()
}

fn our_snapshot_gets(engine: &Rocks, keys: &[[u8; 16]]) -> usize {
    let get = |key: &[u8; 16]| {
        let snapshot = engine.snapshot().expect("the disk works");
        snapshot.get(Cf::Default, key).expect("the disk works")
    };
    keys.iter().map(|key| get(key).map_or(0, |value| value.len())).sum()
}

fn bare_snapshot_gets(db: &DB, keys: &[[u8; 16]]) -> usize {
    let family = db.cf_handle("default").expect("always there");
    let get = |key: &[u8; 16]| db.snapshot().get_cf(family, key).expect("the disk works");
    keys.iter().map(|key| get(key).map_or(0, |value| value.len())).sum()
}

fn our_scan(engine: &Rocks, start: u64, rows: u64) -> usize {
    let snapshot = engine.snapshot().expect("the disk works");
    let (from, to) = (key(start), key(start + rows));
    let range = KeyRange::new(&from, &to);
    let mut cursor = snapshot.cursor(Cf::Default, range).expect("the disk works");
    let mut bytes = 0;
    let mut on_key = cursor.seek_to_first().expect("the disk works");
    while on_key {
        let (key, value) = cursor.entry();
        bytes += key.len() + value.len();
        on_key = cursor.next().expect("the disk works");
    }
    bytes
}

fn bare_scan(db: &DB, start: u64, rows: u64) -> usize {
    let family = db.cf_handle("default").expect("always there");
    let snapshot = db.snapshot();
    let mut options = ReadOptions::default();
    options.set_total_order_seek(true);
    options.set_iterate_lower_bound(key(start));
    options.set_iterate_upper_bound(key(start + rows));
    let mut iterator = snapshot.raw_iterator_cf_opt(family, options);
    let mut bytes = 0;
    iterator.seek_to_first();
    while let Some((key, value)) = iterator.item() {
        bytes += key.len() + value.len();
        iterator.next();
    }
    iterator.status().expect("the disk works");
    bytes
}

fn our_puts(engine: &Rocks, keys: &[Bytes], value: &Bytes) {
    for key in keys {
        let mut batch = WriteBatch::new();
        batch.put(Cf::Default, key.clone(), value.clone());
        engine.write(&batch, Durability::Unsynced).expect("the disk works");
    }
}

fn bare_puts(db: &DB, keys: &[Bytes], value: &Bytes) {
    let family = db.cf_handle("default").expect("always there");
    for key in keys {
        let mut batch = rocksdb::WriteBatch::default();
        batch.put_cf(&family, key, value);
        db.write(batch).expect("the disk works");
    }
}

fn our_batches(engine: &Rocks, keys: &[Bytes], value: &Bytes, sync: bool) {
    let durability = if sync { Durability::Synced } else { Durability::Unsynced };
    for keys in keys.chunks(32) {
        let mut batch = WriteBatch::new();
        for key in keys {
            batch.put(Cf::Default, key.clone(), value.clone());
        }
        engine.write(&batch, durability).expect("the disk works");
    }
}

fn bare_batches(db: &DB, keys: &[Bytes], value: &Bytes, sync: bool) {
    let family = db.cf_handle("default").expect("always there");
    let mut options = WriteOptions::default();
    options.set_sync(sync);
    for keys in keys.chunks(32) {
        let mut batch = rocksdb::WriteBatch::default();
        for key in keys {
            batch.put_cf(&family, key, value);
        }
        db.write_opt(batch, &options).expect("the disk works");
    }
}
