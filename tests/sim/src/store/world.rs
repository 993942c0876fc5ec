//! Machines, a network between them, a scheduler, one clock and one queue of events.
//!
//! Everything that will happen stands in the queue with its time: a message arrives, a tick is due, a
//! worker takes its next task. [`World::step`] lets the first of it happen, and puts what follows from
//! it into the queue. What happens at the same time happens in the order in which it was decided, so a
//! run depends on its seed and on what its owner does, and on nothing else.
//!
//! Whoever owns a world drives it with [`World::run_for`] and [`World::run_until`], sends commands with
//! [`World::command`], and does what nobody expects with [`World::crash`], [`World::network`] and their
//! neighbours. [`World::alarm`] puts the owner's own plans into the queue.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::{Engine as _, Engines};
use proto::metapb::{Peer, Region, Store};
use proto::{RegionId, StoreId};
use raftstore::worker::raft::RaftWorker;
use raftstore::{
    Admin, Answer, Command, Header, LocalRead, Router, SchedulerClient as _, bootstrap,
};
use runtime::Rng;
use runtime::clock::Instant;
use runtime::reply::Reply;
use slog::{Logger, o};
use tempfile::TempDir;

use super::check::Verdict;
use super::counts::Counts;
use super::events::Event;
use super::machine::{Machine, Running, Start};
use super::network::Network;
use super::scheduler::{Handler, Scripted};
use super::settings::Settings;
use super::story::Story;
use crate::raft::trace::Trace;

/// The cluster that all stores of a world belong to.
const CLUSTER: u64 = 1;

/// What a step was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// The peers of this store may have changed.
    Peers(u64),
    /// The data or the log of this store may have changed.
    Data(u64),
    /// A store that was doomed has stopped, as if the power had gone.
    Crashed(u64),
    /// An alarm of the owner.
    Alarm(u64),
    /// Nothing that anybody could see.
    Nothing,
}

/// What the scheduler has said and not sent yet: to which store, about which region, and what.
type Orders = Arc<Mutex<Vec<(u64, Header, Admin)>>>;

/// Everything there is.
pub struct World {
    pub(super) settings: Settings,
    pub(crate) rng: Rng,
    pub(super) now: Duration,
    pub(super) sequence: u64,
    pub(super) queue: BTreeMap<(Duration, u64), Event>,
    pub(crate) machines: BTreeMap<u64, Machine>,
    pub(super) network: Network,
    scheduler: Arc<Scripted>,
    pub(super) orders: Orders,
    folder: TempDir,
    pub(crate) trace: Trace,
    pub(super) story: Story,
    pub(crate) counts: Counts,
}

impl World {
    /// A world without stores. The last `lines` things that happen are remembered as a story; none, if
    /// nobody wants to read it.
    pub fn new(seed: u64, settings: Settings, lines: usize) -> Self {
        // Snapshots are real files; in memory they are fast.
        let memory = std::path::Path::new("/dev/shm");
        let folder = if memory.is_dir() {
            TempDir::with_prefix_in("tinykv-sim-", memory)
        } else {
            TempDir::with_prefix("tinykv-sim-")
        };
        World {
            settings,
            rng: Rng::new(seed).fork("world"),
            now: Duration::ZERO,
            sequence: 0,
            queue: BTreeMap::new(),
            machines: BTreeMap::new(),
            network: Network::default(),
            scheduler: Arc::new(Scripted::new(1)),
            orders: Orders::default(),
            folder: folder.expect("a folder for snapshots can be made"),
            trace: Trace::new(lines),
            story: Story::default(),
            counts: Counts::default(),
        }
    }

