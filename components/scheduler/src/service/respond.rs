//! From our errors to the words of the wire. The only file that builds the status of an answer, and
//! the errors of `schedulerpb`.
//!
//! TinySQL's client does not look into headers: a call that failed must be a gRPC error. The three
//! errors that stores look for in the header are the exception, as they were in the Go original. And
//! one text is special: who reads `mismatch cluster id` in any error ends itself, so only a request of
//! another cluster gets to see it.

use proto::schedulerpb::{self, ErrorType, RequestHeader, ResponseHeader};
use tonic::{Code, Status};

use crate::error::Error;
use crate::meta::MetaError;
use crate::state::State;
use crate::tso::TsoError;

/// What a call answers.
pub type Answer<T> = Result<tonic::Response<T>, Status>;

/// Checks that a request is for this cluster, and that we may answer it.
pub fn check(state: &State, header: Option<&RequestHeader>) -> Result<(), Status> {
    state.check_leads().map_err(|error| status(&error))?;
    let Some(header) = header else {
        return Err(Status::invalid_argument("the request has no header"));
    };
    let (need, got) = (state.cluster_id, header.cluster_id);
    if need != got {
        let text = format!("mismatch cluster id, need {need} but got {got}");
        return Err(Status::failed_precondition(text));
    }
    Ok(())
}

/// The header of a response that is refused in words that stores look for; everything else is a status.
pub fn refused(state: &State, error: &Error) -> Result<Option<ResponseHeader>, Status> {
    let kind = match error {
        Error::NotBootstrapped => ErrorType::NotBootstrapped,
        Error::AlreadyBootstrapped => ErrorType::AlreadyBootstrapped,
        Error::StoreTombstone(_) => ErrorType::StoreTombstone,
        Error::StoreNotFound(_)
        | Error::RegionNotFound(_)
        | Error::Stale { .. }
        | Error::Invalid(_)
        | Error::NotLeader
        | Error::Records(_)
        | Error::Engine(_) => return Err(status(error)),
    };
    Ok(header(state, kind, error.to_string()))
}

/// A header that says what is wrong.
#[expect(clippy::unnecessary_wraps, reason = "a response has it as an option")]
pub fn header(state: &State, kind: ErrorType, message: String) -> Option<ResponseHeader> {
    let error = schedulerpb::Error { r#type: kind.into(), message };
    Some(ResponseHeader { cluster_id: state.cluster_id, error: Some(error) })
}

/// A request that makes no sense, and why.
pub fn invalid(text: &str) -> Status {
    Status::invalid_argument(text)
}

/// There are as many calls as there may be; nothing was read of this one.
pub fn too_many_calls() -> Status {
    Status::resource_exhausted("too many calls are under way; try again")
}

/// There are as many streams as there may be.
pub fn too_many_streams() -> Status {
    Status::resource_exhausted("too many streams are open; try again")
}

/// The bytes of all calls together would be too many; nothing was done.
pub fn too_much() -> Status {
    Status::resource_exhausted("too many bytes of requests are under way; try again")
}

/// An error as a status.
pub fn status(error: &Error) -> Status {
    let code = match error {
        Error::NotBootstrapped | Error::AlreadyBootstrapped | Error::StoreTombstone(_) => {
            Code::FailedPrecondition
        }
        Error::StoreNotFound(_) | Error::RegionNotFound(_) => Code::NotFound,
        Error::Stale { .. } => Code::Aborted,
        Error::Invalid(_) => Code::InvalidArgument,
        // The client asks who leads, and then asks there.
        Error::NotLeader | Error::Records(_) => Code::Unavailable,
        Error::Engine(_) => Code::Internal,
    };
    Status::new(code, error.to_string())
}

/// Why there is no timestamp, as a status.
pub fn tso_status(error: TsoError) -> Status {
    let code = match error {
        TsoError::Zero | TsoError::TooMany => Code::InvalidArgument,
        TsoError::Closed | TsoError::Exhausted => Code::Unavailable,
    };
    Status::new(code, error.to_string())
}

/// An error of the key space, with etcd's code for it.
pub fn meta_status(error: &MetaError) -> Status {
    let code = match error {
        MetaError::EmptyKey
        | MetaError::KeyNotFound
        | MetaError::ValueProvided
        | MetaError::LeaseProvided
        | MetaError::TooManyOps
        | MetaError::DuplicateKey
        | MetaError::NoOperation
        | MetaError::TooLarge
        | MetaError::InvalidSort => Code::InvalidArgument,
        MetaError::Nested | MetaError::Unchangeable => Code::Unimplemented,
        MetaError::Compacted | MetaError::FutureRevision | MetaError::LeaseTtlTooLarge => {
            Code::OutOfRange
        }
        MetaError::NoSpace | MetaError::TooManyRequests => Code::ResourceExhausted,
        MetaError::LeaseNotFound => Code::NotFound,
        MetaError::LeaseExists => Code::FailedPrecondition,
        MetaError::NoLeader => Code::Unavailable,
        MetaError::Disk(_) => Code::Internal,
    };
    Status::new(code, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TinySQL's client tells these apart by code and text.
    #[test]
    fn what_clients_branch_on_has_its_code_and_text() {
        let cases = [
            (MetaError::LeaseNotFound, 5, "etcdserver: requested lease not found"),
            (MetaError::NoLeader, 14, "etcdserver: no leader"),
            (MetaError::Compacted, 11, "etcdserver: mvcc: required revision has been compacted"),
            (
                MetaError::FutureRevision,
                11,
                "etcdserver: mvcc: required revision is a future revision",
            ),
            (MetaError::EmptyKey, 3, "etcdserver: key is not provided"),
            (MetaError::DuplicateKey, 3, "etcdserver: duplicate key given in txn request"),
            (MetaError::LeaseExists, 9, "etcdserver: lease already exists"),
            (MetaError::LeaseTtlTooLarge, 11, "etcdserver: too large lease TTL"),
        ];
        for (error, code, text) in cases {
            let status = meta_status(&error);
            assert_eq!((status.code() as i32, status.message()), (code, text));
        }
        let not_leader = status(&Error::NotLeader);
        assert_eq!((not_leader.code(), not_leader.message()), (Code::Unavailable, "not leader"));
    }

    #[test]
    fn no_error_but_a_wrong_header_ends_a_client() {
        let errors = [
            Error::NotBootstrapped,
            Error::AlreadyBootstrapped,
            Error::StoreNotFound(1),
            Error::StoreTombstone(1),
            Error::RegionNotFound(None),
            Error::NotLeader,
            Error::Invalid("5 is another cluster".to_owned()),
        ];
        for error in errors {
            assert!(!status(&error).message().contains("mismatch cluster id"), "{error}");
        }
    }
}
