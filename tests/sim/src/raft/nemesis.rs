//! The nemesis: how the network gets worse, and better again.

use std::collections::VecDeque;

use super::machine::MACHINES_MAX;
use super::world::World;

/// One thing that happens to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disturbance {
    /// Everything is mended.
    Heal,
    /// Two groups of any sizes hear nothing of each other; or only one of them nothing of the other.
    Split { is_one_way: bool },
    /// One machine is cut off; or it cannot be heard; or it hears nothing.
    Isolate { cuts_out: bool, cuts_in: bool },
    /// A leader and one other machine hear nothing of each other, and everything of the rest.
    Estrange,
    /// Single links are cut, one way each: two that cannot hear each other may both hear a third one.
    Bridge,
    /// The links of this machine stop, and what is on them waits.
    Clog { machine: usize },
    /// And go on.
    Unclog { machine: usize },
}

/// What is planned.
#[derive(Default)]
pub(crate) struct Nemesis {
    plan: VecDeque<Disturbance>,
}

impl World {
    /// Carries out the next disturbance that is planned; plans the next ones if there is none.
    pub(crate) fn disturb(&mut self) {
        self.give_up_reads();
        if self.nemesis.plan.is_empty() {
            self.plan();
        }
        let Some(next) = self.nemesis.plan.pop_front() else { return };
        self.counts.disturbances += 1;
        self.trace.event(10, || format!("the network: {next:?}"));
        match next {
            Disturbance::Heal => self.network.heal(),
            Disturbance::Split { is_one_way } => self.split(is_one_way),
            Disturbance::Isolate { cuts_out, cuts_in } => self.isolate(cuts_out, cuts_in),
            Disturbance::Estrange => self.estrange(),
            Disturbance::Bridge => self.cut_links(),
            Disturbance::Clog { machine } => self.network.set_clogged(machine, true),
            Disturbance::Unclog { machine } => self.network.set_clogged(machine, false),
        }
    }

    fn plan(&mut self) {
        let plan = match self.rng.below(8) {
            0 => vec![Disturbance::Split { is_one_way: false }, Disturbance::Heal],
            1 => vec![Disturbance::Split { is_one_way: true }, Disturbance::Heal],
            2 => vec![Disturbance::Isolate { cuts_out: true, cuts_in: true }, Disturbance::Heal],
            3 => {
                let cuts_out = self.rng.chance(1, 2);
                let cut = Disturbance::Isolate { cuts_out, cuts_in: !cuts_out };
                vec![cut, Disturbance::Heal]
            }
            4 => vec![Disturbance::Bridge, Disturbance::Heal],
            // The one who misses the leader campaigns, and those who hear both must decide.
            5 | 6 => vec![Disturbance::Estrange, Disturbance::Heal],
            // One machine after the other stops, and then they go on in another order: what was said
            // in between arrives late, and in waves.
            _ => {
                let count = 1 + self.below(MACHINES_MAX);
                let mut machines: Vec<usize> = (0..MACHINES_MAX).collect();
                self.rng.shuffle(&mut machines);
                machines.truncate(count);
                let clog = machines.clone();
                self.rng.shuffle(&mut machines);
                let clog = clog.into_iter().map(|machine| Disturbance::Clog { machine });
                let unclog = machines.into_iter().map(|machine| Disturbance::Unclog { machine });
                clog.chain(unclog).collect()
            }
        };
        self.nemesis.plan.extend(plan);
    }

    fn split(&mut self, is_one_way: bool) {
        let sides: Vec<bool> = (0..MACHINES_MAX).map(|_| self.rng.chance(1, 2)).collect();
        for from in 0..MACHINES_MAX {
            for to in 0..MACHINES_MAX {
                let crosses = sides[from] != sides[to];
                self.network.set_cut(from, to, crosses && !(is_one_way && sides[from]));
            }
        }
    }

    fn estrange(&mut self) {
        let Some(leader) = self.some_machine(super::machine::Machine::leads) else { return };
        let other = self.some_machine(|machine| machine.is_up() && !machine.leads());
        if let Some(other) = other {
            self.network.set_cut(leader, other, true);
            self.network.set_cut(other, leader, true);
        }
    }

    fn cut_links(&mut self) {
        let share = 1 + self.rng.below(4);
        for from in 0..MACHINES_MAX {
            for to in 0..MACHINES_MAX {
                let is_cut = self.rng.chance(share, 8);
                self.network.set_cut(from, to, is_cut);
            }
        }
    }

    fn isolate(&mut self, cuts_out: bool, cuts_in: bool) {
        // Mostly the one that it hurts.
        let wants_leader = self.rng.chance(3, 4);
        let leader = self.some_machine(|machine| wants_leader && machine.leads());
        let Some(victim) = leader.or_else(|| self.some_machine(super::machine::Machine::is_up))
        else {
            return;
        };
        for other in (0..MACHINES_MAX).filter(|other| *other != victim) {
            self.network.set_cut(victim, other, cuts_out);
            self.network.set_cut(other, victim, cuts_in);
        }
    }
}
