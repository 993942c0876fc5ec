//! Messages from the past, and peers that come and go.

use engine::Engine as _;
use proto::eraftpb::ConfChangeType::{AddNode, RemoveNode};
use proto::eraftpb::{Message, MessageType};
use proto::metapb::{Peer, Region, RegionEpoch};
use proto::raft_serverpb::RaftMessage;
use runtime::clock::Clock as _;
use runtime::mark;

use super::cluster::{Cluster, FIRST, peer, quiet};
use super::net::{from_store, kind};
use crate::config::Config;
use crate::message::Admin;
use crate::peer::stale::{Verdict, is_believable, judge, judge_by_tombstone};
use crate::{keys, state};

/// A vote, or an answer, of one peer to another, who know the region at this epoch.
pub(crate) fn message(from: u64, to: Peer, conf_ver: u64) -> RaftMessage {
    RaftMessage {
        region_id: 1,
        from_peer: Some(peer(from)),
        to_peer: Some(to),
        region_epoch: Some(RegionEpoch { conf_ver, version: 1 }),
        ..RaftMessage::default()
    }
}

fn region(conf_ver: u64, peers: &[u64]) -> Region {
    let mut region = Region::new(FIRST, "", "").with_peers(peers.iter().map(|id| peer(*id)));
    region.region_epoch = Some(RegionEpoch { conf_ver, version: 1 });
    region
}

#[test]
fn the_six_cases_of_messages_from_the_past() {
    // Who knows what, who asks, and what becomes of it. Members were 1, 2 and 3 at conf_ver 3.
    let living = |story: &str, message: &RaftMessage, known: &Region, own: u64, wants_vote| {
        (story.to_owned(), judge(message, known, peer(own), wants_vote))
    };
    let buried = |story: &str, message: &RaftMessage, known: &Region, wants_vote| {
        (story.to_owned(), judge_by_tombstone(message, known, wants_vote))
    };
    let removed_2 = region(4, &[1, 3]);
    let removed_3 = region(4, &[1, 2, 3]);
    let removed_2_and_3 = region(6, &[1, 4, 3]);
    let others_came = region(6, &[1, 2, 3, 4, 5, 6]);
    let seen = [
        living("a: 2 answers 1", &message(2, peer(1), 3), &removed_2, 1, false),
        living("b: 2 asks 1", &message(2, peer(1), 3), &removed_2, 1, true),
        living("b: 2 asks 3", &message(2, peer(3), 3), &removed_2, 3, true),
        buried("c: 2 asks 3, which is gone", &message(2, peer(3), 3), &removed_3, true),
        buried("d: 2 asks 3, both are gone", &message(2, peer(3), 3), &removed_2_and_3, true),
        living("e: 2 asks 1, a member yet", &message(2, peer(1), 3), &others_came, 1, true),
        buried(
            "f: 2 asks 3, which saw it as a member",
            &message(2, peer(3), 3),
            &others_came,
            true,
        ),
    ];
    let expected = [
        ("a: 2 answers 1", Verdict::Fresh),
        ("b: 2 asks 1", Verdict::TellSender),
        ("b: 2 asks 3", Verdict::TellSender),
        ("c: 2 asks 3, which is gone", Verdict::Ignore),
        ("d: 2 asks 3, both are gone", Verdict::TellSender),
        ("e: 2 asks 1, a member yet", Verdict::Fresh),
        ("f: 2 asks 3, which saw it as a member", Verdict::Ignore),
    ];
    for ((story, verdict), (expected_story, expected)) in seen.iter().zip(expected) {
        assert_eq!(story, expected_story);
        assert_eq!(*verdict, expected, "{story}");
    }
}

#[test]
fn numbers_tell_which_peer_of_a_store_is_the_later_one() {
    let known = region(4, &[1, 2, 3]);
    let on_3 = |id| Peer { id, store_id: 3 };
    for (to, conf_ver, verdict) in [
        (on_3(3), 4, Verdict::Fresh),
        (on_3(3), 2, Verdict::Fresh),
        (on_3(2), 4, Verdict::ForAnother),
        (on_3(33), 6, Verdict::OwnIsGone),
        (on_3(33), 4, Verdict::Ignore),
    ] {
        let message = message(1, to, conf_ver);
        assert_eq!(judge(&message, &known, peer(3), false), verdict, "{to:?} at {conf_ver}");
    }
    let tombstone = region(6, &[1, 2, 3]);
    for (to, conf_ver, verdict) in [
        (on_3(3), 5, Verdict::Ignore),
        (on_3(3), 6, Verdict::Ignore),
        (on_3(3), 7, Verdict::Fresh),
        (on_3(2), 6, Verdict::Ignore),
        (on_3(33), 6, Verdict::Fresh),
        (on_3(33), 7, Verdict::Fresh),
        (on_3(33), 5, Verdict::Ignore),
    ] {
        let message = message(1, to, conf_ver);
        assert_eq!(judge_by_tombstone(&message, &tombstone, false), verdict, "{to:?} {conf_ver}");
    }
    let told = |to, conf_ver| is_believable(&message(1, to, conf_ver), &known, peer(3));
    assert_eq!(
        [told(peer(3), 5), told(peer(3), 4), told(peer(2), 5), told(on_3(33), 5)],
        [true, false, false, false]
    );
}

