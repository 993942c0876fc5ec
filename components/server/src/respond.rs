//! From our errors to the words of the wire. The only file that builds `errorpb`, the errors of
//! `kvrpcpb`, and gRPC status.
//!
//! A client reacts to each of them differently, and some reactions are expensive, so what goes where
//! matters:
//!
//! | what happened | answer | what TinySQL does |
//! |---|---|---|
//! | the region does not serve | the response's `region_error` | refreshes its map, asks again |
//! | the state of a key is against it | the response's own error | resolves the lock, or fails the statement |
//! | the request makes no sense | the response's own error; `INVALID_ARGUMENT` where it has none | fails the statement |
//! | the disk failed | gRPC status `INTERNAL` | drops what it knew of this store, asks others |

use std::time::Duration;

use bytes::Bytes;
use proto::kvrpcpb::{KeyError, LockInfo, WriteConflict};
use proto::{coprocessor as wire, errorpb, kvrpcpb, tinykvext};
use storage::{Error, Locked, RegionError};
use tonic::Status;

/// Why a call is refused, in the words of its response. At most one of the first two is there, and
/// `text` says in words what the second one says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Refusal {
    /// For the field that every response has.
    pub region: Option<Box<errorpb::Error>>,
    /// For the error field of a transactional response.
    pub key: Option<Box<KeyError>>,
    /// For the error field of a raw response.
    pub text: String,
}

/// Puts an error into the words of a response; one that no response has a field for becomes a status.
pub fn refusal(error: &Error) -> Result<Refusal, Status> {
    match error {
        Error::Region(error) => {
            Ok(Refusal { region: Some(Box::new(region_error(error))), ..Refusal::default() })
        }
        Error::Key(key) => Ok(Refusal {
            key: Some(Box::new(key_error(key))),
            text: error.to_string(),
            ..Refusal::default()
        }),
        Error::Invalid(_) | Error::TooLarge { .. } => {
            let text = error.to_string();
            Ok(Refusal { key: Some(Box::new(abort(&text))), text, ..Refusal::default() })
        }
        Error::Corrupt { .. } => Err(Status::data_loss(error.to_string())),
        Error::Engine(_) => Err(Status::internal(error.to_string())),
    }
}

/// Why a region does not change itself. What it will never do is told in words, so that nobody asks again.
pub fn change_refusal(error: &RegionError) -> Refusal {
    let text = match error {
        RegionError::Refused(why) => (*why).to_owned(),
        RegionError::NotLeader { .. }
        | RegionError::NotFound { .. }
        | RegionError::KeyNotInRegion { .. }
        | RegionError::EpochNotMatch { .. }
        | RegionError::StaleCommand
        | RegionError::StoreNotMatch { .. }
        | RegionError::Busy(_) => {
            return Refusal { region: Some(Box::new(region_error(error))), ..Refusal::default() };
        }
    };
    Refusal { text, ..Refusal::default() }
}

/// For a response that has a field for region errors only.
pub fn region_refusal(error: &Error) -> Result<Box<errorpb::Error>, Status> {
    let Refusal { region, text, .. } = refusal(error)?;
    region.ok_or_else(|| Status::invalid_argument(text))
}

/// A request that makes no sense, for which there is no finer word.
pub fn abort(text: &str) -> KeyError {
    KeyError { abort: text.to_owned(), ..KeyError::default() }
}

