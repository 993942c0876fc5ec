//! The parts of a node, put together; how it starts, and how it stops.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use program::incoming::Incoming;
use program::pages::{self, OpenError, Pages};
use program::room::Room;
use program::{
    About, Failure, ListenError, async_runtime, end_with_a_panic, listen, listen_to_signals,
};
use runtime::metrics::Metrics;
use runtime::shutdown::{Stop, Stopping};
use runtime::worker::{Alarm, Panicked, Worker};
use slog::{Logger, info, warn};
use storage::{Kv, Replicated, Standalone, Storage};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tonic::transport::Server;
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};

use crate::alone;
use crate::config::Config;
use crate::member::{Member, Place};
use crate::scheduler_port::SchedulerPort;
use crate::service::{Peers, Service};
use crate::status::{self, Shown};

/// The largest message that is read: the largest value with its key and its envelope, and what the Go
/// original accepts.
pub const MESSAGE_BYTES_MAX: usize = 10 << 20;

/// Calls that one connection may have under way at a time; more wait in the client.
const CALLS_PER_CONNECTION: u32 = 1024;

/// How much of a message may be under way before the receiver has taken it.
const WINDOW_BYTES: u32 = 4 << 20;

/// A connection over which nothing comes is asked whether it is alive, and closed if it does not answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PATIENCE: Duration = Duration::from_secs(3);

/// How long the calls under way may take once the node is asked to stop.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Why a node cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The data cannot be used.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The data is a store's of a cluster.
    #[error(
        "{} belongs to a store of a cluster; start it without --standalone, or choose another \
         directory with -path",
        path.display()
    )]
    BelongsToCluster {
        /// The directory.
        path: PathBuf,
    },
    /// The regions cannot be served.
    #[error(transparent)]
    Regions(#[from] raftstore::Error),
    /// The system refused a thread or a signal.
    #[error("the process cannot run: {0}")]
    System(#[from] io::Error),
    /// The storage refused to start.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// Something broke while serving, and going on would be guessing.
    #[error("the node had to stop: {0}")]
    Failed(String),
    /// A thread ended by a panic.
    #[error(transparent)]
    Panicked(#[from] Panicked),
    /// The transport failed while serving.
    #[error("serving failed: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// Serves until the process is asked to stop.
pub fn run(config: &Config, about: &About, logger: &Logger) -> Result<(), NodeError> {
    let addr = config.addr.parse().expect("the settings were validated");
    let stop = Stop::new();
    listen_to_signals(stop.trigger(), logger.clone())?;
    let failure = Arc::new(Failure::new(stop.trigger()));
    end_with_a_panic(Arc::clone(&failure));
    let runtime = async_runtime()?;
    let stopping = stop.stopping();
    // Before anything else, so that others can be told where; whoever connects waits until it is served.
    let (listener, bound) = runtime.block_on(listen(addr, "-addr"))?;
    let address = if config.advertise_addr.is_empty() {
        bound.to_string()
    } else {
        config.advertise_addr.clone()
    };
    let metrics = Metrics::new("tinykv");
    let room = Room::new(config.limits.calls as usize, config.limits.bytes.as_usize());
    let shown = Shown::new(address.clone(), stopping.clone(), Arc::clone(&room), &metrics);
    let shown = Arc::new(shown);
    let pages = Pages::new(Arc::clone(&shown) as _, metrics.clone(), about.clone(), logger.clone());
    let port = open_port(config, pages, logger)?;
    let outside =
        Outside { address, runtime: runtime.handle(), stopping: &stopping, metrics: &metrics };
    let Some((kept, to_show)) = Kept::open(config, &failure, &outside, logger)? else {
        return Ok(());
    };
    shown.keeps(to_show);
    let kv = Arc::new(Kv::new(kept.storage(), storage::Limits::default()));
    let (told, peers) = (Arc::clone(&failure), kept.peers());
    let service = Service::new(kv, told, peers, Arc::clone(&room), &metrics, logger.clone());
    let front = Front { listener, service, room, shown, reflection: config.reflection };
    let served = runtime.block_on(serve(front, &kept, &stopping, logger));
    // From the outside in: once no task of the runtime is left, nobody uses the storage, and what is
    // behind it ends when it has written what was accepted.
    drop(runtime);
    if let Some(port) = port {
        port.close();
    }
    let closed = kept.close();
    if let Some(reason) = failure.reason() {
        return Err(NodeError::Failed(reason.to_owned()));
    }
    served?;
    closed?;
    info!(logger, "stopped");
    Ok(())
}

/// Opens the status port, if there shall be one. Where the address is nobody's wish but the default, and
/// another store of this machine has it, this one does without.
fn open_port(
    config: &Config,
    pages: Pages,
    logger: &Logger,
) -> Result<Option<pages::Port>, NodeError> {
    let Ok(addr) = config.status_addr.parse::<SocketAddr>() else { return Ok(None) };
    match pages.open(addr, "-status-addr") {
        Ok(port) => {
            info!(logger, "status port open"; "addr" => %port.addr);
            Ok(Some(port))
        }
        Err(OpenError::Listen(error)) if config.status_addr == Config::default().status_addr => {
            warn!(logger, "there is no status port"; "error" => %error);
            Ok(None)
        }
        Err(OpenError::Listen(error)) => Err(error.into()),
        Err(OpenError::System(error)) => Err(error.into()),
    }
}

/// What a node needs to know of its surroundings when it opens what it keeps.
struct Outside<'a> {
    /// Where others reach it.
    address: String,
    /// What its connections to others run on.
    runtime: &'a Handle,
    /// Whether it was asked to stop meanwhile.
    stopping: &'a Stopping,
    /// Where it declares what it measures.
    metrics: &'a Metrics,
}

/// What keeps the data of a node: one engine, or regions.
enum Kept {
    Alone { storage: Arc<Standalone>, writer: Option<Worker> },
    Member { storage: Arc<Replicated>, member: Box<Member> },
}

impl Kept {
    /// Opens what the settings ask for, and answers also what there is to show of it. `None` if the node was asked to stop before that was done.
    fn open(
        config: &Config,
        failure: &Arc<Failure>,
        outside: &Outside<'_>,
        logger: &Logger,
    ) -> Result<Option<(Kept, status::Kept)>, NodeError> {
        let alarmed = Arc::clone(failure);
        let alarm = Alarm::new(move |panicked| alarmed.report(&panicked.to_string()));
        if !config.raft {
            let (storage, writer, shown) = alone::open(config, &alarm, outside.metrics)?;
            return Ok(Some((Kept::Alone { storage: Arc::new(storage), writer }, shown)));
        }
        let is_over = || outside.stopping.is_asked();
        let path = config.path.clone();
        let Some(scheduler) = SchedulerPort::connect(&config.scheduler, path, logger, is_over)?
        else {
            return Ok(None);
        };
        let place = Place { address: &outside.address, scheduler, runtime: outside.runtime };
        let (member, storage) = Member::open(config, &alarm, place, outside.metrics, logger)?;
        let shown = member.shown();
        let kept = Kept::Member { storage: Arc::new(storage), member: Box::new(member) };
        Ok(Some((kept, shown)))
    }

    fn storage(&self) -> Arc<dyn Storage> {
        match self {
            Kept::Alone { storage, .. } => Arc::clone(storage) as Arc<dyn Storage>,
            Kept::Member { storage, .. } => Arc::clone(storage) as Arc<dyn Storage>,
        }
    }

    fn peers(&self) -> Option<Peers> {
        match self {
            Kept::Alone { .. } => None,
            Kept::Member { member, .. } => Some(member.peers()),
        }
    }

    /// What is done before the port is closed.
    async fn prepare_to_stop(&self) {
        match self {
            Kept::Alone { .. } => {}
            Kept::Member { member, .. } => member.leave().await,
        }
    }

    fn close(self) -> Result<(), NodeError> {
        match self {
            Kept::Alone { storage, writer } => {
                drop(storage);
                Ok(writer.map_or(Ok(()), Worker::join)?)
            }
            Kept::Member { storage, member } => {
                drop(storage);
                member.stop()
            }
        }
    }
}

/// The transport of a node, before it has anything to serve.
pub fn transport() -> Server {
    Server::builder()
        .max_concurrent_streams(CALLS_PER_CONNECTION)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_PATIENCE))
}

