//! Every command is answered exactly once, and what it is told is true.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use proto::RegionId;
use proto::eraftpb::ConfChangeType::RemoveNode;
use proto::eraftpb::MessageType;
use runtime::mark;
use runtime::reply::Reply;

use super::cluster::{Cluster, FIRST, peer, put, quiet, short_logs};
use super::net::{from_store, kind};
use crate::config::Config;
use crate::error::RegionError;
use crate::message::{Admin, Answer, Command, Done, Header, Looked};

/// Counts the answers to numbered commands.
#[derive(Clone, Default)]
struct Answers(Arc<Mutex<BTreeMap<u32, Vec<Outcome>>>>);

type Outcome = Result<Done, RegionError>;

impl Answers {
    fn reply(&self, number: u32) -> Reply<Answer> {
        let answers = self.clone();
        answers.0.lock().unwrap().entry(number).or_default();
        Reply::from_fn(move |answer: Answer| {
            answers.0.lock().unwrap().entry(number).or_default().push(answer.0);
        })
    }

    fn all_once(&self) -> Vec<Outcome> {
        let answers = std::mem::take(&mut *self.0.lock().unwrap());
        let one = |(number, mut answers): (u32, Vec<_>)| {
            assert_eq!(answers.len(), 1, "command {number}: {answers:?}");
            answers.remove(0)
        };
        answers.into_iter().map(one).collect()
    }
}

fn send(cluster: &Cluster, answers: &Answers, store: u64, number: u32, command: Command) {
    let header = cluster.header(store, FIRST);
    let process = cluster.process(store).unwrap();
    process.router.command(header, command, answers.reply(number));
}

fn write(number: u32) -> Command {
    Command::Write(vec![put(&format!("k{number}"), "1")])
}

fn send_writes(cluster: &Cluster, answers: &Answers, store: u64, numbers: Range<u32>) {
    for number in numbers {
        send(cluster, answers, store, number, write(number));
    }
}

/// Store 1 leads, and is cut off from the others.
fn lonely_leader(config: Config) -> (Cluster, Answers) {
    let mut cluster = Cluster::new(3, &[1, 2, 3], config);
    cluster.lead(FIRST, 1);
    cluster.isolate(1);
    (cluster, Answers::default())
}

fn wait_for_another(cluster: &mut Cluster) {
    cluster.tick_until("another leads", |cluster| {
        cluster.leader(FIRST).is_some_and(|leader| leader != 1)
    });
}

fn assert_stale(outcomes: &[Outcome]) {
    for outcome in outcomes {
        assert!(matches!(outcome, Err(RegionError::StaleCommand)), "{outcome:?}");
    }
}

#[test]
fn a_command_that_another_leader_replaces_is_stale_and_not_done() {
    let (mut cluster, answers) = lonely_leader(quiet());
    send_writes(&cluster, &answers, 1, 0..3);
    cluster.settle();
    wait_for_another(&mut cluster);
    let other = cluster.wait_for_leader(FIRST);
    // The other one's entries stand at the same places, with other content.
    send_writes(&cluster, &answers, other, 10..14);
    cluster.settle();
    mark::reset();
    cluster.net.heal();
    cluster.converge(FIRST);
    let outcomes = answers.all_once();
    assert_stale(&outcomes[..3]);
    assert!(outcomes[3..].iter().all(Result::is_ok));
    assert!(mark::hits("a proposal that another leader's entry replaced") > 0);
    for number in 0..3 {
        assert_eq!(cluster.get(&format!("k{number}")), None);
    }
}

#[test]
fn a_command_behind_the_log_of_the_next_leader_is_answered_without_waiting_for_its_place() {
    let (mut cluster, answers) = lonely_leader(quiet());
    for number in 0..9 {
        send(&cluster, &answers, 1, number, write(number));
        cluster.settle(); // each has an entry of its own
    }
    wait_for_another(&mut cluster);
    mark::reset();
    cluster.net.heal();
    cluster.converge(FIRST);
    // The other one's log is shorter: only the entry that opens its term stands in the way of nine.
    assert_stale(&answers.all_once());
    assert_eq!(mark::hits("a proposal that a later term has cut off"), 8);
}

