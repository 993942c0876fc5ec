//! The contract of the crate's head, case by case, on every engine.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use proptest::test_runner::{Config as PropConfig, TestRunner};

use super::model;
use super::subject::{InMemory, Subject, WithoutFaults};
use crate::Durability::{Synced, Unsynced};
use crate::{Cf, Engine, KeyRange, Layout, WriteBatch};

/// Runs every case on every engine, as a test each.
macro_rules! conformance {
    ($($case:ident)+) => {
        mod memory {
            $( #[test] fn $case() { super::run(&super::InMemory, super::$case); } )+
        }
        mod faulty {
            $( #[test] fn $case() { super::run(&super::WithoutFaults, super::$case); } )+
        }
        #[cfg(feature = "rocksdb")]
        mod rocks {
            use super::super::subject::OnRocks;
            $( #[test] fn $case() { super::run(&OnRocks, super::$case); } )+
        }
    };
}

conformance! {
    later_operations_of_a_batch_win
    an_empty_value_is_a_value
    families_do_not_see_each_other
    a_range_is_deleted_up_to_its_end
    a_snapshot_does_not_move
    a_cursor_stays_inside_its_range
    a_cursor_that_ran_off_stays_off
    many_keys_are_looked_up_like_one_after_the_other
    a_cursor_crosses_from_prefix_to_prefix
    a_batch_is_seen_whole_or_not_at_all
    a_file_covers_what_was_there
    a_bad_file_changes_nothing
    a_checkpoint_is_an_engine_of_its_own
    a_size_is_about_right
    random_work_matches_the_model
    random_work_on_the_raft_layout_matches_the_model
}

/// What a case gets: an empty kv engine, and a directory for its files.
struct Case<'a> {
    subject: &'a dyn Subject,
    engine: Arc<dyn Engine>,
    dir: &'a Path,
}

fn run(subject: &dyn Subject, case: fn(&Case<'_>)) {
    let dir = tempfile::tempdir().unwrap();
    let engine = subject.open(&dir.path().join("engine"), Layout::Kv);
    case(&Case { subject, engine, dir: dir.path() });
}

impl Case<'_> {
    fn put(&self, cf: Cf, key: &'static str, value: &'static str) {
        let mut batch = WriteBatch::new();
        batch.put(cf, key.as_bytes(), value.as_bytes());
        self.engine.write(&batch, Unsynced).unwrap();
    }

    fn get(&self, cf: Cf, key: &str) -> Option<String> {
        let value = self.engine.get(cf, key.as_bytes()).unwrap();
        value.map(|value| String::from_utf8(value.to_vec()).unwrap())
    }

    fn keys(&self, cf: Cf, range: KeyRange<'_>) -> Vec<String> {
        let snapshot = self.engine.snapshot().unwrap();
        let entries = model::forward(&mut *snapshot.cursor(cf, range).unwrap());
        assert_eq!(model::forward(&mut *snapshot.sweep(cf, range).unwrap()), entries);
        entries.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect()
    }

    fn write_file(&self, name: &str, entries: &[(&str, &str)]) -> std::path::PathBuf {
        let path = self.dir.join(name);
        let mut writer = self.engine.sst_writer(Cf::Write, &path).unwrap();
        for (key, value) in entries {
            writer.put(key.as_bytes(), value.as_bytes()).unwrap();
        }
        let info = writer.finish().unwrap();
        let on_disk = std::fs::metadata(&path).unwrap().len();
        assert_eq!((info.keys, info.size_bytes), (entries.len() as u64, on_disk));
        path
    }
}

fn later_operations_of_a_batch_win(case: &Case<'_>) {
    let mut batch = WriteBatch::new();
    batch.put(Cf::Default, &b"a"[..], &b"1"[..]);
    batch.put(Cf::Default, &b"a"[..], &b"2"[..]);
    batch.put(Cf::Default, &b"b"[..], &b"1"[..]);
    batch.delete(Cf::Default, &b"b"[..]);
    batch.put(Cf::Default, &b"c"[..], &b"1"[..]);
    batch.delete_range(Cf::Default, &b"c"[..], &b"d"[..]);
    batch.put(Cf::Default, &b"c"[..], &b"3"[..]);
    case.engine.write(&batch, Synced).unwrap();
    assert_eq!(case.get(Cf::Default, "a").as_deref(), Some("2"));
    assert_eq!(case.get(Cf::Default, "b"), None);
    assert_eq!(case.get(Cf::Default, "c").as_deref(), Some("3"));
}

fn an_empty_value_is_a_value(case: &Case<'_>) {
    case.put(Cf::Default, "a", "");
    case.put(Cf::Default, "", "the empty key is a key");
    assert_eq!(case.get(Cf::Default, "a").as_deref(), Some(""));
    assert_eq!(case.keys(Cf::Default, KeyRange::ALL), ["", "a"]);
}

fn families_do_not_see_each_other(case: &Case<'_>) {
    for cf in Cf::ALL {
        case.put(cf, "key", cf.name());
    }
    let mut batch = WriteBatch::new();
    batch.delete_range(Cf::Lock, &b""[..], &b""[..]);
    case.engine.write(&batch, Unsynced).unwrap();
    assert_eq!(case.get(Cf::Lock, "key"), None);
    for cf in [Cf::Default, Cf::Write, Cf::Local] {
        assert_eq!(case.get(cf, "key").as_deref(), Some(cf.name()));
    }
}

fn a_range_is_deleted_up_to_its_end(case: &Case<'_>) {
    let cases: [(&str, &str, &[&str]); 5] = [
        ("b", "d", &["a", "d", "e"]),
        ("b", "b", &["a", "b", "c", "d", "e"]),
        ("d", "b", &["a", "b", "c", "d", "e"]),
        ("c", "", &["a", "b"]),
        ("", "", &[]),
    ];
    for (start, end, left) in cases {
        for key in ["a", "b", "c", "d", "e"] {
            case.put(Cf::Default, key, "value");
        }
        let mut batch = WriteBatch::new();
        batch.delete_range(Cf::Default, start.as_bytes(), end.as_bytes());
        case.engine.write(&batch, Unsynced).unwrap();
        assert_eq!(case.keys(Cf::Default, KeyRange::ALL), left, "{start}..{end}");
    }
}

fn a_snapshot_does_not_move(case: &Case<'_>) {
    for key in ["a", "b", "c", "d"] {
        case.put(Cf::Write, key, "old");
    }
    let snapshot = case.engine.snapshot().unwrap();
    case.put(Cf::Write, "a", "new");
    let mut batch = WriteBatch::new();
    batch.delete(Cf::Write, &b"b"[..]);
    batch.delete_range(Cf::Write, &b"c"[..], &b"d"[..]);
    case.engine.write(&batch, Synced).unwrap();
    let file = case.write_file("file", &[("d", "new"), ("e", "new")]);
    case.engine.ingest(Cf::Write, &[file]).unwrap();
    case.engine.flush().unwrap();

    let show = |pairs: Vec<(Vec<u8>, Vec<u8>)>| {
        pairs.iter().map(|(k, v)| [&k[..], b"=", v].concat()).collect::<Vec<_>>().join(&b' ')
    };
    let then = model::forward(&mut *snapshot.cursor(Cf::Write, KeyRange::ALL).unwrap());
    assert_eq!(show(then), b"a=old b=old c=old d=old");
    assert_eq!(snapshot.get(Cf::Write, b"b").unwrap().as_deref(), Some(&b"old"[..]));
    assert_eq!(snapshot.get(Cf::Write, b"e").unwrap(), None);
    let now = case.engine.snapshot().unwrap();
    let now = model::forward(&mut *now.cursor(Cf::Write, KeyRange::ALL).unwrap());
    assert_eq!(show(now), b"a=new d=new e=new");
}

fn a_cursor_stays_inside_its_range(case: &Case<'_>) {
    for key in ["a", "b", "c", "d", "e"] {
        case.put(Cf::Default, key, "value");
    }
    let cases: [(&str, &str, &[&str]); 6] = [
        ("", "", &["a", "b", "c", "d", "e"]),
        ("b", "d", &["b", "c"]),
        ("bb", "dd", &["c", "d"]),
        ("d", "b", &[]),
        ("f", "", &[]),
        ("", "a", &[]),
    ];
    let snapshot = case.engine.snapshot().unwrap();
    for (start, end, inside) in cases {
        let range = KeyRange::new(start.as_bytes(), end.as_bytes());
        assert_eq!(case.keys(Cf::Default, range), inside, "{start}..{end}");
        let mut cursor = snapshot.cursor(Cf::Default, range).unwrap();
        assert_eq!(model::backward(&mut *cursor).len(), inside.len(), "{start}..{end}");
        // Seeks beyond the range stop at its ends.
        assert_eq!(cursor.seek(b"").unwrap(), !inside.is_empty());
        let here = cursor.is_valid().then(|| cursor.key());
        assert_eq!(here, inside.first().map(|key| key.as_bytes()));
        assert_eq!(cursor.seek_for_prev(b"z").unwrap(), !inside.is_empty());
        let here = cursor.is_valid().then(|| cursor.key());
        assert_eq!(here, inside.last().map(|key| key.as_bytes()));
    }
}

fn a_cursor_that_ran_off_stays_off(case: &Case<'_>) {
    case.put(Cf::Default, "a", "1");
    let snapshot = case.engine.snapshot().unwrap();
    let mut cursor = snapshot.cursor(Cf::Default, KeyRange::ALL).unwrap();
    assert!(!cursor.next().unwrap() && !cursor.prev().unwrap(), "it stands nowhere yet");
    assert!(cursor.seek_to_first().unwrap());
    assert!(!cursor.next().unwrap());
    assert!(!cursor.prev().unwrap(), "it does not come back by itself");
    assert!(!cursor.is_valid());
    assert!(cursor.seek_to_last().unwrap());
    assert_eq!((cursor.key(), cursor.value()), (&b"a"[..], &b"1"[..]));
}

fn many_keys_are_looked_up_like_one_after_the_other(case: &Case<'_>) {
    let key = |number: u32| format!("key {number:05}").into_bytes();
    for cf in [Cf::Default, Cf::Lock, Cf::Write] {
        let keys: Vec<_> = (0..300).map(key).collect();
        for (number, key) in keys.iter().enumerate() {
            // Some in files, some in memory, some in both, some nowhere, some no longer.
            let mut batch = WriteBatch::new();
            match number % 5 {
                0 => continue,
                1 => batch.delete(cf, key.clone()),
                _ => batch.put(cf, key.clone(), key.clone()),
            }
            case.engine.write(&batch, Unsynced).unwrap();
            if number == 200 {
                case.engine.flush().unwrap();
            }
        }
        let mut batch = WriteBatch::new();
        batch.delete_range(cf, key(50), key(60));
        batch.put(cf, key(52), &b""[..]);
        case.engine.write(&batch, Unsynced).unwrap();
        let snapshot = case.engine.snapshot().unwrap();
        batch.clear();
        batch.delete_range(cf, key(0), key(290));
        case.engine.write(&batch, Unsynced).unwrap();

        let ascending: Vec<_> = keys.iter().map(Vec::as_slice).collect();
        let descending: Vec<_> = ascending.iter().rev().copied().collect();
        let twice = [&ascending[52..80], &ascending[40..60], &ascending[52..53]].concat();
        for keys in [ascending, descending, twice, vec![]] {
            let one_by_one: Vec<_> =
                keys.iter().map(|key| snapshot.get(cf, key).unwrap()).collect();
            assert_eq!(snapshot.get_many(cf, &keys).unwrap(), one_by_one, "{cf}");
        }
    }
}

/// Keys as versions of a few user keys have them: many that differ in their last eight bytes only, and
/// others that are shorter than those. Whatever an engine does to find the versions of one key faster,
/// its cursor goes on to the next key, both ways, also where it was sought with a key that is not there.
fn a_cursor_crosses_from_prefix_to_prefix(case: &Case<'_>) {
    let version = |user: &str, ts: u64| [user.as_bytes(), &(!ts).to_be_bytes()].concat();
    let mut keys: Vec<Vec<u8>> =
        [&b""[..], b"a", b"user", b"user-aa\xff"].map(<[u8]>::to_vec).into();
    for user in ["", "user-a", "user-b", "user-c", "user-e"] {
        keys.extend((1..=20).map(|ts| version(user, ts * 10)));
    }
    for (number, key) in keys.iter().enumerate() {
        let mut batch = WriteBatch::new();
        batch.put(Cf::Write, key.clone(), &b"1"[..]);
        case.engine.write(&batch, Unsynced).unwrap();
        if number % 30 == 29 {
            case.engine.flush().unwrap();
        }
    }
    keys.sort();
    let snapshot = case.engine.snapshot().unwrap();
    let mut cursor = snapshot.cursor(Cf::Write, KeyRange::ALL).unwrap();
    let users = ["", "user", "user-a", "user-b", "user-bb", "user-c", "user-d", "user-e", "user-f"];
    for user in users {
        for ts in [0, 5, 95, 100, 205, u64::MAX] {
            let target = version(user, ts);
            let at = keys.partition_point(|key| *key < target);
            let mut valid = cursor.seek(&target).unwrap();
            for key in keys[at..].iter().take(30) {
                assert!(valid && cursor.key() == key, "from {user:?} at {ts} forwards");
                valid = cursor.next().unwrap();
            }
            let at = keys.partition_point(|key| *key <= target);
            let mut valid = cursor.seek_for_prev(&target).unwrap();
            for key in keys[..at].iter().rev().take(30) {
                assert!(valid && cursor.key() == key, "from {user:?} at {ts} backwards");
                valid = cursor.prev().unwrap();
            }
        }
    }
}

fn a_batch_is_seen_whole_or_not_at_all(case: &Case<'_>) {
    const ROUNDS: u32 = 2000;
    let done = AtomicBool::new(false);
    let engine = &*case.engine;
    let write = |round: u32| {
        let mut batch = WriteBatch::new();
        for cf in [Cf::Default, Cf::Write] {
            batch.put(cf, &b"key"[..], round.to_be_bytes().to_vec());
        }
        engine.write(&batch, Unsynced).unwrap();
    };
    write(0);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            (1..=ROUNDS).for_each(write);
            done.store(true, Ordering::Release);
        });
        let mut seen = 0;
        while !done.load(Ordering::Acquire) {
            let snapshot = engine.snapshot().unwrap();
            let left = snapshot.get(Cf::Default, b"key").unwrap().unwrap();
            let right = snapshot.get(Cf::Write, b"key").unwrap().unwrap();
            assert_eq!(left, right, "a torn batch");
            let round = u32::from_be_bytes(left[..].try_into().unwrap());
            assert!(round >= seen, "time went back");
            seen = round;
        }
    });
    assert_eq!(engine.get(Cf::Write, b"key").unwrap().unwrap()[..], ROUNDS.to_be_bytes());
}

