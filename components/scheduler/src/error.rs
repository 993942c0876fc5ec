//! What the scheduler refuses, told apart by what a caller does about it.

use proto::metapb::RegionEpoch;

/// The result of asking the scheduler for something.
pub type Result<T> = std::result::Result<T, Error>;

/// Why the scheduler does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster has no first store yet; stores answer it by bootstrapping.
    #[error("cluster is not bootstrapped")]
    NotBootstrapped,
    /// Another store was first; the one that hears this joins instead.
    #[error("cluster is already bootstrapped")]
    AlreadyBootstrapped,
    /// No store has this id.
    #[error("invalid store ID {0}, not found")]
    StoreNotFound(u64),
    /// The store was removed for ever; its id never comes back.
    #[error("store {0} is tombstone")]
    StoreTombstone(u64),
    /// No region has this id, or lies at this key.
    #[error("region not found{}", .0.map_or_else(String::new, |id| format!(": {id}")))]
    RegionNotFound(Option<u64>),
    /// A report, or a request, is older than what is known.
    #[error("region {region} is stale: {reported:?} was reported, {known:?} is known")]
    Stale {
        /// The region that is spoken of.
        region: u64,
        /// What was said.
        reported: RegionEpoch,
        /// What we had heard before.
        known: RegionEpoch,
    },
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Another scheduler leads, or nobody does.
    #[error("not leader")]
    NotLeader,
    /// What must not be forgotten could not be written down.
    #[error("the scheduler's records cannot be written: {0}")]
    Records(String),
    /// The disk failed.
    #[error(transparent)]
    Engine(#[from] engine::Error),
}

impl Error {
    /// A request that makes no sense, and why.
    pub fn invalid(reason: impl Into<String>) -> Self {
        Error::Invalid(reason.into())
    }
}
