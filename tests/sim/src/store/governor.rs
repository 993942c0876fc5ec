//! The real scheduler over the simulated stores: [`scheduler::core::Core`], as the process drives it.
//!
//! ```text
//!   stores ── reports ──► Scripted, which remembers them ──► Core ── commands ──► stores
//!                                                             ▲
//!                     time: a store's report is ten seconds ──┘
//! ```
//!
//! The core knows its numbers in seconds and minutes: stores report every ten seconds and are out of sight
//! after twenty. The stores here report once in twenty ticks. So the core is told a time in which that is
//! ten seconds, and everything fits.
//!
//! In place of operators at random there are events that a scheduler has to answer: a store goes for
//! good, one is asked to leave, the scheduler itself forgets everything. No more of them than leave three
//! stores, and none that takes a majority with it. When the world is healed, every region must get its
//! replicas, on stores that stay, and stores must lead about as many regions as each other. On the way,
//! no removal may cost a region its majority.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

use proto::eraftpb::ConfChangeType;
use proto::metapb::{self, Peer, Region, StoreState};
use proto::schedulerpb::{RegionHeartbeatRequest, RegionHeartbeatResponse, StoreStats};
use proto::{RegionId, StoreId};
use raftstore::{Admin, Header, RegionHeartbeat, state};
use runtime::Rng;
use runtime::clock::Instant;
use runtime::units::Period;
use scheduler::cluster::region::RegionInfo;
use scheduler::cluster::stores::DISCONNECTED_AFTER;
use scheduler::core::Core;
use scheduler::schedule::config::Config;
use scheduler::schedule::controller::Command;

use super::check::majority::Majority;
use super::check::{STORES, Verdict};
use super::nemesis::Fault;
use super::params::Params;
use super::settings::whole_micros;
use super::simulation::Simulation;

/// How many replicas a region shall have.
const REPLICAS: usize = 3;

/// What stores report every ten seconds, by the scheduler's time.
const STORE_REPORT: Duration = Duration::from_secs(10);

/// After so much silence a store counts as lost: two minutes are a long time for a store here.
const DOWN_MAX: Duration = Duration::from_mins(2);

/// Stores that lead as many regions, give or take so many, are balanced.
const LEADERS_APART: u64 = 10;

/// The ids that the scheduler gives; those of splits are given by [`Scripted`](super::scheduler::Scripted).
const IDS: (u64, u64) = (1_000_000, 2_000_000);

/// What was said to the scheduler and not heard by it yet.
#[derive(Debug)]
pub(crate) enum Report {
    Region(Box<RegionHeartbeat>),
    Store(u64),
}

/// What a scheduler did, so that a run in which it did nothing is not taken for a proof.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deeds {
    /// Peers that it had added, transfers of leadership, and peers that it had removed.
    pub orders: [u64; 3],
    /// Stores that went for good, stores that were asked to leave, and how often it forgot everything.
    pub trials: [u64; 3],
}

impl Deeds {
    const NAMES: [&str; 6] = [
        "peers added",
        "leaderships moved",
        "peers removed",
        "stores lost",
        "stores asked to leave",
        "schedulers started again",
    ];

    fn all(&self) -> impl Iterator<Item = (u64, &'static str)> {
        self.orders.into_iter().chain(self.trials).zip(Deeds::NAMES)
    }

    /// What hardly happened.
    pub fn missing(&self) -> Vec<&'static str> {
        self.all().filter(|(count, _)| *count < 3).map(|(_, name)| name).collect()
    }
}

impl AddAssign for Deeds {
    fn add_assign(&mut self, other: Self) {
        for place in 0..3 {
            self.orders[place] += other.orders[place];
            self.trials[place] += other.trials[place];
        }
    }
}

impl fmt::Display for Deeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told: Vec<String> = self.all().map(|(count, name)| format!("{count} {name}")).collect();
        f.write_str(&told.join(", "))
    }
}

/// See the [module](self).
pub(crate) struct Governor {
    core: Core,
    rng: Rng,
    /// Microseconds of the world that are ten seconds of the scheduler.
    report: u64,
    /// How many regions there shall be, about.
    regions: usize,
    majority: Majority,
    /// Stores that are gone for good.
    pub(super) lost: BTreeSet<u64>,
    /// Stores that were asked to leave.
    leaving: BTreeSet<u64>,
    pub(super) deeds: Deeds,
}