/// What keeps a region from serving.
pub fn region_error(error: &RegionError) -> errorpb::Error {
    let mut out = errorpb::Error { message: error.to_string(), ..errorpb::Error::default() };
    match error.clone() {
        RegionError::NotLeader { region, leader } => {
            out.not_leader = Some(errorpb::NotLeader { region_id: region, leader });
        }
        RegionError::NotFound { region } => {
            out.region_not_found = Some(errorpb::RegionNotFound { region_id: region });
        }
        RegionError::KeyNotInRegion { key, region, start, end } => {
            out.key_not_in_region = Some(errorpb::KeyNotInRegion {
                key,
                region_id: region,
                start_key: start,
                end_key: end,
            });
        }
        RegionError::EpochNotMatch { regions } => {
            out.epoch_not_match = Some(errorpb::EpochNotMatch { current_regions: regions });
        }
        RegionError::StaleCommand => out.stale_command = Some(errorpb::StaleCommand {}),
        RegionError::StoreNotMatch { asked, actual } => {
            out.store_not_match =
                Some(errorpb::StoreNotMatch { request_store_id: asked, actual_store_id: actual });
        }
        // Only a message: clients wait a little and ask again.
        RegionError::Busy(_) | RegionError::Refused(_) => {}
    }
    out
}

/// What the state of a key says against a request.
pub fn key_error(error: &storage::KeyError) -> KeyError {
    use storage::KeyError as Ours;
    let mut out = KeyError::default();
    match error {
        Ours::Locked(locked) => out.locked = Some(lock_info(locked)),
        Ours::Conflict(conflict) => {
            out.conflict = Some(WriteConflict {
                start_ts: conflict.start_ts,
                conflict_ts: conflict.conflict_ts,
                key: conflict.key.clone(),
                primary: conflict.primary.clone(),
            });
        }
        Ours::Retryable(reason) => out.retryable = reason.to_string(),
        Ours::Abort(reason) => out.abort = reason.to_string(),
    }
    out
}

/// A lock with everything that is needed to find out what became of its transaction.
pub fn lock_info(locked: &Locked) -> LockInfo {
    LockInfo {
        primary_lock: locked.lock.primary.clone(),
        lock_version: locked.lock.ts,
        key: locked.key.clone(),
        lock_ttl: locked.lock.ttl,
    }
}

/// What the coprocessor came to.
pub fn computed(answer: coprocessor::Answer) -> wire::Response {
    wire::Response {
        data: answer.data,
        locked: answer.locked.as_ref().map(lock_info),
        other_error: answer.other_error,
        ..wire::Response::default()
    }
}

/// Why the coprocessor could not even begin, or go on.
pub fn not_computed(error: &Error) -> Result<wire::Response, Status> {
    let Refusal { region, text, .. } = refusal(error)?;
    Ok(wire::Response { region_error: region, other_error: text, ..wire::Response::default() })
}

/// Why a thread of the server ended before its work did.
pub fn not_finished(reason: &dyn std::error::Error) -> Status {
    Status::internal(reason.to_string())
}

/// Calls between stores make sense only where there are several.
pub fn alone() -> Status {
    Status::unimplemented("this node serves alone; it has no peers on other stores")
}

/// There are as many streams of batches as there may be.
pub fn no_streams() -> Status {
    Status::resource_exhausted("there are too many streams of batches; send the calls one by one")
}

/// A batch that is longer than any may be.
pub fn too_many_requests(requests: usize, limit: usize) -> Status {
    Status::invalid_argument(format!("a batch of {requests} requests; the limit is {limit}"))
}

/// A request of a batch that asks for nothing, or for something that this store has never heard of.
pub fn unknown_call() -> Status {
    Status::unimplemented("this store does not know the call")
}

/// Whoever asked does not wait any more.
pub fn late(waited: Duration) -> Status {
    Status::deadline_exceeded(format!("not done within {waited:?}"))
}

/// What a call would have ended with, as an answer in a batch.
pub fn in_batch(status: &Status) -> tinykvext::Failure {
    let code = u32::try_from(i32::from(status.code())).expect("codes are small");
    tinykvext::Failure { code, message: status.message().to_owned() }
}

/// A call without a field for failures.
pub fn failed(error: &Error) -> Status {
    refusal(error).map_or_else(|status| status, |refused| Status::unavailable(refused.text))
}

/// A record of a region cannot be read.
pub fn unreadable(error: &raftstore::Error) -> Status {
    Status::data_loss(error.to_string())
}

