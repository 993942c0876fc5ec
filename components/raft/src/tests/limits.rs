//! Limits: what a node holds in memory, hands out, and reads back, is bounded.

use std::cell::Cell;

use super::*;
use crate::progress::ProgressState;
use crate::unstable::ENTRY_OVERHEAD;
use crate::{RawNode, Ready, StorageError};

/// Drives three nodes, of which the last one is dead.
struct Pair {
    nodes: [RawNode<MemoryStorage>; 2],
}

impl Pair {
    fn new(config: &Config) -> Self {
        let node = |id| {
            let config = Config { id, peers: vec![1, 2, 3], ..config.clone() };
            RawNode::new(config, MemoryStorage::new(), quiet()).unwrap()
        };
        let mut pair = Pair { nodes: [node(1), node(2)] };
        pair.nodes[0].campaign().unwrap();
        pair.run();
        assert!(pair.nodes[0].raft().is_leader());
        pair
    }

    fn run(&mut self) {
        loop {
            let mut messages = Vec::new();
            for node in &mut self.nodes {
                if node.has_ready() {
                    let mut ready = node.ready().unwrap();
                    messages.append(&mut ready.messages);
                    write(node, &ready);
                    messages.append(&mut ready.messages_after_persist);
                    node.advance(&ready).unwrap();
                }
            }
            if messages.is_empty() && !self.nodes.iter().any(RawNode::has_ready) {
                return;
            }
            for message in messages {
                match message.to {
                    1 => self.nodes[0].step(message).unwrap(),
                    2 => self.nodes[1].step(message).unwrap(),
                    _ => {} // the dead one
                }
            }
        }
    }
}

fn write(node: &mut RawNode<MemoryStorage>, ready: &Ready) {
    node.storage_mut().append(&ready.entries);
    if let Some(hard_state) = ready.hard_state {
        node.storage_mut().set_hard_state(hard_state);
    }
}

/// A million proposals of 256 bytes are 256 MB. The leader keeps its cache and the window of appends
/// that it has given up on, whose size does not depend on how long the follower has been dead.
#[test]
fn a_dead_follower_costs_the_leader_a_bounded_amount() {
    let config = Config { cache_bytes_max: 1 << 20, ..Config::default() };
    let mut pair = Pair::new(&config);
    let command = Bytes::from(vec![7; 256]);
    let turn = 64;
    let turn_bytes = turn * (256 + ENTRY_OVERHEAD);
    let mut highest = 0;
    for n in 0..1_000_000 / turn {
        for _ in 0..turn {
            pair.nodes[0].propose(command.clone()).unwrap();
        }
        pair.run();
        highest = highest.max(pair.nodes[0].raft().log().memory_bytes());
        if n % 64 == 0 {
            // What the storage keeps is its driver's matter: it compacts past the dead follower.
            for node in &mut pair.nodes {
                let applied = node.raft().log().applied();
                node.storage_mut().create_snapshot(applied, &[1, 2, 3], "").unwrap();
                node.storage_mut().compact(applied).unwrap();
            }
        }
    }
    assert!(pair.nodes[0].raft().log().committed() > 999_000);
    assert!(highest <= config.cache_bytes_max + turn_bytes, "{highest} bytes at the highest");
    let status = pair.nodes[0].status();
    let dead = &status.followers[1];
    assert_eq!((dead.id, dead.match_index), (3, 0));
    let is_waiting = match &dead.state {
        ProgressState::Probe { is_waiting } => *is_waiting,
        ProgressState::Replicate { .. } => false,
        ProgressState::Snapshot { .. } => true,
    };
    assert!(is_waiting, "{dead:?}");
    // Heartbeats go on, and cost nothing that stays.
    assert_eq!(pair.nodes[0].raft().core.outbox.len(), 0);
}

#[test]
fn a_follower_that_stops_answering_fills_its_window_and_no_more() {
    let config = Config { inflight_messages_max: 4, ..Config::default() };
    let mut raft =
        Raft::new(Config { id: 1, peers: vec![1, 2], ..config }, MemoryStorage::new(), quiet())
            .unwrap();
    raft.lead();
    raft.commit_noop_entry();
    let mut sent = 0;
    for _ in 0..100 {
        raft.step(propose(1, "a")).unwrap();
        sent += raft.take_messages().len();
    }
    assert_eq!(sent, 4);
}

