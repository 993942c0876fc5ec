//! Splits whose right part is called, made and removed in any order.

use engine::Engine as _;
use proto::RegionId;
use proto::eraftpb::ConfChangeType::{AddNode, RemoveNode};
use proto::eraftpb::{Message, MessageType};
use proto::metapb::{Peer, Region, RegionEpoch};
use proto::raft_serverpb::RaftMessage;
use runtime::mark;

use super::cluster::{Cluster, FIRST, peer, quiet};
use super::net::{from_store, kind};
use super::stale::message;
use crate::message::Admin;
use crate::state;

#[test]
fn calls_for_a_split_to_come_are_kept_and_answered() {
    let mut cluster = Cluster::three();
    cluster.lead(FIRST, 1);
    cluster.at(3).holds_apply = true;
    cluster.isolate(2);
    mark::reset();
    cluster.net.heal();
    // Store 2 is gone, so the right part needs the vote of store 3, which has not split yet.
    cluster.split(FIRST, "m", 2);
    cluster.at(2).crash(1);
    cluster.tick(30);
    assert!(mark::hits("a call for the right part of a split to come") > 0);
    assert!(cluster.status(3, RegionId::new(2)).is_none(), "no peer is made beside the old region");
    cluster.at(3).holds_apply = false;
    cluster.settle();
    let votes = cluster.net.sent();
    let is_answer = |message: &&RaftMessage| {
        message.region_id == 2
            && from_store(message) == 3
            && matches!(
                kind(message),
                Some(MessageType::MsgRequestVoteResponse | MessageType::MsgRequestPreVoteResponse)
            )
    };
    assert!(votes.iter().find(is_answer).is_some(), "the calls are answered at once");
    cluster.wait_for_leader(RegionId::new(2));
}

#[test]
fn the_right_part_of_a_split_is_not_made_where_it_was_removed_already() {
    let mut cluster = Cluster::three();
    cluster.lead(FIRST, 1);
    cluster.put("a", "1");
    cluster.put("x", "1");
    cluster.at(3).holds_apply = true;
    cluster.split(FIRST, "m", 2);
    let second = RegionId::new(2);
    cluster.wait_for_leader(second);
    cluster.change(second, RemoveNode, Peer { id: 23, store_id: 3 });
    // The tombstone comes to store 3 in the way of a peer that was called before.
    let mut batch = engine::WriteBatch::new();
    let leader = cluster.leader(second).unwrap();
    let gone = state::tombstone_region(
        &cluster.region(leader, second),
        Peer { id: 23, store_id: 3 },
        RegionEpoch { conf_ver: 2, version: 2 },
    );
    state::put_tombstone(&mut batch, &gone);
    cluster.machines[&3].kv.engine.write(&batch, engine::Durability::Synced).unwrap();
    cluster.at(3).holds_apply = false;
    cluster.tick(20);
    assert!(cluster.status(3, second).is_none());
    assert_eq!(cluster.data(3, &Region::new(second, "m", "")).len(), 0, "nobody owns it here");
    cluster.converge(FIRST);
}

/// A region on stores 1 to 3, and a call for the right part of a split to come that store 3 got while it
/// had no regions yet, and answered.
pub(crate) fn called_before_its_split() -> (Cluster, RaftMessage) {
    let mut cluster = Cluster::new(3, &[1, 2], quiet());
    cluster.lead(FIRST, 1);
    let mut call = message(1, Peer { id: 23, store_id: 3 }, 1);
    (call.region_id, call.from_peer) = (2, Some(Peer { id: 21, store_id: 1 }));
    call.message = Some(Message {
        msg_type: MessageType::MsgRequestVote.into(),
        from: 21,
        to: 23,
        term: 6,
        index: 5,
        log_term: 5,
        ..Message::default()
    });
    cluster.deliver(call.clone());
    cluster.settle();
    cluster.change(FIRST, AddNode, peer(3));
    cluster.converge(FIRST);
    (cluster, call)
}

#[test]
fn a_peer_that_was_called_before_its_split_keeps_its_vote_and_its_promise() {
    let (mut cluster, mut heartbeat) = called_before_its_split();
    let second = RegionId::new(2);
    let inner = heartbeat.message.as_mut().unwrap();
    (inner.msg_type, inner.index, inner.log_term) = (MessageType::MsgHeartbeat.into(), 0, 0);
    cluster.deliver(heartbeat);
    cluster.at(3).holds_apply = true;
    cluster.split(FIRST, "m", 2);
    cluster.isolate(3);
    cluster.at(3).holds_apply = false;
    cluster.settle();
    let status = cluster.status(3, second).unwrap();
    assert_eq!((status.term, status.vote, status.last_index), (6, Some(21), 5));
    // The leader that it has heard may hold a lease: it helps nobody else for an election timeout.
    let ask = |term| {
        let mut ask = message(2, Peer { id: 23, store_id: 3 }, 1);
        (ask.region_id, ask.from_peer) = (2, Some(Peer { id: 22, store_id: 2 }));
        ask.message = Some(Message {
            msg_type: MessageType::MsgRequestVote.into(),
            from: 22,
            to: 23,
            term,
            index: 9,
            log_term: 7,
            ..Message::default()
        });
        ask
    };
    cluster.deliver(ask(8));
    cluster.settle();
    assert_eq!(cluster.status(3, second).unwrap().term, 6, "not yet");
    cluster.tick(10);
    cluster.deliver(ask(9));
    cluster.settle();
    assert_eq!(cluster.status(3, second).unwrap().vote, Some(22));
}

#[test]
fn a_split_meets_its_right_part_while_that_is_being_removed() {
    let (mut cluster, call) = called_before_its_split();
    let second = RegionId::new(2);
    assert_eq!(cluster.status(3, second).unwrap().vote, Some(21));
    cluster.at(3).holds_apply = true;
    cluster.split(FIRST, "m", 2);
    let mut tombstone = call;
    (tombstone.is_tombstone, tombstone.message) = (true, None);
    tombstone.region_epoch = Some(RegionEpoch { conf_ver: 5, version: 2 });
    cluster.deliver(tombstone);
    cluster.settle();
    mark::reset();
    cluster.at(3).holds_apply = false;
    cluster.settle();
    assert_eq!(mark::hits("the right part of a split is being removed already"), 1);
    assert!(cluster.is_buried(3, second) && cluster.status(3, second).is_none());
    let admin = Admin::CompactLog { index: 0, term: 0 };
    assert!(cluster.admin(1, FIRST, admin).unwrap().is_err(), "the store goes on");
    cluster.converge(FIRST);
}

#[test]
fn the_right_part_of_a_split_may_have_all_that_was_written() {
    let mut cluster = Cluster::three();
    cluster.lead(FIRST, 1);
    cluster.put("x", "1");
    cluster.split(FIRST, "m", 2);
    let second = RegionId::new(2);
    cluster.tick_until("a report of the right part", |cluster| {
        let reports = cluster.scheduler.heartbeats();
        let of_right = reports.iter().rfind(|report| report.region.region_id() == second);
        // Files hide it, as long as it is not in any: were it nothing, it would not be counted.
        of_right.is_some_and(|report| report.approximate_size > 0)
    });
}