    /// Adds machines for the stores from 1 to `stores`, and founds region 1 on the first `members` of
    /// them, each with a peer of its own number. None of them is started.
    pub fn found(&mut self, stores: u64, members: u64) -> raftstore::Result<()> {
        self.scheduler = Arc::new(Scripted::new(stores + 1));
        let peers = (1..=members).map(|id| Peer { id, store_id: id });
        let region = Region::new(RegionId::new(1), "", "").with_peers(peers);
        for id in 1..=stores {
            let skew = self.settings.skew;
            let rate = self.rng.range(1000 - skew..1001 + skew);
            let machine = Machine::new(id, self.folder.path(), rate);
            let engines = machine.engines();
            bootstrap::bootstrap_store(&engines, CLUSTER, StoreId::new(id))?;
            if id <= members {
                bootstrap::write_initial_region(&engines, &region, false)?;
            }
            self.machines.insert(id, machine);
        }
        let store = |id: u64| Store { id, address: format!("store-{id}"), ..Store::default() };
        let refused = |error: raftstore::SchedulerError| raftstore::Error::Scheduler(error.0);
        self.scheduler.bootstrap(&store(1), &region).map_err(refused)?;
        (1..=stores).try_for_each(|id| self.scheduler.put_store(&store(id)).map_err(refused))
    }

    /// The time since the world began.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// What the world is like.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What the world is like, to be changed.
    pub fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// The network, to be disturbed and healed.
    pub fn network(&mut self) -> &mut Network {
        &mut self.network
    }

    /// The scheduler.
    pub fn scheduler(&self) -> &Arc<Scripted> {
        &self.scheduler
    }

    /// All stores, running or not.
    pub fn stores(&self) -> Vec<u64> {
        self.machines.keys().copied().collect()
    }

    /// Whether a store runs.
    pub fn is_up(&self, store: u64) -> bool {
        self.running(store).is_some()
    }

    /// The disks of a store; as they are now, for they are others after a crash.
    pub fn engines(&self, store: u64) -> Engines {
        self.machines[&store].engines()
    }

    /// The way into a store that runs.
    pub fn router(&self, store: u64) -> Option<&Router> {
        Some(&self.running(store)?.router)
    }

    /// The owner of the peers of a store that runs.
    pub fn peers(&self, store: u64) -> Option<&RaftWorker> {
        Some(&self.running(store)?.raft)
    }

    /// The last things that happened, if they were remembered.
    pub fn into_story(self) -> Vec<String> {
        self.trace.into_lines()
    }

    pub(crate) fn running(&self, store: u64) -> Option<&Running> {
        self.machines.get(&store)?.running.as_ref()
    }

    pub(super) fn machine(&mut self, store: u64) -> &mut Machine {
        self.machines.get_mut(&store).expect("stores are never taken away")
    }

    /// Starts a store from what is on its disks. Nothing happens to one that runs.
    pub fn start(&mut self, store: u64) -> raftstore::Result<()> {
        if self.is_up(store) {
            return Ok(());
        }
        self.trace.event(store, || format!("store {store} starts"));
        let life = self.machines[&store].life + 1;
        let now = self.now;
        let start = Start {
            settings: &self.settings.clone(),
            scheduler: Arc::clone(&self.scheduler) as _,
            rng: self.rng.fork(&format!("life {life} of store {store}")),
            log: if self.trace.is_read() {
                Logger::root(self.story.clone(), o!())
            } else {
                Logger::root(slog::Discard, o!())
            },
        };
        self.machine(store).start(start, now)?;
        let orders = Arc::clone(&self.orders);
        let handler: Handler = Arc::new(move |header, admin| {
            let mut orders = orders.lock().expect("no thread panics while it holds the orders");
            orders.push((store, header, admin));
        });
        self.scheduler.attach(StoreId::new(store), handler);
        self.plan_tick(store);
        self.settle(store);
        Ok(())
    }

    /// Stops a store in good order.
    pub fn stop(&mut self, store: u64) -> raftstore::Result<()> {
        self.trace.event(store, || format!("store {store} stops"));
        self.scheduler.detach(StoreId::new(store));
        self.machine(store).stop()
    }

