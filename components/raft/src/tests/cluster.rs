//! A cluster whose every step is somebody's decision: what is delivered, what is lost, what is late,
//! what reaches a disk before a crash. Golden scripts and directed tests play with it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;

use bytes::Bytes;
use prost::Message as _;
use proto::eraftpb::{ConfChange, Entry, EntryType, HardState};

use super::quiet;
use crate::message::{Entries, Message, Position};
use crate::{
    Config, Index, MemoryStorage, NodeId, RawNode, ReadState, Ready, Result, Storage, Term,
};

/// What a state machine has applied: index, term and command of each entry.
pub(super) type History = Vec<(Index, Term, Bytes)>;

/// One machine: the node, its disk inside, and its state machine.
pub(super) struct Machine {
    pub(super) node: RawNode<MemoryStorage>,
    /// What the state machine has applied: a node that applied everything has the whole history.
    pub(super) history: History,
    /// Readys that are handed out and not on disk; only with asynchronous persistence.
    writing: VecDeque<Ready>,
    /// Committed entries that wait to be applied.
    applying: VecDeque<Entry>,
    /// The state machine is slow, and applies only when told to.
    pub(super) applies_by_hand: bool,
    /// Reads that were confirmed.
    pub(super) reads: Vec<ReadState>,
}

/// Machines, the network between them, and what is on its way.
#[derive(Default)]
pub(super) struct Cluster {
    pub(super) config: Config,
    /// The members at the start.
    founders: Vec<NodeId>,
    pub(super) machines: BTreeMap<NodeId, Machine>,
    /// What crashed machines have left on their disks.
    disks: BTreeMap<NodeId, (MemoryStorage, History)>,
    /// Messages on their way, oldest first.
    pub(super) network: VecDeque<Message>,
    /// Messages that will arrive later than they should.
    pub(super) late: VecDeque<Message>,
    /// Connections that lose everything, one way.
    pub(super) cut: BTreeSet<(NodeId, NodeId)>,
}

impl Cluster {
    /// Nodes 1 to `size`, with this configuration apart from the ids.
    pub(super) fn new(size: u64, config: Config) -> Self {
        let peers: Vec<NodeId> = (1..=size).collect();
        let mut cluster = Cluster { config, founders: peers.clone(), ..Cluster::default() };
        for id in &peers {
            cluster.boot(*id, peers.clone(), MemoryStorage::new(), Vec::new());
        }
        cluster
    }

    fn boot(&mut self, id: NodeId, peers: Vec<NodeId>, storage: MemoryStorage, history: History) {
        let applied = history.last().map_or(0, |(index, ..)| *index);
        let config = Config { id, peers, applied, ..self.config.clone() };
        let machine = Machine {
            node: RawNode::new(config, storage, quiet()).unwrap(),
            history,
            writing: VecDeque::new(),
            applying: VecDeque::new(),
            applies_by_hand: false,
            reads: Vec::new(),
        };
        self.machines.insert(id, machine);
    }

    /// A new machine that belongs to no group yet.
    pub(super) fn join(&mut self, id: NodeId) {
        self.boot(id, Vec::new(), MemoryStorage::new(), Vec::new());
    }

    /// Everything but the disk is gone.
    pub(super) fn crash(&mut self, id: NodeId) {
        let Machine { mut node, history, .. } = self.machines.remove(&id).unwrap();
        self.disks.insert(id, (node.storage_mut().clone(), history));
    }

    /// The machine starts from what its disk holds. `wait_ticks` is what its driver sets for a node
    /// that may have made promises.
    pub(super) fn restart(&mut self, id: NodeId, wait_ticks: u32) {
        let (storage, history) = self.disks.remove(&id).unwrap();
        let config = self.config.clone();
        self.config.restart_wait_ticks = wait_ticks;
        let members = self.members_after(&storage);
        self.boot(id, members, storage, history);
        self.config = config;
    }

    /// The machine comes back with an empty disk, under its old id, which nobody should do.
    pub(super) fn restart_wiped(&mut self, id: NodeId) {
        let (storage, _) = self.disks.remove(&id).unwrap();
        let members = self.members_after(&storage);
        self.boot(id, members, MemoryStorage::new(), Vec::new());
    }

