//! Several stores, the network between them, and their time, all moved by hand.

use std::collections::BTreeMap;

use bytes::Bytes;
use engine::Cf;
use prost::Message as _;
use proto::eraftpb::ConfChangeType;
use proto::metapb::{Peer, Region, RegionEpoch};
use proto::raft_serverpb::{RaftMessage, RaftSnapshotData};
use proto::{PeerId, RegionId, StoreId};
use runtime::clock::ManualClock;
use runtime::log::{Capture, Level};
use runtime::reply::{self, Reply};
use runtime::units::Period;
use tempfile::TempDir;

use super::machine::{Machine, TICK, World};
use super::net::{Net, to_store};
use super::scheduler::TestScheduler;
use crate::bootstrap;
use crate::config::Config;
use crate::error::RegionError;
use crate::message::{Admin, Answer, Command, Done, Header, RegionSnapshot, Request, Response};
use crate::snapshot::{self, SnapKey};

/// The first region of every test.
pub(crate) const FIRST: RegionId = RegionId::new(1);

/// The answer to a command, once it is there.
pub(crate) type Waiter = reply::Answer<Answer>;

/// Settings under which nothing happens by itself that a test does not wait for.
pub(crate) fn quiet() -> Config {
    Config {
        log_gc_period: Period::secs(100_000),
        split_check_period: Period::secs(100_000),
        snapshot_gc_period: Period::secs(100_000),
        leader_missing_period: Period::secs(100_000),
        region_heartbeat_period: Period::secs(1),
        ..Config::default()
    }
}

/// The same, and logs are cut as soon as they can be.
pub(crate) fn short_logs() -> Config {
    Config { log_gc_period: Period::millis(500), log_gc_count: 4, ..quiet() }
}

/// A peer of the first region: its number is that of its store.
pub(crate) fn peer(number: u64) -> Peer {
    Peer::new(PeerId::new(number), StoreId::new(number))
}

/// When a store crashes, and what it loses then.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Plan {
    pub(crate) store: u64,
    pub(crate) loss: usize,
    pub(crate) happened: u32,
}

/// The stores of a test.
pub(crate) struct Cluster {
    pub(crate) machines: BTreeMap<u64, Machine>,
    pub(crate) world: World,
    pub(crate) net: Net,
    pub(crate) scheduler: TestScheduler,
    pub(crate) records: Capture,
    pub(crate) plan: Option<Plan>,
    /// Files of snapshots are changed on the way.
    pub(crate) spoils_snapshots: bool,
    _dir: TempDir,
}

impl Cluster {
    /// Stores 1 to `size`, of which `members` hold the first region.
    pub(crate) fn new(size: u64, members: &[u64], config: Config) -> Self {
        let mut cluster = Self::empty(config);
        let region = Region::new(FIRST, "", "").with_peers(members.iter().map(|id| peer(*id)));
        for id in 1..=size {
            let machine = Machine::new(id);
            bootstrap::bootstrap_store(&machine.engines(), 1, machine.id).unwrap();
            if members.contains(&id) {
                bootstrap::write_initial_region(&machine.engines(), &region, false).unwrap();
            }
            cluster.machines.insert(id, machine);
            cluster.start(id);
        }
        cluster
    }

    /// Three stores with a region on each.
    pub(crate) fn three() -> Self {
        Self::new(3, &[1, 2, 3], quiet())
    }

    /// No stores yet.
    pub(crate) fn empty(config: Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::new();
        let (log, records) =
            Capture::open(Level::Debug, 10_000, std::sync::Arc::new(clock.clone()));
        let (net, scheduler) = (Net::default(), TestScheduler::new());
        let world = World {
            config,
            clock,
            net: net.clone(),
            scheduler: scheduler.clone(),
            log,
            dir: dir.path().to_owned(),
            region_queue: 256,
        };
        Cluster {
            machines: BTreeMap::new(),
            world,
            net,
            scheduler,
            records,
            plan: None,
            spoils_snapshots: false,
            _dir: dir,
        }
    }

    pub(crate) fn at(&mut self, store: u64) -> &mut Machine {
        self.machines.get_mut(&store).expect("a store of this test")
    }

    pub(crate) fn start(&mut self, store: u64) {
        let world = self.world.clone();
        self.at(store).start(&world).unwrap();
    }

    /// The power goes and comes back.
    pub(crate) fn restart(&mut self, store: u64, loss: usize) {
        self.net.forget(store);
        self.at(store).crash(loss);
        self.start(store);
    }

    /// All other stores cannot be reached from this one, nor this one by them.
    pub(crate) fn isolate(&self, store: u64) {
        self.net.isolate(store, self.machines.keys().copied());
    }

    /// Whether the store whose crash is planned has met a fault: then it crashes.
    fn crash_if_planned(&mut self) {
        let Some(mut plan) = self.plan else { return };
        if self.at(plan.store).has_failed() {
            plan.happened += 1;
            self.plan = Some(plan);
            self.restart(plan.store, plan.loss);
        }
    }

