//! Damage is found before an engine sees it, and a damaged snapshot is thrown away and not an end.

use engine::{Cf, Engine, Layout, Memory};
use proptest::prelude::*;
use proto::raft_serverpb::{KeyValue, RaftSnapshotData, SnapshotCfFile, SnapshotMeta};

use super::{KEY, Pair, Pairs, build_all, content, files, lay_out, manager, names};
use crate::snapshot::{
    Error, Incoming, Manifest, Outgoing, Side, SnapManager, Stage, ingest, transfer, verify,
};

/// Everything that can become of a file: cut, a byte longer, or another byte somewhere.
fn damages(content: &[u8]) -> Vec<Vec<u8>> {
    let cuts = (0..content.len()).map(|length| content[..length].to_vec());
    let longer = [0, 0xff].map(|byte| [content, &[byte]].concat());
    let flips = (0..content.len()).map(|place| {
        let mut flipped = content.to_vec();
        flipped[place] ^= 1 << (place % 8);
        flipped
    });
    cuts.chain(longer).chain(flips).collect()
}

#[test]
fn every_damage_to_a_received_file_is_found_before_it_is_ingested() {
    let pair = Pair::new();
    transfer(&pair.sender, &pair.receiver, KEY, &pair.data).unwrap();
    let dir = pair.receiver.dir().to_owned();
    let whole = files(&dir);
    let target = Memory::new(Layout::Kv);
    let mut tried = 0;
    for (name, content) in whole.iter().filter(|(name, _)| name.contains(".sst")) {
        for damaged in damages(content) {
            lay_out(&dir, &whole);
            let running = manager(&dir);
            std::fs::write(dir.join(name), damaged).unwrap();
            let error = if tried % 2 == 0 {
                verify(&running, KEY, &pair.data).unwrap_err()
            } else {
                ingest(&target, &running, KEY, &pair.data).unwrap_err()
            };
            assert!(matches!(error, Error::Damaged { .. }) && error.is_unusable(), "{error}");
            assert!(error.to_string().contains(name), "{error}");
            assert!(!running.exists(KEY, Side::Received) && names(&dir).is_empty());
            tried += 1;
        }
    }
    assert!(tried > 100, "{tried}");
    assert_eq!(content(&target), Pairs::new());
    transfer(&pair.sender, &manager(&dir), KEY, &pair.data).unwrap();
}

#[test]
fn a_start_discards_a_snapshot_whose_files_are_not_as_listed() {
    let pair = Pair::new();
    let dir = pair.sender.dir().to_owned();
    let whole = files(&dir);
    let mut cases = Vec::new();
    for name in whole.keys() {
        let mut without = whole.clone();
        without.remove(name);
        cases.push(without);
    }
    let meta = "gen_7_6_120.meta";
    for damaged in damages(&whole[meta]) {
        let mut with = whole.clone();
        with.insert(meta.to_owned(), damaged);
        cases.push(with);
    }
    let data = "gen_7_6_120_write.sst";
    for other_size in [0, 1, whole[data].len() - 1, whole[data].len() + 1, 1 << 16] {
        let mut with = whole.clone();
        with.insert(data.to_owned(), vec![0; other_size]);
        cases.push(with);
    }
    let mut with_unlisted = whole.clone();
    with_unlisted.insert("gen_7_6_120_lock.sst".to_owned(), vec![1]);
    cases.push(with_unlisted);
    for case in cases {
        lay_out(&dir, &case);
        let restarted = manager(&dir);
        assert_eq!((restarted.list(), restarted.bytes()), (vec![], 0));
        assert_eq!(names(&dir), Vec::<String>::new());
    }
    let restarted = manager(&dir);
    assert_eq!(build_all(&pair.engine, &restarted), pair.data, "and it can be built again");
}

#[test]
fn every_damage_on_the_way_is_found_and_leaves_nothing() {
    let pair = Pair::new();
    let stream = pair.stream();
    for arriving in damages(&stream) {
        let mut incoming = Incoming::open(&pair.receiver, KEY, &pair.data).unwrap().unwrap();
        let pushed = arriving.chunks(7).try_for_each(|chunk| incoming.push(chunk));
        let error = pushed.and_then(|()| incoming.finish()).unwrap_err();
        assert!(error.is_unusable(), "{error}");
        assert_eq!((pair.receiver.list(), pair.receiver.bytes()), (vec![], 0));
        assert_eq!(names(pair.receiver.dir()), Vec::<String>::new());
    }
    transfer(&pair.sender, &pair.receiver, KEY, &pair.data).unwrap();
}

#[test]
fn an_error_on_the_way_is_final() {
    let pair = Pair::new();
    let mut stream = pair.stream();
    stream.push(0);
    let mut incoming = Incoming::open(&pair.receiver, KEY, &pair.data).unwrap().unwrap();
    assert!(incoming.push(&stream).unwrap_err().to_string().contains("more bytes"));
    assert!(incoming.push(b"").is_err());
    assert!(incoming.finish().is_err(), "although every file is whole");
    assert_eq!(names(pair.receiver.dir()), Vec::<String>::new());
}

