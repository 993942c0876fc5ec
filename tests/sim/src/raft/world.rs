//! The world: machines, a network between them, one clock, one generator, and one step at a time.

use raft::{Body, Message, NodeId, RawNode, Result, Storage};
use runtime::Rng;
use slog::Logger;

use super::check::{
    Checks, Verdict, durable, expect_normal, leader_completeness, leader_longest, lease,
};
use super::counts::Counts;
use super::disk::Disk;
use super::machine::{MACHINES_MAX, Machine, Phase, Seen, slot};
use super::nemesis::Nemesis;
use super::network::{Fate, Network};
use super::params::{Action, Params, Reads};
use super::state::{Members, State};
use super::trace::Trace;
use super::{FIRST_INDEX, FIRST_TERM};

/// Everything there is. See the [module](self).
pub(crate) struct World {
    pub(crate) params: Params,
    pub(crate) rng: Rng,
    /// Time, in thousandths of a tick of a perfect clock.
    pub(crate) now: u64,
    pub(crate) network: Network,
    pub(crate) machines: Vec<Machine>,
    pub(crate) nemesis: Nemesis,
    pub(crate) checks: Checks,
    pub(crate) trace: Trace,
    pub(crate) counts: Counts,
    /// Names for commands and reads.
    pub(crate) next_name: u64,
    pub(crate) logger: Logger,
}

impl World {
    /// The world of this seed, before its first step.
    pub(crate) fn new(seed: u64, steps: u64, lines_max: usize) -> Verdict<Self> {
        let rng = Rng::new(seed);
        let params = Params::draw(&mut rng.fork("params"), steps);
        let mut world = World {
            rng: rng.fork("world"),
            now: 0,
            network: Network::new(),
            machines: (1..=MACHINES_MAX as NodeId).map(Machine::new).collect(),
            nemesis: Nemesis::default(),
            checks: Checks::default(),
            trace: Trace::new(lines_max),
            counts: Counts { seeds: 1, ..Counts::default() },
            next_name: 1,
            logger: Logger::root(slog::Discard, slog::o!()),
            params,
        };
        world.trace.event(seed, || format!("seed {seed}: {:?}", world.params));
        let first = State {
            index: FIRST_INDEX,
            members: Members::of(1..=world.params.nodes),
            ..State::default()
        };
        let position = raft::Position { term: FIRST_TERM, index: FIRST_INDEX };
        world.checks.committed.start(position);
        world.checks.applied.start(first);
        for machine in 0..first.members.len() {
            world.machines[machine].disk = Disk::first(&first);
            world.machines[machine].saved = first;
            world.start(machine)?;
        }
        Ok(world)
    }

    /// One step of the safety phase.
    pub(crate) fn step(&mut self) -> Verdict {
        self.counts.steps += 1;
        match self.params.draw_action(&mut self.rng) {
            Action::Deliver => self.deliver(),
            Action::PassTime => self.pass_time(),
            Action::Write => self.write_somewhere(),
            Action::Apply => self.apply_somewhere(),
            Action::Propose => self.propose(),
            Action::ReadIndex => self.read_index(),
            Action::ReadUnderLease => self.read_under_lease(),
            Action::Save => self.save(),
            Action::ChangeMembers => self.change_members(),
            Action::Transfer => self.transfer(),
            Action::Crash => self.crash_somebody(),
            Action::Restart => self.restart_somebody(),
            Action::Disturb => {
                self.disturb();
                Ok(())
            }
            Action::Replay => self.replay(),
            Action::Report => self.report(),
        }
    }