impl Governor {
    /// The scheduler of a world; changes what the world is like so that there is something to schedule.
    pub(super) fn new(params: &mut Params, mut rng: Rng) -> Self {
        let pick =
            |rng: &mut Rng, values: &[u64]| *rng.pick(values).expect("the list is not empty");
        params.stores = pick(&mut rng, &[3, 4, 5, 5, 6]);
        params.members = pick(&mut rng, &[1, 3, 3, 5]).min(params.stores);
        params.rates.keys = 80;
        // A replica that is damaged at rest and a store that is lost may together take a majority.
        params.faults[Fault::Spoil as usize] = 0;
        let regions = usize::try_from(pick(&mut rng, &[1, 6, 20, 40])).expect("a small number");
        let period = params.settings.config.store_heartbeat_period.get();
        let mut governor = Governor {
            core: Core::new(config(), rng.fork("core"), Instant::default()),
            rng: rng.fork("trials"),
            report: whole_micros(period),
            regions,
            majority: Majority::default(),
            lost: BTreeSet::new(),
            leaving: BTreeSet::new(),
            deeds: Deeds::default(),
        };
        governor.found(params.stores, Instant::default());
        governor
    }

    /// What the records of a scheduler say when its term begins.
    fn found(&mut self, stores: u64, now: Instant) {
        let max_peer_count = u32::try_from(REPLICAS).expect("a small number");
        self.core.cluster.meta = Some(metapb::Cluster { id: 1, max_peer_count });
        for id in 1..=stores {
            let address = format!("store-{id}");
            self.core.cluster.stores.put(metapb::Store { id, address, ..Default::default() }, now);
        }
        let (first, end) = IDS;
        self.core.ids = scheduler::id::Ids::after(first + self.deeds.trials[2] * 10_000);
        self.core.ids.extended(end);
    }

    /// The world's time as the scheduler tells it.
    fn clock(&self, now: Duration) -> Instant {
        let micros = whole_micros(now) * whole_micros(STORE_REPORT) / self.report;
        Instant::default() + Duration::from_micros(micros)
    }

    /// So much of the scheduler's time in the world's.
    fn world_time(&self, time: Duration) -> Duration {
        Duration::from_micros(whole_micros(time) * self.report / whole_micros(STORE_REPORT))
    }

    fn hear(&mut self, report: Report, now: Instant) -> Option<Command> {
        match report {
            Report::Store(store_id) => {
                let stats = StoreStats { store_id, ..StoreStats::default() };
                // One that is gone goes on reporting until somebody switches it off.
                drop(self.core.report_store(stats, now));
                None
            }
            Report::Region(heartbeat) => {
                let RegionHeartbeat { region, leader, pending_peers, .. } = *heartbeat;
                let (mut down_peers, approximate_size) =
                    (heartbeat.down_peers, heartbeat.approximate_size);
                for peer in &mut down_peers {
                    let silence = self.clock(Duration::from_secs(peer.down_seconds));
                    peer.down_seconds = silence.since(Instant::default()).as_secs();
                }
                let request = RegionHeartbeatRequest {
                    region: Some(region),
                    leader: Some(leader),
                    down_peers,
                    pending_peers,
                    approximate_size,
                    ..RegionHeartbeatRequest::default()
                };
                // A report that came too late is refused.
                let told = self.core.report(RegionInfo::from_heartbeat(request), now);
                told.ok().and_then(|(_, command)| command)
            }
        }
    }

    /// The stores that shall hold everything in the end.
    fn staying(&self, stores: u64) -> BTreeSet<u64> {
        (1..=stores).filter(|id| !self.lost.contains(id) && !self.leaving.contains(id)).collect()
    }
}

fn config() -> Config {
    let seconds = DOWN_MAX.as_secs();
    Config { max_store_down_time: Period::secs(seconds), ..Config::default() }
}

/// A wish in the words of a store.
fn admin(wish: &RegionHeartbeatResponse) -> Option<(Header, Admin)> {
    let admin = if let Some(change) = &wish.change_peer {
        Admin::ChangePeer { change: change.change_type(), peer: change.peer? }
    } else {
        Admin::TransferLeader { to: wish.transfer_leader.as_ref()?.peer? }
    };
    let (region, epoch) = (RegionId::new(wish.region_id), wish.region_epoch.unwrap_or_default());
    Some((Header { region, peer: wish.target_peer, epoch, term: 0 }, admin))
}

