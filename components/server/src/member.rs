//! A node that is a store of a cluster: two engines, regions, and other stores to talk to.
//!
//! It starts from the inside out: the disks; the scheduler, of which it learns which store it is; the
//! regions that the disks have; and only then the port, so that whoever reaches it is served. It stops the
//! other way round: its leaderships are handed over first, so that nobody has to wait for an election.

use std::sync::Arc;
use std::time::Duration;

use engine::{Engine, Engines, Metered, OpenMode};
use proto::RegionId;
use proto::metapb::Peer;
use raftstore::snapshot::{Limits, SnapManager};
use raftstore::{Admin, Answer, Command, Header, Node, Router, SchedulerClient, Setup, View};
use runtime::Rng;
use runtime::clock::{Clock, SystemClock};
use runtime::metrics::Metrics;
use runtime::reply::Reply;
use runtime::worker::Alarm;
use slog::{Logger, info, warn};
use storage::Replicated;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::config::Config;
use crate::meters::StreamMeters;
use crate::node::NodeError;
use crate::scheduler_port::SchedulerPort;
use crate::service::Peers;
use crate::status;
use crate::transport::{self, GrpcTransport, Resolver};

/// How long handing over all leaderships may take when the node stops.
const HAND_OVER_MAX: Duration = Duration::from_secs(3);

/// How often it is looked whether they are handed over.
const HAND_OVER_LOOK: Duration = Duration::from_millis(50);

/// Where a store stands among others.
pub(crate) struct Place<'a> {
    /// Where it is reached.
    pub(crate) address: &'a str,
    /// Its scheduler.
    pub(crate) scheduler: Arc<SchedulerPort>,
    /// What its connections to other stores run on.
    pub(crate) runtime: &'a Handle,
}

/// A store of a cluster, running.
pub(crate) struct Member {
    node: Node,
    engines: Engines,
    transport: Arc<GrpcTransport>,
    snapshots: Arc<SnapManager>,
    cluster: u64,
    closing: watch::Sender<bool>,
    scheduler: Arc<SchedulerPort>,
    meters: StreamMeters,
    log: Logger,
}

impl Member {
    /// Opens the disks, registers with the scheduler, and starts the regions.
    pub(crate) fn open(
        config: &Config,
        alarm: &Alarm,
        place: Place<'_>,
        metrics: &Metrics,
        log: &Logger,
    ) -> Result<(Member, Replicated), NodeError> {
        let Place { address, scheduler, runtime } = place;
        let engines = Engines::open(&config.path, &config.engine, OpenMode::CreateIfMissing)?;
        let measured = |engine, name: &str| -> Arc<dyn Engine> {
            Arc::new(Metered::new(engine, Arc::new(SystemClock), metrics, name))
        };
        let engines = Engines::new(measured(engines.kv, "kv"), measured(engines.raft, "raft"));
        let cluster = scheduler.cluster();
        let store = raftstore::bootstrap_store(&engines, &*scheduler, cluster, address)?;
        info!(log, "joined the cluster"; "cluster" => cluster, "store" => store.id);

        let snapshots = open_snapshots(config, log)?;
        let resolver = Arc::clone(&scheduler) as Arc<dyn Resolver>;
        let meters = StreamMeters::new(metrics);
        let transport = Arc::new(GrpcTransport::new(transport::Setup {
            cluster,
            resolver,
            snapshots: Arc::clone(&snapshots),
            snapshot_pace: config.limits.snapshot_bytes,
            runtime: runtime.clone(),
            meters: meters.clone(),
            log: log.clone(),
        }));
        let clock = SystemClock;
        let setup = Setup {
            config: config.raftstore.clone(),
            engines: engines.clone(),
            store: store.store_id(),
            transport: Arc::clone(&transport) as Arc<dyn raftstore::Transport>,
            scheduler: Arc::clone(&scheduler) as Arc<dyn SchedulerClient>,
            snapshots: Arc::clone(&snapshots),
            clock: Arc::new(clock),
            // Elections of different stores must not come at the same time, nor after each restart.
            rng: Rng::new(seed(clock.wall(), store.id)),
            log: log.clone(),
        };
        let node = Node::start(setup, alarm, metrics)?;
        transport.report_to(node.router().clone());
        scheduler.report_to(node.router().clone());
        let storage = Replicated::new(node.router().clone(), Arc::clone(&engines.kv))?;
        let (storage, answering) = storage.for_runtime();
        runtime.spawn(answering);
        // After it is registered: whoever raises the safe point tells all stores that are.
        scheduler.raise_safe_point(&storage)?;
        let (closing, _) = watch::channel(false);
        let log = log.clone();
        let member = Member {
            node,
            engines,
            transport,
            snapshots,
            cluster,
            closing,
            scheduler,
            meters,
            log,
        };
        Ok((member, storage))
    }

