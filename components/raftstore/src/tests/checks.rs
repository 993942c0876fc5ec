//! What a command is checked against, and what its sender is told.

use engine::{Cf, MAX_KEY_BYTES};
use proto::eraftpb::ConfChangeType::{AddNode, RemoveNode};
use proto::metapb::{Peer, Region, RegionEpoch};
use proto::{PeerId, RegionId, StoreId};
use runtime::mark;
use runtime::units::Bytes as Size;

use super::cluster::{Cluster, FIRST, Waiter, found, peer, put, quiet};
use crate::config::Config;
use crate::error::RegionError;
use crate::message::{Admin, AdminDone, Command, Done, Header, Request};

fn write(key: &str) -> Command {
    Command::Write(vec![put(key, "1")])
}

fn refused(answer: Option<Result<Done, RegionError>>) -> RegionError {
    answer.expect("it is refused at once").expect_err("it is refused")
}

#[test]
fn every_part_of_a_header_is_checked_before_anything_is_proposed() {
    let mut cluster = Cluster::three();
    cluster.lead(FIRST, 1);
    let last = cluster.status(1, FIRST).unwrap().last_index;
    let good = cluster.header(1, FIRST);
    let epoch = |conf_ver, version| RegionEpoch { conf_ver, version };
    let on = |id, store| Some(Peer::new(PeerId::new(id), StoreId::new(store)));
    let cases: Vec<(&str, Header, &str)> = vec![
        ("another store", Header { peer: on(1, 2), ..good }, "the request is for store 2"),
        ("another peer", Header { peer: on(9, 1), ..good }, "region 1 is not on this store"),
        ("no such region", Header { region: RegionId::new(9), ..good }, "region 9 is not on this"),
        ("an old range", Header { epoch: epoch(1, 0), ..good }, "the region has changed"),
        ("a range to come", Header { epoch: epoch(1, 2), ..good }, "the region has changed"),
        ("another term", Header { term: 1, ..good }, "busy: leadership has changed since"),
    ];
    mark::reset();
    for (what, header, expected) in cases {
        for command in [write("a"), Command::Read] {
            let error = refused(cluster.ask(1, header, command)).to_string();
            assert!(error.contains(expected), "{what}: {error}");
        }
    }
    assert_eq!(mark::hits("a write that was computed in another term"), 2);
    let follower = Header { peer: on(2, 2), ..good };
    let Some(Err(RegionError::NotLeader { region: 1, leader })) =
        cluster.ask(2, follower, write("a"))
    else {
        panic!("a follower does not serve")
    };
    assert_eq!(leader, on(1, 1), "and says who does");
    assert_eq!(cluster.status(1, FIRST).unwrap().last_index, last, "nothing took a place");
    let anybody = Header { peer: None, epoch: epoch(99, 1), ..good };
    assert!(cluster.ask(1, anybody, write("a")).unwrap().is_ok(), "members do not matter to keys");
    let term = cluster.status(1, FIRST).unwrap().term;
    assert!(cluster.ask(1, Header { term, ..good }, write("a")).unwrap().is_ok());
}

#[test]
fn a_command_for_a_changed_region_is_told_what_has_become_of_it_and_its_neighbours() {
    let mut cluster = Cluster::three();
    cluster.lead(FIRST, 1);
    let old = cluster.header(1, FIRST);
    cluster.split(FIRST, "t", 2);
    cluster.split(FIRST, "f", 3);
    cluster.wait_for_leader(RegionId::new(3));
    cluster.lead(RegionId::new(3), 1);
    let RegionError::EpochNotMatch { regions } = refused(cluster.ask(1, old, write("a"))) else {
        panic!("another refusal")
    };
    let ids: Vec<u64> = regions.iter().map(|region| region.id).collect();
    assert_eq!(ids, [1, 3], "itself, and whoever is beside it: not the last region of the store");
    let middle = Header { region: RegionId::new(3), peer: None, ..old };
    let RegionError::EpochNotMatch { regions } = refused(cluster.ask(1, middle, write("g"))) else {
        panic!("another refusal")
    };
    let ids: Vec<u64> = regions.iter().map(|region| region.id).collect();
    assert_eq!(ids, [3, 2, 1]);
}

