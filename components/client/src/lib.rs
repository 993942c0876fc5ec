//! The other end of the wire: raw and transactional calls to a cluster.
//!
//! A cluster is a scheduler and stores that move regions among themselves, restart, and lose their
//! leaders. To whoever calls it, it should be a map from keys to values. This crate is what stands
//! between the two.
//!
//! Raw calls stand alone:
//!
//! ```no_run
//! # async fn example() -> client::Result<()> {
//! use client::{Client, Config};
//!
//! let client = Client::connect(&["127.0.0.1:2379"], Config::default()).await?;
//! let raw = client.raw();
//! raw.put("apple", "red").await?;
//! assert_eq!(raw.get("apple").await?, Some("red".into()));
//! # Ok(())
//! # }
//! ```
//!
//! Transactions read as of one moment, and write at another, all or nothing:
//!
//! ```no_run
//! # async fn example(client: client::Client) -> client::Result<()> {
//! loop {
//!     let mut transfer = client.begin().await?;
//!     let from = transfer.get("from").await?;
//!     transfer.put("from", "20")?;
//!     transfer.put("to", "80")?;
//!     match transfer.commit().await {
//!         Ok(_) => return Ok(()),
//!         // Somebody was faster, and nothing was written: from the beginning, with new reads.
//!         Err(error) if error.is_retryable() => {}
//!         // Also when nobody knows whether it was written. To do it again could do it twice.
//!         Err(error) => return Err(error),
//!     }
//! }
//! # }
//! ```
//!
//! A cluster holds raw data or transactional data, not both.
//!
//! # How it is put together
//!
//! ```text
//!            Client
//!          /    |    \
//!        raw   txn   admin        what a caller wants            [raw, txn, admin]
//!          \    |    /
//!           request               one region after the other, again and again, up to a limit
//!          /   |    \                                            [request, rpc, failure, backoff]
//!   regions  stores  scheduler    where things are               [region_cache, stores, scheduler]
//!              |  \  /
//!           batch  dial           one stream to each store; connections
//! ```
//!
//! # What it promises
//!
//! - An operation ends within the time of its [`Config`], with an answer or an [`Error`] that says what
//!   was tried.
//! - An error says whether nothing was done, or nobody knows. See [`error`] for what to do then.
//! - What is done for which failure of a store is one table: [`failure`]. It is the same whether requests
//!   travel together, over one stream to each store, or as calls of their own ([`Config::batched`]).
//! - Nothing grows without a bound: regions, fates, callers that wait, reports.
//!
//! # What is left out
//!
//! Encryption, reading from followers, and retrying a transaction by itself: only its caller can compute
//! its writes anew.

pub mod admin;
mod backoff;
mod batch;
mod config;
mod dial;
pub mod error;
pub mod failure;
mod raw;
mod region_cache;
mod request;
mod rpc;
pub mod scheduler;
mod stores;
pub mod timestamp;
pub mod txn;
mod walk;

use std::sync::Arc;

use runtime::Rng;
use runtime::clock::{Clock, SystemClock};

pub use admin::Admin;
pub use config::Config;
pub use error::{Error, Result};
pub use raw::Raw;
pub use scheduler::SchedulerClient;
pub use timestamp::Timestamp;
pub use txn::{Committed, Snapshot, Transaction};

use crate::request::Requests;

/// A cluster, as its users see it. Clones share connections, and what is known of the regions.
#[derive(Clone)]
pub struct Client {
    requests: Arc<Requests>,
}

impl Client {
    /// Connects to the cluster whose schedulers are at these addresses, as `127.0.0.1:2379`. Must be
    /// called inside of an async runtime, where it leaves tasks.
    pub async fn connect(addresses: &[&str], config: Config) -> Result<Self> {
        let clock = Arc::new(SystemClock);
        let wall = clock.wall().as_nanos() & u128::from(u64::MAX);
        let seed = u64::try_from(wall).unwrap_or_default();
        let rng = Rng::new(seed ^ u64::from(std::process::id()).rotate_left(40));
        let chance = rng.fork("scheduler");
        let scheduler = SchedulerClient::connect(addresses, config.clone(), chance).await?;
        Ok(Client::new(scheduler, config, clock, rng))
    }

    /// A client of the cluster of this scheduler, with a clock and a source of chance.
    pub fn new(
        scheduler: SchedulerClient,
        config: Config,
        clock: Arc<dyn Clock>,
        rng: Rng,
    ) -> Self {
        Client { requests: Arc::new(Requests::new(scheduler, config, clock, rng)) }
    }

    /// The scheduler.
    pub fn scheduler(&self) -> &SchedulerClient {
        &self.requests.scheduler
    }

    /// Raw calls.
    pub fn raw(&self) -> Raw {
        Raw::new(Arc::clone(&self.requests))
    }

    /// What tools do to regions and stores.
    pub fn admin(&self) -> Admin {
        Admin::new(Arc::clone(&self.requests))
    }

    /// Begins a transaction.
    pub async fn begin(&self) -> Result<Transaction> {
        let start = self.scheduler().timestamp().await?;
        Ok(Transaction::new(Arc::clone(&self.requests), start))
    }

    /// The state as of a moment: a timestamp of the scheduler's, not older than its safe point.
    pub fn snapshot(&self, version: Timestamp) -> Snapshot {
        Snapshot::new(Arc::clone(&self.requests), version)
    }
}
