//! How one attempt at a store fails, and what is done about it: the one table of both.
//!
//! A store answers in the words of the wire; this file is their reader, as `respond.rs` of the server is
//! their writer.
//!
//! | what came back | done? | what we remember | pause before the next attempt |
//! |---|---|---|---|
//! | `not_leader`, with the leader | no | who leads | 1 to 10 ms |
//! | `not_leader`, without | no | the next peer's turn | 2 to 500 ms |
//! | `region_not_found` | no | the region is forgotten | 2 to 500 ms |
//! | `key_not_in_region` | no | the region is forgotten | 2 to 500 ms |
//! | `epoch_not_match`, with regions | no | the regions, where they are newer | 2 to 500 ms |
//! | `epoch_not_match`, without | no | the region is forgotten | 2 to 500 ms |
//! | `stale_command` | **unknown** | nothing | 2 to 500 ms |
//! | `store_not_match` | no | the store's address is forgotten | 20 ms to 2 s |
//! | a region error with a message only: busy | no | nothing | 2 to 500 ms |
//! | nobody listens | no | the store's address is forgotten, the next peer's turn | 20 ms to 2 s |
//! | the connection broke, no answer in time, or a status that says the store is ill | **unknown** | the same | 20 ms to 2 s |
//! | the scheduler knows neither region nor store | no | the region is forgotten | 20 ms to 1 s |
//! | a status that says the request is wrong | no | nothing | none: it is the end |
//!
//! *Unknown* is decided by what could have happened at worst. A connection that could not be made
//! carried nothing; one that broke may have carried the request, and the store may be doing it now.
//!
//! What is wrong with a *key* is not in this table, because it is an answer and no failure of the
//! attempt: see [`KeyFailure`].

use std::time::Duration;

use proto::errorpb;
use proto::kvrpcpb::{KeyError, LockInfo};
use proto::metapb::{Peer, Region};
use proto::tinykvext;
use tonic::{Code, ConnectError, Status};

use crate::backoff::Reason;
use crate::dial::whole;
use crate::error::{Cause, Conflict};
use crate::timestamp::Timestamp;

/// How one attempt failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Failure {
    /// The peer does not lead the region.
    #[error("not the leader")]
    NotLeader {
        /// Who does, if the peer knows.
        leader: Option<Peer>,
    },
    /// The store has no such region.
    #[error("the region is not there")]
    RegionNotFound,
    /// The region does not have the key.
    #[error("the key is not in the region")]
    KeyNotInRegion,
    /// The region is not what we took it for.
    #[error("the region has changed")]
    EpochNotMatch {
        /// What the store knows now.
        regions: Vec<Region>,
    },
    /// Nobody will say what became of the request.
    #[error("the fate of the command is not known")]
    StaleCommand,
    /// The store at this address is another one.
    #[error("another store answered")]
    StoreNotMatch,
    /// The store has no time.
    #[error("{0}")]
    Busy(String),
    /// There is no connection to the store, and the request was not sent.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// The request was sent, and no useful answer came.
    #[error("{0}")]
    Lost(String),
    /// The scheduler could not say where to send the request.
    #[error("{0}")]
    Unlocated(String),
    /// The request is wrong, for every store and for ever.
    #[error("{0}")]
    Refused(String),
}

/// What is known of a request after an attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was certainly not done.
    NotDone,
    /// It may have been done, or may still be.
    Unknown,
}

/// What an attempt that failed taught us about the cluster.
#[derive(Clone, Debug, PartialEq)]
pub enum Lesson {
    /// Nothing.
    Nothing,
    /// This peer leads the region.
    Leader(Peer),
    /// Another peer of the region should be asked.
    NextPeer,
    /// The region is not what we thought, and the scheduler knows better.
    ForgetRegion,
    /// These are regions as they are now.
    Regions(Vec<Region>),
    /// The store is elsewhere.
    ForgetStore,
    /// The store does not answer: perhaps it is elsewhere, and perhaps another peer leads by now.
    ForgetStoreAndNextPeer,
}

