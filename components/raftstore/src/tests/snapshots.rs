//! Snapshots between stores: what arrives, what is refused, and what a crash leaves.

use bytes::Bytes;
use engine::{Cf, Engine as _};
use prost::Message as _;
use proto::eraftpb::ConfChangeType::{AddNode, RemoveNode};
use proto::eraftpb::{Entry, Message, MessageType};
use proto::metapb::{Peer, Region};
use proto::raft_serverpb::{RaftMessage, RaftSnapshotData};
use proto::{RegionId, StoreId};
use raft::Storage as _;
use runtime::mark;
use runtime::units::Period;

use super::cluster::{Cluster, FIRST, Plan, peer, put, quiet, short_logs, spoil};
use super::net::{kind, to_store};
use crate::config::Config;
use crate::message::Command;
use crate::peer::stage::Stage;
use crate::snapshot::{Side, Stage as FileStage};
use crate::{keys, state};

/// Store 3 is cut off, and what it misses is no longer in any log.
fn left_behind(config: Config) -> Cluster {
    let mut cluster = Cluster::new(3, &[1, 2, 3], config);
    cluster.lead(FIRST, 1);
    cluster.put("a", "1");
    cluster.isolate(3);
    for key in ["b", "c", "d", "e", "f", "g", "h"] {
        cluster.put(key, "1");
    }
    cluster.tick(20);
    assert!(cluster.status(1, FIRST).unwrap().first_index > 8, "{}", cluster.show());
    cluster
}

fn is_snapshot(message: &RaftMessage) -> bool {
    kind(message) == Some(MessageType::MsgSnapshot)
}

/// The first snapshot that leaves for a store.
fn catch_snapshot(cluster: &mut Cluster, to: u64) -> RaftMessage {
    cluster.net.sent();
    cluster.tick(4);
    let sent = cluster.net.sent();
    let found = sent.into_iter().find(|message| is_snapshot(message) && to_store(message) == to);
    found.expect("a snapshot leaves")
}

fn stage_of(cluster: &Cluster, store: u64, region: RegionId) -> String {
    let process = cluster.process(store).unwrap();
    let peer = process.raft.peers.get(&region);
    match peer.map(|peer| &peer.stage) {
        None => "nobody",
        Some(Stage::Uninitialized) => "uninitialized",
        Some(Stage::Active) => "active",
        Some(Stage::Stopping(_)) => "stopping",
        Some(Stage::Installing) => "installing",
        Some(Stage::Broken) => "broken",
        Some(Stage::Destroying) => "destroying",
    }
    .to_owned()
}

#[test]
fn a_follower_that_missed_too_much_gets_a_snapshot_and_goes_on_from_there() {
    let mut cluster = left_behind(short_logs());
    cluster.net.heal();
    cluster.converge(FIRST);
    assert!(cluster.status(3, FIRST).unwrap().first_index > 8);
    cluster.put("i", "2");
    cluster.converge(FIRST);
    let kv = &*cluster.machines[&3].kv.engine;
    assert_eq!(state::install_markers(kv).unwrap().len(), 0);
    let left: Vec<_> = cluster.process(3).unwrap().snapshots.list();
    assert_eq!(left, [], "its files are gone");
}

#[test]
fn a_snapshot_that_is_damaged_on_the_way_is_thrown_away_and_asked_for_again() {
    let mut cluster = left_behind(short_logs());
    let before = cluster.status(3, FIRST).unwrap().last_index;
    cluster.spoils_snapshots = true;
    cluster.net.heal();
    cluster.tick(6);
    assert_eq!(stage_of(&cluster, 3, FIRST), "active", "Raft has not heard of it");
    assert!(cluster.records.count("a snapshot that came is discarded") > 0);
    assert_eq!(cluster.status(3, FIRST).unwrap().last_index, before);
    cluster.spoils_snapshots = false;
    cluster.converge(FIRST);
}

#[test]
fn a_snapshot_that_nobody_has_time_to_check_is_looked_at_when_it_comes_again() {
    let mut cluster =
        left_behind(Config { snapshot_gc_period: Period::millis(100), ..short_logs() });
    cluster.world.region_queue = 1;
    cluster.restart(3, 0);
    cluster.at(3).holds_region = true;
    cluster.tick(1);
    cluster.net.heal();
    cluster.net.sent();
    cluster.tick(20);
    assert!(cluster.net.sent().iter().any(is_snapshot));
    assert!(cluster.process(3).unwrap().raft.holds.is_empty(), "nothing is kept for it");
    assert_eq!(stage_of(&cluster, 3, FIRST), "active");
    cluster.at(3).holds_region = false;
    cluster.converge(FIRST);
}

