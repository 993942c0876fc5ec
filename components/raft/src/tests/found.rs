//! What the simulation in `tests/sim` and reviews found, each as the shortest history that shows it.

use proto::eraftpb::{ConfChange, ConfChangeType, ConfState, Entry, Snapshot};

use super::{quiet, raft, test_config};
use crate::message::{Body, Message, Position};
use crate::raft::{Raft, Role};
use crate::{Config, MemoryStorage, NodeId, RawNode, Term};

fn message(from: NodeId, to: NodeId, term: Term, body: Body) -> Message {
    Message { from, to, term, body }
}

/// Ticks until the node campaigns; at most `limit`.
fn patience(raft: &mut super::TestRaft, limit: u32) -> u32 {
    let waited = (1..=limit).find(|_| {
        raft.tick().unwrap();
        matches!(raft.role, Role::Candidate(_))
    });
    waited.unwrap_or(u32::MAX)
}

#[test]
fn refused_campaigns_do_not_lengthen_later_waits() {
    // Node 1 hears that it is no member, in vain campaigns for a long time, and becomes one.
    let mut raft = raft(1, &[2, 3], 10, 1);
    for _ in 0..1000 {
        raft.tick().unwrap();
    }
    raft.core.set_members(vec![1, 2, 3]);
    raft.step(message(2, 1, 1, Body::Heartbeat { commit: 0, round: 0 })).unwrap();
    assert!(patience(&mut raft, 20) <= 20, "two election timeouts at most");
}

#[test]
fn a_candidate_that_cannot_win_does_not_keep_away_one_that_can() {
    let mut raft = raft(1, &[1, 2], 10, 1);
    let entries = vec![Entry::empty(1, 1)];
    let base = Position::default();
    raft.step(message(2, 1, 1, Body::Append { base, entries, commit: 0 })).unwrap();
    // Node 2 has lost its log, and campaigns again and again a little sooner than node 1 would.
    let mut waited = 0;
    for term in 2..10 {
        let ask = Body::RequestVote { last: Position::default(), force: false };
        raft.step(message(2, 1, term, ask)).unwrap();
        let more = patience(&mut raft, 9);
        if more <= 9 {
            waited += more;
            break;
        }
        waited += 9;
    }
    assert!(waited <= 20, "node 1 has campaigned after {waited} ticks");
}

#[test]
fn a_change_from_before_a_snapshot_is_not_made_again_on_top_of_it() {
    let config = test_config(2, &[1, 2, 3], 10, 1);
    let mut node = RawNode::new(config, MemoryStorage::new(), quiet()).unwrap();
    let mut change = ConfChange { node_id: 4, ..ConfChange::default() };
    change.set_change_type(ConfChangeType::AddNode);
    let entries = vec![Entry::empty(1, 1), Entry::conf_change(1, 2, &change)];
    let base = Position::default();
    node.step(message(1, 2, 1, Body::Append { base, entries, commit: 2 })).unwrap();
    let ready = node.ready().unwrap();
    assert_eq!(ready.committed_entries.len(), 2, "node 4 is about to be added");
    node.storage_mut().append(&ready.entries);
    node.on_persisted(ready.number).unwrap();

    // The state machine is slow. Meanwhile comes a snapshot from after node 4 was removed again.
    let snapshot = Snapshot::new(1, 9, ConfState::new([1, 2, 3]), "");
    let body = Body::Snapshot { snapshot: Box::new(snapshot) };
    node.step(message(1, 2, 1, body)).unwrap();
    assert_eq!(node.apply_conf_change(&change).unwrap().nodes, [1, 2, 3]);
    assert_eq!(node.raft().members(), [1, 2, 3]);
}

#[test]
fn a_restarted_voter_waits_although_it_does_not_know_its_members() {
    let config = Config { restart_wait_ticks: 10, ..test_config(3, &[], 10, 1) };
    let mut raft = Raft::new(config, MemoryStorage::new(), quiet()).unwrap();
    let ask = || message(2, 3, 2, Body::RequestVote { last: Position::default(), force: false });
    raft.step(ask()).unwrap();
    assert_eq!(raft.take_messages(), [], "it may have promised a leader not to");
    (0..10).for_each(|_| raft.tick().unwrap());
    raft.step(ask()).unwrap();
    assert_eq!(raft.take_messages(), [message(3, 2, 2, Body::VoteResponse { granted: true })]);
}

#[test]
fn a_change_counts_even_if_the_log_is_compacted_first() {
    let config = test_config(2, &[1, 2, 3], 10, 1);
    let mut node = RawNode::new(config, MemoryStorage::new(), quiet()).unwrap();
    let change = super::add_node(4);
    let entries = vec![Entry::empty(1, 1), Entry::conf_change(1, 2, &change)];
    let base = Position::default();
    node.step(message(1, 2, 1, Body::Append { base, entries, commit: 2 })).unwrap();
    let ready = node.ready().unwrap();
    node.storage_mut().append(&ready.entries);
    node.on_persisted(ready.number).unwrap();

    // Too early, but that must not make the change forgotten.
    node.storage_mut().compact(2).unwrap();
    node.campaign().unwrap();
    assert!(!node.has_ready(), "it would count the votes of the wrong members");
    assert_eq!(node.apply_conf_change(&change).unwrap().nodes, [1, 2, 3, 4]);
    node.on_applied(2);
    node.campaign().unwrap();
    assert_eq!(node.ready().unwrap().messages_after_persist.len(), 3);
}