    /// What there is to show of it.
    pub(crate) fn shown(&self) -> status::Kept {
        let Engines { kv, raft } = self.engines.clone();
        let place = status::Place { cluster: self.cluster, router: self.node.router().clone() };
        status::Kept { engines: vec![("kv", kv), ("raft", raft)], place: Some(place) }
    }

    /// What calls see of it.
    pub(crate) fn peers(&self) -> Peers {
        Peers {
            cluster: self.cluster,
            router: self.node.router().clone(),
            snapshots: Arc::clone(&self.snapshots),
            kv: Arc::clone(&self.engines.kv),
            scheduler: Arc::clone(&self.scheduler) as Arc<dyn SchedulerClient>,
            is_closing: self.closing.subscribe(),
            meters: self.meters.clone(),
        }
    }

    /// Hands over what this store leads, as far as somebody takes it in time, and ends the streams of
    /// other stores.
    pub(crate) async fn leave(&self) {
        self.hand_over().await;
        self.closing.send_replace(true);
    }

    async fn hand_over(&self) {
        let router = self.node.router();
        let wanted: Vec<View> = led_here(router).collect();
        if wanted.is_empty() {
            return;
        }
        info!(self.log, "handing over leaderships"; "regions" => wanted.len());
        for view in &wanted {
            let others = view.region.peers.iter().filter(|peer| **peer != view.peer);
            ask_to_lead(router, view.clone(), others.copied().collect());
        }
        let clock = SystemClock;
        let deadline = clock.now() + HAND_OVER_MAX;
        while led_here(router).next().is_some() && clock.now() < deadline {
            tokio::time::sleep(HAND_OVER_LOOK).await;
        }
        let left = led_here(router).count();
        if left > 0 {
            warn!(self.log, "some leaderships were not taken over in time"; "regions" => left);
        }
    }

    /// Stops the regions; everything that was accepted is done and on disk.
    pub(crate) fn stop(self) -> Result<(), NodeError> {
        self.transport.close();
        self.scheduler.close();
        self.node.stop()?;
        Ok(())
    }
}

/// Regions that this store leads and somebody else could.
fn led_here(router: &Router) -> impl Iterator<Item = View> {
    let is_led = |view: &View| view.leader == Some(view.peer) && view.region.peers.len() > 1;
    router.views().into_iter().filter(is_led)
}

/// Asks for one of these peers to lead; where that is refused, as one does not answer, for the next.
fn ask_to_lead(router: &Router, view: View, mut others: Vec<Peer>) {
    let Some(to) = others.pop() else { return };
    let header = Header {
        region: RegionId::new(view.region.id),
        peer: Some(view.peer),
        epoch: view.region.epoch(),
        term: 0,
    };
    let command = Command::Admin(Admin::TransferLeader { to });
    let next = router.clone();
    // Whether it came about shows in the views.
    let reply = Reply::from_fn(move |answer: Answer| {
        if answer.0.is_err() {
            ask_to_lead(&next, view, others);
        }
    });
    router.command(header, command, reply);
}

fn open_snapshots(config: &Config, log: &Logger) -> Result<Arc<SnapManager>, NodeError> {
    let settings = &config.raftstore;
    let limits = Limits {
        space_bytes: settings.snapshot_space_max.get(),
        builds: settings.snapshots_at_once,
        sends: settings.snapshots_at_once,
        receives: settings.snapshots_at_once,
        age: settings.snapshot_age_max.get(),
    };
    let manager = SnapManager::open(config.path.join("snap"), limits, log.clone());
    Ok(Arc::new(manager.map_err(raftstore::Error::from)?))
}

/// A number that differs between stores and between starts.
fn seed(wall: Duration, store: u64) -> u64 {
    let nanos = wall.as_nanos().to_le_bytes();
    let (low, _) = nanos.split_first_chunk::<8>().expect("sixteen bytes");
    u64::from_le_bytes(*low) ^ store.rotate_left(32)
}