/// A snapshot is damaged between being accepted and being installed, or across a restart in between.
fn broken_at_rest(restarts: bool) -> Cluster {
    let mut cluster =
        left_behind(Config { leader_missing_period: Period::secs(2), ..short_logs() });
    cluster.net.heal();
    // The marker is the first write of the kv engine; what comes after it fails.
    cluster.at(3).kv.faults.fail_write_after(1);
    cluster.tick(6);
    assert!(cluster.machines[&3].stopped.is_some(), "{}", cluster.show());
    let dir = cluster.process(3).unwrap().snapshots.dir().to_owned();
    spoil(&dir);
    cluster.restart(3, 1);
    cluster.settle();
    assert_eq!(stage_of(&cluster, 3, FIRST), "broken");
    if restarts {
        cluster.restart(3, 0);
        cluster.settle();
        assert_eq!(stage_of(&cluster, 3, FIRST), "broken", "no loop of crashes");
    }
    cluster
}

#[test]
fn a_snapshot_that_is_damaged_at_rest_silences_its_peer_and_no_other() {
    for restarts in [false, true] {
        let mut cluster = broken_at_rest(restarts);
        assert!(cluster.machines[&3].stopped.is_none());
        cluster.net.sent();
        cluster.put("z", "1");
        cluster.tick(3);
        let speaks = |message: &RaftMessage| message.from_peer == Some(peer(3));
        assert!(!cluster.net.sent().iter().any(speaks), "it has nothing to stand on");
        cluster.tick(30);
        let reports = cluster.scheduler.heartbeats();
        let down = &reports.last().expect("one in a second").down_peers;
        let is_long = |seconds| (2..10).contains(&seconds);
        assert!(
            matches!(down[..], [stats] if stats.peer == Some(peer(3)) && is_long(stats.down_seconds)),
            "its store is well, so its leader has to say it: {down:?}"
        );
    }
}

#[test]
fn a_peer_with_a_damaged_snapshot_is_replaced_for_good() {
    let mut cluster = broken_at_rest(true);
    cluster.change(FIRST, RemoveNode, peer(3));
    // Nobody speaks to it any more: it must find out by itself.
    cluster.tick_until("it is gone", |cluster| cluster.is_buried(3, FIRST));
    cluster.restart(3, 0);
    cluster.tick(2);
    assert_eq!(stage_of(&cluster, 3, FIRST), "nobody", "not even after a restart");
    assert_eq!(state::install_markers(&*cluster.machines[&3].kv.engine).unwrap().len(), 0);
    cluster.change(FIRST, AddNode, Peer { id: 33, store_id: 3 });
    cluster.converge(FIRST);
    assert_eq!(stage_of(&cluster, 3, FIRST), "active");
}

#[test]
fn entries_that_come_with_a_snapshot_survive_a_crash_in_between() {
    let mut cluster = left_behind(short_logs());
    cluster.at(3).holds_region = true;
    cluster.net.heal();
    let snapshot = catch_snapshot(&mut cluster, 3);
    let covered = snapshot.message.as_ref().unwrap().snapshot.as_ref().unwrap().index();
    cluster.put("i", "2");
    cluster.put("j", "2");
    let status = cluster.status(1, FIRST).unwrap();
    assert!(status.committed > covered);
    // The append that goes on from the snapshot comes in the turn in which the snapshot is accepted.
    let raft = &*cluster.machines[&1].raft_disk.engine;
    let entries = (covered + 1..=status.last_index).map(|index| {
        let bytes = raft.get(Cf::Local, &keys::raft_log(FIRST, index)).unwrap().unwrap();
        Entry::decode(bytes).unwrap()
    });
    let mut append = snapshot.clone();
    append.message = Some(Message {
        msg_type: MessageType::MsgAppend.into(),
        from: 1,
        to: 3,
        term: status.term,
        index: covered,
        log_term: snapshot.message.as_ref().unwrap().snapshot.as_ref().unwrap().term(),
        entries: entries.collect(),
        commit: status.committed,
        ..Message::default()
    });
    cluster.process(3).unwrap().router.raft_message(Box::new(append));
    cluster.plan = Some(Plan { store: 3, loss: 1, happened: 0 });
    // The log is replaced by the first write; the entries would be the second.
    cluster.at(3).raft_disk.faults.fail_write_after(1);
    cluster.at(3).holds_region = false;
    cluster.settle();
    assert_eq!(cluster.plan.unwrap().happened, 1, "it crashed, and came back");
    cluster.converge(FIRST);
    assert_eq!(cluster.get("j").as_deref(), Some("2"));
}