#[test]
fn a_command_that_outlives_its_leader_is_done_once_and_told_so() {
    let mut cluster = Cluster::three();
    cluster.lead(FIRST, 1);
    let answers = Answers::default();
    // The entry reaches the others, and nobody tells the leader.
    cluster.net.lose(|message| {
        from_store(message) != 1 && kind(message) == Some(MessageType::MsgAppendResponse)
    });
    send(&cluster, &answers, 1, 0, write(0));
    cluster.settle();
    cluster.net.heal();
    cluster.isolate(1);
    wait_for_another(&mut cluster);
    cluster.net.heal();
    cluster.converge(FIRST);
    assert!(matches!(answers.all_once()[..], [Ok(Done::Written)]), "it was this very entry");
    assert_eq!(cluster.get("k0").as_deref(), Some("1"));
}

#[test]
fn commands_of_a_peer_that_is_removed_are_answered() {
    let (mut cluster, answers) = lonely_leader(quiet());
    send_writes(&cluster, &answers, 1, 0..3);
    send(&cluster, &answers, 1, 3, Command::Read);
    cluster.settle();
    wait_for_another(&mut cluster);
    cluster.change(FIRST, RemoveNode, peer(1));
    cluster.net.heal();
    cluster.tick_until("it is gone", |cluster| cluster.is_buried(1, FIRST));
    let outcomes = answers.all_once();
    assert_stale(&outcomes[..3]);
    assert!(
        matches!(outcomes[3], Err(RegionError::NotLeader { .. } | RegionError::NotFound { .. })),
        "a read is certainly not done: {:?}",
        outcomes[3]
    );
    send(&cluster, &answers, 1, 9, write(9));
    cluster.settle();
    assert!(matches!(answers.all_once()[..], [Err(RegionError::NotFound { region: 1 })]));
}

#[test]
fn commands_that_a_snapshot_covers_are_answered_as_unknown() {
    let (mut cluster, answers) = lonely_leader(short_logs());
    send(&cluster, &answers, 1, 0, write(0));
    cluster.settle();
    wait_for_another(&mut cluster);
    for key in ["b", "c", "d", "e", "f", "g", "h"] {
        cluster.put(key, "1");
    }
    cluster.tick(20);
    cluster.net.heal();
    cluster.converge(FIRST);
    assert!(cluster.status(1, FIRST).unwrap().first_index > 8, "by a snapshot");
    assert!(matches!(answers.all_once()[..], [Err(RegionError::StaleCommand)]));
}

#[test]
fn a_store_that_stops_or_crashes_answers_everybody() {
    for crashes in [false, true] {
        let (mut cluster, answers) = lonely_leader(quiet());
        send_writes(&cluster, &answers, 1, 0..3);
        send(&cluster, &answers, 1, 3, Command::Read);
        cluster.settle();
        send(&cluster, &answers, 1, 4, write(4)); // still in the inbox
        let router = cluster.process(1).unwrap().router.clone();
        let header = cluster.header(1, FIRST);
        if crashes {
            cluster.at(1).crash(0);
        } else {
            cluster.at(1).process = None;
        }
        assert_stale(&answers.all_once());
        router.command(header, write(5), answers.reply(5));
        let [Err(error)] = &answers.all_once()[..] else { panic!("one refusal") };
        assert!(
            matches!(error, RegionError::Busy(_) | RegionError::NotFound { .. }),
            "nobody is there: {error}"
        );
    }
}

#[test]
fn a_read_that_waits_is_refused_when_the_leader_changes() {
    let (mut cluster, answers) = lonely_leader(quiet());
    send(&cluster, &answers, 1, 0, Command::Read);
    cluster.tick_until("it has noticed", |cluster| {
        cluster.status(1, FIRST).unwrap().soft_state.role != raft::StateRole::Leader
    });
    assert!(matches!(answers.all_once()[..], [Err(RegionError::NotLeader { .. })]));
}

