//! The parts of a scheduler, put together; how it starts, and how it stops.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use engine::Engine;
use program::incoming::Incoming;
use program::pages::Pages;
use program::{About, Failure, ListenError, listen};
use proto::schedulerpb::Member;
use runtime::Rng;
use runtime::clock::Clock;
use runtime::metrics::Metrics;
use runtime::shutdown::Stopping;
use runtime::worker::{Alarm, Panicked, Tasks, Worker};
use slog::{Logger, info, warn};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::transport::Server;

use crate::config::Config;
use crate::core::Core;
use crate::endpoints::Endpoints;
use crate::error::Error;
use crate::keeper::{self, Keeper};
use crate::member::{Membership, Term};
use crate::meta::worker::MetaRunner;
use crate::meta::{self, Identity, Limits, Space};
use crate::metrics::Meters;
use crate::outside::{Candidate, Outside, OutsideRecords};
use crate::records::{EngineRecords, Records};
use crate::rounds::{Nothing, Rounds};
use crate::service::bounds::Bounds;
use crate::service::etcd::{Backend, Etcd};
use crate::service::scheduler::Service;
use crate::service::status::Shown;
use crate::state::State;
use crate::tso::Tso;

/// Calls that one connection may have under way at a time.
const CALLS_PER_CONNECTION: u32 = 4096;

/// A connection over which nothing comes is asked whether it is alive, and closed if it does not answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PATIENCE: Duration = Duration::from_secs(3);

/// How long the calls under way may take once the process is asked to stop; streams never end by
/// themselves.
const DRAIN_MAX: Duration = Duration::from_secs(1);

/// What waits for the keeper, and for the space; more is refused as busy.
const KEEPER_QUEUE: usize = 4096;
const SPACE_QUEUE: usize = 8192;

/// How often each of them looks at the time.
const KEEPER_TICK: Duration = Duration::from_millis(50);
const SPACE_TICK: Duration = Duration::from_millis(100);
const ROUNDS_TICK: Duration = Duration::from_millis(10);

