//! Leader election: part 2AA of the course.

use super::network::{FRESH, HOLE, Network, node};
use super::*;
use crate::candidate::Candidate;

fn updates_term_from_message(role: StateRole) {
    let mut raft = raft(1, &[1, 2, 3], 10, 1);
    match role {
        StateRole::Follower => raft.become_follower(1, Some(2)),
        StateRole::Candidate => raft.become_candidate(),
        StateRole::Leader => raft.lead(),
    }
    raft.step(message(0, 0, 2, append(0, 0, &[], 0))).unwrap();
    assert_eq!((raft.term(), raft.state()), (2, StateRole::Follower));
}

#[test]
fn follower_update_term_from_message() {
    updates_term_from_message(StateRole::Follower);
}

#[test]
fn candidate_update_term_from_message() {
    updates_term_from_message(StateRole::Candidate);
}

#[test]
fn leader_update_term_from_message() {
    updates_term_from_message(StateRole::Leader);
}

#[test]
fn start_as_follower() {
    assert_eq!(raft(1, &[1, 2, 3], 10, 1).state(), StateRole::Follower);
}

#[test]
fn leader_bcast_beat() {
    let mut raft = raft(1, &[1, 2, 3], 10, 1);
    raft.lead();
    raft.step(propose(1, "")).unwrap();
    raft.take_messages();
    raft.tick().unwrap();
    let want = [message(1, 2, 1, heartbeat(0)), message(1, 3, 1, heartbeat(0))];
    assert_eq!(sorted(raft.take_messages()), want);
}

fn starts_election(start: fn(&mut TestRaft)) {
    let mut raft = raft(1, &[1, 2, 3], 10, 1);
    start(&mut raft);
    for _ in 1..2 * 10 {
        raft.tick().unwrap();
    }
    assert_eq!((raft.term(), raft.state()), (2, StateRole::Candidate));
    let Role::Candidate(Candidate { votes, .. }) = &raft.role else { unreachable!() };
    assert_eq!(*votes, [(1, true)], "it votes for itself");
    let want = [message(1, 2, 2, request_vote(0, 0)), message(1, 3, 2, request_vote(0, 0))];
    assert_eq!(sorted(raft.take_messages()), want);
}

#[test]
fn follower_start_election() {
    starts_election(|raft| raft.become_follower(1, Some(2)));
}

#[test]
fn candidate_start_new_election() {
    starts_election(TestRaft::become_candidate);
}

/// Who votes, and whether in favour.
type Votes = [(NodeId, bool)];

#[test]
fn leader_election_in_one_round_rpc() {
    use StateRole::{Candidate, Leader};
    let table: &[(NodeId, &Votes, StateRole)] = &[
        (1, &[], Leader),
        (3, &[(2, true), (3, true)], Leader),
        (3, &[(2, true)], Leader),
        (5, &[(2, true), (3, true), (4, true), (5, true)], Leader),
        (5, &[(2, true), (3, true), (4, true)], Leader),
        (5, &[(2, true), (3, true)], Leader),
        (3, &[], Candidate),
        (5, &[(2, true)], Candidate),
        (5, &[(2, false), (3, false)], Candidate),
        (5, &[], Candidate),
    ];
    for (size, votes, want) in table {
        let mut raft = raft(1, &(1..=*size).collect::<Vec<_>>(), 10, 1);
        raft.step(campaign(1)).unwrap();
        for (voter, granted) in *votes {
            let body = Body::VoteResponse { granted: *granted };
            raft.step(message(*voter, 1, raft.term(), body)).unwrap();
        }
        assert_eq!((raft.state(), raft.term()), (*want, 1), "{size} nodes, votes {votes:?}");
    }
}

#[test]
fn follower_vote() {
    let table = [
        (None, 1, true),
        (None, 2, true),
        (Some(1), 1, true),
        (Some(2), 2, true),
        (Some(1), 2, false),
        (Some(2), 1, false),
    ];
    for (vote, candidate, granted) in table {
        let mut raft = raft(1, &[1, 2, 3], 10, 1);
        (raft.core.term, raft.core.vote) = (1, vote);
        raft.step(message(candidate, 1, 1, request_vote(0, 0))).unwrap();
        let want = [message(1, candidate, 1, Body::VoteResponse { granted })];
        assert_eq!(raft.take_messages(), want, "voted for {vote:?}, {candidate} asks");
    }
}