#[test]
fn a_peer_that_was_cut_off_learns_that_it_was_removed() {
    let mut cluster = Cluster::three();
    cluster.lead(FIRST, 1);
    cluster.put("a", "1");
    cluster.isolate(3);
    cluster.change(FIRST, RemoveNode, peer(3));
    cluster.tick(20);
    cluster.net.heal();
    cluster.net.sent();
    cluster.tick_until("store 3 knows it", |cluster| cluster.is_buried(3, FIRST));
    let sent = cluster.net.sent();
    assert!(sent.iter().any(|message| message.is_tombstone && from_store(message) != 3));
    assert_eq!(cluster.process(3).unwrap().raft.peers(), 0);
    assert_eq!(cluster.data(3, &Region::new(FIRST, "", "")).len(), 0, "its data is gone");
    let (start, end) = keys::raft_range(FIRST);
    let view = cluster.machines[&3].raft_disk.engine.snapshot().unwrap();
    let range = engine::KeyRange::new(&start, &end);
    assert!(
        !view.cursor(engine::Cf::Local, range).unwrap().seek_to_first().unwrap(),
        "its log too"
    );
}

#[test]
fn a_peer_of_which_nobody_is_left_that_it_knows_asks_the_scheduler() {
    let config = Config { leader_missing_period: runtime::units::Period::secs(5), ..quiet() };
    let mut cluster = Cluster::new(6, &[1, 2, 3], config);
    cluster.lead(FIRST, 1);
    cluster.isolate(2);
    for store in [4, 5, 6] {
        cluster.change(FIRST, AddNode, peer(store));
    }
    cluster.lead(FIRST, 4);
    for store in [1, 3, 2] {
        cluster.change(FIRST, RemoveNode, peer(store));
    }
    cluster.tick(10);
    // Those who would know are dead.
    for store in [1, 3] {
        cluster.at(store).crash(1);
    }
    cluster.net.heal();
    mark::reset();
    cluster.tick_until("store 2 knows it", |cluster| cluster.is_buried(2, FIRST));
    assert_eq!(mark::hits("the scheduler says that the peer is gone"), 1);
}

#[test]
fn a_scheduler_that_has_not_heard_of_a_new_peer_does_not_remove_it() {
    let config = Config { leader_missing_period: runtime::units::Period::secs(1), ..quiet() };
    let mut cluster = Cluster::new(2, &[1], config);
    cluster.scheduler.know(&region(6, &[1, 5]));
    let mut call = message(1, peer(2), 7);
    call.message = Some(Message {
        msg_type: MessageType::MsgRequestVote.into(),
        from: 1,
        to: 2,
        term: 9,
        index: 9,
        log_term: 8,
        ..Message::default()
    });
    cluster.isolate(2);
    cluster.deliver(call);
    cluster.settle();
    assert_eq!(cluster.status(2, FIRST).unwrap().vote, Some(1));
    cluster.tick(30);
    assert_eq!(cluster.status(2, FIRST).unwrap().vote, Some(1), "it has given its word");
    cluster.scheduler.know(&region(8, &[1, 5]));
    cluster.tick_until("it is gone", |cluster| cluster.is_buried(2, FIRST));
}

/// A group of 1 and 2, in which 1 was elected with its own removal in its log, has committed and applied it,
/// and is gone; and 2 has not heard of that.
fn last_of_two() -> Cluster {
    let mut cluster = Cluster::new(2, &[1, 2], quiet());
    cluster.lead(FIRST, 2);
    let is_silent = |message: &RaftMessage| kind(message) == Some(MessageType::MsgAppendResponse);
    cluster.net.lose(is_silent);
    let remove = Admin::ChangePeer { change: RemoveNode, peer: peer(1) };
    assert!(cluster.admin(2, FIRST, remove).is_none(), "2 does not know that 1 has it");
    let removal = cluster.status(1, FIRST).unwrap().last_index;
    cluster.isolate(1);
    cluster.tick_until("nobody leads", |cluster| cluster.leader(FIRST).is_none());
    cluster.net.heal();
    cluster.net.lose(move |message| {
        let commit = message.message.as_ref().map_or(0, |inner| inner.commit);
        let asks_first = kind(message) == Some(MessageType::MsgRequestPreVote);
        (from_store(message) == 2 && asks_first) || (from_store(message) == 1 && commit >= removal)
    });
    cluster.tick_until("1 is gone", |cluster| cluster.is_buried(1, FIRST));
    assert_eq!(cluster.region(2, FIRST).peers.len(), 2);
    cluster
}

