//! What happens in a world, one event at a time: each is taken from the queue, happens to one store, and
//! leaves behind what will happen next.

use std::time::Duration;

use proto::RegionId;
use proto::raft_serverpb::RaftMessage;
use raftstore::{Admin, Answer, Command, Header};
use runtime::reply::Reply;
use runtime::worker::Inline;

use super::check::{STORES, Verdict, shown};
use super::freight::{self, Damage};
use super::network::ends;
use super::settings::draw;
use super::slow::Did;
use super::world::{Happened, World};

/// How long a turn waits that has nothing to do but to offer again what a worker had no room for.
pub(super) const RETRY: Duration = Duration::from_millis(1);

/// The workers of a store, in the order of `Running::is_due`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Worker {
    Turn,
    Apply,
    Region,
    Scheduler,
}

impl Worker {
    const ALL: [Worker; 4] = [Worker::Turn, Worker::Apply, Worker::Region, Worker::Scheduler];
}

/// Something that will happen.
#[derive(Debug)]
pub(super) enum Event {
    /// A worker of a store takes its next step.
    Work { store: u64, life: u64, worker: Worker },
    /// The clock of a store strikes.
    Tick { store: u64, life: u64 },
    /// A message arrives.
    Message(Box<RaftMessage>),
    /// The files of a snapshot have travelled, and with them its message.
    Freight { message: Box<RaftMessage>, life: u64 },
    /// The scheduler's command arrives at a store.
    Order { store: u64, header: Header, admin: Admin },
    /// The owner's own plan.
    Alarm(u64),
}

impl Event {
    /// The store that it happens to.
    fn store(&self) -> Option<u64> {
        match self {
            Event::Work { store, .. } | Event::Tick { store, .. } | Event::Order { store, .. } => {
                Some(*store)
            }
            Event::Message(message) | Event::Freight { message, .. } => Some(ends(message).1),
            Event::Alarm(_) => None,
        }
    }
}

impl World {
    /// Lets the next thing happen.
    pub fn step(&mut self) -> Verdict<Happened> {
        self.counts.events += 1;
        let Some(((at, _), event)) = self.queue.pop_first() else {
            self.now += RETRY;
            return Ok(Happened::Nothing);
        };
        self.now = self.now.max(at);
        let paused_until =
            event.store().and_then(|store| Some(self.machines.get(&store)?.paused_until));
        if let Some(until) = paused_until
            && until > self.now
        {
            self.push(until, event);
            return Ok(Happened::Nothing);
        }
        match event {
            Event::Work { store, life, worker } if self.lives(store, life) => {
                self.work(store, worker)
            }
            Event::Tick { store, life } if self.lives(store, life) => self.tick(store),
            Event::Work { .. } | Event::Tick { .. } => Ok(Happened::Nothing),
            Event::Message(message) => Ok(self.arrive(message)),
            Event::Freight { message, life } => self.unload(message, life),
            Event::Order { store, header, admin } => {
                self.trace.event(store, || format!("the scheduler to store {store}: {admin:?}"));
                self.command(store, header, Command::Admin(admin), Reply::from_fn(drop::<Answer>));
                Ok(Happened::Nothing)
            }
            Event::Alarm(number) => Ok(Happened::Alarm(number)),
        }
    }

    fn lives(&self, store: u64, life: u64) -> bool {
        let machine = &self.machines[&store];
        machine.life == life && machine.running.is_some()
    }

