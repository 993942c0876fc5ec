//! A scheduler, and the stores that belong to it.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::process::Command;

use crate::CommandLine;
use crate::banner;
use crate::member::Member;

/// Why there is no cluster, or none any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaygroundError {
    /// A program is not where it should be.
    #[error("{} is missing; build everything with `make`", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A part did not start.
    #[error("{name} did not start: {why}; its log is {}", log.display())]
    NotStarted {
        /// Which part.
        name: String,
        /// What is known.
        why: String,
        /// What it said.
        log: PathBuf,
    },
    /// A part ended by itself.
    #[error("{name} ended ({status}), so the playground stops; its log is {}", log.display())]
    Ended {
        /// Which part.
        name: String,
        /// How.
        status: String,
        /// What it said.
        log: PathBuf,
    },
    /// The system refused something.
    #[error(transparent)]
    System(#[from] std::io::Error),
}

/// A part that ended by itself.
pub(crate) struct Ended {
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) log: PathBuf,
}

/// All parts of a cluster, as far as they run.
pub(crate) struct Cluster {
    dir: PathBuf,
    /// Deleted when the playground ends, if the data is not to be kept.
    _temporary: Option<TempDir>,
    scheduler: Option<Member>,
    stores: Vec<Member>,
}

impl Cluster {
    /// A cluster of which nothing runs yet.
    pub(crate) fn new(line: &CommandLine) -> Result<Self, PlaygroundError> {
        let (dir, temporary) = if let Some(dir) = &line.dir {
            (dir.clone(), None)
        } else {
            let temporary = tempfile::Builder::new().prefix("tinykv-playground-").tempdir()?;
            (temporary.path().to_owned(), Some(temporary))
        };
        std::fs::create_dir_all(dir.join("logs"))?;
        Ok(Cluster { dir, _temporary: temporary, scheduler: None, stores: Vec::new() })
    }

    /// Starts the scheduler, and then the stores, one after the other.
    pub(crate) async fn start(&mut self, line: &CommandLine) -> Result<(), PlaygroundError> {
        banner::say("starting the scheduler ...");
        let mut command = Command::new(program("tinyscheduler-server")?);
        command
            .arg(format!("-client-urls=http://127.0.0.1:{}", line.scheduler_port))
            .args(["--status-addr", "127.0.0.1:0"])
            .arg(argument("-data-dir", &self.dir.join("scheduler")));
        let scheduler = Member::start("scheduler", &mut command, &self.log("scheduler")).await?;
        let address = scheduler.address.clone();
        self.scheduler = Some(scheduler);
        for number in 1..=line.stores {
            let name = format!("store {number}");
            banner::say(&format!("starting {name} ..."));
            let port = if line.store_port == 0 { 0 } else { line.store_port + number - 1 };
            let file = format!("store{number}");
            let mut command = Command::new(program("tinykv-server")?);
            command
                .arg(format!("-addr=127.0.0.1:{port}"))
                .arg(format!("-scheduler={address}"))
                .arg(argument("-path", &self.dir.join(&file)));
            let store = Member::start(&name, &mut command, &self.log(&file)).await?;
            self.stores.push(store);
        }
        Ok(())
    }

    /// Whether all that was asked for runs.
    pub(crate) fn is_complete(&self, line: &CommandLine) -> bool {
        self.stores.len() == usize::from(line.stores)
    }

    /// The parts that run, the scheduler first.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.scheduler.iter().chain(&self.stores)
    }

    /// Where data and logs are.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Waits until a part ends by itself.
    pub(crate) async fn wait(&mut self) -> Ended {
        let waits = self.scheduler.iter_mut().chain(&mut self.stores).map(|member| {
            Box::pin(async {
                let status = member.wait().await;
                Ended { name: member.name.clone(), status, log: member.log.clone() }
            })
        });
        first(waits.collect()).await
    }

    /// Stops everything: the stores first, which still have something to tell the scheduler.
    pub(crate) async fn stop(&mut self) {
        for mut store in self.stores.drain(..).rev() {
            store.stop().await;
        }
        if let Some(mut scheduler) = self.scheduler.take() {
            scheduler.stop().await;
        }
    }

    fn log(&self, name: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{name}.log"))
    }
}

/// The first of several futures that is ready.
async fn first<F: Future + Unpin>(mut waits: Vec<F>) -> F::Output {
    std::future::poll_fn(move |context| {
        let ready = waits.iter_mut().map(|wait| std::pin::Pin::new(wait).poll(context));
        ready.into_iter().find(std::task::Poll::is_ready).unwrap_or(std::task::Poll::Pending)
    })
    .await
}

fn argument(flag: &str, path: &Path) -> String {
    format!("{flag}={}", path.display())
}

/// A program that lies beside this one.
fn program(name: &str) -> Result<PathBuf, PlaygroundError> {
    let path = std::env::current_exe()?.with_file_name(name);
    if path.exists() { Ok(path) } else { Err(PlaygroundError::Missing { path }) }
}