#[test]
fn a_disk_that_fails_stops_the_store_which_says_why() {
    for (what, arm) in [("kv write", 0_u8), ("kv sync", 1), ("raft write", 2), ("raft sync", 3)] {
        let mut cluster = Cluster::three();
        cluster.lead(FIRST, 1);
        cluster.put("before", "1");
        let answers = Answers::default();
        let machine = cluster.at(1);
        match arm {
            0 => machine.kv.faults.fail_write_after(0),
            1 => machine.kv.faults.fail_sync_after(0),
            2 => machine.raft_disk.faults.fail_write_after(0),
            _ => machine.raft_disk.faults.fail_sync_after(0),
        }
        // A write, and a split because only that syncs the kv engine.
        send(&cluster, &answers, 1, 0, write(0));
        let (new_region, new_peers) = (RegionId::new(2), vec![21, 22, 23]);
        let split = Admin::Split { key: "m".into(), new_region, new_peers };
        send(&cluster, &answers, 1, 1, Command::Admin(split));
        cluster.settle();
        let why = cluster.machines[&1].stopped.clone().expect(what);
        assert!(why.contains("told to fail"), "{what}: {why}");
        cluster.at(1).process = None;
        let outcomes = answers.all_once();
        let was_done = matches!(outcomes[0], Ok(Done::Written));
        for outcome in &outcomes[usize::from(was_done)..] {
            assert!(matches!(outcome, Err(RegionError::StaleCommand)), "{what}: {outcome:?}");
        }
        assert_eq!(was_done, arm == 1, "only the split syncs the kv engine");
        // The others go on, and so does it after a restart.
        cluster.put("after", "1");
        cluster.restart(1, 0);
        cluster.tick_until("split or not", |cluster| cluster.leader(FIRST).is_some());
        cluster.converge(FIRST);
        assert_eq!(cluster.get("before").as_deref(), Some("1"));
        assert_eq!(cluster.get("after").as_deref(), Some("1"));
        assert!(!was_done || cluster.get("k0").is_some(), "the log protects it");
    }
}

#[test]
fn a_store_that_was_asked_to_stop_says_so() {
    let mut cluster = Cluster::three();
    cluster.lead(FIRST, 1);
    let inbox = cluster.process(1).unwrap().router.inbox();
    inbox.try_send(crate::router::Inbound::Store(crate::message::StoreMsg::Stop)).unwrap();
    cluster.settle();
    assert!(cluster.process(1).unwrap().raft.is_stopping());
    let header = Header { region: FIRST, ..cluster.header(1, FIRST) };
    assert!(cluster.ask(1, header, Command::Read).is_some(), "what is there is served to the end");
}

#[test]
fn a_peer_that_is_asked_says_how_it_is_and_one_that_is_not_there_nothing() {
    let mut cluster = Cluster::three();
    cluster.lead(FIRST, 1);
    cluster.put("k", "1");
    cluster.converge(FIRST);
    let ask = |cluster: &mut Cluster, store: u64, region: RegionId| {
        let (reply, mut looked) = Reply::new();
        cluster.process(store).expect("it runs").router.look(region, reply);
        cluster.settle();
        let Looked(look) = looked.try_take().expect("it is answered");
        look
    };
    let leader = ask(&mut cluster, 1, FIRST).expect("it is there");
    assert_eq!((leader.peer, leader.leader), (peer(1), Some(peer(1))));
    assert_eq!((leader.raft.applied, leader.last_term), (leader.raft.last_index, leader.raft.term));
    assert_eq!(leader.raft.followers.len(), 2);
    let follower = ask(&mut cluster, 2, FIRST).expect("it is there");
    assert_eq!((follower.peer, follower.leader), (peer(2), Some(peer(1))));
    assert_eq!(
        (follower.raft.applied, &follower.raft.followers[..]),
        (leader.raft.applied, &[][..])
    );
    assert!(ask(&mut cluster, 2, RegionId::new(99)).is_none());
}
