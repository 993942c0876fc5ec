//! How many, how much, how long; and what is in use stays.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use engine::{Cf, Cursor, Engine, KeyRange, Layout, Memory, Snapshot};
use runtime::clock::{Clock, ManualClock};
use runtime::log::{Capture, Level};

use super::{KEY, Pair, Pairs, ROOMY, build_all, engine_with, log, manager, names, region};
use crate::snapshot::registry::{Registry, SNAPSHOTS_MAX};
use crate::snapshot::{
    Error, Incoming, Limits, Outgoing, Side, SnapId, SnapKey, SnapManager, Stage, build, ingest,
    transfer,
};

fn limited(pair: &Pair, limits: Limits) -> SnapManager {
    SnapManager::open(pair.receiver.dir(), limits, log()).unwrap()
}

/// The same snapshot under another index.
fn at(index: u64) -> SnapKey {
    SnapKey { index, ..KEY }
}

#[test]
fn a_snapshot_is_received_once_at_a_time() {
    let pair = Pair::new();
    let first = Incoming::open(&pair.receiver, KEY, &pair.data).unwrap();
    let second = Incoming::open(&pair.receiver, KEY, &pair.data).unwrap_err();
    assert_eq!(second.to_string(), "snapshots have to wait: the same one is in use");
    assert!(second.is_busy() && !second.is_unusable());
    assert!(pair.receiver.delete(KEY, Side::Received).unwrap_err().is_busy());
    assert!(matches!(pair.receiver.accept(KEY, &pair.data), Err(Error::Missing { .. })));
    drop(first);
    transfer(&pair.sender, &pair.receiver, KEY, &pair.data).unwrap();
}

#[test]
fn so_many_are_sent_and_received_and_built_at_a_time() {
    let pair = Pair::new();
    let manager = limited(&pair, Limits { sends: 2, receives: 2, builds: 1, ..ROOMY });
    let incoming: Vec<_> =
        (0..2).map(|n| Incoming::open(&manager, at(n), &pair.data).unwrap().unwrap()).collect();
    let refused = Incoming::open(&manager, at(2), &pair.data).unwrap_err();
    assert!(refused.to_string().contains("too many are being received"), "{refused}");

    build_all(&pair.engine, &manager);
    let outgoing: Vec<_> =
        (0..2).map(|_| Outgoing::open(&manager, KEY, &pair.data, 16).unwrap()).collect();
    let refused = Outgoing::open(&manager, KEY, &pair.data, 16).unwrap_err();
    assert!(refused.to_string().contains("too many are being sent"), "{refused}");

    let building = manager.write(SnapId { key: at(5), side: Side::Built }, 0).unwrap();
    let snapshot = pair.engine.snapshot().unwrap();
    let again = || build(&*snapshot, &pair.engine, &region(b"", b""), at(6), &manager);
    let refused = again().unwrap_err();
    assert!(refused.to_string().contains("too many are being built"), "{refused}");

    drop((incoming, outgoing, building));
    assert_eq!(manager.list(), [(SnapId { key: KEY, side: Side::Built }, Stage::Built)]);
    again().unwrap();
    assert!(Incoming::open(&manager, at(2), &pair.data).unwrap().is_some());
    assert!(Outgoing::open(&manager, KEY, &pair.data, 16).is_ok());
}

#[test]
fn a_reception_that_does_not_fit_waits_and_one_that_never_will_is_refused() {
    let pair = Pair::new();
    let size = pair.data.file_size;
    let manager = limited(&pair, Limits { space_bytes: 2 * size - 1, ..ROOMY });
    let first = Incoming::open(&manager, at(1), &pair.data).unwrap();
    let refused = Incoming::open(&manager, at(2), &pair.data).unwrap_err();
    assert!(refused.is_busy() && refused.to_string().contains("space is used up"), "{refused}");
    drop(first);
    assert!(Incoming::open(&manager, at(2), &pair.data).unwrap().is_some());

    let small = limited(&pair, Limits { space_bytes: size - 1, ..ROOMY });
    let refused = Incoming::open(&small, KEY, &pair.data).unwrap_err();
    assert!(matches!(refused, Error::Invalid(_)), "{refused}");
    assert_eq!(small.bytes(), 0);
}