impl Failure {
    /// What a response's `region_error` says.
    pub fn of_region(error: errorpb::Error) -> Self {
        if let Some(not_leader) = error.not_leader {
            return Failure::NotLeader { leader: not_leader.leader.filter(|peer| peer.id != 0) };
        }
        if let Some(epoch_not_match) = error.epoch_not_match {
            return Failure::EpochNotMatch { regions: epoch_not_match.current_regions };
        }
        if error.region_not_found.is_some() {
            return Failure::RegionNotFound;
        }
        if error.key_not_in_region.is_some() {
            return Failure::KeyNotInRegion;
        }
        if error.stale_command.is_some() {
            return Failure::StaleCommand;
        }
        if error.store_not_match.is_some() {
            return Failure::StoreNotMatch;
        }
        Failure::Busy(error.message)
    }

    /// What a call that ended without a response came to.
    pub fn of_status(status: &Status) -> Self {
        let text = match std::error::Error::source(status) {
            Some(source) => format!("{}: {}", status.message(), whole(source)),
            None => status.message().to_owned(),
        };
        if was_not_sent(status) {
            return Failure::Unreachable(text);
        }
        match status.code() {
            // Ill stores, broken connections, and codes that gRPC itself makes of what it cannot tell.
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Unknown
            | Code::Internal
            | Code::DataLoss
            | Code::Aborted
            | Code::ResourceExhausted
            | Code::Ok => Failure::Lost(text),
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Unauthenticated => Failure::Refused(text),
        }
    }

    /// What an answer in a batch says in place of a response: the same status, in other words.
    pub fn of_batch(failure: &tinykvext::Failure) -> Self {
        let code = i32::try_from(failure.code).map_or(Code::Unknown, Code::from);
        Failure::of_status(&Status::new(code, failure.message.clone()))
    }

    /// An attempt without any answer.
    pub fn of_silence(waited: Duration) -> Self {
        Failure::Lost(format!("no answer within {waited:?}"))
    }

    /// What is known of the request.
    pub fn fate(&self) -> Fate {
        match self {
            Failure::StaleCommand | Failure::Lost(_) => Fate::Unknown,
            Failure::NotLeader { .. }
            | Failure::RegionNotFound
            | Failure::KeyNotInRegion
            | Failure::EpochNotMatch { .. }
            | Failure::StoreNotMatch
            | Failure::Busy(_)
            | Failure::Unreachable(_)
            | Failure::Unlocated(_)
            | Failure::Refused(_) => Fate::NotDone,
        }
    }

    /// What it taught us.
    pub fn lesson(&self) -> Lesson {
        match self {
            Failure::NotLeader { leader: Some(leader) } => Lesson::Leader(*leader),
            Failure::NotLeader { leader: None } => Lesson::NextPeer,
            Failure::EpochNotMatch { regions } if !regions.is_empty() => {
                Lesson::Regions(regions.clone())
            }
            Failure::RegionNotFound
            | Failure::KeyNotInRegion
            | Failure::EpochNotMatch { .. }
            | Failure::Unlocated(_) => Lesson::ForgetRegion,
            Failure::StoreNotMatch => Lesson::ForgetStore,
            Failure::Unreachable(_) | Failure::Lost(_) => Lesson::ForgetStoreAndNextPeer,
            Failure::StaleCommand | Failure::Busy(_) | Failure::Refused(_) => Lesson::Nothing,
        }
    }

    /// Why to wait before the next attempt. `None` if there should be none.
    pub(crate) fn pause(&self) -> Option<Reason> {
        match self {
            Failure::NotLeader { leader: Some(_) } => Some(Reason::Moved),
            Failure::NotLeader { leader: None }
            | Failure::RegionNotFound
            | Failure::KeyNotInRegion
            | Failure::EpochNotMatch { .. }
            | Failure::StaleCommand
            | Failure::Busy(_) => Some(Reason::Region),
            Failure::StoreNotMatch | Failure::Unreachable(_) | Failure::Lost(_) => {
                Some(Reason::Store)
            }
            Failure::Unlocated(_) => Some(Reason::Scheduler),
            Failure::Refused(_) => None,
        }
    }
}

