//! A scheduler, and the stores that belong to it.

use std::path::{Path, PathBuf};

use ctl::Session;
use ctl::args::Options;
use ctl::output::Style;
use runtime::units::Period;
use tempfile::TempDir;
use tokio::process::Command;

use crate::CommandLine;
use crate::banner;
use crate::member::Member;

/// Why there is no cluster, or none any more, or why it did not do what was typed.
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
    /// There is no such store, or it is not as it would have to be.
    #[error("{0}")]
    Store(String),
    /// What was typed could not be done.
    #[error("{}{}", .0.what, .0.hint.as_ref().map(|hint| format!("\n  {hint}")).unwrap_or_default())]
    Ctl(#[from] ctl::CtlError),
    /// Commands of a script failed.
    #[error("commands that failed: {failed}")]
    Commands {
        /// How many.
        failed: u32,
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

/// A store, whether or not it runs.
struct Store {
    /// The number that the cluster has given it; zero until that is known.
    id: u64,
    /// Its folder among the data, and its log.
    file: String,
    member: Option<Member>,
    /// Where it serves, or did when it last ran.
    address: String,
}

/// All parts of a cluster.
pub(crate) struct Cluster {
    dir: PathBuf,
    /// Deleted when the playground ends, if the data is not to be kept.
    _temporary: Option<TempDir>,
    scheduler: Option<Member>,
    stores: Vec<Store>,
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
        self.scheduler = Some(scheduler);
        for number in 1..=line.stores {
            banner::say(&format!("starting store {number} ..."));
            let port = if line.store_port == 0 { 0 } else { line.store_port + number - 1 };
            let file = format!("store{number}");
            let member = self.start_store(&file, &file, &format!("127.0.0.1:{port}")).await?;
            let address = member.address.clone();
            self.stores.push(Store { id: 0, file, member: Some(member), address });
        }
        Ok(())
    }

    async fn start_store(
        &self,
        name: &str,
        file: &str,
        address: &str,
    ) -> Result<Member, PlaygroundError> {
        let mut command = Command::new(program("tinykv-server")?);
        command
            .arg(format!("-addr={address}"))
            .args(["--status-addr", "127.0.0.1:0"])
            .arg(format!("-scheduler={}", self.scheduler_address()))
            .args(REPORTS)
            .arg(argument("-path", &self.dir.join(file)));
        Member::start(name, &mut command, &self.log(file)).await
    }

    /// How its scheduler is reached.
    pub(crate) fn options(&self) -> Options {
        let scheduler = self.scheduler_address().to_owned();
        let timeout = Period::from(COMMAND_MAX);
        Options { scheduler, output: Style::Table, form: ctl::Form::Text, timeout }
    }

    /// Calls the stores what the cluster calls them, so that there is one number for each.
    pub(crate) async fn name_stores(&mut self, session: &Session) -> Result<(), PlaygroundError> {
        for (id, address) in session.store_addresses().await? {
            let Some(store) = self.stores.iter_mut().find(|store| store.address == address) else {
                continue;
            };
            store.id = id;
            if let Some(member) = &mut store.member {
                member.name = format!("store {id}");
            }
        }
        Ok(())
    }

    /// Ends a store without a warning.
    pub(crate) async fn kill(&mut self, id: u64) -> Result<(), PlaygroundError> {
        let store = self.store(id)?;
        let Some(mut member) = store.member.take() else {
            return Err(PlaygroundError::Store(format!("store {id} is dead already")));
        };
        member.kill().await;
        Ok(())
    }

    /// Starts a store again that was killed, where it was.
    pub(crate) async fn restart(&mut self, id: u64) -> Result<(), PlaygroundError> {
        let store = self.store(id)?;
        if store.member.is_some() {
            return Err(PlaygroundError::Store(format!("store {id} runs; `kill {id}` ends it")));
        }
        let (file, address) = (store.file.clone(), store.address.clone());
        let member = self.start_store(&format!("store {id}"), &file, &address).await?;
        self.store(id)?.member = Some(member);
        Ok(())
    }

    fn store(&mut self, id: u64) -> Result<&mut Store, PlaygroundError> {
        let known: Vec<String> = self.stores.iter().map(|store| store.id.to_string()).collect();
        let found = self.stores.iter_mut().find(|store| store.id == id);
        found.ok_or_else(|| {
            let known = known.join(", ");
            PlaygroundError::Store(format!("there is no store {id}; there are {known}"))
        })
    }

    /// The parts that run, the scheduler first.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.scheduler.iter().chain(self.stores.iter().filter_map(|store| store.member.as_ref()))
    }

    /// Where the scheduler serves.
    pub(crate) fn scheduler_address(&self) -> &str {
        self.scheduler.as_ref().map_or("", |scheduler| &scheduler.address)
    }

    /// Where data and logs are.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Waits until a part ends by itself.
    pub(crate) async fn wait(&mut self) -> Ended {
        let stores = self.stores.iter_mut().filter_map(|store| store.member.as_mut());
        let waits = self.scheduler.iter_mut().chain(stores).map(|member| {
            Box::pin(async {
                let status = member.wait().await;
                Ended { name: member.name.clone(), status, log: member.log.clone() }
            })
        });
        first(waits.collect()).await
    }

    /// Stops everything: the stores first, which still have something to tell the scheduler.
    pub(crate) async fn stop(&mut self) {
        for store in self.stores.drain(..).rev() {
            if let Some(mut member) = store.member {
                member.stop().await;
            }
        }
        if let Some(mut scheduler) = self.scheduler.take() {
            scheduler.stop().await;
        }
    }

    fn log(&self, name: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{name}.log"))
    }
}

/// Who plays wants to see what the scheduler does now, and has few regions to report.
const REPORTS: [&str; 4] = [
    "--set",
    "raftstore.region-heartbeat-period=1s",
    "--set",
    "raftstore.store-heartbeat-period=1s",
];

/// How long a command may try, elections included.
const COMMAND_MAX: std::time::Duration = std::time::Duration::from_secs(20);

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
