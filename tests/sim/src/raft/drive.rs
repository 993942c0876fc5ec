//! The driver's part of the contract in `raft`'s head: Readys are taken, written, sent and applied, each
//! in its own time, and reported back.

use prost::Message as _;
use proto::eraftpb::{self, ConfChange, Entry, EntryType, Snapshot};
use raft::{Message, Position, RawNode, Ready, Storage};

use super::check::lease::Held;
use super::check::log_matching::Entries;
use super::check::{CORE, Verdict, durable, expect_normal, lease, quorum_holds};
use super::disk::Disk;
use super::machine::{Confirmed, Job, Machine, slot};
use super::state::State;
use super::world::World;

/// A driver that has so many writes on their way waits for some of them.
const WRITES_MAX: usize = 32;

impl World {
    /// Without asynchronous persistence a driver finishes each Ready before it calls again.
    fn is_busy(&self, place: usize) -> bool {
        !self.params.async_persist && !self.machines[place].writing.is_empty()
    }

    pub(crate) fn finish_if_busy(&mut self, place: usize) -> Verdict {
        if self.is_busy(place) { self.finish_writes(place, 1) } else { Ok(()) }
    }

    /// Takes a Ready, if there is one, and does what need not wait.
    pub(crate) fn take_ready(&mut self, place: usize) -> Verdict {
        if self.is_busy(place) {
            return Ok(());
        }
        if self.machines[place].writing.len() >= WRITES_MAX {
            self.finish_writes(place, WRITES_MAX / 2)?;
        }
        let machine = &mut self.machines[place];
        let Some(node) = machine.node.as_mut().filter(|node| node.has_ready()) else {
            return Ok(());
        };
        machine.inputs = 0;
        machine.batch = 1 + self.rng.below(self.params.batch_max);
        let mut ready = expect_normal(node.ready())?.unwrap_or_default();
        // The lease is asked for before the messages leave: one of them may end it.
        let lease = node.lease();
        self.observe(place)?;
        self.hold_lease(place, lease)?;
        for message in std::mem::take(&mut ready.messages) {
            self.trace.event(4, || format!("leaves: {message}"));
            self.send(message)?;
        }
        let machine = &mut self.machines[place];
        for read in std::mem::take(&mut ready.read_states) {
            let name = u64::from_be_bytes(*read.context.first_chunk().unwrap_or(&[0; 8]));
            if let Some(known) = machine.asked.iter().position(|asked| asked.name == name) {
                let floor = machine.asked.swap_remove(known).floor;
                machine.confirmed.push(Confirmed { index: read.index, floor });
            }
        }
        if self.params.async_persist {
            hand_over(machine, &mut ready);
        }
        machine.writing.push_back(ready);
        // Most disks are fast.
        if self.rng.chance(1, 2) { self.finish_writes(place, 1) } else { Ok(()) }
    }

    fn hold_lease(&mut self, place: usize, lease: Option<raft::Lease>) -> Verdict {
        let machine = &mut self.machines[place];
        machine.lease = lease.and_then(|lease| {
            let sent = machine.sent_at(lease.round)?;
            Some(Held { term: lease.term, sent })
        });
        let machine = &self.machines[place];
        match self.running_lease(machine) {
            Some(held) => lease::check(machine.id, &held, self.checks.elections.last_term()),
            None => Ok(()),
        }
    }

    pub(crate) fn write_somewhere(&mut self) -> Verdict {
        let Some(place) = self.some_machine(|m| m.is_up() && !m.writing.is_empty()) else {
            return self.deliver();
        };
        let count = 1 + self.below(4);
        self.finish_writes(place, count)
    }

    /// Up to `count` writes of a machine get on its disk, and are reported together.
    pub(crate) fn finish_writes(&mut self, place: usize, count: usize) -> Verdict {
        let mut number = 0;
        for _ in 0..count {
            let machine = &mut self.machines[place];
            let (Some(mut ready), Some(node)) = (machine.writing.pop_front(), &mut machine.node)
            else {
                break;
            };
            number = ready.number;
            write(node, &ready, &mut self.checks.entries)?;
            self.trace.event(ready.number, || format!("node {} wrote {number}", place + 1));
            let machine = &mut self.machines[place];
            if let Some(snapshot) = ready.snapshot.take() {
                // It contains what was still to be applied.
                machine.applying.clear();
                machine.applying.push_back(Job::Snapshot(Box::new(snapshot)));
            }
            hand_over(machine, &mut ready);
            for message in std::mem::take(&mut ready.messages_after_persist) {
                self.trace.event(5, || format!("leaves: {message}"));
                self.send(message)?;
            }
        }
        if number == 0 {
            return Ok(());
        }
        self.call(place, |node| node.on_persisted(number))?;
        self.after_input(place)
    }

