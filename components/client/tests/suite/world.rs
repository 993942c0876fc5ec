//! A cluster in the process of the test: real sockets, a scheduler and stores that do what they are
//! told, and keys in a [`Model`] that all stores share.
//!
//! A store checks what a real one checks: that it has the region and leads it, that the epoch is the
//! region's, and that the keys are in it. A test moves leaders, splits regions, and says what is to go
//! wrong with the calls that come next.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use client::{Client, Config, SchedulerClient};
use proto::kvrpcpb::Context;
use proto::metapb::{Peer, Region, RegionEpoch, Store};
use proto::{errorpb, schedulerpb};
use runtime::Rng;
use runtime::clock::{Clock, SystemClock};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Status};

use crate::model::Model;
use crate::streams::Ending;

/// What goes wrong with a call.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The region does not serve, for this reason.
    Refuse(Box<errorpb::Error>),
    /// The call ends with this status, and nothing was done.
    Fail(Code),
    /// It is done, and then the answer is lost.
    LoseAnswer,
    /// It is never answered, and never done.
    Silence,
    /// It is done and answered when the world is told to release it.
    Hold,
}

/// A region, and the store that leads it.
#[derive(Clone, Debug)]
pub(crate) struct Led {
    pub(crate) region: Region,
    pub(crate) leader: u64,
}

/// What can be told and asked.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) regions: Vec<Led>,
    /// What the scheduler believes; `None` for what is true.
    pub(crate) belief: Option<Vec<Led>>,
    pub(crate) stores: Vec<Store>,
    pub(crate) model: Model,
    /// For the next calls of each name.
    pub(crate) faults: BTreeMap<&'static str, VecDeque<Fault>>,
    /// The calls that came, by name and store.
    pub(crate) calls: Vec<(&'static str, u64)>,
    /// Of so many calls, one goes wrong somehow; zero for none.
    pub(crate) chaos: u64,
    /// Stores do not know what a stream of batches is.
    pub(crate) has_no_streams: bool,
    rng: Option<Rng>,
    latest: u64,
    next_id: u64,
}

/// The cluster.
#[derive(Clone)]
pub(crate) struct World {
    state: Arc<Mutex<State>>,
    address: String,
    released: watch::Sender<bool>,
    endings: broadcast::Sender<Ending>,
}

impl World {
    /// So many stores, and one region on all of them that the first one leads.
    pub(crate) async fn start(stores: u64) -> Self {
        let scheduler = TcpListener::bind("127.0.0.1:0").await.expect("there are ports");
        let address = scheduler.local_addr().expect("it is bound").to_string();
        let (released, endings) = (watch::Sender::new(false), broadcast::Sender::new(4));
        let world = World { state: Arc::default(), address, released, endings };
        for id in 1..=stores {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("there are ports");
            let address = listener.local_addr().expect("it is bound").to_string();
            world.state().stores.push(Store { id, address, ..Store::default() });
            let service = || crate::services::StoreService { world: world.clone(), id };
            let streams = crate::streams::StreamService(Arc::new(service()));
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            let server = Server::builder().add_service(service().into_server());
            let server = server.add_service(streams.into_server());
            tokio::spawn(server.serve_with_incoming(incoming));
        }
        let service = crate::services::SchedulerService { world: world.clone() };
        let incoming = TcpIncoming::from(scheduler).with_nodelay(Some(true));
        let server = Server::builder().add_service(service.into_server());
        tokio::spawn(server.serve_with_incoming(incoming));
        let peers = (1..=stores).map(|store_id| Peer { id: 100 + store_id, store_id }).collect();
        let region_epoch = Some(RegionEpoch { conf_ver: 1, version: 1 });
        let region = Region { id: 1, region_epoch, peers, ..Region::default() };
        {
            let mut state = world.state();
            state.regions.push(Led { region, leader: 1 });
            (state.next_id, state.rng) = (2, Some(Rng::new(1)));
        }
        world
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }

    pub(crate) async fn client(&self) -> Client {
        self.client_with(crate::config()).await
    }