/// There are too many calls already; nothing was done.
pub fn busy(why: &'static str) -> Box<errorpb::Error> {
    Box::new(region_error(&RegionError::Busy(why)))
}

/// The bytes of all calls together would be too many; nothing was done.
pub fn too_much() -> Status {
    Status::resource_exhausted("too many bytes of requests are under way; try again")
}

/// A stream between stores of different clusters, or one that does not say of which it is.
pub fn foreign_cluster(own: u64) -> Status {
    Status::failed_precondition(format!("this store belongs to cluster {own}"))
}

/// A snapshot that was not taken.
pub fn snapshot_refused(why: &str) -> Status {
    Status::aborted(format!("the snapshot was not taken: {why}"))
}

/// A snapshot of which nothing came for long.
pub fn snapshot_silent(waited: Duration) -> Status {
    Status::deadline_exceeded(format!("nothing came of the snapshot for {waited:?}"))
}

/// A locked key in its place among the rows of a scan.
pub fn locked_pair(locked: &Locked) -> kvrpcpb::KvPair {
    let error = KeyError { locked: Some(lock_info(locked)), ..KeyError::default() };
    kvrpcpb::KvPair { error: Some(error.into()), key: locked.key.clone(), value: Bytes::new() }
}

#[cfg(test)]
mod tests {
    use proto::metapb::{Peer, Region};
    use storage::mvcc::{Lock, WriteKind};
    use storage::{Abort, Conflict, KeyError as Ours, Retryable};
    use tonic::Code;

    use super::*;

    fn key() -> Bytes {
        Bytes::from_static(b"k")
    }

    /// Every region error has its field, and only that one.
    #[test]
    fn region_errors_have_their_fields() {
        let peer = Peer { id: 4, store_id: 5 };
        let region = Region { id: 3, ..Region::default() };
        let empty = errorpb::Error::default();
        let cases = [
            (
                RegionError::NotLeader { region: 3, leader: Some(peer) },
                errorpb::Error {
                    not_leader: Some(errorpb::NotLeader { region_id: 3, leader: Some(peer) }),
                    ..empty.clone()
                },
            ),
            (
                RegionError::NotFound { region: 3 },
                errorpb::Error {
                    region_not_found: Some(errorpb::RegionNotFound { region_id: 3 }),
                    ..empty.clone()
                },
            ),
            (
                RegionError::KeyNotInRegion { key: key(), region: 3, start: key(), end: key() },
                errorpb::Error {
                    key_not_in_region: Some(errorpb::KeyNotInRegion {
                        key: key(),
                        region_id: 3,
                        start_key: key(),
                        end_key: key(),
                    }),
                    ..empty.clone()
                },
            ),
            (
                RegionError::EpochNotMatch { regions: vec![region.clone()] },
                errorpb::Error {
                    epoch_not_match: Some(errorpb::EpochNotMatch { current_regions: vec![region] }),
                    ..empty.clone()
                },
            ),
            (
                RegionError::StaleCommand,
                errorpb::Error { stale_command: Some(errorpb::StaleCommand {}), ..empty.clone() },
            ),
            (
                RegionError::StoreNotMatch { asked: 1, actual: 2 },
                errorpb::Error {
                    store_not_match: Some(errorpb::StoreNotMatch {
                        request_store_id: 1,
                        actual_store_id: 2,
                    }),
                    ..empty.clone()
                },
            ),
            (RegionError::Busy("too much"), empty),
        ];
        for (ours, fields) in cases {
            let message = ours.to_string();
            assert!(!message.is_empty());
            let expected = errorpb::Error { message, ..fields };
            assert_eq!(region_error(&ours), expected);
            let refused = refusal(&Error::from(ours)).unwrap();
            assert_eq!(refused.region.as_deref(), Some(&expected));
            assert!(refused.key.is_none() && refused.text.is_empty());
        }
    }

