//! The second phase: the world is healed, and the group must work again.

use raft::{Position, RawNode};

use super::check::Verdict;
use super::check::liveness::PROPERTY;
use super::machine::{Machine, Phase, slot};
use super::world::World;

/// Election timeouts that may pass until there is a leader, and again until all logs are equal.
const TIMEOUTS_MAX: u32 = 20;

/// The same for a group in which somebody has not heard yet who belongs to it. Such a member asks
/// former members for their votes, and not the newest ones; it may stay ahead of them, term by term,
/// until chance lets one of them overtake it.
const STALE_TIMEOUTS_MAX: u32 = 2000;

/// Proposals that must be committed.
const PROPOSALS: usize = 10;

/// Messages that a healed group may need to get quiet after one tick.
const MESSAGES_MAX: usize = 100_000;

impl World {
    /// Heals everything and waits, with limits, for a leader, for new commands, and for equal logs.
    pub(crate) fn recover(&mut self) -> Verdict {
        self.network.heal();
        self.params.loss_percent = 0;
        self.params.duplicate_percent = 0;
        self.params.reorder_window = 1;
        for place in 0..self.machines.len() {
            if self.machines[place].phase == Phase::Down {
                self.start(place)?;
            }
        }
        self.trace.event(11, || "healed".into());
        self.wait_until("a leader that all members follow", |world| {
            world.common_leader().is_some()
        })?;
        let mut wanted = Vec::new();
        self.wait_until("new commands on all members, and equal logs", |world| {
            if wanted.is_empty() || !world.may_still_come(&wanted) {
                wanted.clear();
            }
            wanted.len() == PROPOSALS && world.have_applied(&wanted) && world.logs_are_equal()
                || world.propose_some(&mut wanted)
        })
    }

    /// Lets time pass, at most so many election timeouts, until `is_done`.
    fn wait_until(&mut self, what: &str, mut is_done: impl FnMut(&mut Self) -> bool) -> Verdict {
        let timeouts = if self.is_stale() { STALE_TIMEOUTS_MAX } else { TIMEOUTS_MAX };
        // A timeout is drawn from between so many ticks and twice as many.
        let limit = timeouts * 2 * self.params.election_ticks;
        for _ in 0..limit {
            self.get_quiet()?;
            if is_done(self) {
                return Ok(());
            }
            for place in 0..self.machines.len() {
                if self.machines[place].is_up() {
                    self.save_at(place)?;
                }
            }
            self.retire();
            self.now += 2000;
            for place in 0..self.machines.len() {
                if self.machines[place].is_up() {
                    self.tick(place)?;
                }
            }
        }
        let up = self.machines.iter().filter_map(|machine| machine.node.as_ref());
        let tell = |node: &RawNode<_>| format!("{} in {:?}", node.status(), node.raft().members());
        let status: Vec<String> = up.map(tell).collect();
        Err(PROPERTY.violated(format!("no {what} in {limit} ticks:\n  {}", status.join("\n  "))))
    }

    /// Everything arrives, is written and is applied, until nothing is left to do.
    fn get_quiet(&mut self) -> Verdict {
        for _ in 0..MESSAGES_MAX {
            for place in 0..self.machines.len() {
                self.take_ready(place)?;
                while !self.machines[place].writing.is_empty() {
                    self.finish_writes(place, usize::MAX)?;
                }
                while !self.machines[place].applying.is_empty() {
                    self.apply(place, u64::MAX)?;
                }
                self.take_ready(place)?;
            }
            let is_quiet = |machine: &Machine| {
                machine.writing.is_empty()
                    && machine.applying.is_empty()
                    && !machine.node.as_ref().is_some_and(RawNode::has_ready)
            };
            match self.network.take(&mut self.rng, &self.params) {
                Some(fate) => self.arrive(fate)?,
                None if self.machines.iter().all(is_quiet) => return Ok(()),
                None => {}
            }
        }
        Err(PROPERTY.violated(format!("{MESSAGES_MAX} messages without a tick between them")))
    }

    /// The machine that all members take for their leader.
    fn common_leader(&self) -> Option<usize> {
        let place =
            self.members().find(|machine| machine.leads()).map(|machine| slot(machine.id))?;
        let term = self.machines[place].seen.term;
        let agrees = |machine: &Machine| {
            machine.node.as_ref().is_some_and(|node| {
                let leader = node.raft().leader();
                node.raft().term() == term && leader == Some(self.machines[place].id)
            })
        };
        self.members().all(agrees).then_some(place)
    }

    /// Whether some member does not know all members.
    fn is_stale(&self) -> bool {
        let members = self.checks.applied.newest().members;
        self.members().any(|machine| machine.state.members != members)
    }

    fn members(&self) -> impl Iterator<Item = &Machine> {
        let members = self.checks.applied.newest().members;
        self.machines.iter().filter(move |machine| members.contains(machine.id))
    }

    /// Proposes where somebody leads. Never done by itself.
    fn propose_some(&mut self, wanted: &mut Vec<Position>) -> bool {
        let Some(place) = self.common_leader() else { return false };
        while wanted.len() < PROPOSALS {
            let (name, node) = (self.name(), self.machines[place].node.as_mut());
            let position = node.and_then(|node| node.propose(name.to_be_bytes().to_vec()).ok());
            match position {
                Some(position) => wanted.push(position),
                None => break,
            }
        }
        false
    }

    /// Whether what was proposed may still be committed where it stands.
    fn may_still_come(&self, wanted: &[Position]) -> bool {
        wanted.iter().all(|position| {
            self.checks.committed.at(position.index).is_none_or(|found| found == *position)
                && self.checks.elections.last_term() == position.term
        })
    }

    fn have_applied(&self, wanted: &[Position]) -> bool {
        let last = wanted.iter().map(|position| position.index).max().unwrap_or_default();
        self.members().all(|machine| machine.state.index >= last)
    }

    fn logs_are_equal(&self) -> bool {
        let newest = self.checks.applied.newest();
        self.members().all(|machine| {
            machine.state == newest
                && machine.seen.commit == newest.index
                && machine.seen.last.index == newest.index
        })
    }
}
