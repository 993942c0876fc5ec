//! One run: a world, its clients, everything that goes wrong, and everything that is checked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proto::RegionId;
use raftstore::View;
use runtime::Rng;

use super::check::{Checks, STORES, cover, leaders, records};
use super::governor::Governor;
use super::params::Params;
use super::settings::draw;
use super::workload::{APPENDS, Workload};
use super::world::{Happened, World};
use super::{Counts, Verdict};

/// The alarms of a run. Those for appends are beyond all others.
const CLIENTS: u64 = 1;
const FAULTS: u64 = 2;
const OPERATORS: u64 = 3;
const LOOKS: u64 = 4;
/// A file of a received snapshot changes: this, and how often it is tried.
pub(super) const SPOILS: u64 = 100;
const GOVERNS: u64 = 5;
/// A store is started again: this and its number.
pub(super) const RESTARTS: u64 = 1000;

/// See the [module](self).
pub(crate) struct Simulation {
    pub(crate) world: World,
    pub(crate) params: Params,
    pub(super) rng: Rng,
    pub(super) workload: Workload,
    pub(super) checks: Checks,
    /// The world is healed: nothing goes wrong any more.
    pub(super) is_healed: bool,
    /// No client begins anything any more.
    pub(crate) is_quiet: bool,
    /// Regions of which a replica may be lost, because a snapshot that it has taken is damaged.
    pub(super) lamed: BTreeSet<u64>,
    /// The real scheduler, if it decides.
    pub(super) governor: Option<Governor>,
    /// How often the peers of each region had changed when it was last looked at.
    conf_vers: BTreeMap<u64, u64>,
}

impl Simulation {
    /// The world of a seed, with all its stores.
    pub(crate) fn new(seed: u64, lines: usize) -> Verdict<Self> {
        let rng = Rng::new(seed);
        let params = Params::draw(&mut rng.fork("params"));
        Simulation::with((seed, rng, lines), params, None)
    }

    /// The same, under the real scheduler.
    pub(crate) fn governed(seed: u64, lines: usize) -> Verdict<Self> {
        let rng = Rng::new(seed);
        let mut params = Params::draw(&mut rng.fork("params"));
        let governor = Governor::new(&mut params, rng.fork("governor"));
        Simulation::with((seed, rng, lines), params, Some(governor))
    }

    fn with(
        (seed, rng, lines): (u64, Rng, usize),
        params: Params,
        governor: Option<Governor>,
    ) -> Verdict<Self> {
        let mut world = World::new(seed, params.settings.clone(), lines);
        world.trace.event(seed, || format!("seed {seed}: {params:?}"));
        world.counts = Counts { seeds: 1, ..Counts::default() };
        let failed = |error: raftstore::Error| STORES.violated(error.to_string());
        world.found(params.stores, params.members).map_err(failed)?;
        let mut simulation = Simulation {
            workload: Workload::new(params.rates.clone(), rng.fork("clients")),
            rng: rng.fork("nemesis"),
            world,
            params,
            checks: Checks::default(),
            is_healed: false,
            is_quiet: false,
            lamed: BTreeSet::new(),
            governor,
            conf_vers: BTreeMap::new(),
        };
        if simulation.governor.is_some() {
            simulation.world.scheduler().keep_reports();
            simulation.world.alarm(Duration::from_millis(1), GOVERNS);
        }
        for store in simulation.stores() {
            simulation.start(store)?;
        }
        for alarm in [CLIENTS, FAULTS, OPERATORS, LOOKS] {
            simulation.world.alarm(Duration::from_millis(1), alarm);
        }
        Ok(simulation)
    }

    pub(super) fn start(&mut self, store: u64) -> Verdict {
        if !self.living_stores().contains(&store) {
            return Ok(());
        }
        self.world
            .start(store)
            .map_err(|error| STORES.violated(format!("store {store} does not start: {error}")))?;
        self.look_at_disk(store)
    }

    /// The first phase: anything may happen, and everything must hold.
    pub(crate) fn disturbed(&mut self) -> Verdict {
        while self.world.now() < self.params.length {
            self.step()?;
        }
        Ok(())
    }

    /// One event, and all checks that it calls for.
    pub(crate) fn step(&mut self) -> Verdict {
        let happened = self.world.step()?;
        self.listen()?;
        self.workload.collect(&mut self.world, &mut self.checks)?;
        match happened {
            Happened::Peers(store) => self.look_at_peers(store),
            Happened::Data(store) => self.look_at_disk(store),
            Happened::Crashed(store) => {
                self.is_down(store);
                self.workload.collect(&mut self.world, &mut self.checks)
            }
            Happened::Alarm(number) => self.alarm(number),
            Happened::Nothing => Ok(()),
        }
    }