#[test]
fn a_write_that_a_split_overtakes_is_refused_when_it_is_applied() {
    let mut cluster = Cluster::three();
    cluster.lead(FIRST, 1);
    let header = cluster.header(1, FIRST);
    let split =
        Admin::Split { key: "m".into(), new_region: RegionId::new(2), new_peers: vec![21, 22, 23] };
    // Both are in the log before either is applied.
    let mut first = cluster.send(1, header, Command::Admin(split));
    let mut second = cluster.send(1, header, write("x"));
    cluster.settle();
    let done = first.try_take().unwrap().0.unwrap();
    assert!(matches!(done, Done::Admin(AdminDone::Split(regions)) if regions.len() == 2));
    let error = second.try_take().unwrap().0.unwrap_err();
    assert!(matches!(error, RegionError::EpochNotMatch { .. }), "{error}");
    cluster.tick(5);
    assert_eq!(cluster.get("x"), None, "certainly not done");
}

#[test]
fn a_read_that_a_split_overtakes_is_refused() {
    let mut cluster = Cluster::three();
    cluster.lead(FIRST, 1);
    let header = cluster.header(1, FIRST);
    // Its proof is held up, and the split goes through meanwhile.
    cluster.net.lose(|message| {
        super::net::kind(message) == Some(proto::eraftpb::MessageType::MsgHeartbeat)
    });
    let mut read = cluster.send(1, header, Command::Read);
    let split =
        Admin::Split { key: "m".into(), new_region: RegionId::new(2), new_peers: vec![21, 22, 23] };
    assert!(cluster.admin(1, FIRST, split).unwrap().is_ok());
    cluster.net.heal();
    cluster.tick(3);
    let error = read.try_take().expect("it is answered").0.unwrap_err();
    assert!(matches!(error, RegionError::EpochNotMatch { .. }), "{error}");
}

#[test]
fn keys_outside_of_the_region_are_refused_by_name() {
    let mut cluster = Cluster::three();
    cluster.lead(FIRST, 1);
    cluster.split(FIRST, "m", 2);
    let header = cluster.header(1, FIRST);
    for request in [
        put("m", "1"),
        Request::Delete { cf: Cf::Write, key: "z".into() },
        Request::Get { cf: Cf::Lock, key: "x".into() },
    ] {
        let key = request.key().cloned();
        let error = refused(cluster.ask(1, header, Command::Write(vec![put("a", "1"), request])));
        let RegionError::KeyNotInRegion { key: named, region: 1, start, end } = error else {
            panic!("{error}")
        };
        assert_eq!((Some(named), &start[..], &end[..]), (key, &b""[..], &b"m"[..]));
    }
    assert_eq!(cluster.get("a"), None, "all or nothing");
}

#[test]
fn commands_that_can_never_be_done_are_refused() {
    let mut cluster =
        Cluster::new(3, &[1, 2, 3], Config { entry_size_max: Size::kib(1), ..quiet() });
    cluster.lead(FIRST, 1);
    let first = cluster.status(1, FIRST).unwrap().first_index;
    let long = "k".repeat(MAX_KEY_BYTES + 1);
    let stranger = Peer::new(PeerId::new(9), StoreId::new(9));
    let change = |change, peer| Command::Admin(Admin::ChangePeer { change, peer });
    let cut = |index, term| Command::Admin(Admin::CompactLog { index, term });
    let applied = cluster.status(1, FIRST).unwrap().applied;
    for (what, command) in [
        ("nothing to do", Command::Write(Vec::new())),
        ("too large", Command::Write(vec![put("a", &"v".repeat(1100))])),
        ("a key too long", write(&long)),
        ("an heir that is none", Command::Admin(Admin::TransferLeader { to: stranger })),
        ("a store that has one", change(AddNode, Peer::new(PeerId::new(9), StoreId::new(2)))),
        ("a peer that is elsewhere", change(AddNode, Peer::new(PeerId::new(2), StoreId::new(9)))),
        ("nobody to remove", change(RemoveNode, stranger)),
        ("a cut with a wrong term", cut(applied, 99)),
        ("a cut in the future", cut(applied + 9, 6)),
        ("a cut long ago", cut(first - 3, 5)),
    ] {
        let header = cluster.header(1, FIRST);
        let error = refused(cluster.ask(1, header, command));
        assert!(matches!(error, RegionError::Refused(_)), "{what}: {error}");
    }
    for key in ["", &long] {
        let admin = Admin::Split {
            key: key.to_owned().into(),
            new_region: RegionId::new(2),
            new_peers: vec![21, 22, 23],
        };
        let error = refused(cluster.admin(1, FIRST, admin));
        assert!(matches!(error, RegionError::KeyNotInRegion { .. } | RegionError::Refused(_)));
    }
    let alone = &mut Cluster::new(1, &[1], quiet());
    alone.lead(FIRST, 1);
    let header = alone.header(1, FIRST);
    let error = refused(alone.ask(1, header, change(RemoveNode, peer(1))));
    assert!(matches!(error, RegionError::Refused(_)), "the last one stays: {error}");
}

