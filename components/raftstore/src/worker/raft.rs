//! The thread that owns the peers.
//!
//! A turn of [`RaftWorker`] takes what has arrived, for any region, tells the peers, and then does what
//! all of them want done together: one write to the raft engine with one sync, one round of messages.
//! What arrives meanwhile is the next turn's; so the busier it is, the more is done by one sync.
//!
//! The worker never waits for another one. What a full queue does not take stays here and is offered
//! again in the next turn, or is dropped where it will be wished for again.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Durability, WriteBatch};
use proto::RegionId;
use proto::raft_serverpb::RaftMessage;
use proto::schedulerpb::StoreStats;
use runtime::busy::Activity;
use runtime::clock::Instant;
use runtime::ticker::Duties;
use runtime::worker::{Queue, Tasks};
use slog::info;

use super::{ApplyTask, RegionTask, SchedulerTask};
use crate::context::{Context, Outgoing};
use crate::error::Result;
use crate::message::{Completion, StoreMsg};
use crate::meters::{RaftMeters, number};
use crate::peer::Peer;
use crate::peer::stage::Stage;
use crate::region_index::{RegionIndex, Reservation};
use crate::router::Inbound;
use crate::snapshot::{Hold, SnapKey};
use crate::state::{self};

/// Messages and commands that one turn takes in at most, so that the first of them does not wait too
/// long for the sync.
const TURN_MAX: usize = 1024;

/// The queues of the workers that this one hands work to.
pub struct Workers {
    /// Of the apply worker.
    pub apply: Tasks<Vec<ApplyTask>>,
    /// Of the region worker.
    pub region: Tasks<RegionTask>,
    /// Of the scheduler worker.
    pub scheduler: Tasks<SchedulerTask>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StoreDuty {
    Report,
    CollectSnapshots,
}

/// The owner of all peers of a store.
pub struct RaftWorker {
    pub(crate) context: Context,
    pub(crate) peers: BTreeMap<RegionId, Peer>,
    pub(super) index: RegionIndex,
    pub(super) calls: super::store::Calls,
    pub(super) inbox: Queue<Inbound>,
    pub(super) completions: Queue<Completion>,
    pub(super) workers: Workers,
    /// Peers that something has happened to in this turn.
    pub(crate) dirty: BTreeSet<RegionId>,
    /// Files of snapshots that are being checked or installed, so that nobody deletes them.
    pub(crate) holds: BTreeMap<RegionId, (SnapKey, Hold)>,
    /// Regions whose snapshot Raft was shown in this turn, and may not have taken.
    pub(super) shown: Vec<RegionId>,
    pub(super) out: Outgoing,
    duties: Duties<StoreDuty>,
    pub(crate) meters: RaftMeters,
    /// When the commands of this turn were admitted, until they are handed to the disk.
    admitted: Option<Instant>,
    pub(super) is_stopping: bool,
}

impl RaftWorker {
    /// The owner of the peers that the disk has.
    pub(crate) fn new(
        context: Context,
        inbox: Queue<Inbound>,
        completions: Queue<Completion>,
        workers: Workers,
        meters: RaftMeters,
    ) -> Result<Self> {
        let duties = Duties::new()
            .every(context.ticks.store_heartbeat, StoreDuty::Report)
            .every(context.ticks.snapshot_gc, StoreDuty::CollectSnapshots);
        let mut worker = RaftWorker {
            context,
            peers: BTreeMap::new(),
            index: RegionIndex::default(),
            calls: super::store::Calls::default(),
            inbox,
            completions,
            workers,
            dirty: BTreeSet::new(),
            holds: BTreeMap::new(),
            shown: Vec::new(),
            out: Outgoing::default(),
            duties,
            meters,
            admitted: None,
            is_stopping: false,
        };
        worker.load()?;
        worker.hand_over();
        Ok(worker)
    }

    pub(super) fn clear_log(&self, id: RegionId) -> Result<()> {
        let mut batch = WriteBatch::new();
        state::clear_raft(&mut batch, id);
        self.context.engines.raft.write(&batch, Durability::Synced)?;
        Ok(())
    }

    /// Adds a peer, and shows it to the router.
    pub(crate) fn insert(&mut self, mut peer: Peer) {
        let id = peer.region_id();
        peer.publish(&self.context);
        self.dirty.insert(id);
        self.peers.insert(id, peer);
    }

    /// The ends of the queues, to wait for one of them.
    pub(crate) fn queues(&self) -> (&Queue<Inbound>, &Queue<Completion>) {
        (&self.inbox, &self.completions)
    }

    /// Whether a turn would find something that it can do.
    pub fn has_arrivals(&self) -> bool {
        !self.inbox.is_empty() || !self.completions.is_empty() || !self.dirty.is_empty()
    }

    /// Whether a turn would find something to do, be it only to offer again what nobody had room for.
    pub fn has_work(&self) -> bool {
        self.has_arrivals() || !self.out.apply.is_empty() || !self.out.region.is_empty()
    }

