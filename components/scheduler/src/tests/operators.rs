//! Plans, their steps, and the controller that carries them out.

use std::time::Duration;

use proto::metapb::{Peer, Region, RegionEpoch};
use proto::schedulerpb::OperatorStatus;

use super::fixture::{World, done, is_add_on, is_remove_from, is_transfer_to};
use crate::cluster::region::RegionInfo;
use crate::schedule::operator::{Kind, Operator, Priority, Step};

/// A region whose peers 1 and 2 are on stores 1 and 2, of which 1 leads.
fn pair() -> RegionInfo {
    let peers = vec![Peer { id: 1, store_id: 1 }, Peer { id: 2, store_id: 2 }];
    RegionInfo::new(Region { id: 1, peers: peers.clone(), ..Region::default() }, Some(peers[0]))
}

const TO_2: Step = Step::TransferLeader { from: 1, to: 2 };
const TO_1: Step = Step::TransferLeader { from: 2, to: 1 };

#[test]
fn a_step_is_done_when_the_region_shows_it() {
    let cases = [
        (TO_2, false),
        (TO_1, true),
        (Step::AddPeer { store: 3, peer: 3 }, false),
        (Step::AddPeer { store: 1, peer: 1 }, true),
        (Step::AddPeer { store: 1, peer: 9 }, false),
        (Step::RemovePeer { store: 1 }, false),
        (Step::RemovePeer { store: 3 }, true),
    ];
    for (step, is_done) in cases {
        assert_eq!(step.is_done(&pair()), is_done, "{step}");
    }
    let mut lagging = pair();
    lagging.pending = vec![lagging.meta.peers[1]];
    assert!(!Step::AddPeer { store: 2, peer: 2 }.is_done(&lagging));
}

#[test]
fn a_plan_passes_what_is_done_and_ends_in_time() {
    let world = World::new(3);
    let second = Duration::from_secs(1);
    let everything = Kind::ADMIN.with(Kind::LEADER).with(Kind::REGION);
    let plan = |kind: Kind, steps: &[Step]| Operator::new("test", &pair(), kind, steps.to_vec());
    let mut finished = plan(
        everything,
        &[Step::AddPeer { store: 1, peer: 1 }, TO_1, Step::RemovePeer { store: 3 }],
    );
    assert_eq!(finished.priority, Priority::High);
    finished.start(world.now);
    assert_eq!(finished.check(&pair()), None);
    assert!(finished.is_done() && !finished.is_late(world.now + Duration::from_hours(1)));

    let last = Step::RemovePeer { store: 2 };
    let mut moving = plan(everything, &[Step::AddPeer { store: 1, peer: 1 }, TO_1, last]);
    assert!(!moving.is_late(world.now + Duration::from_hours(1)), "it was not begun");
    moving.start(world.now);
    assert_eq!(moving.check(&pair()), Some(last));
    assert!(!moving.is_late(world.now + Duration::from_secs(11)));
    assert!(moving.is_late(world.now + Duration::from_mins(10) + second));

    let mut leading = plan(Kind::LEADER, &[TO_2]);
    leading.start(world.now);
    assert!(!leading.is_late(world.now + 10 * second));
    assert!(leading.is_late(world.now + 11 * second));
}

#[test]
fn a_kind_is_written_and_read_as_words() {
    assert_eq!(Kind::LEADER.with(Kind::REPLICA).to_string(), "leader,replica");
    assert_eq!(Kind::default().to_string(), "unknown");
    let all = Kind::BALANCE.with(Kind::REGION).with(Kind::LEADER);
    assert_eq!("balance,region,leader".parse(), Ok(all));
    assert_eq!("leader,region".parse(), Ok(Kind::LEADER.with(Kind::REGION)));
    let error = "foobar".parse::<Kind>().unwrap_err();
    assert_eq!(error.to_string(), "unknown flag name: foobar");
}