#[test]
fn entries_behind_a_snapshot_wait_for_it_after_a_restart() {
    let mut cluster = left_behind(short_logs());
    cluster.net.heal();
    cluster.at(3).kv.faults.fail_write_after(1);
    cluster.tick(6);
    assert!(cluster.machines[&3].stopped.is_some());
    cluster.at(3).holds_region = true;
    cluster.restart(3, 1);
    assert_eq!(stage_of(&cluster, 3, FIRST), "installing");
    mark::reset();
    // It takes part in the meantime; with store 2 away nothing is committed without it.
    cluster.isolate(2);
    let leader = cluster.wait_for_leader(FIRST);
    assert_eq!(leader, 1);
    cluster.put("i", "2");
    cluster.tick(3);
    assert!(mark::hits("entries wait for a snapshot that a restart goes on with") > 0);
    assert_eq!(stage_of(&cluster, 3, FIRST), "installing");
    cluster.at(3).holds_region = false;
    cluster.settle();
    assert_eq!(stage_of(&cluster, 3, FIRST), "active");
    cluster.put("j", "2");
    cluster.net.heal();
    cluster.converge(FIRST);
    assert_eq!(cluster.get("i").as_deref(), Some("2"));
}

#[test]
fn a_second_snapshot_waits_until_the_first_is_installed() {
    // The log is not kept for long behind the first one.
    let mut cluster =
        left_behind(Config { snapshot_period_max: Period::millis(500), ..short_logs() });
    cluster.net.heal();
    cluster.at(3).holds_apply = true;
    cluster.tick(3);
    assert_eq!(stage_of(&cluster, 3, FIRST), "stopping");
    cluster.at(3).holds_region = true;
    cluster.at(3).holds_apply = false;
    cluster.settle();
    assert_eq!(stage_of(&cluster, 3, FIRST), "installing");
    let installing = cluster.status(3, FIRST).unwrap().first_index;
    // Cut off again, it misses more than the log keeps, and the next snapshot is sent.
    cluster.isolate(3);
    for key in ["k", "l", "m", "n", "o", "p"] {
        cluster.put(key, "3");
    }
    cluster.tick(15);
    assert!(cluster.status(1, FIRST).unwrap().first_index > installing + 4);
    cluster.net.heal();
    cluster.net.sent();
    cluster.tick(15);
    assert!(cluster.net.sent().iter().any(is_snapshot), "another one comes");
    assert_eq!(stage_of(&cluster, 3, FIRST), "installing");
    assert_eq!(cluster.status(3, FIRST).unwrap().first_index, installing, "it is not accepted");
    cluster.at(3).holds_region = false;
    cluster.converge(FIRST);
    assert_eq!(cluster.get("p").as_deref(), Some("3"));
}

#[test]
fn a_snapshot_that_overlaps_another_region_waits_for_its_range() {
    let mut cluster = Cluster::new(3, &[1, 2, 3], short_logs());
    cluster.lead(FIRST, 1);
    cluster.put("a", "1");
    cluster.put("x", "1");
    cluster.isolate(3);
    cluster.split(FIRST, "m", 2);
    let second = RegionId::new(2);
    cluster.wait_for_leader(second);
    cluster.lead(second, 1);
    let keys = ["n", "o", "p", "q", "r", "s", "t"];
    for key in keys {
        cluster.put(key, "1");
    }
    cluster.tick(20);
    assert!(cluster.status(1, second).unwrap().first_index > 8, "{}", cluster.show());
    // Store 3 still has the whole range as region 1, and hears of region 2 only, with a snapshot.
    cluster.net.heal();
    cluster.net.lose(|message| message.region_id == 1 && to_store(message) == 3);
    mark::reset();
    let known = cluster.region(1, second);
    let made = snapshot_of(&mut cluster, 1, second);
    let mut envelope = RaftMessage {
        region_id: 2,
        from_peer: Some(Peer { id: 21, store_id: 1 }),
        to_peer: Some(Peer { id: 23, store_id: 3 }),
        region_epoch: known.region_epoch,
        ..RaftMessage::default()
    };
    envelope.message = Some(Message {
        msg_type: MessageType::MsgSnapshot.into(),
        from: 21,
        to: 23,
        term: cluster.status(1, second).unwrap().term,
        snapshot: Some(made),
        ..Message::default()
    });
    // A peer of region 2 that knows nothing, as it would be had it been called at another time.
    cluster.at(3).make_uninitialized(second, Peer { id: 23, store_id: 3 });
    cluster.deliver(envelope);
    cluster.settle();
    assert_eq!(mark::hits("a snapshot that overlaps another region"), 1);
    assert_eq!(stage_of(&cluster, 3, second), "uninitialized");
    assert_eq!(cluster.region(3, FIRST).end_key, Bytes::new());
    cluster.net.heal();
    cluster.converge(FIRST);
    cluster.converge(second);
    for key in keys {
        assert_eq!(cluster.get(key).as_deref(), Some("1"));
    }
}