    /// Whether the store was asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.is_stopping
    }

    /// Takes in what has arrived, and does what follows from it. `now` is a time that has come before
    /// anything of this turn was looked at. After an error the store must stop: what it has promised
    /// is no longer certain.
    pub fn turn(&mut self, now: Instant) -> Result<()> {
        self.out.now = now;
        // Reports are bounded by what was handed out, and free it; so all of them are taken.
        while let Some(completion) = self.completions.try_take() {
            self.on_completion(completion)?;
        }
        let mut arrived = 0;
        while arrived < TURN_MAX {
            let Some(inbound) = self.inbox.try_take() else { break };
            arrived += 1;
            match inbound {
                Inbound::Peer(region, message) => self.on_peer_message(region, message)?,
                Inbound::Store(StoreMsg::Raft(message)) => self.on_unknown(*message)?,
                Inbound::Store(StoreMsg::Stop) => self.is_stopping = true,
            }
        }
        if arrived > 0 {
            self.meters.arrived.observe(arrived as u64);
            self.admitted = Some(self.meters.ended(&self.meters.admit, now));
        }
        self.settle()
    }

    /// One unit of time has passed.
    pub fn tick(&mut self, now: Instant) -> Result<()> {
        self.out.now = now;
        for (id, peer) in &mut self.peers {
            peer.tick(&self.context, &mut self.out)?;
            self.dirty.insert(*id);
        }
        for duty in self.duties.tick() {
            match duty {
                StoreDuty::Report => self.report(),
                StoreDuty::CollectSnapshots => self.out.region.push(RegionTask::CollectSnapshots),
            }
        }
        self.measure();
        self.settle()
    }

    /// Brings up to date what is looked at once a tick.
    fn measure(&mut self) {
        let router = &self.context.router;
        let is_caught_up = router.is_caught_up() || self.peers.values().all(Peer::is_caught_up);
        if is_caught_up {
            router.note_caught_up();
        }
        let gauges = &self.meters.gauges;
        gauges.regions.set(number(self.peers.len()));
        gauges.leaders.set(number(self.peers.values().filter(|peer| peer.is_leader()).count()));
        gauges.installing.set(number(self.installing()));
        gauges.snapshots.set(number(self.context.snapshots.list().len()));
        gauges.inbox.set(number(self.inbox.len()));
        gauges.apply.set(number(self.workers.apply.len()));
        gauges.region.set(number(self.workers.region.len()));
        gauges.scheduler.set(number(self.workers.scheduler.len()));
    }

    fn installing(&self) -> usize {
        self.peers.values().filter(|peer| matches!(peer.stage, Stage::Installing)).count()
    }

    /// Nothing becomes of a snapshot. What was set aside is free again, unless it is another one's by now.
    pub(super) fn give_up(&mut self, id: RegionId, key: Option<SnapKey>) {
        if self.holds.get(&id).map(|(held, _)| *held) == key {
            self.release(id);
        }
    }

    /// Sets a range aside for a snapshot, and keeps its files.
    pub(super) fn reserve(
        &mut self,
        id: RegionId,
        range: Reservation,
        files: Option<(SnapKey, Hold)>,
    ) {
        self.index.reserve(id, range);
        if let Some(files) = files {
            self.holds.insert(id, files);
        }
    }

    pub(super) fn release(&mut self, id: RegionId) {
        self.index.release(id);
        self.holds.remove(&id);
    }

