//! Log replication: part 2AB of the course.

use super::network::{FRESH, HOLE, Network, Peer, node};
use super::*;

#[test]
fn leader_start_replication() {
    let mut raft = raft(1, &[1, 2, 3], 10, 1);
    raft.lead();
    raft.commit_noop_entry();
    let last = raft.last_index();
    raft.step(propose(1, "some data")).unwrap();
    assert_eq!((raft.last_index(), raft.committed()), (last + 1, last));
    let proposed = [entry_with(last + 1, 1, "some data")];
    let want = [2, 3].map(|to| message(1, to, 1, append(last, 1, &proposed, last)));
    assert_eq!(sorted(raft.take_messages()), want);
    assert_eq!(raft.core.log.unstable_entries(), proposed);
}

#[test]
fn leader_commit_entry() {
    let mut raft = raft(1, &[1, 2, 3], 10, 1);
    raft.lead();
    raft.commit_noop_entry();
    let last = raft.last_index();
    raft.step(propose(1, "some data")).unwrap();
    for sent in raft.take_messages() {
        raft.step(accept(&sent)).unwrap();
    }
    assert_eq!(raft.committed(), last + 1);
    let next = raft.core.log.hand_out_committed().unwrap();
    assert_eq!(next, [entry_with(last + 1, 1, "some data")]);
    // The commit index travels in one message to each follower, however many acknowledged.
    let told = sorted(raft.take_messages());
    assert_eq!(told.iter().map(|sent| sent.to).collect::<Vec<_>>(), [2, 3]);
    for sent in told {
        let Body::Append { commit, .. } = sent.body else { panic!("not an append: {sent}") };
        assert_eq!(commit, last + 1);
    }
}

#[test]
fn leader_acknowledge_commit() {
    let table: &[(NodeId, &[NodeId], bool)] = &[
        (1, &[], true),
        (3, &[], false),
        (3, &[2], true),
        (3, &[2, 3], true),
        (5, &[], false),
        (5, &[2], false),
        (5, &[2, 3], true),
        (5, &[2, 3, 4], true),
        (5, &[2, 3, 4, 5], true),
    ];
    for (size, acceptors, want) in table {
        let mut raft = raft(1, &(1..=*size).collect::<Vec<_>>(), 10, 1);
        raft.lead();
        raft.commit_noop_entry();
        let last = raft.last_index();
        raft.step(propose(1, "some data")).unwrap();
        for sent in raft.take_messages() {
            if acceptors.contains(&sent.to) {
                raft.step(accept(&sent)).unwrap();
            }
        }
        assert_eq!(raft.committed() > last, *want, "{size} nodes, {acceptors:?} accept");
    }
}

#[test]
fn leader_commit_preceding_entries() {
    let table: &[&[Term]] = &[&[], &[2], &[1, 2], &[1]];
    for terms in table {
        let mut raft = raft_over(storage_with(terms), 1, &[1, 2, 3], 10, 1);
        raft.core.term = 2;
        raft.lead();
        raft.step(propose(1, "some data")).unwrap();
        for sent in raft.take_messages() {
            raft.step(accept(&sent)).unwrap();
        }
        let last = terms.len() as Index;
        let mut want = entries(terms);
        want.extend([entry(last + 1, 3), entry_with(last + 2, 3, "some data")]);
        // What is on disk and what is in memory come one after the other.
        let mut next = raft.core.log.hand_out_committed().unwrap();
        next.extend(raft.core.log.hand_out_committed().unwrap());
        assert_eq!(next, want, "{terms:?}");
    }
}

#[test]
fn follower_commit_entry() {
    let first = entry_with(1, 1, "some data");
    let second = entry_with(2, 1, "some data2");
    let table = [
        (vec![first.clone()], 1),
        (vec![first.clone(), second.clone()], 2),
        (vec![entry_with(1, 1, "some data2"), entry_with(2, 1, "some data")], 2),
        (vec![first, second], 1),
    ];
    for (sent, commit) in table {
        let mut raft = raft(1, &[1, 2, 3], 10, 1);
        raft.become_follower(1, Some(2));
        raft.step(message(2, 1, 1, append(0, 0, &sent, commit as Index))).unwrap();
        assert_eq!(raft.committed(), commit as Index);
        assert_eq!(raft.core.log.hand_out_committed().unwrap(), sent[..commit]);
    }
}

#[test]
fn follower_check_message_type_msg_append() {
    // Term and index of the base, and whether it is refused.
    let table = [(0, 0, false), (1, 1, false), (2, 2, false), (1, 2, true), (3, 3, true)];
    for (base_term, base_index, refused) in table {
        let mut raft = raft_over(storage_with(&[1, 2]), 1, &[1, 2, 3], 10, 1);
        raft.core.log.committed = 1;
        raft.become_follower(2, Some(2));
        raft.take_messages();
        raft.step(message(2, 1, 2, append(base_index, base_term, &[], 0))).unwrap();
        let [answer] = &raft.take_messages()[..] else { panic!("not one answer") };
        assert_eq!(answer.term, 2);
        let is_refusal = matches!(answer.body, Body::AppendRefuse { .. });
        assert_eq!(is_refusal, refused, "base {base_index}@{base_term}");
    }
}