    /// Replaces a machine by one in this term whose disk holds entries of these terms.
    pub(super) fn preload(&mut self, id: NodeId, term: Term, terms: &[Term]) {
        let mut storage = super::storage_with(terms);
        storage.set_hard_state(HardState { term, ..HardState::default() });
        let peers = self.at(id).node.raft().members().to_vec();
        self.boot(id, peers, storage, Vec::new());
    }

    /// The members that the storage knows, or those of the start if no change was applied yet.
    fn members_after(&self, storage: &MemoryStorage) -> Vec<NodeId> {
        let (_, conf_state) = storage.initial_state().unwrap();
        if conf_state.nodes.is_empty() { self.founders.clone() } else { conf_state.nodes }
    }

    pub(super) fn at(&mut self, id: NodeId) -> &mut Machine {
        self.machines.get_mut(&id).unwrap_or_else(|| panic!("machine {id} is down"))
    }

    pub(super) fn node(&mut self, id: NodeId) -> &mut RawNode<MemoryStorage> {
        &mut self.at(id).node
    }

    /// Takes every machine's Readys and does what they ask for, as far as that is not slow.
    pub(super) fn collect(&mut self) -> Result<Vec<Message>> {
        let mut sent = Vec::new();
        for machine in self.machines.values_mut() {
            while machine.node.has_ready() {
                let ready = machine.node.ready()?;
                machine.handle(ready, self.config.async_persist, &mut sent)?;
            }
        }
        self.network.extend(sent.iter().cloned());
        Ok(sent)
    }

    /// Hands one message to its receiver, if it gets there. Says whether it does.
    pub(super) fn deliver(&mut self, message: Message) -> bool {
        if self.cut.contains(&(message.from, message.to)) {
            return false;
        }
        let Some(machine) = self.machines.get_mut(&message.to) else { return false };
        // Over the wire and back, so that each script also tests that.
        let wire = proto::eraftpb::Message::from(message.clone());
        let bytes = wire.encode_to_vec();
        let wire = proto::eraftpb::Message::decode(&bytes[..]).unwrap();
        let received = Message::try_from(wire).unwrap_or_else(|error| panic!("{message}: {error}"));
        assert_eq!(received, message, "the wire changed the message");
        // A refused message is a lost one.
        let _ = machine.node.step(message);
        true
    }

    /// Delivers everything, and what follows from it, until nothing is on its way. Without ticks this
    /// comes to an end.
    pub(super) fn run(&mut self) -> Result<Vec<(Message, bool)>> {
        let mut delivered = Vec::new();
        loop {
            self.collect()?;
            let Some(message) = self.network.pop_front() else { return Ok(delivered) };
            let arrives = self.deliver(message.clone());
            delivered.push((message, arrives));
            assert!(delivered.len() < 10_000, "the cluster never gets quiet");
        }
    }

    /// The same, while every disk is as fast as the network.
    pub(super) fn settle(&mut self) -> Result<Vec<(Message, bool)>> {
        let mut delivered = Vec::new();
        loop {
            delivered.extend(self.run()?);
            let slow = self.machines.iter().find(|(_, machine)| !machine.writing.is_empty());
            let Some((id, _)) = slow else { return Ok(delivered) };
            self.persist(*id, usize::MAX)?;
        }
    }

    /// The oldest `count` Readys of `id` get on disk.
    pub(super) fn persist(&mut self, id: NodeId, count: usize) -> Result<Vec<Message>> {
        let machine = self.at(id);
        let mut sent = Vec::new();
        for _ in 0..count.min(machine.writing.len()) {
            let ready = machine.writing.pop_front().expect("as many as were counted");
            machine.write(ready, &mut sent)?;
        }
        self.network.extend(sent.iter().cloned());
        Ok(sent)
    }

    /// The state machine of `id` applies what it was handed.
    pub(super) fn apply(&mut self, id: NodeId) -> Result<()> {
        self.at(id).apply()
    }