#[test]
fn the_last_of_two_goes_on_with_the_consent_of_the_other_ones_tombstone() {
    for crashes in [false, true] {
        let mut cluster = last_of_two();
        mark::reset();
        cluster.net.heal();
        if crashes {
            cluster.restart(1, 0);
            cluster.restart(2, 0);
        }
        cluster.tick_until("2 leads alone", |cluster| {
            cluster.leader(FIRST) == Some(2) && cluster.region(2, FIRST).peers == [peer(2)]
        });
        assert!(mark::hits("a removed peer says yes to the last of two") > 0);
        cluster.put("a", "1");
        assert!(cluster.is_buried(1, FIRST));
    }
}

#[test]
fn a_tombstone_consents_to_nobody_but_the_last_of_two() {
    let pair = region(4, &[2, 3]);
    let cases = [
        ("2 is left, and does not know", message(2, peer(3), 3), &pair, Verdict::LastOfTwo),
        ("2 knows", message(2, peer(3), 4), &pair, Verdict::Ignore),
        ("a stranger asks", message(1, peer(3), 3), &pair, Verdict::Ignore),
        (
            "an older peer is asked",
            message(2, Peer { id: 1, store_id: 3 }, 3),
            &pair,
            Verdict::Ignore,
        ),
        ("two are left", message(2, peer(3), 3), &region(4, &[1, 2, 3]), Verdict::Ignore),
        ("nobody is known", message(2, peer(3), 3), &region(4, &[3]), Verdict::Ignore),
    ];
    for (story, message, tombstone, expected) in cases {
        assert_eq!(judge_by_tombstone(&message, tombstone, false), expected, "{story}");
    }
}

#[test]
fn a_tombstone_is_for_ever() {
    let mut cluster = Cluster::three();
    cluster.lead(FIRST, 1);
    cluster.change(FIRST, RemoveNode, peer(3));
    cluster.tick_until("it is gone", |cluster| cluster.is_buried(3, FIRST));
    let vote = |conf_ver| {
        let mut call = message(2, peer(3), conf_ver);
        call.message = Some(Message {
            msg_type: MessageType::MsgRequestVote.into(),
            from: 2,
            to: 3,
            term: 99,
            index: 99,
            log_term: 98,
            ..Message::default()
        });
        call
    };
    for restarts in 0..2 {
        for conf_ver in [0, 1, 2] {
            cluster.deliver(vote(conf_ver));
            cluster.settle();
            assert_eq!(cluster.process(3).unwrap().raft.peers(), 0, "at {conf_ver}, {restarts}");
        }
        cluster.restart(3, restarts);
    }
    // Its successor is another one, and welcome.
    let next = Peer { id: 33, store_id: 3 };
    cluster.change(FIRST, AddNode, next);
    cluster.converge(FIRST);
    assert_eq!(cluster.status(3, FIRST).unwrap().id, 33);
}

#[test]
fn a_peer_whose_successor_is_called_makes_room_for_it() {
    let mut cluster = Cluster::three();
    cluster.lead(FIRST, 1);
    cluster.put("a", "1");
    cluster.isolate(3);
    cluster.change(FIRST, RemoveNode, peer(3));
    let next = Peer { id: 33, store_id: 3 };
    cluster.change(FIRST, AddNode, next);
    // It hears of both at once, and from those who know the successor only.
    cluster.net.heal();
    cluster.converge(FIRST);
    assert_eq!(cluster.status(3, FIRST).unwrap().id, 33);
    assert_eq!(cluster.get("a").as_deref(), Some("1"));
}

