//! The end of an engine that could not keep its word.

use std::sync::OnceLock;

use crate::{Error, Result};

/// Set once, by the first failure on the write path, and asked before every call.
#[derive(Debug, Default)]
pub(crate) struct Poison(OnceLock<String>);

impl Poison {
    /// Refuses with the first reason once there is one.
    pub(crate) fn check(&self) -> Result<()> {
        match self.0.get() {
            None => Ok(()),
            Some(reason) => Err(Error::Poisoned { reason: reason.clone() }),
        }
    }

    /// Passes the outcome of a write on, and remembers the first failure for ever.
    pub(crate) fn watch<T>(&self, outcome: Result<T>) -> Result<T> {
        if let Err(error) = &outcome {
            self.set(&error.to_string());
        }
        outcome
    }

    /// Refuses everything from now on. Only the first reason is kept.
    pub(crate) fn set(&self, reason: &str) {
        let _ = self.0.set(reason.to_owned());
    }
}
