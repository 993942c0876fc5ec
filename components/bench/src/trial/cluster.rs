//! A cluster of the programs that lie beside this one, each a process of its own, whose stores can be killed
//! and started again one by one.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use client::{Client, Config};
use proto::metapb::Region;
use tempfile::TempDir;

use super::{Ground, Result, TrialError, VALUE_BYTES, metrics};
use crate::keys::Values;
use crate::process::{beside, free_hosts, memory};
use crate::system::tinykv::TinyKv;
use crate::system::{Session, System};

/// Replicas of a region, if there are so many stores.
const REPLICAS: usize = 3;

/// With these a cluster is whole after seconds. By default stores report every ten seconds.
pub(super) const REPORTS: [&str; 2] =
    ["raftstore.region-heartbeat-period=1s", "raftstore.store-heartbeat-period=1s"];

/// What is not as it is by default: names and values.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Settings<'a> {
    pub(super) scheduler: &'a [&'a str],
    pub(super) stores: &'a [&'a str],
}

/// A store, whether or not it runs.
pub(super) struct Store {
    /// What the cluster calls it.
    pub(super) id: u64,
    /// Where it serves, and where it says how it is.
    address: String,
    pages: String,
    dir: PathBuf,
    process: Option<Process>,
}

/// A scheduler and stores. All end when it is dropped, and their data goes.
pub(super) struct Cluster<'a> {
    pub(super) ground: &'a Ground<'a>,
    settings: Settings<'a>,
    /// For questions, and for what an administrator does.
    pub(super) client: Client,
    pub(super) address: String,
    _scheduler: Process,
    pub(super) stores: Vec<Store>,
    home: TempDir,
}

/// A process that ends, without a warning, when it is dropped.
struct Process(Child);

