//! How patient a client is, and how it sends.

use std::time::Duration;

/// How long a client waits, and for what; and how it sends.
///
/// Every call has two bounds: how long one attempt may take before another store is asked, and how long
/// all attempts together may take before the caller is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// For a connection to be made. A process that is there answers within milliseconds; a machine that
    /// is not there never does.
    pub connect: Duration,
    /// For the answer to one call of the scheduler.
    pub scheduler_attempt: Duration,
    /// For a call of the scheduler with all its attempts, the search for the leader included.
    pub scheduler_total: Duration,
    /// For the answer to one call of a store. Longer than an election, or a store that is about to
    /// answer is given up.
    pub store_attempt: Duration,
    /// For a read, a raw write or a prewrite with all its attempts, waiting for locks included.
    pub operation_total: Duration,
    /// For the commit of a transaction's primary key with all its attempts. Longer than the others,
    /// because giving up here leaves the transaction's fate unknown.
    pub commit_total: Duration,
    /// The most attempts of one operation, whatever time is left.
    pub attempts_max: u32,
    /// Whether requests to one store travel together, over one stream, where the store takes streams.
    /// Without it each is a call of its own, which costs both sides more, and no promise is another.
    pub batched: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            connect: Duration::from_secs(2),
            scheduler_attempt: Duration::from_secs(3),
            scheduler_total: Duration::from_secs(10),
            store_attempt: Duration::from_secs(5),
            operation_total: Duration::from_secs(20),
            commit_total: Duration::from_secs(40),
            attempts_max: 1000,
            batched: true,
        }
    }
}
