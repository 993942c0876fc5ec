//! Messages and states that should not exist, and what a node says to them.

use super::*;
use crate::{Error, RawNode};

#[test]
fn a_second_leader_of_a_term_is_refused() {
    let mut raft = raft(1, &[1, 2, 3], 10, 1);
    raft.lead();
    for body in [append(0, 0, &[entry(1, 1)], 1), heartbeat(1)] {
        let refused = raft.step(message(2, 1, 1, body));
        assert!(matches!(refused, Err(Error::Impossible { from: 2, .. })), "{refused:?}");
    }
    assert!(raft.is_leader());
}

#[test]
fn nobody_accepts_what_was_never_sent() {
    let mut raft = raft(1, &[1, 2, 3], 10, 1);
    raft.lead();
    let refused = raft.step(message(2, 1, 1, Body::AppendAccept { match_index: 9 }));
    assert!(matches!(refused, Err(Error::Impossible { from: 2, .. })), "{refused:?}");
    assert_eq!(raft.committed(), 0);
}

#[test]
fn local_messages_from_the_network_are_refused() {
    let mut node =
        RawNode::new(test_config(1, &[1], 10, 1), MemoryStorage::new(), quiet()).unwrap();
    for local in [campaign(1), beat(1), propose(1, "a")] {
        assert!(matches!(node.step(local), Err(Error::Malformed(_))));
    }
    assert!(!node.has_ready());
}

#[test]
fn messages_for_others_and_from_oneself_are_refused() {
    let config = test_config(1, &[1, 2, 3], 10, 1);
    let mut node = RawNode::new(config, MemoryStorage::new(), quiet()).unwrap();
    for (from, to) in [(3, 2), (1, 1), (1, 2)] {
        let refused = node.step(message(from, to, 7, heartbeat(0)));
        assert!(matches!(refused, Err(Error::Impossible { .. })), "{from} to {to}: {refused:?}");
    }
    assert_eq!(node.raft().term(), 0, "they have not even shown their term");
    assert!(!node.has_ready());
}

#[test]
fn a_membership_change_that_nobody_can_mean_is_refused() {
    let config = test_config(1, &[1], 10, 1);
    let mut node = RawNode::new(config, MemoryStorage::new(), quiet()).unwrap();
    node.campaign().unwrap();
    for change in [remove_node(0), ConfChange { change_type: 7, ..add_node(2) }] {
        let refused = node.propose_conf_change(&change);
        assert!(matches!(refused, Err(Error::Malformed(_))), "{refused:?}");
    }
    assert_eq!(node.raft().log().last_index(), 1, "only the empty entry of the term");
}

#[test]
fn a_read_whose_context_would_not_travel_is_refused() {
    let mut node =
        RawNode::new(test_config(1, &[1], 10, 1), MemoryStorage::new(), quiet()).unwrap();
    node.campaign().unwrap();
    assert!(matches!(node.read_index(vec![7; 65]), Err(Error::Malformed(_))));
    assert!(node.read_index(vec![7; 64]).is_ok());
}

#[test]
fn a_log_that_ends_before_its_commit_index_is_refused() {
    let mut storage = storage_with(&[1, 1]);
    storage.set_hard_state(HardState { term: 1, vote: 0, commit: 3 });
    let refused = Raft::new(test_config(1, &[1], 10, 1), storage, quiet());
    assert!(matches!(refused, Err(Error::Malformed(_))));
}

#[test]
fn an_unusable_configuration_is_refused() {
    let refused = Raft::new(test_config(0, &[1], 10, 10), MemoryStorage::new(), quiet());
    let Err(Error::Config(problems)) = refused else { panic!("it was accepted") };
    assert_eq!(problems.0.len(), 2);
}

#[test]
fn nodes_with_the_same_seed_draw_different_timeouts() {
    let mut timeouts = Vec::new();
    for id in 1..=5 {
        let mut raft = raft(id, &[1, 2, 3, 4, 5], 100, 1);
        let mut ticks = 0;
        while raft.take_messages().is_empty() {
            raft.tick().unwrap();
            ticks += 1;
        }
        assert!((100..200).contains(&ticks));
        timeouts.push(ticks);
    }
    timeouts.sort_unstable();
    timeouts.dedup();
    assert!(timeouts.len() >= 4, "{timeouts:?}");
}

#[test]
fn a_change_from_before_a_snapshot_does_not_count_again() {
    let mut raft = raft(1, &[1, 2, 3], 10, 1);
    let body = Body::Snapshot { snapshot: Box::new(snapshot(11, 2, &[1, 2])) };
    raft.step(message(2, 1, 2, body)).unwrap();
    // The state machine was still at work on entry 5, which added a node that entry 9 removed.
    raft.apply_conf_change(&add_node(4)).unwrap();
    assert_eq!(raft.members(), [1, 2]);
}
