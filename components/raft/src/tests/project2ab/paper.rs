//! The tests of 2AB that go through the paper section by section.

use super::super::network::{HOLE, Network, node};
use super::super::*;

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
        assert_eq!(raft.core.log.all_entries().unwrap(), entries(&all));
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
        assert_eq!(
            network.at(1).core.log.all_entries().unwrap()[10..],
            [entry(11, 9), entry(12, 9)]
        );
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