    /// The power of a machine goes: what its disks had not synced is lost, all or in part.
    pub fn crash(&mut self, store: u64) {
        self.trace.event(store, || format!("store {store} crashes"));
        self.scheduler.detach(StoreId::new(store));
        let machine = self.machines.get_mut(&store).expect("stores are never taken away");
        machine.crash(&mut self.rng);
    }

    /// Nothing happens on a machine for a while, as if its process were stopped. Its clock goes on.
    pub fn pause(&mut self, store: u64, length: Duration) {
        let until = self.now + length;
        self.trace.event(store, || format!("store {store} pauses until {until:?}"));
        self.machine(store).paused_until = until;
    }

    /// The store's own network is down, and it knows; or up again.
    pub fn set_offline(&mut self, store: u64, is_offline: bool) {
        self.machine(store).post.set_broken(is_offline);
    }

    /// Sends a command to a store. To one that is down it is lost, so the reply is abandoned.
    pub fn command(&mut self, store: u64, header: Header, command: Command, reply: Reply<Answer>) {
        let now = self.now;
        let machine = self.machine(store);
        let _ = machine.clock_at(now);
        if let Some(running) = &machine.running {
            running.router.command(header, command, reply);
            self.settle(store);
        }
    }

    /// Reads from a store, if it can tell that it may answer at once. `None` from one that is down or
    /// that does nothing at the moment.
    pub fn read(&mut self, store: u64, header: &Header) -> Option<LocalRead> {
        let now = self.now;
        let machine = self.machine(store);
        if machine.paused_until > now {
            return None;
        }
        let _ = machine.clock_at(now);
        Some(machine.running.as_ref()?.router.read(header))
    }

    /// After so many more writes, or syncs, one of them fails on the kv disk or on the raft disk. The store
    /// stops there, and [`World::step`] says so.
    pub fn doom(&mut self, store: u64, is_kv: bool, is_sync: bool, after: u64) {
        self.trace.event(after, || {
            format!("store {store} is doomed: kv {is_kv}, sync {is_sync}, after {after}")
        });
        let machine = self.machine(store);
        let faults = &machine.faults[usize::from(!is_kv)];
        if is_sync {
            faults.fail_sync_after(after);
        } else {
            faults.fail_write_after(after);
        }
        machine.is_doomed = true;
    }

    /// Whether a disk of the store was told to fail.
    pub fn is_doomed(&self, store: u64) -> bool {
        self.machines[&store].is_doomed
    }

    /// Whether a disk of the store has failed, and the store is about to notice.
    pub fn has_failed_disk(&self, store: u64) -> bool {
        self.is_doomed(store) && self.machines[&store].kv.snapshot().is_err()
    }

    /// From now on a kind of worker is so many times slower: 0 is for turns of the raft thread, 1 for
    /// applying, 2 for slow work.
    pub fn slow_down(&mut self, store: u64, worker: u64, factor: u32) {
        let worker = usize::try_from(worker).expect("there are three");
        self.machine(store).slowness[worker] = factor;
    }

    /// What the clock of a store shows.
    pub fn clock_of(&mut self, store: u64) -> Instant {
        let now = self.now;
        self.machine(store).clock_at(now)
    }

    /// Changes one bit of a file that a snapshot was built into, if the store has one: `which` and `place`
    /// choose it. Whether it has.
    pub fn damage_built_file(&mut self, store: u64, which: u64, place: u64) -> bool {
        self.trace.event(which, || format!("a file on store {store} changes"));
        super::freight::damage_built_file(self.machines[&store].folder(), which, place)
    }

    /// The data files of snapshots that a store has received, each with its region.
    pub fn received_files(&self, store: u64) -> Vec<(u64, PathBuf)> {
        super::freight::received_files(self.machines[&store].folder())
    }