    /// The place of some machine that `fits`.
    pub(crate) fn some_machine(&mut self, fits: impl Fn(&Machine) -> bool) -> Option<usize> {
        let first = self.below(MACHINES_MAX);
        let places = (first..MACHINES_MAX).chain(0..first);
        places.into_iter().find(|place| fits(&self.machines[*place]))
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.rng.below(bound as u64)).expect("below a usize")
    }

    pub(crate) fn deliver(&mut self) -> Verdict {
        match self.network.take(&mut self.rng, &self.params) {
            Some(fate) => self.arrive(fate),
            None => self.pass_time(),
        }
    }

    pub(crate) fn arrive(&mut self, fate: Fate) -> Verdict {
        match fate {
            Fate::Arrives(message) => self.receive(message),
            Fate::Lost(message) => {
                self.trace.event(1, || format!("lost: {message}"));
                Ok(())
            }
        }
    }

    fn replay(&mut self) -> Verdict {
        match self.network.take_kept(&mut self.rng) {
            Some(message) => self.receive(message),
            None => Ok(()),
        }
    }

    fn receive(&mut self, message: Message) -> Verdict {
        let place = slot(message.to);
        self.finish_if_busy(place)?;
        let Some(node) = &mut self.machines[place].node else { return Ok(()) };
        self.counts.messages += 1;
        self.trace.event(message.term << 8 | message.from << 4 | message.to, || {
            format!("arrives: {message}")
        });
        if self.counts.steps.is_multiple_of(32) {
            super::drive::check_wire(&message)?;
        }
        let last = expect_normal(node.raft().log().last().map_err(Into::into))?;
        self.checks.asked.arrives(&message, last.unwrap_or_default());
        let result = node.step(message);
        expect_normal(result)?;
        self.after_input(place)
    }

    /// Time passes for everybody; whose tick is due gets it now, or late.
    pub(crate) fn pass_time(&mut self) -> Verdict {
        self.now += 1 + self.rng.below(self.params.pace);
        for place in 0..MACHINES_MAX {
            let machine = &self.machines[place];
            if machine.is_up() && machine.next_tick <= self.now && self.rng.chance(7, 8) {
                self.tick(place)?;
            }
        }
        Ok(())
    }

    /// One tick. Those that were missed are dropped.
    pub(crate) fn tick(&mut self, place: usize) -> Verdict {
        self.finish_if_busy(place)?;
        let now = self.now;
        let machine = &mut self.machines[place];
        machine.next_tick = (now / machine.period + 1) * machine.period;
        self.trace.event(2, || format!("node {} ticks at {now}", place + 1));
        self.call(place, RawNode::tick)?;
        self.take_ready(place)
    }

    /// Calls a node that is up, and looks at what that has changed.
    pub(crate) fn call<T>(
        &mut self,
        place: usize,
        call: impl FnOnce(&mut RawNode<Disk>) -> Result<T>,
    ) -> Verdict<Option<T>> {
        let Some(node) = &mut self.machines[place].node else { return Ok(None) };
        let value = expect_normal(call(node))?;
        self.observe(place)?;
        Ok(value)
    }

    /// A call is over: perhaps it is time for a Ready.
    pub(crate) fn after_input(&mut self, place: usize) -> Verdict {
        self.observe(place)?;
        let machine = &mut self.machines[place];
        machine.inputs += 1;
        if machine.inputs >= machine.batch { self.take_ready(place) } else { Ok(()) }
    }

    /// Compares a node with what was last seen of it, and checks what has changed.
    pub(crate) fn observe(&mut self, place: usize) -> Verdict {
        let machine = &mut self.machines[place];
        let Some(node) = &machine.node else { return Ok(()) };
        node.check_invariants();
        let (raft, before) = (node.raft(), machine.seen);
        let log = raft.log();
        // Where a driver writes before it does anything else, nobody can see a commit index or a term
        // that its own disk has not reached: a group of one that crashes in between has done nothing.
        let disk = node.storage();
        let is_visible = self.params.async_persist || disk.hard_state().term == raft.term();
        let visible = if self.params.async_persist { u64::MAX } else { disk.last_index() };
        let now = Seen {
            commit: log.committed().min(visible),
            term: raft.term(),
            is_leader: raft.is_leader() && is_visible,
            last: expect_normal(log.last().map_err(Into::into))?.unwrap_or_default(),
            round: node.round(),
        };
        if now == before {
            return Ok(());
        }
        machine.seen = now;
        self.trace.event(now.commit << 32 | now.term << 16 | now.last.index, || {
            format!("node {}: {}", machine.id, node.status())
        });
        if now.round != before.round || now.term != before.term {
            if now.term != before.term || now.round < before.round {
                machine.rounds.clear();
            }
            machine.rounds.push_back((now.round, self.now));
            if machine.rounds.len() > 64 {
                machine.rounds.pop_front();
            }
        }
        if before.is_leader && !now.is_leader && self.params.reads == Reads::AtLeaders {
            // What it would answer now may be news to the next leader's lease.
            machine.asked.clear();
            machine.confirmed.clear();
        }
        self.checks.committed.moved(log, now.term, before.commit, now.commit)?;
        if now.is_leader && !(before.is_leader && before.term == now.term) {
            self.counts.elections += 1;
            self.checks.elections.elected(machine.id, now.term)?;
            let committed = self.checks.committed.last_before(now.term);
            leader_completeness::check(machine.id, log, committed)?;
            self.check_leases()?;
        } else if now.is_leader {
            leader_longest::check_growth(before.last, now.last)?;
        }
        if now.last == before.last { Ok(()) } else { self.check_longest(now) }
    }

    fn check_longest(&self, now: Seen) -> Verdict {
        let Some(leader) = self.checks.elections.leader(now.last.term) else { return Ok(()) };
        let leader = self.machines[slot(leader)].node.as_ref().map(RawNode::raft);
        match leader {
            Some(raft) if raft.is_leader() && raft.term() == now.last.term => {
                leader_longest::check(now.last, raft.log().last_index())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// No lease may run while somebody else leads a later term, or has.
    pub(crate) fn check_leases(&self) -> Verdict {
        let last_term = self.checks.elections.last_term();
        for machine in &self.machines {
            if let Some(held) = self.running_lease(machine) {
                lease::check(machine.id, &held, last_term)?;
            }
        }
        Ok(())
    }

    pub(crate) fn running_lease(&self, machine: &Machine) -> Option<lease::Held> {
        let ticks = self.params.election_ticks;
        machine.lease.filter(|held| held.is_running(self.now, machine.period, ticks))
    }

    /// Starts a machine from its disk and what its state machine has saved.
    pub(crate) fn start(&mut self, place: usize) -> Verdict {
        let machine = &mut self.machines[place];
        let mut disk = std::mem::take(&mut machine.disk);
        // A snapshot that was written and not installed is installed now.
        if let Some(state) = disk.snapshot_state().filter(|s| s.index > machine.saved.index) {
            machine.saved = state;
        }
        machine.state = machine.saved;
        disk.start(&machine.state);
        let seed = self.rng.next_u64();
        let mut config = self.params.config(machine.id, seed, machine.starts == 0);
        config.applied = machine.state.index;
        machine.starts += 1;
        // Clocks that leases stand on nearly agree; the others need not.
        let (slowest, fastest) = if self.params.check_quorum { (1050, 950) } else { (3000, 500) };
        machine.period = self.rng.range(fastest..slowest + 1);
        machine.next_tick = self.now + 1 + self.rng.below(machine.period);
        let node = RawNode::new(config, disk, self.logger.clone());
        machine.node = expect_normal(node)?;
        machine.phase = Phase::Up;
        let node = machine.node.as_ref().expect("nothing is wrong with it");
        // Its disk may know of commits that nobody else has seen: a crash came right after the write.
        machine.seen.commit = machine.state.index;
        self.trace.event(3, || format!("node {} starts: {}", place + 1, node.status()));
        self.observe(place)
    }

    /// What a node says to others goes on its way, after a look at it.
    pub(crate) fn send(&mut self, message: Message) -> Verdict {
        durable::check_promise(&message, self.machines[slot(message.from)].disk())?;
        self.checks.asked.leaves(&message)?;
        if matches!(message.body, Body::VoteResponse { granted: true }) {
            self.checks.votes.granted(message.from, message.to, message.term)?;
        } else if matches!(message.body, Body::RequestVote { .. }) {
            self.checks.votes.granted(message.from, message.from, message.term)?;
        } else if matches!(message.body, Body::TimeoutNow) {
            self.counts.transfers += 1;
        }
        self.network.send(message);
        Ok(())
    }
}
