//! The nemesis: machines that crash, stop and pause, disks that fail, networks that break.
//!
//! No fault takes the last copy of anything: disks keep what they have synced, and of a region at most one
//! replica is lost to a snapshot that is damaged after it was taken.

use std::time::Duration;

use raftstore::{Admin, Header};

use super::Verdict;
use super::check::STORES;
use super::freight;
use super::settings::draw;
use super::simulation::{RESTARTS, SPOILS, Simulation};

/// How many ticks are waited for a file that may be damaged.
const SPOIL_TRIES: u64 = 100;

/// One kind of fault, in the order of its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The power of one machine goes.
    Crash,
    /// The power of several goes at once, perhaps of all.
    CrashSeveral,
    /// A store is stopped in good order.
    Stop,
    /// A disk fails after some more writes, in the middle of whatever it is, and the store with it.
    DoomDisk,
    /// The network is cut, somewhere.
    Cut,
    /// All of the network is mended.
    Heal,
    /// A machine does nothing for a while.
    Pause,
    /// The workers of a machine get slow, or fast again.
    Slow,
    /// A machine can send nothing, and knows it; or can again.
    Offline,
    /// A file of a snapshot that waits to be sent changes on the disk.
    DamageFile,
    /// A file of a snapshot that was received changes on the disk, before it is checked or after that.
    Spoil,
}

const FAULTS: [Fault; 11] = [
    Fault::Crash,
    Fault::CrashSeveral,
    Fault::Stop,
    Fault::DoomDisk,
    Fault::Cut,
    Fault::Heal,
    Fault::Pause,
    Fault::Slow,
    Fault::Offline,
    Fault::DamageFile,
    Fault::Spoil,
];

impl Simulation {
    /// Something goes wrong.
    pub(super) fn disturb(&mut self) -> Verdict {
        let mut place = self.rng.below(self.params.faults.iter().sum());
        let fault = FAULTS.iter().zip(self.params.faults).find(|(_, weight)| {
            let is_here = place < *weight;
            place = place.saturating_sub(*weight);
            is_here
        });
        let Some((fault, _)) = fault else { return Ok(()) };
        self.world.trace.event(*fault as u64, || format!("nemesis: {fault:?}"));
        match fault {
            Fault::Crash => self.crash_some(1),
            Fault::CrashSeveral => {
                let count = 1 + self.rng.below(self.params.stores);
                self.crash_some(count);
            }
            Fault::Stop => return self.stop_one(),
            Fault::DoomDisk => self.doom_a_disk(),
            Fault::Cut => self.cut(),
            Fault::Heal => {
                self.world.network().heal();
                self.stores().into_iter().for_each(|store| self.world.set_offline(store, false));
            }
            Fault::Pause => {
                let store = self.some_store();
                let length = self.some_time(4);
                self.world.counts.pauses += 1;
                self.world.pause(store, length);
            }
            Fault::Slow => {
                let (store, which) = (self.some_store(), self.rng.below(3));
                let factor = *self.rng.pick(&[1, 1, 10, 100]).expect("not empty");
                self.world.slow_down(store, which, factor);
            }
            Fault::Offline => {
                let (store, is_offline) = (self.some_store(), self.rng.chance(2, 3));
                self.world.set_offline(store, is_offline);
            }
            Fault::DamageFile => self.damage_a_file(),
            Fault::Spoil => return self.spoil_a_file(SPOIL_TRIES),
        }
        Ok(())
    }

    pub(super) fn stores(&self) -> Vec<u64> {
        (1..=self.params.stores).collect()
    }

    pub(super) fn some_store(&mut self) -> u64 {
        1 + self.rng.below(self.params.stores)
    }

    /// Up to so many election timeouts.
    pub(super) fn some_time(&mut self, timeouts: u32) -> Duration {
        let config = &self.params.settings.config;
        let most = config.tick.get() * config.election_ticks * timeouts;
        draw(&mut self.rng, &(Duration::from_micros(1)..most))
    }

    fn crash_some(&mut self, count: u64) {
        let mut stores = self.stores();
        self.rng.shuffle(&mut stores);
        stores.truncate(usize::try_from(count).expect("stores are few"));
        for store in stores {
            if self.world.is_up(store) {
                self.world.counts.crashes += 1;
                self.world.crash(store);
                self.is_down(store);
            }
        }
    }

    fn stop_one(&mut self) -> Verdict {
        let store = self.some_store();
        if self.world.is_up(store) && !self.world.is_doomed(store) {
            self.world.counts.stops += 1;
            let stopped = self.world.stop(store);
            stopped.map_err(|error| STORES.violated(format!("store {store} stops: {error}")))?;
            self.is_down(store);
        }
        Ok(())
    }