#[test]
fn entries_are_handed_out_as_far_as_the_state_machine_keeps_up() {
    // The empty entry of the term, and two proposals.
    let applying_bytes_max = ENTRY_OVERHEAD + 2 * (1 + ENTRY_OVERHEAD);
    let config = Config { id: 1, peers: vec![1], applying_bytes_max, ..Config::default() };
    let mut node = RawNode::new(config, MemoryStorage::new(), quiet()).unwrap();
    node.campaign().unwrap();
    for _ in 0..6 {
        node.propose("a").unwrap();
    }
    let mut portions = Vec::new();
    for _ in 0..3 {
        let ready = node.ready().unwrap();
        write(&mut node, &ready);
        node.on_persisted(ready.number).unwrap();
        portions.push(ready.committed_entries.iter().map(|entry| entry.index).collect::<Vec<_>>());
    }
    assert_eq!(portions, [vec![1, 2, 3], vec![], vec![]], "nothing was applied");
    assert!(!node.has_ready());
    node.on_applied(3);
    assert_eq!(node.ready().unwrap().committed_entries.len(), 2);
    node.on_applied(5);
    let rest = node.ready().unwrap().committed_entries;
    assert_eq!(rest.iter().map(|entry| entry.index).collect::<Vec<_>>(), [6, 7]);
}

#[test]
fn what_is_no_longer_in_memory_is_read_from_the_storage() {
    let config = Config { cache_bytes_max: 0, ..Config::default() };
    let mut pair = Pair::new(&config);
    for _ in 0..10 {
        pair.nodes[0].propose("a").unwrap();
        pair.run();
    }
    assert_eq!(pair.nodes[0].raft().log().memory_bytes(), 0);
    // The dead follower comes back, and gets everything from the beginning.
    pair.nodes[0].propose("b").unwrap();
    let term = pair.nodes[0].raft().term();
    pair.nodes[0].step(message(3, 1, term, Body::HeartbeatResponse { round: 0 })).unwrap();
    let mut third = raft(3, &[1, 2, 3], 10, 1);
    for _ in 0..10 {
        let ready = pair.nodes[0].ready().unwrap();
        write(&mut pair.nodes[0], &ready);
        pair.nodes[0].advance(&ready).unwrap();
        for sent in ready.messages.into_iter().filter(|sent| sent.to == 3) {
            third.step(sent).unwrap();
        }
        for answer in third.take_messages() {
            pair.nodes[0].step(answer).unwrap();
        }
    }
    assert_eq!(third.last_index(), 12);
}

/// A storage that builds snapshots slowly, or whose disk fails, and that counts what it is asked.
struct Moody {
    inner: MemoryStorage,
    fails: bool,
    terms_asked: Cell<u32>,
}

impl Moody {
    fn new(inner: MemoryStorage, fails: bool) -> Self {
        Moody { inner, fails, terms_asked: Cell::new(0) }
    }
}

impl Storage for Moody {
    fn initial_state(&self) -> Result<(HardState, ConfState), StorageError> {
        self.inner.initial_state()
    }

    fn first_index(&self) -> Index {
        self.inner.first_index()
    }

    fn last_index(&self) -> Index {
        self.inner.last_index()
    }

    fn term(&self, index: Index) -> Result<Term, StorageError> {
        self.terms_asked.update(|asked| asked + 1);
        if self.fails {
            Err(StorageError::Failed("disk on fire".into()))
        } else {
            self.inner.term(index)
        }
    }

    fn entries(&self, low: Index, high: Index, max: u64) -> Result<Vec<Entry>, StorageError> {
        self.inner.entries(low, high, max)
    }

    fn snapshot(&mut self, _at_least: Index) -> Result<Snapshot, StorageError> {
        Err(StorageError::SnapshotPending)
    }
}