fn a_file_covers_what_was_there(case: &Case<'_>) {
    case.put(Cf::Write, "b", "old");
    case.put(Cf::Write, "z", "stays");
    let left = case.write_file("left", &[("a", "1"), ("b", "")]);
    let right = case.write_file("right", &[("m", "3")]);
    case.engine.ingest(Cf::Write, &[right.clone(), left.clone()]).unwrap();
    assert!(!left.exists() && !right.exists(), "the files belong to the engine now");
    assert_eq!(case.keys(Cf::Write, KeyRange::ALL), ["a", "b", "m", "z"]);
    assert_eq!(case.get(Cf::Write, "b").as_deref(), Some(""));
    case.put(Cf::Write, "b", "newer");
    assert_eq!(case.get(Cf::Write, "b").as_deref(), Some("newer"), "later writes win again");
    case.engine.ingest(Cf::Write, &[]).unwrap();

    let one = case.write_file("one", &[("x", "1"), ("y", "1")]);
    let two = case.write_file("two", &[("y", "2")]);
    case.engine.ingest(Cf::Write, &[one, two]).unwrap();
    assert_eq!(case.get(Cf::Write, "x").as_deref(), Some("1"));
    assert_eq!(case.get(Cf::Write, "y").as_deref(), Some("2"), "the later file wins");
}