    pub(super) fn push(&mut self, at: Duration, event: Event) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), event);
    }

    fn work(&mut self, store: u64, worker: Worker) -> Verdict<Happened> {
        let now = self.now;
        let machine = self.machine(store);
        let clock = machine.clock_at(now);
        let Some(running) = &mut machine.running else { return Ok(Happened::Nothing) };
        running.is_due[worker as usize] = false;
        let mut result = Ok(());
        let (did, happened) = match worker {
            Worker::Turn => {
                result = running.raft.turn(clock);
                (Did::Work, Happened::Peers(store))
            }
            Worker::Apply => (running.apply.advance(Inline::run_all), Happened::Data(store)),
            Worker::Region => (running.region.advance(Inline::step), Happened::Data(store)),
            Worker::Scheduler => (running.scheduler.advance(Inline::step), Happened::Nothing),
        };
        let number = store << 3 | (did as u64) << 2 | worker as u64;
        self.trace.event(number, || format!("store {store}: {worker:?}, {did:?}"));
        // Whoever looks at the disks has seen by now what is reported.
        let happened = if did == Did::Report { Happened::Nothing } else { happened };
        self.after(store, result, happened)
    }

    fn tick(&mut self, store: u64) -> Verdict<Happened> {
        let now = self.now;
        let machine = self.machine(store);
        let clock = machine.clock_at(now);
        let Some(running) = &mut machine.running else { return Ok(Happened::Nothing) };
        let result = running.raft.tick(clock);
        self.trace.event(store, || format!("store {store}: tick"));
        self.plan_tick(store);
        self.after(store, result, Happened::Peers(store))
    }

    /// A store has done something: it may have stopped, or has said things and has work to do.
    fn after(
        &mut self,
        store: u64,
        result: raftstore::Result<()>,
        happened: Happened,
    ) -> Verdict<Happened> {
        for line in self.story.take() {
            self.trace.note(|| format!("    {line}"));
        }
        match result {
            Ok(()) => {
                self.settle(store);
                Ok(happened)
            }
            Err(error) if self.machines[&store].is_doomed => {
                self.trace.note(|| format!("store {store} stops: {error}"));
                self.counts.failed_disks += 1;
                self.crash(store);
                Ok(Happened::Crashed(store))
            }
            Err(error) => Err(STORES.violated(format!("store {store} stops: {error}"))),
        }
    }

    pub(super) fn plan_tick(&mut self, store: u64) {
        let (now, tick) = (self.now, self.settings.config.tick.get());
        let late = draw(&mut self.rng, &self.settings.tick_delay);
        let machine = self.machine(store);
        let (local, life) = (machine.local_time(now), machine.life);
        let Some(running) = &mut machine.running else { return };
        // What was missed is dropped.
        while running.next_tick <= local {
            running.next_tick += tick;
        }
        let next = running.next_tick;
        let at = machine.world_time(next) + late;
        self.push(at, Event::Tick { store, life });
    }

    /// Sends what a store has to say, and plans what it has to do.
    pub(crate) fn settle(&mut self, store: u64) {
        for message in self.machines[&store].post.take() {
            self.send(&message);
        }
        self.send_orders();
        let machine = &self.machines[&store];
        let (life, slowness) = (machine.life, machine.slowness);
        let Some(running) = &machine.running else { return };
        let has_arrivals = running.raft.has_arrivals();
        let has_work = [
            running.raft.has_work(),
            running.apply.has_work(),
            running.region.has_work(),
            running.scheduler.has_work(),
        ];
        let is_due = running.is_due;
        for worker in Worker::ALL {
            let place = worker as usize;
            if !has_work[place] || is_due[place] {
                continue;
            }
            let (range, slowness) = match worker {
                Worker::Turn => (&self.settings.turn, slowness[0]),
                Worker::Apply => (&self.settings.apply, slowness[1]),
                Worker::Region => (&self.settings.region, slowness[2]),
                Worker::Scheduler => (&self.settings.scheduler, 1),
            };
            let mut delay = draw(&mut self.rng, range) * slowness;
            if worker == Worker::Turn && !has_arrivals {
                delay = delay.max(RETRY);
            }
            // However slow a worker is, it comes to an end.
            delay = delay.min(self.settings.config.tick.get() * 200);
            self.push(self.now + delay, Event::Work { store, life, worker });
            if let Some(running) = &mut self.machine(store).running {
                running.is_due[place] = true;
            }
        }
    }

    fn send_orders(&mut self) {
        let mut orders = self.orders.lock().expect("no thread panics while it holds the orders");
        let said = std::mem::take(&mut *orders);
        drop(orders);
        for (store, header, admin) in said {
            self.order(store, header, admin);
        }
    }

    /// The scheduler's command leaves for a store.
    pub(super) fn order(&mut self, store: u64, header: Header, admin: Admin) {
        let delay = draw(&mut self.rng, &self.settings.scheduler);
        self.push(self.now + delay, Event::Order { store, header, admin });
    }

    fn send(&mut self, message: &RaftMessage) {
        let arrivals = self.network.arrivals(message, &self.settings, self.now, &mut self.rng);
        let is_freight = freight::of(message).is_some();
        if arrivals.is_empty() {
            self.trace.note(|| format!("lost: {}", tell(message)));
        }
        for at in arrivals {
            let message = Box::new(message.clone());
            if is_freight {
                let life = self.machines[&ends(&message).0].life;
                let at = at + draw(&mut self.rng, &self.settings.freight);
                self.push(at, Event::Freight { message, life });
            } else {
                self.push(at, Event::Message(message));
            }
        }
    }

    fn arrive(&mut self, message: Box<RaftMessage>) -> Happened {
        let (from, to) = ends(&message);
        let inner = message.message.as_ref();
        let (kind, index) = inner.map_or((0, 0), |inner| (inner.msg_type, inner.index));
        self.trace
            .event(index << 16 | from << 12 | to << 8 | u64::from(kind.unsigned_abs()), || {
                format!("arrives: {}", tell(&message))
            });
        let is_down = self.running(to).is_none();
        if is_down || self.network.is_cut(from, to) {
            // Connections notice it sooner or later, or not at all.
            if self.rng.chance(1, 4)
                && let (Some(running), Some(peer)) = (self.running(from), message.to_peer)
            {
                running.router.unreachable(RegionId::new(message.region_id), peer.id);
                self.settle(from);
            }
            return Happened::Nothing;
        }
        self.counts.messages += 1;
        if let Some(running) = self.running(to) {
            running.router.raft_message(message);
        }
        self.settle(to);
        Happened::Nothing
    }

    /// The files of a snapshot arrive, or do not.
    fn unload(&mut self, message: Box<RaftMessage>, life: u64) -> Verdict<Happened> {
        let (from, to) = ends(&message);
        let damage = Damage::draw(&mut self.rng, self.settings.damage);
        let Some((key, data)) = freight::of(&message) else { return Ok(Happened::Nothing) };
        shown::check(&message, &data)?;
        let is_cut = self.network.is_cut(from, to) || self.network.is_cut(to, from);
        let managers = self.running(from).zip(self.running(to));
        let managers = managers.filter(|_| !is_cut && self.lives(from, life));
        let carried = managers.is_some_and(|(source, target)| {
            freight::carry((&source.snapshots, &target.snapshots), key, &data, damage).is_ok()
        });
        self.trace.event(key.index << 8 | from << 4 | to, || {
            format!("files of {key} from {from} to {to}: {damage:?}, arrived: {carried}")
        });
        self.counts.snapshots_sent += 1;
        self.counts.snapshots_damaged += u64::from(damage != Damage::None);
        let (region, peer) = (RegionId::new(message.region_id), message.to_peer);
        if carried && let Some(running) = self.running(to) {
            running.router.raft_message(message);
            self.settle(to);
        }
        if self.lives(from, life)
            && let (Some(running), Some(peer)) = (self.running(from), peer)
        {
            let delivered = carried && damage != Damage::Unreported;
            running.router.snapshot_sent(region, peer.id, key, delivered);
            self.settle(from);
        }
        Ok(Happened::Nothing)
    }
}

/// A message in one line.
fn tell(message: &RaftMessage) -> String {
    let (from, to) = ends(message);
    let region = message.region_id;
    let inner = match &message.message {
        None => "you are gone".to_owned(),
        Some(inner) => raft::Message::try_from(inner.clone())
            .map_or_else(|error| format!("{error:?}"), |inner| inner.to_string()),
    };
    format!("store {from} -> store {to}, region {region}: {inner}")
}