    fn alarm(&mut self, number: u64) -> Verdict {
        match number {
            CLIENTS if !self.is_quiet => {
                self.workload.begin(&mut self.world, &mut self.checks)?;
                let pause = self.workload.pause();
                self.world.alarm(pause, CLIENTS);
            }
            FAULTS if !self.is_healed => {
                self.disturb()?;
                let pause = draw(&mut self.rng, &(Duration::ZERO..self.params.fault_pace));
                self.world.alarm(pause, FAULTS);
            }
            OPERATORS if !self.is_healed => {
                if self.governor.is_some() {
                    self.try_the_scheduler()?;
                } else {
                    self.operate();
                }
                let pause = draw(&mut self.rng, &(Duration::ZERO..self.params.operator_pace));
                self.world.alarm(pause, OPERATORS);
            }
            GOVERNS => {
                self.govern()?;
                self.world.alarm(self.params.settings.config.tick.get(), GOVERNS);
            }
            LOOKS => {
                self.look_at_all()?;
                self.world.alarm(self.params.settings.config.tick.get() * 10, LOOKS);
            }
            APPENDS.. => {
                self.workload.write_back(&mut self.world, &mut self.checks, number - APPENDS);
            }
            SPOILS..RESTARTS => return self.spoil_a_file(number - SPOILS),
            RESTARTS.. => return self.start(number - RESTARTS),
            _ => {}
        }
        self.workload.collect(&mut self.world, &mut self.checks)
    }

    fn look_at_peers(&mut self, store: u64) -> Verdict {
        let Some(peers) = self.world.peers(store) else { return Ok(()) };
        peers.check_invariants();
        let elected = self.checks.leaders.look(peers)?;
        self.world.counts.elections += elected;
        self.check_leases(store)
    }

    /// The leases of a store against those of all others, each by its own clock.
    fn check_leases(&mut self, store: u64) -> Verdict {
        let own = self.leases(store);
        if own.is_empty() {
            return Ok(());
        }
        for other in self.stores() {
            if other != store {
                let others = self.leases(other);
                leaders::check_leases((store, &own), (other, &others))?;
            }
        }
        Ok(())
    }

    fn leases(&mut self, store: u64) -> Vec<View> {
        let now = self.world.clock_of(store);
        let mut views = self.world.router(store).map(raftstore::Router::views).unwrap_or_default();
        views.retain(|view| view.lease_until.is_some_and(|until| now < until));
        views
    }

    /// The records of a store, and the data of one of its regions.
    fn look_at_disk(&mut self, store: u64) -> Verdict {
        if self.world.has_failed_disk(store) {
            return Ok(());
        }
        let kv = self.world.engines(store).kv;
        let (buried, installed) = self.checks.records.look(store, &*kv)?;
        self.world.counts.buried += buried;
        self.world.counts.arrived += installed;
        let regions = records::living(&*kv).map_err(|error| STORES.violated(error.to_string()))?;
        if let Some(region) = self.rng.pick(&regions) {
            self.checks.replicas.look(store, &*kv, region)?;
        }
        Ok(())
    }

    /// What concerns all stores together.
    fn look_at_all(&mut self) -> Verdict {
        let newest = self.newest()?;
        if !self.stores().into_iter().any(|store| self.world.has_failed_disk(store)) {
            cover::check(&newest)?;
        }
        self.world.counts.splits = (newest.len() as u64).saturating_sub(1);
        let violations = self.world.scheduler().violations();
        STORES.require(violations.is_empty(), || violations.join("; "))?;
        for region in newest.values() {
            let now = region.epoch().conf_ver;
            let before = self.conf_vers.insert(region.id, now).unwrap_or(now);
            self.world.counts.changes += now.saturating_sub(before);
        }
        Ok(())
    }

    /// The newest records of all regions on all disks.
    pub(crate) fn newest(&self) -> Verdict<BTreeMap<u64, proto::metapb::Region>> {
        let mut all = Vec::new();
        for store in self.stores() {
            if self.world.has_failed_disk(store) {
                continue;
            }
            let kv = self.world.engines(store).kv;
            let living = records::living(&*kv).map_err(|error| STORES.violated(error.to_string()));
            all.extend(living?);
        }
        Ok(cover::newest(all))
    }

    /// A region of a store as the thread that owns its peers knows it.
    pub(super) fn view(&self, store: u64, region: RegionId) -> Option<View> {
        self.world.router(store)?.view(region)
    }
}