#[test]
fn the_first_store_that_is_known_takes_over() {
    let mut world = World::new(3);
    for store in 1..=8 {
        world.holds(store, 1);
    }
    let region = world.region(1, &[1]);
    let first = |stores: &[u64]| world.view().first_able(stores.iter().copied(), &region);
    assert_eq!(first(&[8, 7, 3, 4, 7, 3, 1, 5, 6]), Some(8));
    assert_eq!(first(&[3, 4, 7, 3, 1, 5, 6]), Some(3));
    assert_eq!(first(&[99, 4]), Some(4), "99 is not known");
    assert_eq!(first(&[99]), None);
}

/// Two regions that store 1 leads and store 2 follows, without an epoch.
fn two() -> World {
    let mut world = World::new(2);
    world.leads(1, 2);
    world.leads(2, 0);
    for id in [1, 2] {
        let mut region = world.region(id, &[1, 2]);
        region.meta.region_epoch = None;
        world.put(region);
    }
    world
}

#[test]
fn a_plan_can_be_asked_after() {
    let mut world = two();
    for id in [1, 2] {
        let steps = vec![Step::RemovePeer { store: 2 }, Step::AddPeer { store: 2, peer: 4 }];
        let plan = Operator::new("test", &world.known(id), Kind::REGION, steps);
        assert!(world.add(plan));
    }
    let status = |world: &World, id: u64| world.core.controller.status(id, world.now).unwrap().1;
    assert_eq!([1, 2].map(|id| status(&world, id)), [OperatorStatus::Running; 2]);

    // The second gets ahead, the first does not.
    let mut without = world.known(2);
    without.meta.peers.truncate(1);
    world.dispatch(&without);
    world.pass(Duration::from_mins(10) + Duration::from_secs(1));
    let known = world.known(1);
    world.dispatch(&known);
    assert_eq!(status(&world, 1), OperatorStatus::Timeout);
    let mut again = without;
    again.meta.peers.push(Peer { id: 4, store_id: 2 });
    world.dispatch(&again);
    assert_eq!(status(&world, 2), OperatorStatus::Success);
    world.pass(Duration::from_mins(11));
    assert!(world.core.controller.status(2, world.now).is_none(), "it is forgotten");
}

#[test]
fn a_plan_for_a_region_that_somebody_else_changed_is_dropped() {
    let mut world = two();
    let plan = |world: &World| {
        let steps = vec![TO_2, Step::RemovePeer { store: 1 }];
        Operator::new("test", &world.known(1), Kind::REGION, steps)
    };
    assert!(world.add(plan(&world)));
    let reported = |world: &mut World, stores: &[u64], conf_ver: u64| {
        let mut region = world.region(1, stores);
        region.meta.region_epoch = Some(RegionEpoch { conf_ver, version: 0 });
        region
    };
    let led_by_2 = reported(&mut world, &[2, 1, 2], 0);
    let command = world.dispatch(&led_by_2).unwrap();
    assert!(is_remove_from(&command, 1), "{command:?}");
    let changes = |world: &World, region: &RegionInfo| {
        world.core.controller.get(1).map(|plan| plan.changes(region))
    };
    assert_eq!(changes(&world, &led_by_2), Some(0));
    let gone = reported(&mut world, &[2, 2], 0);
    assert!(world.dispatch(&gone).is_none(), "it is done");

    world.put(led_by_2);
    assert!(world.add(plan(&world)));
    let by_others = reported(&mut world, &[1, 1, 2], 1);
    assert!(world.dispatch(&by_others).is_none());
    assert!(world.core.controller.get(1).is_none());
    let (_, status) = world.core.controller.status(1, world.now).unwrap();
    assert_eq!(status, OperatorStatus::Cancel);
}