    pub(crate) async fn client_with(&self, config: Config) -> Client {
        let (rng, address) = (Rng::new(7), [self.address()]);
        let connected = SchedulerClient::connect(&address, config.clone(), rng.fork("a"));
        let scheduler = connected.await.expect("it is there");
        Client::new(scheduler, config, Arc::new(SystemClock), rng)
    }

    /// The next call of this name goes wrong like this, after those that were told before.
    pub(crate) fn fault(&self, call: &'static str, fault: Fault) {
        self.state().faults.entry(call).or_default().push_back(fault);
    }

    /// How many calls of this name came.
    pub(crate) fn count(&self, call: &str) -> usize {
        self.state().calls.iter().filter(|(name, _)| *name == call).count()
    }

    /// Who was asked, in order.
    pub(crate) fn asked(&self, call: &str) -> Vec<u64> {
        let state = self.state();
        state.calls.iter().filter(|(name, _)| *name == call).map(|(_, store)| *store).collect()
    }

    /// Cuts the region of a key in two at the key, which is in the regions' form.
    pub(crate) fn split(&self, key: Bytes) {
        self.state().split(key);
    }

    /// Hands the region of a key to another store.
    pub(crate) fn lead(&self, key: &[u8], store: u64) {
        self.state().led(key).leader = store;
    }

    /// From now on the scheduler believes what is true now.
    pub(crate) fn freeze_belief(&self) {
        let mut state = self.state();
        state.belief = Some(state.regions.clone());
    }

    /// Lets everything go on that is held.
    pub(crate) fn release(&self) {
        self.released.send_replace(true);
    }

    /// This becomes of all streams that are open now.
    pub(crate) fn end_streams(&self, ending: Ending) {
        self.endings.send(ending).expect("there are some");
    }

    /// To hear of that.
    pub(crate) fn endings(&self) -> broadcast::Receiver<Ending> {
        self.endings.subscribe()
    }

    /// A call arrives at a store. Answers what is to become of its answer.
    pub(crate) async fn arrive(
        &self,
        call: &'static str,
        store: u64,
        context: Option<&Context>,
        keys: &[Bytes],
    ) -> Result<Arrival, Status> {
        let fault = {
            let mut state = self.state();
            state.calls.push((call, store));
            match state.faults.get_mut(call).and_then(VecDeque::pop_front) {
                Some(fault) => Some(fault),
                None => state.chaos(),
            }
        };
        let loses_answer = match fault {
            Some(Fault::Refuse(error)) => return Ok(Arrival::Refused(error)),
            Some(Fault::Fail(code)) => return Err(Status::new(code, "told to fail")),
            Some(Fault::Silence) => std::future::pending().await,
            Some(Fault::Hold) => {
                let mut released = self.released.subscribe();
                released.wait_for(|released| *released).await.expect("the world goes on");
                false
            }
            Some(Fault::LoseAnswer) => true,
            None => false,
        };
        match self.state().check(store, context, keys) {
            Ok(region) => Ok(Arrival::Serve { region, loses_answer }),
            Err(error) => Ok(Arrival::Refused(error)),
        }
    }

    /// Timestamps that only grow and roughly show the time.
    pub(crate) fn timestamps(&self, count: u32) -> schedulerpb::Timestamp {
        let wall = u64::try_from(SystemClock.wall().as_millis()).expect("a millisecond fits");
        let mut state = self.state();
        state.latest = state.latest.max(wall << 18) + u64::from(count);
        let half = |half: u64| i64::try_from(half).expect("a half fits");
        schedulerpb::Timestamp {
            physical: half(state.latest >> 18),
            logical: half(state.latest & ((1 << 18) - 1)),
        }
    }
}

/// What becomes of a call.
pub(crate) enum Arrival {
    Refused(Box<errorpb::Error>),
    /// It is served, within this range in the regions' form.
    Serve {
        region: (Bytes, Bytes),
        loses_answer: bool,
    },
}

impl State {
    fn led(&mut self, key: &[u8]) -> &mut Led {
        let has = |led: &&mut Led| led.region.contains(key);
        self.regions.iter_mut().find(has).expect("regions cover everything")
    }