impl Process {
    /// Starts a program; what it says goes into a file.
    fn start(command: &mut Command, log: &Path) -> std::io::Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.spawn().map(Process)
    }

    /// What it said at the end, if it has ended by itself.
    fn last_words(&mut self, log: &Path) -> Option<String> {
        self.0.try_wait().ok()??;
        let said = std::fs::read_to_string(log).unwrap_or_default();
        Some(said.lines().last().unwrap_or_default().trim().to_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl<'a> Cluster<'a> {
    /// Starts a scheduler and so many stores, and waits until every region has its replicas.
    pub(super) async fn start(
        ground: &'a Ground<'a>,
        count: usize,
        settings: Settings<'a>,
    ) -> Result<Self> {
        let home = TempDir::new()?;
        let address = free_hosts(1)?.remove(0);
        let mut command = Command::new(beside("tinyscheduler-server")?);
        command.arg(format!("-client-urls=http://{address}")).args(["--status-addr", ""]);
        command.arg(format!("-data-dir={}", home.path().join("scheduler").display()));
        set(&mut command, settings.scheduler);
        let scheduler = Process::start(&mut command, &home.path().join("scheduler.log"))?;
        let connect = async || Client::connect(&[&address], Config::default()).await.ok();
        let client = ground.eventually("a scheduler", connect).await?;
        let stores = Vec::new();
        let mut cluster =
            Cluster { ground, settings, client, address, _scheduler: scheduler, stores, home };
        for _ in 0..count {
            cluster.add_store().await?;
        }
        cluster.wait_for_replicas(count.min(REPLICAS)).await?;
        Ok(cluster)
    }

    /// Starts one more store; answers what the cluster calls it.
    pub(super) async fn add_store(&mut self) -> Result<u64> {
        let mut hosts = free_hosts(2)?;
        let (pages, address) = (hosts.remove(1), hosts.remove(0));
        let dir = self.home.path().join(format!("store{}", self.stores.len()));
        let place = self.stores.len();
        self.stores.push(Store { id: 0, address, pages, dir, process: None });
        self.run(place).await?;
        let address = &self.stores[place].address;
        let look = async || {
            let known = self.client.scheduler().stores(false).await.ok()?;
            known.into_iter().find(|store| store.address == *address)
        };
        let id = self.ground.eventually("a store of the cluster", look).await?.id;
        self.stores[place].id = id;
        Ok(id)
    }

    /// Starts a store that was killed, where it was.
    pub(super) async fn restart(&mut self, id: u64) -> Result<()> {
        let place = self.place(id);
        self.run(place).await
    }

    async fn run(&mut self, place: usize) -> Result<()> {
        let store = &mut self.stores[place];
        let mut command = Command::new(beside("tinykv-server")?);
        command.arg(format!("-addr={}", store.address)).args(["-scheduler", &self.address]);
        command.args(["--status-addr", &store.pages]);
        command.arg(format!("-path={}", store.dir.display()));
        set(&mut command, self.settings.stores);
        let log = store.dir.with_extension("log");
        let process = store.process.insert(Process::start(&mut command, &log)?);
        let pages = &store.pages;
        let ready = async || match process.last_words(&log) {
            Some(words) => Some(Err(TrialError::Ended(words))),
            None => metrics::is_ready(pages).await.then_some(Ok(())),
        };
        self.ground.eventually("a store that serves", ready).await?
    }

    /// Ends a store without a warning.
    pub(super) fn kill(&mut self, id: u64) {
        let place = self.place(id);
        drop(self.stores[place].process.take().expect("it runs"));
    }

    fn place(&self, id: u64) -> usize {
        let found = self.stores.iter().position(|store| store.id == id);
        found.expect("a store of this cluster")
    }

    fn running(&self) -> impl Iterator<Item = &Store> {
        self.stores.iter().filter(|store| store.process.is_some())
    }

    async fn wait_for_replicas(&self, replicas: usize) -> Result<()> {
        let whole = async || {
            let regions = self.client.scheduler().scan_regions(b"", b"", 0).await.ok()?;
            let all = regions
                .iter()
                .all(|found| found.leader.is_some() && found.region.peers.len() >= replicas);
            (all && !regions.is_empty()).then_some(())
        };
        self.ground.eventually("a region with its replicas", whole).await
    }

    /// The store that leads the region of a key, by its own word, and the region.
    pub(super) async fn leader(&self, key: &[u8]) -> Result<(u64, Region)> {
        let look = async || {
            let region = self.client.scheduler().region(key).await.ok()??.region;
            for store in self.running() {
                let state = self.client.admin().region_state(store.id, region.id).await;
                let Ok(state) = state else { continue };
                if state.leader.is_some_and(|leader| leader.store_id == store.id) {
                    return state.region.map(|region| (store.id, region));
                }
            }
            None
        };
        self.ground.eventually("a leader", look).await
    }

    /// Waits until every store has applied what is committed now.
    pub(super) async fn wait_until_level(&self, key: &[u8]) -> Result<()> {
        let (leader, region) = self.leader(key).await?;
        let state = async |store| self.client.admin().region_state(store, region.id).await;
        let committed = state(leader).await?.committed_index;
        let level = async || {
            for store in self.running() {
                let applied = state(store.id).await.ok()?.applied_index;
                if applied < committed {
                    return None;
                }
            }
            Some(())
        };
        self.ground.eventually("a replica that has caught up", level).await
    }

    /// Clients of it, each request a call of its own.
    pub(super) async fn clients(&self) -> Result<Vec<Session>> {
        let system = self.system(VALUE_BYTES, false).await?;
        let mut sessions = Vec::new();
        for _ in 0..self.ground.wish.clients {
            sessions.push(system.session().await?);
        }
        Ok(sessions)
    }

    /// The cluster as a system, with values of so many bytes.
    pub(super) async fn system(&self, bytes: usize, batched: bool) -> Result<System> {
        let values = Arc::new(Values::new(bytes));
        Ok(System::TinyKv(TinyKv::connect(&self.address, &values, false, batched).await?))
    }

    /// How often each store has done something; the series has this name at all of them.
    pub(super) async fn counts(&self, series: &'static str) -> Result<Vec<u64>> {
        let mut counts = Vec::new();
        for store in &self.stores {
            let count = metrics::read(&store.pages).await?.of(series);
            counts.push(count.ok_or(TrialError::Silent(store.id, series))?);
        }
        Ok(counts)
    }

    /// The memory of each store that runs, now and at most, in bytes.
    pub(super) fn memory(&self) -> Result<Vec<(u64, u64)>> {
        let of = |store: &Store| memory(store.process.as_ref()?.0.id());
        let found = self.stores.iter().map(|store| (store.id, of(store)));
        let known = found.map(|(id, found)| found.ok_or(TrialError::Silent(id, "its memory")));
        known.collect()
    }
}

fn set(command: &mut Command, settings: &[&str]) {
    for setting in settings {
        command.args(["--set", setting]);
    }
}
