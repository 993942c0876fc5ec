//! Membership changes and leader transfer: part 3A of the course.

use prost::Message as _;

use super::network::Network;
use super::*;
use crate::RawNode;

#[test]
fn add_node() {
    let mut raft = raft(1, &[1], 10, 1);
    raft.apply_conf_change(&super::add_node(2)).unwrap();
    assert_eq!(raft.members(), [1, 2]);
}

#[test]
fn remove_node() {
    let mut raft = raft(1, &[1, 2], 10, 1);
    raft.apply_conf_change(&super::remove_node(2)).unwrap();
    assert_eq!(raft.members(), [1]);
    raft.apply_conf_change(&super::remove_node(1)).unwrap();
    assert!(raft.members().is_empty());
}

#[test]
fn commit_after_remove_node() {
    let mut raft = raft(1, &[1, 2], 5, 1);
    raft.lead();
    let change = super::remove_node(2);
    let propose = |raft: &mut TestRaft, entry: Entry| {
        raft.step(message(0, 0, 0, Body::Propose { entries: vec![entry] })).unwrap();
    };
    propose(&mut raft, conf_change_entry(&change));
    assert_eq!(raft.next_entries(), []);
    let change_index = raft.last_index();
    propose(&mut raft, entry_with(0, 0, "hello"));

    // Node 2 acknowledges its own removal, which commits it.
    let body = Body::AppendAccept { match_index: change_index };
    raft.step(message(2, 0, raft.term(), body)).unwrap();
    let committed = raft.next_entries();
    assert_eq!(committed.len(), 2);
    assert_eq!(committed[0], entry(1, 1), "the empty entry of the term");
    assert_eq!(committed[1].entry_type(), EntryType::EntryConfChange);

    // Once that is applied node 1 is a majority, and the proposal is committed as well.
    raft.apply_conf_change(&change).unwrap();
    let committed = raft.next_entries();
    assert_eq!(committed, [entry_with(3, 1, "hello")]);
}

/// Three nodes, led by the first.
fn led_by_one() -> Network {
    let mut network = Network::of(3);
    network.send([campaign(1)]);
    check_leader_transfer_state(&mut network, StateRole::Leader, 1);
    network
}

/// The role of node 1, and the leader it knows.
#[track_caller]
fn check_leader_transfer_state(network: &mut Network, role: StateRole, leader: NodeId) {
    assert_eq!((network.at(1).state(), network.at(1).leader()), (role, Some(leader)));
}

#[test]
fn leader_transfer_to_up_to_date_node() {
    let mut network = led_by_one();
    network.send([transfer(2, 1)]);
    check_leader_transfer_state(&mut network, StateRole::Follower, 2);
    network.send([propose(1, "")]);
    network.send([transfer(1, 2)]);
    check_leader_transfer_state(&mut network, StateRole::Leader, 1);
}

#[test]
fn leader_transfer_to_up_to_date_node_from_follower() {
    let mut network = led_by_one();
    network.send([transfer(2, 2)]);
    check_leader_transfer_state(&mut network, StateRole::Follower, 2);
    network.send([propose(1, "")]);
    network.send([transfer(1, 1)]);
    check_leader_transfer_state(&mut network, StateRole::Leader, 1);
}

#[test]
fn leader_transfer_to_slow_follower() {
    let mut network = led_by_one();
    network.isolate(3);
    network.send([propose(1, "")]);
    network.recover();
    assert_eq!(network.at(1).progress(3).match_index, 1);
    network.send([transfer(3, 1)]);
    check_leader_transfer_state(&mut network, StateRole::Follower, 3);
}

#[test]
fn leader_transfer_after_snapshot() {
    let mut network = led_by_one();
    network.isolate(3);
    network.send([propose(1, "")]);
    let lead = network.at(1);
    lead.next_entries();
    let applied = lead.core.log.applied;
    let members = lead.members().to_vec();
    lead.storage().create_snapshot(applied, &members, "").unwrap();
    lead.storage().compact(applied).unwrap();

    network.recover();
    assert_eq!(network.at(1).progress(3).match_index, 1);
    network.send([transfer(3, 1)]);
    // A sign of life, in case the snapshot waited for one.
    let term = network.at(1).term();
    network.send([message(3, 1, term, Body::HeartbeatResponse { round: 0 })]);
    check_leader_transfer_state(&mut network, StateRole::Follower, 3);
}

#[test]
fn leader_transfer_to_self() {
    let mut network = led_by_one();
    network.send([transfer(1, 1)]);
    check_leader_transfer_state(&mut network, StateRole::Leader, 1);
}

