//! How clients speak to a cluster: they find a region and its leader, ask, and try again.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use engine::{Cf, KeyRange};
use proto::metapb::{Peer, Region};
use proto::{RegionId, StoreId};
use raftstore::{
    Admin, AdminDone, Answer, Command, Done, Header, LocalRead, RegionError, RegionSnapshot,
    Request, Response,
};
use runtime::reply::Reply;
use sim::store::scheduler::Operator;

use crate::cluster::{Cluster, millis};

/// What a store said, if it said anything in time.
pub(crate) type Said = Option<Result<Done, RegionError>>;

/// A store that says nothing for so long is not waited for.
const COMMAND_LIMIT: Duration = Duration::from_secs(1);

/// How long a client goes on trying.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// What a client pauses before it asks another store, so that it cannot keep a core busy.
const NEXT_STORE: Duration = millis(1);

/// What a client pauses before it looks for the region anew.
const NEXT_TRY: Duration = millis(100);

const UNPOISONED: &str = "no thread panics while it answers";

impl Cluster {
    /// The region of a key, as the scheduler knows it.
    pub(crate) async fn region(&self, key: &str) -> Region {
        self.find_region(key).await.unwrap_or_else(|| panic!("no region has {key:?}"))
    }

    /// The same, if any region has the key: a part that was split off has none to report it while it
    /// has no leader, and with a bad network that may be long.
    async fn find_region(&self, key: &str) -> Option<Region> {
        let look = || self.scheduler().region_by_key(key.as_bytes());
        self.poll_within(millis(2000), millis(20), look).await
    }

    /// Who leads a region, as the scheduler knows it.
    pub(crate) async fn leader(&self, region: u64) -> Peer {
        let look = || self.scheduler().leader(region.into());
        let found = self.poll_within(REQUEST_LIMIT, millis(10), look);
        found.await.unwrap_or_else(|| panic!("region {region} has no leader"))
    }

    /// Sends a command to one store, and waits a while for what it says.
    pub(crate) async fn ask(&self, store: StoreId, header: Header, command: Command) -> Said {
        let slot = Arc::new(Mutex::new(None));
        let (answered, bell) = (Arc::clone(&slot), Arc::clone(&self.bell));
        let reply = Reply::from_fn(move |Answer(result): Answer| {
            *answered.lock().expect(UNPOISONED) = Some(result);
            bell.ring();
        });
        self.backend().command(store, header, command, reply);
        self.wait_until(self.now() + COMMAND_LIMIT, || slot.lock().expect(UNPOISONED).take()).await
    }

    /// Asks the leader of a region, wherever it may have gone, for so long. The region is what the
    /// caller takes it for: that it has become another is an answer.
    pub(crate) async fn ask_leader(
        &self,
        region: &Region,
        command: Command,
        limit: Duration,
    ) -> Said {
        let until = self.now() + limit;
        let mut leader = self.leader(region.id).await;
        while self.now() < until {
            let header = header(region, leader);
            let said = self.ask(leader.store_id.into(), header, command.clone()).await;
            leader = match self.next_leader(region, leader, said) {
                ControlFlow::Break(said) => return Some(said),
                ControlFlow::Continue(next) => next,
            };
            self.sleep(NEXT_STORE).await;
        }
        None
    }

    /// Whom to ask next, or the answer.
    fn next_leader(
        &self,
        region: &Region,
        asked: Peer,
        said: Said,
    ) -> ControlFlow<Result<Done, RegionError>, Peer> {
        let known = self.scheduler().leader(region.region_id()).unwrap_or(asked);
        match said {
            None if known == asked => {
                let any = self.chance(|rng| rng.pick(&region.peers).copied());
                ControlFlow::Continue(any.unwrap_or(known))
            }
            None | Some(Err(RegionError::StaleCommand)) => ControlFlow::Continue(known),
            Some(Err(RegionError::NotLeader { leader, .. })) => {
                ControlFlow::Continue(leader.unwrap_or(known))
            }
            Some(said) => ControlFlow::Break(said),
        }
    }

    /// Has requests executed by the region of a key, whatever it takes.
    pub(crate) async fn request(&self, key: &str, requests: Vec<Request>) -> Done {
        let began = self.now();
        let mut last = None;
        for attempt in 0.. {
            if attempt >= 10 && self.now() >= began + REQUEST_LIMIT {
                break;
            }
            let Some(region) = self.find_region(key).await else { continue };
            let command = Command::Write(requests.clone());
            match self.ask_leader(&region, command, REQUEST_LIMIT).await {
                Some(Ok(done)) => return done,
                other => last = other,
            }
            self.sleep(NEXT_TRY).await;
        }
        panic!("{requests:?} was not done in {REQUEST_LIMIT:?}; the last answer was {last:?}");
    }

    pub(crate) async fn put_cf(&self, cf: Cf, key: &str, value: &str) {
        let put = Request::Put { cf, key: bytes(key), value: bytes(value) };
        let done = self.request(key, vec![put]).await;
        assert!(matches!(done, Done::Written), "a put is answered by {done:?}");
    }

    pub(crate) async fn put(&self, key: &str, value: &str) {
        self.put_cf(Cf::Default, key, value).await;
    }

    pub(crate) async fn delete_cf(&self, cf: Cf, key: &str) {
        let done = self.request(key, vec![Request::Delete { cf, key: bytes(key) }]).await;
        assert!(matches!(done, Done::Written), "a delete is answered by {done:?}");
    }

    pub(crate) async fn delete(&self, key: &str) {
        self.delete_cf(Cf::Default, key).await;
    }

