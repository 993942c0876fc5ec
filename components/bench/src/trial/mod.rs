//! Trials: what happens to clusters sooner or later, done to one on purpose, and what comes of it held against
//! a target.
//!
//! | trial | what is done | what is looked at |
//! |---|---|---|
//! | [`memory`] | a million keys are put | the memory of each store |
//! | [`syncs`] | puts by many clients | how often each engine of each store had to wait for the disk |
//! | [`snapshot`] | puts, while a store gets its first replica of a large region | puts a second, then and before |
//! | [`leader_kill`] | puts, while the leader's store is killed, ten times | the longest time without an answer |
//! | [`regions`] | puts into eight regions whose leaders are spread, in turn with puts into one | puts a second |
//! | [`half_load`] | puts at half the rate that is possible, beside etcd | how long the slowest hundredth takes |
//! | [`read_index`] | gets that ask a majority, in turn with gets under a lease | gets a second |
//! | [`endurance`] | puts for ten minutes | puts a second and memory, minute by minute |
//!
//! Each trial starts clusters of its own, of the programs that lie beside this one, and leaves nothing
//! behind. Everything is as it is by default, unless a trial says otherwise; but stores report themselves
//! every second, so that a cluster is whole after a few of them. A target that is missed is a line of the
//! report and no failure: the machine may be to blame.

mod cluster;
mod contest;
mod endurance;
mod half_load;
mod leader_kill;
mod memory;
mod metrics;
mod read_index;
mod regions;
mod report;
mod snapshot;
mod syncs;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use runtime::clock::Clock;

use crate::arguments::Trials;
use crate::bench::{BenchError, LOOK, PATIENCE, machine};
use crate::drive::{self, DriveError, Shape};
use crate::fill::FillError;
use crate::process::StartError;
use crate::record::Measured;
use crate::system::{ConnectError, Perform};
use crate::workload::{Generator, Workload};
use crate::{print, say};

use report::Report;

/// The trials, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// What a store holds after a million puts.
    Memory,
    /// How often a put waits for a disk.
    Syncs,
    /// Puts while a snapshot travels.
    Snapshot,
    /// How long a region is without a leader.
    LeaderKill,
    /// Eight regions beside one.
    Regions,
    /// How long puts take when there is not too much to do, beside etcd.
    HalfLoad,
    /// Reads that ask a majority beside reads under a lease.
    ReadIndex,
    /// Ten minutes of puts.
    Endurance,
    /// All of these.
    All,
}

/// Why a trial came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrialError {
    /// Something did not come about.
    #[error("there is not {0} after {PATIENCE:?}")]
    Missing(String),
    /// A store has ended by itself.
    #[error("a store ended: {0}")]
    Ended(String),
    /// A store does not count what it should.
    #[error("store {0} does not say {1}")]
    Silent(u64, &'static str),
    /// A cluster does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A cluster is not where it should be.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It does not take its keys.
    #[error(transparent)]
    Fill(#[from] FillError),
    /// A load failed.
    #[error(transparent)]
    Drive(#[from] DriveError),
    /// Systems could not be compared.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// The cluster did not do what it was told to.
    #[error(transparent)]
    Refused(#[from] client::Error),
    /// The system refused something.
    #[error(transparent)]
    System(#[from] std::io::Error),
    /// Some of the trials failed.
    #[error("trials that came to nothing: {0}")]
    Failed(usize),
}

type Result<T> = std::result::Result<T, TrialError>;

/// Makes trials, one after the other, and prints what each came to.
pub(crate) async fn run(wish: &Trials, clock: &Arc<dyn Clock>) -> Result<()> {
    let ground = Ground { wish, clock: Arc::clone(clock) };
    print(&format!("{}\n", machine(clock.as_ref())));
    let mut failed = 0;
    for name in all(&wish.names) {
        let name_text = name.to_possible_value().expect("no trial is hidden");
        say(&format!("{} ...", name_text.get_name()));
        match make(name, &ground).await {
            Ok(report) => print(&format!("\n{}\n\n{report}", name_text.get_name())),
            Err(error) => {
                failed += 1;
                say(&format!("{}: {error}", name_text.get_name()));
            }
        }
    }
    if failed == 0 { Ok(()) } else { Err(TrialError::Failed(failed)) }
}

fn all(names: &[Name]) -> Vec<Name> {
    let every = names.contains(&Name::All);
    let wanted = if every { Name::value_variants() } else { names };
    wanted.iter().copied().filter(|name| *name != Name::All).collect()
}

async fn make(name: Name, ground: &Ground<'_>) -> Result<Report> {
    match name {
        Name::Memory => memory::run(ground).await,
        Name::Syncs => syncs::run(ground).await,
        Name::Snapshot => snapshot::run(ground).await,
        Name::LeaderKill => leader_kill::run(ground).await,
        Name::Regions => regions::run(ground).await,
        Name::HalfLoad => half_load::run(ground).await,
        Name::ReadIndex => read_index::run(ground).await,
        Name::Endurance => endurance::run(ground).await,
        Name::All => unreachable!("it stands for the others"),
    }
}

/// How long values are that loads write.
const VALUE_BYTES: usize = 100;

/// What every trial stands on.
struct Ground<'a> {
    wish: &'a Trials,
    clock: Arc<dyn Clock>,
}

impl Ground<'_> {
    /// Puts by all these clients, each as soon as it is answered, all over so many keys.
    async fn put<S: Perform>(
        &self,
        clients: Vec<S>,
        keys: u64,
        length: Duration,
        title: &str,
    ) -> Result<Measured> {
        let generator = Arc::new(Generator::new(Workload::Put, None, keys, 1));
        let shape = Shape { rate: None, warm_up: Duration::ZERO, length, seed: 1 };
        Ok(drive::run(clients, generator, &shape, Arc::clone(&self.clock), title).await?)
    }

    /// Looks again and again until there is what is looked for, but not for ever.
    async fn eventually<T>(&self, what: &str, look: impl AsyncFnMut() -> Option<T>) -> Result<T> {
        self.eventually_after(LOOK, what, look).await
    }

    /// The same, with another pause in between.
    async fn eventually_after<T>(
        &self,
        pause: Duration,
        what: &str,
        mut look: impl AsyncFnMut() -> Option<T>,
    ) -> Result<T> {
        let begin = self.clock.now();
        loop {
            if let Some(found) = look().await {
                return Ok(found);
            }
            if self.clock.now().since(begin) > PATIENCE {
                return Err(TrialError::Missing(what.to_owned()));
            }
            tokio::time::sleep(pause).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_stands_for_every_other_one() {
        assert_eq!(all(&[Name::Syncs, Name::Memory]), [Name::Syncs, Name::Memory]);
        let every = all(&[Name::All]);
        assert_eq!(every.len(), Name::value_variants().len() - 1);
        assert!(!every.contains(&Name::All));
    }
}