/// What is wrong with where the peers of a region are.
fn misplaced(region: &Region, staying: &BTreeSet<u64>) -> Option<String> {
    let is_whole = region.peers.len() == REPLICAS.min(staying.len())
        && region.peers.iter().all(|peer| staying.contains(&peer.store_id));
    (!is_whole).then(|| format!("{region:?} is not on three of {staying:?}"))
}

impl Simulation {
    /// The scheduler hears what was reported since it was last asked, and answers.
    pub(super) fn listen(&mut self) -> Verdict {
        let Some(mut governor) = self.governor.take() else { return Ok(()) };
        let now = governor.clock(self.world.now());
        let reports = self.world.scheduler().take_reports();
        let commands: Vec<Command> =
            reports.into_iter().filter_map(|report| governor.hear(report, now)).collect();
        let outcome = commands.iter().try_for_each(|command| self.send(&mut governor, command));
        self.governor = Some(governor);
        outcome
    }

    /// The scheduler's clock strikes.
    pub(super) fn govern(&mut self) -> Verdict {
        let Some(mut governor) = self.governor.take() else { return Ok(()) };
        for store in self.stores() {
            if self.world.is_up(store) {
                governor.majority.see(store, self.world.now());
            }
        }
        let now = governor.clock(self.world.now());
        let commands = governor.core.tick(now);
        for id in governor.core.cluster.emptied_stores() {
            if let Ok(gone) = governor.core.cluster.stores.buried(id, false) {
                governor.core.cluster.stores.put(gone, now);
            }
        }
        let outcome = commands.iter().try_for_each(|command| self.send(&mut governor, command));
        self.governor = Some(governor);
        outcome
    }

    /// A command leaves the scheduler, and is checked. It may be lost while anything may go wrong.
    fn send(&mut self, governor: &mut Governor, command: &Command) -> Verdict {
        let Some((header, admin)) = admin(&command.message) else { return Ok(()) };
        let kind = match &admin {
            Admin::ChangePeer { change: ConfChangeType::AddNode, .. } => 0,
            Admin::ChangePeer { change: ConfChangeType::RemoveNode, peer } => {
                self.check_removal(governor, header.region.get(), peer)?;
                2
            }
            Admin::TransferLeader { .. } => 1,
            Admin::Split { .. } | Admin::CompactLog { .. } => {
                return Err(STORES.violated(format!("the scheduler asks for {admin:?}")));
            }
        };
        governor.deeds.orders[kind] += 1;
        if self.is_healed || !governor.rng.chance(1, 10) {
            self.world.order(command.store, header, admin);
        }
        Ok(())
    }

    fn check_removal(&self, governor: &Governor, region: u64, gone: &Peer) -> Verdict {
        let Some(region) = governor.core.cluster.regions.get(region) else { return Ok(()) };
        // Out of sight, and as long again for what is on its way and for slow clocks.
        let patience = governor.world_time(2 * DISCONNECTED_AFTER);
        let has_data = |peer: &Peer| self.has_data(region.id(), peer);
        governor.majority.check((&region.meta, gone), (self.world.now(), patience), has_data)
    }

    /// Whether this very peer has taken in what its region had when it came, or goes on to do so after any
    /// crash. A snapshot from before it was a member does not name it yet; the entries that do are on their
    /// way as to any follower.
    fn has_data(&self, region: u64, peer: &Peer) -> Verdict<bool> {
        if self.world.has_failed_disk(peer.store_id) {
            return Ok(true);
        }
        let kv = self.world.engines(peer.store_id).kv;
        let states = state::region_states(&*kv).map_err(|e| STORES.violated(e.to_string()))?;
        let state = states.iter().find(|(id, _)| id.get() == region);
        let known = state.and_then(|(_, state)| state.region.as_ref());
        let own = |region: &Region| region.peer_on_store(StoreId::new(peer.store_id)).copied();
        let is_its = |region: &Region| own(region).is_none_or(|own| own.id == peer.id);
        let has_data = known.is_some_and(|region| !region.peers.is_empty() && is_its(region));
        let marker = state::install_marker(&*kv, RegionId::new(region));
        Ok(has_data || marker.map_err(|e| STORES.violated(e.to_string()))?.is_some())
    }

