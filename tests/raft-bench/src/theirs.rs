//! raft-rs, driven in the same way.

use std::collections::VecDeque;

use prost_old::Message as _;
use raft_rs::eraftpb::{Entry, Message};
use raft_rs::storage::MemStorage;
use raft_rs::{Config, RawNode, StateRole};
use slog::Logger;

use crate::load::{ENTRY_BYTES, Group, Traffic, Wire};

/// Three nodes.
pub(crate) struct Trio {
    nodes: Vec<Node>,
    network: VecDeque<Message>,
    wire: Wire,
    traffic: Traffic,
}

struct Node {
    raw: RawNode<MemStorage>,
    applied: u64,
    applied_bytes: u64,
}

impl Trio {
    pub(crate) fn new(wire: Wire, batch_append: bool) -> Self {
        let logger = Logger::root(slog::Discard, slog::o!());
        let node = |id| {
            let mut config = Config { id, ..Config::default() };
            if batch_append {
                config.batch_append = true;
                config.max_size_per_msg = 1 << 20;
            }
            let storage = MemStorage::new_with_conf_state((vec![1, 2, 3], vec![]));
            let raw = RawNode::new(&config, storage, &logger);
            Node { raw: raw.expect("a valid configuration"), applied: 0, applied_bytes: 0 }
        };
        let mut trio = Trio {
            nodes: (1..=3).map(node).collect(),
            network: VecDeque::new(),
            wire,
            traffic: Traffic::default(),
        };
        trio.nodes[0].raw.campaign().expect("nothing speaks against it");
        trio.settle();
        assert_eq!(trio.nodes[0].raw.raft.state, StateRole::Leader);
        trio
    }

    /// Until nothing is left to do.
    fn settle(&mut self) {
        loop {
            for node in &mut self.nodes {
                while node.raw.has_ready() {
                    self.traffic.readys += 1;
                    node.handle(&mut self.network);
                }
            }
            if self.network.is_empty() {
                return;
            }
            while let Some(message) = self.network.pop_front() {
                self.traffic.messages += 1;
                let message = if self.wire == Wire::Encoded { travel(&message) } else { message };
                let place = usize::try_from(message.to).expect("three nodes") - 1;
                self.nodes[place].raw.step(message).expect("a message of a correct node");
            }
        }
    }
}

fn travel(message: &Message) -> Message {
    let bytes = message.encode_to_vec();
    Message::decode(&bytes[..]).expect("it was encoded a moment ago")
}

impl Node {
    fn handle(&mut self, network: &mut VecDeque<Message>) {
        let mut ready = self.raw.ready();
        network.extend(ready.take_messages());
        self.apply(&ready.take_committed_entries());
        let storage = self.raw.store().clone();
        if !ready.entries().is_empty() {
            storage.wl().append(ready.entries()).expect("memory does not fail");
        }
        if let Some(hard_state) = ready.hs() {
            storage.wl().set_hardstate(hard_state.clone());
        }
        network.extend(ready.take_persisted_messages());
        let mut light = self.raw.advance(ready);
        if let Some(commit) = light.commit_index() {
            storage.wl().mut_hard_state().commit = commit;
        }
        network.extend(light.take_messages());
        self.apply(&light.take_committed_entries());
        self.raw.advance_apply();
    }

    fn apply(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.applied = entry.index;
            self.applied_bytes += entry.data.len() as u64;
        }
    }
}

impl Group for Trio {
    fn run(&mut self, entries: usize, batch: usize) -> u64 {
        let before: u64 = self.nodes.iter().map(|node| node.applied_bytes).sum();
        for _ in 0..entries / batch {
            for _ in 0..batch {
                self.nodes[0].raw.propose(Vec::new(), vec![7; ENTRY_BYTES]).expect("it leads");
            }
            self.settle();
        }
        for node in &mut self.nodes {
            let storage = node.raw.store().clone();
            storage.wl().compact(node.applied).expect("it is applied");
        }
        self.nodes.iter().map(|node| node.applied_bytes).sum::<u64>() - before
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }
}