    pub(crate) fn apply_somewhere(&mut self) -> Verdict {
        let Some(place) = self.some_machine(|m| m.is_up() && !m.applying.is_empty()) else {
            return self.deliver();
        };
        let count = 1 + self.rng.below(self.params.apply_max);
        self.apply(place, count)
    }

    /// The state machine applies up to `count` things.
    pub(crate) fn apply(&mut self, place: usize, count: u64) -> Verdict {
        self.finish_if_busy(place)?;
        for _ in 0..count {
            match self.machines[place].applying.pop_front() {
                Some(Job::Entry(entry)) => self.apply_entry(place, &entry)?,
                Some(Job::Snapshot(snapshot)) => self.install(place, &snapshot)?,
                None => break,
            }
        }
        let state = self.machines[place].state;
        self.machines[place].disk_mut().offer(state);
        self.call(place, |node| {
            node.on_applied(state.index);
            Ok(())
        })?;
        self.check_quorums(place)?;
        self.answer(place)?;
        self.after_input(place)
    }

    fn apply_entry(&mut self, place: usize, entry: &Entry) -> Verdict {
        let machine = &self.machines[place];
        durable::check_applied(machine.id, machine.disk(), entry.index)?;
        self.trace
            .event(entry.index, || format!("node {} applies {}", place + 1, Position::of(entry)));
        let change = match entry.entry_type() {
            EntryType::EntryConfChange => ConfChange::decode(entry.data.clone()).ok(),
            EntryType::EntryNormal => None,
        };
        self.counts.applied += 1;
        let machine = &mut self.machines[place];
        machine.state.apply(entry, change.as_ref());
        let state = machine.state;
        let is_first = self.checks.applied.reached(machine.id, state)?;
        if let Some(change) = change {
            // Once a snapshot has arrived its members count, whatever is still being applied.
            let raft = self.machines[place].node.as_ref().map(RawNode::raft);
            let replaced = raft.filter(|raft| raft.log().first_index() > entry.index + 1);
            let expected = replaced.map_or(state.members.to_vec(), |raft| raft.members().to_vec());
            let members = self.call(place, |node| node.apply_conf_change(&change))?;
            let members = members.unwrap_or_default().nodes;
            CORE.require(members == expected, || {
                format!("the core has the members {members:?} instead of {expected:?}")
            })?;
            if is_first {
                self.counts.changes += 1;
                self.welcome(state.members)?;
            }
        }
        Ok(())
    }

    fn install(&mut self, place: usize, snapshot: &Snapshot) -> Verdict {
        self.counts.snapshots += 1;
        let machine = &mut self.machines[place];
        machine.state = State::of_snapshot(snapshot);
        machine.saved = machine.state;
        let state = machine.state;
        self.trace.event(6, || format!("node {} installs {state:?}", place + 1));
        self.checks.applied.reached(machine.id, state).map(|_| ())
    }

    /// A state machine that has caught up knows the members that its commit index needs.
    fn check_quorums(&self, place: usize) -> Verdict {
        let machine = &self.machines[place];
        if machine.state.index != machine.seen.commit {
            return Ok(());
        }
        let Some(committed) = self.checks.committed.at(machine.state.index) else {
            return Ok(());
        };
        quorum_holds::check(machine.id, committed, machine.state.members, |id| {
            self.machines[slot(id)].disk().holds(committed)
        })
    }
}

/// Committed entries go to the state machine.
fn hand_over(machine: &mut Machine, ready: &mut Ready) {
    let entries = std::mem::take(&mut ready.committed_entries);
    machine.applying.extend(entries.into_iter().map(Job::Entry));
}

/// Step 2 of a Ready.
pub(crate) fn write(node: &mut RawNode<Disk>, ready: &Ready, entries: &mut Entries) -> Verdict {
    let (id, disk) = (node.raft().id(), node.storage_mut());
    expect_normal(disk.write(ready).map_err(Into::into))?;
    if let Some(first) = ready.entries.first()
        && let Ok(term_before) = disk.term(first.index - 1)
    {
        entries.written(&ready.entries, term_before)?;
    }
    durable::check_written(id, disk)
}

/// A message must come out of its record on the wire as it went in.
pub(crate) fn check_wire(message: &Message) -> Verdict {
    let bytes = eraftpb::Message::from(message.clone()).encode_to_vec();
    let wire = eraftpb::Message::decode(&bytes[..]).map_err(|e| CORE.violated(e.to_string()))?;
    let received = expect_normal(Message::try_from(wire))?;
    CORE.require(received.as_ref() == Some(message), || format!("the wire changed {message}"))
}
