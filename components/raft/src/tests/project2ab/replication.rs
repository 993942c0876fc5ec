//! The other tests of 2AB.

use super::super::network::{FRESH, HOLE, Network, Peer, node};
use super::super::*;

#[test]
fn progress_leader() {
    let mut raft = raft(1, &[1, 2], 5, 1);
    raft.lead();
    for n in 0..5 {
        let own = raft.progress(1);
        assert_eq!((own.match_index, own.next_index), (n + 1, n + 2));
        raft.step(propose(1, "foo")).unwrap();
    }
}

#[test]
fn leader_election_overwrite_newer_logs() {
    let peers = [1, 2, 3, 4, 5];
    let with_log = |id, terms: &[Term]| {
        let mut raft = raft_over(storage_with(terms), id, &peers, 5, 1);
        raft.core.term = *terms.last().unwrap();
        node(raft)
    };
    let voted = |id| {
        let mut storage = MemoryStorage::new();
        storage.set_hard_state(HardState { term: 2, vote: 3, commit: 0 });
        node(raft_over(storage, id, &peers, 5, 1))
    };
    // Node 3 won term 2 with the votes of 4 and 5, but nobody else has its entry.
    let mut network = Network::new(vec![
        with_log(1, &[1]),
        with_log(2, &[1]),
        with_log(3, &[2]),
        voted(4),
        voted(5),
    ]);
    // The first attempt shows node 1 that term 2 is taken.
    network.send([campaign(1)]);
    assert_eq!((network.at(1).state(), network.at(1).term()), (StateRole::Follower, 2));
    // The second one succeeds.
    network.send([campaign(1)]);
    assert_eq!((network.at(1).state(), network.at(1).term()), (StateRole::Leader, 3));
    for raft in network.nodes() {
        assert_eq!(
            raft.core.log.all_entries().unwrap(),
            [entry(1, 1), entry(2, 3)],
            "node {}",
            raft.id()
        );
    }
}

#[test]
fn log_replication() {
    let table = [
        (vec![propose(1, "somedata")], 2),
        (vec![propose(1, "somedata"), campaign(2), propose(2, "somedata")], 4),
    ];
    for (messages, committed) in table {
        let mut network = Network::of(3);
        network.send([campaign(1)]);
        for message in messages.clone() {
            network.send([message]);
        }
        let is_proposal = |message: &&Message| matches!(message.body, Body::Propose { .. });
        let proposals = messages.iter().filter(is_proposal).count();
        for raft in network.nodes() {
            assert_eq!(raft.committed(), committed);
            let applied = raft.next_entries();
            let commands: Vec<_> = applied.iter().filter(|entry| !entry.data.is_empty()).collect();
            assert_eq!(commands.len(), proposals);
            assert!(commands.iter().all(|entry| entry.data == "somedata"));
        }
    }
}

#[test]
fn single_node_commit() {
    let mut network = Network::of(1);
    network.send([campaign(1)]);
    network.send([propose(1, "some data")]);
    network.send([propose(1, "some data")]);
    assert_eq!(network.at(1).committed(), 3);
}

#[test]
fn commit_without_new_term_entry() {
    let mut network = Network::of(5);
    network.send([campaign(1)]);
    for id in [3, 4, 5] {
        network.cut(1, id);
    }
    network.send([propose(1, "some data")]);
    network.send([propose(1, "some data")]);
    assert_eq!(network.at(1).committed(), 1);
    // The empty entry of the new leader carries the older ones along.
    network.recover();
    network.send([campaign(2)]);
    assert_eq!(network.at(1).committed(), 4);
}

#[test]
fn commit_with_heartbeat() {
    let mut network = Network::of(5);
    network.send([campaign(1)]);
    network.isolate(5);
    network.send([propose(1, "some data")]);
    network.send([propose(1, "some data")]);
    assert_eq!(network.at(5).committed(), 1);
    network.recover();
    network.send([beat(1)]);
    assert_eq!(network.at(5).committed(), 3);
}

