//! What RocksDB's directory can look like, and what the engine makes of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::model;
use crate::Durability::{Synced, Unsynced};
use crate::{
    Cf, Config, Cursor, Durability, Engine, Engines, Error, KeyRange, Layout, OpenMode, Recovery,
    Result, Rocks, WriteBatch,
};

fn open(dir: &Path, layout: Layout, recovery: Recovery) -> Result<Rocks> {
    Rocks::open(dir, layout, &Config::default(), OpenMode::CreateIfMissing, recovery)
}

fn key(number: u32) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

/// A value that no other key has.
fn value(number: u32) -> Vec<u8> {
    let mut random = runtime::Rng::new(u64::from(number));
    (0..100).map(|_| random.next_u64().to_le_bytes()[0]).collect()
}

fn write(engine: &Rocks, numbers: std::ops::Range<u32>, durability: Durability) {
    for number in numbers {
        let mut batch = WriteBatch::new();
        batch.put(Cf::Local, key(number), value(number));
        engine.write(&batch, durability).unwrap();
    }
}

/// How many of the first keys are there; the rest must not be.
fn prefix(engine: &Rocks, numbers: u32) -> u32 {
    let found = |&number: &u32| engine.get(Cf::Local, &key(number)).unwrap().is_some();
    let length = (0..numbers).find(|number| !found(number)).unwrap_or(numbers);
    assert!(!(length..numbers).any(|number| found(&number)), "a hole after {length}");
    length
}

fn refusal(outcome: Result<Rocks>) -> Error {
    outcome.map(|_| ()).expect_err("the engine must not open")
}

