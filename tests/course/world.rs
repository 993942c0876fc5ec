//! Where a test runs: in simulated time, or in the real one.
//!
//! The environment chooses:
//!
//! | variable | meaning | without it |
//! |---|---|---|
//! | `BACKEND` | `real` for threads, RocksDB and the clock on the wall | simulated time |
//! | `SEED`, `SEEDS` | the first seed of the simulation, and how many | 1 and 1 |
//! | `LOG_LEVEL`, `LINES` | how much of the stores' logs a failure shows | info, and 40 lines |
//!
//! A failure says how the same run is had again. Whatever happens, no thread and no file is left.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::rc::Rc;
use std::str::FromStr;
use std::sync::Arc;

use raftstore::Config;
use runtime::Rng;
use runtime::clock::{Clock, ManualClock, SystemClock};
use runtime::log::{Capture, Level};
use slog::Logger;
use tempfile::TempDir;

use crate::backend::{Backend, Ground, Medium};
use crate::cluster::Cluster;
use crate::real::{self, Real};
use crate::simulated::Simulated;
use crate::tasks::Bell;

/// Runs a test in the world that the environment names, on so many stores.
pub(crate) fn run(stores: u64, config: &Config, body: impl AsyncFn(Rc<Cluster>)) {
    if std::env::var("BACKEND").is_ok_and(|backend| backend == "real") {
        return World::Real.run(stores, config, &body);
    }
    let first = setting("SEED", 1_u64);
    for seed in first..first + setting("SEEDS", 1) {
        World::Simulated { seed, clock: ManualClock::new() }.run(stores, config, &body);
    }
}

fn setting<T: FromStr>(name: &str, otherwise: T) -> T {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} cannot be {text}")),
        Err(_) => otherwise,
    }
}

enum World {
    Simulated { seed: u64, clock: ManualClock },
    Real,
}

impl World {
    fn run(&self, stores: u64, config: &Config, body: &impl AsyncFn(Rc<Cluster>)) {
        let (log, capture) =
            Capture::open(setting("LOG_LEVEL", Level::Info), setting("LINES", 40), self.clock());
        let run = AssertUnwindSafe(|| {
            let cluster = self.found(stores, config.clone(), log);
            let test = AssertUnwindSafe(|| cluster.run(body(Rc::clone(&cluster))));
            let result = catch_unwind(test);
            cluster.abandon_tasks();
            result.unwrap_or_else(|panic| resume_unwind(panic));
        });
        let Err(panic) = catch_unwind(run) else { return };
        let lines = capture.entries().into_iter().map(|entry| format!("{:?} {entry}", entry.at));
        let lines = lines.collect::<Vec<String>>().join("\n");
        panic!("{}\n\nthe last of the logs:\n{lines}\n\n{}\n", text(&*panic), self.replay());
    }

    /// A new cluster whose stores run.
    fn found(&self, stores: u64, config: Config, log: Logger) -> Rc<Cluster> {
        let (seed, open): (u64, fn(&Path) -> Medium) = match self {
            World::Simulated { seed, .. } => (*seed, |_| Medium::memory()),
            World::Real => (0, real::open),
        };
        let folder = self.folder().expect("there is room for files");
        let ground = Ground::found(stores, config, folder, (Rng::new(seed), log), open);
        let (ground, bell) = (Rc::new(ground), Arc::new(Bell::default()));
        let backend: Box<dyn Backend> = match self {
            World::Simulated { clock, .. } => {
                Box::new(Simulated::new(Rc::clone(&ground), Arc::clone(&bell), clock.clone()))
            }
            World::Real => Box::new(Real::new(Rc::clone(&ground), Arc::clone(&bell))),
        };
        Cluster::start_all(ground, backend, bell)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        match self {
            World::Simulated { clock, .. } => Arc::new(clock.clone()),
            World::Real => Arc::new(SystemClock),
        }
    }

    /// Where the files are. Those of a simulation live shortly, and where there is a file system in
    /// memory they need no disk.
    fn folder(&self) -> std::io::Result<TempDir> {
        let mut folder = tempfile::Builder::new();
        folder.prefix("test-raftstore");
        match self {
            World::Simulated { .. } => folder.tempdir_in("/dev/shm").or_else(|_| folder.tempdir()),
            World::Real => folder.tempdir(),
        }
    }

    /// How to have this run again.
    fn replay(&self) -> String {
        let thread = std::thread::current();
        let (lesson, test) =
            thread.name().and_then(|name| name.split_once("::")).unwrap_or_default();
        match self {
            World::Simulated { seed, .. } => {
                format!("the same run again: make {lesson} ONLY={test} SEED={seed} SEEDS=1 REAL=0")
            }
            World::Real => format!("once more: make {lesson} ONLY={test} SEEDS=0"),
        }
    }
}

/// What a panic says.
fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked without a word")
}
