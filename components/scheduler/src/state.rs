//! What the parts of the process share, and who may touch it.
//!
//! | part | thread | touches |
//! |---|---|---|
//! | calls and streams | gRPC | reads the core, takes timestamps and ids, reports |
//! | [`keeper`](crate::keeper) | its own | writes records, and then changes what they speak of |
//! | [`rounds`](crate::rounds) | its own | ticks the core, sends commands |
//!
//! No lock is held while anything waits: neither for the disk, nor for the network.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use proto::schedulerpb::{RegionHeartbeatResponse, ResponseHeader, Timestamp};
use runtime::clock::Clock;
use tokio::sync::mpsc::Sender;
use tonic::Status;

use crate::cluster::heartbeat::Reported;
use crate::core::Core;
use crate::error::{Error, Result};
use crate::member::Membership;
use crate::metrics::Meters;
use crate::schedule::controller::Command;
use crate::tso::{Time, Tso, TsoError};
use proto::metapb::Region;

/// Regions that wait to be remembered; more are dropped, and remembered with a later report.
const NEWS_MAX: usize = 100_000;

/// A message of a stream.
pub type Message<T> = std::result::Result<T, Status>;

/// What the parts share.
pub struct State {
    /// The cluster's id.
    pub cluster_id: u64,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Who leads.
    pub membership: Membership,
    /// What is counted.
    pub meters: Meters,
    core: Mutex<Core>,
    tso: Mutex<Tso>,
    streams: Mutex<Streams>,
    news: Mutex<News>,
}

/// Where commands to stores go: the newest stream on which a store has reported.
#[derive(Default)]
struct Streams {
    of_store: BTreeMap<u64, (u64, Sender<Message<RegionHeartbeatResponse>>)>,
    next: u64,
}

/// What the map has learned and the disk does not know yet.
#[derive(Debug, Default)]
pub struct News {
    /// Regions that are new, or elsewhere.
    pub regions: BTreeMap<u64, Arc<Region>>,
    /// Regions that are gone.
    pub gone: BTreeSet<u64>,
}

impl State {
    /// Puts the parts together.
    pub fn new(
        cluster_id: u64,
        clock: Arc<dyn Clock>,
        membership: Membership,
        (core, tso): (Core, Tso),
        meters: Meters,
    ) -> Self {
        State {
            cluster_id,
            clock,
            membership,
            meters,
            core: Mutex::new(core),
            tso: Mutex::new(tso),
            streams: Mutex::default(),
            news: Mutex::default(),
        }
    }

    /// The core, for a moment.
    pub fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().expect("a panic ends the process")
    }

    /// The timestamps, for a moment.
    pub fn tso(&self) -> MutexGuard<'_, Tso> {
        self.tso.lock().expect("a panic ends the process")
    }

    /// What stands before every response.
    #[expect(clippy::unnecessary_wraps, reason = "a response has it as an option")]
    pub fn header(&self) -> Option<ResponseHeader> {
        Some(ResponseHeader { cluster_id: self.cluster_id, error: None })
    }

    /// Whether this process may answer.
    pub fn check_leads(&self) -> Result<()> {
        let leads = self.membership.leads(self.clock.now());
        if leads { Ok(()) } else { Err(Error::NotLeader) }
    }

    /// Takes timestamps. First the numbers, then the question whether they are still ours to give.
    pub fn take_timestamps(&self, count: u32) -> std::result::Result<Timestamp, TsoError> {
        let timestamp = self.tso().take(count, Time::of(self.clock.as_ref()))?;
        if !self.membership.leads(self.clock.now()) {
            return Err(TsoError::Closed);
        }
        Ok(timestamp)
    }

    /// A region was reported: it is to be remembered.
    pub fn note(&self, reported: &Reported) {
        let mut news = self.news.lock().expect("a panic ends the process");
        for old in &reported.evicted {
            news.regions.remove(&old.id());
            news.gone.insert(old.id());
        }
        if reported.is_news && news.regions.len() < NEWS_MAX {
            let region = &reported.region;
            news.gone.remove(&region.id());
            news.regions.insert(region.id(), Arc::new(region.meta.clone()));
        }
    }

    /// What is to be remembered since the last time.
    pub fn take_news(&self) -> News {
        std::mem::take(&mut self.news.lock().expect("a panic ends the process"))
    }

    /// From now on a store's commands go to this stream. The number tells it from others.
    pub fn bind(&self, store: u64, sender: Sender<Message<RegionHeartbeatResponse>>) -> u64 {
        let mut streams = self.streams();
        streams.next += 1;
        let number = streams.next;
        streams.of_store.insert(store, (number, sender));
        number
    }

    /// A stream has ended; if it was the store's newest, commands have nowhere to go.
    pub fn unbind(&self, store: u64, number: u64) {
        let mut streams = self.streams();
        if streams.of_store.get(&store).is_some_and(|(newest, _)| *newest == number) {
            streams.of_store.remove(&store);
        }
    }

    /// Sends commands. One that finds no room, or no stream, is said again by its plan.
    pub fn send(&self, commands: impl IntoIterator<Item = Command>) {
        let streams = self.streams();
        for Command { store, mut message } in commands {
            message.header = self.header();
            let stream = streams.of_store.get(&store);
            let sent = stream.is_some_and(|(_, sender)| sender.try_send(Ok(message)).is_ok());
            let counter =
                if sent { &self.meters.commands_sent } else { &self.meters.commands_dropped };
            counter.inc();
        }
    }

    /// Ends all streams, as a leader that stops leading does.
    pub fn drop_streams(&self) {
        self.streams().of_store.clear();
    }

    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().expect("a panic ends the process")
    }
}