    /// Something that a scheduler has to live with.
    pub(super) fn try_the_scheduler(&mut self) -> Verdict {
        let Some(mut governor) = self.governor.take() else { return Ok(()) };
        let now = governor.clock(self.world.now());
        if self.world.scheduler().regions().len() < governor.regions
            && let Some(region) = self.world.scheduler().random_region(&mut self.rng)
        {
            self.split(&region);
        }
        let (place, stores) = (governor.rng.below(60), self.params.stores);
        let store = 1 + governor.rng.below(stores);
        let staying = governor.staying(stores);
        let may_go = staying.len() > REPLICAS && staying.contains(&store);
        match place {
            0 if may_go && self.survives(&governor, store)? => {
                self.world.trace.event(store, || format!("store {store} is gone for good"));
                governor.lost.insert(store);
                governor.deeds.trials[0] += 1;
                self.world.crash(store);
                self.workload.forget(store);
            }
            1 if may_go => {
                self.world.trace.event(store, || format!("store {store} shall leave"));
                if let Ok(mut leaving) = governor.core.cluster.stores.removed(store) {
                    leaving.state = StoreState::Offline.into();
                    governor.core.cluster.stores.put(leaving, now);
                    governor.leaving.insert(store);
                    governor.deeds.trials[1] += 1;
                }
            }
            2 => self.forget(&mut governor, now),
            _ => {}
        }
        self.governor = Some(governor);
        Ok(())
    }

    /// The scheduler starts again, with what it has on record: the stores, and the regions as they were.
    fn forget(&mut self, governor: &mut Governor, now: Instant) {
        self.world.trace.event(0, || "the scheduler starts again".to_owned());
        governor.deeds.trials[2] += 1;
        let core = &governor.core.cluster;
        let regions = core.regions.scan(b"", b"").map(|region| region.meta.clone()).collect();
        let records: Vec<_> = core.stores.iter().map(|store| store.meta.clone()).collect();
        governor.core.reset(now);
        governor.found(self.params.stores, now);
        for record in records {
            governor.core.cluster.stores.put(record, now);
        }
        governor.core.recall(regions);
    }

    /// Whether every region keeps a majority of peers with data when this store goes for good, as others
    /// have before.
    fn survives(&self, governor: &Governor, store: u64) -> Verdict<bool> {
        let stays =
            |peer: &&Peer| peer.store_id != store && !governor.lost.contains(&peer.store_id);
        for region in self.newest()?.values() {
            let mut left = 0;
            for peer in region.peers.iter().filter(stays) {
                left += usize::from(self.has_data(region.id, peer)?);
            }
            if left <= region.peers.len() / 2 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What the scheduler has still to do in a world that is healed.
    pub(super) fn ungoverned(&self) -> Verdict<Option<String>> {
        let Some(governor) = &self.governor else { return Ok(None) };
        let staying = governor.staying(self.params.stores);
        let mut led = BTreeMap::new();
        for region in self.newest()?.values() {
            if let Some(missing) = misplaced(region, &staying) {
                return Ok(Some(missing));
            }
            let views =
                region.peers.iter().filter_map(|peer| self.view(peer.store_id, region.region_id()));
            let Some(leader) = views.max_by_key(|view| view.term).and_then(|view| view.leader)
            else {
                return Ok(Some(format!("nobody leads {region:?}")));
            };
            *led.entry(leader.store_id).or_insert(0) += 1;
        }
        let of = |store: &u64| led.get(store).copied().unwrap_or(0);
        let most: u64 = staying.iter().map(of).max().unwrap_or(0);
        let fewest = staying.iter().map(of).min().unwrap_or(0);
        let is_balanced = most - fewest <= LEADERS_APART;
        Ok((!is_balanced).then(|| format!("stores lead so many regions: {led:?}")))
    }

    /// The stores that anything may still be expected of.
    pub(super) fn living_stores(&self) -> Vec<u64> {
        let is_lost = |store: &u64| self.governor.as_ref().is_some_and(|g| g.lost.contains(store));
        self.stores().into_iter().filter(|store| !is_lost(store)).collect()
    }
}