fn a_bad_file_changes_nothing(case: &Case<'_>) {
    case.put(Cf::Write, "b", "old");
    let good = case.write_file("good", &[("a", "1"), ("c", "3")]);
    let content = std::fs::read(&good).unwrap();
    let cut = case.dir.join("cut");
    std::fs::write(&cut, &content[..content.len() / 2]).unwrap();
    let mixed = [good.clone(), cut.clone()];
    assert!(case.engine.ingest(Cf::Write, &mixed).is_err(), "a good file and half a file");
    assert!(good.exists() && cut.exists(), "the files stay where they were");
    assert!(case.engine.ingest(Cf::Write, &[cut]).is_err(), "half a file");
    assert!(case.engine.ingest(Cf::Write, &[case.dir.join("nothing")]).is_err(), "no file");
    assert!(case.engine.sst_writer(Cf::Write, &good).is_err(), "the file exists");

    let mut writer = case.engine.sst_writer(Cf::Write, &case.dir.join("order")).unwrap();
    writer.put(b"b", b"").unwrap();
    assert!(writer.put(b"a", b"").is_err(), "keys out of order");
    let writer = case.engine.sst_writer(Cf::Write, &case.dir.join("empty")).unwrap();
    assert!(writer.finish().is_err(), "a file without a key");

    assert_eq!(case.keys(Cf::Write, KeyRange::ALL), ["b"]);
    assert_eq!(case.get(Cf::Write, "b").as_deref(), Some("old"));
    case.engine.ingest(Cf::Write, &[good]).unwrap();
    assert_eq!(case.keys(Cf::Write, KeyRange::ALL), ["a", "b", "c"], "the engine goes on");
}