/// The files of a kind, with their content.
fn files(dir: &Path, ending: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let wanted = paths.filter(|path| path.to_string_lossy().ends_with(ending));
    wanted.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn only_log(dir: &Path) -> (PathBuf, Vec<u8>) {
    let logs = files(dir, ".log");
    assert_eq!(logs.len(), 1, "{:?}", logs.keys());
    logs.into_iter().next().unwrap()
}

#[test]
fn a_directory_that_cannot_be_used_is_refused_with_advice() {
    let home = tempfile::tempdir().unwrap();
    let dir = |name: &str| home.path().join(name);
    fs::write(dir("file"), "").unwrap();
    fs::create_dir(dir("open-to-all")).unwrap();
    fs::set_permissions(dir("open-to-all"), fs::Permissions::from_mode(0o777)).unwrap();
    fs::create_dir(dir("empty")).unwrap();
    for name in ["raft", "nameless"] {
        drop(open(&dir(name), Layout::Raft, Recovery::Strict).unwrap());
    }
    fs::remove_file(dir("nameless/ENGINE")).unwrap();

    let cases = [
        (dir("file"), OpenMode::CreateIfMissing, "it is a file"),
        (dir("file/below"), OpenMode::CreateIfMissing, "could not be created"),
        (PathBuf::from("/proc/engine"), OpenMode::CreateIfMissing, "could not be created"),
        (dir("open-to-all"), OpenMode::CreateIfMissing, "chmod o-w"),
        (dir("missing"), OpenMode::MustExist, "does not exist"),
        (dir("empty"), OpenMode::MustExist, "holds no engine"),
        (dir("raft"), OpenMode::CreateIfMissing, "it holds the raft engine"),
        (dir("nameless"), OpenMode::CreateIfMissing, "belongs to another program"),
    ];
    for (path, mode, advice) in cases {
        let opened =
            Rocks::open(&path, Layout::Kv, &Config::default(), mode, Recovery::PointInTime);
        let error = refusal(opened);
        assert!(matches!(error, Error::Open { .. }), "{error:?}");
        let message = error.to_string();
        assert!(message.contains(advice) && message.contains(path.to_str().unwrap()), "{message}");
    }
    assert!(!dir("missing").exists(), "a tool creates nothing by a mistyped path");
}

#[test]
fn a_new_directory_is_private_and_keeps_its_content() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("deep/store");
    let engines = Engines::open(&dir, &Config::default(), OpenMode::CreateIfMissing).unwrap();
    let mut batch = WriteBatch::new();
    batch.put(Cf::Local, &b"key"[..], &b"value"[..]);
    engines.raft.write(&batch, Synced).unwrap();
    engines.kv.write(&batch, Unsynced).unwrap();
    drop(engines);
    for name in ["kv", "raft"] {
        let mode = fs::metadata(dir.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{name}");
    }
    let engines = Engines::open(&dir, &Config::default(), OpenMode::MustExist).unwrap();
    for engine in [&engines.kv, &engines.raft] {
        assert!(engine.get(Cf::Local, b"key").unwrap().is_some());
    }
}

#[test]
fn a_directory_in_use_is_refused_within_a_process() {
    let home = tempfile::tempdir().unwrap();
    let first = open(home.path(), Layout::Kv, Recovery::PointInTime).unwrap();
    let error = refusal(open(home.path(), Layout::Kv, Recovery::PointInTime));
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    write(&first, 0..1, Synced);
}

/// Names the directory that a copy of this test opens and holds, in a process of its own.
const HOLD: &str = "TINYKV_TEST_HOLD_ENGINE";

#[test]
fn a_directory_in_use_by_another_process_is_refused() {
    if let Some(dir) = std::env::var_os(HOLD) {
        let _engine = open(Path::new(&dir), Layout::Kv, Recovery::PointInTime).unwrap();
        let mut out = std::io::stdout();
        out.write_all(b"\nholding\n").and_then(|()| out.flush()).unwrap();
        // Until the other process closes our standard input.
        assert_eq!(std::io::stdin().lines().count(), 0);
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let name = "tests::rocks::a_directory_in_use_by_another_process_is_refused";
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(HOLD, home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "holding"), "the other process opened the engine");
    let outcome = open(home.path(), Layout::Kv, Recovery::PointInTime);
    drop(holder.stdin.take());
    let rest = lines.count();
    assert!(holder.wait().unwrap().success(), "after {rest} more lines");
    let message = refusal(outcome).to_string();
    assert!(message.contains("another process"), "{message}");
    assert!(message.contains(home.path().to_str().unwrap()), "{message}");
    open(home.path(), Layout::Kv, Recovery::PointInTime).unwrap();
}

#[test]
fn the_kv_engine_recovers_to_the_first_damage() {
    let home = tempfile::tempdir().unwrap();
    write(&open(home.path(), Layout::Kv, Recovery::PointInTime).unwrap(), 0..100, Unsynced);
    let (log, mut content) = only_log(home.path());
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(&log, content).unwrap();
    let engine = open(home.path(), Layout::Kv, Recovery::PointInTime).unwrap();
    let left = prefix(&engine, 100);
    assert!((40..60).contains(&left), "{left}");
}

#[test]
fn the_raft_engine_refuses_to_forget_what_was_synced() {
    let home = tempfile::tempdir().unwrap();
    write(&open(home.path(), Layout::Raft, Recovery::Strict).unwrap(), 0..100, Synced);
    let (log, whole) = only_log(home.path());
    let flip = |at: usize| {
        let mut content = whole.clone();
        content[at] ^= 0x10;
        content
    };
    let damages = [
        ("the first byte", flip(0)),
        ("the middle", flip(whole.len() / 2)),
        ("the last byte", flip(whole.len() - 1)),
        ("the last record", whole[..whole.len() - 60].to_vec()),
        ("the last byte cut off", whole[..whole.len() - 1].to_vec()),
        ("everything", Vec::new()),
    ];
    for (what, content) in damages {
        fs::write(&log, &content).unwrap();
        for attempt in 0..2 {
            let error = refusal(open(home.path(), Layout::Raft, Recovery::Strict));
            assert!(error.is_corrupt(), "{what}, attempt {attempt}: {error}");
            let message = error.to_string();
            assert!(message.contains("nothing was deleted"), "{what}: {message}");
            assert!(message.contains(home.path().to_str().unwrap()), "{what}: {message}");
        }
        assert_eq!(fs::read(&log).unwrap(), content, "{what}: nothing was changed");
    }
}

#[test]
fn the_raft_engine_forgets_a_torn_end_that_was_never_synced() {
    let home = tempfile::tempdir().unwrap();
    let engine = open(home.path(), Layout::Raft, Recovery::Strict).unwrap();
    write(&engine, 0..50, Synced);
    let (log, synced) = only_log(home.path());
    write(&engine, 50..100, Unsynced);
    drop(engine);
    let (_, whole) = only_log(home.path());
    assert!(whole.len() > synced.len() + 1000);
    fs::write(&log, &whole[..whole.len() - 1000]).unwrap();

    let engine = open(home.path(), Layout::Raft, Recovery::Strict).unwrap();
    let left = prefix(&engine, 100);
    assert!((50..100).contains(&left), "{left}");
    write(&engine, left..100, Synced);
    drop(engine);
    let engine = open(home.path(), Layout::Raft, Recovery::Strict).unwrap();
    assert_eq!(prefix(&engine, 100), 100, "the engine goes on from there");
}

/// Two files of the log are alive: the first holds a key whose family was never flushed.
#[test]
fn a_file_of_the_log_that_is_gone_from_the_middle_is_noticed() {
    let home = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.kv.write_buffer = runtime::units::Bytes::kib(64);
    let open = || {
        let mode = OpenMode::CreateIfMissing;
        Rocks::open(home.path(), Layout::Kv, &config, mode, Recovery::Strict)
    };
    let engine = open().unwrap();
    write(&engine, 0..1, Synced);
    for number in 0..20 {
        let mut batch = WriteBatch::new();
        batch.put(Cf::Default, key(number), vec![0; 32 << 10]);
        engine.write(&batch, Synced).unwrap();
    }
    drop(engine);
    assert_eq!(prefix(&open().unwrap(), 1), 1);
    let engine = open().unwrap();
    write(&engine, 1..2, Synced);
    for number in 0..20 {
        let mut batch = WriteBatch::new();
        batch.put(Cf::Default, key(number), vec![1; 32 << 10]);
        engine.write(&batch, Synced).unwrap();
    }
    drop(engine);
    let logs = files(home.path(), ".log");
    assert!(logs.len() > 1, "{:?}", logs.keys());
    let (oldest, _) = logs.iter().next().unwrap();
    fs::remove_file(oldest).unwrap();
    let error = refusal(open());
    assert!(error.is_corrupt(), "{error}");
}

#[test]
fn a_log_that_is_written_over_ends_where_the_new_one_does() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("raft");
    let engine = open(&dir, Layout::Raft, Recovery::Strict).unwrap();
    // Two logs become unnecessary; the first of them is the third.
    for (numbers, wanted) in [(0..400, 400), (400..410, 410)] {
        write(&engine, numbers, Synced);
        engine.flush().unwrap();
        assert_eq!(prefix(&engine, 500), wanted);
    }
    write(&engine, 410..420, Synced);
    let (_, newest) = files(&dir, ".log").pop_last().unwrap();
    assert!(newest.len() > 40_000, "what is left of 400 values lies behind 10: {}", newest.len());
    // What a killed process leaves.
    let copy = home.path().join("copy");
    fs::create_dir(&copy).unwrap();
    for (path, content) in files(&dir, "") {
        fs::write(copy.join(path.file_name().unwrap()), content).unwrap();
    }
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o700)).unwrap();
    for round in 1..4 {
        let again = open(&copy, Layout::Raft, Recovery::Strict).unwrap();
        assert_eq!(prefix(&again, 500), 410 + round * 10);
        write(&again, 410 + round * 10..420 + round * 10, Synced);
    }
}