#[test]
fn dueling_candidates() {
    let nodes = [1, 2, 3].map(|id| node(raft(id, &[1, 2, 3], 10, 1)));
    let mut network = Network::new(nodes.into());
    network.cut(1, 3);
    network.send([campaign(1)]);
    network.send([campaign(3)]);
    assert_eq!(network.at(1).state(), StateRole::Leader);
    assert_eq!(network.at(3).state(), StateRole::Candidate);

    // The third one's log is behind, so it ends the others' term but does not win its own.
    network.recover();
    network.send([campaign(3)]);
    let with_entry = (1, 0, vec![entry(1, 1)]);
    let want = [with_entry.clone(), with_entry, (0, 0, vec![])];
    for (raft, want) in network.nodes().zip(want) {
        assert_eq!((raft.state(), raft.term()), (StateRole::Follower, 2), "node {}", raft.id());
        assert_eq!(raft.log_summary(), want, "node {}", raft.id());
    }
}

#[test]
fn candidate_concede() {
    let mut network = Network::of(3);
    network.isolate(1);
    network.send([campaign(1)]);
    network.send([campaign(3)]);
    network.recover();
    network.send([beat(3)]);
    network.send([propose(3, "force follower")]);
    network.send([beat(3)]);
    assert_eq!((network.at(1).state(), network.at(1).term()), (StateRole::Follower, 1));
    let want = (2, 0, vec![entry(1, 1), entry_with(2, 1, "force follower")]);
    for raft in network.nodes() {
        assert_eq!(raft.log_summary(), want, "node {}", raft.id());
    }
}

#[test]
fn old_messages() {
    let mut network = Network::of(3);
    network.send([campaign(1)]);
    network.send([campaign(2)]);
    network.send([campaign(1)]);
    // An append of the old leader of term 2 arrives late.
    network.send([message(2, 1, 2, append(0, 0, &[entry(3, 2)], 0))]);
    network.send([propose(1, "somedata")]);
    let want = (4, 0, vec![entry(1, 1), entry(2, 2), entry(3, 3), entry_with(4, 3, "somedata")]);
    for raft in network.nodes() {
        assert_eq!(raft.log_summary(), want, "node {}", raft.id());
    }
}

#[test]
fn proposal() {
    let table: [(Vec<Peer>, bool); 5] = [
        (vec![FRESH, FRESH, FRESH], true),
        (vec![FRESH, FRESH, HOLE], true),
        (vec![FRESH, HOLE, HOLE], false),
        (vec![FRESH, HOLE, HOLE, FRESH], false),
        (vec![FRESH, HOLE, HOLE, FRESH, FRESH], true),
    ];
    for (peers, success) in table {
        let mut network = Network::new(peers);
        network.send([campaign(1)]);
        network.send([propose(1, "somedata")]);
        let want = if success {
            (2, 0, vec![entry(1, 1), entry_with(2, 1, "somedata")])
        } else {
            (0, 0, vec![])
        };
        for raft in network.nodes() {
            assert_eq!(raft.log_summary(), want, "node {}", raft.id());
        }
        assert_eq!(network.at(1).term(), 1);
    }
}

/// Index and term of each entry.
type Sent = [(Index, Term)];

#[test]
fn handle_message_type_msg_append() {
    // Base term, base index, commit, entries; then last index, committed index, refused.
    let table: &[(Term, Index, Index, &Sent, Index, Index, bool)] = &[
        // The base does not match: another term, or no entry.
        (3, 2, 3, &[], 2, 0, true),
        (3, 3, 3, &[], 2, 0, true),
        // It matches.
        (1, 1, 1, &[], 2, 1, false),
        (0, 0, 1, &[(1, 2)], 1, 1, false),
        (2, 2, 3, &[(3, 2), (4, 2)], 4, 3, false),
        (2, 2, 4, &[(3, 2)], 3, 3, false),
        (1, 1, 4, &[(2, 2)], 2, 2, false),
        // The commit index moves as far as the message vouches for, not further.
        (1, 1, 3, &[], 2, 1, false),
        (1, 1, 3, &[(2, 2)], 2, 2, false),
        (2, 2, 3, &[], 2, 2, false),
        (2, 2, 4, &[], 2, 2, false),
    ];
    for (n, (base_term, base_index, commit, sent, last, committed, refused)) in
        table.iter().enumerate()
    {
        let mut raft = raft_over(storage_with(&[1, 2]), 1, &[1], 10, 1);
        raft.become_follower(2, None);
        let sent: Vec<_> = sent.iter().map(|(index, term)| entry(*index, *term)).collect();
        raft.handle_append(2, append(*base_index, *base_term, &sent, *commit));
        assert_eq!((raft.last_index(), raft.committed()), (*last, *committed), "case {n}");
        let [answer] = &raft.take_messages()[..] else { panic!("case {n}: not one answer") };
        assert_eq!(matches!(answer.body, Body::AppendRefuse { .. }), *refused, "case {n}");
    }
}

