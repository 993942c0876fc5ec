//! The tests that need more than a few lines: the course's suites, and golden scripts.
//!
//! The course's tests keep their names, in one module for each `make` target, so that
//! `cargo test -p raft project2aa` runs what `make project2aa` ran. They reach inside a node as the
//! originals do; this module has what they share.

mod cluster;
mod found;
mod limits;
mod network;
mod project2aa;
mod project2ab;
mod project2ac;
mod project2c;
mod project3a;
mod refusals;
mod script;
mod wire;

use bytes::Bytes;
use proto::eraftpb::{
    ConfChange, ConfChangeType, ConfState, Entry, EntryType, HardState, Snapshot, SnapshotMetadata,
};
use slog::{Discard, Logger, o};

use crate::message::{Body, Message, Position};
use crate::progress::Progress;
use crate::raft::{Raft, Role};
use crate::{Config, Index, MemoryStorage, NodeId, StateRole, Storage, Term};

type TestRaft = Raft<MemoryStorage>;

/// A logger for tests that do not look at logs.
fn quiet() -> Logger {
    Logger::root(Discard, o!())
}

fn test_config(id: NodeId, peers: &[NodeId], election_ticks: u32, heartbeat_ticks: u32) -> Config {
    Config { id, peers: peers.to_vec(), election_ticks, heartbeat_ticks, ..Config::default() }
}

/// A node with these members, election timeout and heartbeat interval, over an empty storage.
fn raft(id: NodeId, peers: &[NodeId], election_ticks: u32, heartbeat_ticks: u32) -> TestRaft {
    raft_over(MemoryStorage::new(), id, peers, election_ticks, heartbeat_ticks)
}

fn raft_over(
    storage: MemoryStorage,
    id: NodeId,
    peers: &[NodeId],
    election_ticks: u32,
    heartbeat_ticks: u32,
) -> TestRaft {
    let config = test_config(id, peers, election_ticks, heartbeat_ticks);
    Raft::new(config, storage, quiet()).unwrap()
}

fn entry(index: Index, term: Term) -> Entry {
    Entry { index, term, ..Entry::default() }
}

fn entry_with(index: Index, term: Term, data: &'static str) -> Entry {
    Entry { data: Bytes::from_static(data.as_bytes()), ..entry(index, term) }
}

/// Entries with these terms, from index 1 on.
fn entries(terms: &[Term]) -> Vec<Entry> {
    (1..).zip(terms).map(|(index, term)| entry(index, *term)).collect()
}

/// A storage that holds such entries.
fn storage_with(terms: &[Term]) -> MemoryStorage {
    let mut storage = MemoryStorage::new();
    storage.append(&entries(terms));
    storage
}

fn snapshot(index: Index, term: Term, nodes: &[NodeId]) -> Snapshot {
    let conf_state = Some(ConfState { nodes: nodes.to_vec() });
    Snapshot { metadata: Some(SnapshotMetadata { conf_state, index, term }), ..Snapshot::default() }
}

fn add_node(node_id: NodeId) -> ConfChange {
    ConfChange { change_type: ConfChangeType::AddNode.into(), node_id, ..ConfChange::default() }
}

fn remove_node(node_id: NodeId) -> ConfChange {
    ConfChange { change_type: ConfChangeType::RemoveNode.into(), node_id, ..ConfChange::default() }
}

fn conf_change_entry(change: &ConfChange) -> Entry {
    let data = prost::Message::encode_to_vec(change).into();
    Entry { entry_type: EntryType::EntryConfChange.into(), data, ..Entry::default() }
}

fn message(from: NodeId, to: NodeId, term: Term, body: Body) -> Message {
    Message { from, to, term, body }
}

fn campaign(id: NodeId) -> Message {
    message(id, id, 0, Body::Campaign)
}

fn beat(id: NodeId) -> Message {
    message(id, id, 0, Body::Beat)
}

fn propose(id: NodeId, data: &'static str) -> Message {
    message(id, id, 0, Body::Propose { entries: vec![entry_with(0, 0, data)] })
}

/// A wish, delivered to the node `at`, that `heir` should lead.
fn transfer(heir: NodeId, at: NodeId) -> Message {
    message(heir, at, 0, Body::TransferLeader)
}