/// How long the etcd behind us may take for one call of ours.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why a scheduler cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The data cannot be used.
    #[error(transparent)]
    Scheduler(#[from] Error),
    /// The directory belongs to somebody else.
    #[error(
        "the data directory belongs to {found}, and not to {wanted}; start with another -data-dir, or \
         with the settings it was made with"
    )]
    Foreign {
        /// Whose it is.
        found: String,
        /// Whose it should be.
        wanted: String,
    },
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The system refused a thread or a signal.
    #[error("the process cannot run: {0}")]
    System(#[from] io::Error),
    /// The real etcd cannot be used.
    #[error("the etcd behind --etcd-endpoints cannot be used: {0}")]
    Outside(String),
    /// Something broke while serving, and going on would be guessing.
    #[error("the scheduler had to stop: {0}")]
    Failed(String),
    /// A thread ended by a panic.
    #[error(transparent)]
    Panicked(#[from] Panicked),
    /// The transport failed while serving.
    #[error("serving failed: {0}")]
    Transport(#[from] tonic::transport::Error),
}

impl From<engine::Error> for NodeError {
    fn from(error: engine::Error) -> Self {
        NodeError::Scheduler(error.into())
    }
}

/// Serves until the process is asked to stop.
#[cfg(feature = "rocksdb")]
pub fn run(config: &Config, about: &About, logger: &Logger) -> Result<(), NodeError> {
    use engine::{Layout, OpenMode, Recovery, Rocks};
    use program::{async_runtime, end_with_a_panic, listen_to_signals};
    use runtime::clock::SystemClock;
    use runtime::shutdown::Stop;

    let path = config.data_dir().join("meta");
    let (mode, recovery) = (OpenMode::CreateIfMissing, Recovery::Strict);
    let rocks = Rocks::open(&path, Layout::Raft, &config.engine, mode, recovery)?;
    let stop = Stop::new();
    listen_to_signals(stop.trigger(), logger.clone())?;
    let failure = Arc::new(Failure::new(stop.trigger()));
    end_with_a_panic(Arc::clone(&failure));
    let runtime = async_runtime()?;
    let base = Base {
        engine: Arc::new(rocks),
        clock: Arc::new(SystemClock),
        failure: Arc::clone(&failure),
        about: about.clone(),
        logger: logger.clone(),
    };
    let (served, workers) = runtime.block_on(async {
        let running = Running::start(config, base).await?;
        if let Some(addr) = running.status_addr {
            info!(logger, "status port open"; "addr" => %addr);
        }
        info!(logger, "serving"; "addr" => %running.addr);
        Ok::<_, NodeError>(running.until(&stop.stopping(), logger).await)
    })?;
    // From the outside in: once no task of the runtime is left, the queues close and their threads end.
    drop(runtime);
    let ended = workers.into_iter().try_for_each(Worker::join);
    if let Some(reason) = failure.reason() {
        return Err(NodeError::Failed(reason.to_owned()));
    }
    served?;
    ended?;
    info!(logger, "stopped");
    Ok(())
}

/// What a scheduler stands on.
pub struct Base {
    /// The disk.
    pub engine: Arc<dyn Engine>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What ends it from within.
    pub failure: Arc<Failure>,
    /// How it was started.
    pub about: About,
    /// What it tells a person.
    pub logger: Logger,
}

/// A scheduler that serves.
pub struct Running {
    /// Where it serves calls.
    pub addr: SocketAddr,
    /// Where it serves pages, if it does.
    pub status_addr: Option<SocketAddr>,
    /// What its parts share.
    pub state: Arc<State>,
    /// What must be written goes here.
    pub keeper: Tasks<keeper::Task>,
    parts: Parts,
}

/// What has started and not begun to serve.
struct Parts {
    listener: TcpListener,
    pages: Option<(TcpListener, Pages)>,
    etcd: Etcd,
    bounds: Bounds,
    candidate: Option<Candidate>,
    rounds: Tasks<Nothing>,
    workers: Vec<Worker>,
}

/// On what a scheduler stands: a space of its own, or a real etcd.
struct Footing {
    cluster_id: u64,
    records: Arc<dyn Records>,
    memory: Option<EngineRecords>,
    outside: Option<Behind>,
}

/// A real etcd behind us.
struct Behind {
    /// For our own calls, which have no patience.
    etcd: Outside,
    /// For clients' calls and streams, which bring their own.
    clients: Endpoints,
    guard: Arc<AtomicI64>,
}

impl Footing {
    async fn find(config: &Config, base: &Base, rng: &mut Rng) -> Result<Self, NodeError> {
        let memory = EngineRecords::new(Arc::clone(&base.engine));
        let endpoints = &config.etcd_endpoints;
        let chosen = if config.cluster_id == 0 { rng.next_u64() >> 1 } else { config.cluster_id };
        if endpoints.is_empty() {
            let cluster_id = own(&memory, chosen.max(1), HERE, config.cluster_id == 0)?;
            let records = Arc::new(memory.clone());
            return Ok(Footing { cluster_id, records, memory: Some(memory), outside: None });
        }
        let ours = Endpoints::new(endpoints, Some(PATIENCE)).map_err(NodeError::Outside)?;
        let clients = Endpoints::new(endpoints, None).map_err(NodeError::Outside)?;
        let opened = Outside::open(ours, chosen.max(1), &base.logger).await;
        let (etcd, cluster_id) = opened.map_err(NodeError::Outside)?;
        if config.cluster_id != 0 && config.cluster_id != cluster_id {
            let found = format!("cluster {cluster_id}");
            return Err(NodeError::Foreign { found, wanted: format!("cluster {chosen}") });
        }
        own(&memory, cluster_id, OUTSIDE, false)?;
        let records = OutsideRecords::new(etcd.clone(), tokio::runtime::Handle::current());
        let guard = records.guard();
        let outside = Some(Behind { etcd, clients, guard });
        Ok(Footing { cluster_id, records: Arc::new(records), memory: None, outside })
    }
}

/// The thread with a key space of our own.
fn own_space(
    config: &Config,
    base: &Base,
    state: &State,
    alarm: &Alarm,
    rng: Rng,
) -> Result<(Tasks<meta::worker::Task>, Worker), NodeError> {
    let limits = Limits {
        bytes: config.meta.quota.as_usize(),
        revisions: i64::from(config.meta.history),
        watchers: config.limits.watchers as usize,
        ..Limits::default()
    };
    let identity = Identity { cluster: state.cluster_id, member: state.membership.me().member_id };
    let space = Space::open(base.engine.as_ref(), identity, limits, base.clock.now())?;
    let (engine, clock) = (Arc::clone(&base.engine), Arc::clone(&base.clock));
    let runner = MetaRunner::new(space, engine, clock, rng, Arc::clone(&base.failure));
    Ok(Worker::spawn_ticking("space", SPACE_QUEUE, SPACE_TICK, alarm, runner)?)
}

impl Running {
    /// Starts the parts, from the inside out; when it returns, the port is open.
    pub async fn start(config: &Config, base: Base) -> Result<Self, NodeError> {
        let (listener, addr) = listen(config.client_addr(), "-client-urls").await?;
        if !addr.ip().is_loopback() {
            warn!(base.logger, "listening for other machines without encryption"; "addr" => %addr);
        }
        let status = match config.status_addr.parse().ok() {
            Some(addr) => Some(listen(addr, "-status-addr").await?),
            None => None,
        };
        let mut rng = seed(base.clock.as_ref());
        let footing = Footing::find(config, &base, &mut rng).await?;
        let metrics = Metrics::new("tinyscheduler");
        let now = base.clock.now();
        let core = Core::new(config.schedule.clone(), rng.fork("core"), now);
        let tso = Tso::new(config.tso_save_interval.get());
        let membership = Membership::new(myself(config, addr, footing.cluster_id));
        let (clock, meters) = (Arc::clone(&base.clock), Meters::new(&metrics));
        let cluster_id = footing.cluster_id;
        let state = Arc::new(State::new(cluster_id, clock, membership, (core, tso), meters));

        let failure = Arc::clone(&base.failure);
        let alarm = Alarm::new(move |panicked| failure.report(&panicked.to_string()));
        let mut keeper = Keeper::new(
            Arc::clone(&state),
            (footing.records, footing.memory),
            Arc::clone(&base.failure),
            config.replication.max_replicas,
            base.logger.clone(),
        );
        let mut workers = Vec::new();
        let backend = if let Some(outside) = &footing.outside {
            Backend::Outside(outside.clients.clone())
        } else {
            keeper.lead()?;
            state.membership.lead(Term::Endless);
            let (space, worker) = own_space(config, &base, &state, &alarm, rng.fork("leases"))?;
            workers.push(worker);
            Backend::Own(space)
        };
        let (keeper, worker) =
            Worker::spawn_ticking("keeper", KEEPER_QUEUE, KEEPER_TICK, &alarm, keeper)?;
        workers.insert(0, worker);
        let rounds = Rounds::new(Arc::clone(&state));
        let (rounds, worker) = Worker::spawn_ticking("rounds", 1, ROUNDS_TICK, &alarm, rounds)?;
        workers.insert(0, worker);
        let candidate = footing.outside.map(|outside| Candidate {
            outside: outside.etcd,
            state: Arc::clone(&state),
            keeper: keeper.clone(),
            guard: outside.guard,
            ttl: config.lease.get(),
            logger: base.logger.clone(),
        });
        let etcd = Etcd::new(Arc::clone(&state), backend);
        let bounds = Bounds::new(&config.limits);
        let status_addr = status.as_ref().map(|(_, addr)| *addr);
        let pages = status.map(|(listener, _)| {
            let (about, logger) = (base.about.clone(), base.logger.clone());
            let inside = Arc::new(Shown(Arc::clone(&state), bounds.clone()));
            (listener, Pages::new(inside, metrics, about, logger))
        });
        let parts = Parts { listener, pages, etcd, bounds, candidate, rounds, workers };
        Ok(Running { addr, status_addr, state, keeper, parts })
    }

    /// Serves until it is asked to stop. Answers how that went, and the threads that end once nobody
    /// has work for them.
    pub async fn until(
        self,
        stopping: &Stopping,
        logger: &Logger,
    ) -> (Result<(), NodeError>, Vec<Worker>) {
        let Running { state, keeper, parts, .. } = self;
        let Parts { listener, pages, etcd, bounds, candidate, rounds, workers } = parts;
        // They end with this one, however it ends.
        let (mut elections, mut background) = (JoinSet::new(), JoinSet::new());
        if let Some(candidate) = candidate {
            elections.spawn(candidate.run(stopping.clone()));
        }
        if let Some((listener, pages)) = pages {
            background.spawn(pages.serve(listener));
        }
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_service_status("", tonic_health::ServingStatus::Serving).await;
        let routes = transport()
            .add_service(bounds.around(Service::new(Arc::clone(&state), keeper).into_server()))
            .add_service(bounds.around(etcd.kv()))
            .add_service(bounds.around(etcd.watches()))
            .add_service(bounds.around(etcd.leases()))
            .add_service(bounds.around(etcd.members()))
            .add_service(bounds.around(etcd.maintenance()))
            .add_service(health_service);
        drop(etcd);
        let incoming = Incoming::new(listener);
        let serving = routes.serve_with_incoming_shutdown(incoming, stopping.asked());
        let mut serving = std::pin::pin!(serving);
        let outcome = tokio::select! {
            ended = &mut serving => ended.map_err(NodeError::from),
            () = stopping.asked() => {
                let drained = tokio::time::timeout(DRAIN_MAX, &mut serving).await;
                if drained.is_err() {
                    info!(logger, "ending the streams"; "waited" => ?DRAIN_MAX);
                }
                Ok(())
            }
        };
        drop(rounds);
        // A leader steps down, so that a successor need not wait for its lease to end.
        let _ = tokio::time::timeout(DRAIN_MAX, elections.join_next()).await;
        (outcome, workers)
    }
}

/// The transport, before it has anything to serve.
pub fn transport() -> Server {
    Server::builder()
        .max_concurrent_streams(CALLS_PER_CONNECTION)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_PATIENCE))
}