#[test]
fn leader_transfer_to_non_existing_node() {
    let mut network = led_by_one();
    network.send([transfer(4, 1)]);
    check_leader_transfer_state(&mut network, StateRole::Leader, 1);
}

#[test]
fn leader_transfer_receive_higher_term_vote() {
    let mut network = led_by_one();
    network.isolate(3);
    network.send([transfer(3, 1)]);
    // Another node campaigns meanwhile. A wish has no term, so the one given here means nothing.
    network.send([message(2, 2, 2, Body::Campaign)]);
    check_leader_transfer_state(&mut network, StateRole::Follower, 2);
}

#[test]
fn leader_transfer_remove_node() {
    let mut network = led_by_one();
    network.at(1).apply_conf_change(&super::remove_node(3)).unwrap();
    network.send([transfer(3, 1)]);
    check_leader_transfer_state(&mut network, StateRole::Leader, 1);
}

#[test]
fn leader_transfer_back() {
    let mut network = led_by_one();
    network.isolate(3);
    network.send([transfer(3, 1)]);
    network.send([transfer(1, 1)]);
    check_leader_transfer_state(&mut network, StateRole::Leader, 1);
}

#[test]
fn leader_transfer_second_transfer_to_another_node() {
    let mut network = led_by_one();
    network.isolate(3);
    network.send([transfer(3, 1)]);
    network.send([transfer(2, 1)]);
    check_leader_transfer_state(&mut network, StateRole::Follower, 2);
}

#[test]
fn transfer_non_member() {
    let mut raft = raft(1, &[2, 3, 4], 5, 1);
    raft.step(message(2, 1, raft.term(), Body::TimeoutNow)).unwrap();
    for voter in [2, 3] {
        let body = Body::VoteResponse { granted: true };
        raft.step(message(voter, 1, raft.term(), body)).unwrap();
    }
    assert_eq!(raft.state(), StateRole::Follower);
}

/// A group of one, after its first, empty Ready.
fn single_raw_node() -> RawNode<MemoryStorage> {
    let config = test_config(1, &[1], 10, 1);
    let mut node = RawNode::new(config, MemoryStorage::new(), quiet()).unwrap();
    let ready = node.ready().unwrap();
    node.storage_mut().append(&ready.entries);
    node.advance(&ready).unwrap();
    node
}

#[test]
fn raw_node_propose_and_conf_change() {
    let mut node = single_raw_node();
    let ready = node.ready().unwrap();
    assert_eq!((ready.hard_state, ready.entries), (None, vec![]));

    node.campaign().unwrap();
    let ready = node.ready().unwrap();
    assert_eq!(ready.soft_state.unwrap().leader, Some(1));

    node.propose("somedata").unwrap();
    let change = super::add_node(1);
    node.propose_conf_change(&change).unwrap();
    let entries = node.raft().core.log.all_entries().unwrap();
    let [.., command, change_entry] = &entries[..] else { panic!("fewer than two entries") };
    assert_eq!(command.data, "somedata");
    assert_eq!(change_entry.entry_type(), EntryType::EntryConfChange);
    assert_eq!(change_entry.data, change.encode_to_vec());
}

#[test]
fn raw_node_propose_add_duplicate_node() {
    let mut node = single_raw_node();
    node.campaign().unwrap();
    loop {
        let ready = node.ready().unwrap();
        node.storage_mut().append(&ready.entries);
        node.advance(&ready).unwrap();
        if ready.soft_state.unwrap().leader == Some(1) {
            break;
        }
    }
    let propose_and_apply = |node: &mut RawNode<MemoryStorage>, change: &ConfChange| {
        node.propose_conf_change(change).unwrap();
        let ready = node.ready().unwrap();
        node.storage_mut().append(&ready.entries);
        for committed in &ready.committed_entries {
            if committed.entry_type() == EntryType::EntryConfChange {
                let change = ConfChange::decode(committed.data.clone()).unwrap();
                node.apply_conf_change(&change).unwrap();
            }
        }
        node.advance(&ready).unwrap();
    };
    let (first, second) = (super::add_node(1), super::add_node(2));
    propose_and_apply(&mut node, &first);
    // The same once more, which must not block what follows.
    propose_and_apply(&mut node, &first);
    propose_and_apply(&mut node, &second);

    let last = node.storage().last_index();
    let written = node.storage().entries(last - 2, last + 1, u64::MAX).unwrap();
    assert_eq!(written[0].data, first.encode_to_vec());
    assert_eq!(written[2].data, second.encode_to_vec());
}