    #[test]
    fn a_change_that_is_never_done_is_told_in_words_and_any_other_refusal_by_its_field() {
        let never = change_refusal(&RegionError::Refused("no such peer"));
        let text = "no such peer".to_owned();
        assert_eq!(never, Refusal { text, ..Refusal::default() });
        let later = RegionError::Busy("a change is under way");
        let region = Some(Box::new(region_error(&later)));
        assert_eq!(change_refusal(&later), Refusal { region, ..Refusal::default() });
    }

    #[test]
    fn key_errors_have_their_fields() {
        let lock = Lock { primary: key(), ts: 7, ttl: 9, kind: WriteKind::Put };
        let info = LockInfo { primary_lock: key(), lock_version: 7, key: key(), lock_ttl: 9 };
        let empty = KeyError::default();
        let cases = [
            (
                Ours::Locked(Locked { key: key(), lock }),
                KeyError { locked: Some(info), ..empty.clone() },
            ),
            (
                Ours::Conflict(Conflict {
                    start_ts: 1,
                    conflict_ts: 2,
                    key: key(),
                    primary: key(),
                }),
                KeyError {
                    conflict: Some(WriteConflict {
                        start_ts: 1,
                        conflict_ts: 2,
                        key: key(),
                        primary: key(),
                    }),
                    ..empty.clone()
                },
            ),
            (
                Ours::Retryable(Retryable::RolledBack { start_ts: 1 }),
                KeyError {
                    retryable: "the transaction that started at 1 was rolled back".to_owned(),
                    ..empty.clone()
                },
            ),
            (
                Ours::Abort(Abort::Committed { start_ts: 1, commit_ts: 2 }),
                KeyError {
                    abort: "the transaction that started at 1 is committed at 2".to_owned(),
                    ..empty
                },
            ),
        ];
        for (ours, expected) in cases {
            assert_eq!(key_error(&ours), expected);
            let refused = refusal(&Error::from(ours)).unwrap();
            assert_eq!(refused.key.as_deref(), Some(&expected));
            assert!(refused.region.is_none() && !refused.text.is_empty());
        }
    }

    #[test]
    fn what_makes_no_sense_is_told_in_words_and_what_is_broken_by_status() {
        for error in [Error::Invalid("the key is empty".to_owned()), Error::TooLarge { limit: 3 }] {
            let refused = refusal(&error).unwrap();
            assert_eq!(refused.text, error.to_string());
            assert_eq!(refused.key.as_deref(), Some(&abort(&error.to_string())));
            assert_eq!(region_refusal(&error).unwrap_err().code(), Code::InvalidArgument);
        }
        let corrupt = Error::Corrupt { record: "lock", reason: "short".to_owned() };
        assert_eq!(refusal(&corrupt).unwrap_err().code(), Code::DataLoss);
        let engine = engine::Error::Poisoned { reason: "disk".to_owned() };
        assert_eq!(refusal(&Error::Engine(engine)).unwrap_err().code(), Code::Internal);
    }

    #[test]
    fn what_was_computed_has_its_fields() {
        let lock = Lock { primary: key(), ts: 7, ttl: 9, kind: WriteKind::Put };
        let info = LockInfo { primary_lock: key(), lock_version: 7, key: key(), lock_ttl: 9 };
        let answer = coprocessor::Answer {
            data: key(),
            locked: Some(Locked { key: key(), lock }),
            other_error: "why".to_owned(),
        };
        let expected = wire::Response {
            data: key(),
            locked: Some(info),
            other_error: "why".to_owned(),
            ..wire::Response::default()
        };
        assert_eq!(computed(answer), expected);
        let busy = not_computed(&RegionError::Busy("too much").into()).unwrap();
        assert!(busy.region_error.is_some() && busy.other_error.is_empty());
        let refused = not_computed(&Error::Invalid("no".to_owned())).unwrap();
        assert_eq!(refused.other_error, "invalid request: no");
        let corrupt = Error::Corrupt { record: "lock", reason: "short".to_owned() };
        assert_eq!(not_computed(&corrupt).unwrap_err().code(), Code::DataLoss);
    }
}
