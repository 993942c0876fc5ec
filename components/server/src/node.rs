//! The parts of a node, put together; how it starts, and how it stops.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::thread::available_parallelism;
use std::time::Duration;

use runtime::shutdown::{Stop, Stopping, Trigger};
use runtime::worker::{Alarm, Panicked, Thread, Worker};
use slog::{Logger, error, info, warn};
use storage::{Kv, Limits, Replicated, Standalone, Storage};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
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
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {source}; choose another address with -addr")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
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
pub fn run(config: &Config, logger: &Logger) -> Result<(), NodeError> {
    let addr = config.addr.parse().expect("the settings were validated");
    let stop = Stop::new();
    listen_to_signals(stop.trigger(), logger.clone())?;
    let failure = Arc::new(Failure::new(stop.trigger(), logger.clone()));
    end_with_a_panic(Arc::clone(&failure));
    let runtime = async_runtime()?;
    let stopping = stop.stopping();
    // Before anything else, so that others can be told where; whoever connects waits until it is served.
    let (listener, bound) = runtime.block_on(listen(addr))?;
    let address = if config.advertise_addr.is_empty() {
        bound.to_string()
    } else {
        config.advertise_addr.clone()
    };
    let outside = Outside { address, runtime: runtime.handle(), stopping: &stopping };
    let Some(kept) = Kept::open(config, &failure, &outside, logger)? else { return Ok(()) };
    let kv = Arc::new(Kv::new(kept.storage(), Limits::default()));
    let service = Service::new(kv, Arc::clone(&failure), kept.peers());
    let served = runtime.block_on(serve(listener, service, &kept, &stopping, logger));
    // From the outside in: once no task of the runtime is left, nobody uses the storage, and what is
    // behind it ends when it has written what was accepted.
    drop(runtime);
    let closed = kept.close();
    failure.outcome()?;
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

/// What ends a node from within: a disk that fails, a thread that panics. The first reason is kept.
pub struct Failure {
    reason: OnceLock<String>,
    trigger: Trigger,
    logger: Logger,
}

impl Failure {
    fn new(trigger: Trigger, logger: Logger) -> Self {
        Failure { reason: OnceLock::new(), trigger, logger }
    }

    /// The node must stop, for this reason.
    pub fn report(&self, reason: &str) {
        let _ = self.reason.set(reason.to_owned());
        self.trigger.ask();
    }

    /// Looks at the error of a call. Damage and a failing disk are told to whoever looks after this
    /// node, because its clients go elsewhere and say nothing. An engine that failed to write ends the
    /// node. One that failed to read does not: the rest can be served, and the next start would meet
    /// the same block again.
    pub fn saw(&self, error: &storage::Error) {
        match error {
            storage::Error::Corrupt { .. } => {
                error!(self.logger, "a record is damaged"; "error" => %error);
            }
            storage::Error::Engine(engine) => {
                error!(self.logger, "the disk failed a call"; "error" => %engine);
                if engine.is_poisoned() {
                    self.report(&engine.to_string());
                }
            }
            storage::Error::Region(_)
            | storage::Error::Key(_)
            | storage::Error::Invalid(_)
            | storage::Error::TooLarge { .. } => {}
        }
    }

    fn outcome(&self) -> Result<(), NodeError> {
        self.reason.get().map_or(Ok(()), |reason| Err(NodeError::Failed(reason.clone())))
    }
}

/// What calls run on. On few cores a single thread for all calls serves more than several that wake each other.
pub fn async_runtime() -> io::Result<tokio::runtime::Runtime> {
    let threads = available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1));
    let mut builder = match threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.worker_threads(threads).thread_name("grpc").enable_all().build()
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

/// Asks the node to stop at the first signal, and ends the process at the second: everything that was
/// acknowledged is safe, and whatever holds the first one up may hold for ever. The thread is the
/// process's own, so that signals are heard also while the others wait for a disk.
fn listen_to_signals(trigger: Trigger, logger: Logger) -> Result<(), NodeError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let mut signals = {
        let _inside = runtime.enter();
        Signals::listen()?
    };
    let listen = move || {
        runtime.block_on(signals.next());
        info!(logger, "stopping: answering the calls under way; a second signal ends at once");
        trigger.ask();
        runtime.block_on(signals.next());
        std::process::exit(1);
    };
    // Nobody joins it: it listens for as long as there is a process.
    drop(Thread::spawn("signals", &Alarm::ignored(), listen)?);
    Ok(())
}

/// A panic anywhere ends the node, also one in a call: what it leaves behind cannot be trusted.
fn end_with_a_panic(failure: Arc<Failure>) {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        failure.report(&panic.to_string());
    }));
}

async fn listen(addr: SocketAddr) -> Result<(TcpListener, SocketAddr), NodeError> {
    let failed = |source| NodeError::Listen { addr, source };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
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
    let server = transport().add_service(service.into_server());
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

/// What a person or a supervisor says to a process that should end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Signals { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
