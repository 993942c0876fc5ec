//! The parts of a node, put together; how it starts, and how it stops.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use program::{
    About, Failure, ListenError, async_runtime, end_with_a_panic, listen, listen_to_signals,
};
use runtime::shutdown::{Stop, Stopping};
use runtime::worker::{Alarm, Panicked, Worker};
use slog::{Logger, info, warn};
use storage::{Kv, Limits, Replicated, Standalone, Storage};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tonic::transport::Server;

use crate::alone;
use crate::config::Config;
use crate::incoming::Incoming;
use crate::member::{Member, Place};
use crate::scheduler_port::SchedulerPort;
use crate::service::{Peers, Service};

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
pub fn run(config: &Config, _about: &About, logger: &Logger) -> Result<(), NodeError> {
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
    let outside = Outside { address, runtime: runtime.handle(), stopping: &stopping };
    let Some(kept) = Kept::open(config, &failure, &outside, logger)? else { return Ok(()) };
    let kv = Arc::new(Kv::new(kept.storage(), Limits::default()));
    let service = Service::new(kv, Arc::clone(&failure), kept.peers(), logger.clone());
    let served = runtime.block_on(serve(listener, service, &kept, &stopping, logger));
    // From the outside in: once no task of the runtime is left, nobody uses the storage, and what is
    // behind it ends when it has written what was accepted.
    drop(runtime);
    let closed = kept.close();
    if let Some(reason) = failure.reason() {
        return Err(NodeError::Failed(reason.to_owned()));
    }
    served?;
    closed?;
    info!(logger, "stopped");
    Ok(())
}

/// What a node needs to know of its surroundings when it opens what it keeps.
struct Outside<'a> {
    /// Where others reach it.
    address: String,
    /// What its connections to others run on.
    runtime: &'a Handle,
    /// Whether it was asked to stop meanwhile.
    stopping: &'a Stopping,
}

/// What keeps the data of a node: one engine, or regions.
enum Kept {
    Alone { storage: Arc<Standalone>, writer: Option<Worker> },
    Member { storage: Arc<Replicated>, member: Box<Member> },
}

impl Kept {
    /// Opens what the settings ask for. `None` if the node was asked to stop before that was done.
    fn open(
        config: &Config,
        failure: &Arc<Failure>,
        outside: &Outside<'_>,
        logger: &Logger,
    ) -> Result<Option<Kept>, NodeError> {
        let alarmed = Arc::clone(failure);
        let alarm = Alarm::new(move |panicked| alarmed.report(&panicked.to_string()));
        if !config.raft {
            let (storage, writer) = alone::open(config, &alarm)?;
            return Ok(Some(Kept::Alone { storage: Arc::new(storage), writer }));
        }
        let is_over = || outside.stopping.is_asked();
        let path = config.path.clone();
        let Some(scheduler) = SchedulerPort::connect(&config.scheduler, path, logger, is_over)?
        else {
            return Ok(None);
        };
        let place = Place { address: &outside.address, scheduler, runtime: outside.runtime };
        let (member, storage) = Member::open(config, &alarm, place, logger)?;
        Ok(Some(Kept::Member { storage: Arc::new(storage), member: Box::new(member) }))
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

async fn serve(
    listener: TcpListener,
    service: Service,
    kept: &Kept,
    stopping: &Stopping,
    logger: &Logger,
) -> Result<(), NodeError> {
    let bound = listener.local_addr()?;
    if !bound.ip().is_loopback() {
        warn!(logger, "listening for other machines without encryption"; "addr" => %bound);
    }
    let administration = service.clone().into_admin_server();
    let server = transport().add_service(service.into_server()).add_service(administration);
    info!(logger, "serving"; "addr" => %bound);
    let shutdown = async {
        stopping.asked().await;
        kept.prepare_to_stop().await;
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
