//! What can go wrong, told apart by what a caller does about it.
//!
//! | question | answer | what to do |
//! |---|---|---|
//! | [`is_retryable`](Error::is_retryable) | nothing was done, and later it may be | ask again; a transaction from its beginning |
//! | [`is_undetermined`](Error::is_undetermined) | it may have been done, or may still be | find out by reading, or tell a person |
//! | neither | it will never be done as it was asked | change the request |
//!
//! An undetermined outcome is never dressed up as a failure. Who takes "the answer was lost" for "it was
//! not done" and does it again transfers the money twice.

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;

use crate::timestamp::Timestamp;

/// The result of most calls of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An operation that did not succeed: which one, why not, and what was tried.
#[derive(Clone, Debug)]
pub struct Error {
    operation: &'static str,
    cause: Cause,
    attempts: Attempts,
}

/// Why an operation did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// No attempt succeeded in the time there was. Nothing was done.
    #[error("no attempt succeeded in time")]
    Exhausted,

    /// A write was sent, and nobody said what became of it.
    #[error("its outcome is unknown")]
    Undetermined,

    /// Another transaction wrote the same key first.
    #[error(transparent)]
    Conflict(Box<Conflict>),

    /// The transaction was rolled back by somebody who found its locks too old.
    #[error("the transaction was rolled back: {0}")]
    RolledBack(String),

    /// The cluster has no store yet.
    #[error("the cluster is not bootstrapped")]
    NotBootstrapped,

    /// The cluster has been founded already, by another store.
    #[error("the cluster is bootstrapped already")]
    AlreadyBootstrapped,

    /// The store was removed for ever.
    #[error("the store was removed: {0}")]
    Tombstone(String),

    /// There is no such thing.
    #[error("not found: {0}")]
    NotFound(String),

    /// Somebody at this address belongs to another cluster.
    #[error("another cluster: {0}")]
    ForeignCluster(String),

    /// The request makes no sense to those who were asked.
    #[error("refused: {0}")]
    Refused(String),

    /// The request makes no sense to us, and was not sent.
    #[error("invalid: {0}")]
    Invalid(String),

    /// An answer contradicts the protocol.
    #[error("the answer makes no sense: {0}")]
    Malformed(String),
}

/// Two transactions wrote one key, and the other one was first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key was written at {committed_at} by another transaction than that of {started_at}")]
pub struct Conflict {
    /// When the transaction started that is refused.
    pub started_at: Timestamp,
    /// When the other one committed.
    pub committed_at: Timestamp,
    /// The key.
    pub key: Bytes,
}

impl Error {
    pub(crate) fn new(operation: &'static str, cause: Cause, attempts: Attempts) -> Self {
        Error { operation, cause, attempts }
    }

    /// An error of something that was never sent.
    pub(crate) fn unsent(operation: &'static str, cause: Cause) -> Self {
        Error::new(operation, cause, Attempts::default())
    }

    /// Why it did not succeed.
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// What was tried.
    pub fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    /// Whether nothing was done, and the same may succeed later. Of a transaction: when it is begun
    /// again, with a new timestamp and new reads.
    pub fn is_retryable(&self) -> bool {
        match self.cause {
            Cause::Exhausted
            | Cause::Conflict(_)
            | Cause::RolledBack(_)
            | Cause::NotBootstrapped => true,
            Cause::Undetermined
            | Cause::AlreadyBootstrapped
            | Cause::Tombstone(_)
            | Cause::NotFound(_)
            | Cause::ForeignCluster(_)
            | Cause::Refused(_)
            | Cause::Invalid(_)
            | Cause::Malformed(_) => false,
        }
    }

    /// Whether it may have been done, or may still be.
    pub fn is_undetermined(&self) -> bool {
        self.cause == Cause::Undetermined
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}{}", self.operation, self.cause, self.attempts)
    }
}

impl std::error::Error for Error {}

/// What was tried: how often, and how the latest attempts ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    count: u32,
    latest: VecDeque<Attempt>,
}

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Who was asked.
    pub whom: String,
    /// What came of it.
    pub outcome: String,
}

impl Attempts {
    /// How many failed attempts are remembered one by one; older ones are only counted.
    pub const KEPT_MAX: usize = 8;

    /// How many attempts failed.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The latest ones, oldest first.
    pub fn latest(&self) -> impl Iterator<Item = &Attempt> {
        self.latest.iter()
    }

    pub(crate) fn add(&mut self, whom: impl Into<String>, outcome: impl Into<String>) {
        self.count += 1;
        if self.latest.len() == Self::KEPT_MAX {
            self.latest.pop_front();
        }
        self.latest.push_back(Attempt { whom: whom.into(), outcome: outcome.into() });
    }
}

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.count == 1 { "" } else { "s" };
        match self.latest.back() {
            None => Ok(()),
            Some(Attempt { whom, outcome }) => {
                write!(f, " ({} failed attempt{plural}, the last at {whom}: {outcome})", self.count)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_retryable_undetermined_or_final_and_says_so_once() {
        let text = || "why".to_owned();
        let conflict = Conflict {
            started_at: Timestamp::new(1),
            committed_at: Timestamp::new(2),
            key: Bytes::new(),
        };
        let cases = [
            (Cause::Exhausted, (true, false)),
            (Cause::Undetermined, (false, true)),
            (Cause::Conflict(Box::new(conflict)), (true, false)),
            (Cause::RolledBack(text()), (true, false)),
            (Cause::NotBootstrapped, (true, false)),
            (Cause::AlreadyBootstrapped, (false, false)),
            (Cause::Tombstone(text()), (false, false)),
            (Cause::NotFound(text()), (false, false)),
            (Cause::ForeignCluster(text()), (false, false)),
            (Cause::Refused(text()), (false, false)),
            (Cause::Invalid(text()), (false, false)),
            (Cause::Malformed(text()), (false, false)),
        ];
        for (cause, expected) in cases {
            let error = Error::unsent("put", cause.clone());
            assert_eq!((error.is_retryable(), error.is_undetermined()), expected, "{error}");
            assert_eq!(error.to_string(), format!("cannot put: {cause}"));
        }
    }

    #[test]
    fn an_error_tells_its_attempts_and_keeps_the_latest() {
        let mut attempts = Attempts::default();
        (1..=10).for_each(|number| attempts.add(format!("store {number}"), "not the leader"));
        assert_eq!(attempts.latest().next().unwrap().whom, "store 3");
        let error = Error::new("get", Cause::Exhausted, attempts);
        assert_eq!(
            error.to_string(),
            "cannot get: no attempt succeeded in time (10 failed attempts, the last at store 10: \
             not the leader)"
        );
    }
}
