//! A network without delay, for the course's tests: what a node says is delivered at once, unless a
//! connection is cut.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{TestRaft, quiet, test_config};
use crate::message::{Body, Message};
use crate::{Config, MemoryStorage, NodeId, Raft};

/// Who sits at one place of the network.
pub(super) enum Peer {
    /// A node made by the test.
    Node(Box<TestRaft>),
    /// A node to be made with the network.
    Fresh,
    /// Swallows everything and says nothing.
    BlackHole,
}

/// A fresh node.
pub(super) const FRESH: Peer = Peer::Fresh;
/// A black hole.
pub(super) const HOLE: Peer = Peer::BlackHole;

/// Turns a node made by the test into a peer.
pub(super) fn node(raft: TestRaft) -> Peer {
    Peer::Node(Box::new(raft))
}

/// Nodes, numbered from 1 by their place, and what is broken between them.
pub(super) struct Network {
    peers: BTreeMap<NodeId, Option<Box<TestRaft>>>,
    cut: BTreeSet<(NodeId, NodeId)>,
    ignored: Option<fn(&Body) -> bool>,
}

impl Network {
    /// A network of `size` fresh nodes.
    pub(super) fn of(size: usize) -> Self {
        Network::new((0..size).map(|_| FRESH).collect())
    }

    pub(super) fn new(peers: Vec<Peer>) -> Self {
        Network::with_config(peers, |_| {})
    }

    /// `adjust` is applied to the configurations of the fresh nodes.
    pub(super) fn with_config(peers: Vec<Peer>, adjust: fn(&mut Config)) -> Self {
        let ids: Vec<NodeId> = (1..=peers.len() as NodeId).collect();
        let make = |(id, peer): (&NodeId, Peer)| match peer {
            Peer::Node(mut raft) => {
                raft.core.id = *id;
                (*id, Some(raft))
            }
            Peer::Fresh => {
                let mut config = test_config(*id, &ids, 10, 1);
                adjust(&mut config);
                let raft = Raft::new(config, MemoryStorage::new(), quiet()).unwrap();
                (*id, Some(Box::new(raft)))
            }
            Peer::BlackHole => (*id, None),
        };
        let peers = ids.iter().zip(peers).map(make).collect();
        Network { peers, cut: BTreeSet::new(), ignored: None }
    }

    /// The node `id`.
    pub(super) fn at(&mut self, id: NodeId) -> &mut TestRaft {
        self.peers.get_mut(&id).unwrap().as_mut().expect("a node, not a black hole")
    }

    /// All real nodes.
    pub(super) fn nodes(&mut self) -> impl Iterator<Item = &mut Box<TestRaft>> {
        self.peers.values_mut().filter_map(Option::as_mut)
    }

    /// Delivers these messages, and all that follow from them.
    pub(super) fn send(&mut self, messages: impl IntoIterator<Item = Message>) {
        let mut queue: VecDeque<Message> = messages.into_iter().collect();
        while let Some(message) = queue.pop_front() {
            let to = message.to;
            let Some(raft) = self.peers.get_mut(&to).expect("a known receiver") else { continue };
            // As in the original, refusals go unnoticed.
            let _ = raft.step(message);
            let said = raft.take_messages();
            queue.extend(said.into_iter().filter(|message| self.delivers(message)));
        }
    }

    fn delivers(&self, message: &Message) -> bool {
        assert!(message.body != Body::Campaign, "campaigns never travel");
        !self.cut.contains(&(message.from, message.to))
            && !self.ignored.is_some_and(|ignored| ignored(&message.body))
    }

    /// Cuts the connection between two nodes, both ways.
    pub(super) fn cut(&mut self, one: NodeId, other: NodeId) {
        self.cut.extend([(one, other), (other, one)]);
    }

    /// Cuts `id` off from everybody.
    pub(super) fn isolate(&mut self, id: NodeId) {
        let others: Vec<NodeId> = self.peers.keys().copied().filter(|other| *other != id).collect();
        for other in others {
            self.cut(id, other);
        }
    }

    /// Loses all messages of which `ignored` holds.
    pub(super) fn ignore(&mut self, ignored: fn(&Body) -> bool) {
        self.ignored = Some(ignored);
    }

    /// Repairs everything.
    pub(super) fn recover(&mut self) {
        self.cut.clear();
        self.ignored = None;
    }
}