#[test]
fn a_built_snapshot_that_was_damaged_is_built_again() {
    let pair = Pair::new();
    let dir = pair.sender.dir();
    let whole = files(dir);
    let name = "gen_7_6_120_default.sst";
    for damaged in damages(&whole[name]) {
        std::fs::write(dir.join(name), damaged).unwrap();
        let outgoing = Outgoing::open(&pair.sender, KEY, &pair.data, 16).unwrap();
        let outcome: Vec<_> = outgoing.collect();
        assert!(matches!(outcome.last(), Some(Err(Error::Damaged { .. }))), "{outcome:?}");
        assert!(!pair.sender.exists(KEY, Side::Built) && names(dir).is_empty());
        assert_eq!(build_all(&pair.engine, &pair.sender), pair.data);

        // A build that finds it does the same.
        std::fs::write(dir.join(name), b"junk").unwrap();
        assert_eq!(build_all(&pair.engine, &pair.sender), pair.data);
        assert_eq!(files(dir), whole);
    }
}

#[test]
fn a_condemned_snapshot_goes_with_its_last_user_and_gets_no_new_one() {
    let pair = Pair::new();
    let name = pair.sender.dir().join("gen_7_6_120_write.sst");
    let other = Outgoing::open(&pair.sender, KEY, &pair.data, 16).unwrap();
    std::fs::write(&name, b"junk").unwrap();
    assert!(Outgoing::open(&pair.sender, KEY, &pair.data, 16).unwrap().last().unwrap().is_err());
    assert_eq!(pair.sender.stage(KEY, Side::Built), Some(Stage::Sending));
    assert!(!pair.sender.exists(KEY, Side::Built) && name.exists());
    let refused = Outgoing::open(&pair.sender, KEY, &pair.data, 16).unwrap_err();
    assert!(matches!(refused, Error::Missing { .. }), "{refused}");
    drop(other);
    assert_eq!(pair.sender.stage(KEY, Side::Built), None);
    assert!(!name.exists());
}

#[test]
fn a_received_snapshot_is_checked_before_it_stands_for_another_reception() {
    let pair = Pair::new();
    transfer(&pair.sender, &pair.receiver, KEY, &pair.data).unwrap();
    let path = pair.receiver.dir().join("rev_7_6_120_write.sst");
    let mut content = std::fs::read(&path).unwrap();
    content[3] ^= 1;
    std::fs::write(&path, content).unwrap();
    let incoming = Incoming::open(&pair.receiver, KEY, &pair.data).unwrap();
    assert!(incoming.is_some(), "the damaged one counts for nothing");
    drop(incoming);
    transfer(&pair.sender, &pair.receiver, KEY, &pair.data).unwrap();
    verify(&pair.receiver, KEY, &pair.data).unwrap();
}

#[test]
fn another_snapshot_of_the_same_name_is_not_mistaken_for_this_one() {
    let (first, second) = (Pair::new(), Pair::with(Pairs::new()));
    transfer(&first.sender, &first.receiver, KEY, &first.data).unwrap();
    let missing = |outcome: Result<(), Error>| {
        let error = outcome.unwrap_err();
        assert!(matches!(error, Error::Missing { .. }), "{error}");
    };
    let to = &first.receiver;
    missing(verify(to, KEY, &second.data));
    missing(to.accept(KEY, &second.data).map(drop));
    missing(ingest(&Memory::new(Layout::Kv), to, KEY, &second.data));
    missing(Outgoing::open(&first.sender, KEY, &second.data, 16).map(drop));

    // While the first is being installed nothing may take its place, and afterwards it may.
    let hold = to.accept(KEY, &first.data).unwrap();
    assert!(Incoming::open(to, KEY, &second.data).unwrap_err().is_busy());
    verify(to, KEY, &first.data).unwrap();
    drop(hold);
    transfer(&second.sender, to, KEY, &second.data).unwrap();
    verify(to, KEY, &second.data).unwrap();
    missing(verify(to, KEY, &first.data));
}

/// A description, to be made wrong.
fn announcement(files: &[(&str, u64, u32)]) -> RaftSnapshotData {
    let file = |&(cf, size, checksum): &(&str, u64, u32)| SnapshotCfFile {
        cf: cf.to_owned(),
        size,
        checksum,
    };
    RaftSnapshotData {
        region: Some(super::region(b"a", b"z")),
        file_size: files.iter().fold(0, |sum: u64, file| sum.wrapping_add(file.1)),
        data: Vec::new(),
        meta: Some(SnapshotMeta { cf_files: files.iter().map(file).collect() }),
    }
}

