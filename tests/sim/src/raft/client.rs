//! Clients: they write commands, read the register in both ways, and remember what they were shown.

use raft::RawNode;

use super::check::{Verdict, durable};
use super::disk::command;
use super::machine::{Asked, Confirmed, Machine, slot};
use super::params::Reads;
use super::world::World;

/// Reads that one machine has open at a time.
const READS_MAX: usize = 16;

impl World {
    pub(crate) fn name(&mut self) -> u64 {
        self.next_name += 1;
        self.next_name
    }

    /// Some client writes at a machine that it takes for the leader, mostly rightly.
    pub(crate) fn propose(&mut self) -> Verdict {
        let anybody = self.rng.chance(1, 16);
        let wanted = |machine: &Machine| machine.is_up() && (anybody || machine.leads());
        let Some(place) = self.some_machine(wanted) else { return self.deliver() };
        self.propose_at(place).map(|_| ())
    }

    /// Writes a command at a machine, and says whether it was taken.
    pub(crate) fn propose_at(&mut self, place: usize) -> Verdict<bool> {
        self.finish_if_busy(place)?;
        let (name, weight) = (self.name(), self.below(64));
        let position = self.call(place, |node| node.propose(command(name, weight)))?;
        self.trace.event(name, || format!("node {}: propose {name} at {position:?}", place + 1));
        self.machines[place].proposals.extend(position);
        self.after_input(place)?;
        Ok(position.is_some())
    }

    /// Some client asks for a read.
    pub(crate) fn read_index(&mut self) -> Verdict {
        let anywhere = self.params.reads == Reads::Anywhere;
        let wanted = |machine: &Machine| {
            machine.is_up() && machine.asked.len() < READS_MAX && (anywhere || machine.leads())
        };
        let Some(place) = self.some_machine(wanted) else { return self.deliver() };
        self.finish_if_busy(place)?;
        let name = self.name();
        let floor = self.checks.client.begin();
        let context = name.to_be_bytes().to_vec();
        let taken = self.call(place, |node| node.read_index(context))?;
        self.trace.event(name, || format!("node {}: read {name} from {floor}", place + 1));
        if taken.is_some() {
            self.machines[place].asked.push(Asked { name, floor });
        }
        self.after_input(place)
    }

    /// Some client reads where a lease runs. The machine looks at its lease only, and not at what the
    /// node would say: that is how a thread beside the driver reads.
    pub(crate) fn read_under_lease(&mut self) -> Verdict {
        let holders = self.machines.iter();
        let holder = holders
            .map(|machine| machine.id)
            .find(|id| self.running_lease(&self.machines[slot(*id)]).is_some());
        let Some(id) = holder else { return self.deliver() };
        self.counts.lease_reads += 1;
        let floor = self.checks.client.begin();
        let machine = &mut self.machines[slot(id)];
        let index = match self.params.reads {
            Reads::AtLeaders => machine.state.index,
            Reads::Anywhere => machine.seen.commit,
        };
        self.trace.event(7, || format!("node {id} reads {index} under its lease"));
        machine.confirmed.push(Confirmed { index, floor });
        self.answer(slot(id))
    }

    /// The state machine has moved on: writes are acknowledged and reads are answered.
    pub(crate) fn answer(&mut self, place: usize) -> Verdict {
        let machine = &mut self.machines[place];
        let index = machine.state.index;
        while let Some(position) = machine.proposals.pop_front_if(|p| p.index <= index) {
            if self.checks.committed.at(position.index) == Some(position) {
                self.checks.client.wrote(position.index);
            }
        }
        let id = machine.id;
        if machine.confirmed.is_empty() {
            return Ok(());
        }
        let ripe = machine.confirmed.extract_if(.., |read| read.index <= index);
        for read in ripe.collect::<Vec<_>>() {
            self.counts.reads += 1;
            self.checks.client.read(id, read.floor, index)?;
        }
        durable::check_applied(id, self.machines[place].disk(), index)
    }

    /// Reads whose leader changed never get an answer, and are asked anew under another name.
    pub(crate) fn give_up_reads(&mut self) {
        for machine in &mut self.machines {
            let is_leaderless = |node: &RawNode<_>| node.raft().leader().is_none();
            if machine.node.as_ref().is_some_and(is_leaderless) {
                machine.asked.clear();
            }
        }
    }
}
