//! The gate to the wire: what is let in comes out again as it was, and nothing malformed is let in.

use prost::Message as _;
use proto::eraftpb::{self, MessageType};
use runtime::Rng;
use tests::fuzz::{cases, damage};

use super::*;
use crate::Error;

/// One message of each kind that travels, with every field set to something.
fn one_of_each() -> Vec<Message> {
    let last = Position { term: 2, index: 7 };
    let snapshot = Box::new(snapshot(7, 2, &[1, 2]));
    let entries = [entry_with(8, 2, "a"), conf_change_entry(&add_node(4))];
    let entries: Vec<_> =
        (8..).zip(entries).map(|(index, e)| Entry { index, term: 3, ..e }).collect();
    let bodies = [
        Body::RequestPreVote { last },
        Body::PreVoteResponse { granted: true },
        Body::PreVoteResponse { granted: false },
        Body::RequestVote { last, force: false },
        Body::RequestVote { last, force: true },
        Body::VoteResponse { granted: true },
        Body::VoteResponse { granted: false },
        Body::Append { base: last, entries, commit: 6 },
        Body::AppendAccept { match_index: 9 },
        Body::AppendRefuse { base_index: 9, hint: last },
        Body::Snapshot { snapshot },
        Body::Heartbeat { commit: 6, round: 0 },
        Body::Heartbeat { commit: 6, round: 5 },
        Body::HeartbeatResponse { round: 5 },
        Body::TimeoutNow,
        Body::ReadIndexResponse { index: 6, context: "r".into() },
    ];
    let mut messages: Vec<_> = bodies.into_iter().map(|body| message(1, 2, 3, body)).collect();
    messages.push(message(1, 2, 0, Body::TransferLeader));
    messages.push(message(1, 2, 0, Body::ReadIndex { context: "r".into() }));
    messages
}

#[test]
fn every_kind_survives_the_wire() {
    for message in one_of_each() {
        let wire = eraftpb::Message::from(message.clone());
        assert_eq!(Message::try_from(wire).unwrap(), message);
    }
}

/// A group without options says nothing that a node of the original would not understand, apart from
/// the hint in a refusal, which that node overlooks.
#[test]
fn what_our_options_add_is_absent_without_them() {
    let plain = [
        Body::RequestVote { last: Position::default(), force: false },
        Body::VoteResponse { granted: true },
        append(7, 2, &[entry(8, 3)], 6),
        Body::AppendAccept { match_index: 9 },
        Body::Heartbeat { commit: 6, round: 0 },
        Body::HeartbeatResponse { round: 0 },
        Body::TimeoutNow,
    ];
    for body in plain {
        let wire = eraftpb::Message::from(message(1, 2, 3, body));
        assert!(wire.msg_type < 100 && wire.context.is_empty() && !wire.force, "{wire:?}");
        assert_eq!(wire.reject_hint, 0, "{wire:?}");
    }
}

type Spoil = fn(&mut eraftpb::Message);
type SetNumber = fn(&mut eraftpb::Message, u64);

