//! A connection to a cluster, and what is asked over it.

use std::time::Duration;

use client::{Client, Config};

use crate::args::{Command, Options};
use crate::error::CtlError;
use crate::form::Form;
use crate::output::Output;
use crate::{Result, change, completion, data, garbage, look, offline};

/// How long the search for a scheduler takes at most; one that is there answers at once.
const SCHEDULER_MAX: Duration = Duration::from_secs(10);

/// A connection to a cluster.
#[derive(Clone)]
pub struct Session {
    pub(crate) client: Client,
    pub(crate) form: Form,
}

impl Session {
    /// Connects. Must be called inside of an async runtime, where it leaves tasks.
    pub async fn connect(options: &Options) -> Result<Self> {
        let total = options.timeout.get();
        let defaults = Config::default();
        let config = Config {
            scheduler_attempt: defaults.scheduler_attempt.min(total),
            scheduler_total: SCHEDULER_MAX.min(total),
            operation_total: total,
            commit_total: total.max(defaults.commit_total),
            ..defaults
        };
        let connected = Client::connect(&[&options.scheduler], config).await;
        let client = connected.map_err(|error| {
            CtlError::from(error).hint(format!(
                "check that a scheduler runs at {}, or name another one with --scheduler",
                options.scheduler
            ))
        })?;
        Ok(Session { client, form: options.form })
    }

    /// Does a command. What it takes long over, it tells `progress` about, line by line.
    pub async fn run(
        &self,
        command: &Command,
        progress: &mut (dyn FnMut(String) + Send),
    ) -> Result<Output> {
        match command {
            Command::Raw(wish) => data::raw(self, wish).await,
            Command::Txn(wish) => data::txn(self, wish).await,
            Command::Regions(regions) => look::regions(self, regions).await,
            Command::Region(region) => look::region(self, region).await,
            Command::Stores { all } => look::stores(self, *all).await,
            Command::Members => look::members(self).await,
            Command::Operators { region } => look::operators(self, *region).await,
            Command::Split { key, raw } => change::split(self, key, *raw).await,
            Command::TransferLeader(place) => change::transfer_leader(self, *place).await,
            Command::AddPeer(place) => change::add_peer(self, *place).await,
            Command::RemovePeer(place) => change::remove_peer(self, *place).await,
            Command::Gc(wish) => garbage::collect(self, wish, progress).await,
            Command::Offline { .. } | Command::Completion { .. } => {
                unreachable!("it asks no cluster")
            }
        }
    }

    /// The numbers of the stores, and where each of them is.
    pub async fn store_addresses(&self) -> Result<Vec<(u64, String)>> {
        let stores = self.client.scheduler().stores(false).await?;
        Ok(stores.into_iter().map(|store| (store.id, store.address)).collect())
    }

    /// How many replicas the region has that has fewest.
    pub async fn fewest_replicas(&self) -> Result<usize> {
        let regions = self.client.scheduler().scan_regions(b"", b"", 0).await?;
        Ok(regions.iter().map(|found| found.region.peers.len()).min().unwrap_or_default())
    }

    /// Does a command for which nobody needs to be asked, if it is one.
    pub fn without(command: &Command, form: Form) -> Option<Result<Output>> {
        match command {
            Command::Offline { dir, region: None } => Some(offline::regions(dir, form)),
            Command::Offline { dir, region: Some(id) } => Some(offline::region(dir, *id, form)),
            Command::Completion { shell } => Some(Ok(Output::Text(completion::script(*shell)))),
            Command::Raw(_)
            | Command::Txn(_)
            | Command::Regions(_)
            | Command::Region(_)
            | Command::Stores { .. }
            | Command::Members
            | Command::Operators { .. }
            | Command::Split { .. }
            | Command::TransferLeader(_)
            | Command::AddPeer(_)
            | Command::RemovePeer(_)
            | Command::Gc(_) => None,
        }
    }
}
