//! Where a message for a region goes, and reads that need to go nowhere.
//!
//! Any thread may hold a [`Router`]. It knows which regions this store has, from a list that the
//! thread which owns the peers keeps current; that list is all they share. A message for a region
//! that is not on it goes to the store, which decides what to make of it; a command for one is
//! answered at once.
//!
//! # Reads under a lease
//!
//! For each region the owner publishes a [`View`]: what the region is, who leads it in which term,
//! and, while this store's peer leads and surely will for a while, until when: the *lease*. A reader
//! looks at the view, takes a snapshot of the engine, and looks at the view again:
//!
//! ```text
//!   view: lease valid, term 7        view: the same term, epoch, and a lease that is still valid
//!          |                                 |
//!   -------+------------ snapshot -----------+-------> served, without a hop to another thread
//! ```
//!
//! The second look proves that nobody else led, and nothing was written elsewhere, up to a moment
//! after the snapshot. The first proves that the snapshot is not from before this peer had applied
//! what its predecessors left: the lease is published only after that.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

use engine::Engine;
use proto::metapb::{Peer, Region};
use proto::raft_serverpb::RaftMessage;
use proto::{RegionId, StoreId};
use runtime::clock::{Clock, Instant};
use runtime::mutant;
use runtime::reply::Reply;
use runtime::worker::Tasks;

use crate::error::RegionError;
use crate::message::{Answer, Command, Done, Header, Looked, PeerMsg, RegionSnapshot, StoreMsg};
use crate::snapshot::SnapKey;

/// What everybody may know about a region of this store.
#[derive(Clone, Debug)]
pub struct View {
    /// The region.
    pub region: Arc<Region>,
    /// This store's peer of it.
    pub peer: Peer,
    /// Its term.
    pub term: u64,
    /// Who leads, as far as it knows.
    pub leader: Option<Peer>,
    /// Until when it may serve reads alone.
    pub lease_until: Option<Instant>,
}

impl View {
    fn has_lease(&self, now: Instant) -> bool {
        self.lease_until.is_some_and(|until| now < until)
    }
}

/// What waits for the thread that owns the peers.
#[derive(Debug)]
pub enum Inbound {
    /// Something for a region's peer.
    Peer(RegionId, PeerMsg),
    /// Something for the store.
    Store(StoreMsg),
}

/// What a read came to without asking anybody.
#[derive(Debug)]
pub enum LocalRead {
    /// It is answered.
    Answered(Result<RegionSnapshot, RegionError>),
    /// Only the peer can tell: send it a [`Command::Read`].
    Ask,
}

/// The way to the regions of one store.
#[derive(Clone)]
pub struct Router(Arc<Shared>);

struct Shared {
    store: StoreId,
    kv: Arc<dyn Engine>,
    clock: Arc<dyn Clock>,
    inbox: Tasks<Inbound>,
    views: RwLock<BTreeMap<RegionId, Arc<RwLock<View>>>>,
    is_caught_up: AtomicBool,
}

const UNPOISONED: &str = "no thread panics while it holds a view";

impl Router {
    /// A router without regions, for the store whose peers take from the other end of `inbox`.
    pub(crate) fn new(
        store: StoreId,
        kv: Arc<dyn Engine>,
        clock: Arc<dyn Clock>,
        inbox: Tasks<Inbound>,
    ) -> Self {
        let (views, is_caught_up) = (RwLock::default(), AtomicBool::new(false));
        Router(Arc::new(Shared { store, kv, clock, inbox, views, is_caught_up }))
    }

    /// The store whose regions these are.
    pub fn store(&self) -> StoreId {
        self.0.store
    }

    /// Sends a command to its region. Whatever happens, the reply is answered.
    pub fn command(&self, header: Header, command: Command, reply: Reply<Answer>) {
        if let Err(error) = self.check_store(&header) {
            return reply.answer(Answer(Err(error)));
        }
        if self.slot(header.region).is_none() {
            let region = header.region.get();
            return reply.answer(Answer(Err(RegionError::NotFound { region })));
        }
        let region = header.region;
        let inbound = Inbound::Peer(region, PeerMsg::Command { header, command, reply });
        if let Err(refused) = self.0.inbox.try_send(inbound) {
            let why = if refused.is_full() {
                "too many commands wait for the raft thread"
            } else {
                "the store is stopping"
            };
            if let Inbound::Peer(_, PeerMsg::Command { reply, .. }) = refused.into_task() {
                reply.answer(Answer(Err(RegionError::Busy(why))));
            }
        }
    }

    /// Reads under a lease, if there is one.
    pub fn read(&self, header: &Header) -> LocalRead {
        self.read_between(header, || ())
    }

