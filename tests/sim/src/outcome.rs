//! How a seed ends: well, with what was counted; or with a broken promise, and the story before it.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::raft::{Property, Violation};

/// A run that went well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run<C> {
    /// What it did.
    pub counts: C,
    /// The same whenever this seed is run.
    pub trace: u64,
}

/// A run that did not.
#[derive(Debug)]
pub struct Failure {
    /// The seed that shows it.
    pub seed: u64,
    /// The promise that was broken.
    pub violation: Violation,
    /// How far the run had come.
    pub after: String,
    /// The last events before it was noticed.
    pub story: Vec<String>,
    /// What plays it again.
    pub replay: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.story {
            writeln!(f, "    {line}")?;
        }
        writeln!(f, "broken after {}: {}", self.after, self.violation)?;
        write!(f, "replay with: {}", self.replay)
    }
}

/// Plays a seed without a story. If that fails, the same again, and this time somebody takes notes of the
/// last `lines` events.
pub(crate) fn told<R>(
    lines: usize,
    play: impl Fn(usize) -> Result<R, Box<Failure>>,
) -> Result<R, Box<Failure>> {
    play(0).map_err(|first| play(lines).err().unwrap_or(first))
}

/// Does something in which a panic breaks `promise`, too.
pub(crate) fn guarded<T>(
    promise: &'static Property,
    work: impl FnOnce() -> Result<T, Violation>,
) -> Result<T, Violation> {
    let ended = catch_unwind(AssertUnwindSafe(work));
    ended.unwrap_or_else(|panic| Err(promise.violated(message(panic.as_ref()))))
}

/// What a panic says.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message").into()
}