#[test]
fn plans_are_counted_by_what_they_touch_and_urgent_ones_replace() {
    let mut world = World::new(2);
    world.put_new(1, &[1]);
    world.put_new(2, &[2]);
    let plan = |world: &World, id: u64, kind: Kind| {
        Operator::new("test", &world.known(id), kind, vec![Step::AddPeer { store: 9, peer: 9 }])
    };
    let counts =
        |world: &World| [Kind::LEADER, Kind::REGION].map(|k| world.core.controller.count(k));
    assert_eq!(counts(&world), [0, 0]);
    assert!(world.add(plan(&world, 1, Kind::LEADER)));
    assert!(world.add(plan(&world, 2, Kind::LEADER)));
    assert_eq!(counts(&world), [2, 0]);
    assert!(!world.add(plan(&world, 1, Kind::REGION)), "one plan per region");
    assert!(world.core.controller.cancel(1, world.now));
    assert!(!world.core.controller.cancel(1, world.now));
    assert_eq!(counts(&world), [1, 0]);
    assert!(world.add(plan(&world, 1, Kind::REGION)));
    assert_eq!(counts(&world), [1, 1]);
    assert!(world.add(plan(&world, 2, Kind::REGION).urgent()));
    assert_eq!(counts(&world), [0, 2]);

    let stranger = world.region(3, &[1]);
    assert!(!world.add(Operator::new("test", &stranger, Kind::LEADER, vec![TO_2])));
    let mut newer = world.known(1);
    newer.meta.region_epoch = Some(RegionEpoch { conf_ver: 1, version: 2 });
    assert!(!world.add(Operator::new("test", &newer, Kind::ADMIN, vec![TO_2])), "another epoch");
    assert!(world.add(plan(&world, 1, Kind::ADMIN)));
}

#[test]
fn no_peer_is_removed_while_that_would_cost_the_majority() {
    let mut world = World::new(3);
    for store in 1..=4 {
        world.holds(store, 1);
    }
    world.put_new(1, &[1, 2, 3, 4]);
    let known = world.known(1);
    let plan = world.view().remove_peer("test", &known, 4, Kind::REPLICA).unwrap();
    world.silence(2, Duration::from_mins(1));
    world.silence(3, Duration::from_mins(1));
    assert!(world.add(plan));
    assert!(world.dispatch(&known).is_none(), "1 alone would be left of 1, 2 and 3");
    world.up(3);
    let command = world.dispatch(&known).unwrap();
    assert!(is_remove_from(&command, 4), "{command:?}");
}

#[test]
fn a_peer_that_was_elected_meanwhile_hands_over_before_it_is_removed() {
    let mut world = World::new(3);
    for store in 1..=4 {
        world.holds(store, 1);
    }
    world.put_new(1, &[1, 2, 3, 4]);
    let mut region = world.known(1);
    let plan = world.view().remove_peer("test", &region, 4, Kind::REPLICA).unwrap();
    assert!(world.add(plan));
    region.leader = region.peer_on(4).copied();
    let command = world.dispatch(&region).unwrap();
    assert!(is_transfer_to(&command, 1), "{command:?}");
    let handed_over = done(&region, &command.message);
    let command = world.dispatch(&handed_over).unwrap();
    assert!(is_remove_from(&command, 4), "{command:?}");
}

#[test]
fn a_step_is_said_again_while_its_leader_is_silent() {
    let mut world = World::new(3);
    for store in 1..=4 {
        world.holds(store, 1);
    }
    world.put_new(1, &[1, 2, 3]);
    let known = world.known(1);
    let plan = world.view().move_peer("test", &known, 1, (4, 77), Kind::BALANCE).unwrap();
    assert!(world.add(plan));
    let repeat = |world: &mut World| {
        let view = crate::schedule::View { cluster: &world.core.cluster, now: world.now };
        world.core.controller.repeat(view)
    };
    assert!(repeat(&mut world).is_empty());
    world.pass(Duration::from_secs(5));
    let said = repeat(&mut world);
    assert!(said.len() == 1 && is_add_on(&said[0], 4), "{said:?}");
    let joined = done(&known, &said[0].message);
    let said = world.dispatch(&joined).unwrap();
    assert!(is_transfer_to(&said, 2), "{said:?}");
    world.pass(Duration::from_secs(2));
    assert!(is_transfer_to(&repeat(&mut world)[0], 2));
}