fn refused(manager: &SnapManager, data: &RaftSnapshotData) -> String {
    let outcomes = [
        Incoming::open(manager, KEY, data).map(drop),
        Outgoing::open(manager, KEY, data, 16).map(drop),
        verify(manager, KEY, data),
        manager.accept(KEY, data).map(drop),
        ingest(&Memory::new(Layout::Kv), manager, KEY, data),
    ];
    let errors = outcomes.map(Result::unwrap_err);
    assert!(errors.iter().all(|error| matches!(error, Error::Invalid(_))), "{errors:?}");
    errors[0].to_string()
}

#[test]
fn descriptions_that_make_no_sense_are_refused_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let manager = manager(dir.path());
    let good = announcement(&[("lock", 2, 9), ("default", 0, 0)]);
    assert!(Manifest::announced(KEY, &good).is_ok(), "families in any order, or not at all");
    let wrong = |change: &dyn Fn(&mut RaftSnapshotData)| {
        let mut data = good.clone();
        change(&mut data);
        data
    };
    let many: Vec<_> = (0..10_000).map(|_| ("lock", 1, 1)).collect();
    let cases = [
        (announcement(&[("local", 1, 1)]), "unknown family"),
        (announcement(&[("", 1, 1)]), "unknown family"),
        (announcement(&[("../../etc/passwd", 1, 1)]), "unknown family"),
        (announcement(&[("lock\0", 1, 1)]), "unknown family"),
        (announcement(&[("lock", 1, 1), ("lock", 1, 1)]), "out of place"),
        (announcement(&[("lock", 0, 1)]), "has a checksum"),
        (announcement(&[("lock", u64::MAX, 1), ("write", 2, 1)]), "overflow"),
        (announcement(&many), "10000 families"),
        (wrong(&|data| data.file_size = 1), "2 bytes in files, 1 in all"),
        (wrong(&|data| data.meta = None), "no list of files"),
        (wrong(&|data| data.region = None), "no region"),
        (wrong(&|data| data.region.as_mut().unwrap().id = 8), "region 8 instead of 7"),
        (wrong(&|data| data.data.push(KeyValue::default())), "pairs beside files"),
    ];
    for (data, reason) in cases {
        let text = refused(&manager, &data);
        assert!(text.contains(reason), "{text}");
    }
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

proptest! {
    /// Whatever is announced and whatever arrives: an error or a snapshot, and no file but ours.
    #[test]
    fn nothing_from_the_wire_leads_out_of_the_folder_or_to_a_panic(
        listed in prop::collection::vec(
            (
                prop_oneof![Just("default".to_owned()), Just("write".to_owned()), any::<String>()],
                0_u64..6,
                prop_oneof![Just(0), any::<u32>()],
            ),
            0..4,
        ),
        arriving in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner");
        let manager = manager(&inner);
        let listed: Vec<_> = listed.iter().map(|(cf, size, sum)| (cf.as_str(), *size, *sum)).collect();
        let data = announcement(&listed);
        let outcome = Incoming::open(&manager, KEY, &data).and_then(|incoming| {
            let mut incoming = incoming.expect("there is no snapshot yet");
            incoming.push(&arriving)?;
            incoming.finish()
        });
        let expected: &[&str] = if outcome.is_ok() { &["rev_7_6_120.meta"] } else { &[] };
        prop_assert!(names(&inner).starts_with(&expected.iter().map(ToString::to_string).collect::<Vec<_>>()));
        prop_assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    /// A list of files reads back, and nothing else does.
    #[test]
    fn lists_of_files_read_back(sizes in prop::array::uniform3(1_u64..1000), junk in any::<Vec<u8>>()) {
        let names = Cf::DATA.map(Cf::name);
        let listed: Vec<_> = names.into_iter().zip(sizes).map(|(cf, size)| (cf, size, 5)).collect();
        let manifest = Manifest::announced(KEY, &announcement(&listed)).unwrap();
        let path = std::path::Path::new("meta");
        prop_assert_eq!(Manifest::decode(path, &manifest.encode()).unwrap(), manifest);
        prop_assert!(Manifest::decode(path, &junk).is_err());
    }
}

#[test]
fn damaged_bytes_in_the_engine_fail_the_build_and_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let manager = manager(dir.path());
    let faults = engine::Faults::none();
    let engine = engine::Faulty::new(Layout::Kv, std::sync::Arc::clone(&faults));
    super::fill(&engine, &Pair::new().pairs);
    let snapshot = engine.snapshot().unwrap();
    faults.set_reads_fail(true);
    let range = super::region(b"", b"");
    let error = crate::snapshot::build(&*snapshot, &engine, &range, KEY, &manager).unwrap_err();
    assert!(matches!(&error, Error::Engine(inner) if inner.is_corrupt()), "{error}");
    assert_eq!((manager.list(), names(dir.path())), (vec![], Vec::<String>::new()));
    faults.set_reads_fail(false);
    build_all(&engine, &manager);
    assert_eq!(files(dir.path()).len(), 3);
}
