//! What can go wrong, told apart by what a caller does about it.

use bytes::Bytes;
pub use raftstore::RegionError;

use crate::mvcc::Lock;

/// The result of asking a storage for something.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a request was not served.
///
/// A request that was refused has written nothing, with two exceptions. Where [`Error::is_undetermined`],
/// it may have been done nevertheless. And of commands of several pages those before the refused one
/// are done; each of them says so.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The region did not serve; another store, or the same one later, will.
    #[error(transparent)]
    Region(#[from] Box<RegionError>),

    /// The state of a key speaks against it. This is an answer of the protocol, not a failure.
    #[error(transparent)]
    Key(#[from] Box<KeyError>),

    /// The request makes no sense, and would not make sense later.
    #[error("invalid request: {0}")]
    Invalid(String),

    /// The answer would be larger than answers may be. Ask for less.
    #[error("the answer would pass {limit} bytes; ask for fewer keys at a time")]
    TooLarge {
        /// How large it may be.
        limit: usize,
    },

    /// A record does not parse. Another replica may hold a whole one.
    #[error("damaged {record} record: {reason}")]
    Corrupt {
        /// Which kind of record, as in "lock".
        record: &'static str,
        /// What is wrong with it.
        reason: String,
    },

    /// The disk failed.
    #[error(transparent)]
    Engine(#[from] engine::Error),
}

impl Error {
    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Error::Invalid(reason.into())
    }

    pub(crate) fn corrupt(record: &'static str, reason: impl Into<String>) -> Self {
        Error::Corrupt { record, reason: reason.into() }
    }

    /// The disk failed, and nothing more is written.
    pub(crate) fn stopped(reason: &str) -> Self {
        Error::Engine(engine::Error::Poisoned { reason: reason.to_owned() })
    }

    /// What the state of a key says, if that is the reason.
    pub fn as_key_error(&self) -> Option<&KeyError> {
        match self {
            Error::Key(error) => Some(error),
            Error::Region(_)
            | Error::Invalid(_)
            | Error::TooLarge { .. }
            | Error::Corrupt { .. }
            | Error::Engine(_) => None,
        }
    }

    /// Whether a write that was answered so may have happened, or still happen: it was handed over and
    /// nobody knows what became of it. So also when the disk failed, because what was not synced may be
    /// found in its log by the next start.
    pub fn is_undetermined(&self) -> bool {
        match self {
            Error::Region(error) => matches!(**error, RegionError::StaleCommand),
            Error::Engine(_) => true,
            Error::Key(_) | Error::Invalid(_) | Error::TooLarge { .. } | Error::Corrupt { .. } => {
                false
            }
        }
    }
}

impl From<RegionError> for Error {
    fn from(error: RegionError) -> Self {
        Error::Region(Box::new(error))
    }
}

impl From<KeyError> for Error {
    fn from(error: KeyError) -> Self {
        Error::Key(Box::new(error))
    }
}

/// What the state of a key says against a request. Clients of a transaction branch on the variant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Another transaction has locked the key: find out what became of it, and ask again.
    #[error(transparent)]
    Locked(Locked),

    /// Somebody committed after the transaction had started: its snapshot is out of date.
    #[error(transparent)]
    Conflict(Conflict),

    /// This transaction is lost; a new one that does the same may succeed.
    #[error(transparent)]
    Retryable(Retryable),

    /// What was asked will never be right.
    #[error(transparent)]
    Abort(Abort),
}

/// A key, and the lock on it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key is locked by the transaction that started at {}", lock.ts)]
pub struct Locked {
    /// The user key.
    pub key: Bytes,
    /// The lock.
    pub lock: Lock,
}

/// Two transactions wrote the same key, and the other one was first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write conflict: the transaction started at {start_ts}, the key was written at {conflict_ts}"
)]
#[expect(
    clippy::struct_field_names,
    reason = "there are two timestamps, and the protocol calls them so"
)]
pub struct Conflict {
    /// When the transaction started that is refused.
    pub start_ts: u64,
    /// When the other one committed; the start itself if this transaction was rolled back here.
    pub conflict_ts: u64,
    /// The user key.
    pub key: Bytes,
    /// The primary key of the transaction that is refused.
    pub primary: Bytes,
}

/// Why a transaction is lost though another attempt may succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Retryable {
    /// It was rolled back, probably because its lock had expired.
    #[error("the transaction that started at {start_ts} was rolled back")]
    RolledBack {
        /// When it started.
        start_ts: u64,
    },
    /// Its lock is gone, and another transaction's is in its place.
    #[error("the transaction that started at {start_ts} lost its lock to the one of {holder_ts}")]
    LockLost {
        /// When it started.
        start_ts: u64,
        /// When the one started that holds the lock now.
        holder_ts: u64,
    },
}

/// Why something will never be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Abort {
    /// It cannot be rolled back, or committed at another time, because it is committed.
    #[error("the transaction that started at {start_ts} is committed at {commit_ts}")]
    Committed {
        /// When it started.
        start_ts: u64,
        /// When it was committed.
        commit_ts: u64,
    },
    /// The timestamp is so old that what belongs to it may have been collected.
    #[error("timestamp {ts} is older than the safe point {safe_point}")]
    BelowSafePoint {
        /// The timestamp of the request.
        ts: u64,
        /// The safe point.
        safe_point: u64,
    },
    /// Another transaction has a record under this timestamp. A timestamp belongs to one transaction,
    /// so somebody made one up, or the source of timestamps went back.
    #[error("timestamp {ts} is already used by the transaction that started at {start_ts}")]
    TimestampTaken {
        /// The timestamp.
        ts: u64,
        /// When the other transaction started.
        start_ts: u64,
    },
}
