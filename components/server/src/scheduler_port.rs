//! The scheduler as a store sees it: [`client::SchedulerClient`] behind raftstore's trait.
//!
//! Raftstore calls from a thread that may wait, the client is asynchronous; so this port has an async
//! runtime of its own, on one thread, which does not have to compete with the calls of clients. What the
//! scheduler wants done comes as the answer to a region's report, and goes to the region as a command.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use client::scheduler::heartbeats::RegionHeartbeats;
use proto::eraftpb::ConfChangeType;
use proto::metapb::{Region, Store};
use proto::schedulerpb::{RegionHeartbeatRequest, RegionHeartbeatResponse, StoreStats};
use proto::{RegionId, StoreId};
use raftstore::{
    Admin, Answer, Command, Header, RegionHeartbeat, Router, SchedulerClient, SchedulerError,
};
use runtime::Rng;
use runtime::clock::{Clock, SystemClock};
use runtime::reply::Reply;
use slog::{Logger, debug, info, warn};
use storage::{Replicated, Storage as _};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::node::NodeError;
use crate::transport::{Address, Resolver};

/// How long a scheduler that cannot be reached is left alone before the next attempt.
const PAUSE: Duration = Duration::from_secs(1);

/// The way to the scheduler.
pub(crate) struct SchedulerPort {
    runtime: Runtime,
    client: client::SchedulerClient,
    reports: RegionHeartbeats,
    router: Arc<Mutex<Option<Router>>>,
    /// Whether the store stops.
    is_closed: watch::Sender<bool>,
    /// The directory whose disk is reported.
    path: PathBuf,
    /// When the process started, in seconds since 1970.
    started: u32,
}

const UNPOISONED: &str = "no thread panics while it holds the router";

impl SchedulerPort {
    /// Connects, and keeps trying until `is_over`. `None` if that came first.
    pub(crate) fn connect(
        addresses: &str,
        path: PathBuf,
        log: &Logger,
        is_over: impl Fn() -> bool,
    ) -> std::io::Result<Option<Arc<Self>>> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("scheduler")
            .enable_all()
            .build()?;
        let addresses: Vec<&str> = addresses.split(',').map(str::trim).collect();
        let client = loop {
            if is_over() {
                return Ok(None);
            }
            let rng = Rng::new(SystemClock.wall().subsec_nanos().into());
            let config = client::Config::default();
            let connected = client::SchedulerClient::connect(&addresses, config, rng);
            match runtime.block_on(connected) {
                Ok(client) => break client,
                Err(error) => {
                    warn!(log, "the scheduler cannot be reached; trying again"; "error" => %error);
                    // Made inside the runtime, as a pause needs its clock.
                    runtime.block_on(async { tokio::time::sleep(PAUSE).await });
                }
            }
        };
        info!(log, "connected to the scheduler"; "cluster" => client.cluster_id());
        let router: Arc<Mutex<Option<Router>>> = Arc::default();
        let reports = {
            let _inside = runtime.enter();
            let (router, log) = (Arc::clone(&router), log.clone());
            client.region_heartbeats(move |answer| match answer {
                Ok(wish) => fulfil(&router, &wish),
                Err(error) => debug!(log, "reports do not reach the scheduler"; "error" => %error),
            })
        };
        let started = u32::try_from(SystemClock.wall().as_secs()).unwrap_or(u32::MAX);
        let is_closed = watch::Sender::new(false);
        let port = SchedulerPort { runtime, client, reports, router, is_closed, path, started };
        Ok(Some(Arc::new(port)))
    }

    /// The cluster that this store belongs to.
    pub(crate) fn cluster(&self) -> u64 {
        self.client.cluster_id()
    }

    /// Takes over the cluster's safe point: others may have collected old versions while this store was
    /// away, or was none yet, and it must not serve readers who would miss them.
    pub(crate) fn raise_safe_point(&self, storage: &Replicated) -> Result<(), NodeError> {
        let safe_point = self.runtime.block_on(self.client.gc_safe_point());
        let safe_point =
            safe_point.map_err(|error| raftstore::Error::Scheduler(error.to_string()))?;
        self.runtime.block_on(storage.raise_safe_point(safe_point.get()))?;
        Ok(())
    }

    /// From now on there are regions that wishes can go to.
    pub(crate) fn report_to(&self, router: Router) {
        *self.router.lock().expect(UNPOISONED) = Some(router);
    }

    /// The store stops: nobody takes wishes any more, and no answer is waited for. A scheduler that is gone
    /// too would hold up the end of the process, for as long as each call may take.
    pub(crate) fn close(&self) {
        self.is_closed.send_replace(true);
        *self.router.lock().expect(UNPOISONED) = None;
    }

    fn call<T>(&self, call: impl Future<Output = client::Result<T>>) -> Result<T, SchedulerError> {
        let mut is_closed = self.is_closed.subscribe();
        self.runtime.block_on(async {
            tokio::select! {
                answer = call => answer.map_err(|error| SchedulerError(error.to_string())),
                _ = is_closed.wait_for(|is_closed| *is_closed) => {
                    Err(SchedulerError("the store stops".to_owned()))
                }
            }
        })
    }
}

