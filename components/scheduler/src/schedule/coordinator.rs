//! When which scheduler runs.
//!
//! Every tick may begin a few plans: the patrol looks at the next regions and repairs them, and each
//! balancer whose pause is over looks for one plan. A balancer that finds nothing pauses longer, up to
//! a limit; one that finds something goes on at once. Everything has a limit of plans under way.
//!
//! Nothing begins before enough regions have reported since the start.

use std::time::Duration;

use bytes::Bytes;
use runtime::clock::Instant;

use super::config::Config;
use super::controller::{Command, Controller};
use super::operator::{Kind, Operator};
use super::{Context, View};
use crate::cluster::Cluster;
use crate::id::Ids;
use runtime::Rng;

/// How many regions are looked at in one round of the patrol: a million take about a quarter of an hour.
const PATROL_REGIONS: usize = 128;

/// How often a balancer tries before it pauses.
const TRIES: usize = 10;

/// By how much the pause of an idle balancer grows, in percent.
const PAUSE_GROWTH_PERCENT: u32 = 130;

/// Who balances what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// The number of leaders.
    Leaders,
    /// The size of all regions.
    Regions,
}

impl Balance {
    /// Its name, as the course has it.
    pub fn name(self) -> &'static str {
        match self {
            Balance::Leaders => "balance-leader-scheduler",
            Balance::Regions => "balance-region-scheduler",
        }
    }
}

/// A balancer, and when it is its turn.
#[derive(Debug)]
pub struct Balancer {
    balance: Balance,
    pause: Duration,
    due: Instant,
}

impl Balancer {
    /// A balancer that begins at once.
    pub fn new(balance: Balance, config: &Config, now: Instant) -> Self {
        Balancer { balance, pause: config.min_interval.get(), due: now }
    }

    /// What it balances.
    pub fn balance(&self) -> Balance {
        self.balance
    }

    /// How long it pauses after its next attempt.
    pub fn pause(&self) -> Duration {
        self.pause
    }

    /// Whether its limit leaves room for one more plan.
    pub fn is_allowed(&self, controller: &Controller, config: &Config) -> bool {
        match self.balance {
            Balance::Leaders => controller.count(Kind::LEADER) < config.leader_schedule_limit,
            Balance::Regions => {
                // What repairs is not its own.
                let repairs = controller.iter().filter(|plan| plan.kind.has(REPAIR)).count() as u64;
                controller.count(Kind::REGION) - repairs < config.region_schedule_limit
            }
        }
    }

    /// Looks for a plan, and sets the pause after it.
    pub fn schedule(&mut self, context: &mut Context<'_>) -> Option<Operator> {
        let found = (0..TRIES).find_map(|_| match self.balance {
            Balance::Leaders => context.balance_leader(),
            Balance::Regions => context.balance_region(),
        });
        self.pause = match found {
            Some(_) => context.config.min_interval.get(),
            None => {
                (self.pause * PAUSE_GROWTH_PERCENT / 100).min(context.config.max_interval.get())
            }
        };
        found
    }
}

const REPAIR: Kind = Kind::REPLICA.with(Kind::REGION);

/// Runs the patrol and the balancers, each in its time.
#[derive(Debug)]
pub struct Coordinator {
    balancers: Vec<Balancer>,
    patrol_due: Instant,
    patrol_from: Bytes,
}

/// What the coordinator works on.
#[derive(Debug)]
pub struct Floor<'a> {
    /// What is known.
    pub cluster: &'a Cluster,
    /// The plans under way.
    pub controller: &'a mut Controller,
    /// Where new peers get their ids.
    pub ids: &'a mut Ids,
    /// Chance.
    pub rng: &'a mut Rng,
    /// The limits.
    pub config: &'a Config,
}

impl Coordinator {
    /// Patrol and both balancers, from `now` on.
    pub fn new(config: &Config, now: Instant) -> Self {
        let all = [Balance::Regions, Balance::Leaders];
        let balancers = all.map(|balance| Balancer::new(balance, config, now));
        let patrol_from = Bytes::new();
        Coordinator { balancers: balancers.into(), patrol_due: now, patrol_from }
    }

    /// The names of the balancers that run.
    pub fn balancers(&self) -> Vec<&'static str> {
        self.balancers.iter().map(|balancer| balancer.balance.name()).collect()
    }

    /// Stops a balancer, and says whether it ran.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.balancers.len();
        self.balancers.retain(|balancer| balancer.balance.name() != name);
        self.balancers.len() < before
    }

    /// Time has passed: begins what is due, and answers what to tell leaders.
    pub fn tick(&mut self, mut floor: Floor<'_>, now: Instant) -> Vec<Command> {
        let view = View { cluster: floor.cluster, now };
        let mut commands = floor.controller.repeat(view);
        if now >= self.patrol_due {
            self.patrol_due = now + floor.config.patrol_region_interval.get();
            self.patrol(&mut floor, now, &mut commands);
        }
        for balancer in &mut self.balancers {
            if now < balancer.due {
                continue;
            }
            if balancer.is_allowed(floor.controller, floor.config) {
                let plan = balancer.schedule(&mut floor.context(now));
                floor.begin(plan, now, &mut commands);
            }
            balancer.due = now + balancer.pause;
        }
        commands
    }

    fn patrol(&mut self, floor: &mut Floor<'_>, now: Instant, commands: &mut Vec<Command>) {
        let regions = floor.cluster.regions.scan(&self.patrol_from, b"");
        let regions: Vec<_> = regions.take(PATROL_REGIONS).cloned().collect();
        self.patrol_from = Bytes::new();
        for region in regions {
            if floor.controller.count(Kind::REPLICA) >= floor.config.replica_schedule_limit {
                // Too much is under repair; go on here.
                self.patrol_from = region.meta.start_key.clone();
                return;
            }
            self.patrol_from = region.meta.end_key.clone();
            if floor.controller.get(region.id()).is_none() {
                let plan = floor.context(now).repair(&region);
                floor.begin(plan, now, commands);
            }
        }
    }
}

impl Floor<'_> {
    /// What plans are made from.
    pub fn context(&mut self, now: Instant) -> Context<'_> {
        let view = View { cluster: self.cluster, now };
        Context { view, config: self.config, ids: self.ids, rng: self.rng }
    }

    fn begin(&mut self, plan: Option<Operator>, now: Instant, commands: &mut Vec<Command>) {
        let Some(plan) = plan else { return };
        let view = View { cluster: self.cluster, now };
        // Somebody else was faster; the next round sees what is left to do.
        if let Ok(command) = self.controller.add(view, plan) {
            commands.extend(command);
        }
    }
}