#[test]
fn a_snapshot_that_takes_its_time_is_asked_for_again_at_each_sign_of_life() {
    let mut inner = storage_with(&[1, 1, 1]);
    inner.compact(3).unwrap();
    let config = test_config(1, &[1, 2], 10, 1);
    let mut raft = Raft::new(config, Moody::new(inner, false), quiet()).unwrap();
    raft.become_candidate();
    raft.become_leader();
    raft.take_messages();
    for n in 1..=3 {
        let refusal = Body::AppendRefuse { base_index: 3, hint: Position::default() };
        raft.step(message(2, 1, 1, refusal)).unwrap();
        raft.step(message(2, 1, 1, Body::HeartbeatResponse { round: 0 })).unwrap();
        assert!(raft.take_messages().is_empty());
        assert_eq!(runtime::mark::hits("snapshot not ready"), n);
    }
}

#[test]
fn a_failed_disk_is_reported_to_the_driver() {
    let inner = storage_with(&[1, 1, 1]);
    let config = test_config(1, &[1, 2], 10, 1);
    let mut raft = Raft::new(config, Moody::new(inner, true), quiet()).unwrap();
    let refused = raft.step(message(2, 1, 2, append(3, 1, &[], 0)));
    assert!(matches!(refused, Err(crate::Error::Storage(StorageError::Failed(_)))));
}

#[test]
fn where_two_logs_may_agree_is_found_in_a_few_reads() {
    let terms: Vec<Term> = (0..100_000).map(|n| if n < 10 { 1 } else { 5 }).collect();
    let config = test_config(1, &[1, 2], 10, 1);
    let storage = Moody::new(storage_with(&terms), false);
    let raft = Raft::new(config, storage, quiet()).unwrap();
    let found = raft.log().last_position_with_term_at_most(100_000, 4).unwrap();
    assert_eq!(found, Position { term: 1, index: 10 });
    let asked = raft.log().storage.terms_asked.get();
    assert!(asked < 30, "{asked} reads");
}

#[test]
fn where_two_logs_may_agree_is_where_a_walk_would_find_it() {
    let mut rng = runtime::Rng::new(3);
    for _ in 0..200 {
        let mut term = 1;
        let terms: Vec<Term> = (0..=rng.below(12))
            .map(|_| {
                term += rng.below(3);
                term
            })
            .collect();
        let last = terms.len() as Index;
        let mut storage = storage_with(&terms);
        let compacted = rng.below(last + 1);
        if compacted > 0 {
            storage.compact(compacted).unwrap();
        }
        let log = raft_over(storage, 1, &[1, 2], 10, 1).core.log;
        for (index, term) in (0..=last + 2).flat_map(|index| (0..20).map(move |t| (index, t))) {
            let mut walk = index.min(last);
            while walk > 0 && log.term(walk).is_ok_and(|found| found > term) {
                walk -= 1;
            }
            let want = Position { term: log.term(walk).unwrap_or(0), index: walk };
            assert_eq!(log.last_position_with_term_at_most(index, term).unwrap(), want);
        }
    }
}

#[test]
fn what_an_earlier_leader_proposed_makes_no_room_for_proposals() {
    let config = Config { pending_bytes_max: 100, ..test_config(1, &[1, 2, 3], 10, 1) };
    let mut raft = Raft::new(config, storage_with(&[1, 1]), quiet()).unwrap();
    raft.core.enter_term(1);
    raft.lead();
    raft.propose(EntryType::EntryNormal, "a".into()).unwrap();
    raft.step(message(2, 1, 2, Body::AppendAccept { match_index: 3 })).unwrap();
    // What is on disk comes first, then what is in memory.
    let sizes = [(); 3].map(|()| raft.hand_out_committed().unwrap().len());
    assert_eq!(sizes, [2, 1, 0], "all but the proposal");
    let refused = raft.propose(EntryType::EntryNormal, "b".into());
    assert!(matches!(refused, Err(crate::Error::Busy { .. })), "{refused:?}");
    raft.step(message(2, 1, 2, Body::AppendAccept { match_index: 4 })).unwrap();
    assert_eq!(raft.hand_out_committed().unwrap().len(), 1);
    raft.propose(EntryType::EntryNormal, "b".into()).unwrap();
}