/// Chance begins with the time: no two schedulers begin at the same nanosecond of both clocks.
fn seed(clock: &dyn Clock) -> Rng {
    let wall = u64::try_from(clock.wall().as_nanos() & u128::from(u64::MAX)).unwrap_or_default();
    Rng::new(wall ^ u64::from(std::process::id()).rotate_left(40))
}

/// Where the metadata lies, as a directory remembers it.
const HERE: &str = "itself";
const OUTSIDE: &str = "a real etcd";

/// The cluster that this directory belongs to. An empty one belongs to `wanted` from now on; one that
/// belongs to another is refused, unless any will do.
fn own(memory: &EngineRecords, wanted: u64, place: &str, any: bool) -> Result<u64, NodeError> {
    let name = |id: u64, place: &str| format!("cluster {id}, whose metadata lies in {place}");
    let Some((id, found)) = memory.owner()? else {
        memory.own(wanted, place)?;
        return Ok(wanted);
    };
    if found == place && (any || id == wanted) {
        return Ok(id);
    }
    let wanted = name(if any { id } else { wanted }, place);
    Err(NodeError::Foreign { found: name(id, &found), wanted })
}

/// This scheduler, as others see it.
fn myself(config: &Config, addr: SocketAddr, cluster: u64) -> Member {
    let advertised = match config.advertise_client_urls.as_str() {
        "" => format!("http://{addr}"),
        url => url.trim_end_matches('/').to_owned(),
    };
    let mut id = Rng::new(cluster).fork(&config.name);
    Member {
        name: config.name.clone(),
        member_id: (id.next_u64() >> 1).max(1),
        client_urls: vec![advertised],
        ..Member::default()
    }
}
