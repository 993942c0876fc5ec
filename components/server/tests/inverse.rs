//! What the server says and what the client hears are the same: the client's table is the inverse of
//! `respond.rs`, error by error.

use bytes::Bytes;
use client::Timestamp;
use client::error::{Cause, Conflict};
use client::failure::{Failure, Fate, KeyFailure};
use proto::kvrpcpb::LockInfo;
use proto::metapb::{Peer, Region};
use server::respond::{
    in_batch, key_error, late, refusal, region_error, region_refusal, unknown_call,
};
use storage::mvcc::{Lock, WriteKind};
use storage::{Abort, Error, KeyError, Locked, RegionError, Retryable};

fn key() -> Bytes {
    Bytes::from_static(b"k")
}

#[test]
fn a_region_that_does_not_serve_is_understood_and_so_is_what_became_of_the_request() {
    let leader = Peer { id: 4, store_id: 5 };
    let regions = vec![Region { id: 3, ..Region::default() }];
    let cases = [
        (
            RegionError::NotLeader { region: 3, leader: Some(leader) },
            Failure::NotLeader { leader: Some(leader) },
            Fate::NotDone,
        ),
        (
            RegionError::NotLeader { region: 3, leader: None },
            Failure::NotLeader { leader: None },
            Fate::NotDone,
        ),
        (RegionError::NotFound { region: 3 }, Failure::RegionNotFound, Fate::NotDone),
        (
            RegionError::KeyNotInRegion { key: key(), region: 3, start: key(), end: key() },
            Failure::KeyNotInRegion,
            Fate::NotDone,
        ),
        (
            RegionError::EpochNotMatch { regions: regions.clone() },
            Failure::EpochNotMatch { regions },
            Fate::NotDone,
        ),
        (RegionError::StaleCommand, Failure::StaleCommand, Fate::Unknown),
        (RegionError::StoreNotMatch { asked: 1, actual: 2 }, Failure::StoreNotMatch, Fate::NotDone),
        (
            RegionError::Busy("too much"),
            Failure::Busy("the server is busy: too much".to_owned()),
            Fate::NotDone,
        ),
    ];
    for (said, heard, fate) in cases {
        let failure = Failure::of_region(region_error(&said));
        assert_eq!((&failure, failure.fate()), (&heard, fate), "{said}");
    }
}

#[test]
fn what_the_state_of_a_key_says_is_understood() {
    let lock = Lock { primary: key(), ts: 7, ttl: 9, kind: WriteKind::Put };
    let info = LockInfo { primary_lock: key(), lock_version: 7, key: key(), lock_ttl: 9 };
    let conflict =
        storage::Conflict { start_ts: 1, conflict_ts: 2, key: key(), primary: Bytes::new() };
    let heard =
        Conflict { started_at: Timestamp::new(1), committed_at: Timestamp::new(2), key: key() };
    let (retryable, abort) =
        (Retryable::RolledBack { start_ts: 1 }, Abort::Committed { start_ts: 1, commit_ts: 2 });
    let cases = [
        (KeyError::Locked(Locked { key: key(), lock }), KeyFailure::Locked(info)),
        (KeyError::Conflict(conflict), KeyFailure::Final(Cause::Conflict(Box::new(heard)))),
        (
            KeyError::Retryable(retryable.clone()),
            KeyFailure::Final(Cause::RolledBack(retryable.to_string())),
        ),
        (KeyError::Abort(abort.clone()), KeyFailure::Final(Cause::Refused(abort.to_string()))),
    ];
    for (said, heard) in cases {
        assert_eq!(KeyFailure::of(key_error(&said)), heard, "{said}");
    }
    let invalid = Error::Invalid("the key is empty".to_owned());
    let refused = refusal(&invalid).expect("it has a field").key.expect("this one");
    assert_eq!(KeyFailure::of(*refused), KeyFailure::Final(Cause::Refused(invalid.to_string())));
}

#[test]
fn a_store_that_is_ill_leaves_the_fate_unknown() {
    let corrupt = Error::Corrupt { record: "lock", reason: "short".to_owned() };
    let poisoned = Error::Engine(engine::Error::Poisoned { reason: "disk".to_owned() });
    for error in [corrupt, poisoned] {
        let failure = Failure::of_status(&refusal(&error).expect_err("it has no field"));
        assert_eq!(failure.fate(), Fate::Unknown, "{error}");
    }
}

/// Responses are the same however they travel; only what ends a call is said in other words in a batch.
#[test]
fn what_would_have_ended_a_call_is_understood_as_well_from_a_batch() {
    let corrupt = Error::Corrupt { record: "lock", reason: "short".to_owned() };
    let said = [
        refusal(&corrupt).expect_err("it has no field"),
        refusal(&Error::Engine(engine::Error::Poisoned { reason: "disk".to_owned() }))
            .expect_err("it has no field"),
        region_refusal(&Error::Invalid("no".to_owned())).expect_err("it has no field"),
        unknown_call(),
        late(std::time::Duration::from_secs(1)),
    ];
    let all = (0..=16).map(|code| tonic::Status::new(tonic::Code::from(code), "why"));
    for status in said.into_iter().chain(all) {
        assert_eq!(Failure::of_batch(&in_batch(&status)), Failure::of_status(&status), "{status}");
    }
}
