//! Reads without the log: when a lease begins, what ends it, and what a reader sees in between.

use std::sync::Arc;

use proto::RegionId;
use proto::eraftpb::MessageType;
use proto::metapb::RegionEpoch;
use runtime::clock::Clock as _;
use runtime::mark;

use super::cluster::{Cluster, FIRST, get_from, peer, put, quiet};
use super::machine::TICK;
use super::net::{kind, to_store};
use crate::config::Config;
use crate::error::RegionError;
use crate::message::{Admin, Command, Done};
use crate::router::{LocalRead, View};

/// Whether a store would serve a read alone now.
fn has_lease(cluster: &Cluster, store: u64) -> bool {
    let header = cluster.header(store, FIRST);
    matches!(cluster.process(store).unwrap().router.read(&header), LocalRead::Answered(Ok(_)))
}

fn lease(cluster: &Cluster, store: u64) -> Option<runtime::clock::Instant> {
    cluster.process(store).unwrap().router.view(FIRST)?.lease_until
}

#[test]
fn a_lease_serves_reads_and_ends_by_itself() {
    let mut cluster = Cluster::three();
    cluster.lead(FIRST, 1);
    cluster.put("a", "1");
    cluster.tick(2);
    let header = cluster.header(1, FIRST);
    let LocalRead::Answered(Ok(view)) = cluster.process(1).unwrap().router.read(&header) else {
        panic!("there is a lease")
    };
    assert_eq!(get_from(&view, "a").as_deref(), Some("1"));
    assert_eq!(view.term, cluster.status(1, FIRST).unwrap().term);
    assert!(!has_lease(&cluster, 2), "a follower has none");
    // Its clock goes on while nobody runs, as when a machine sleeps.
    cluster.world.clock.advance_steady(cluster.world.config.lease());
    assert!(!has_lease(&cluster, 1));
    cluster.tick(3);
    assert!(has_lease(&cluster, 1));
}

#[test]
fn a_leader_that_is_cut_off_has_no_lease_when_another_may_lead() {
    let mut cluster = Cluster::three();
    cluster.lead(FIRST, 1);
    cluster.isolate(1);
    let mut leased = 0;
    for _ in 0..60 {
        cluster.tick(1);
        leased += u32::from(has_lease(&cluster, 1));
        let others = [2, 3].iter().filter(|store| {
            let status = cluster.status(**store, FIRST).unwrap();
            status.soft_state.role == raft::StateRole::Leader
        });
        assert!(others.count() == 0 || !has_lease(&cluster, 1), "two may serve reads");
    }
    assert!(leased > 2 && leased < 10, "{leased} ticks of a lease that nobody renewed");
    assert!(cluster.leader(FIRST).is_some_and(|leader| leader != 1));
}

#[test]
fn there_is_no_lease_before_an_entry_of_the_own_term_is_applied() {
    let mut cluster = Cluster::three();
    cluster.lead(FIRST, 1);
    cluster.put("a", "1");
    cluster.at(2).holds_apply = true;
    drop(cluster.admin(1, FIRST, Admin::TransferLeader { to: peer(2) }));
    cluster.tick(5);
    let status = cluster.status(2, FIRST).unwrap();
    assert_eq!(status.soft_state.role, raft::StateRole::Leader);
    assert!(status.committed > status.applied && lease(&cluster, 2).is_none());
    // Nor does a read with a proof answer from the past.
    let header = cluster.header(2, FIRST);
    let mut read = cluster.send(2, header, Command::Read);
    cluster.tick(3);
    assert!(read.try_take().is_none(), "it waits");
    cluster.at(2).holds_apply = false;
    cluster.tick(3);
    let view = read.try_take().unwrap().0.unwrap().into_snapshot().unwrap();
    assert_eq!(get_from(&view, "a").as_deref(), Some("1"));
    assert!(lease(&cluster, 2).is_some());
}