/// It shows the whole range, a part of which the store that it is for has as the right part by then.
#[test]
fn a_snapshot_that_was_being_built_when_its_region_was_split_is_not_sent() {
    let mut cluster = Cluster::new(3, &[1, 2], quiet());
    cluster.lead(FIRST, 1);
    cluster.put("a", "1");
    cluster.put("x", "1");
    cluster.net.lose(|message| message.region_id == 1 && to_store(message) == 3);
    cluster.change(FIRST, AddNode, peer(3));
    let whole = snapshot_of(&mut cluster, 1, FIRST);
    cluster.split(FIRST, "m", 2);
    let second = RegionId::new(2);
    cluster
        .tick_until("the right part is there", |cluster| stage_of(cluster, 3, second) == "active");
    mark::reset();
    let process = cluster.at(1).process.as_mut().unwrap();
    let leader = process.raft.peers.get_mut(&FIRST).unwrap();
    leader.node.storage_mut().snapshot_built(Some(whole));
    assert_eq!(mark::hits("a snapshot of the region as it was"), 1);
    cluster.net.heal();
    cluster.converge(FIRST);
    cluster.converge(second);
    assert_eq!(cluster.region(3, FIRST).end_key, cluster.region(3, second).start_key);
}

/// A snapshot as a store builds it now.
fn snapshot_of(cluster: &mut Cluster, store: u64, region: RegionId) -> proto::eraftpb::Snapshot {
    let process = cluster.at(store).process.as_mut().unwrap();
    let peer = process.raft.peers.get_mut(&region).unwrap();
    let storage = peer.node.storage_mut();
    drop(storage.snapshot(1));
    cluster.tick(3);
    let process = cluster.at(store).process.as_mut().unwrap();
    let peer = process.raft.peers.get_mut(&region).unwrap();
    peer.node.storage_mut().snapshot(1).expect("it is built")
}

#[test]
fn a_snapshot_of_something_else_is_not_shown_to_raft() {
    let mut cluster = left_behind(short_logs());
    cluster.at(3).holds_region = true;
    cluster.net.heal();
    let good = catch_snapshot(&mut cluster, 3);
    cluster.restart(3, 1);
    cluster.isolate(3);
    let spoiled: [fn(&mut RaftSnapshotData); 4] = [
        |data| data.region = None,
        |data| data.region.as_mut().unwrap().id = 7,
        |data| data.region.as_mut().unwrap().peers.retain(|peer| peer.id != 3),
        |data| {
            let region = data.region.as_mut().unwrap();
            (region.start_key, region.end_key) = ("m".into(), "c".into());
        },
    ];
    for spoil in spoiled {
        let mut envelope = good.clone();
        let carried = envelope.message.as_mut().unwrap().snapshot.as_mut().unwrap();
        let mut data = RaftSnapshotData::decode(carried.data.clone()).unwrap();
        spoil(&mut data);
        carried.data = data.encode_to_vec().into();
        cluster.process(3).unwrap().router.raft_message(Box::new(envelope));
        cluster.settle();
        assert_eq!(cluster.process(3).unwrap().raft.holds.len(), 0, "{data:?}");
    }
    let mut garbage = good.clone();
    garbage.message.as_mut().unwrap().snapshot.as_mut().unwrap().data = "garbage".into();
    cluster.process(3).unwrap().router.raft_message(Box::new(garbage));
    cluster.settle();
    assert_eq!(cluster.process(3).unwrap().raft.holds.len(), 0);
    cluster.process(3).unwrap().router.raft_message(Box::new(good));
    cluster.settle();
    assert_eq!(cluster.process(3).unwrap().raft.holds.len(), 1, "this one is looked at");
    cluster.at(3).holds_region = false;
    cluster.net.heal();
    cluster.converge(FIRST);
}

