//! A crash between any two steps: what was not complete is gone, and everything can be done again.
//!
//! A crash of a store that builds or receives is played by laying out what the disk may hold then. The
//! order in which names reach the disk is the system's, so every subset of them is tried.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{Cf, Engine, Faults, Faulty, Layout, Memory};

use super::{KEY, Pair, content, files, lay_out, manager, names, pairs};
use crate::snapshot::{Incoming, Side, Stage, ingest, transfer, verify};

fn full() -> Pair {
    let all = [(Cf::Default, "a", "1"), (Cf::Lock, "b", "2"), (Cf::Write, "c", "3")];
    Pair::with(pairs(&all))
}

#[test]
fn a_reception_that_ends_anywhere_leaves_nothing_and_can_be_repeated() {
    let pair = full();
    let stream = pair.stream();
    for arrived in 0..=stream.len() {
        let mut incoming = Incoming::open(&pair.receiver, KEY, &pair.data).unwrap().unwrap();
        incoming.push(&stream[..arrived]).unwrap();
        assert_eq!(pair.receiver.stage(KEY, Side::Received), Some(Stage::Receiving));
        assert_eq!(pair.receiver.bytes(), pair.data.file_size, "set aside from the start");
        drop(incoming);
        assert_eq!((pair.receiver.list(), pair.receiver.bytes()), (vec![], 0));
        assert_eq!(names(pair.receiver.dir()), Vec::<String>::new());
    }
    transfer(&pair.sender, &pair.receiver, KEY, &pair.data).unwrap();
}

#[test]
fn a_crash_while_files_get_their_names_leaves_all_or_nothing() {
    let pair = full();
    transfer(&pair.sender, &pair.receiver, KEY, &pair.data).unwrap();
    let dir = pair.receiver.dir().to_owned();
    let whole = files(&dir);
    assert_eq!(whole.len(), 4);
    for named in 0..1_u32 << whole.len() {
        let name = |(place, (name, content)): (usize, (&String, &Vec<u8>))| {
            let ending = if named & (1 << place) == 0 { ".tmp" } else { "" };
            (format!("{name}{ending}"), content.clone())
        };
        let crashed: BTreeMap<_, _> = whole.iter().enumerate().map(name).collect();
        lay_out(&dir, &crashed);
        let restarted = manager(&dir);
        if named + 1 == 1 << whole.len() {
            assert!(restarted.exists(KEY, Side::Received));
            verify(&restarted, KEY, &pair.data).unwrap();
        } else {
            assert_eq!((restarted.list(), names(&dir)), (vec![], vec![]), "{crashed:?}");
            transfer(&pair.sender, &restarted, KEY, &pair.data).unwrap();
            assert_eq!(files(&dir), whole);
        }
    }
}

#[test]
fn a_crash_while_a_snapshot_is_deleted_leaves_no_snapshot_after_its_list_is_gone() {
    let pair = full();
    let dir = pair.sender.dir().to_owned();
    let whole = files(&dir);
    let kept_names: Vec<_> = whole.keys().filter(|name| !name.contains(".meta")).collect();
    for kept in 0..1 << kept_names.len() {
        let mut crashed = BTreeMap::new();
        for (place, &name) in kept_names.iter().enumerate() {
            if kept & (1 << place) != 0 {
                crashed.insert(name.clone(), whole[name].clone());
            }
        }
        lay_out(&dir, &crashed);
        let restarted = manager(&dir);
        assert_eq!((restarted.list(), names(&dir)), (vec![], vec![]));
        restarted.delete(KEY, Side::Built).unwrap();
    }
}

#[test]
fn an_install_can_be_repeated_after_a_crash_at_any_family() {
    let pair = full();
    transfer(&pair.sender, &pair.receiver, KEY, &pair.data).unwrap();
    let dir = pair.receiver.dir().to_owned();
    let whole = files(&dir);
    for taken in 0..Cf::DATA.len() {
        let faults = Faults::none();
        let engine = Faulty::new(Layout::Kv, Arc::clone(&faults));
        faults.fail_write_after(taken as u64);
        ingest(&engine, &manager(&dir), KEY, &pair.data).unwrap_err();
        assert_eq!(names(&dir).len(), whole.len() + 1, "the link that was not taken");

        let engine = engine.crash(0);
        assert_eq!(content(&engine).len(), taken);
        let restarted = manager(&dir);
        assert_eq!(files(&dir), whole, "the link is gone, the files are not");
        ingest(&engine, &restarted, KEY, &pair.data).unwrap();
        assert_eq!(content(&engine), pair.pairs);
        assert_eq!(files(&dir), whole);

        // The last step did not happen either: all of it once more.
        let engine = engine.crash(0);
        ingest(&engine, &manager(&dir), KEY, &pair.data).unwrap();
        assert_eq!(content(&engine), pair.pairs);
    }
}

#[test]
fn an_install_can_be_repeated_in_the_same_run() {
    let pair = full();
    transfer(&pair.sender, &pair.receiver, KEY, &pair.data).unwrap();
    let faults = Faults::none();
    let engine = Faulty::new(Layout::Kv, Arc::clone(&faults));
    faults.fail_write_after(1);
    ingest(&engine, &pair.receiver, KEY, &pair.data).unwrap_err();
    let target = Memory::new(Layout::Kv);
    for _ in 0..2 {
        ingest(&target, &pair.receiver, KEY, &pair.data).unwrap();
        assert_eq!(content(&target), pair.pairs);
    }
    pair.receiver.delete(KEY, Side::Received).unwrap();
    assert_eq!(names(pair.receiver.dir()), Vec::<String>::new());
    pair.receiver.delete(KEY, Side::Received).unwrap();
}

#[test]
fn a_write_over_what_a_failed_removal_left_begins_anew() {
    let pair = full();
    for name in ["rev_7_6_120_lock.sst.tmp", "rev_7_6_120.meta", "rev_7_6_120_write.sst.ingest"] {
        std::fs::write(pair.receiver.dir().join(name), b"litter").unwrap();
    }
    transfer(&pair.sender, &pair.receiver, KEY, &pair.data).unwrap();
    assert_eq!(names(pair.receiver.dir()).len(), 4);
    let target = Memory::new(Layout::Kv);
    ingest(&target, &pair.receiver, KEY, &pair.data).unwrap();
    assert_eq!(content(&target), pair.pairs);
    assert!(target.snapshot().is_ok());
}