#[test]
fn candidate_fallback() {
    for term in [1, 2] {
        let mut raft = raft(1, &[1, 2, 3], 10, 1);
        raft.step(campaign(1)).unwrap();
        assert_eq!(raft.state(), StateRole::Candidate);
        raft.step(message(2, 1, term, append(0, 0, &[], 0))).unwrap();
        assert_eq!((raft.state(), raft.term()), (StateRole::Follower, term));
    }
}

/// Every timeout from 11 to 19 occurs.
fn election_timeout_is_randomized(start: fn(&mut TestRaft)) {
    let mut raft = raft(1, &[1, 2, 3], 10, 1);
    let mut seen = [false; 20];
    for _ in 0..500 {
        start(&mut raft);
        let mut ticks = 0;
        while raft.take_messages().is_empty() {
            raft.tick().unwrap();
            ticks += 1;
        }
        seen[ticks] = true;
    }
    for (ticks, seen) in seen.iter().enumerate().skip(11) {
        assert!(seen, "a timeout of {ticks} ticks never occurred");
    }
}

#[test]
fn follower_election_timeout_randomized() {
    election_timeout_is_randomized(|raft| raft.become_follower(raft.term() + 1, Some(2)));
}

#[test]
fn candidate_election_timeout_randomized() {
    election_timeout_is_randomized(TestRaft::become_candidate);
}

/// In most rounds one of five nodes times out alone.
fn election_timeouts_rarely_collide(start: fn(&mut TestRaft)) {
    let ids = [1, 2, 3, 4, 5];
    let mut nodes = ids.map(|id| raft(id, &ids, 10, 1));
    let mut conflicts = 0;
    for _ in 0..1000 {
        nodes.iter_mut().for_each(start);
        let mut campaigning = 0;
        while campaigning == 0 {
            for raft in &mut nodes {
                raft.tick().unwrap();
                campaigning += usize::from(!raft.take_messages().is_empty());
            }
        }
        conflicts += usize::from(campaigning > 1);
    }
    assert!(conflicts <= 300, "{conflicts} conflicts in 1000 rounds");
}

#[test]
fn followers_election_timeout_nonconflict() {
    election_timeouts_rarely_collide(|raft| raft.become_follower(raft.term() + 1, None));
}

#[test]
fn candidates_election_timeout_nonconflict() {
    election_timeouts_rarely_collide(TestRaft::become_candidate);
}

#[test]
fn leader_election() {
    use StateRole::{Candidate, Leader};
    let table = [
        (vec![FRESH, FRESH, FRESH], Leader),
        (vec![FRESH, FRESH, HOLE], Leader),
        (vec![FRESH, HOLE, HOLE], Candidate),
        (vec![FRESH, HOLE, HOLE, FRESH], Candidate),
        (vec![FRESH, HOLE, HOLE, FRESH, FRESH], Leader),
    ];
    for (peers, want) in table {
        let mut network = Network::new(peers);
        network.send([campaign(1)]);
        assert_eq!((network.at(1).state(), network.at(1).term()), (want, 1));
    }
}

#[test]
fn leader_cycle() {
    let mut network = Network::of(3);
    for campaigner in 1..=3 {
        network.send([campaign(campaigner)]);
        for raft in network.nodes() {
            let leads = raft.state() == StateRole::Leader;
            assert_eq!(leads, raft.id() == campaigner, "node {}", raft.id());
            assert!(leads || raft.state() == StateRole::Follower);
        }
    }
}

#[test]
fn vote_from_any_state() {
    for role in [StateRole::Follower, StateRole::Candidate, StateRole::Leader] {
        let mut raft = raft(1, &[1, 2, 3], 10, 1);
        raft.core.term = 1;
        match role {
            StateRole::Follower => raft.become_follower(1, Some(3)),
            StateRole::Candidate => raft.become_candidate(),
            StateRole::Leader => raft.lead(),
        }
        raft.take_messages();
        let term = raft.term() + 1;
        raft.step(message(2, 1, term, request_vote(42, term))).unwrap();
        let want = [message(1, 2, term, Body::VoteResponse { granted: true })];
        assert_eq!(raft.take_messages(), want, "{role:?}");
        assert_eq!(raft.state(), StateRole::Follower, "{role:?}");
        assert_eq!((raft.term(), raft.core.vote), (term, Some(2)), "{role:?}");
    }
}

#[test]
fn single_node_candidate() {
    let mut network = Network::of(1);
    network.send([campaign(1)]);
    assert_eq!(network.at(1).state(), StateRole::Leader);
}

