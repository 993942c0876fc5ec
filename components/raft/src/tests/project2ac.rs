//! The raw node: part 2AC of the course.

use super::*;
use crate::{RawNode, Ready};

#[test]
fn raw_node_start() {
    let config = test_config(1, &[1], 10, 1);
    let mut node = RawNode::new(config, MemoryStorage::new(), quiet()).unwrap();
    node.campaign().unwrap();
    let ready = node.ready().unwrap();
    node.storage_mut().append(&ready.entries);
    node.advance(&ready).unwrap();

    node.propose("foo").unwrap();
    let ready = node.ready().unwrap();
    assert_eq!(ready.entries.len(), 1);
    assert_eq!(ready.committed_entries.len(), 1);
    assert_eq!(ready.entries[0].data, "foo");
    assert_eq!(ready.committed_entries[0].data, "foo");
    node.storage_mut().append(&ready.entries);
    node.advance(&ready).unwrap();
    assert!(!node.has_ready());
}

#[test]
fn raw_node_restart() {
    let entries = [entry(1, 1), entry_with(2, 1, "foo")];
    let mut storage = MemoryStorage::new();
    storage.set_hard_state(HardState { term: 1, vote: 0, commit: 1 });
    storage.append(&entries);
    let mut node = RawNode::new(test_config(1, &[], 10, 1), storage, quiet()).unwrap();
    let ready = node.ready().unwrap();
    let want = Ready { number: 1, committed_entries: entries[..1].to_vec(), ..Ready::default() };
    assert_eq!(ready, want, "nothing but what is committed and not applied");
    node.advance(&ready).unwrap();
    assert!(!node.has_ready());
}