/// Shows the first family and fails for the others.
struct FirstFamily(Arc<dyn Snapshot>);

impl Snapshot for FirstFamily {
    fn get(&self, cf: Cf, key: &[u8]) -> engine::Result<Option<bytes::Bytes>> {
        self.0.get(cf, key)
    }

    fn cursor<'a>(&'a self, cf: Cf, range: KeyRange<'_>) -> engine::Result<Box<dyn Cursor + 'a>> {
        match cf {
            Cf::Default => self.0.cursor(cf, range),
            Cf::Lock | Cf::Write | Cf::Local => {
                Err(engine::Error::Invalid { reason: "nobody needs it".to_owned() })
            }
        }
    }
}

#[test]
fn a_build_stops_as_soon_as_its_space_is_used_up() {
    let mut pairs = Pairs::new();
    for n in 0..64_u8 {
        pairs.insert((Cf::Default, vec![n]), vec![n; 64 << 10]);
    }
    let pair = Pair::new();
    let manager = limited(&pair, Limits { space_bytes: 2 << 20, ..ROOMY });
    let engine = engine_with(&pairs);
    let first = FirstFamily(engine.snapshot().unwrap());
    let refused = build(&first, &engine, &region(b"", b""), KEY, &manager).unwrap_err();
    assert!(refused.is_busy(), "it does not come to the second family: {refused}");
    assert_eq!((manager.bytes(), names(manager.dir())), (0, vec![]));

    let third = region(b"", &[20]);
    build(&*engine.snapshot().unwrap(), &engine, &third, KEY, &manager).unwrap();
    assert!(manager.bytes() > 20 * (64 << 10));
}

#[test]
fn small_snapshots_are_counted_too() {
    let mut registry = Registry::new(Limits { builds: u32::MAX, ..ROOMY });
    let id = |index: usize| SnapId { key: at(index as u64), side: Side::Built };
    for index in 0..SNAPSHOTS_MAX {
        registry.begin_write(id(index), 0).unwrap();
    }
    let refused = registry.begin_write(id(SNAPSHOTS_MAX), 0).unwrap_err();
    assert!(refused.to_string().contains("too many of them"), "{refused}");
    registry.forget(id(0));
    registry.begin_write(id(SNAPSHOTS_MAX), 0).unwrap();
}

#[test]
fn what_nobody_uses_goes_when_it_is_old() {
    let pair = Pair::new();
    transfer(&pair.sender, &pair.receiver, KEY, &pair.data).unwrap();
    let (clock, manager) = (ManualClock::new(), &pair.receiver);
    assert_eq!(manager.gc(clock.now()).unwrap(), 0, "the age counts from here");
    clock.advance(ROOMY.age / 2);
    let hold = manager.accept(KEY, &pair.data).unwrap();
    for _ in 0..3 {
        clock.advance(ROOMY.age * 2);
        assert_eq!(manager.gc(clock.now()).unwrap(), 0, "it is in use");
    }
    assert!(manager.delete(KEY, Side::Received).unwrap_err().is_busy());
    drop(hold);
    assert_eq!(manager.gc(clock.now()).unwrap(), 0, "it was in use until now");
    clock.advance(ROOMY.age.saturating_sub(Duration::from_nanos(1)));
    assert_eq!(manager.gc(clock.now()).unwrap(), 0);
    assert!(manager.exists(KEY, Side::Received));
    clock.advance(Duration::from_nanos(1));
    assert_eq!(manager.gc(clock.now()).unwrap(), 1);
    assert_eq!((manager.list(), manager.bytes(), names(manager.dir())), (vec![], 0, vec![]));
    assert!(pair.sender.exists(KEY, Side::Built), "another folder is another matter");
}

