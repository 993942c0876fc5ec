//! A bench: systems take turns under the same loads.
//!
//! ```text
//!   for each workload    each system gets its keys
//!     for each number of clients
//!       round 1          ours   etcd   bare      the order turns with the round, so that whatever
//!       round 2          etcd   bare   ours      else the machine does is not always to the same
//!       round 3          bare   ours   etcd      one's harm
//! ```
//!
//! All systems are alive all the time, and all but one are idle. What counts is a ratio within one round.
//! One cluster may be two systems: it is asked by calls, and by requests that travel together.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use runtime::clock::{Clock, Instant};

use crate::arguments::{Named, Options, Peer};
use crate::drive::{DriveError, Shape, run};
use crate::fill::{FillError, fill};
use crate::keys::Values;
use crate::number::{float, tenths};
use crate::process::{StartError, Started, own_cpu};
use crate::results::{Load, Results, Run};
use crate::say;
use crate::system::{ConnectError, Failure, System};
use crate::workload::{Generator, Workload};

/// How long a system that was just started may take until it serves.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// How often it is asked meanwhile.
pub(crate) const LOOK: Duration = Duration::from_millis(200);

/// Replicas of a region that a cluster makes by itself.
const REPLICAS: u16 = 3;

/// Why there are no results.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// There is nothing to measure.
    #[error("name a system: --playground 3, --system NAME=ADDRESS, or --peer etcd")]
    NoSystem,
    /// Two systems have one name.
    #[error("two systems are called {0}")]
    TwoOfOneName(String),
    /// A workload is nothing without transactions.
    #[error("the workload {0} needs --transactions")]
    NeedsTransactions(String),
    /// Every system was skipped under every workload.
    #[error("none of these systems can do any of this")]
    Nothing,
    /// Our own cluster does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A system is not where it should be.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A system does not take its keys.
    #[error("{0}: {1}")]
    Fill(String, #[source] FillError),
    /// A run failed.
    #[error("{0}: {1}")]
    Drive(String, #[source] DriveError),
    /// The bank has not got the money that it should have.
    #[error("{0}: {1}")]
    Audit(String, #[source] Failure),
}

/// A system in the contest.
struct Contestant {
    name: String,
    system: System,
    /// Kept by all whose cluster it is.
    started: Option<Arc<Started>>,
    /// The first one of its cluster, which may be itself.
    home: usize,
    /// What its cluster has, if this is its home.
    has_keys: bool,
    has_bank: bool,
}

/// Makes a bench.
pub(crate) async fn bench(
    options: &Options,
    clock: &Arc<dyn Clock>,
) -> Result<Results, BenchError> {
    for workload in &options.workloads {
        if workload.needs_transactions() && !options.transactions {
            return Err(BenchError::NeedsTransactions(workload.name()));
        }
    }
    let mut bench = Bench {
        options,
        clock: Arc::clone(clock),
        values: Arc::new(Values::new(options.value_bytes)),
        contestants: Vec::new(),
        results: Results { about: about(options, clock.as_ref()), ..Results::default() },
    };
    bench.gather().await?;
    for workload in &options.workloads {
        bench.contest(*workload).await?;
    }
    if bench.results.runs.is_empty() { Err(BenchError::Nothing) } else { Ok(bench.results) }
}

struct Bench<'a> {
    options: &'a Options,
    clock: Arc<dyn Clock>,
    values: Arc<Values>,
    contestants: Vec<Contestant>,
    results: Results,
}

impl Bench<'_> {
    /// Starts and connects to all systems. Peers that are not there are skipped; the others must be there.
    async fn gather(&mut self) -> Result<(), BenchError> {
        for Named { name, address } in &self.options.systems {
            let system = System::connect(address, &self.values, self.options.transactions).await?;
            self.join(name, system, None, address.clone())?;
            self.join_batched(address).await?;
        }
        if let Some(stores) = self.options.playground {
            say("starting a cluster ...");
            let started = Started::playground(stores)?;
            let system = self.connect(&started).await?;
            if let System::TinyKv(tinykv) = &system {
                self.wait_for_replicas(tinykv, stores.min(REPLICAS)).await?;
            }
            let (about, address) = (started.about.clone(), started.address.clone());
            self.join("tinykv", system, Some(started), about)?;
            self.join_batched(&address).await?;
        }
        for peer in &self.options.peers {
            let (name, started) = start(*peer, &self.options.debian, self.options.value_bytes);
            let started = match started {
                Ok(started) => started,
                Err(error) => {
                    self.skip(format!("{name}: {error}"));
                    continue;
                }
            };
            let (system, about) = (self.connect(&started).await?, started.about.clone());
            self.join(name, system, Some(started), about)?;
        }
        if self.contestants.is_empty() { Err(BenchError::NoSystem) } else { Ok(()) }
    }

    fn join(
        &mut self,
        name: &str,
        system: System,
        started: Option<Started>,
        about: String,
    ) -> Result<(), BenchError> {
        if self.contestants.iter().any(|contestant| contestant.name == name) {
            return Err(BenchError::TwoOfOneName(name.to_owned()));
        }
        let (name, home) = (name.to_owned(), self.contestants.len());
        let started = started.map(Arc::new);
        self.results.systems.push((name.clone(), about));
        let (has_keys, has_bank) = (false, false);
        let contestant = Contestant { name, system, started, home, has_keys, has_bank };
        self.contestants.push(contestant);
        Ok(())
    }

    /// The cluster that joined last, a second time, if that is wanted and it can be asked in two ways.
    async fn join_batched(&mut self, address: &str) -> Result<(), BenchError> {
        let Some(last) = self.contestants.last().filter(|_| self.options.batched) else {
            return Ok(());
        };
        let (name, home) = (format!("{} batched", last.name), last.home);
        let started = last.started.clone();
        let transactions = self.options.transactions;
        let Some(system) = last.system.batched(address, &self.values, transactions).await? else {
            return Ok(());
        };
        self.join(&name, system, None, "the same, requests travel together".to_owned())?;
        let joined = self.contestants.last_mut().expect("it has just joined");
        (joined.home, joined.started) = (home, started);
        Ok(())
    }

    fn skip(&mut self, what: String) {
        say(&format!("skipped: {what}"));
        self.results.skipped.push(what);
    }

    /// Connects to what was just started, which may take a while to serve.
    async fn connect(&self, started: &Started) -> Result<System, BenchError> {
        let begin = self.clock.now();
        loop {
            let connected =
                System::connect(&started.address, &self.values, self.options.transactions).await;
            let error = match connected {
                // A client of redis says nothing before there is a session.
                Ok(system) => match system.session().await {
                    Ok(_) => return Ok(system),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            self.wait(begin, error).await?;
        }
    }

    async fn wait_for_replicas(
        &self,
        tinykv: &crate::system::tinykv::TinyKv,
        replicas: u16,
    ) -> Result<(), BenchError> {
        let begin = self.clock.now();
        while tinykv.replicas().await < usize::from(replicas) {
            let error = ConnectError(format!("a region with {replicas} replicas"));
            self.wait(begin, error).await?;
        }
        Ok(())
    }

    /// Waits a little, but not for ever.
    async fn wait(&self, begin: Instant, error: ConnectError) -> Result<(), BenchError> {
        if self.clock.now().since(begin) > PATIENCE {
            return Err(error.into());
        }
        tokio::time::sleep(LOOK).await;
        Ok(())
    }

    /// One workload, all systems, all rounds.
    async fn contest(&mut self, workload: Workload) -> Result<(), BenchError> {
        let mut able = Vec::new();
        for index in 0..self.contestants.len() {
            let contestant = &self.contestants[index];
            let objection = contestant.system.objection(workload, self.options.transactions);
            if let Some(why) = objection {
                self.skip(format!("{} under {}: {why}", contestant.name, workload.name()));
                continue;
            }
            self.prepare(index, workload).await?;
            able.push(index);
        }
        for clients in &self.options.clients {
            for round in 1..=self.options.rounds {
                let turn = (round as usize - 1) % able.len().max(1);
                for index in able[turn..].iter().chain(&able[..turn]) {
                    self.run(*index, workload, *clients as usize, round).await?;
                }
            }
        }
        Ok(())
    }

    /// Sees that a system has what the workload asks for.
    async fn prepare(&mut self, index: usize, workload: Workload) -> Result<(), BenchError> {
        let (keys, seed) = (self.options.keys, self.options.seed);
        let contestant = &self.contestants[index];
        let (name, system) = (contestant.name.clone(), contestant.system.clone());
        let failed = |error: FillError| BenchError::Fill(name.clone(), error);
        let home = contestant.home;
        let home = &mut self.contestants[home];
        if workload.needs_keys() && !home.has_keys {
            say(&format!("filling {name} with {keys} keys ..."));
            fill(&system, keys, seed).await.map_err(failed)?;
            home.has_keys = true;
        }
        if let (System::TinyKv(tinykv), Workload::Bank, false) = (&system, workload, home.has_bank)
        {
            tinykv.found_bank(keys).await.map_err(|failure| failed(failure.into()))?;
            home.has_bank = true;
        }
        Ok(())
    }

    async fn run(
        &mut self,
        index: usize,
        workload: Workload,
        clients: usize,
        round: u32,
    ) -> Result<(), BenchError> {
        let options = self.options;
        let contestant = &self.contestants[index];
        let name = &contestant.name;
        let scan_rows = options.scan_rows as usize;
        let generator = Generator::new(workload, options.distribution, options.keys, scan_rows);
        let mut sessions = Vec::new();
        for _ in 0..clients {
            sessions.push(contestant.system.session().await?);
        }
        let seed = options.seed.wrapping_mul(1_000_003).wrapping_add(u64::from(round));
        let (warm_up, length) = (options.warm_up, options.seconds);
        let shape = Shape { rate: options.rate, warm_up, length, seed };
        let load = Load { workload: workload_name(options, workload), clients, rate: options.rate };
        let title = format!("{name}, {}, round {round} of {}", load.title(), options.rounds);
        let servers = || contestant.started.as_ref().and_then(|started| started.cpu());
        let (own, others) = (own_cpu(), servers());
        let (generator, clock) = (Arc::new(generator), Arc::clone(&self.clock));
        let measured = run(sessions, generator, &shape, clock, &title).await;
        let measured = measured.map_err(|error| BenchError::Drive(name.clone(), error))?;
        // It counts the warming up as well, and so must what it is divided by.
        let whole = (warm_up + length).as_secs_f64() / length.as_secs_f64();
        let operations = float(measured.counts.done.max(1)) * whole;
        let each = |before: Option<Duration>, after: Option<Duration>| {
            Some(tenths(after?.saturating_sub(before?).as_secs_f64() * 1e6 / operations))
        };
        let (client_us, servers_us) = (each(own, own_cpu()), each(others, servers()));
        if let (System::TinyKv(tinykv), Workload::Bank) = (&contestant.system, workload) {
            let audit = tinykv.audit_bank(options.keys).await;
            audit.map_err(|failure| BenchError::Audit(name.clone(), failure))?;
        }
        let per_second = float(measured.counts.done) / length.as_secs_f64();
        say(&format!("{title}: {per_second:.0}/s"));
        self.results.runs.push(Run {
            load,
            system: name.clone(),
            round,
            seconds: length.as_secs_f64(),
            per_second: tenths(per_second),
            client_us,
            servers_us,
            measured,
        });
        Ok(())
    }
}

/// With transactions, the same workload is another one.
fn workload_name(options: &Options, workload: Workload) -> String {
    let both = options.transactions && !workload.needs_transactions();
    let suffix = if both && workload != Workload::Timestamps { " in transactions" } else { "" };
    format!("{}{suffix}", workload.name())
}

fn start(peer: Peer, debian: &Path, bytes: usize) -> (&'static str, Result<Started, StartError>) {
    match peer {
        Peer::Etcd => ("etcd", Started::etcd(debian)),
        Peer::Redis => ("redis", Started::redis(debian)),
        Peer::Bare => ("bare", Started::bare(bytes)),
    }
}

/// What the results depend on.
fn about(options: &Options, clock: &dyn Clock) -> Vec<String> {
    let Options { keys, value_bytes, rounds, seconds, warm_up, seed, .. } = options;
    let load = format!(
        "{keys} keys of 16 bytes with values of {value_bytes}; rounds: {rounds}, of {seconds:?} after {warm_up:?} \
         to warm up; seed {seed}"
    );
    [machine(clock), load].into_iter().chain(options.note.clone()).collect()
}

/// Where and when it was.
pub(crate) fn machine(clock: &dyn Clock) -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{cores} cores ({}), {} {}; {} s after the beginning of 1970",
        model.unwrap_or("of unknown make"),
        std::env::consts::OS,
        kernel.trim(),
        clock.wall().as_secs(),
    )
}
