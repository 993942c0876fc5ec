//! Snapshots: the part of 2C of the course that concerns this crate.

use super::network::Network;
use super::*;
use crate::{RawNode, Ready};

#[test]
fn restore_snapshot() {
    let mut raft = raft(1, &[1, 2], 10, 1);
    raft.handle_snapshot(0, snapshot(11, 11, &[1, 2, 3]));
    assert_eq!((raft.last_index(), raft.core.log.term(11).unwrap()), (11, 11));
    assert_eq!(raft.members(), [1, 2, 3]);
}

#[test]
fn restore_ignore_snapshot() {
    let mut raft = raft_over(storage_with(&[1, 1, 1]), 1, &[1, 2], 10, 1);
    raft.core.log.committed = 3;
    raft.handle_snapshot(0, snapshot(1, 1, &[1, 2]));
    assert_eq!(raft.committed(), 3);
}

#[test]
fn provide_snap() {
    let mut raft = raft(1, &[1], 10, 1);
    raft.handle_snapshot(0, snapshot(11, 11, &[1, 2]));
    raft.lead();
    raft.take_messages();
    // As if node 2 had said that it needs an entry that is only in the snapshot.
    *raft.progress(2) = Progress::new(2, 10);
    let proposal = Body::Propose { entries: vec![entry_with(0, 0, "somedata")] };
    raft.step(message(2, 1, 0, proposal)).unwrap();
    let [sent] = &raft.take_messages()[..] else { panic!("not one message") };
    assert!(matches!(sent.body, Body::Snapshot { .. }), "{sent}");
}

#[test]
fn restore_from_snap_msg() {
    let mut raft = raft(2, &[1, 2], 10, 1);
    let body = Body::Snapshot { snapshot: Box::new(snapshot(11, 11, &[1, 2])) };
    raft.step(message(1, 2, 2, body)).unwrap();
    assert_eq!(raft.leader(), Some(1));
}

#[test]
fn restore_from_snap_with_overlaping_peers_msg() {
    let mut raft = raft(2, &[1, 2, 3], 10, 1);
    let body = Body::Snapshot { snapshot: Box::new(snapshot(11, 11, &[2, 3, 4])) };
    raft.step(message(1, 2, 2, body)).unwrap();
    assert_eq!(raft.leader(), Some(1));
    assert_eq!(raft.members(), [2, 3, 4]);
}

#[test]
fn slow_node_restore() {
    let mut network = Network::of(3);
    network.send([campaign(1)]);
    network.isolate(3);
    for _ in 0..=100 {
        network.send([propose(1, "")]);
    }
    let lead = network.at(1);
    lead.next_entries();
    let applied = lead.core.log.applied;
    let members = lead.members().to_vec();
    lead.storage().create_snapshot(applied, &members, "").unwrap();
    lead.storage().compact(applied).unwrap();

    network.recover();
    network.send([beat(1)]);
    network.send([propose(1, "")]);
    network.send([propose(1, "")]);
    assert_eq!(network.at(3).committed(), network.at(1).committed());
    // More than the original asks for: it was really a snapshot that brought it there.
    assert_eq!(network.at(3).core.log.first_index(), applied + 1);
}

#[test]
fn raw_node_restart_from_snapshot() {
    let mut storage = MemoryStorage::new();
    storage.set_hard_state(HardState { term: 1, vote: 0, commit: 3 });
    storage.apply_snapshot(snapshot(2, 1, &[1, 2])).unwrap();
    storage.append(&[entry_with(3, 1, "foo")]);
    let mut node = RawNode::new(test_config(1, &[], 10, 1), storage, quiet()).unwrap();
    let ready = node.ready().unwrap();
    let committed_entries = vec![entry_with(3, 1, "foo")];
    assert_eq!(ready, Ready { number: 1, committed_entries, ..Ready::default() });
    node.advance(&ready).unwrap();
    assert!(!node.has_ready());
}
