//! How much a request may keep in memory.

use crate::error::{Error, Result};

/// Counts the bytes of answers, groups, samples and sort keys of one request.
#[derive(Debug)]
pub(crate) struct Memory {
    used: usize,
    limit: usize,
}

impl Memory {
    /// Nothing is used yet.
    pub(crate) fn new(limit: usize) -> Self {
        Memory { used: 0, limit }
    }

    /// Counts bytes that will be kept, unless that would be too many.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<()> {
        self.used = self.used.saturating_add(bytes);
        if self.used > self.limit {
            return Err(Error::TooLarge { limit: self.limit });
        }
        Ok(())
    }

    /// Checks the size of something that is being made, before it is counted.
    pub(crate) fn check(&self, bytes: usize) -> Result<()> {
        if bytes > self.limit { Err(Error::TooLarge { limit: self.limit }) } else { Ok(()) }
    }

    /// Counts bytes that are not kept any more.
    pub(crate) fn give_back(&mut self, bytes: usize) {
        self.used = self.used.saturating_sub(bytes);
    }
}
