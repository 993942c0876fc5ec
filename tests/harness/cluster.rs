//! A cluster of real processes: a scheduler and stores, over one folder that is deleted in the end.
//!
//! ```text
//! let mut cluster = Cluster::start(3, &Settings::default());
//! cluster.kill_store(0);
//! cluster.start_store(0);                    // the same folder, and the same address
//! ```
//!
//! Stores are called by their place here, from zero on; the scheduler knows them by ids of its own, and
//! both of them by their address. What is started has said that it serves.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::process::{Process, program};

/// What the programs are told beside where they are: names and values of `--set`.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// For the scheduler.
    pub scheduler: Vec<&'static str>,
    /// For every store.
    pub store: Vec<&'static str>,
}

/// A store: what stays of it when its process is gone, and its process.
struct Store {
    dir: PathBuf,
    address: String,
    process: Option<Process>,
}

/// A scheduler and its stores. All are killed when it is dropped.
pub struct Cluster {
    settings: Settings,
    scheduler: Option<Process>,
    address: String,
    stores: Vec<Store>,
    home: TempDir,
}

/// An address to listen on for the first time.
const ANYWHERE: &str = "127.0.0.1:0";

impl Cluster {
    /// Starts a scheduler, and so many stores.
    pub fn start(stores: usize, settings: &Settings) -> Self {
        let home = TempDir::new().expect("a place for the data");
        let mut cluster = Cluster {
            settings: settings.clone(),
            scheduler: None,
            address: ANYWHERE.to_owned(),
            stores: Vec::new(),
            home,
        };
        cluster.start_scheduler();
        for _ in 0..stores {
            cluster.add_store();
        }
        cluster
    }

    /// The folder of everything.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Where the scheduler is, as `127.0.0.1:1234`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Starts the scheduler, at the address that it had.
    pub fn start_scheduler(&mut self) {
        assert!(self.scheduler.is_none(), "it runs");
        let mut command = Command::new(program("tinyscheduler-server"));
        command.arg(format!("-client-urls=http://{}", self.address)).args(["--status-addr", ""]);
        command.arg(format!("-data-dir={}", self.home().join("scheduler").display()));
        set(&mut command, &self.settings.scheduler);
        let mut process = Process::start(&mut command);
        self.address = process.wait_until_serving();
        self.scheduler = Some(process);
    }

    /// Ends the scheduler without a warning.
    pub fn kill_scheduler(&mut self) {
        self.scheduler.take().expect("it runs").kill();
    }

    /// Asks the scheduler to end, and waits until it has.
    pub fn stop_scheduler(&mut self) {
        stop(self.scheduler.take().expect("it runs"));
    }

    /// Starts another store; answers its place.
    pub fn add_store(&mut self) -> usize {
        let dir = self.home().join(format!("store{}", self.stores.len()));
        self.add_store_in(dir)
    }

    /// Starts another store whose data is elsewhere.
    pub fn add_store_in(&mut self, dir: PathBuf) -> usize {
        self.stores.push(Store { dir, address: ANYWHERE.to_owned(), process: None });
        let place = self.stores.len() - 1;
        self.start_store(place);
        place
    }

    /// Starts a store that was killed or stopped: over its data, and at the address that it had.
    pub fn start_store(&mut self, place: usize) {
        let store = &mut self.stores[place];
        assert!(store.process.is_none(), "it runs");
        let mut command = Command::new(program("tinykv-server"));
        command.arg(format!("-addr={}", store.address)).args(["-scheduler", &self.address]);
        command.arg(format!("-path={}", store.dir.display()));
        set(&mut command, &self.settings.store);
        let mut process = Process::start(&mut command);
        store.address = process.wait_until_serving();
        store.process = Some(process);
    }

    /// Ends a store without a warning.
    pub fn kill_store(&mut self, place: usize) {
        self.take_store(place).kill();
    }

    /// Asks a store to end, and waits until it has.
    pub fn stop_store(&mut self, place: usize) {
        stop(self.take_store(place));
    }

    /// The process of a store that runs.
    pub fn store(&mut self, place: usize) -> &mut Process {
        self.stores[place].process.as_mut().expect("it runs")
    }

    /// The process of a store, which is the caller's from now on.
    pub fn take_store(&mut self, place: usize) -> Process {
        self.stores[place].process.take().expect("it runs")
    }

    /// Where a store is, as `127.0.0.1:1234`.
    pub fn store_address(&self, place: usize) -> &str {
        &self.stores[place].address
    }

    /// The place of the store at an address.
    pub fn place_of(&self, address: &str) -> usize {
        let place = self.stores.iter().position(|store| store.address == address);
        place.expect("it is one of ours")
    }
}

fn set(command: &mut Command, settings: &[&str]) {
    for setting in settings {
        command.args(["--set", setting]);
    }
}

fn stop(process: Process) {
    process.terminate();
    let (status, log) = process.finish();
    assert!(status.success(), "{status}:\n{}", log.join("\n"));
}