#[test]
fn an_engine_without_its_first_file_is_not_taken_for_a_new_one() {
    let home = tempfile::tempdir().unwrap();
    let engine = open(home.path(), Layout::Raft, Recovery::Strict).unwrap();
    write(&engine, 0..10, Synced);
    engine.flush().unwrap();
    write(&engine, 10..20, Synced);
    drop(engine);
    let current = home.path().join("CURRENT");
    let content = fs::read(&current).unwrap();
    fs::remove_file(&current).unwrap();
    let before = (files(home.path(), ".sst"), files(home.path(), ".log"));
    for _ in 0..2 {
        let error = refusal(open(home.path(), Layout::Raft, Recovery::Strict));
        assert!(error.is_corrupt() && error.to_string().contains("CURRENT is missing"), "{error}");
    }
    assert_eq!(before, (files(home.path(), ".sst"), files(home.path(), ".log")));
    fs::write(&current, content).unwrap();
    let engine = open(home.path(), Layout::Raft, Recovery::Strict).unwrap();
    assert_eq!(prefix(&engine, 20), 20);
}

#[test]
fn a_raft_engine_that_is_gone_is_not_replaced_by_an_empty_one() {
    let home = tempfile::tempdir().unwrap();
    let open = || Engines::open(home.path(), &Config::default(), OpenMode::CreateIfMissing);
    drop(open().unwrap());
    fs::remove_dir_all(home.path().join("raft")).unwrap();
    let error = open().map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("no raft engine beside it"), "{error}");
    assert!(!home.path().join("raft").exists());
}

