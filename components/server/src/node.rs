//! The parts of a node, put together; how it starts, and how it stops.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::thread::available_parallelism;
use std::time::Duration;

use engine::{Engine, Layout, OpenMode, Recovery, Rocks};
use runtime::shutdown::{Stop, Stopping, Trigger};
use runtime::worker::{Alarm, Panicked, Thread, Worker};
use slog::{Logger, info, warn};
use storage::{GroupWriter, Kv, Limits, Standalone};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::config::Config;
use crate::service::Service;

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
    /// What was asked for is not there yet.
    #[error(
        "this version serves alone only: start it with --standalone, or set raft = false in its \
         configuration"
    )]
    NotReplicated,
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

/// How many writes may wait for the disk; more are refused as busy.
const WRITES_WAITING_MAX: usize = 8192;

/// Serves until the process is asked to stop.
pub fn run(config: &Config, logger: &Logger) -> Result<(), NodeError> {
    if config.raft {
        return Err(NodeError::NotReplicated);
    }
    let addr = config.addr.parse().expect("the settings were validated");
    let stop = Stop::new();
    listen_to_signals(stop.trigger(), logger.clone())?;
    let failure = Arc::new(Failure::new(stop.trigger()));
    end_with_a_panic(Arc::clone(&failure));
    let (storage, writer) = open_storage(config, &failure)?;
    let kv = Arc::new(Kv::new(Arc::new(storage), Limits::default()));
    let service = Service::new(kv, Arc::clone(&failure));
    let runtime = async_runtime()?;
    let served = runtime.block_on(serve(addr, service, &stop.stopping(), logger));
    // From the outside in: once no task of the runtime is left, nobody uses the storage, its queue
    // closes, and the writer ends when it has written what was accepted.
    drop(runtime);
    let written = writer.map_or(Ok(()), Worker::join);
    failure.outcome()?;
    served?;
    written?;
    info!(logger, "stopped");
    Ok(())
}

/// The storage of a node that serves alone, with the thread that syncs for it. Nothing stands behind
/// its log, so the engine must not lose the end of it.
fn open_storage(
    config: &Config,
    failure: &Arc<Failure>,
) -> Result<(Standalone, Option<Worker>), NodeError> {
    let path = config.path.join("kv");
    let (mode, recovery) = (OpenMode::CreateIfMissing, Recovery::Strict);
    let rocks = Rocks::open(&path, Layout::Kv, &config.engine, mode, recovery)?;
    let engine: Arc<dyn Engine> = Arc::new(rocks);
    if !config.sync {
        return Ok((Standalone::unsynced(engine)?, None));
    }
    let alarmed = Arc::clone(failure);
    let alarm = Alarm::new(move |panicked| alarmed.report(&panicked.to_string()));
    let runner = GroupWriter::new(Arc::clone(&engine));
    let (tasks, writer) = Worker::spawn("write", WRITES_WAITING_MAX, &alarm, runner)?;
    Ok((Standalone::synced(engine, tasks)?, Some(writer)))
}

/// What ends a node from within: a disk that fails, a thread that panics. The first reason is kept.
pub struct Failure {
    reason: OnceLock<String>,
    trigger: Trigger,
}

impl Failure {
    fn new(trigger: Trigger) -> Self {
        Failure { reason: OnceLock::new(), trigger }
    }

    /// The node must stop, for this reason.
    pub fn report(&self, reason: &str) {
        let _ = self.reason.set(reason.to_owned());
        self.trigger.ask();
    }

    /// An engine that failed to write ends the node. One that failed to read does not: the rest can
    /// be served, and the next start would meet the same block again.
    pub fn report_engine(&self, error: &engine::Error) {
        if error.is_poisoned() {
            self.report(&error.to_string());
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

/// The connections that come in. Answers leave at once: held back to be sent together, as the system
/// would, each waits for the other side's delayed acknowledgement, which is 40 milliseconds.
pub fn incoming(listener: TcpListener) -> TcpIncoming {
    TcpIncoming::from(listener).with_nodelay(Some(true))
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

async fn serve(
    addr: SocketAddr,
    service: Service,
    stopping: &Stopping,
    logger: &Logger,
) -> Result<(), NodeError> {
    let listen = |source| NodeError::Listen { addr, source };
    let listener = TcpListener::bind(addr).await.map_err(listen)?;
    let bound = listener.local_addr().map_err(listen)?;
    if !bound.ip().is_loopback() {
        warn!(logger, "listening for other machines without encryption"; "addr" => %bound);
    }
    let server = transport().add_service(service.into_server());
    info!(logger, "serving"; "addr" => %bound);
    let serving = server.serve_with_incoming_shutdown(incoming(listener), stopping.asked());
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
