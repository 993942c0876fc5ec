//! A cluster whose stores are as full as a test says, without the regions to fill them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proto::metapb::{self, Peer, Region, RegionEpoch, StoreState};
use proto::schedulerpb::RegionHeartbeatResponse;
use runtime::Rng;
use runtime::clock::Instant;

use crate::cluster::region::RegionInfo;
use crate::cluster::regions::Load;
use crate::cluster::stores::Store;
use crate::core::Core;
use crate::schedule::View;
use crate::schedule::config::Config;
use crate::schedule::controller::Command;
use crate::schedule::coordinator::Floor;
use crate::schedule::operator::{Kind, Operator, Step};

/// The moment at which every fixture begins: late enough for a silence to lie before it.
pub(super) const START: Duration = Duration::from_hours(24);

/// The weight of a region, in mebibytes.
pub(super) const SIZE: u64 = 10;

pub(super) struct World {
    pub(super) core: Core,
    pub(super) now: Instant,
    config: Config,
    next_peer: u64,
}

impl World {
    pub(super) fn new(replicas: u32) -> Self {
        Self::with(replicas, Config::default())
    }

    pub(super) fn with(replicas: u32, config: Config) -> Self {
        let now = Instant::from_start(START);
        let mut core = Core::new(config.clone(), Rng::new(7), now);
        core.cluster.meta = Some(metapb::Cluster { id: 1, max_peer_count: replicas });
        core.ids.extended(100_000);
        World { core, now, config, next_peer: 1_000_000 }
    }

    pub(super) fn set_replicas(&mut self, replicas: u32) {
        self.core.cluster.meta = Some(metapb::Cluster { id: 1, max_peer_count: replicas });
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        // Stores that are not silent on purpose go on to report.
        let silent = |store: u64| self.silent(store);
        let ids: Vec<u64> = self.core.cluster.stores.iter().map(Store::id).collect();
        let reporting: Vec<u64> = ids.into_iter().filter(|id| !silent(*id)).collect();
        for id in reporting {
            self.core.cluster.stores.get_mut(id).unwrap().heard = Some(self.now);
        }
    }

    fn silent(&self, store: u64) -> bool {
        let store = self.core.cluster.stores.get(store).unwrap();
        store.is_disconnected(self.now) && store.heard.is_none()
    }

    fn store(&mut self, id: u64) -> &mut Store {
        if self.core.cluster.stores.get(id).is_none() {
            let meta = metapb::Store { id, address: format!("s{id}"), ..metapb::Store::default() };
            self.core.cluster.stores.put(meta, self.now);
        }
        self.core.cluster.stores.get_mut(id).unwrap()
    }

    /// A store that holds so many regions, of ten mebibytes each.
    pub(super) fn holds(&mut self, id: u64, regions: u64) {
        let now = self.now;
        let store = self.store(id);
        store.load.regions = regions;
        store.load.region_mib = regions * SIZE;
        store.heard = Some(now);
    }

    /// A store that leads so many regions.
    pub(super) fn leads(&mut self, id: u64, leaders: u64) {
        let now = self.now;
        let store = self.store(id);
        store.load = Load { leaders, leader_mib: leaders * SIZE, ..store.load };
        store.heard = Some(now);
    }

    pub(super) fn state(&mut self, id: u64, state: StoreState) {
        self.store(id).meta.state = state.into();
    }

    pub(super) fn busy(&mut self, id: u64, is_busy: bool) {
        self.store(id).stats.is_busy = is_busy;
    }

    pub(super) fn up(&mut self, id: u64) {
        let now = self.now;
        self.store(id).heard = Some(now);
    }

    /// The store has been silent since the beginning.
    pub(super) fn down(&mut self, id: u64) {
        self.silence(id, START);
    }

    pub(super) fn silence(&mut self, id: u64, silence: Duration) {
        let since = Instant::from_start(self.now.since(Instant::default()).saturating_sub(silence));
        let store = self.store(id);
        (store.heard, store.known_since) = (None, since);
    }

    /// A region whose first store leads.
    pub(super) fn region(&mut self, id: u64, stores: &[u64]) -> RegionInfo {
        let mut region = self.leaderless(id, stores);
        region.leader = region.meta.peers.first().copied();
        region
    }

    pub(super) fn leaderless(&mut self, id: u64, stores: &[u64]) -> RegionInfo {
        let mut peer = |&store_id: &u64| {
            self.next_peer += 1;
            Peer { id: self.next_peer, store_id }
        };
        let peers = stores.iter().map(&mut peer).collect();
        let key = |number: u64| Bytes::from(format!("{number:20}"));
        let meta = Region {
            id,
            start_key: key(id),
            end_key: key(id + 1),
            region_epoch: Some(RegionEpoch { conf_ver: 1, version: 1 }),
            peers,
        };
        RegionInfo { size_mib: SIZE, ..RegionInfo::new(meta, None) }
    }

    /// Puts a region in without touching what the stores hold.
    pub(super) fn put(&mut self, region: RegionInfo) {
        self.core.cluster.regions.put(Arc::new(region));
    }

    pub(super) fn put_new(&mut self, id: u64, stores: &[u64]) {
        let region = self.region(id, stores);
        self.put(region);
    }