#[test]
fn what_nobody_needs_any_more_goes_with_its_last_user() {
    let pair = Pair::new();
    let (receiver, side) = (&pair.receiver, Side::Received);
    receiver.retire(KEY, side).unwrap();
    let incoming = Incoming::open(receiver, KEY, &pair.data).unwrap();
    assert!(receiver.retire(KEY, side).unwrap_err().is_busy(), "it may yet be needed");
    drop(incoming);
    transfer(&pair.sender, receiver, KEY, &pair.data).unwrap();
    let users = [(); 2].map(|()| receiver.accept(KEY, &pair.data).unwrap());
    receiver.retire(KEY, side).unwrap();
    assert!(receiver.accept(KEY, &pair.data).is_err() && !receiver.exists(KEY, side));
    let [first, last] = users;
    drop(first);
    assert_eq!(names(receiver.dir()).len(), 3);
    drop(last);
    assert_eq!((receiver.list(), names(receiver.dir())), (vec![], vec![]));

    transfer(&pair.sender, receiver, KEY, &pair.data).unwrap();
    receiver.retire(KEY, side).unwrap();
    assert_eq!((receiver.list(), names(receiver.dir())), (vec![], vec![]));
}

#[test]
fn what_is_not_ours_is_left_alone_and_reported_once() {
    let pair = Pair::new();
    let dir = pair.sender.dir();
    std::fs::write(dir.join("notes.txt"), b"mine").unwrap();
    std::fs::write(dir.join("gen_07_6_120.meta"), b"mine").unwrap();
    std::fs::create_dir(dir.join("rev_1_1_1.meta")).unwrap();
    std::fs::write(dir.join("rev_9_9_9_lock.sst.tmp"), b"ours").unwrap();
    let (log, capture) = Capture::open(Level::Info, 16, Arc::new(ManualClock::new()));
    let manager = SnapManager::open(dir, ROOMY, log).unwrap();
    assert_eq!(manager.list().len(), 1);
    manager.gc(ManualClock::new().now()).unwrap();
    let lines = capture.take();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0].message, "unknown files among snapshots left alone");
    assert_eq!(lines[0].values["count"], "3");
    assert!(dir.join("notes.txt").exists() && dir.join("gen_07_6_120.meta").exists());
    assert!(dir.join("rev_1_1_1.meta").exists() && !dir.join("rev_9_9_9_lock.sst.tmp").exists());
}

#[test]
fn the_folder_is_its_owners() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/snap");
    manager(&path);
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).unwrap();
    let open = SnapManager::open(&path, ROOMY, log()).unwrap_err();
    assert!(open.to_string().contains("chmod o-w"), "{open}");
    let file = dir.path().join("file");
    std::fs::write(&file, b"").unwrap();
    assert!(matches!(SnapManager::open(&file, ROOMY, log()), Err(Error::Io { .. })));
}

/// Threads that do what they may, over and over; what they get is whole or refused.
#[test]
fn threads_get_whole_snapshots_or_refusals() {
    let pair = Pair::new();
    let tolerated = |outcome: Result<(), Error>| match outcome {
        Ok(()) | Err(Error::Busy { .. } | Error::Missing { .. }) => outcome.is_ok(),
        Err(error) => panic!("{error}"),
    };
    let installed = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|threads| {
        for worker in 0..4 {
            let (pair, installed) = (&pair, &installed);
            threads.spawn(move || {
                for round in 0..100 {
                    let done = match (worker + round) % 4 {
                        0 => transfer(&pair.sender, &pair.receiver, KEY, &pair.data),
                        1 => pair.receiver.delete(KEY, Side::Received),
                        2 => ingest(&Memory::new(Layout::Kv), &pair.receiver, KEY, &pair.data),
                        _ => transfer(&pair.sender, &pair.receiver, at(round), &pair.data),
                    };
                    if tolerated(done) && (worker + round) % 4 == 2 {
                        installed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    }
                }
            });
        }
    });
    transfer(&pair.sender, &pair.receiver, KEY, &pair.data).unwrap();
    ingest(&Memory::new(Layout::Kv), &pair.receiver, KEY, &pair.data).unwrap();
    let kept = pair.receiver.list();
    assert!(kept.iter().all(|&(_, stage)| stage == Stage::Received), "{kept:?}");
    assert_eq!(pair.receiver.bytes(), kept.len() as u64 * pair.data.file_size);
}