/// Turns what the scheduler wants into a command for the region's leader.
fn fulfil(router: &Mutex<Option<Router>>, wish: &RegionHeartbeatResponse) {
    let Some(router) = router.lock().expect(UNPOISONED).clone() else { return };
    let admin = if let Some(change) = &wish.change_peer {
        let (Ok(kind), Some(peer)) = (ConfChangeType::try_from(change.change_type), change.peer)
        else {
            return;
        };
        Admin::ChangePeer { change: kind, peer }
    } else if let Some(transfer) = &wish.transfer_leader {
        let Some(to) = transfer.peer else { return };
        Admin::TransferLeader { to }
    } else {
        return;
    };
    let header = Header {
        region: RegionId::new(wish.region_id),
        peer: wish.target_peer,
        epoch: wish.region_epoch.unwrap_or_default(),
        term: 0,
    };
    // The next report shows whether it came about; if not, the scheduler says it again.
    router.command(header, Command::Admin(admin), Reply::from_fn(|_answer: Answer| ()));
}

impl SchedulerClient for SchedulerPort {
    fn alloc_id(&self) -> Result<u64, SchedulerError> {
        self.call(self.client.alloc_id())
    }

    fn is_bootstrapped(&self) -> Result<bool, SchedulerError> {
        self.call(self.client.is_bootstrapped())
    }

    /// The scheduler learns of the first region when its leader reports it.
    fn bootstrap(&self, store: &Store, _region: &Region) -> Result<bool, SchedulerError> {
        self.call(self.client.bootstrap(store))
    }

    fn put_store(&self, store: &Store) -> Result<(), SchedulerError> {
        self.call(self.client.put_store(store))
    }

    fn store_heartbeat(&self, stats: &StoreStats) -> Result<(), SchedulerError> {
        let mut stats = stats.clone();
        stats.start_time = self.started;
        if let Ok(disk) = rustix::fs::statvfs(&self.path) {
            stats.capacity = disk.f_blocks.saturating_mul(disk.f_frsize);
            stats.available = disk.f_bavail.saturating_mul(disk.f_frsize);
        }
        self.call(self.client.store_heartbeat(&stats))
    }

    fn region_heartbeat(&self, heartbeat: RegionHeartbeat) -> Result<(), SchedulerError> {
        let report = RegionHeartbeatRequest {
            header: None,
            region: Some(heartbeat.region),
            leader: Some(heartbeat.leader),
            down_peers: heartbeat.down_peers,
            pending_peers: heartbeat.pending_peers,
            approximate_size: heartbeat.approximate_size,
        };
        self.reports.report(report).map_err(|error| SchedulerError(error.to_string()))
    }

    fn ask_split(&self, region: &Region) -> Result<(RegionId, Vec<u64>), SchedulerError> {
        let (region, peers) = self.call(self.client.ask_split(region))?;
        Ok((RegionId::new(region), peers))
    }

    fn region(&self, id: RegionId) -> Result<Option<Region>, SchedulerError> {
        let found = self.call(self.client.region_by_id(id.get()))?;
        Ok(found.map(|found| found.region))
    }
}

impl Resolver for SchedulerPort {
    fn address(&self, store: StoreId) -> Address<'_> {
        let client = self.client.clone();
        // The client's connections live on this port's runtime, and are used from there.
        let asked = self.runtime.spawn(async move { client.store(store.get()).await });
        Box::pin(async move {
            match asked.await {
                Ok(Ok(Some(store))) => Ok(store.address),
                Ok(Ok(None)) => Err("the scheduler does not know the store".to_owned()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(error) => Err(error.to_string()),
            }
        })
    }
}