/// What is seen of a node from outside.
struct Front {
    listener: TcpListener,
    service: Service,
    room: Arc<Room>,
    shown: Arc<Shown>,
    reflection: bool,
}

async fn serve(
    front: Front,
    kept: &Kept,
    stopping: &Stopping,
    logger: &Logger,
) -> Result<(), NodeError> {
    let Front { listener, service, room, shown, reflection } = front;
    let bound = listener.local_addr()?;
    if !bound.ip().is_loopback() {
        warn!(logger, "listening for other machines without encryption"; "addr" => %bound);
    }
    let (reporter, health) = tonic_health::server::health_reporter();
    // Ends with this one.
    let mut background = JoinSet::new();
    background.spawn(shown.report(reporter));
    let described = if reflection { Some(describe()?) } else { None };
    let server = transport()
        .add_service(service.clone().into_server())
        .add_service(service.into_own_server())
        .add_service(health)
        .add_optional_service(described);
    info!(logger, "serving"; "addr" => %bound);
    let shutdown = async {
        stopping.asked().await;
        kept.prepare_to_stop().await;
        room.close();
    };
    let serving = server.serve_with_incoming_shutdown(Incoming::new(listener), shutdown);
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        outcome = &mut serving => return Ok(outcome?),
        () = stopping.asked() => {}
    }
    tokio::select! {
        outcome = &mut serving => outcome?,
        () = tokio::time::sleep(DRAIN_MAX) => {
            warn!(logger, "some calls did not end in time"; "waited" => ?DRAIN_MAX);
        }
    }
    Ok(())
}

/// Which calls there are, for tools that ask.
fn describe() -> Result<ServerReflectionServer<impl ServerReflection>, NodeError> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|error| NodeError::System(io::Error::other(error)))
}
