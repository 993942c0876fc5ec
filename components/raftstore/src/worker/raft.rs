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
use prost::Message as _;
use proto::RegionId;
use proto::metapb::{Peer as PeerRecord, Region};
use proto::raft_serverpb::{RaftMessage, RaftSnapshotData};
use proto::schedulerpb::StoreStats;
use raft::Storage as _;
use runtime::clock::Instant;
use runtime::reply::Reply;
use runtime::ticker::Duties;
use runtime::worker::{Queue, Tasks};
use slog::{info, warn};

use super::{ApplyTask, RegionTask, SchedulerTask};
use crate::context::{Context, Outgoing};
use crate::error::{Error, RegionError, Result};
use crate::message::{Answer, Applied, Command, Completion, Header, PeerMsg, StoreMsg};
use crate::peer::applied::Consequence;
use crate::peer::stage::Stage;
use crate::peer::stale::{self, Verdict};
use crate::peer::{self, Peer};
use crate::region_index::{RegionIndex, Reservation};
use crate::router::Inbound;
use crate::snapshot::{Hold, SnapKey};
use crate::state::{self, InstallMarker};
use crate::storage::PeerStorage;

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
    pub(super) context: Context,
    pub(super) peers: BTreeMap<RegionId, Peer>,
    pub(super) index: RegionIndex,
    pub(super) calls: super::store::Calls,
    inbox: Queue<Inbound>,
    completions: Queue<Completion>,
    workers: Workers,
    /// Peers that something has happened to in this turn.
    dirty: BTreeSet<RegionId>,
    /// Files of snapshots that are being checked or installed, so that nobody deletes them.
    holds: BTreeMap<RegionId, (SnapKey, Hold)>,
    /// Regions whose snapshot Raft was shown in this turn, and may not have taken.
    shown: Vec<RegionId>,
    out: Outgoing,
    duties: Duties<StoreDuty>,
    is_stopping: bool,
}