#[test]
fn follower_append_entries() {
    struct Case {
        base: (Index, Term),
        term: Term,
        sent: Vec<Entry>,
        all: Vec<Term>,
        unstable: Vec<Entry>,
    }
    let table = [
        Case {
            base: (2, 2),
            term: 3,
            sent: vec![entry(3, 3)],
            all: vec![1, 2, 3],
            unstable: vec![entry(3, 3)],
        },
        Case {
            base: (1, 1),
            term: 4,
            sent: vec![entry(2, 3), entry(3, 4)],
            all: vec![1, 3, 4],
            unstable: vec![entry(2, 3), entry(3, 4)],
        },
        Case { base: (0, 0), term: 2, sent: vec![entry(1, 1)], all: vec![1, 2], unstable: vec![] },
        Case {
            base: (0, 0),
            term: 3,
            sent: vec![entry(1, 3)],
            all: vec![3],
            unstable: vec![entry(1, 3)],
        },
    ];
    for Case { base, term, sent, all, unstable } in table {
        let mut raft = raft_over(storage_with(&[1, 2]), 1, &[1, 2, 3], 10, 1);
        raft.become_follower(2, Some(2));
        raft.step(message(2, 1, term, append(base.0, base.1, &sent, 0))).unwrap();
        assert_eq!(raft.core.log.all_entries(), entries(&all));
        assert_eq!(raft.core.log.unstable_entries(), unstable);
    }
}

#[test]
fn leader_sync_follower_log() {
    let leader_terms = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
    // The six followers of Figure 7 of the paper.
    let table: &[&[Term]] = &[
        &[1, 1, 1, 4, 4, 5, 5, 6, 6],
        &[1, 1, 1, 4],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
        &[1, 1, 1, 4, 4, 4, 4],
        &[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
    ];
    for terms in table {
        let mut lead = raft_over(storage_with(&leader_terms), 1, &[1, 2, 3], 10, 1);
        lead.core.term = 8;
        lead.core.log.committed = lead.last_index();
        let mut follower = raft_over(storage_with(terms), 2, &[1, 2, 3], 10, 1);
        follower.core.term = 7;
        // Node 3 is only there to vote, for the follower may be ahead.
        let mut network = Network::new(vec![node(lead), node(follower), HOLE]);
        network.send([campaign(1)]);
        network.send([message(3, 1, 9, Body::VoteResponse { granted: true })]);
        network.send([propose(1, "")]);
        assert_eq!(network.at(1).log_summary(), network.at(2).log_summary(), "{terms:?}");
        assert_eq!(network.at(1).core.log.all_entries()[10..], [entry(11, 9), entry(12, 9)]);
    }
}

#[test]
fn vote_request() {
    for (terms, want_term) in [(vec![1], 2), (vec![1, 2], 3)] {
        let sent = entries(&terms);
        let last = Position::of(sent.last().unwrap());
        let mut raft = raft(1, &[1, 2, 3], 10, 1);
        raft.step(message(2, 1, want_term - 1, append(0, 0, &sent, 0))).unwrap();
        raft.take_messages();
        while raft.state() != StateRole::Candidate {
            raft.tick().unwrap();
        }
        let body = request_vote(last.index, last.term);
        let want = [2, 3].map(|to| message(1, to, want_term, body.clone()));
        assert_eq!(sorted(raft.take_messages()), want);
    }
}

#[test]
fn voter() {
    // The voter's log, then term and index of the candidate's last entry, and whether it is refused.
    let table: &[(&[Term], Term, Index, bool)] = &[
        (&[1], 1, 1, false),
        (&[1], 1, 2, false),
        (&[1, 1], 1, 1, true),
        (&[1], 2, 1, false),
        (&[1], 2, 2, false),
        (&[1, 1], 2, 1, false),
        (&[2], 1, 1, true),
        (&[2], 1, 2, true),
        (&[2, 1], 1, 1, true),
    ];
    for (terms, last_term, last_index, refused) in table {
        let mut raft = raft_over(storage_with(terms), 1, &[1, 2], 10, 1);
        raft.step(message(2, 1, 3, request_vote(*last_index, *last_term))).unwrap();
        let want = [message(1, 2, 3, Body::VoteResponse { granted: !refused })];
        assert_eq!(raft.take_messages(), want, "{terms:?} asked with {last_index}@{last_term}");
    }
}

#[test]
fn leader_only_commits_log_from_current_term() {
    for (accepted, committed) in [(1, 0), (2, 0), (3, 3)] {
        let mut raft = raft_over(storage_with(&[1, 2]), 1, &[1, 2], 10, 1);
        raft.core.term = 2;
        raft.lead();
        raft.take_messages();
        raft.step(propose(1, "")).unwrap();
        let body = Body::AppendAccept { match_index: accepted };
        raft.step(message(2, 1, raft.term(), body)).unwrap();
        assert_eq!(raft.committed(), committed, "2 accepted up to {accepted}");
    }
}

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
        assert_eq!(raft.core.log.all_entries(), [entry(1, 1), entry(2, 3)], "node {}", raft.id());
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
            assert_eq!(raft.core.log.all_entries().len() as Index, want_index, "{role:?}");
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