/// A start that was cut off after some of the families: the next one goes on.
#[test]
fn a_creation_that_was_cut_off_is_continued() {
    let home = tempfile::tempdir().unwrap();
    drop(open(home.path(), Layout::Raft, Recovery::PointInTime).unwrap());
    fs::write(home.path().join("ENGINE"), "kv\n").unwrap();
    let engine = open(home.path(), Layout::Kv, Recovery::PointInTime).unwrap();
    assert_eq!(engine.get(Cf::Write, b"key").unwrap(), None);
}

#[test]
fn a_log_that_is_gone_is_noticed() {
    let home = tempfile::tempdir().unwrap();
    write(&open(home.path(), Layout::Raft, Recovery::Strict).unwrap(), 0..10, Synced);
    let (log, _) = only_log(home.path());
    fs::remove_file(log).unwrap();
    let error = refusal(open(home.path(), Layout::Raft, Recovery::Strict));
    assert!(error.is_corrupt() && error.to_string().contains("synced writes are lost"), "{error}");
}

/// Flips one byte in every stretch of a sorted file. What is read is right or an error, never wrong,
/// and the error names the file.
#[test]
fn a_damaged_file_is_noticed_at_open_or_at_the_first_read() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("engine");
    let engine = open(&dir, Layout::Kv, Recovery::PointInTime).unwrap();
    write(&engine, 0..400, Unsynced);
    engine.flush().unwrap();
    drop(engine);
    let sorted = files(&dir, ".sst");
    let (name, whole) = sorted.iter().next().expect("the flush wrote a file");

    let (mut at_open, mut at_read) = (0, 0);
    for at in (0..whole.len()).step_by(whole.len() / 23) {
        let mut content = whole.clone();
        content[at] ^= 0x01;
        fs::write(name, content).unwrap();
        let error = match open(&dir, Layout::Kv, Recovery::PointInTime) {
            Ok(engine) => match read_everything(&engine) {
                Ok(()) => continue,
                Err(error) => {
                    at_read += 1;
                    error
                }
            },
            Err(error) => {
                at_open += 1;
                error
            }
        };
        assert!(error.is_corrupt(), "at {at}: {error}");
        assert!(error.to_string().contains(name.to_str().unwrap()), "at {at}: {error}");
        assert!(name.exists(), "nothing was deleted");
    }
    fs::write(name, &whole[..whole.len() - 1]).unwrap();
    let error = open(&dir, Layout::Kv, Recovery::PointInTime)
        .and_then(|engine| read_everything(&engine))
        .expect_err("the file is cut short");
    assert!(error.is_corrupt(), "{error}");
    assert!(at_read >= 15, "{at_read} found when reading, {at_open} when opening");

    fs::remove_file(name).unwrap();
    let error = refusal(open(&dir, Layout::Kv, Recovery::PointInTime));
    assert!(error.is_corrupt(), "{error}");
}