#[test]
fn recv_message_type_msg_request_vote() {
    use StateRole::{Candidate, Follower, Leader};
    let table = [
        (Follower, 0, 0, None, true),
        (Follower, 0, 1, None, true),
        (Follower, 0, 2, None, true),
        (Follower, 0, 3, None, false),
        (Follower, 1, 0, None, true),
        (Follower, 1, 1, None, true),
        (Follower, 1, 2, None, true),
        (Follower, 1, 3, None, false),
        (Follower, 2, 0, None, true),
        (Follower, 2, 1, None, true),
        (Follower, 2, 2, None, false),
        (Follower, 2, 3, None, false),
        (Follower, 3, 0, None, true),
        (Follower, 3, 1, None, true),
        (Follower, 3, 2, None, false),
        (Follower, 3, 3, None, false),
        (Follower, 3, 2, Some(2), false),
        (Follower, 3, 2, Some(1), true),
        (Leader, 3, 3, Some(1), true),
        (Candidate, 3, 3, Some(1), true),
    ];
    for (role, index, log_term, vote, refused) in table {
        let mut raft = raft(1, &[1, 2], 10, 1);
        raft.force_log(storage_with(&[2, 2]));
        raft.core.vote = vote;
        raft.force_role(role);
        raft.core.term = log_term.max(2);
        raft.step(message(2, 1, raft.term(), request_vote(index, log_term))).unwrap();
        let want = [message(1, 2, raft.term(), Body::VoteResponse { granted: !refused })];
        assert_eq!(raft.take_messages(), want, "{role:?} {index}@{log_term} {vote:?}");
    }
}

#[test]
fn all_server_stepdown() {
    let table = [(StateRole::Follower, 0), (StateRole::Candidate, 0), (StateRole::Leader, 1)];
    for (role, want_index) in table {
        let mut raft = raft(1, &[1, 2, 3], 10, 1);
        match role {
            StateRole::Follower => raft.become_follower(1, None),
            StateRole::Candidate => raft.become_candidate(),
            StateRole::Leader => raft.lead(),
        }
        for (body, leader) in [(request_vote(0, 3), None), (append(0, 3, &[], 0), Some(2))] {
            raft.step(message(2, 1, 3, body)).unwrap();
            assert_eq!((raft.state(), raft.term()), (StateRole::Follower, 3), "{role:?}");
            assert_eq!(raft.last_index(), want_index, "{role:?}");
            assert_eq!(raft.core.log.all_entries().unwrap().len() as Index, want_index, "{role:?}");
            assert_eq!(raft.leader(), leader, "{role:?}");
        }
    }
}

#[test]
fn heartbeat_update_commit() {
    for (failed, succeeded) in [(1, 1), (5, 3), (5, 10)] {
        let nodes = [1, 2, 3].map(|id| node(raft(id, &[1, 2, 3], 10, 1)));
        let mut network = Network::new(nodes.into());
        network.send([campaign(1)]);
        network.isolate(1);
        for _ in 0..failed {
            network.send([propose(1, "")]);
        }
        assert!(network.at(1).committed() <= 1);

        network.send([campaign(2)]);
        for _ in 0..succeeded {
            network.send([propose(2, "")]);
        }
        assert_eq!([2, 3].map(|id| network.at(id).committed()), [2 + succeeded; 2]);

        // A heartbeat must not commit entries that were not compared with the leader's.
        network.recover();
        network.ignore(|body| matches!(body, Body::Append { .. }));
        network.send([beat(2)]);
        assert!(network.at(1).committed() <= 1);
    }
}

#[test]
fn leader_increase_next() {
    let lead = raft_over(storage_with(&[1, 1, 1]), 1, &[1, 2], 10, 1);
    let mut network = Network::new(vec![node(lead), FRESH, FRESH]);
    network.send([campaign(1)]);
    network.send([propose(1, "somedata")]);
    // Three old entries, the empty one, the proposal, and one more.
    assert_eq!(network.at(1).progress(2).next_index, 6);
}