    /// The peer is gone for good: its tombstone is written by the worker that owns these records.
    pub(super) fn destroy(&mut self, id: RegionId, ended_by: proto::metapb::RegionEpoch) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if !peer.stage.may_be_destroyed() {
            return;
        }
        info!(self.context.log, "peer is being removed"; "region" => id.get());
        let own = peer.own();
        let tombstone = state::tombstone_region(peer.region(), own, ended_by);
        peer.stage = Stage::Destroying;
        peer.farewell();
        peer.publish(&self.context);
        self.out.apply.push(ApplyTask::Destroy { region: id, peer: own, tombstone });
    }

    /// The tombstone is on disk: the log goes, and then the peer.
    pub(super) fn bury(&mut self, id: RegionId) -> Result<()> {
        let Some(mut peer) = self.peers.remove(&id) else { return Ok(()) };
        peer.farewell();
        // Before anybody may call a new peer of this region: its log must not begin with this one.
        self.clear_log(id)?;
        self.index.remove(id);
        self.release(id);
        self.context.router.withdraw(id);
        self.dirty.remove(&id);
        Ok(())
    }

    /// Does together what all peers want done.
    fn settle(&mut self) -> Result<()> {
        let dirty = std::mem::take(&mut self.dirty);
        let mut collected = Vec::with_capacity(dirty.len());
        for id in dirty {
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            if let Some(part) = peer.collect(&self.context, &mut self.out)? {
                collected.push((id, part));
            }
        }
        self.release_unused();
        let messages = std::mem::take(&mut self.out.messages);
        let has_sent = !messages.is_empty();
        self.send(messages);
        if has_sent {
            self.context.transport.flush();
        }
        self.write()?;
        for (id, part) in collected {
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            peer.finish(&mut self.out, part)?;
            peer.answer_reads(&self.context)?;
            if peer.node.has_ready() {
                self.dirty.insert(id);
            }
        }
        if let Some(oldest) = self.out.oldest_committed.take() {
            self.meters.ended(&self.meters.commit, oldest);
        }
        let promises = std::mem::take(&mut self.out.promises);
        if !promises.is_empty() {
            self.send(promises);
            self.context.transport.flush();
        }
        self.hand_over();
        Ok(())
    }

    fn write(&mut self) -> Result<()> {
        if self.out.batch.is_empty() {
            self.admitted = None;
            return Ok(());
        }
        let before = self.meters.now();
        if let Some(admitted) = self.admitted.take() {
            self.meters.propose.observe(before.since(admitted));
        }
        self.meters.begin(Activity::Syncing, before);
        let durability = if self.out.must_sync { Durability::Synced } else { Durability::Unsynced };
        self.context.engines.raft.write(&self.out.batch, durability)?;
        let after = self.meters.ended(&self.meters.sync, before);
        self.meters.begin(Activity::Working, after);
        self.out.batch.clear();
        self.out.must_sync = false;
        Ok(())
    }

    fn send(&mut self, messages: Vec<RaftMessage>) {
        for message in messages {
            let (region, to) =
                (RegionId::new(message.region_id), message.to_peer.unwrap_or_default());
            let is_snapshot =
                message.message.as_ref().is_some_and(|inner| inner.snapshot.is_some());
            if self.context.transport.send(message).is_err()
                && let Some(peer) = self.peers.get_mut(&region)
            {
                if is_snapshot {
                    peer.node.report_snapshot(to.id, false);
                }
                peer.node.report_unreachable(to.id);
            }
        }
    }

    /// Gives ranges free whose snapshot Raft did not take.
    fn release_unused(&mut self) {
        for id in std::mem::take(&mut self.shown) {
            let is_used = self.peers.get(&id).is_some_and(|peer| {
                matches!(peer.stage, Stage::Stopping(_) | Stage::Installing | Stage::Broken)
            });
            if !is_used {
                self.release(id);
            }
        }
    }

    /// Offers what was collected to the other workers.
    fn hand_over(&mut self) {
        if !self.out.apply.is_empty() {
            let tasks = std::mem::take(&mut self.out.apply);
            if let Err(refused) = self.workers.apply.try_send(tasks) {
                // How much can be in here is limited by what each region may hand out.
                self.out.apply = refused.into_task();
            }
        }
        for task in std::mem::take(&mut self.out.region) {
            if let Err(refused) = self.workers.region.try_send(task) {
                self.region_task_refused(refused.into_task());
            }
        }
        for task in std::mem::take(&mut self.out.scheduler) {
            if let Err(refused) = self.workers.scheduler.try_send(task)
                && let SchedulerTask::AskSplit { region, .. } = refused.into_task()
                && let Some(peer) = self.peers.get_mut(&region.region_id())
            {
                peer.check_failed();
            }
        }
    }

    fn region_task_refused(&mut self, task: RegionTask) {
        match task {
            RegionTask::BuildSnapshot(region) => {
                if let Some(peer) = self.peers.get_mut(&region) {
                    peer.node.storage_mut().snapshot_built(None);
                }
            }
            RegionTask::CheckSize { region, .. } => {
                if let Some(peer) = self.peers.get_mut(&region.region_id()) {
                    peer.check_failed();
                }
            }
            RegionTask::CheckSnapshot(message) => {
                self.give_up(RegionId::new(message.region_id), snapshot_key(&message));
            }
            // These must be done, whenever there is room.
            RegionTask::Install(_) | RegionTask::DeleteLog { .. } => self.out.region.push(task),
            RegionTask::CollectSnapshots => {}
        }
    }

    fn report(&mut self) {
        let count = u32::try_from(self.peers.len()).unwrap_or(u32::MAX);
        let stats = StoreStats {
            store_id: self.context.store.get(),
            region_count: count,
            applying_snap_count: u32::try_from(self.installing()).unwrap_or(u32::MAX),
            ..StoreStats::default()
        };
        self.out.scheduler.push(SchedulerTask::StoreHeartbeat(Box::new(stats)));
    }

    pub(super) fn send_now(&mut self, message: RaftMessage) {
        self.out.messages.push(message);
    }
}

/// Which snapshot a message carries, if it does.
pub(super) fn snapshot_key(envelope: &RaftMessage) -> Option<SnapKey> {
    let carried = envelope.message.as_ref()?.snapshot.as_ref()?;
    Some(SnapKey::of(carried, envelope.region_id))
}

impl Drop for RaftWorker {
    fn drop(&mut self) {
        // Whoever looks at a view afterwards must not find a lease in it.
        for id in self.peers.keys() {
            self.context.router.withdraw(*id);
        }
    }
}