#[test]
fn a_peer_that_is_removed_in_two_ways_does_not_take_its_successor_along() {
    let mut cluster = Cluster::three();
    cluster.lead(FIRST, 1);
    cluster.put("a", "1");
    // Its removal is committed, and store 3 applies nothing for now.
    cluster.at(3).holds_apply = true;
    cluster.change(FIRST, RemoveNode, peer(3));
    cluster.tick(3);
    // Somebody tells it as well, so that it is on its way out twice.
    let mut tombstone = message(2, peer(3), 9);
    tombstone.is_tombstone = true;
    cluster.deliver(tombstone);
    cluster.settle();
    cluster.isolate(3);
    // One report arrives, then a call for the successor, then the other report.
    cluster.at(3).process.as_mut().unwrap().apply.step();
    let mut reports = 0;
    let clock = cluster.world.clock.clone();
    while reports < 50 && !cluster.is_buried(3, FIRST) {
        cluster.at(3).process.as_mut().unwrap().apply.step();
        reports += 1;
    }
    let machine = cluster.at(3);
    let process = machine.process.as_mut().unwrap();
    process.raft.turn(clock.now()).unwrap();
    let mut call = message(1, Peer { id: 33, store_id: 3 }, 10);
    call.message = Some(Message {
        msg_type: MessageType::MsgRequestVote.into(),
        from: 1,
        to: 33,
        term: 50,
        index: 99,
        log_term: 49,
        ..Message::default()
    });
    process.router.raft_message(Box::new(call));
    process.raft.turn(clock.now()).unwrap();
    process.apply.run_all();
    process.raft.turn(clock.now()).unwrap();
    let status = cluster.status(3, FIRST).expect("the successor is there");
    assert_eq!((status.id, status.vote), (33, Some(1)));
    let saved = state::raft_state(&*cluster.machines[&3].raft_disk.engine, FIRST).unwrap();
    let saved = saved.and_then(|saved| saved.hard_state).expect("its vote is on disk");
    assert_eq!((saved.term, saved.vote), (50, 1));
    assert_eq!(mark::hits("a peer that was removed twice"), 1);
}

#[test]
fn a_leader_that_applies_its_own_removal_tells_the_other_one_of_two() {
    let mut cluster = Cluster::new(2, &[1, 2], quiet());
    cluster.lead(FIRST, 1);
    cluster.put("a", "1");
    // The removal of 2 is in both logs, and 1 does not learn that.
    cluster.net.lose(|message| kind(message) == Some(MessageType::MsgAppendResponse));
    let change = Admin::ChangePeer { change: RemoveNode, peer: peer(2) };
    assert!(cluster.admin(1, FIRST, change).is_none());
    cluster.net.heal();
    cluster.restart(1, 0);
    let clock = cluster.world.clock.clone();
    for store in [[1; 10], [2; 10], [2; 10], [2; 10]].concat() {
        clock.advance(super::machine::TICK);
        cluster.at(store).tick(&clock);
        cluster.settle();
    }
    // 2 has led, has committed its own removal with the help of 1, and is gone.
    assert!(cluster.is_buried(2, FIRST), "{}", cluster.show());
    assert_eq!(cluster.region(1, FIRST).peers, [peer(1)], "1 knows that it is alone");
    cluster.put("b", "1");
}

#[test]
fn messages_that_make_no_sense_are_dropped() {
    let mut cluster = Cluster::three();
    cluster.lead(FIRST, 1);
    cluster.put("a", "1");
    cluster.net.sent();
    let good = {
        let mut good = message(1, peer(2), 1);
        good.message = Some(Message {
            msg_type: MessageType::MsgHeartbeat.into(),
            from: 1,
            to: 2,
            term: cluster.status(1, FIRST).unwrap().term,
            ..Message::default()
        });
        good
    };
    mark::reset();
    let spoiled: [fn(&mut RaftMessage); 11] = [
        |envelope| envelope.region_id = 0,
        |envelope| envelope.from_peer = None,
        |envelope| envelope.to_peer = None,
        |envelope| envelope.region_epoch = None,
        |envelope| envelope.message = None,
        |envelope| envelope.from_peer.as_mut().unwrap().id = 0,
        |envelope| envelope.from_peer.as_mut().unwrap().store_id = 0,
        |envelope| envelope.to_peer.as_mut().unwrap().id = 0,
        |envelope| envelope.to_peer.as_mut().unwrap().store_id = 3,
        |envelope| envelope.message.as_mut().unwrap().from = 3,
        |envelope| envelope.message.as_mut().unwrap().to = 3,
    ];
    let count = spoiled.len() as u64;
    for spoil in spoiled {
        let mut envelope = good.clone();
        spoil(&mut envelope);
        // Straight into the inbox of store 2, for the region and for the store itself.
        cluster.process(2).unwrap().router.raft_message(Box::new(envelope.clone()));
        envelope.region_id = 77;
        cluster.process(2).unwrap().router.raft_message(Box::new(envelope));
        cluster.settle();
    }
    let dropped = mark::hits("an envelope that makes no sense");
    assert_eq!(dropped, count - 1, "all but the one for no region at all");
    let mut nonsense = good.clone();
    nonsense.message.as_mut().unwrap().msg_type = 99;
    cluster.deliver(nonsense);
    let mut local = good;
    local.message.as_mut().unwrap().msg_type = MessageType::MsgPropose.into();
    cluster.deliver(local);
    cluster.settle();
    assert_eq!(mark::hits("a raft message that makes no sense"), 2);
    assert_eq!(cluster.process(2).unwrap().raft.peers(), 1, "nobody was made");
    assert!(cluster.machines[&2].stopped.is_none());
}