    /// A file of a snapshot that a store has, if there is any.
    pub fn snapshot_file(&self, store: u64) -> Option<PathBuf> {
        super::freight::files(self.machines[&store].folder()).into_iter().next()
    }

    /// Nothing goes wrong any more: links, disks, workers and settings are as on a good day. Stores that
    /// are down stay so, and those whose disk was told to fail crash now.
    pub fn heal(&mut self) {
        for store in self.stores() {
            if self.is_doomed(store) && self.is_up(store) {
                self.crash(store);
            }
        }
        self.network.heal();
        self.scheduler.remove_the_silent();
        let (skew, queues) = (self.settings.skew, self.settings.queues);
        self.settings = Settings { queues, skew, ..Settings::calm(self.settings.config.clone()) };
        for machine in self.machines.values_mut() {
            machine.mend();
            machine.post.set_broken(false);
            machine.paused_until = Duration::ZERO;
            machine.slowness = [1; 3];
        }
    }

    /// Puts a plan of the owner into the queue; [`World::step`] says when it is time.
    pub fn alarm(&mut self, after: Duration, number: u64) {
        self.push(self.now + after, Event::Alarm(number));
    }

    /// Lets time pass. Alarms are not for whoever calls this.
    pub fn run_for(&mut self, length: Duration) -> Verdict {
        let end = self.now + length;
        while self.queue.first_key_value().is_some_and(|((at, _), _)| *at <= end) {
            self.step()?;
        }
        self.now = end;
        Ok(())
    }

    /// Lets time pass until something is the case, which is asked after each step. `None` if it is not
    /// before `limit` is over.
    pub fn run_until<T>(
        &mut self,
        limit: Duration,
        mut asked: impl FnMut(&mut Self) -> Option<T>,
    ) -> Verdict<Option<T>> {
        let end = self.now + limit;
        loop {
            if let Some(found) = asked(self) {
                return Ok(Some(found));
            }
            if self.now >= end {
                return Ok(None);
            }
            self.step()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use engine::Cf;
    use raftstore::{Done, Request, Response};

    use super::*;

    fn header(world: &World) -> Option<(u64, Header)> {
        let region = world.scheduler().region_by_key(b"k")?;
        let leader = world.scheduler().leader(region.region_id())?;
        let (id, epoch) = (region.region_id(), region.epoch());
        Some((leader.store_id, Header { region: id, peer: Some(leader), epoch, term: 0 }))
    }

    fn ask(world: &mut World, requests: &[Request]) -> Done {
        for _ in 0..100 {
            let Some((store, header)) = header(world) else {
                world.run_for(Duration::from_millis(100)).unwrap();
                continue;
            };
            let (reply, mut answer) = Reply::new();
            world.command(store, header, Command::Write(requests.to_vec()), reply);
            let limit = Duration::from_secs(1);
            let answered = world.run_until(limit, |_| answer.try_take()).unwrap();
            if let Some(Answer(Ok(done))) = answered {
                return done;
            }
            world.run_for(Duration::from_millis(100)).unwrap();
        }
        panic!("no answer to {requests:?}");
    }

    #[test]
    fn what_is_written_survives_the_crash_of_all_stores() {
        let mut world = World::new(1, Settings::calm(raftstore::Config::default()), 0);
        world.found(3, 3).unwrap();
        (1..=3).for_each(|store| world.start(store).unwrap());
        let (cf, key, value) = (Cf::Default, Bytes::from("k"), Bytes::from("v"));
        let put = Request::Put { cf, key: key.clone(), value: value.clone() };
        assert!(matches!(ask(&mut world, &[put]), Done::Written));
        (1..=3).for_each(|store| world.crash(store));
        (1..=3).for_each(|store| world.start(store).unwrap());
        let done = ask(&mut world, &[Request::Get { cf, key }]);
        let Done::Responses(responses) = done else { panic!("{done:?}") };
        assert!(matches!(&responses[..], [Response::Get(Some(found))] if *found == value));
    }
}
