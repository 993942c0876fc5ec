//! What is refused, in etcd's own words: its clients tell errors apart by their texts.

use runtime::reply::Abandoned;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetaError {
    /// A request without a key.
    #[error("etcdserver: key is not provided")]
    EmptyKey,
    /// The key whose value or lease should be kept does not exist.
    #[error("etcdserver: key not found")]
    KeyNotFound,
    /// A value, though the old one should be kept.
    #[error("etcdserver: value is provided")]
    ValueProvided,
    /// A lease, though the old one should be kept.
    #[error("etcdserver: lease is provided")]
    LeaseProvided,
    /// More conditions or operations than a transaction may have.
    #[error("etcdserver: too many operations in txn request")]
    TooManyOps,
    /// A transaction that writes a key twice.
    #[error("etcdserver: duplicate key given in txn request")]
    DuplicateKey,
    /// What a transaction may not do here.
    #[error("etcdserver: nested transactions are not served")]
    Nested,
    /// A change of the members.
    #[error("members join by being started with the same --etcd-endpoints, and leave by ending")]
    Unchangeable,
    /// An operation without content.
    #[error("etcdserver: invalid operation in txn request")]
    NoOperation,
    /// A revision whose history is gone.
    #[error("etcdserver: mvcc: required revision has been compacted")]
    Compacted,
    /// A revision that has not happened.
    #[error("etcdserver: mvcc: required revision is a future revision")]
    FutureRevision,
    /// The space is full.
    #[error("etcdserver: mvcc: database space exceeded")]
    NoSpace,
    /// A request that is too large by itself.
    #[error("etcdserver: request is too large")]
    TooLarge,
    /// A sort, or a comparison, that does not exist.
    #[error("etcdserver: invalid sort option")]
    InvalidSort,
    /// The lease is unknown, or has ended.
    #[error("etcdserver: requested lease not found")]
    LeaseNotFound,
    /// A lease of this id exists.
    #[error("etcdserver: lease already exists")]
    LeaseExists,
    /// A lease for longer than anybody lives.
    #[error("etcdserver: too large lease TTL")]
    LeaseTtlTooLarge,
    /// More requests wait than there is room for.
    #[error("etcdserver: too many requests")]
    TooManyRequests,
    /// Another scheduler leads, or the process is stopping.
    #[error("etcdserver: no leader")]
    NoLeader,
    /// The disk failed, and the process is about to end.
    #[error("etcdserver: the disk failed: {0}")]
    Disk(String),
}

/// The answer to a request: a response, or why not. One that nobody answers says that nobody leads,
/// which clients take for a reason to try elsewhere.
#[derive(Debug)]
pub struct Outcome<T>(pub Result<T, MetaError>);

impl<T> Abandoned for Outcome<T> {
    fn abandoned() -> Self {
        Outcome(Err(MetaError::NoLeader))
    }
}