    /// Does everything that follows from what has happened, until nothing does.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            let mut moved = false;
            let ids: Vec<u64> = self.machines.keys().copied().collect();
            for id in ids {
                let clock = self.world.clock.clone();
                moved |= self.at(id).step(&clock);
                self.crash_if_planned();
            }
            while let Some(message) = self.net.take() {
                moved = true;
                self.deliver(message);
            }
            if !moved {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// Hands a message to its store, with the files that belong to it.
    pub(crate) fn deliver(&mut self, message: RaftMessage) {
        let carried = message.message.as_ref().and_then(|inner| inner.snapshot.clone());
        if let Some(carried) = carried {
            let key = SnapKey::of(&carried, message.region_id);
            let from = message.from_peer.unwrap_or_default();
            let data = RaftSnapshotData::decode(carried.data.clone()).unwrap();
            let delivered = self.move_files(from.store_id, to_store(&message), key, &data);
            if let Some(sender) = self.process(from.store_id) {
                let to = message.to_peer.unwrap_or_default().id;
                sender.router.snapshot_sent(RegionId::new(message.region_id), to, key, delivered);
            }
            if !delivered {
                return;
            }
        }
        if let Some(receiver) = self.process(to_store(&message)) {
            receiver.router.raft_message(Box::new(message));
        }
    }

    fn move_files(&self, from: u64, to: u64, key: SnapKey, data: &RaftSnapshotData) -> bool {
        let (Some(sender), Some(receiver)) = (self.process(from), self.process(to)) else {
            return false;
        };
        let moved = snapshot::transfer(&sender.snapshots, &receiver.snapshots, key, data);
        if moved.is_ok() && self.spoils_snapshots {
            spoil(receiver.snapshots.dir());
        }
        moved.is_ok()
    }

    pub(crate) fn process(&self, store: u64) -> Option<&super::machine::Process> {
        self.machines.get(&store)?.process.as_ref()
    }

    /// Time passes everywhere, and all that follows from it is done.
    pub(crate) fn tick(&mut self, ticks: u32) {
        for _ in 0..ticks {
            self.world.clock.advance(TICK);
            let ids: Vec<u64> = self.machines.keys().copied().collect();
            for id in ids {
                let clock = self.world.clock.clone();
                self.at(id).tick(&clock);
                self.crash_if_planned();
            }
            self.settle();
        }
    }

    /// Lets time pass until something is so.
    pub(crate) fn tick_until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        for _ in 0..600 {
            if is_so(self) {
                return;
            }
            self.tick(1);
        }
        panic!("a minute has passed without this: {what}\n{}", self.show());
    }

    /// Waits until some store leads a region, and says which.
    pub(crate) fn wait_for_leader(&mut self, region: RegionId) -> u64 {
        self.tick_until("a leader", |cluster| {
            let leader = cluster.leader(region);
            let applied_own = |id| {
                let process = cluster.process(id)?;
                process.router.view(region)?.lease_until
            };
            leader.and_then(applied_own).is_some()
        });
        self.leader(region).unwrap()
    }

    /// Waits until this store leads a region.
    pub(crate) fn lead(&mut self, region: RegionId, store: u64) {
        for _ in 0..50 {
            let leader = self.wait_for_leader(region);
            if leader == store {
                return;
            }
            let to = self.region(leader, region).peer_on_store(StoreId::new(store)).copied();
            let to = to.expect("the store has a peer");
            drop(self.admin(leader, region, Admin::TransferLeader { to }));
            self.tick(3);
        }
        panic!("store {store} never leads region {region}\n{}", self.show());
    }

    /// The header of somebody who knows the region as this store does.
    pub(crate) fn header(&self, store: u64, region: RegionId) -> Header {
        let view = self.process(store).expect("the store runs").router.view(region);
        let (peer, epoch) = match view {
            Some(view) => (Some(view.peer), view.region.epoch()),
            None => (None, RegionEpoch::default()),
        };
        Header { region, peer, epoch, term: 0 }
    }

    /// Sends a command, and does not wait.
    pub(crate) fn send(&mut self, store: u64, header: Header, command: Command) -> Waiter {
        let (reply, waiter) = Reply::new();
        match self.process(store) {
            Some(process) => process.router.command(header, command, reply),
            None => drop(reply),
        }
        waiter
    }

    /// Sends a command and does all that follows at once; the answer, if there is one by then.
    pub(crate) fn ask(
        &mut self,
        store: u64,
        header: Header,
        command: Command,
    ) -> Option<Result<Done, RegionError>> {
        let mut waiter = self.send(store, header, command);
        self.settle();
        waiter.try_take().map(|answer| answer.0)
    }

    pub(crate) fn admin(
        &mut self,
        store: u64,
        region: RegionId,
        admin: Admin,
    ) -> Option<Result<Done, RegionError>> {
        let header = self.header(store, region);
        self.ask(store, header, Command::Admin(admin))
    }

