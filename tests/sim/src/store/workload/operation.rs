//! Beginning an operation: what, on which keys, and where.

use bytes::Bytes;
use engine::Cf;
use proto::metapb::{Peer, Region};
use raftstore::{Admin, Command, Header, LocalRead, Request};

use super::{Computed, UNDER_WAY_MAX, Workload, is_list, name};
use crate::store::Verdict;
use crate::store::check::Checks;
use crate::store::world::World;

/// How a read is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Under a lease where there is one, by asking the peer otherwise.
    Local,
    /// By asking the peer.
    Index,
    /// Through the log, key by key.
    Gets,
    /// Through the log, as a view.
    Snap,
}

/// What a client wants.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    /// Registers get new values, and perhaps something is read in the same command.
    Write { id: u64, keys: Vec<usize>, reads: Vec<usize> },
    /// Keys are read.
    Read { keys: Vec<usize> },
    /// The first half of an append: lists are read.
    Look { id: u64, keys: Vec<usize> },
    /// The second half: they are written back, with one element more.
    Append { id: u64, keys: Vec<usize> },
    /// Something that nobody reads.
    Scratch,
    /// A change of the region.
    Admin,
}

/// Where a client sends something: a guess.
#[derive(Clone, Debug)]
struct Target {
    store: u64,
    region: Region,
    header: Header,
}

impl Target {
    fn new(region: Region, store: u64, peer: Option<Peer>) -> Self {
        let (id, epoch) = (region.region_id(), region.epoch());
        Target { store, region, header: Header { region: id, peer, epoch, term: 0 } }
    }
}

impl Workload {
    /// Begins some operation.
    pub(crate) fn begin(&mut self, world: &mut World, checks: &mut Checks) -> Verdict {
        if self.under_way.len() >= UNDER_WAY_MAX {
            return Ok(());
        }
        let key = self.some_key();
        let Some(target) = self.aim(world, &name(key)) else { return Ok(()) };
        let mut place = self.rng.below(self.rates.weights.iter().sum());
        let kind = self.rates.weights.iter().position(|weight| {
            let is_here = place < *weight;
            place = place.saturating_sub(*weight);
            is_here
        });
        match kind {
            Some(0) => self.write(world, checks, &target),
            Some(1) => return self.read(world, checks, &target, Way::Local),
            Some(2) => return self.read(world, checks, &target, Way::Index),
            Some(3) => {
                let way = if self.rng.chance(1, 2) { Way::Gets } else { Way::Snap };
                return self.read(world, checks, &target, way);
            }
            Some(4) => self.look(world, &target),
            Some(_) | None => self.scratch(world, &target),
        }
        Ok(())
    }

    fn some_key(&mut self) -> usize {
        usize::try_from(self.rng.below(self.rates.keys as u64)).expect("keys are few")
    }

    /// A guess at the region of a key, the store that leads it, and the peer there.
    fn aim(&mut self, world: &World, key: &[u8]) -> Option<Target> {
        let scheduler = world.scheduler();
        let known = scheduler.region_by_key(key).and_then(|region| {
            let leader = scheduler.leader(region.region_id())?;
            Some((region, leader))
        });
        if let Some(known) = &known
            && self.rng.chance(1, 16)
        {
            let place = usize::try_from(self.rng.below(8)).expect("below eight");
            if place < self.remembered.len() {
                self.remembered[place] = known.clone();
            } else {
                self.remembered.push(known.clone());
            }
        }
        match self.rng.below(16) {
            0 => {
                let old: Vec<_> =
                    self.remembered.iter().filter(|(region, _)| region.contains(key)).collect();
                let (region, leader) = self.rng.pick(&old).copied().cloned().or(known)?;
                Some(Target::new(region, leader.store_id, Some(leader)))
            }
            1 => {
                let (region, _) = known?;
                let peer = *self.rng.pick(&region.peers)?;
                Some(Target::new(region, peer.store_id, None))
            }
            2..8 => {
                // Whoever believes that it leads, also if it does not any more.
                let mut leaders = Vec::new();
                for store in world.stores() {
                    let views = world.router(store).map(raftstore::Router::views);
                    leaders.extend(views.into_iter().flatten().filter(|view| {
                        view.region.contains(key) && view.leader == Some(view.peer)
                    }));
                }
                let view = self.rng.pick(&leaders)?;
                let region = (*view.region).clone();
                Some(Target::new(region, view.peer.store_id, Some(view.peer)))
            }
            _ => {
                let (region, leader) = known?;
                Some(Target::new(region, leader.store_id, Some(leader)))
            }
        }
    }

    /// Some keys of a region, at most `most` of those that `fit`.
    fn keys_of(&mut self, region: &Region, most: u64, fit: impl Fn(usize) -> bool) -> Vec<usize> {
        let is_here = |key: &usize| fit(*key) && region.contains(&name(*key));
        let mut keys: Vec<usize> = (0..self.rates.keys).filter(is_here).collect();
        self.rng.shuffle(&mut keys);
        keys.truncate(usize::try_from(1 + self.rng.below(most)).expect("few keys"));
        keys
    }