    /// The value that a read through the log finds.
    pub(crate) async fn get(&self, key: &str) -> Option<String> {
        let done = self.request(key, vec![get(key)]).await;
        let Done::Responses(responses) = done else { panic!("a get is answered by {done:?}") };
        let [Response::Get(value)] = &responses[..] else { panic!("a get found {responses:?}") };
        value.as_ref().map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// The values of all keys in `[start, end)`, region after region.
    pub(crate) async fn scan(&self, start: &str, end: &str) -> Vec<String> {
        let mut values = Vec::new();
        let (mut key, end) = (bytes(start), bytes(end));
        while key < end {
            let view = self.view(std::str::from_utf8(&key).expect("keys are text")).await;
            assert!(view.region.contains(&key), "a view of {:?} for {key:?}", view.region);
            let until = match &view.region.end_key {
                here if here.is_empty() => &end,
                here => here.min(&end),
            };
            let range = KeyRange::new(&key, until);
            let mut cursor = view.snapshot.cursor(Cf::Default, range).expect("the disk works");
            let mut is_valid = cursor.seek_to_first().expect("the disk works");
            while is_valid {
                values.push(String::from_utf8_lossy(cursor.value()).into_owned());
                is_valid = cursor.next().expect("the disk works");
            }
            if view.region.end_key.is_empty() {
                break;
            }
            key = view.region.end_key.clone();
        }
        values
    }

    /// A view of the region of a key, in one of the three ways to get one: through the log, by a proof
    /// of leadership, or under a lease if there is one.
    async fn view(&self, key: &str) -> RegionSnapshot {
        let way = self.chance(|rng| rng.below(3));
        for _ in 0..50 {
            if way == 0 {
                break;
            }
            let Some(region) = self.find_region(key).await else { break };
            let leader = self.leader(region.id).await;
            if way == 2
                && let LocalRead::Answered(Ok(view)) =
                    self.backend().read(leader.store_id.into(), &header(&region, leader))
            {
                return view;
            }
            if let Some(Ok(Done::Read(view))) =
                self.ask_leader(&region, Command::Read, REQUEST_LIMIT).await
            {
                return view;
            }
            self.sleep(NEXT_TRY).await;
        }
        let done = self.request(key, vec![Request::Snap]).await;
        let Done::Responses(mut responses) = done else { panic!("answered by {done:?}") };
        match responses.pop() {
            Some(Response::Snap(view)) if responses.is_empty() => view,
            other => panic!("a request for a view found {other:?}, {responses:?}"),
        }
    }

    /// Asks once for another leader. The answer comes at once, as nothing is replicated.
    async fn transfer_leader(&self, region: RegionId, to: Peer) {
        let Some(region) = self.scheduler().region_by_id(region) else { return };
        let command = Command::Admin(Admin::TransferLeader { to });
        match self.ask_leader(&region, command, REQUEST_LIMIT).await {
            // Where it is refused, one is under way already, or the region has changed meanwhile.
            Some(
                Ok(Done::Admin(AdminDone::TransferLeader))
                | Err(RegionError::Busy(_) | RegionError::EpochNotMatch { .. }),
            ) => {}
            other => panic!("a transfer of leadership is answered by {other:?}"),
        }
    }

    /// Lets this peer lead.
    pub(crate) async fn must_transfer_leader(&self, region: u64, to: Peer) {
        let region = RegionId::new(region);
        let until = self.now() + REQUEST_LIMIT;
        while self.scheduler().leader(region) != Some(to) {
            assert!(self.now() < until, "{to:?} does not become leader of {region:?}");
            self.transfer_leader(region, to).await;
            self.sleep(millis(10)).await;
        }
    }

    /// Gives a region a peer.
    pub(crate) async fn must_add_peer(&self, region: u64, peer: Peer) {
        self.must_add_peer_within(REQUEST_LIMIT, region.into(), peer).await;
    }

    /// Takes a peer from a region.
    pub(crate) async fn must_remove_peer(&self, region: u64, peer: Peer) {
        self.must_remove_peer_within(REQUEST_LIMIT, region.into(), peer).await;
    }

    /// Gives a region a peer, for which there is so much time.
    pub(crate) async fn must_add_peer_within(&self, limit: Duration, region: RegionId, peer: Peer) {
        self.scheduler().set_operator(region, Operator::AddPeer(peer));
        let is_there =
            || self.scheduler().region_by_id(region)?.peers.contains(&peer).then_some(());
        let done = self.poll_within(limit, millis(10), is_there).await;
        assert!(done.is_some(), "{peer:?} is not added to {:?}", self.told(region));
    }

    /// Takes a peer from a region, for which there is so much time.
    pub(crate) async fn must_remove_peer_within(
        &self,
        limit: Duration,
        region: RegionId,
        peer: Peer,
    ) {
        self.scheduler().set_operator(region, Operator::RemovePeer(peer));
        let is_gone = || {
            let known = self.scheduler().region_by_id(region)?;
            (!known.peers.contains(&peer)).then_some(())
        };
        let done = self.poll_within(limit, millis(10), is_gone).await;
        assert!(done.is_some(), "{peer:?} is not removed from {:?}", self.told(region));
    }

    fn told(&self, region: RegionId) -> (Option<Region>, Option<Peer>) {
        (self.scheduler().region_by_id(region), self.scheduler().leader(region))
    }
}

/// A read of one key through the log.
pub(crate) fn get(key: &str) -> Request {
    Request::Get { cf: Cf::Default, key: bytes(key) }
}

fn header(region: &Region, leader: Peer) -> Header {
    Header { region: region.region_id(), peer: Some(leader), epoch: region.epoch(), term: 0 }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}
