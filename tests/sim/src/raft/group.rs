//! The group: members come, go, hand over, crash, start again, and save what they have applied.

use proto::eraftpb::{ConfChange, ConfChangeType};
use raft::{Index, NodeId, Storage};

use super::check::Verdict;
use super::machine::{Machine, Phase, slot};
use super::state::Members;
use super::world::World;

/// More members than this are not asked for.
const MEMBERS_MAX: usize = 7;

impl World {
    /// A leader is asked to add or remove a member.
    pub(crate) fn change_members(&mut self) -> Verdict {
        self.retire();
        let Some(place) = self.some_machine(Machine::leads) else { return self.deliver() };
        self.finish_if_busy(place)?;
        let id = self.machines[place].id;
        let members = self.machines[place].state.members;
        let fresh = self.machines.iter().find(|machine| machine.phase == Phase::Absent);
        let fresh = fresh.map(|machine| machine.id).filter(|_| members.len() < MEMBERS_MAX);
        let (change_type, node_id) = match fresh {
            Some(fresh) if self.rng.chance(1, 2) => (ConfChangeType::AddNode, fresh),
            Some(_) | None => {
                let ids = members.to_vec();
                let gone = *self.rng.pick(&ids).unwrap_or(&id);
                // Nobody is removed from a group of two. If the one to be removed should be elected
                // before that is committed, it commits and applies it, and the other one might never
                // hear of it: it would wait for ever for the vote of somebody who is gone.
                if ids.len() <= 2 {
                    return Ok(());
                }
                (ConfChangeType::RemoveNode, gone)
            }
        };
        let mut change = ConfChange { node_id, ..ConfChange::default() };
        change.set_change_type(change_type);
        let position = self.call(place, |node| node.propose_conf_change(&change))?;
        self.trace.event(node_id, || format!("node {id}: {change_type:?} {node_id}: {position:?}"));
        self.after_input(place)
    }

    /// Machines that were named as members and are not there yet are bought.
    pub(crate) fn welcome(&mut self, members: Members) -> Verdict {
        for id in members.iter() {
            if self.machines[slot(id)].phase == Phase::Absent {
                self.start(slot(id))?;
            }
        }
        Ok(())
    }

    /// Machines that were removed are shut down, once every member has applied their removal and will
    /// remember it: before, their votes may still be needed.
    pub(crate) fn retire(&mut self) {
        let members = self.checks.applied.newest().members;
        let knows = |id: NodeId| {
            let machine = &self.machines[slot(id)];
            machine.phase != Phase::Absent && machine.saved.members == members
        };
        if !members.iter().all(knows) {
            return;
        }
        for place in 0..self.machines.len() {
            let machine = &mut self.machines[place];
            let is_left = machine.phase == Phase::Up && !members.contains(machine.id);
            // One that has not heard of its own beginning yet is no former member.
            if is_left && machine.state.index > 0 {
                machine.disk = std::mem::take(machine.disk_mut());
                machine.node = None;
                machine.phase = Phase::Gone;
                machine.forget();
                self.network.forget(self.machines[place].id);
                self.trace.event(8, || format!("node {} is shut down", place + 1));
            }
        }
    }

    /// A leader is asked to hand over, or somebody is told to campaign at once.
    pub(crate) fn transfer(&mut self) -> Verdict {
        let Some(place) = self.some_machine(Machine::is_up) else { return Ok(()) };
        self.finish_if_busy(place)?;
        let heir = 1 + self.rng.below(self.machines.len() as u64);
        if self.rng.chance(1, 4) {
            self.trace.event(9, || format!("node {} is told to campaign", place + 1));
            self.call(place, raft::RawNode::campaign)?;
        } else {
            self.trace.event(heir, || format!("node {}: hand over to {heir}", place + 1));
            self.call(place, |node| node.transfer_leader(heir))?;
        }
        self.after_input(place)
    }

    pub(crate) fn crash_somebody(&mut self) -> Verdict {
        let Some(place) = self.some_machine(Machine::is_up) else { return Ok(()) };
        self.crash(place)?;
        // Some are back before anybody has noticed.
        if self.rng.chance(1, 2) { self.start(place) } else { Ok(()) }
    }

    /// A machine loses power: of its unfinished writes the first few made it, and of what nobody
    /// synced some is lost as well.
    fn crash(&mut self, place: usize) -> Verdict {
        self.counts.crashes += 1;
        let kept = self.below(self.machines[place].writing.len() + 1);
        let (loses_commit, loses_state) = (self.rng.chance(1, 2), self.rng.chance(1, 2));
        let machine = &mut self.machines[place];
        let id = machine.id;
        if let Some(mut node) = machine.node.take() {
            for ready in machine.writing.drain(..kept) {
                super::drive::write(&mut node, &ready, &mut self.checks.entries)?;
            }
            machine.disk = std::mem::take(node.storage_mut());
        }
        machine.disk.lose_power(loses_commit);
        machine.phase = Phase::Down;
        if !loses_state && machine.state.index > machine.saved.index {
            machine.saved = machine.state;
        }
        machine.forget();
        self.checks.asked.forget(id);
        self.trace.event(id, || format!("node {id} crashes; {kept} unfinished writes survive"));
        Ok(())
    }

    pub(crate) fn restart_somebody(&mut self) -> Verdict {
        match self.some_machine(|machine| machine.phase == Phase::Down) {
            Some(place) => self.start(place),
            None => self.deliver(),
        }
    }

    /// Some state machine is saved, and its log shortened if it has grown long.
    pub(crate) fn save(&mut self) -> Verdict {
        match self.some_machine(Machine::is_up) {
            Some(place) => self.save_at(place),
            None => Ok(()),
        }
    }

    pub(crate) fn save_at(&mut self, place: usize) -> Verdict {
        self.finish_if_busy(place)?;
        let machine = &mut self.machines[place];
        machine.saved = machine.state;
        let state = machine.state;
        let first = machine.disk().first_index();
        let is_long = state.index >= first && state.index - first >= self.params.compact_every;
        if !is_long {
            return Ok(());
        }
        let index: Index = self.rng.range(first..state.index + 1);
        self.counts.compactions += 1;
        self.trace.event(index, || format!("node {} compacts to {index}", place + 1));
        let delays = u32::from(self.rng.chance(1, 4)) * 3;
        let disk = self.machines[place].disk_mut();
        disk.delay_snapshots(delays);
        let result = disk.compact(index);
        super::check::expect_normal(result.map_err(Into::into)).map(|_| ())
    }

    /// A transport says that a peer is out of reach, or what became of a snapshot. It may be wrong.
    pub(crate) fn report(&mut self) -> Verdict {
        let Some(place) = self.some_machine(Machine::leads) else { return self.deliver() };
        self.finish_if_busy(place)?;
        let peer = 1 + self.rng.below(self.machines.len() as u64);
        let kind = self.rng.below(3);
        self.trace.event(kind, || format!("node {}: report {kind} about {peer}", place + 1));
        self.call(place, |node| {
            match kind {
                0 => node.report_unreachable(peer),
                _ => node.report_snapshot(peer, kind == 1),
            }
            Ok(())
        })?;
        self.after_input(place)
    }
}