#[test]
fn what_no_correct_node_sends_is_refused() {
    let append = Body::Append {
        base: Position { term: 2, index: 7 },
        entries: vec![entry(8, 2), entry(9, 3)],
        commit: 6,
    };
    let append = eraftpb::Message::from(message(1, 2, 3, append));
    let heartbeat =
        eraftpb::Message::from(message(1, 2, 3, Body::Heartbeat { commit: 1, round: 1 }));
    let taken = Box::new(snapshot(7, 2, &[1, 2]));
    let taken = eraftpb::Message::from(message(1, 2, 3, Body::Snapshot { snapshot: taken }));
    let read = Body::ReadIndex { context: vec![7; 64].into() };
    let read = eraftpb::Message::from(message(1, 2, 0, read));
    let huge = u64::MAX / 2;
    let table: [(&eraftpb::Message, Spoil, &str); 20] = [
        (&read, |m| m.context = vec![7; 65].into(), "a context that is too long"),
        (&append, |m| m.from = 0, "no sender"),
        (&append, |m| m.to = 0, "no receiver"),
        (&append, |m| m.to = 1, "a message to oneself"),
        (&append, |m| m.term = 0, "a log from a later term"),
        (&heartbeat, |m| m.term = 0, "a term where none belongs, or none where one does"),
        (&append, |m| m.msg_type = 10, "unknown kind of message"),
        (
            &append,
            |m| m.set_msg_type(MessageType::MsgHup),
            "a local message came from another node",
        ),
        (
            &append,
            |m| m.set_msg_type(MessageType::MsgBeat),
            "a local message came from another node",
        ),
        (
            &append,
            |m| m.set_msg_type(MessageType::MsgPropose),
            "a local message came from another node",
        ),
        (&append, |m| m.log_term = 0, "a base that is half there"),
        (&append, |m| m.entries[1].index = 10, "entries with a gap"),
        (&append, |m| m.entries[1].term = 1, "entries with impossible terms"),
        (&append, |m| m.entries[1].term = 4, "entries with impossible terms"),
        (&append, |m| m.entries[1].entry_type = 7, "unknown kind of entry"),
        (&heartbeat, |m| m.context = "short".into(), "a round that is not a number"),
        (&taken, |m| m.snapshot = None, "a snapshot without snapshot"),
        (&taken, |m| m.snapshot = Some(Snapshot::default()), "a snapshot of nothing"),
        (&taken, |m| m.term = 1, "a snapshot from a later term"),
        (&taken, |m| m.snapshot = Some(snapshot(7, 2, &[1, 0])), "a member without number"),
    ];
    for (good, spoil, want) in table {
        let mut wire = good.clone();
        assert!(Message::try_from(wire.clone()).is_ok());
        spoil(&mut wire);
        match Message::try_from(wire) {
            Err(Error::Malformed(why)) => assert_eq!(why, want),
            other => panic!("{want}: {other:?}"),
        }
    }
    let setters: [SetNumber; 3] = [|m, n| m.term = n, |m, n| m.commit = n, |m, n| m.index = n];
    for spoil in setters {
        let mut wire = heartbeat.clone();
        spoil(&mut wire, huge);
        assert!(matches!(
            Message::try_from(wire),
            Err(Error::Malformed("a number is out of range"))
        ));
    }
}

#[test]
fn arbitrary_records_never_panic() {
    let mut rng = runtime::Rng::new(11);
    let mut nodes = [1, 2, 3].map(|id| raft(id, &[1, 2, 3], 10, 1));
    nodes[0].lead();
    let mut accepted = 0;
    for _ in 0..100_000 {
        let mut small = || rng.below(6);
        let entries: Vec<_> = (0..small() % 3).map(|_| entry(small(), small())).collect();
        let mut wire = eraftpb::Message {
            msg_type: i32::try_from(small() + small()).unwrap(),
            to: small(),
            from: small(),
            term: small(),
            log_term: small(),
            index: small(),
            entries,
            commit: small(),
            snapshot: Some(snapshot(small(), small(), &[small(), small()])),
            reject: small() > 2,
            force: small() > 2,
            reject_hint: small(),
            ..eraftpb::Message::default()
        };
        if rng.chance(1, 4) {
            wire.msg_type += 95;
        }
        let Ok(message) = Message::try_from(wire) else { continue };
        accepted += 1;
        // A node that is only ever told nonsense may refuse, but keeps its own invariants. Messages
        // that contradict each other can break the promises *between* nodes, so each gets only one.
        for raft in &mut nodes {
            let mut node = raft_over(raft.storage().clone(), raft.id(), &[1, 2, 3], 10, 1);
            if raft.is_leader() {
                node.lead();
            }
            let _ = node.step(message.clone());
            node.check_invariants();
        }
    }
    assert!(accepted > 5_000, "only {accepted} records were let in");
}

/// How many damaged messages are tried, if nobody says otherwise.
const CASES: u64 = 20_000;

#[test]
fn any_bytes_for_a_message_are_refused_or_say_again_what_was_read() {
    let cases = cases(CASES);
    let seeds: Vec<_> = one_of_each()
        .into_iter()
        .map(|message| eraftpb::Message::from(message).encode_to_vec())
        .collect();
    let mut rng = Rng::new(3);
    let (mut read, mut refused) = (0, 0);
    for _ in 0..cases {
        let mut bytes = rng.pick(&seeds).unwrap().clone();
        damage(&mut bytes, &mut rng);
        let Ok(wire) = eraftpb::Message::decode(&bytes[..]) else { continue };
        match Message::try_from(wire) {
            Ok(message) => {
                let again = eraftpb::Message::from(message.clone());
                assert_eq!(Message::try_from(again).unwrap(), message);
                read += 1;
            }
            Err(Error::Malformed(_)) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(read > cases / 20 && refused > cases / 20, "{read} read, {refused} refused");
}