/// A candidate that was cut off follows as soon as the leader of its term speaks.
fn candidate_resets_term(body: Body) {
    let nodes = [1, 2, 3].map(|id| node(raft(id, &[1, 2, 3], 10, 1)));
    let mut network = Network::new(nodes.into());
    network.send([campaign(1)]);
    assert_eq!(network.at(1).state(), StateRole::Leader);
    assert_eq!(network.at(2).state(), StateRole::Follower);
    assert_eq!(network.at(3).state(), StateRole::Follower);

    network.isolate(3);
    network.send([campaign(2)]);
    network.send([campaign(1)]);
    assert_eq!(network.at(1).state(), StateRole::Leader);
    assert_eq!(network.at(2).state(), StateRole::Follower);
    while network.at(3).state() != StateRole::Candidate {
        network.at(3).tick().unwrap();
    }

    network.recover();
    let term = network.at(1).term();
    network.send([message(1, 3, term, body)]);
    assert_eq!((network.at(3).state(), network.at(3).term()), (StateRole::Follower, term));
    assert_eq!(network.at(1).term(), term);
}

#[test]
fn candidate_reset_term_message_type_msg_heartbeat() {
    candidate_resets_term(heartbeat(0));
}

#[test]
fn candidate_reset_term_message_type_msg_append() {
    candidate_resets_term(append(0, 0, &[], 0));
}

#[test]
fn disruptive_follower() {
    use StateRole::{Candidate, Follower, Leader};
    let nodes = [1, 2, 3].map(|id| {
        let mut raft = raft(id, &[1, 2, 3], 10, 1);
        raft.become_follower(1, None);
        node(raft)
    });
    let mut network = Network::new(nodes.into());
    network.send([campaign(1)]);
    let states = |network: &mut Network| [1, 2, 3].map(|id| network.at(id).state());
    assert_eq!(states(&mut network), [Leader, Follower, Follower]);

    while network.at(3).state() != Candidate {
        network.at(3).tick().unwrap();
    }
    assert_eq!(states(&mut network), [Leader, Follower, Candidate]);
    assert_eq!([1, 2, 3].map(|id| network.at(id).term()), [2, 2, 3]);

    // The leader's heartbeat is late, and the candidate's answer makes the leader step down.
    network.send([message(1, 3, 2, heartbeat(0))]);
    assert_eq!((network.at(1).state(), network.at(1).term()), (Follower, 3));
}

#[test]
fn recv_message_type_msg_beat() {
    let table = [(StateRole::Leader, 2), (StateRole::Candidate, 0), (StateRole::Follower, 0)];
    for (role, want) in table {
        let mut raft = raft(1, &[1, 2, 3], 10, 1);
        raft.force_log(MemoryStorage::with_entries(vec![entry(0, 0), entry(1, 0), entry(2, 1)]));
        (raft.core.term, raft.core.vote) = (1, Some(1));
        raft.force_role(role);
        raft.step(beat(1)).unwrap();
        let messages = raft.take_messages();
        assert_eq!(messages.len(), want, "{role:?}");
        assert!(messages.iter().all(|sent| matches!(sent.body, Body::Heartbeat { .. })));
    }
}

#[test]
fn campaign_while_leader() {
    let mut raft = raft(1, &[1], 5, 1);
    assert_eq!(raft.state(), StateRole::Follower);
    raft.step(campaign(1)).unwrap();
    assert_eq!(raft.state(), StateRole::Leader);
    let term = raft.term();
    raft.step(campaign(1)).unwrap();
    assert_eq!((raft.state(), raft.term()), (StateRole::Leader, term));
}

#[test]
fn split_vote() {
    let nodes = [1, 2, 3].map(|id| {
        let mut raft = raft(id, &[1, 2, 3], 10, 1);
        raft.become_follower(1, None);
        node(raft)
    });
    let mut network = Network::new(nodes.into());
    network.send([campaign(1)]);

    // The leader is gone, and the others campaign at the same time.
    network.isolate(1);
    network.send([campaign(2), campaign(3)]);
    assert_eq!([2, 3].map(|id| network.at(id).term()), [3, 3]);
    assert_eq!([2, 3].map(|id| network.at(id).state()), [StateRole::Candidate; 2]);

    network.send([campaign(2)]);
    assert_eq!([2, 3].map(|id| network.at(id).term()), [4, 4]);
    assert_eq!(network.at(2).state(), StateRole::Leader);
    assert_eq!(network.at(3).state(), StateRole::Follower);
}
