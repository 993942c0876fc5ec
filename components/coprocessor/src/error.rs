//! Why a request is not answered, in the words that SQL clients know.
//!
//! TinySQL shows these texts to its user, and its tests compare them, so where the original server has a
//! text it is used to the letter: `[class:number]message`. What only we refuse starts with
//! `coprocessor: `.

use std::fmt::Write as _;

/// The result of computing something for a request.
pub type Result<T> = std::result::Result<T, Error>;

/// What stops a request, or, where the request says that it may go on, becomes a warning.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state could not be read, or a key is locked.
    #[error(transparent)]
    Storage(#[from] storage::Error),

    /// Nobody waits for the answer any more.
    #[error("coprocessor: {0}")]
    Interrupted(#[from] Interrupt),

    /// A request without ranges.
    #[error("request range is null")]
    NoRange,

    /// A range that does not go from a key to a later one.
    #[error("invalid range, start should be smaller than end: {start} {end}")]
    Range {
        /// Where it starts, as a list of decimal bytes.
        start: String,
        /// Where it ends, the same way.
        end: String,
    },

    /// A number that its type cannot hold.
    #[error("[types:1690]{kind} value is out of range in '{what}'")]
    OutOfRange {
        /// The type, in SQL's words.
        kind: &'static str,
        /// The expression, or the text that was to be a number.
        what: String,
    },

    /// A string of which only a beginning is a number.
    #[error("[types:1292]Truncated incorrect {kind} value: '{text}'")]
    Truncated {
        /// The type, in SQL's words.
        kind: &'static str,
        /// The string.
        text: String,
    },

    /// A string that seemed to be a number, and is none.
    #[error("strconv.ParseFloat: parsing \"{0}\": invalid syntax")]
    Syntax(String),

    /// Divided by zero. Only ever a warning.
    #[error("Division by 0")]
    DivisionByZero,

    /// A function that is not served.
    #[error("[expression:1305]FUNCTION {0} does not exist")]
    UnknownFunction(String),

    /// An aggregate function that is not served.
    #[error("Unknown aggregate function type {0}")]
    UnknownAggregate(String),

    /// An aggregate function with too many arguments, or too few.
    #[error("Wrong number of args for AggFuncFirstRow")]
    WrongArguments,

    /// A function that is asked for a value of another kind than it has. Only the original asks so.
    #[error(
        "baseBuiltinFunc.eval{0}() should never be called, please contact the TiDB team for help"
    )]
    WrongKind(&'static str),

    /// A constant whose bytes are none of its type.
    #[error("invalid {kind} {bytes}")]
    Constant {
        /// The type.
        kind: &'static str,
        /// The bytes, in hexadecimal.
        bytes: String,
    },

    /// A row in a format that nobody writes any more.
    #[error("invalid codec version")]
    RowVersion,

    /// A value in a column of a type that has no values.
    #[error("unknown type {0}")]
    UnknownType(i32),

    /// A key in the range of a table scan that is none of a row.
    #[error("[18:8221]invalid key - \"{0}\"")]
    NoRecord(String),

    /// Bytes that are no encoding of what should be there.
    #[error(transparent)]
    Codec(#[from] codec::Error),

    /// A datum of a kind that does not exist.
    #[error("invalid encoded key flag {0}")]
    Flag(u8),

    /// A datum without even a flag.
    #[error("invalid encoded key")]
    NoFlag,

    /// The plan makes no sense, or is more than what is served.
    #[error("coprocessor: {0}")]
    Invalid(String),

    /// The answer, or what is kept to compute it, would be larger than it may be.
    #[error("coprocessor: the request would take more than {limit} bytes of memory")]
    TooLarge {
        /// How much it may take.
        limit: usize,
    },
}

/// Why a request that is under way should not be finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Interrupt {
    /// It took too long.
    #[error("the request took longer than it may")]
    Deadline,
    /// The client went away.
    #[error("the request was cancelled")]
    Cancelled,
}

impl Error {
    /// A value that ends too early.
    pub(crate) const SHORT: Error = Error::Codec(codec::Error::Truncated);

    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Error::Invalid(reason.into())
    }

    /// The error number that goes with the text. All but one are wrapped before they are classified.
    pub fn code(&self) -> i32 {
        if matches!(self, Error::DivisionByZero) { 1365 } else { 1 }
    }
}

/// Bytes in hexadecimal, with something between two of them.
pub(crate) fn hex(bytes: &[u8], separator: &str) -> String {
    join(bytes, separator, |out, byte| write!(out, "{byte:02x}"))
}

/// Bytes as a list of decimal numbers, as in `[116 128]`.
pub(crate) fn decimal_list(bytes: &[u8]) -> String {
    format!("[{}]", join(bytes, " ", |out, byte| write!(out, "{byte}")))
}

fn join(
    bytes: &[u8],
    separator: &str,
    one: impl Fn(&mut String, u8) -> std::fmt::Result,
) -> String {
    let mut out = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 {
            out.push_str(separator);
        }
        one(&mut out, *byte).expect("a string takes everything");
    }
    out
}
