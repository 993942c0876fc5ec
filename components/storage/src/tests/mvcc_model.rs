//! MVCC against a naive model: a list of what happened, searched from the end.
//!
//! Random histories are written as records, past all commands, and then every question is asked at
//! every timestamp: gets, scans both ways from everywhere, and the same once more after garbage was
//! collected.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use engine::Cf;
use proptest::prelude::*;
use proto::kvrpcpb::Context;
use runtime::mark;

use super::fixture::{Builder, Row as Record, lock, value, wait, write};
use crate::mvcc::{
    Direction, Lock, MvccReader, Row, Scanner, Write, WriteKind, decode_user_key, encode_key,
    split_key,
};
use crate::storage::{Reader, Storage};
use crate::txn::CollectGarbage;

/// Keys that begin alike, hold zeros, and end at the borders of groups of eight.
const KEYS: [&[u8]; 7] =
    [b"\0", b"a", b"a\0", b"aaaaaaa\xff", b"aaaaaaaa", b"aaaaaaaab", b"\xff\xff"];

/// What happens to a key; each step takes two timestamps, a start and a commit.
#[derive(Clone, Debug)]
struct Step {
    key: usize,
    kind: WriteKind,
}

/// What is left locked at the end.
#[derive(Clone, Debug)]
struct Held {
    key: usize,
    kind: WriteKind,
    /// How many steps before the end it started.
    age: u64,
}