    /// The same, with whatever else happens between the two looks.
    pub(crate) fn read_between(&self, header: &Header, meanwhile: impl FnOnce()) -> LocalRead {
        if let Err(error) = self.check_store(header) {
            return LocalRead::Answered(Err(error));
        }
        let Some(slot) = self.slot(header.region) else {
            let region = header.region.get();
            return LocalRead::Answered(Err(RegionError::NotFound { region }));
        };
        let before = slot.read().expect(UNPOISONED).clone();
        if !before.has_lease(self.0.clock.now()) {
            return LocalRead::Ask;
        }
        // A failed disk is found out by whoever owns it; a reader only learns that it must ask.
        let Ok(snapshot) = self.0.kv.snapshot() else { return LocalRead::Ask };
        meanwhile();
        let after = slot.read().expect(UNPOISONED).clone();
        let is_unchanged =
            after.term == before.term && after.region.epoch() == before.region.epoch();
        if !is_unchanged || !after.has_lease(self.0.clock.now()) {
            runtime::mark!("lease ended during a read");
            return LocalRead::Ask;
        }
        if !is_meant_for(header, &after) {
            return LocalRead::Ask;
        }
        LocalRead::Answered(Ok(RegionSnapshot { region: after.region, term: after.term, snapshot }))
    }

    /// Takes in a raft message. It is dropped when the inbox is full: Raft sends it again.
    pub fn raft_message(&self, message: Box<RaftMessage>) {
        let region = RegionId::new(message.region_id);
        let inbound = if self.slot(region).is_some() {
            Inbound::Peer(region, PeerMsg::Raft(message))
        } else {
            Inbound::Store(StoreMsg::Raft(message))
        };
        drop(self.0.inbox.try_send(inbound));
    }

    /// The transport could not reach a peer.
    pub fn unreachable(&self, region: RegionId, peer: u64) {
        drop(self.0.inbox.try_send(Inbound::Peer(region, PeerMsg::Unreachable { peer })));
    }

    /// What became of a snapshot that was sent. Should this be lost, Raft asks the follower itself
    /// after a while.
    pub fn snapshot_sent(&self, region: RegionId, to: u64, key: SnapKey, delivered: bool) {
        let message = PeerMsg::SnapshotSent { to, key, delivered };
        drop(self.0.inbox.try_send(Inbound::Peer(region, message)));
    }

    /// Asks a region's peer how it is.
    pub fn look(&self, region: RegionId, reply: Reply<Looked>) {
        // Where there is no peer, or no room, the reply is dropped, which answers that nothing is known.
        if self.slot(region).is_some() {
            drop(self.0.inbox.try_send(Inbound::Peer(region, PeerMsg::Look(reply))));
        }
    }

    /// What is known about a region, if this store has it.
    pub fn view(&self, region: RegionId) -> Option<View> {
        Some(self.slot(region)?.read().expect(UNPOISONED).clone())
    }

    /// What is known about all regions of this store.
    pub fn views(&self) -> Vec<View> {
        let views = self.0.views.read().expect(UNPOISONED);
        views.values().map(|slot| slot.read().expect(UNPOISONED).clone()).collect()
    }

    /// Whether all regions of this store have had a leader and what it knew, once since the start.
    pub fn is_caught_up(&self) -> bool {
        self.0.is_caught_up.load(Ordering::Relaxed)
    }

    /// All of them have.
    pub(crate) fn note_caught_up(&self) {
        self.0.is_caught_up.store(true, Ordering::Relaxed);
    }

    /// How many messages and commands wait.
    pub fn waiting(&self) -> usize {
        self.0.inbox.len()
    }

    /// The sending end of the inbox itself.
    pub(crate) fn inbox(&self) -> Tasks<Inbound> {
        self.0.inbox.clone()
    }

    /// Shows what a region is now.
    pub(crate) fn publish(&self, region: RegionId, view: View) {
        if let Some(slot) = self.slot(region) {
            *slot.write().expect(UNPOISONED) = view;
            return;
        }
        let mut views = self.0.views.write().expect(UNPOISONED);
        views.insert(region, Arc::new(RwLock::new(view)));
    }

    /// The store does not have the region any more.
    pub(crate) fn withdraw(&self, region: RegionId) {
        let slot = self.0.views.write().expect(UNPOISONED).remove(&region);
        // A reader may hold the slot still.
        if let Some(slot) = slot {
            slot.write().expect(UNPOISONED).lease_until = None;
        }
    }

    fn slot(&self, region: RegionId) -> Option<Arc<RwLock<View>>> {
        self.0.views.read().expect(UNPOISONED).get(&region).map(Arc::clone)
    }

    fn check_store(&self, header: &Header) -> Result<(), RegionError> {
        let actual = self.0.store.get();
        match header.peer {
            Some(peer) if peer.store_id != actual => {
                Err(RegionError::StoreNotMatch { asked: peer.store_id, actual })
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Whether a read is for this peer and this range; its peer finds the right words where it is not.
fn is_meant_for(header: &Header, view: &View) -> bool {
    let is_peer = header.peer.is_none_or(|peer| peer.id == 0 || peer.id == view.peer.id);
    is_peer && (mutant::on(12) || header.epoch.is_same_range_as(&view.region.epoch()))
}

impl Done {
    /// The snapshot that a [`Command::Read`] is answered with.
    pub fn into_snapshot(self) -> Option<RegionSnapshot> {
        match self {
            Done::Read(snapshot) => Some(snapshot),
            Done::Written | Done::Responses(_) | Done::Admin(_) => None,
        }
    }
}
