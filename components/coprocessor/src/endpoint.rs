//! From a request to its answer.
//!
//! | what happened | `data` | `locked` | `other_error` |
//! |---|---|---|---|
//! | a plan was run | a `SelectResponse` | | |
//! | no ranges, no such request, no such message | | | why |
//! | a plan failed | a `SelectResponse` with the error and the warnings so far | | why |
//! | a plan met a lock | the same | the lock | |
//! | statistics were collected | their message | | |
//! | collecting failed | | | why |
//! | collecting met a lock | | the lock | |
//!
//! Whatever fails, no row goes out: an answer is whole. What is not about the request at all, a region that
//! does not serve or a disk that failed, is no answer but an error.

use bytes::Bytes;
use prost::Message as _;
use proto::coprocessor::Request;
use proto::tipb::{self, AnalyzeReq, DagRequest, SelectResponse};
use storage::mvcc::encode_user_key;
use storage::{KeyError, Locked, Reader};

use crate::analyze;
use crate::error::{Error, Result};
use crate::exec::{self, Patience, Ranges, View};
use crate::expr::Session;
use crate::memory::Memory;
use crate::plan::Plan;
use crate::table::last_before;

/// The kinds of requests.
pub const DAG: i64 = 103;
/// The kinds of requests.
pub const ANALYZE: i64 = 104;

/// How a server answers.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How much a request may keep in memory, its answer included. A region has one answer for all its
    /// rows, so this is a few times what a region may hold.
    pub memory_bytes: usize,
    /// Answers as the original does where that is wrong, for comparing the two: sketches that count
    /// nothing, strings ordered by length in a top N, broken defaults of floats, and bits of integers
    /// taken for floats.
    pub go_compat: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { memory_bytes: 512 << 20, go_compat: false }
    }
}

/// What goes back to the client.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The message that the kind of request has for an answer.
    pub data: Bytes,
    /// A lock that must be resolved before the request can be answered.
    pub locked: Option<Locked>,
    /// Why there is no answer, or nothing.
    pub other_error: String,
}

/// Answers a request over a state of the region that it is for.
pub fn answer(
    reader: &dyn Reader,
    request: &Request,
    options: &Options,
    patience: &dyn Patience,
) -> storage::Result<Answer> {
    let mut session = Session::default();
    let outcome = match request.tp {
        DAG => match select(reader, request, options, patience, &mut session) {
            Ok(data) => Ok(data),
            Err(Failure::Before(error)) => Err(error),
            Err(Failure::During(error)) => return failed_plan(error, session),
        },
        // Nothing of nothing.
        ANALYZE if request.ranges.is_empty() => Ok(Vec::new()),
        ANALYZE => collect(reader, request, options, patience),
        tp => Err(Error::invalid(format!("unsupported request type {tp}"))),
    };
    match outcome {
        Ok(data) => Ok(Answer { data: data.into(), ..Answer::default() }),
        Err(error) => refused(error, Bytes::new()),
    }
}

/// A failure, and whether the plan is known.
enum Failure {
    Before(Error),
    During(Error),
}

fn select(
    reader: &dyn Reader,
    request: &Request,
    options: &Options,
    patience: &dyn Patience,
    session: &mut Session,
) -> std::result::Result<Vec<u8>, Failure> {
    if request.ranges.is_empty() {
        return Err(Failure::Before(Error::NoRange));
    }
    let dag = DagRequest::decode(request.data.clone())
        .map_err(|error| Failure::Before(Error::invalid(format!("no plan: {error}"))))?;
    *session = Session::new(dag.flags).in_original_mode(options.go_compat);
    let mut run = || {
        let plan = Plan::build(&dag, options.go_compat)?;
        let mut memory = Memory::new(options.memory_bytes);
        let ranges = ranges(reader, request, patience)?;
        exec::run(&plan, ranges, session, &mut memory)
    };
    let chunks = run().map_err(Failure::During)?;
    Ok(chunks.into_response(std::mem::take(session).into_warnings()))
}

fn collect(
    reader: &dyn Reader,
    request: &Request,
    options: &Options,
    patience: &dyn Patience,
) -> Result<Vec<u8>> {
    let analyze = AnalyzeReq::decode(request.data.clone())
        .map_err(|error| Error::invalid(format!("no request for statistics: {error}")))?;
    let mut memory = Memory::new(options.memory_bytes);
    let ranges = ranges(reader, request, patience)?;
    analyze::run(&analyze, ranges, &mut memory, options.go_compat)
}

/// The ranges, all of which make sense and lie in the region.
fn ranges<'a>(
    reader: &'a dyn Reader,
    request: &'a Request,
    patience: &'a dyn Patience,
) -> Result<Ranges<'a>> {
    let ranges =
        Ranges::new(View { reader, version: request.start_ts, patience }, &request.ranges)?;
    for range in &request.ranges {
        reader.check(&encode_user_key(&range.start))?;
        reader.check(&encode_user_key(&last_before(&range.end)))?;
    }
    Ok(ranges)
}

fn failed_plan(error: Error, session: Session) -> storage::Result<Answer> {
    let shown = tipb::Error { code: error.code(), msg: error.to_string() };
    let warnings = session.into_warnings();
    let response = SelectResponse { error: Some(shown), warnings, ..SelectResponse::default() };
    refused(error, response.encode_to_vec().into())
}

/// An answer without a result; or none, if it is not the request's fault.
fn refused(error: Error, data: Bytes) -> storage::Result<Answer> {
    let text = error.to_string();
    let error = match error {
        Error::Storage(error) => error,
        Error::Interrupted(_)
        | Error::NoRange
        | Error::Range { .. }
        | Error::OutOfRange { .. }
        | Error::Truncated { .. }
        | Error::Syntax(_)
        | Error::DivisionByZero
        | Error::UnknownFunction(_)
        | Error::UnknownAggregate(_)
        | Error::WrongArguments
        | Error::WrongKind(_)
        | Error::Constant { .. }
        | Error::RowVersion
        | Error::UnknownType(_)
        | Error::NoRecord(_)
        | Error::Codec(_)
        | Error::Flag(_)
        | Error::NoFlag
        | Error::Invalid(_)
        | Error::TooLarge { .. } => {
            return Ok(Answer { data, other_error: text, ..Answer::default() });
        }
    };
    match error {
        storage::Error::Key(key) => Ok(match *key {
            KeyError::Locked(locked) => Answer { data, locked: Some(locked), ..Answer::default() },
            KeyError::Conflict(_) | KeyError::Retryable(_) | KeyError::Abort(_) => {
                Answer { data, other_error: text, ..Answer::default() }
            }
        }),
        storage::Error::Invalid(_) | storage::Error::TooLarge { .. } => {
            Ok(Answer { data, other_error: text, ..Answer::default() })
        }
        storage::Error::Region(_) | storage::Error::Corrupt { .. } | storage::Error::Engine(_) => {
            Err(error)
        }
    }
}