#[test]
fn a_lease_ends_before_leadership_is_handed_over() {
    let mut cluster = Cluster::three();
    cluster.lead(FIRST, 1);
    cluster.put("a", "1");
    cluster.tick(2);
    assert!(has_lease(&cluster, 1));
    // The heir has everything, so it is told at once; that message is late.
    cluster.net.lose(|message| kind(message) == Some(MessageType::MsgTimeoutNow));
    cluster.net.sent();
    assert!(cluster.admin(1, FIRST, Admin::TransferLeader { to: peer(2) }).unwrap().is_ok());
    let left = cluster.net.sent();
    assert!(left.iter().any(|message| kind(message) == Some(MessageType::MsgTimeoutNow)));
    assert!(!has_lease(&cluster, 1) && lease(&cluster, 1).is_none());
    for _ in 0..30 {
        cluster.tick(1);
        assert!(!has_lease(&cluster, 1), "the message may arrive at any time");
    }
    let term = cluster.status(1, FIRST).unwrap().term;
    assert_eq!(cluster.leader(FIRST), Some(1), "the transfer was given up, in term {term}");
    let header = cluster.header(1, FIRST);
    assert!(cluster.ask(1, header, Command::Read).unwrap().is_ok(), "reads with a proof go on");
}

#[test]
fn a_lease_is_not_renewed_while_a_split_is_pending() {
    let mut cluster = Cluster::three();
    cluster.lead(FIRST, 1);
    cluster.put("a", "1");
    cluster.tick(2);
    cluster.at(1).holds_apply = true;
    let (new_region, new_peers) = (RegionId::new(2), vec![21, 22, 23]);
    let header = cluster.header(1, FIRST);
    let split = Admin::Split { key: "m".into(), new_region, new_peers };
    let mut waiter = cluster.send(1, header, Command::Admin(split));
    cluster.settle();
    let until = lease(&cluster, 1).expect("what is proven already holds");
    for _ in 0..30 {
        cluster.tick(1);
        assert_eq!(lease(&cluster, 1), Some(until));
    }
    assert!(until < cluster.world.clock.now() && !has_lease(&cluster, 1));
    cluster.at(1).holds_apply = false;
    cluster.tick(5);
    assert!(waiter.try_take().unwrap().0.is_ok());
    assert!(has_lease(&cluster, 1), "of the left part");
    assert_eq!(&cluster.region(1, FIRST).end_key[..], b"m");
}

#[test]
fn old_rounds_renew_nothing() {
    let mut cluster = Cluster::three();
    cluster.lead(FIRST, 1);
    cluster.put("a", "1");
    cluster.tick(4);
    // Answers to heartbeats from now on come late, and all at once.
    cluster.net.sent();
    let late = |message: &proto::raft_serverpb::RaftMessage| {
        kind(message) == Some(MessageType::MsgHeartbeatResponse)
    };
    cluster.net.lose(late);
    cluster.tick(2);
    let kept: Vec<_> = cluster.net.sent().into_iter().filter(late).collect();
    assert!(!kept.is_empty());
    let until = lease(&cluster, 1).unwrap();
    cluster.world.clock.advance_steady(TICK * 9);
    cluster.net.heal();
    assert!(!has_lease(&cluster, 1));
    for answer in kept {
        assert_eq!(to_store(&answer), 1);
        cluster.deliver(answer);
    }
    cluster.settle();
    assert!(lease(&cluster, 1) > Some(until), "the round was proven after all");
    assert!(!has_lease(&cluster, 1), "but it was sent long ago, and that is what counts");
}