    pub(crate) fn split(&mut self, key: Bytes) {
        let id = self.next_id;
        self.next_id += 1;
        let left = self.led(&key);
        if left.region.start_key == key {
            return;
        }
        let mut right = left.clone();
        right.region.id = id;
        right.region.start_key = key.clone();
        for peer in &mut right.region.peers {
            peer.id = id * 100 + peer.store_id;
        }
        left.region.end_key = key;
        for region in [&mut left.region, &mut right.region] {
            region.region_epoch.as_mut().expect("ours have one").version += 1;
        }
        self.regions.push(right);
    }

    /// Something goes wrong, sometimes.
    fn chaos(&mut self) -> Option<Fault> {
        let chaos = self.chaos;
        let rng = self.rng.as_mut()?;
        if chaos == 0 || !rng.chance(1, chaos) {
            return None;
        }
        let (kind, leader) = (rng.below(6), 1 + rng.below(self.stores.len() as u64));
        let key = format!("a{:02}", rng.below(20));
        match kind {
            0 | 1 => return Some(Fault::LoseAnswer),
            2 => return Some(Fault::Fail(Code::Unavailable)),
            3 => {
                let stale = Some(errorpb::StaleCommand {});
                let error = errorpb::Error { stale_command: stale, ..errorpb::Error::default() };
                return Some(Fault::Refuse(error.into()));
            }
            4 => {
                let mut at = Vec::new();
                codec::bytes::encode(&mut at, key.as_bytes());
                self.split(at.into());
            }
            _ => {
                let mut at = Vec::new();
                codec::bytes::encode(&mut at, key.as_bytes());
                self.led(&at).leader = leader;
            }
        }
        None
    }

    /// What a store checks before it serves. Answers the region's range.
    fn check(
        &self,
        store: u64,
        context: Option<&Context>,
        keys: &[Bytes],
    ) -> Result<(Bytes, Bytes), Box<errorpb::Error>> {
        let empty = errorpb::Error::default();
        let context = context.expect("the client names the region");
        let Some(led) = self.regions.iter().find(|led| led.region.id == context.region_id) else {
            let missing = errorpb::RegionNotFound { region_id: context.region_id };
            return Err(errorpb::Error { region_not_found: Some(missing), ..empty }.into());
        };
        if led.leader != store {
            let leader = led.region.peers.iter().find(|peer| peer.store_id == led.leader).copied();
            let not_leader = errorpb::NotLeader { region_id: led.region.id, leader };
            return Err(errorpb::Error { not_leader: Some(not_leader), ..empty }.into());
        }
        if led.region.region_epoch != context.region_epoch {
            let current_regions = self.regions.iter().map(|led| led.region.clone()).collect();
            let epoch_not_match = Some(errorpb::EpochNotMatch { current_regions });
            return Err(errorpb::Error { epoch_not_match, ..empty }.into());
        }
        if !keys.iter().all(|key| led.region.contains(key)) {
            let outside =
                errorpb::KeyNotInRegion { region_id: led.region.id, ..Default::default() };
            return Err(errorpb::Error { key_not_in_region: Some(outside), ..empty }.into());
        }
        Ok((led.region.start_key.clone(), led.region.end_key.clone()))
    }

    /// What the scheduler says of a key.
    pub(crate) fn told(&self, key: &[u8]) -> Option<Led> {
        let believed = self.belief.as_ref().unwrap_or(&self.regions);
        believed.iter().find(|led| led.region.contains(key)).cloned()
    }
}

/// Patience for tests that wait for the end of an attempt, or of all of them.
pub(crate) fn impatient() -> Config {
    Config {
        store_attempt: Duration::from_secs(1),
        operation_total: Duration::from_secs(3),
        commit_total: Duration::from_secs(3),
        ..crate::config()
    }
}

/// The same for tests that must not be cut off in the middle of an attempt.
pub(crate) fn soon_tired() -> Config {
    Config { attempts_max: 12, ..crate::config() }
}