fn a_checkpoint_is_an_engine_of_its_own(case: &Case<'_>) {
    case.put(Cf::Default, "a", "1");
    case.put(Cf::Local, "b", "");
    let dir = case.dir.join("deep/checkpoint");
    std::fs::create_dir(case.dir.join("deep")).unwrap();
    case.engine.checkpoint(&dir).unwrap();
    assert!(case.engine.checkpoint(&dir).is_err(), "the directory exists");
    case.put(Cf::Default, "a", "2");
    let twin = case.subject.open_checkpoint(&dir, Layout::Kv);
    assert_eq!(twin.get(Cf::Default, b"a").unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(twin.get(Cf::Local, b"b").unwrap().as_deref(), Some(&b""[..]));
    let mut batch = WriteBatch::new();
    batch.delete(Cf::Default, &b"a"[..]);
    twin.write(&batch, Synced).unwrap();
    assert_eq!(case.get(Cf::Default, "a").as_deref(), Some("2"));
}

fn a_size_is_about_right(case: &Case<'_>) {
    const VALUE_BYTES: u64 = 1000;
    let mut random = runtime::Rng::new(1);
    for key in 0..400_u32 {
        let mut batch = WriteBatch::new();
        let value: Vec<u8> = (0..VALUE_BYTES).map(|_| random.next_u64().to_le_bytes()[0]).collect();
        batch.put(Cf::Default, key.to_be_bytes().to_vec(), value);
        case.engine.write(&batch, Unsynced).unwrap();
    }
    case.engine.flush().unwrap();
    let size = |from: u32, to: u32| {
        let (from, to) = (from.to_be_bytes(), to.to_be_bytes());
        case.engine.approximate_size(Cf::Default, KeyRange::new(&from, &to)).unwrap()
    };
    let all = case.engine.approximate_size(Cf::Default, KeyRange::ALL).unwrap();
    let about = |size: u64, values: u64| {
        let exact = values * VALUE_BYTES;
        size > exact / 2 && size < exact * 2
    };
    assert!(about(all, 400), "{all}");
    assert!(about(size(100, 300), 200), "{}", size(100, 300));
    assert_eq!(size(300, 100), 0, "a reversed range is empty");
    assert!(size(1000, 2000) < VALUE_BYTES * 50, "{}", size(1000, 2000));
    assert_eq!(case.engine.approximate_size(Cf::Lock, KeyRange::ALL).unwrap(), 0);
}

fn random_work_matches_the_model(case: &Case<'_>) {
    random_work(case.subject, Layout::Kv);
}

fn random_work_on_the_raft_layout_matches_the_model(case: &Case<'_>) {
    random_work(case.subject, Layout::Raft);
}

/// Opening files takes a while, so an engine that has some gets fewer rounds.
fn random_work(subject: &dyn Subject, layout: Layout) {
    let cases = if subject.remembers() { 48 } else { 512 };
    let mut runner =
        TestRunner::new(PropConfig { cases, source_file: Some(file!()), ..PropConfig::default() });
    let outcome = runner.run(&model::steps(layout), |steps| {
        model::compare(subject, layout, &steps);
        Ok::<(), TestCaseError>(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
#[should_panic(expected = "has no family write")]
fn the_raft_layout_has_one_space() {
    let _ = InMemory.open(Path::new(""), Layout::Raft).get(Cf::Write, b"key");
}
