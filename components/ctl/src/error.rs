//! What went wrong, for the person who typed the command: what, why, and what to do.

use client::error::Cause;

/// What the process ends with; the table is in the head of the [crate].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It is not done.
    Failed,
    /// The command line makes no sense.
    Misused,
    /// Nobody knows whether it is done.
    Unknown,
    /// There is no such thing.
    Absent,
}

impl Exit {
    /// The number that a shell sees.
    pub fn code(self) -> u8 {
        match self {
            Exit::Failed => 1,
            Exit::Misused => 2,
            Exit::Unknown => 3,
            Exit::Absent => 4,
        }
    }
}

/// A command that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct CtlError {
    /// What happened, and why.
    pub what: String,
    /// What to do about it, where there is something.
    pub hint: Option<String>,
    /// What the process ends with.
    pub exit: Exit,
}

impl CtlError {
    /// It is not done.
    pub(crate) fn failed(what: impl Into<String>) -> Self {
        CtlError { what: what.into(), hint: None, exit: Exit::Failed }
    }

    /// It makes no sense.
    pub fn misused(what: impl Into<String>) -> Self {
        CtlError { exit: Exit::Misused, ..CtlError::failed(what) }
    }

    /// The system refused the process what every process needs.
    pub fn system(error: &std::io::Error) -> Self {
        CtlError::failed(format!("the process cannot run: {error}"))
    }

    /// There is no such thing.
    pub(crate) fn absent(what: impl Into<String>) -> Self {
        CtlError { exit: Exit::Absent, ..CtlError::failed(what) }
    }

    /// The same, with what to do about it.
    #[must_use]
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        CtlError { hint: Some(hint.into()), ..self }
    }
}

/// What to do about a call that failed, and what that says about it.
impl From<client::Error> for CtlError {
    fn from(error: client::Error) -> Self {
        let (exit, hint) = match error.cause() {
            Cause::Exhausted => (
                Exit::Failed,
                "see with `stores` and `region` who is up and who leads, or wait longer with --timeout",
            ),
            Cause::Undetermined => {
                (Exit::Unknown, "it may be done, or not: look before you do it again")
            }
            Cause::Conflict(_) | Cause::RolledBack(_) => {
                (Exit::Failed, "another transaction was in the way; run the command again")
            }
            Cause::NotBootstrapped => (
                Exit::Failed,
                "start a store with this scheduler; the first one founds the cluster",
            ),
            Cause::NotFound(_) => (Exit::Absent, ""),
            Cause::ForeignCluster(_) => {
                (Exit::Failed, "the address is another cluster's; check --scheduler")
            }
            Cause::Malformed(_) => (
                Exit::Failed,
                "a cluster holds raw data or transactional data, not both; check which this one has",
            ),
            Cause::AlreadyBootstrapped
            | Cause::Tombstone(_)
            | Cause::Refused(_)
            | Cause::Invalid(_) => (Exit::Failed, ""),
        };
        let hint = Some(hint).filter(|hint| !hint.is_empty()).map(str::to_owned);
        CtlError { what: error.to_string(), hint, exit }
    }
}

/// A data directory that cannot be read.
impl From<engine::Error> for CtlError {
    fn from(error: engine::Error) -> Self {
        // The engine's words say what to do.
        CtlError::failed(error.to_string())
    }
}

impl From<raftstore::Error> for CtlError {
    fn from(error: raftstore::Error) -> Self {
        CtlError::failed(error.to_string())
    }
}