    fn write(&mut self, world: &mut World, checks: &mut Checks, target: &Target) {
        let Target { store, region, header } = target;
        let keys = self.keys_of(region, 3, |key| !is_list(key));
        if keys.is_empty() {
            return;
        }
        let reads = if self.rng.chance(1, 8) {
            self.keys_of(region, 2, |key| !keys.contains(&key))
        } else {
            Vec::new()
        };
        let id = self.id();
        let padding = usize::try_from(self.rng.below(self.rates.padding + 1)).expect("small");
        let value = Bytes::from(format!("{id}:{}", "x".repeat(padding)));
        let cf = Cf::Default;
        let put = |key: &usize| Request::Put { cf, key: name(*key), value: value.clone() };
        let get = |key: &usize| Request::Get { cf, key: name(*key) };
        let requests = keys.iter().map(put).chain(reads.iter().map(get)).collect();
        let now = self.now();
        for key in &keys {
            checks.registers.begin(*key, id, now);
        }
        let operation = Operation::Write { id, keys, reads };
        self.send(world, *store, *header, operation, Command::Write(requests));
    }

    fn read(
        &mut self,
        world: &mut World,
        checks: &mut Checks,
        target: &Target,
        way: Way,
    ) -> Verdict {
        let Target { store, region, header } = target;
        let keys = self.keys_of(region, 6, |_| true);
        if keys.is_empty() {
            return Ok(());
        }
        let cf = Cf::Default;
        let command = match way {
            Way::Local => match world.read(*store, header) {
                Some(LocalRead::Answered(Ok(snapshot))) => {
                    world.counts.lease_reads += 1;
                    return self.found_locally(world, checks, header, &snapshot, &keys);
                }
                Some(LocalRead::Answered(Err(_))) => return Ok(()),
                Some(LocalRead::Ask) | None => Command::Read,
            },
            Way::Index => Command::Read,
            Way::Gets => {
                let get = |key: &usize| Request::Get { cf, key: name(*key) };
                Command::Write(keys.iter().map(get).collect())
            }
            Way::Snap => Command::Write(vec![Request::Snap]),
        };
        self.send(world, *store, *header, Operation::Read { keys }, command);
        Ok(())
    }

    /// Asks for a change of a region.
    pub(crate) fn change(&mut self, world: &mut World, store: u64, header: Header, admin: Admin) {
        self.send(world, store, header, Operation::Admin, Command::Admin(admin));
    }

    /// From now on keys count as read only when they are read again.
    pub(crate) fn begin_final_reads(&mut self) {
        self.read.clear();
    }

    /// Asks for a key that was not read in the end. Answers which that is, if there is one.
    pub(crate) fn read_what_is_left(&mut self, world: &mut World) -> Option<String> {
        let key = (0..self.rates.keys).find(|key| !self.read.contains(key))?;
        let scheduler = world.scheduler();
        let region = scheduler.region_by_key(&name(key));
        let known = region.and_then(|region| {
            let leader = scheduler.leader(region.region_id())?;
            Some(Target::new(region, leader.store_id, Some(leader)))
        });
        if let Some(Target { store, region, header }) = known {
            let keys: Vec<usize> =
                (0..self.rates.keys).filter(|key| region.contains(&name(*key))).collect();
            let get = |key: &usize| Request::Get { cf: Cf::Default, key: name(*key) };
            let command = Command::Write(keys.iter().map(get).collect());
            self.send(world, store, header, Operation::Read { keys }, command);
        }
        Some(format!("key {key}"))
    }

    fn look(&mut self, world: &mut World, target: &Target) {
        let Target { store, region, header } = target;
        let mut keys = self.keys_of(region, 2, is_list);
        keys.retain(|key| !self.latches.contains(&(*store, *key)));
        if keys.is_empty() {
            return;
        }
        for key in &keys {
            self.latches.insert((*store, *key));
        }
        let id = self.id();
        self.send(world, *store, *header, Operation::Look { id, keys }, Command::Read);
    }

    /// An append has been computed: its lists are written back.
    pub(crate) fn write_back(&mut self, world: &mut World, checks: &mut Checks, id: u64) {
        let Some(Computed { id, store, header, lists }) = self.computed.remove(&id) else { return };
        let cf = Cf::Default;
        let put = |(key, list): (&usize, &Vec<u64>)| {
            let ids: Vec<String> = list.iter().chain([&id]).map(u64::to_string).collect();
            Request::Put { cf, key: name(*key), value: ids.join(",").into() }
        };
        let requests = lists.iter().map(put).collect();
        let keys: Vec<usize> = lists.keys().copied().collect();
        let now = self.now();
        for key in &keys {
            checks.registers.begin(*key, id, now);
        }
        checks.lists.begin(id, &keys);
        self.send(world, store, header, Operation::Append { id, keys }, Command::Write(requests));
    }

    fn scratch(&mut self, world: &mut World, target: &Target) {
        let Target { store, region, header } = target;
        let keys = self.keys_of(region, 3, |_| true);
        let mut requests = Vec::new();
        for key in keys {
            let key = Bytes::from(format!("{key:02}s"));
            if !region.contains(&key) {
                continue;
            }
            let cf = *self.rng.pick(&Cf::DATA).expect("there are families");
            requests.push(if self.rng.chance(1, 3) {
                Request::Delete { cf, key }
            } else {
                let length =
                    usize::try_from(self.rng.below(self.rates.padding + 1)).expect("small");
                Request::Put { cf, key, value: vec![b's'; length].into() }
            });
        }
        if !requests.is_empty() {
            self.send(world, *store, *header, Operation::Scratch, Command::Write(requests));
        }
    }
}