    /// The region of some leader that holds a key.
    pub(crate) fn holder(&self, key: &str) -> Option<(u64, RegionId)> {
        let regions = self.machines.values().filter_map(|machine| machine.process.as_ref());
        let views = regions.flat_map(|process| process.router.views());
        let holding = views.filter(|view| {
            view.region.region_epoch.is_some() && view.region.contains(key.as_bytes())
        });
        let newest = holding.max_by_key(|view| view.region.epoch().version)?;
        let region = newest.region.region_id();
        Some((self.leader(region)?, region))
    }

    /// Repeats a command until it is done; for what may be done twice.
    pub(crate) fn must(&mut self, key: &str, command: &Command) -> Done {
        for _ in 0..300 {
            if let Some((store, region)) = self.holder(key) {
                let header = self.header(store, region);
                if let Some(Ok(done)) = self.ask(store, header, command.clone()) {
                    return done;
                }
            }
            self.tick(1);
        }
        panic!("{command:?} is never done\n{}", self.show());
    }

    /// Writes until it is acknowledged.
    pub(crate) fn put(&mut self, key: &str, value: &str) {
        self.must(key, &Command::Write(vec![put(key, value)]));
    }

    /// The value of a key, from whoever leads its region.
    pub(crate) fn get(&mut self, key: &str) -> Option<String> {
        let read = self.must(key, &Command::Read);
        let view = read.into_snapshot().expect("a read is answered by a snapshot");
        get_from(&view, key)
    }

    /// Changes the peers, until the leader's region has changed so.
    pub(crate) fn change(&mut self, region: RegionId, change: ConfChangeType, peer: Peer) {
        let adds = change == ConfChangeType::AddNode;
        for _ in 0..300 {
            if let Some(leader) = self.leader(region) {
                if self.region(leader, region).peers.contains(&peer) == adds {
                    return;
                }
                drop(self.admin(leader, region, Admin::ChangePeer { change, peer }));
            }
            self.tick(1);
        }
        panic!("peer {peer:?} is never changed\n{}", self.show());
    }

    /// Splits a region at a key, until its leader says so. The right part's peers are numbered by the
    /// region and their store.
    pub(crate) fn split(&mut self, region: RegionId, key: &str, new_region: u64) {
        for _ in 0..300 {
            if let Some(leader) = self.leader(region) {
                let known = self.region(leader, region);
                if !known.contains_inside(key.as_bytes()) {
                    return;
                }
                let new_peers = known.peers.iter().map(|p| new_region * 10 + p.store_id).collect();
                let key = Bytes::copy_from_slice(key.as_bytes());
                let new_region = RegionId::new(new_region);
                drop(self.admin(leader, region, Admin::Split { key, new_region, new_peers }));
            }
            self.tick(1);
        }
        panic!("region {region} is never split at {key}\n{}", self.show());
    }

    /// Waits until all members of a region, as its leader knows them, hold the same.
    pub(crate) fn converge(&mut self, region: RegionId) {
        self.tick_until("all members hold the same", |cluster| {
            let Some(leader) = cluster.leader(region) else { return false };
            let known = cluster.region(leader, region);
            let holding = known.peers.iter().map(|peer| cluster.applied(peer.store_id, region));
            let holding: Vec<_> = holding.collect();
            let is_first = |held: &Option<_>| held.is_some() && *held == holding[0];
            holding.iter().all(is_first)
        });
        let leader = self.leader(region).unwrap();
        let known = self.region(leader, region);
        for peer in &known.peers {
            assert_eq!(
                self.data(peer.store_id, &known),
                self.data(leader, &known),
                "region {region} on stores {} and {leader}",
                peer.store_id
            );
        }
    }
}

/// Changes a byte in the middle of every received file.
pub(crate) fn spoil(dir: &std::path::Path) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.starts_with("rev_") && path.extension().is_some_and(|ending| ending == "sst") {
            let mut content = std::fs::read(&path).unwrap();
            let middle = content.len() / 2;
            content[middle] ^= 0x10;
            std::fs::write(&path, content).unwrap();
        }
    }
}

/// A request that writes into the default family.
pub(crate) fn put(key: &str, value: &str) -> Request {
    let (key, value) = (key.to_owned().into(), value.to_owned().into());
    Request::Put { cf: Cf::Default, key, value }
}

/// What a snapshot has under a key.
pub(crate) fn get_from(view: &RegionSnapshot, key: &str) -> Option<String> {
    assert!(view.region.contains(key.as_bytes()), "{key} is not in {:?}", view.region);
    let value = view.snapshot.get(Cf::Default, key.as_bytes()).unwrap();
    value.map(|value| String::from_utf8(value.to_vec()).unwrap())
}

/// The value that a read through the log has found.
pub(crate) fn found(done: Result<Done, RegionError>) -> Option<Bytes> {
    match done {
        Ok(Done::Responses(responses)) => match responses.into_iter().next() {
            Some(Response::Get(value)) => value,
            other => panic!("not a value: {other:?}"),
        },
        other => panic!("not the answer to a read: {other:?}"),
    }
}