    /// Makes a snapshot of what `id` has applied, and drops the log up to there.
    pub(super) fn compact(&mut self, id: NodeId) {
        let machine = self.at(id);
        let (index, _, _) = *machine.history.last().expect("something is applied");
        let members = machine.node.raft().members().to_vec();
        let data = encode_history(&machine.history);
        machine.node.storage_mut().create_snapshot(index, &members, data).unwrap();
        machine.node.storage_mut().compact(index).unwrap();
    }

    /// Panics if a node's own invariants do not hold, or if two state machines disagree.
    pub(super) fn check(&self) {
        for (id, machine) in &self.machines {
            machine.node.check_invariants();
            for (other_id, other) in &self.machines {
                let common = machine.history.len().min(other.history.len());
                assert_eq!(
                    machine.history[..common],
                    other.history[..common],
                    "nodes {id} and {other_id} have applied different commands"
                );
            }
        }
    }
}

impl Machine {
    /// Does what a Ready asks for. What is slow waits in a queue.
    fn handle(&mut self, ready: Ready, is_async: bool, sent: &mut Vec<Message>) -> Result<()> {
        sent.extend(ready.messages.iter().cloned());
        self.reads.extend(ready.read_states.iter().cloned());
        self.applying.extend(ready.committed_entries.iter().cloned());
        if ready.snapshot.is_some() {
            // What was to be applied is in the snapshot.
            self.applying.clear();
        }
        if is_async {
            self.writing.push_back(ready);
        } else {
            self.write(ready, sent)?;
        }
        if self.applies_by_hand { Ok(()) } else { self.apply() }
    }

    /// Step 2 of a `Ready`, and what waits for it.
    fn write(&mut self, ready: Ready, sent: &mut Vec<Message>) -> Result<()> {
        let storage = self.node.storage_mut();
        if let Some(snapshot) = &ready.snapshot {
            storage.apply_snapshot(snapshot.clone())?;
            self.history = decode_history(&snapshot.data);
        }
        storage.append(&ready.entries);
        if let Some(hard_state) = ready.hard_state {
            storage.set_hard_state(hard_state);
        }
        sent.extend(ready.messages_after_persist);
        self.node.on_persisted(ready.number)?;
        if let Some(snapshot) = &ready.snapshot {
            self.node.on_applied(Position::of_snapshot(snapshot).index);
        }
        Ok(())
    }

    fn apply(&mut self) -> Result<()> {
        while let Some(entry) = self.applying.pop_front() {
            let expected = self.history.last().map_or(1, |(index, ..)| index + 1);
            assert_eq!(entry.index, expected, "entries are applied in order, each once");
            let mut data = entry.data.clone();
            if entry.entry_type() == EntryType::EntryConfChange {
                let change = ConfChange::decode(entry.data).unwrap();
                let conf_state = self.node.apply_conf_change(&change)?;
                data = format!("{:?}", conf_state.nodes).into();
                self.node.storage_mut().set_conf_state(conf_state);
            }
            self.history.push((entry.index, entry.term, data));
            self.node.on_applied(entry.index);
        }
        Ok(())
    }

    /// The whole log, in one line.
    pub(super) fn log(&self) -> String {
        Entries(&self.node.raft().core.log.all_entries().unwrap()).to_string()
    }

    /// What the state machine has seen, without the empty entries, in one line.
    pub(super) fn commands(&self) -> String {
        let mut line = String::new();
        for (_, _, data) in self.history.iter().filter(|(.., data)| !data.is_empty()) {
            let space = if line.is_empty() { "" } else { " " };
            write!(line, "{space}{}", data.escape_ascii()).unwrap();
        }
        line
    }
}

/// A state machine's state is its history; this is how it travels in a snapshot.
fn encode_history(history: &History) -> Vec<u8> {
    let entries = history.iter().map(|(index, term, data)| Entry {
        index: *index,
        term: *term,
        data: data.clone(),
        ..Entry::default()
    });
    let message = proto::eraftpb::Message { entries: entries.collect(), ..Default::default() };
    message.encode_to_vec()
}

fn decode_history(data: &[u8]) -> History {
    let message = proto::eraftpb::Message::decode(data).unwrap();
    message.entries.into_iter().map(|entry| (entry.index, entry.term, entry.data)).collect()
}