fn read_everything(engine: &Rocks) -> Result<()> {
    for number in 0..400 {
        let found = engine.get(Cf::Local, &key(number))?;
        assert_eq!(found.as_deref(), Some(&value(number)[..]), "a wrong value");
    }
    let snapshot = engine.snapshot()?;
    let mut cursor = snapshot.cursor(Cf::Local, KeyRange::ALL)?;
    let mut on_key = cursor.seek_to_first()?;
    for number in 0..400 {
        assert!(on_key, "a key is missing");
        assert_eq!((cursor.key(), cursor.value()), (&key(number)[..], &value(number)[..]));
        on_key = cursor.next()?;
    }
    assert!(!on_key);
    Ok(())
}

#[test]
fn writers_in_many_threads_keep_the_synced_position_true() {
    let home = tempfile::tempdir().unwrap();
    let engine = open(home.path(), Layout::Raft, Recovery::Strict).unwrap();
    std::thread::scope(|threads| {
        for thread in 0..4_u32 {
            let engine = &engine;
            threads.spawn(move || {
                let first = thread * 100;
                for number in first..first + 100 {
                    let durability = if number % 3 == 0 { Synced } else { Unsynced };
                    write(engine, number..number + 1, durability);
                }
                engine.sync().unwrap();
            });
        }
    });
    drop(engine);
    let engine = open(home.path(), Layout::Raft, Recovery::Strict).unwrap();
    assert_eq!(prefix(&engine, 400), 400);
}

#[test]
fn a_look_reads_what_was_written_and_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let (dir, config) = (home.path().join("store"), Config::default());
    assert!(Engines::look_into(&dir, &config).is_err_and(|e| e.to_string().contains("no engine")));
    let engines = Engines::open(&dir, &config, OpenMode::CreateIfMissing).unwrap();
    let mut batch = WriteBatch::new();
    batch.put(Cf::Local, &b"k"[..], &b"v"[..]);
    for engine in [&engines.kv, &engines.raft] {
        engine.write(&batch, Durability::Synced).unwrap();
    }
    drop(engines);
    let files = |name: &str| std::fs::read_dir(dir.join(name)).unwrap().count();
    let before = (files("kv"), files("raft"));
    let look = Engines::look_into(&dir, &config).unwrap();
    for engine in [&look.kv, &look.raft] {
        assert_eq!(engine.get(Cf::Local, b"k").unwrap().unwrap(), "v");
        assert!(engine.write(&batch, Durability::Synced).is_err());
    }
    assert_eq!((files("kv"), files("raft")), before);
}

#[test]
fn a_sweep_keeps_nothing_of_what_it_read() {
    let home = tempfile::tempdir().unwrap();
    let engine = open(home.path(), Layout::Kv, Recovery::PointInTime).unwrap();
    write(&engine, 0..1000, Unsynced);
    engine.flush().unwrap();
    let cached = || engine.statistics().unwrap().cache_bytes;
    let before = cached();
    let snapshot = engine.snapshot().unwrap();
    let count = |mut cursor: Box<dyn Cursor + '_>| model::forward(&mut *cursor).len();
    assert_eq!(count(snapshot.sweep(Cf::Local, KeyRange::ALL).unwrap()), 1000);
    assert_eq!(cached(), before);
    assert_eq!(count(snapshot.cursor(Cf::Local, KeyRange::ALL).unwrap()), 1000);
    assert!(cached() > before + 1000 * 100, "{before} became {}", cached());
}
