//! Writes that arrive together share an entry, and each is answered as if it had one of its own.

use proto::RegionId;
use proto::eraftpb::{Message, MessageType};
use proto::raft_serverpb::RaftMessage;
use runtime::mark;
use runtime::units::Bytes as Size;

use super::cluster::{Cluster, FIRST, Waiter, peer, put, quiet};
use crate::config::Config;
use crate::error::RegionError;
use crate::message::{Admin, Command, Done, Header, Request, Response};

fn three(config: Config) -> (Cluster, Header) {
    let mut cluster = Cluster::new(3, &[1, 2, 3], config);
    cluster.lead(FIRST, 1);
    let header = cluster.header(1, FIRST);
    (cluster, header)
}

fn write(key: &str) -> Command {
    Command::Write(vec![put(key, key)])
}

fn answer(waiter: &mut Waiter) -> Result<Done, RegionError> {
    waiter.try_take().expect("it is answered").0
}

/// How many entries the leader's log gets while something happens.
fn entries(cluster: &mut Cluster, happens: impl FnOnce(&mut Cluster)) -> u64 {
    let last = |cluster: &Cluster| cluster.status(1, FIRST).expect("it is there").last_index;
    let before = last(cluster);
    happens(cluster);
    cluster.settle();
    last(cluster) - before
}

#[test]
fn writes_of_one_turn_share_an_entry_and_each_is_answered() {
    let (mut cluster, header) = three(quiet());
    let mut waiters = Vec::new();
    let entries = entries(&mut cluster, |cluster| {
        waiters.extend(["a", "b", "c", "a"].map(|key| cluster.send(1, header, write(key))));
    });
    assert_eq!(entries, 1);
    for waiter in &mut waiters {
        assert!(matches!(answer(waiter), Ok(Done::Written)));
    }
    assert_eq!(cluster.get("c").as_deref(), Some("c"));
}

#[test]
fn what_a_split_comes_between_is_not_put_together() {
    let (mut cluster, header) = three(quiet());
    let split =
        Admin::Split { key: "m".into(), new_region: RegionId::new(2), new_peers: vec![21, 22, 23] };
    let mut before = [write("a"), write("x")].map(|command| cluster.send(1, header, command));
    let mut admin = cluster.send(1, header, Command::Admin(split));
    let mut after = [write("b"), write("c")].map(|command| cluster.send(1, header, command));
    cluster.settle();
    assert!(answer(&mut admin).is_ok());
    for waiter in &mut before {
        assert!(answer(waiter).is_ok());
    }
    for waiter in &mut after {
        let error = answer(waiter).unwrap_err();
        assert!(matches!(error, RegionError::EpochNotMatch { .. }), "{error}");
    }
    assert_eq!(cluster.get("a").as_deref(), Some("a"));
    assert_eq!(cluster.get("b"), None, "certainly not done");
}

#[test]
fn writes_of_different_senders_do_not_share_a_header() {
    let (mut cluster, header) = three(quiet());
    let term = cluster.status(1, FIRST).expect("it is there").term;
    let computed = Header { term, ..header };
    let entries = entries(&mut cluster, |cluster| {
        for header in [header, computed, computed, header] {
            drop(cluster.send(1, header, write("a")));
        }
    });
    assert_eq!(entries, 3);
}

#[test]
fn a_command_that_reads_has_an_entry_and_an_answer_of_its_own() {
    let (mut cluster, header) = three(quiet());
    let reads = Command::Write(vec![
        put("a", "2"),
        Request::Get { cf: engine::Cf::Default, key: "a".into() },
    ]);
    let mut waiters = Vec::new();
    let entries = entries(&mut cluster, |cluster| {
        let commands = [write("a"), reads, write("b"), write("c")];
        waiters.extend(commands.map(|command| cluster.send(1, header, command)));
    });
    assert_eq!(entries, 3);
    let Ok(Done::Responses(responses)) = answer(&mut waiters[1]) else { panic!("it reads") };
    assert!(matches!(&responses[..], [Response::Put, Response::Get(Some(value))] if value == "2"));
    assert!(matches!(answer(&mut waiters[0]), Ok(Done::Written)));
}

#[test]
fn an_entry_that_is_shared_is_not_larger_than_one_may_be() {
    let (mut cluster, header) = three(Config { entry_size_max: Size::kib(1), ..quiet() });
    let value = "v".repeat(300);
    let large = Command::Write(vec![put("large", &"v".repeat(2000))]);
    let mut waiters = Vec::new();
    let mut too_large = None;
    let entries = entries(&mut cluster, |cluster| {
        for key in ["a", "b", "c", "d", "e"] {
            let command = Command::Write(vec![put(key, &value)]);
            waiters.push(cluster.send(1, header, command));
        }
        too_large = Some(cluster.send(1, header, large));
    });
    assert_eq!(entries, 3, "two, two, one; and none for what is too large by itself");
    for waiter in &mut waiters {
        assert!(answer(waiter).is_ok());
    }
    let error = answer(&mut too_large.expect("it was sent")).unwrap_err();
    assert!(matches!(error, RegionError::Refused(_)), "{error}");
}

/// A heartbeat of store 2's peer, as the leader of a term.
fn heartbeat(term: u64, header: &Header) -> RaftMessage {
    let message = Message {
        msg_type: MessageType::MsgHeartbeat.into(),
        from: 2,
        to: 1,
        term,
        ..Message::default()
    };
    RaftMessage {
        region_id: FIRST.get(),
        from_peer: Some(peer(2)),
        to_peer: Some(peer(1)),
        message: Some(message),
        region_epoch: Some(header.epoch),
        ..RaftMessage::default()
    }
}

#[test]
fn writes_that_were_gathered_when_another_leader_spoke_are_refused() {
    let (mut cluster, header) = three(quiet());
    let term = cluster.status(1, FIRST).expect("it is there").term;
    mark::reset();
    let mut waiters = [write("a"), write("b")].map(|command| cluster.send(1, header, command));
    let router = cluster.process(1).expect("it runs").router.clone();
    router.raft_message(Box::new(heartbeat(term + 1, &header)));
    cluster.settle();
    for waiter in &mut waiters {
        let error = answer(waiter).unwrap_err();
        assert!(!error.is_undetermined(), "certainly not done: {error}");
    }
    assert_eq!(mark::hits("a bundle that was admitted in another term"), 1);
}
