//! What expressions need to know of the request, and what they have to say besides their values.

use proto::tipb;

use crate::error::{Error, Result};

/// The bits of a request's flags that are honoured.
const IGNORE_TRUNCATION: u64 = 1;
const TRUNCATION_AS_WARNING: u64 = 2;
const PAD_CHARS: u64 = 4;

/// How many warnings an answer has at most; the rest is dropped.
const WARNINGS_MAX: usize = 65_535;

/// The mode that a request is computed in, and its warnings so far.
#[derive(Debug, Default)]
pub(crate) struct Session {
    flags: u64,
    is_original: bool,
    warnings: Vec<tipb::Error>,
}

impl Session {
    /// A session with the flags of a request.
    pub(crate) fn new(flags: u64) -> Self {
        Session { flags, ..Session::default() }
    }

    /// Computes as the original does where that is wrong, so that answers can be compared.
    #[must_use]
    pub(crate) fn in_original_mode(mut self, is_original: bool) -> Self {
        self.is_original = is_original;
        self
    }

    /// Whether to compute as the original does where that is wrong.
    pub(crate) fn is_original(&self) -> bool {
        self.is_original
    }

    /// Whether strings of type CHAR are as long as declared when a function sees them.
    pub(crate) fn pads_chars(&self) -> bool {
        self.flags & PAD_CHARS != 0
    }

    /// The warnings so far, in order.
    pub(crate) fn warnings(&self) -> &[tipb::Error] {
        &self.warnings
    }

    /// Whether another warning would be kept.
    pub(crate) fn keeps_warnings(&self) -> bool {
        self.warnings.len() < WARNINGS_MAX
    }

    /// Forgets all but the first warnings.
    pub(crate) fn truncate_warnings(&mut self, len: usize) {
        self.warnings.truncate(len);
    }

    /// Gives the warnings away.
    pub(crate) fn into_warnings(self) -> Vec<tipb::Error> {
        self.warnings
    }

    /// Adds a warning, as long as there is room.
    pub(crate) fn warn(&mut self, error: impl FnOnce() -> Error) {
        if self.keeps_warnings() {
            let error = error();
            self.warnings.push(tipb::Error { code: error.code(), msg: error.to_string() });
        }
    }

    /// A string was only partly a number: which the flags ignore, note, or refuse.
    pub(crate) fn truncated(&mut self, error: impl FnOnce() -> Error) -> Result<()> {
        if self.flags & IGNORE_TRUNCATION != 0 {
            return Ok(());
        }
        if self.flags & TRUNCATION_AS_WARNING != 0 {
            self.warn(error);
            return Ok(());
        }
        Err(error())
    }
}