#[test]
fn a_reader_looks_twice() {
    let mut cluster = Cluster::three();
    cluster.lead(FIRST, 1);
    cluster.put("a", "1");
    cluster.tick(2);
    let router = cluster.process(1).unwrap().router.clone();
    let header = cluster.header(1, FIRST);
    let old = router.view(FIRST).unwrap();
    // What changes between the two looks, as the engine is being asked for its snapshot.
    let with_epoch = |view: &mut View, change: fn(&mut RegionEpoch)| {
        change(Arc::make_mut(&mut view.region).region_epoch.as_mut().unwrap());
    };
    let changes: [&dyn Fn(&mut View); 4] = [
        &|view| view.term += 1,
        &|view| view.lease_until = None,
        &|view| with_epoch(view, |epoch| epoch.version = 9),
        &|view| with_epoch(view, |epoch| epoch.conf_ver = 9),
    ];
    for change in changes {
        mark::reset();
        let mut new = old.clone();
        change(&mut new);
        let read = router.read_between(&header, || router.publish(FIRST, new));
        assert!(matches!(read, LocalRead::Ask), "{read:?}");
        assert_eq!(mark::hits("lease ended during a read"), 1);
        router.publish(FIRST, old.clone());
    }
    let clock = cluster.world.clock.clone();
    let read = router.read_between(&header, || clock.advance_steady(TICK * 20));
    assert!(matches!(read, LocalRead::Ask), "time passed: {read:?}");
}

#[test]
fn a_lease_of_a_region_is_no_lease_of_what_it_was() {
    let mut cluster = Cluster::three();
    cluster.lead(FIRST, 1);
    let old = cluster.header(1, FIRST);
    cluster.split(FIRST, "m", 2);
    cluster.tick(3);
    assert!(has_lease(&cluster, 1));
    let read = cluster.process(1).unwrap().router.read(&old);
    assert!(matches!(read, LocalRead::Ask), "its peer finds the right words: {read:?}");
    let error = cluster.ask(1, old, Command::Read).unwrap().unwrap_err();
    assert!(matches!(error, crate::RegionError::EpochNotMatch { .. }), "{error}");
    let other = crate::message::Header { peer: Some(peer(2)), ..cluster.header(1, FIRST) };
    let read = cluster.process(1).unwrap().router.read(&other);
    assert!(matches!(read, LocalRead::Answered(Err(crate::RegionError::StoreNotMatch { .. }))));
    let nowhere = crate::message::Header { region: RegionId::new(9), ..cluster.header(1, FIRST) };
    let read = cluster.process(1).unwrap().router.read(&nowhere);
    assert!(matches!(read, LocalRead::Answered(Err(crate::RegionError::NotFound { region: 9 }))));
}

#[test]
fn without_leases_every_read_asks() {
    let mut cluster = Cluster::new(3, &[1, 2, 3], Config { lease_reads: false, ..quiet() });
    cluster.tick_until("a leader", |cluster| cluster.leader(FIRST).is_some());
    let leader = cluster.leader(FIRST).unwrap();
    cluster.tick(10);
    assert!(!has_lease(&cluster, leader));
    cluster.put("a", "1");
    assert_eq!(cluster.get("a").as_deref(), Some("1"));
}

#[test]
fn a_removed_peer_has_no_lease_even_for_whoever_holds_its_view() {
    let mut cluster = Cluster::new(1, &[1], quiet());
    cluster.lead(FIRST, 1);
    let router = cluster.process(1).unwrap().router.clone();
    let header = cluster.header(1, FIRST);
    assert!(matches!(router.read(&header), LocalRead::Answered(Ok(_))));
    cluster.at(1).process = None;
    assert!(!matches!(router.read(&header), LocalRead::Answered(Ok(_))), "the store has stopped");
}

#[test]
fn leadership_is_not_handed_to_a_peer_that_does_not_answer() {
    let mut cluster = Cluster::three();
    cluster.lead(FIRST, 1);
    cluster.isolate(3);
    cluster.tick(8);
    mark::reset();
    let refused = cluster.admin(1, FIRST, Admin::TransferLeader { to: peer(3) });
    assert!(matches!(refused, Some(Err(RegionError::Busy(_)))), "{refused:?}");
    assert_eq!(mark::hits("an heir that does not answer"), 1);
    // Nobody waits for it.
    let header = cluster.header(1, FIRST);
    let written = cluster.ask(1, header, Command::Write(vec![put("a", "1")]));
    assert!(matches!(written, Some(Ok(Done::Written | Done::Responses(_)))), "{written:?}");
    let taken = cluster.admin(1, FIRST, Admin::TransferLeader { to: peer(2) });
    assert!(matches!(taken, Some(Ok(_))), "{taken:?}");
}
