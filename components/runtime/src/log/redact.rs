//! Keys in logs: what users store is theirs.
//!
//! A key may be a name, an address or an account number, and logs travel: to tickets, to mailing
//! lists, to other companies. So a key that is logged by [`key`] shows as `?`, unless the log it is
//! written to was opened with [`Keys::Shown`]. Values are not logged at all.
//!
//! Whether keys are shown belongs to the log and not to the process, so two nodes in one process
//! may differ. The log says so to the thread while it writes a record; a key that is printed
//! anywhere else, into an error's text say, is redacted. Keys therefore belong into the record
//! and not into a logger's context, which is written later by another thread.

use std::cell::Cell;
use std::fmt;

use serde::{Deserialize, Serialize};
use slog::{Drain, OwnedKVList, Record, Serializer, Value};

/// Whether a log shows the keys of users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keys {
    /// As `?`.
    #[default]
    Redacted,
    /// As text, with `\x00` for what is not printable, and cut when they are long.
    Shown,
}

/// A key that is about to be logged; see [`key`].
#[derive(Clone, Copy)]
pub struct Key<'a>(&'a [u8]);

/// Makes a key fit for a log: `info!(log, "region split"; "key" => log::key(&split_key))`.
pub fn key(key: &[u8]) -> Key<'_> {
    Key(key)
}

/// Bytes of a key that are shown; keys may have thousands, and a line with two of them must not.
const SHOWN_MAX: usize = 128;

thread_local! {
    /// Set while a log that shows keys writes a record of this thread.
    static SHOWN: Cell<bool> = const { Cell::new(false) };
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !SHOWN.get() {
            return f.write_str("?");
        }
        let shown = &self.0[..self.0.len().min(SHOWN_MAX)];
        write!(f, "{}", shown.escape_ascii())?;
        match self.0.len() - shown.len() {
            0 => Ok(()),
            rest => write!(f, "... and {rest} bytes"),
        }
    }
}

impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Value for Key<'_> {
    fn serialize(
        &self,
        _record: &Record<'_>,
        name: slog::Key,
        serializer: &mut dyn Serializer,
    ) -> slog::Result {
        serializer.emit_arguments(name, &format_args!("{self}"))
    }
}

/// Writes records with keys shown or redacted.
#[derive(Debug)]
pub(super) struct Redacting<D> {
    pub(super) keys: Keys,
    pub(super) drain: D,
}

impl<D: Drain> Drain for Redacting<D> {
    type Ok = D::Ok;
    type Err = D::Err;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<D::Ok, D::Err> {
        /// Puts back what was before, also when writing panics.
        struct Restore(bool);

        impl Drop for Restore {
            fn drop(&mut self) {
                SHOWN.set(self.0);
            }
        }

        let _restore = Restore(SHOWN.replace(self.keys == Keys::Shown));
        self.drain.log(record, values)
    }

    fn is_enabled(&self, level: slog::Level) -> bool {
        self.drain.is_enabled(level)
    }
}