fn append(base_index: Index, base_term: Term, entries: &[Entry], commit: Index) -> Body {
    let base = Position { term: base_term, index: base_index };
    Body::Append { base, entries: entries.to_vec(), commit }
}

fn request_vote(last_index: Index, last_term: Term) -> Body {
    Body::RequestVote { last: Position { term: last_term, index: last_index }, force: false }
}

fn heartbeat(commit: Index) -> Body {
    Body::Heartbeat { commit, round: 0 }
}

/// How a follower that has everything answers this append.
fn accept(append: &Message) -> Message {
    let Body::Append { base, entries, .. } = &append.body else {
        panic!("not an append: {append}");
    };
    let match_index = base.index + entries.len() as Index;
    message(append.to, append.from, append.term, Body::AppendAccept { match_index })
}

/// Messages in the order of their receivers, for comparison.
fn sorted(mut messages: Vec<Message>) -> Vec<Message> {
    messages.sort_by_key(|message| (message.to, message.to_string()));
    messages
}

impl TestRaft {
    fn state(&self) -> StateRole {
        crate::SoftState::of(self).role
    }

    fn storage(&mut self) -> &mut MemoryStorage {
        &mut self.core.log.storage
    }

    fn committed(&self) -> Index {
        self.core.log.committed
    }

    fn last_index(&self) -> Index {
        self.core.log.last_index()
    }

    /// Committed index, applied index, entries: what must be equal in equal logs.
    fn log_summary(&self) -> (Index, Index, Vec<Entry>) {
        (self.core.log.committed, self.core.log.applied, self.core.log.all_entries().unwrap())
    }

    /// What this node, a leader, knows about the member `id`.
    fn progress(&mut self, id: NodeId) -> &mut Progress {
        let Role::Leader(leader) = &mut self.role else { panic!("only leaders know") };
        leader.progress.iter_mut().find(|progress| progress.id == id).unwrap()
    }

    fn lead(&mut self) {
        self.become_candidate();
        self.become_leader();
    }

    /// Puts the node into a role without the transition.
    fn force_role(&mut self, role: StateRole) {
        self.role = match role {
            StateRole::Follower => Role::Follower(crate::follower::Follower::new(None, 10)),
            StateRole::Candidate => {
                let stage = crate::candidate::Stage::Vote;
                Role::Candidate(crate::candidate::Candidate::new(stage, 10))
            }
            StateRole::Leader => {
                let mut leader = crate::leader::Leader::new(&self.core);
                leader.term_start = self.core.log.last_index();
                Role::Leader(leader)
            }
        };
    }

    /// Replaces the log by the one in `storage`.
    fn force_log(&mut self, storage: MemoryStorage) {
        self.core.log = crate::log::RaftLog::new(storage, 0, &self.core.config);
    }

    /// Hands a message to the function for appends, past the rules about terms.
    fn handle_append(&mut self, from: NodeId, body: Body) {
        let Body::Append { base, entries, commit } = body else { panic!("not an append") };
        crate::follower::append(&mut self.core, from, base, entries, commit).unwrap();
    }

    /// The same for snapshots.
    fn handle_snapshot(&mut self, from: NodeId, snapshot: Snapshot) {
        crate::follower::restore(&mut self.core, from, snapshot).unwrap();
    }

    /// Writes what is not on disk, and takes what is committed and not applied.
    fn next_entries(&mut self) -> Vec<Entry> {
        self.persist();
        let entries = self.core.log.hand_out_committed().unwrap();
        let committed = self.committed();
        self.core.log.applied_to(committed);
        entries
    }

    fn persist(&mut self) {
        let entries = self.core.log.unstable_entries();
        self.storage().append(&entries);
        let last = self.core.log.last().unwrap();
        let tail = &mut self.core.log.unstable;
        tail.stable_to(last, tail.generation());
    }

    /// Lets all followers accept the empty entry with which the leader begins its term.
    fn commit_noop_entry(&mut self) {
        assert_eq!(self.state(), StateRole::Leader);
        for sent in self.take_messages() {
            let Body::Append { entries, .. } = &sent.body else { panic!("not an append: {sent}") };
            assert!(
                entries.len() == 1 && entries[0].data.is_empty(),
                "not the empty entry: {sent}"
            );
            self.step(accept(&sent)).unwrap();
        }
        self.take_messages();
        self.persist();
        let committed = self.committed();
        self.core.log.applied_to(committed);
    }
}
