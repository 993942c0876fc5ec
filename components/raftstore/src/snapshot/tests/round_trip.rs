//! What is built on one store is what another one has after the install.

use engine::{Cf, Engine, KeyRange, Layout, Memory};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::{KEY, Pair, Pairs, build_all, content, engine_with, fill, manager, names, region};
use crate::snapshot::{Incoming, Outgoing, Side, build, ingest, transfer, verify};

fn any_key() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![Just(0), Just(b'a'), Just(b'b'), Just(0xff)], 0..4)
}

fn any_pairs() -> impl Strategy<Value = Pairs> {
    let families = prop::sample::subsequence(Cf::DATA.to_vec(), 0..=Cf::DATA.len());
    families.prop_flat_map(|families| {
        if families.is_empty() {
            return Just(Pairs::new()).boxed();
        }
        let cf = prop::sample::select(families);
        btree_map((cf, any_key()), vec(any::<u8>(), 0..20), 0..30).boxed()
    })
}

proptest! {
    /// Whatever the data, the range and the cuts of the stream.
    #[test]
    fn a_region_arrives_as_it_was(
        all in any_pairs(),
        later in any_pairs(),
        start in any_key(),
        end in any_key(),
        chunk_bytes_max in 0_usize..200,
        regroup in 1_usize..50,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (sender, receiver) =
            (manager(&dir.path().join("sender")), manager(&dir.path().join("receiver")));
        let engine = engine_with(&all);
        let snapshot = engine.snapshot().unwrap();
        fill(&engine, &later);
        let data = build(&*snapshot, &engine, &region(&start, &end), KEY, &sender).unwrap();
        prop_assert_eq!(sender.bytes(), data.file_size);

        let mut incoming = Incoming::open(&receiver, KEY, &data).unwrap().unwrap();
        let mut stream = Vec::new();
        for chunk in Outgoing::open(&sender, KEY, &data, chunk_bytes_max).unwrap() {
            let chunk = chunk.unwrap();
            prop_assert!(!chunk.is_empty() && chunk.len() <= chunk_bytes_max.max(1));
            stream.extend(chunk);
        }
        for chunk in stream.chunks(regroup) {
            incoming.push(chunk).unwrap();
        }
        incoming.finish().unwrap();
        verify(&receiver, KEY, &data).unwrap();
        let target = Memory::new(Layout::Kv);
        ingest(&target, &receiver, KEY, &data).unwrap();

        let range = KeyRange::new(&start, &end);
        let mut expected = all;
        expected.retain(|(_, key), _| range.contains(key));
        prop_assert_eq!(content(&target), expected);
        receiver.delete(KEY, Side::Received).unwrap();
        prop_assert_eq!(names(receiver.dir()), Vec::<String>::new());
    }
}

#[test]
fn names_on_disk_are_those_of_the_course() {
    let pair = Pair::new();
    let built = ["gen_7_6_120.meta", "gen_7_6_120_default.sst", "gen_7_6_120_write.sst"];
    assert_eq!(names(pair.sender.dir()), built);
    transfer(&pair.sender, &pair.receiver, KEY, &pair.data).unwrap();
    let received = ["rev_7_6_120.meta", "rev_7_6_120_default.sst", "rev_7_6_120_write.sst"];
    assert_eq!(names(pair.receiver.dir()), received);
}

#[test]
fn an_empty_region_is_a_snapshot_without_files() {
    let pair = Pair::with(Pairs::new());
    assert_eq!(pair.data.file_size, 0);
    assert_eq!(pair.stream(), b"");
    transfer(&pair.sender, &pair.receiver, KEY, &pair.data).unwrap();
    let target = Memory::new(Layout::Kv);
    ingest(&target, &pair.receiver, KEY, &pair.data).unwrap();
    assert_eq!(content(&target), Pairs::new());
}

#[test]
fn what_is_built_or_received_already_is_not_done_again() {
    let pair = Pair::new();
    let other = engine_with(&Pairs::new());
    assert_eq!(build_all(&other, &pair.sender), pair.data, "the files of the first build");
    transfer(&pair.sender, &pair.receiver, KEY, &pair.data).unwrap();
    assert!(Incoming::open(&pair.receiver, KEY, &pair.data).unwrap().is_none());
    pair.sender.delete(KEY, Side::Built).unwrap();
    transfer(&pair.sender, &pair.receiver, KEY, &pair.data).unwrap();
}

#[test]
fn snapshots_outlive_a_restart() {
    let pair = Pair::new();
    transfer(&pair.sender, &pair.receiver, KEY, &pair.data).unwrap();
    let (sender, receiver) = (manager(pair.sender.dir()), manager(pair.receiver.dir()));
    assert_eq!(sender.bytes() + receiver.bytes(), 2 * pair.data.file_size);
    assert!(Outgoing::open(&sender, KEY, &pair.data, 64).unwrap().all(|chunk| chunk.is_ok()));
    let target = Memory::new(Layout::Kv);
    ingest(&target, &receiver, KEY, &pair.data).unwrap();
    assert_eq!(content(&target), pair.pairs);
}

/// The real engine has to leave the files as they are, too: with a second link to the same content, a
/// change through one name shows under the other.
#[cfg(feature = "rocksdb")]
#[test]
fn the_real_engine_installs_twice_from_the_same_files() {
    use engine::{Config, OpenMode, Recovery, Rocks};
    let dir = tempfile::tempdir().unwrap();
    let open = |name: &str| {
        let path = dir.path().join(name);
        let mode = OpenMode::CreateIfMissing;
        Rocks::open(&path, Layout::Kv, &Config::default(), mode, Recovery::PointInTime).unwrap()
    };
    let (source, target) = (open("source"), open("target"));
    let pairs = Pair::new().pairs;
    fill(&source, &pairs);
    let (sender, receiver) =
        (manager(&dir.path().join("sender")), manager(&dir.path().join("receiver")));
    let data = build_all(&source, &sender);
    transfer(&sender, &receiver, KEY, &data).unwrap();
    let before = super::files(receiver.dir());
    for _ in 0..2 {
        ingest(&target, &receiver, KEY, &data).unwrap();
        assert_eq!(content(&target), pairs);
        assert_eq!(super::files(receiver.dir()), before);
    }
    verify(&receiver, KEY, &data).unwrap();
}
