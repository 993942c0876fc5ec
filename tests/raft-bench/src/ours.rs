//! Our core, driven.

use std::collections::VecDeque;

use bytes::Bytes;
use prost::Message as _;
use proto::eraftpb;
use raft::{Config, Index, MemoryStorage, Message, RawNode};
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
    raw: RawNode<MemoryStorage>,
    applied: Index,
    applied_bytes: u64,
}

impl Trio {
    pub(crate) fn new(wire: Wire) -> Self {
        let logger = Logger::root(slog::Discard, slog::o!());
        let node = |id| {
            let config = Config { id, peers: vec![1, 2, 3], ..Config::default() };
            let raw = RawNode::new(config, MemoryStorage::new(), logger.clone());
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
        assert!(trio.nodes[0].raw.raft().is_leader());
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
                let message = if self.wire == Wire::Encoded { travel(message) } else { message };
                let place = usize::try_from(message.to).expect("three nodes") - 1;
                self.nodes[place].raw.step(message).expect("a message of a correct node");
            }
        }
    }
}

fn travel(message: Message) -> Message {
    let bytes = Bytes::from(eraftpb::Message::from(message).encode_to_vec());
    let wire = eraftpb::Message::decode(bytes).expect("it was encoded a moment ago");
    Message::try_from(wire).expect("a message of a correct node")
}

impl Node {
    fn handle(&mut self, network: &mut VecDeque<Message>) {
        let mut ready = self.raw.ready().expect("memory does not fail");
        network.extend(std::mem::take(&mut ready.messages));
        let storage = self.raw.storage_mut();
        storage.append(&ready.entries);
        if let Some(hard_state) = ready.hard_state {
            storage.set_hard_state(hard_state);
        }
        network.extend(std::mem::take(&mut ready.messages_after_persist));
        for entry in &ready.committed_entries {
            self.applied = entry.index;
            self.applied_bytes += entry.data.len() as u64;
        }
        self.raw.advance(&ready).expect("memory does not fail");
    }
}

impl Group for Trio {
    fn run(&mut self, entries: usize, batch: usize) -> u64 {
        let before: u64 = self.nodes.iter().map(|node| node.applied_bytes).sum();
        for _ in 0..entries / batch {
            for _ in 0..batch {
                self.nodes[0].raw.propose(vec![7; ENTRY_BYTES]).expect("it leads");
            }
            self.settle();
        }
        for node in &mut self.nodes {
            let applied = node.applied;
            node.raw.storage_mut().compact(applied).expect("it is applied");
        }
        self.nodes.iter().map(|node| node.applied_bytes).sum::<u64>() - before
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }
}
