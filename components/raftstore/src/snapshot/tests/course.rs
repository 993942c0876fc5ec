//! The tests of the course about snapshot files (`kv/raftstore/snap/snap_test.go`).

use engine::{Cf, Engine, Layout, Memory};
use proto::metapb::{Peer, RegionEpoch};

use super::{Pairs, content, engine_with, manager, region};
use crate::snapshot::{
    FileMeta, Incoming, Manifest, Outgoing, Side, SnapId, SnapKey, build, ingest, verify,
};

/// `TestSnapGenMeta`
#[test]
fn snap_gen_meta() {
    let families = [Cf::Default, Cf::Write, Cf::Lock];
    let file = |(cf, n): (Cf, u32)| FileMeta { cf, size: u64::from(100 * n), checksum: 1000 * n };
    let files: Vec<_> = families.into_iter().zip(1..).map(file).collect();
    let message = Manifest::new(files).unwrap().to_message();
    let listed: Vec<_> =
        message.cf_files.iter().map(|f| (f.cf.as_str(), f.size, f.checksum)).collect();
    assert_eq!(listed, [("default", 100, 1000), ("write", 200, 2000), ("lock", 300, 3000)]);
}

/// `TestSnapDisplayPath`
#[test]
fn snap_display_path() {
    let key = SnapKey { region: 1, term: 1, index: 2 };
    assert_eq!(key.to_string(), "1_1_2");
    assert_eq!(SnapId { key, side: Side::Built }.to_string(), "gen_1_1_2");
}

/// `TestSnapFile`, with data
#[test]
fn snap_file_with_data() {
    let with_key = |cf| ((cf, b"tkey".to_vec()), vec![0; 32]);
    snap_file(&Cf::DATA.into_iter().map(with_key).collect());
}

/// `TestSnapFile`, without
#[test]
fn snap_file_without_data() {
    snap_file(&Pairs::new());
}

fn snap_file(pairs: &Pairs) {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (sender, receiver) = (manager(from.path()), manager(to.path()));
    let counter = || sender.bytes() + receiver.bytes();
    let key = SnapKey { region: 1, term: 1, index: 1 };
    let mut range = region(b"ta", b"tz");
    range.id = 1;
    range.region_epoch = Some(RegionEpoch { conf_ver: 1, version: 1 });
    range.peers = vec![Peer { id: 1, store_id: 1 }];

    // Build.
    assert!(!sender.exists(key, Side::Built));
    assert_eq!(counter(), 0);
    let engine = engine_with(pairs);
    let data = build(&*engine.snapshot().unwrap(), &engine, &range, key, &sender).unwrap();
    assert!(sender.exists(key, Side::Built));
    assert_eq!(counter(), data.file_size);
    assert_eq!(data.file_size > 0, !pairs.is_empty());

    // Send and receive.
    assert!(!receiver.exists(key, Side::Received));
    let mut incoming = Incoming::open(&receiver, key, &data).unwrap().unwrap();
    let mut copied = 0;
    for chunk in Outgoing::open(&sender, key, &data, 64).unwrap() {
        let chunk = chunk.unwrap();
        copied += chunk.len() as u64;
        incoming.push(&chunk).unwrap();
    }
    assert_eq!(copied, data.file_size);
    assert!(!receiver.exists(key, Side::Received));
    incoming.finish().unwrap();
    assert!(receiver.exists(key, Side::Received));
    assert_eq!(counter(), 2 * data.file_size);

    sender.delete(key, Side::Built).unwrap();
    assert!(!sender.exists(key, Side::Built));
    assert_eq!(counter(), data.file_size);

    // Apply.
    let target = Memory::new(Layout::Kv);
    verify(&receiver, key, &data).unwrap();
    ingest(&target, &receiver, key, &data).unwrap();
    receiver.delete(key, Side::Received).unwrap();
    assert!(!receiver.exists(key, Side::Received));
    assert_eq!(counter(), 0);
    assert_eq!(content(&target), *pairs);
}