impl RaftWorker {
    /// The owner of the peers that the disk has.
    pub(crate) fn new(
        context: Context,
        inbox: Queue<Inbound>,
        completions: Queue<Completion>,
        workers: Workers,
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
            is_stopping: false,
        };
        worker.load()?;
        worker.hand_over();
        Ok(worker)
    }

    /// Makes the peers of all regions that the disk has, and goes on with what a crash has interrupted.
    fn load(&mut self) -> Result<()> {
        let markers = state::install_markers(&*self.context.engines.kv)?;
        for (id, state) in state::region_states(&*self.context.engines.kv)? {
            if markers.contains_key(&id) {
                continue;
            }
            if state::is_tombstone(&state) {
                self.clear_after_tombstone(id, &state::region_of(&state))?;
                continue;
            }
            let region = state::region_of(&state);
            let Some(own) = region.peer_on_store(self.context.store).copied() else {
                let why = "it has no peer on this store";
                return Err(Error::corrupt("region state", id.get(), why));
            };
            let storage = PeerStorage::load(self.context.engines.clone(), region.clone())?;
            let peer = Peer::new(&self.context, own, storage, Stage::Active, true)?;
            self.out.apply.push(peer.registration());
            self.index.put(&region);
            self.insert(peer);
        }
        for (_, marker) in markers {
            self.resume_install(marker)?;
        }
        info!(self.context.log, "store opened"; "regions" => self.peers.len());
        Ok(())
    }

    fn resume_install(&mut self, marker: InstallMarker) -> Result<()> {
        let region = marker.region.clone().unwrap_or_default();
        let id = region.region_id();
        let Some(own) = region.peer_on_store(self.context.store).copied() else {
            return Err(Error::corrupt("install marker", id.get(), "it has no peer on this store"));
        };
        let (start, end) = (marker.clear_start.clone(), marker.clear_end.clone());
        let carried = marker.snapshot.clone().unwrap_or_default();
        let data = RaftSnapshotData::decode(carried.data.clone()).unwrap_or_default();
        // Should the files be gone, the install finds it out and says so.
        let key = SnapKey::of(&carried, id.get());
        let files = self.context.snapshots.accept(key, &data).ok().map(|hold| (key, hold));
        self.reserve(id, Reservation { start, end }, files);
        let peer = Peer::resume_install(&self.context, marker, own, &mut self.out)?;
        self.insert(peer);
        Ok(())
    }

    /// A tombstone was written, and perhaps the log was not deleted any more. It is, unless it belongs
    /// to a peer that was called after the removed one.
    fn clear_after_tombstone(&mut self, id: RegionId, tombstone: &Region) -> Result<()> {
        let raft = &*self.context.engines.raft;
        if state::raft_state(raft, id)?.is_none() {
            return Ok(());
        }
        let owner: Option<Region> =
            state::load(raft, &crate::keys::raft_owner(id), "raft owner", id)?;
        let is_newer =
            owner.is_some_and(|owner| owner.epoch().conf_ver > tombstone.epoch().conf_ver);
        if !is_newer {
            self.clear_log(id)?;
        }
        Ok(())
    }

    fn clear_log(&self, id: RegionId) -> Result<()> {
        let mut batch = WriteBatch::new();
        state::clear_raft(&mut batch, id);
        self.context.engines.raft.write(&batch, Durability::Synced)?;
        Ok(())
    }

    /// Adds a peer, and shows it to the router.
    pub(super) fn insert(&mut self, mut peer: Peer) {
        let id = peer.region_id();
        peer.publish(&self.context);
        self.dirty.insert(id);
        self.peers.insert(id, peer);
    }

    /// How many peers there are.
    pub fn peers(&self) -> usize {
        self.peers.len()
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
        for _ in 0..TURN_MAX {
            let Some(inbound) = self.inbox.try_take() else { break };
            match inbound {
                Inbound::Peer(region, message) => self.on_peer_message(region, message)?,
                Inbound::Store(StoreMsg::Raft(message)) => self.on_unknown(*message)?,
                Inbound::Store(StoreMsg::Stop) => self.is_stopping = true,
            }
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
        self.settle()
    }

    fn on_peer_message(&mut self, id: RegionId, message: PeerMsg) -> Result<()> {
        match message {
            PeerMsg::Raft(message) => self.on_raft_message(*message)?,
            PeerMsg::Command { header, command, reply } => {
                self.on_command(id, &header, command, reply);
            }
            PeerMsg::Unreachable { peer: other } => {
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.node.report_unreachable(other);
                }
            }
            PeerMsg::SnapshotSent { to, key, delivered } => {
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.node.report_snapshot(to, delivered);
                    if !delivered {
                        peer.node.storage_mut().forget_snapshot();
                        warn!(self.context.log, "a snapshot did not arrive"; "to" => to, "index" => key.index);
                    }
                }
            }
        }
        self.dirty.insert(id);
        Ok(())
    }

    fn on_command(
        &mut self,
        id: RegionId,
        header: &Header,
        command: Command,
        reply: Reply<Answer>,
    ) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return reply.answer(Answer(Err(RegionError::NotFound { region: id.get() })));
        };
        match peer.admit(header, &command) {
            Ok(()) => peer.begin(&self.context, header, command, reply),
            Err(error) => reply.answer(Answer(Err(self.with_neighbours(error)))),
        }
    }

    /// A client whose region has changed is told about the regions beside it as well.
    fn with_neighbours(&self, error: RegionError) -> RegionError {
        let RegionError::EpochNotMatch { mut regions } = error else { return error };
        if let Some(region) = regions.first().cloned() {
            regions.extend(self.index.right_neighbour(&region).cloned());
            regions.extend(self.index.left_neighbour(&region).cloned());
        }
        RegionError::EpochNotMatch { regions }
    }

    pub(super) fn on_raft_message(&mut self, envelope: RaftMessage) -> Result<()> {
        let id = RegionId::new(envelope.region_id);
        let Some(from) = super::store::validate(&envelope, self.context.store) else {
            runtime::mark!("an envelope that makes no sense");
            return Ok(());
        };
        let Some(peer) = self.peers.get_mut(&id) else { return self.on_unknown(envelope) };
        if envelope.is_tombstone {
            if stale::is_believable(&envelope, peer.region(), peer.own()) {
                self.destroy(id, envelope.region_epoch.unwrap_or_default());
            }
            return Ok(());
        }
        let Some(message) = envelope.message.clone() else { return Ok(()) };
        let wants_vote = peer::wants_vote(&message);
        match stale::judge(&envelope, peer.region(), peer.own(), wants_vote) {
            Verdict::Fresh => {}
            Verdict::Ignore | Verdict::ForAnother => return Ok(()),
            Verdict::TellSender => {
                let epoch = peer.region().epoch();
                self.tell_that_it_is_gone(&envelope, epoch);
                return Ok(());
            }
            Verdict::OwnIsGone => {
                self.destroy(id, envelope.region_epoch.unwrap_or_default());
                return Ok(());
            }
        }
        if !peer.stage.takes_messages() {
            return Ok(());
        }
        if let Some(snapshot) = &message.snapshot {
            // Its files are read through first; one that is being looked at already need not be twice.
            if !self.holds.contains_key(&id) && self.admit_snapshot(id, snapshot) {
                self.out.region.push(RegionTask::CheckSnapshot(Box::new(envelope)));
            }
            return Ok(());
        }
        self.step(id, from, message)
    }

    fn step(
        &mut self,
        id: RegionId,
        from: PeerRecord,
        message: proto::eraftpb::Message,
    ) -> Result<()> {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.meet(from);
            peer.step(message)?;
            self.dirty.insert(id);
        }
        Ok(())
    }

    /// The files of a snapshot were read through: Raft may look at it, if the peer is still as it was.
    fn on_snapshot_checked(&mut self, envelope: RaftMessage, is_whole: bool) -> Result<()> {
        let id = RegionId::new(envelope.region_id);
        let own = self.peers.get(&id).filter(|peer| peer.stage.takes_messages()).map(Peer::own);
        let is_for_own = own.is_some() && own == envelope.to_peer;
        let key = snapshot_key(&envelope);
        let (Some(from), Some(message)) = (envelope.from_peer, envelope.message) else {
            return Ok(());
        };
        if is_whole && is_for_own {
            self.shown.push(id);
            return self.step(id, from, message);
        }
        self.give_up(id, key);
        Ok(())
    }

    /// Nothing becomes of a snapshot. What was set aside is free again, unless it is another one's by now.
    fn give_up(&mut self, id: RegionId, key: Option<SnapKey>) {
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

    fn release(&mut self, id: RegionId) {
        self.index.release(id);
        self.holds.remove(&id);
    }

    fn on_completion(&mut self, completion: Completion) -> Result<()> {
        match completion {
            Completion::Applied(reports) => {
                for applied in reports {
                    self.on_applied(applied)?;
                }
            }
            Completion::ApplierStopped(id) => {
                if let Some(peer) = self.touch(id) {
                    // Borrowed apart, as the peer is part of the worker.
                    let mut out = std::mem::take(&mut self.out);
                    let accepted =
                        self.peers.get_mut(&peer).map(|peer| peer.on_applier_stopped(&mut out));
                    self.out = out;
                    accepted.transpose()?;
                }
            }
            Completion::Destroyed(id) => self.bury(id)?,
            Completion::SnapshotBuilt { region, snapshot } => {
                if self.touch(region).is_some()
                    && let Some(peer) = self.peers.get_mut(&region)
                {
                    peer.node.storage_mut().snapshot_built(snapshot);
                }
            }
            Completion::SnapshotChecked { message, is_whole } => {
                self.on_snapshot_checked(*message, is_whole)?;
            }
            Completion::SnapshotInstalled { region, installed } => {
                self.on_installed(region, installed);
            }
            Completion::SizeKnown { region, epoch, size, split_key } => {
                if let Some(peer) = self.peers.get_mut(&region) {
                    peer.on_size_known(epoch, size, split_key, &mut self.out);
                }
            }
            Completion::SplitIds { region, epoch, key, ids } => {
                if let Some(peer) = self.peers.get_mut(&region) {
                    peer.on_split_ids(&self.context, epoch, key, ids);
                    self.dirty.insert(region);
                }
            }
            Completion::Membership { region, current } => self.on_membership(region, current),
            Completion::Failed(why) => return Err(Error::Worker(why)),
        }
        Ok(())
    }

    /// Marks a peer as one that something has happened to, if it is there.
    fn touch(&mut self, id: RegionId) -> Option<RegionId> {
        self.peers.contains_key(&id).then(|| {
            self.dirty.insert(id);
            id
        })
    }

    fn on_applied(&mut self, applied: Applied) -> Result<()> {
        let id = applied.region;
        let Some(peer) = self.peers.get_mut(&id) else { return Ok(()) };
        let consequences = peer.on_applied(&self.context, applied, &mut self.out)?;
        self.dirty.insert(id);
        for consequence in consequences {
            match consequence {
                Consequence::RegionChanged(region) => self.index.put(&region),
                Consequence::RightPart { right, campaigns } => self.add_right(right, campaigns)?,
                Consequence::Gone => self.bury(id)?,
            }
        }
        Ok(())
    }

    /// The right part of a split is here: as a new peer, or as one that was called before.
    fn add_right(&mut self, right: Region, campaigns: bool) -> Result<()> {
        let id = right.region_id();
        let Some(own) = right.peer_on_store(self.context.store).copied() else { return Ok(()) };
        if let Some(known) = self.peers.get(&id)
            && matches!(known.stage, Stage::Destroying)
        {
            runtime::mark!("the right part of a split is being removed already");
            return Ok(());
        }
        // What it has promised while it was only called is on disk, or was never said.
        let storage = PeerStorage::load(self.context.engines.clone(), right.clone())?;
        let mut peer = Peer::new(&self.context, own, storage, Stage::Active, false)?;
        self.out.apply.push(peer.registration());
        if campaigns {
            peer.node.campaign().map_err(peer::at(id))?;
        }
        self.index.put(&right);
        self.insert(peer);
        for call in self.calls.take(id) {
            self.on_raft_message(call)?;
        }
        Ok(())
    }

    fn on_installed(&mut self, id: RegionId, installed: bool) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if let Some(region) = peer.on_installed(installed, &mut self.out) {
            self.release(id);
            self.index.put(&region);
        }
        self.dirty.insert(id);
    }

    /// What the scheduler says about a peer that has heard from no leader.
    fn on_membership(&mut self, id: RegionId, current: Option<Region>) {
        let (Some(peer), Some(current)) = (self.peers.get(&id), current) else { return };
        let is_newer = current.epoch().conf_ver > peer.region().epoch().conf_ver;
        if is_newer && !current.peers.contains(&peer.own()) {
            runtime::mark!("the scheduler says that the peer is gone");
            self.destroy(id, current.epoch());
        }
    }

    /// The peer is gone for good: its tombstone is written by the worker that owns these records.
    pub(super) fn destroy(&mut self, id: RegionId, ended_by: proto::metapb::RegionEpoch) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if !peer.stage.may_be_destroyed() {
            return;
        }
        info!(self.context.log, "peer is being removed"; "region" => id.get());
        let tombstone = state::tombstone_region(peer.region(), peer.own(), ended_by);
        peer.stage = Stage::Destroying;
        peer.farewell();
        peer.publish(&self.context);
        self.out.apply.push(ApplyTask::Destroy { region: id, tombstone });
    }

    /// The tombstone is on disk: the log goes, and then the peer.
    fn bury(&mut self, id: RegionId) -> Result<()> {
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
            return Ok(());
        }
        let durability = if self.out.must_sync { Durability::Synced } else { Durability::Unsynced };
        self.context.engines.raft.write(&self.out.batch, durability)?;
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
        let installing =
            self.peers.values().filter(|peer| matches!(peer.stage, Stage::Installing)).count();
        let stats = StoreStats {
            store_id: self.context.store.get(),
            region_count: count,
            applying_snap_count: u32::try_from(installing).unwrap_or(u32::MAX),
            ..StoreStats::default()
        };
        self.out.scheduler.push(SchedulerTask::StoreHeartbeat(Box::new(stats)));
    }

    pub(super) fn send_now(&mut self, message: RaftMessage) {
        self.out.messages.push(message);
    }

    /// Panics if an invariant does not hold; for tests and the simulator.
    pub fn check_invariants(&self) {
        for (id, peer) in &self.peers {
            peer.node.check_invariants();
            assert_eq!(*id, peer.region_id(), "a peer stands under another region's id");
            let storage = peer.storage();
            let (truncated, applied, last) =
                (storage.truncated().index, storage.applied_index(), storage.last_index());
            assert!(
                truncated <= applied && applied <= last,
                "P1: region {id}: truncated {truncated} <= applied {applied} <= last {last}"
            );
        }
        for region in self.index.iter() {
            let peer = self.peers.get(&region.region_id());
            assert!(peer.is_some(), "region {} of the index has no peer", region.id);
        }
    }

    /// The regions that this store has data of, in the order of their keys; for tools and checkers.
    pub fn regions(&self) -> Vec<Region> {
        self.index.iter().cloned().collect()
    }

    /// What Raft says about each region; for tools and checkers.
    pub fn statuses(&self) -> Vec<(RegionId, PeerRecord, raft::Status)> {
        let status = |(id, peer): (&RegionId, &Peer)| (*id, peer.own(), peer.node.status());
        self.peers.iter().map(status).collect()
    }

    /// Commands and reads that wait; for tools and checkers.
    pub fn waiting(&self) -> usize {
        self.peers.values().map(Peer::waiting).sum()
    }
}

/// Which snapshot a message carries, if it does.
fn snapshot_key(envelope: &RaftMessage) -> Option<SnapKey> {
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
