//! The way between the stores of one process.
//!
//! A message passes all filters or is lost; then it is handed to the router of its store. A snapshot's
//! files go before its message. Who carries the messages is the backend's: with threads they arrive at
//! once, and files are copied by a thread of their own; with simulated time they are kept here until
//! the backend takes and delivers them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use prost::Message;
use proto::raft_serverpb::{RaftMessage, RaftSnapshotData};
use proto::{RegionId, StoreId};
use raftstore::snapshot::{self, SnapKey, SnapManager};
use raftstore::{Router, Transport, Unsent};
use runtime::Rng;
use runtime::worker::Tasks;

use crate::filter::Filter;

/// Where a store can be reached.
#[derive(Clone)]
struct Station {
    router: Router,
    snapshots: Arc<SnapManager>,
}

struct State {
    stations: BTreeMap<StoreId, Station>,
    filters: Vec<Filter>,
    rng: Rng,
    /// On their way, where nobody carries them at once.
    kept: Vec<RaftMessage>,
    carrier: Carrier,
}

/// Who carries messages.
pub(crate) enum Carrier {
    /// The sender; only files go by this thread.
    Sender(Tasks<RaftMessage>),
    /// The backend, when it pleases.
    Backend,
}

/// The network of a cluster.
pub(crate) struct Network(Mutex<State>);

impl Network {
    pub(crate) fn new(rng: Rng) -> Self {
        let state = State {
            stations: BTreeMap::new(),
            filters: Vec::new(),
            rng,
            kept: Vec::new(),
            carrier: Carrier::Backend,
        };
        Network(Mutex::new(state))
    }

    /// From now on messages are carried like this.
    pub(crate) fn set_carrier(&self, carrier: Carrier) {
        self.state().carrier = carrier;
    }

    /// The store can be reached.
    pub(crate) fn connect(&self, router: Router, snapshots: Arc<SnapManager>) {
        self.state().stations.insert(router.store(), Station { router, snapshots });
    }

    /// The store is down.
    pub(crate) fn disconnect(&self, store: StoreId) {
        self.state().stations.remove(&store);
    }

    /// Adds a filter to those that are there.
    pub(crate) fn add_filter(&self, filter: Filter) {
        self.state().filters.push(filter);
    }

    /// Everything passes again.
    pub(crate) fn clear_filters(&self) {
        self.state().filters.clear();
    }

    /// The messages that wait to be carried.
    pub(crate) fn take(&self) -> Vec<RaftMessage> {
        std::mem::take(&mut self.state().kept)
    }

    /// Hands a message over, with the files of its snapshot if it has one.
    pub(crate) fn deliver(&self, message: RaftMessage) {
        let (from, to) = ends(&message);
        let state = self.state();
        let (from, to) = (state.stations.get(&from).cloned(), state.stations.get(&to).cloned());
        drop(state);
        let Some(to) = to else { return };
        let Some((key, data)) = announced(&message) else {
            return to.router.raft_message(Box::new(message));
        };
        let Some(from) = from else { return };
        let delivered = snapshot::transfer(&from.snapshots, &to.snapshots, key, &data).is_ok();
        let peer = message.to_peer.unwrap_or_default().id;
        if delivered {
            to.router.raft_message(Box::new(message));
        }
        from.router.snapshot_sent(RegionId::new(key.region), peer, key, delivered);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no thread panics while it holds the network")
    }
}

impl Transport for Network {
    fn send(&self, message: RaftMessage) -> Result<(), Unsent> {
        let (from, to) = ends(&message);
        let mut guard = self.state();
        let state = &mut *guard;
        if !state.filters.iter().all(|filter| filter.passes(from, to, &mut state.rng)) {
            return Err(Unsent { why: "a filter stopped it" });
        }
        if !state.stations.contains_key(&to) {
            return Err(Unsent { why: "the store is down" });
        }
        match &state.carrier {
            Carrier::Backend => state.kept.push(message),
            Carrier::Sender(files) if announced(&message).is_some() => {
                files.try_send(message).map_err(|_| Unsent { why: "too many snapshots" })?;
            }
            Carrier::Sender(_) => {
                drop(guard);
                self.deliver(message);
            }
        }
        Ok(())
    }
}

/// The stores between which a message goes.
pub(crate) fn ends(message: &RaftMessage) -> (StoreId, StoreId) {
    let store = |peer: Option<proto::metapb::Peer>| StoreId::new(peer.unwrap_or_default().store_id);
    (store(message.from_peer), store(message.to_peer))
}

/// The snapshot of which a message speaks.
fn announced(message: &RaftMessage) -> Option<(SnapKey, RaftSnapshotData)> {
    let snapshot = message.message.as_ref()?.snapshot.as_ref()?;
    let data = RaftSnapshotData::decode(snapshot.data.clone()).ok()?;
    Some((SnapKey::of(snapshot, message.region_id), data))
}