    /// A store is down: it comes back soon, or later.
    pub(super) fn is_down(&mut self, store: u64) {
        self.workload.forget(store);
        let after = if self.rng.chance(1, 2) { self.some_time(1) } else { self.some_time(10) };
        self.world.alarm(after, RESTARTS + store);
    }

    fn doom_a_disk(&mut self) {
        let store = self.some_store();
        if self.world.is_up(store) {
            let (disk, is_sync) = (self.rng.below(2), self.rng.chance(1, 2));
            let most = *self.rng.pick(&[2, 10, 100]).expect("not empty");
            let after = self.rng.below(most);
            self.world.doom(store, disk == 0, is_sync, after);
        }
    }

    fn cut(&mut self) {
        self.world.counts.cuts += 1;
        let stores = self.stores();
        let kind = self.rng.below(6);
        if kind == 5 {
            return self.deafen_in_a_handover();
        }
        let victim = self.leader().unwrap_or_else(|| self.some_store());
        let other = self.some_store();
        let sides: Vec<bool> = stores.iter().map(|_| self.rng.chance(1, 2)).collect();
        let is_one_way = self.rng.chance(1, 3);
        let share = 1 + self.rng.below(4);
        for (i, from) in stores.iter().enumerate() {
            for (j, to) in stores.iter().enumerate() {
                let is_cut = match kind {
                    // Two groups, in both directions or in one.
                    0 | 1 => sides[i] != sides[j] && !(is_one_way && sides[i]),
                    // A leader is alone, or cannot be heard.
                    2 => (*from == victim) != (*to == victim) && !(is_one_way && *to == victim),
                    // A leader and one other do not hear each other, and everybody hears both.
                    3 => [(victim, other), (other, victim)].contains(&(*from, *to)),
                    // Single links.
                    _ => self.rng.chance(share, 8),
                };
                self.world.network().set_cut(*from, *to, is_cut && from != to);
            }
        }
    }

    /// A leader hears nobody any more, and is asked to hand over: it says so to its heir, who may lead before
    /// the old leader knows.
    fn deafen_in_a_handover(&mut self) {
        let scheduler = self.world.scheduler();
        let Some(region) = scheduler.random_region(&mut self.rng) else { return };
        let Some(leader) = scheduler.leader(region.region_id()) else { return };
        for other in self.stores() {
            if other != leader.store_id {
                self.world.network().set_cut(other, leader.store_id, true);
            }
        }
        let Some(to) = self.rng.pick(&region.peers).copied() else { return };
        let (id, epoch) = (region.region_id(), region.epoch());
        let header = Header { region: id, peer: Some(leader), epoch, term: 0 };
        let admin = Admin::TransferLeader { to };
        self.workload.change(&mut self.world, leader.store_id, header, admin);
    }

    /// A store that leads some region.
    fn leader(&mut self) -> Option<u64> {
        let region = self.world.scheduler().random_region(&mut self.rng)?;
        Some(self.world.scheduler().leader(region.region_id())?.store_id)
    }

    fn damage_a_file(&mut self) {
        let store = self.some_store();
        let (which, place) = (self.rng.next_u64(), self.rng.next_u64());
        if self.world.damage_built_file(store, which, place) {
            self.world.counts.snapshots_damaged += 1;
        }
    }

    /// A replica whose snapshot is damaged after it was checked is lost until it is replaced. So that is done
    /// once to a region, and only where there is a majority without it: with four members also when
    /// another one is just being removed. From then on none is.
    ///
    /// Files are there for a short time only, so it is tried again for a while.
    pub(super) fn spoil_a_file(&mut self, tries: u64) -> Verdict {
        if self.is_healed {
            return Ok(());
        }
        let newest = self.newest()?;
        let mut stores = self.stores();
        self.rng.shuffle(&mut stores);
        for store in stores {
            let mut files = self.world.received_files(store);
            files.retain(|(region, _)| {
                let members = newest.get(region).map_or(0, |region| region.peers.len());
                members >= 4 && !self.lamed.contains(region)
            });
            let Some((region, file)) = self.rng.pick(&files) else { continue };
            let place = self.rng.next_u64();
            self.world.trace.event(place, || format!("{} changes", file.display()));
            self.world.scheduler().clear_operator((*region).into());
            self.lamed.insert(*region);
            self.world.counts.spoiled += u64::from(freight::flip_a_bit(file, place));
            return Ok(());
        }
        if tries > 1 {
            self.world.alarm(self.params.settings.config.tick.get(), SPOILS + tries - 1);
        }
        Ok(())
    }
}