#[test]
fn a_change_of_the_region_needs_the_whole_epoch() {
    let mut cluster = Cluster::three();
    cluster.lead(FIRST, 1);
    let old = cluster.header(1, FIRST);
    cluster.change(FIRST, RemoveNode, peer(3));
    let split =
        Admin::Split { key: "m".into(), new_region: RegionId::new(2), new_peers: vec![21, 22, 23] };
    for admin in [
        split,
        Admin::ChangePeer { change: RemoveNode, peer: peer(2) },
        Admin::TransferLeader { to: peer(2) },
    ] {
        let error = refused(cluster.ask(1, old, Command::Admin(admin)));
        assert!(matches!(error, RegionError::EpochNotMatch { .. }), "{error}");
    }
    assert!(cluster.ask(1, old, write("a")).unwrap().is_ok(), "keys are where they were");
}

#[test]
fn a_full_inbox_refuses_commands_as_busy_and_drops_messages() {
    let mut cluster = Cluster::new(3, &[1, 2, 3], Config { inbox_size: 16, ..quiet() });
    cluster.lead(FIRST, 1);
    let header = cluster.header(1, FIRST);
    let mut waiters: Vec<_> = (0..20).map(|_| cluster.send(1, header, write("a"))).collect();
    assert_eq!(cluster.process(1).unwrap().router.waiting(), 16);
    let busy = waiters.iter_mut().filter_map(Waiter::try_take);
    let busy: Vec<_> = busy.map(|answer| answer.0.unwrap_err()).collect();
    assert_eq!(busy.len(), 4);
    assert!(busy.iter().all(|error| matches!(error, RegionError::Busy(_))), "{busy:?}");
    cluster.process(1).unwrap().router.unreachable(FIRST, 2);
    assert_eq!(cluster.process(1).unwrap().router.waiting(), 16, "dropped");
    cluster.settle();
    let done = waiters.iter_mut().filter_map(Waiter::try_take).count();
    assert_eq!(done, 16, "the others are done");
}

#[test]
fn too_much_that_is_not_committed_is_busy() {
    let config = Config {
        entry_size_max: Size::kib(1),
        proposing_size_max: Size::kib(1),
        applying_size_max: Size::kib(1),
        ..quiet()
    };
    let mut cluster = Cluster::new(3, &[1, 2, 3], config);
    cluster.lead(FIRST, 1);
    cluster.isolate(1);
    let header = cluster.header(1, FIRST);
    let large = Command::Write(vec![put("a", &"v".repeat(600))]);
    let mut first = cluster.send(1, header, large.clone());
    let error = refused(cluster.ask(1, header, large));
    assert!(matches!(error, RegionError::Busy(_)), "{error}");
    cluster.net.heal();
    cluster.tick(3);
    assert!(first.try_take().unwrap().0.is_ok());
}

#[test]
fn a_batch_reads_its_own_writes_through_the_log() {
    let mut cluster = Cluster::three();
    cluster.lead(FIRST, 1);
    let header = cluster.header(1, FIRST);
    let get = Request::Get { cf: Cf::Default, key: "a".into() };
    let answer = cluster.ask(1, header, Command::Write(vec![get.clone(), put("a", "2")]));
    assert_eq!(found(answer.unwrap()), Some("2".into()), "as of the end of the command");
    let region = cluster.region(2, FIRST);
    assert_eq!(region, Region { peers: region.peers.clone(), ..cluster.region(1, FIRST) });
}

#[test]
fn the_scheduler_is_told_of_a_region_when_it_is_led_when_it_changes_and_from_time_to_time() {
    let mut cluster = Cluster::three();
    cluster.lead(FIRST, 1);
    cluster.scheduler.heartbeats();
    cluster.tick(10);
    let seen = cluster.scheduler.heartbeats();
    let [heartbeat] = &seen[..] else { panic!("one in a second: {seen:?}") };
    assert_eq!((heartbeat.leader, heartbeat.region.id), (peer(1), 1));
    assert_eq!(heartbeat.pending_peers, []);
    cluster.split(FIRST, "m", 2);
    let seen = cluster.scheduler.heartbeats();
    for id in [1, 2] {
        assert!(seen.iter().any(|heartbeat| heartbeat.region.id == id), "region {id}: {seen:?}");
    }
}