    pub(super) fn known(&self, id: u64) -> RegionInfo {
        self.core.cluster.regions.get(id).unwrap().as_ref().clone()
    }

    pub(super) fn view(&self) -> View<'_> {
        View { cluster: &self.core.cluster, now: self.now }
    }

    pub(super) fn balance_region(&mut self) -> Option<Operator> {
        self.core.context(self.now).balance_region()
    }

    pub(super) fn balance_leader(&mut self) -> Option<Operator> {
        self.core.context(self.now).balance_leader()
    }

    pub(super) fn repair(&mut self, region: &RegionInfo) -> Option<Operator> {
        self.core.context(self.now).repair(region)
    }

    pub(super) fn add(&mut self, plan: Operator) -> bool {
        let view = View { cluster: &self.core.cluster, now: self.now };
        self.core.controller.add(view, plan).is_ok()
    }

    /// A region reports, without touching what the stores hold.
    pub(super) fn dispatch(&mut self, region: &RegionInfo) -> Option<Command> {
        self.put(region.clone());
        let view = View { cluster: &self.core.cluster, now: self.now };
        self.core.controller.dispatch(view, region)
    }

    /// Patrol and balancers run, prepared or not.
    pub(super) fn tick(&mut self) -> Vec<Command> {
        let Core { cluster, controller, coordinator, ids, .. } = &mut self.core;
        let mut rng = Rng::new(9);
        let floor = Floor { cluster, controller, ids, rng: &mut rng, config: &self.config };
        coordinator.tick(floor, self.now)
    }
}

/// The region as it is once its leader has done what it was told.
pub(super) fn done(region: &RegionInfo, message: &RegionHeartbeatResponse) -> RegionInfo {
    let mut region = region.clone();
    let mut epoch = region.epoch();
    if let Some(change) = &message.change_peer {
        let peer = change.peer.unwrap();
        region.meta.peers.retain(|known| known.id != peer.id);
        if change.change_type() == proto::eraftpb::ConfChangeType::AddNode {
            region.meta.peers.push(peer);
        }
        epoch.conf_ver += 1;
    }
    if let Some(transfer) = &message.transfer_leader {
        region.leader = transfer.peer;
    }
    region.meta.region_epoch = Some(epoch);
    region
}

pub(super) fn is_add_on(command: &Command, store: u64) -> bool {
    let change = command.message.change_peer.as_ref();
    change.is_some_and(|change| {
        change.change_type() == proto::eraftpb::ConfChangeType::AddNode
            && change.peer.unwrap().store_id == store
    })
}

pub(super) fn is_remove_from(command: &Command, store: u64) -> bool {
    let change = command.message.change_peer.as_ref();
    change.is_some_and(|change| {
        change.change_type() == proto::eraftpb::ConfChangeType::RemoveNode
            && change.peer.unwrap().store_id == store
    })
}

pub(super) fn is_transfer_to(command: &Command, store: u64) -> bool {
    let transfer = command.message.transfer_leader.as_ref();
    transfer.is_some_and(|transfer| transfer.peer.unwrap().store_id == store)
}

pub(super) fn assert_adds(plan: Option<Operator>, kind: Kind, on: u64) {
    let plan = plan.expect("a plan");
    assert!(plan.kind.has(kind.with(Kind::REGION)), "{plan}");
    assert!(matches!(plan.steps(), [Step::AddPeer { store, .. }] if *store == on), "{plan}");
}

pub(super) fn assert_removes(plan: Option<Operator>, kind: Kind, from: u64) {
    let plan = plan.expect("a plan");
    assert!(plan.kind.has(kind.with(Kind::REGION)), "{plan}");
    let fits = match plan.steps() {
        [Step::RemovePeer { store }] => *store == from,
        [Step::TransferLeader { from: leader, .. }, Step::RemovePeer { store }] => {
            *leader == from && *store == from
        }
        _ => false,
    };
    assert!(fits, "{plan}");
}

pub(super) fn assert_transfers(plan: Option<Operator>, from: u64, to: u64) {
    let plan = plan.expect("a plan");
    assert!(plan.kind.has(Kind::BALANCE.with(Kind::LEADER)), "{plan}");
    assert_eq!(plan.steps(), [Step::TransferLeader { from, to }], "{plan}");
}

/// Whether a plan moves a peer; and, with it or without, the leadership.
pub(super) fn assert_moves(plan: Option<Operator>, kind: Kind, from: u64, to: u64) -> bool {
    let plan = plan.expect("a plan");
    assert!(plan.kind.has(kind.with(Kind::REGION)), "{plan}");
    let steps: Vec<Step> = plan.steps().to_vec();
    let is_transfer = |step: &Step| matches!(step, Step::TransferLeader { .. });
    let rest: Vec<Step> = steps.iter().copied().filter(|step| !is_transfer(step)).collect();
    let [Step::AddPeer { store, .. }, Step::RemovePeer { store: removed }] = rest.as_slice() else {
        panic!("{plan}");
    };
    assert_eq!((*removed, *store), (from, to), "{plan}");
    let moves_leader = steps.len() == 3;
    assert_eq!(moves_leader, plan.kind.has(Kind::LEADER), "{plan}");
    moves_leader
}