/// Whether a call ended because no connection could be made, so that nothing was sent.
fn was_not_sent(status: &Status) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if error.is::<ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// What the state of a key says against a request.
#[derive(Clone, Debug, PartialEq)]
pub enum KeyFailure {
    /// Another transaction holds it: find out what became of that one, and ask again.
    Locked(LockInfo),
    /// Nothing will help this request.
    Final(Cause),
}

impl KeyFailure {
    /// What a response's error says.
    pub fn of(error: KeyError) -> Self {
        if let Some(lock) = error.locked {
            return KeyFailure::Locked(lock);
        }
        if let Some(conflict) = error.conflict {
            return KeyFailure::Final(Cause::Conflict(Box::new(Conflict {
                started_at: Timestamp::new(conflict.start_ts),
                committed_at: Timestamp::new(conflict.conflict_ts),
                key: conflict.key,
            })));
        }
        if !error.retryable.is_empty() {
            return KeyFailure::Final(Cause::RolledBack(error.retryable));
        }
        if !error.abort.is_empty() {
            return KeyFailure::Final(Cause::Refused(error.abort));
        }
        KeyFailure::Final(Cause::Malformed("an error that says nothing".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: Peer = Peer { id: 4, store_id: 5 };

    /// The table of the head, row by row.
    #[test]
    fn each_failure_has_its_fate_its_lesson_and_its_pause() {
        use Fate::{NotDone, Unknown};
        let why = || "why".to_owned();
        let regions = vec![Region { id: 3, ..Region::default() }];
        let elsewhere = Lesson::ForgetStoreAndNextPeer;
        let cases = [
            (
                Failure::NotLeader { leader: Some(PEER) },
                (NotDone, Lesson::Leader(PEER), Some(Reason::Moved)),
            ),
            (
                Failure::NotLeader { leader: None },
                (NotDone, Lesson::NextPeer, Some(Reason::Region)),
            ),
            (Failure::RegionNotFound, (NotDone, Lesson::ForgetRegion, Some(Reason::Region))),
            (Failure::KeyNotInRegion, (NotDone, Lesson::ForgetRegion, Some(Reason::Region))),
            (
                Failure::EpochNotMatch { regions: regions.clone() },
                (NotDone, Lesson::Regions(regions), Some(Reason::Region)),
            ),
            (
                Failure::EpochNotMatch { regions: Vec::new() },
                (NotDone, Lesson::ForgetRegion, Some(Reason::Region)),
            ),
            (Failure::StaleCommand, (Unknown, Lesson::Nothing, Some(Reason::Region))),
            (Failure::StoreNotMatch, (NotDone, Lesson::ForgetStore, Some(Reason::Store))),
            (Failure::Busy(why()), (NotDone, Lesson::Nothing, Some(Reason::Region))),
            (Failure::Unreachable(why()), (NotDone, elsewhere.clone(), Some(Reason::Store))),
            (Failure::Lost(why()), (Unknown, elsewhere, Some(Reason::Store))),
            (Failure::Unlocated(why()), (NotDone, Lesson::ForgetRegion, Some(Reason::Scheduler))),
            (Failure::Refused(why()), (NotDone, Lesson::Nothing, None)),
        ];
        for (failure, expected) in cases {
            let reaction = (failure.fate(), failure.lesson(), failure.pause());
            assert_eq!(reaction, expected, "{failure:?}");
        }
    }

    #[test]
    fn every_status_is_a_lost_attempt_or_a_refusal() {
        let refused = [3, 5, 6, 7, 9, 11, 12, 16];
        for code in 0..=16 {
            let failure = Failure::of_status(&Status::new(Code::from(code), "why"));
            let kind = if refused.contains(&code) { Failure::Refused } else { Failure::Lost };
            let expected = kind("why".to_owned());
            assert_eq!(failure, expected, "{:?}", Code::from(code));
        }
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let status = Status::from_error(Box::new(ConnectError(Box::new(refused))));
        let failure = Failure::of_status(&status);
        assert!(matches!(failure, Failure::Unreachable(_)), "{failure:?}");
    }
}