fn kind(rollback: bool) -> impl Strategy<Value = WriteKind> {
    prop_oneof![
        6 => Just(WriteKind::Put),
        2 => Just(WriteKind::Delete),
        2 => Just(WriteKind::Lock),
        2 => Just(if rollback { WriteKind::Rollback } else { WriteKind::Put }),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Few keys get most of the steps, so that some have more versions than a cursor steps over.
    let key = prop_oneof![0..KEYS.len(), 0..KEYS.len(), Just(1), Just(4)];
    let step = (key, kind(true)).prop_map(|(key, kind)| Step { key, kind });
    proptest::collection::vec(step, 0..60)
}

fn held() -> impl Strategy<Value = Vec<Held>> {
    let held = (0..KEYS.len(), kind(false), 0_u64..30);
    proptest::collection::vec(held.prop_map(|(key, kind, age)| Held { key, kind, age }), 0..3)
}

/// The naive model.
#[derive(Default)]
struct Model {
    /// By key and commit timestamp: a value, or that it was deleted.
    versions: BTreeMap<&'static [u8], BTreeMap<u64, Option<Bytes>>>,
    locks: BTreeMap<&'static [u8], Lock>,
    records: Vec<Record>,
    end: u64,
}

impl Model {
    fn new(steps: &[Step], held: &[Held]) -> Self {
        let mut model = Model::default();
        let mut ts = 1;
        for step in steps {
            let (start_ts, commit_ts) = (ts, ts + 1);
            ts += 2;
            model.happen(KEYS[step.key], step.kind, start_ts, commit_ts);
        }
        model.end = ts + 1;
        for held in held {
            let lock_ts = model.end.saturating_sub(held.age).max(1);
            model.lock(KEYS[held.key], held.kind, lock_ts);
        }
        model
    }

    fn happen(&mut self, key: &'static [u8], kind: WriteKind, start_ts: u64, commit_ts: u64) {
        let put = format!("{start_ts}");
        let versions = self.versions.entry(key).or_default();
        let ts = match kind {
            WriteKind::Put => {
                versions.insert(commit_ts, Some(put.clone().into()));
                self.records.push(value(key, start_ts, put.as_bytes()));
                commit_ts
            }
            WriteKind::Delete => {
                versions.insert(commit_ts, None);
                commit_ts
            }
            WriteKind::Lock => commit_ts,
            WriteKind::Rollback => start_ts,
        };
        self.records.push(write(key, ts, kind, start_ts));
    }

    fn lock(&mut self, key: &'static [u8], kind: WriteKind, ts: u64) {
        let primary = Bytes::from_static(b"primary");
        self.records.push(lock(key, &primary, kind, ts, 0));
        self.locks.insert(key, Lock { primary, ts, ttl: 0, kind });
    }

    fn value(&self, key: &[u8], version: u64) -> Option<Bytes> {
        self.versions.get(key)?.range(..=version).next_back()?.1.clone()
    }

    fn row(&self, key: &'static [u8], version: u64) -> Option<Row> {
        let key_bytes = Bytes::from_static(key);
        if let Some(lock) = self.locks.get(key)
            && lock.ts <= version
            && lock.kind != WriteKind::Lock
        {
            return Some(Row::Locked(crate::Locked { key: key_bytes, lock: lock.clone() }));
        }
        self.value(key, version).map(|value| Row::Value { key: key_bytes, value })
    }

    fn rows(&self, start: &[u8], end: &[u8], version: u64) -> Vec<Row> {
        let mut keys = KEYS;
        keys.sort_unstable();
        let inside = |key: &&'static [u8]| *key >= start && (end.is_empty() || *key < end);
        keys.into_iter().filter(inside).filter_map(|key| self.row(key, version)).collect()
    }

    /// Asks everything, as of `oldest` and later.
    fn check(&self, reader: &dyn Reader, oldest: u64) {
        for version in oldest..=self.end + 1 {
            let mut points = MvccReader::new(reader);
            for key in KEYS {
                assert_eq!(
                    points.value(key, version).unwrap(),
                    self.value(key, version),
                    "{key:?}"
                );
                let mut single = MvccReader::new(reader);
                assert_eq!(single.value(key, version).unwrap(), self.value(key, version));
                assert_eq!(single.lock(key).unwrap().as_ref(), self.locks.get(key));
            }
            for (start, end) in ranges() {
                let mut expected = self.rows(start, end, version);
                let found = rows(reader, start, end, version, Direction::Forward);
                assert_eq!(found, expected, "forward at {version} {start:?}..{end:?}");
                expected.reverse();
                let found = rows(reader, start, end, version, Direction::Reverse);
                assert_eq!(found, expected, "reverse at {version} {start:?}..{end:?}");
                let scanner = Scanner::new(reader, start, end, version, Direction::Reverse);
                let mut keys = scanner.unwrap().keys_only(true);
                let keys = std::iter::from_fn(|| keys.next_row().unwrap());
                assert!(
                    keys.map(|row| row.key().clone()).eq(expected.iter().map(Row::key).cloned())
                );
            }
        }
    }
}

fn ranges() -> [(&'static [u8], &'static [u8]); 6] {
    [(b"", b""), (b"a", b""), (b"", b"aaaaaaaa"), (b"a", b"a\0"), (b"a\0", b"b"), (b"b", b"a")]
}

fn rows(reader: &dyn Reader, start: &[u8], end: &[u8], at: u64, way: Direction) -> Vec<Row> {
    // Windows of a few rows, so that there are several.
    let scanner = Scanner::new(reader, start, end, at, way).unwrap();
    let mut scanner = scanner.expect_rows(1 + usize::try_from(at % 3).unwrap());
    std::iter::from_fn(|| scanner.next_row().unwrap()).collect()
}

fn reader(builder: &Builder) -> Arc<dyn Reader> {
    wait(builder.storage.snapshot(&Context::default())).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..Default::default() })]

    #[test]
    fn every_read_finds_what_the_model_finds(steps in steps(), held in held()) {
        let model = Model::new(&steps, &held);
        let builder = Builder::with(&model.records);
        model.check(&*reader(&builder), 0);
    }

    #[test]
    fn any_bytes_are_a_record_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(lock) = Lock::parse(&bytes) {
            prop_assert_eq!(lock.to_bytes(), &bytes[..]);
        }
        if let Ok(write) = Write::parse(&bytes) {
            prop_assert_eq!(write.to_bytes(), &bytes[..]);
        }
        if let Ok((user, ts)) = split_key(&bytes) && let Ok(key) = decode_user_key(user) {
            let again = encode_key(&key, ts);
            prop_assert!(again == bytes || user.len() > again.len() - 8, "a key has one encoding");
        }
    }

    #[test]
    fn collecting_changes_no_read_at_the_safe_point_or_later(
        steps in steps(),
        at in 0_u64..130,
    ) {
        let model = Model::new(&steps, &[]);
        let builder = Builder::with(&model.records);
        let safe_point = at.min(model.end);
        wait(builder.kv.raise_safe_point(safe_point)).unwrap();
        let region = Context::default();
        wait(builder.kv.run_pages(&region, CollectGarbage::new(safe_point))).unwrap();
        model.check(&*reader(&builder), safe_point);

        // Of what is not newer than the safe point, one value per key is left at most, and every value
        // that is left belongs to a put.
        let mut puts = 0;
        let mut old = BTreeMap::new();
        for (key, record) in builder.storage.rows(Cf::Write) {
            let (user, ts) = split_key(&key).unwrap();
            let kind = Write::parse(&record).unwrap().kind;
            puts += usize::from(kind == WriteKind::Put);
            if ts <= safe_point {
                prop_assert_eq!(kind, WriteKind::Put);
                prop_assert!(old.insert(user.to_vec(), ts).is_none());
            }
        }
        prop_assert_eq!(builder.storage.rows(Cf::Default).len(), puts);
    }
}

#[test]
fn long_chains_are_left_by_seeking() {
    let mut steps = vec![Step { key: 0, kind: WriteKind::Put }];
    steps.extend((0..40).map(|_| Step { key: 1, kind: WriteKind::Put }));
    steps.extend((0..40).map(|_| Step { key: 1, kind: WriteKind::Rollback }));
    steps.push(Step { key: 2, kind: WriteKind::Put });
    let model = Model::new(&steps, &[]);
    let builder = Builder::with(&model.records);
    mark::reset();
    model.check(&*reader(&builder), 0);
    assert!(mark::hits("a scan opens another window") > 0);
    assert!(mark::hits("a scan looks values up together") > 0);
    assert!(mark::hits("a scan seeks past the rest of a key") > 0);
    assert!(mark::hits("a scan seeks past versions that are too new") > 0);
    assert!(mark::hits("a reverse scan seeks to the version") > 0);
}