#[test]
fn a_snapshot_whose_files_do_not_arrive_is_sent_again() {
    let mut cluster = left_behind(short_logs());
    let before = cluster.status(3, FIRST).unwrap().last_index;
    cluster.net.heal();
    cluster.net.lose(is_snapshot);
    cluster.tick(10);
    assert_eq!(cluster.status(3, FIRST).unwrap().last_index, before);
    let key = cluster.process(1).unwrap().snapshots.list()[0].0.key;
    cluster.process(1).unwrap().router.snapshot_sent(FIRST, 3, key, false);
    cluster.net.heal();
    cluster.converge(FIRST);
    assert_eq!(cluster.records.count("a snapshot did not arrive"), 1);
}

#[test]
fn what_is_applied_while_a_snapshot_waits_is_through_before_it_is_installed() {
    let mut cluster = left_behind(short_logs());
    cluster.at(3).holds_apply = true;
    cluster.net.heal();
    cluster.tick(5);
    assert_eq!(stage_of(&cluster, 3, FIRST), "stopping");
    let markers = state::install_markers(&*cluster.machines[&3].kv.engine).unwrap();
    assert_eq!(markers.len(), 0, "nothing is decided yet");
    cluster.at(3).holds_apply = false;
    cluster.converge(FIRST);
    assert_eq!(stage_of(&cluster, 3, FIRST), "active");
}

#[test]
fn files_of_an_accepted_snapshot_are_not_collected_however_old() {
    let config = Config {
        snapshot_gc_period: Period::millis(100),
        snapshot_age_max: Period::secs(1),
        ..short_logs()
    };
    let mut cluster = left_behind(config);
    cluster.net.heal();
    cluster.at(3).holds_apply = true;
    cluster.tick(3);
    assert_eq!(stage_of(&cluster, 3, FIRST), "stopping");
    cluster.tick(50);
    let list = cluster.process(3).unwrap().snapshots.list();
    assert!(
        list.iter().any(|(id, stage)| id.side == Side::Received && *stage == FileStage::Installing),
        "{list:?}"
    );
    cluster.at(3).holds_apply = false;
    cluster.converge(FIRST);
}

#[test]
fn a_log_is_not_deleted_before_the_data_that_it_led_to_is_on_disk() {
    let mut cluster = Cluster::new(1, &[1], short_logs());
    cluster.lead(FIRST, 1);
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for key in keys {
        cluster.put(key, "1");
    }
    cluster.tick(20);
    let log = keys::raft_log(FIRST, 6);
    assert_eq!(cluster.machines[&1].raft_disk.engine.get(Cf::Local, &log).unwrap(), None);
    // Of the kv engine nothing is kept that no sync covers; of the raft engine everything.
    let machine = cluster.at(1);
    machine.process = None;
    let raft = machine.raft_disk.engine.pending_batches();
    machine.kv.engine = std::sync::Arc::new(machine.kv.engine.crash(0));
    machine.raft_disk.engine = std::sync::Arc::new(machine.raft_disk.engine.crash(raft));
    cluster.start(1);
    cluster.wait_for_leader(FIRST);
    for key in keys {
        assert_eq!(cluster.get(key).as_deref(), Some("1"), "{key}");
    }
}

#[test]
fn a_leader_that_transport_fails_reports_the_snapshot_as_lost() {
    let mut cluster = left_behind(short_logs());
    cluster.net.set_down(true);
    cluster.tick(3);
    cluster.net.set_down(false);
    cluster.net.heal();
    let header = cluster.header(1, FIRST);
    drop(cluster.send(1, header, Command::Write(vec![put("q", "1")])));
    cluster.converge(FIRST);
    let region = cluster.region(3, FIRST);
    assert_eq!(region.peer_on_store(StoreId::new(3)), Some(&peer(3)));
    assert_eq!(cluster.data(3, &Region::new(FIRST, "q", "r")).len(), 1);
}
