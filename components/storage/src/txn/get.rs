//! The value of a key at a timestamp.

use bytes::Bytes;

use super::{Query, View};
use crate::error::{KeyError, Locked, Result};
use crate::limits::Limits;
use crate::mvcc::{MvccReader, TS_MAX, encode_user_key};

/// Reads one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Get {
    /// The user key.
    pub key: Bytes,
    /// As of when.
    pub version: u64,
}

impl Query for Get {
    /// The value; an empty one is a value too.
    type Answer = Option<Bytes>;

    fn check(&self, limits: &Limits) -> Result<()> {
        limits.check_key(&self.key)
    }

    fn version(&self) -> u64 {
        self.version
    }

    async fn execute(&self, view: &View<'_>) -> Result<Option<Bytes>> {
        view.reader.check(&encode_user_key(&self.key))?;
        let mut reader = MvccReader::new(view.reader);
        if let Some(lock) = reader.lock(&self.key)?
            && lock.blocks_read_at(self.version)
            && !self.may_overlook(&lock.primary)
        {
            return Err(KeyError::Locked(Locked { key: self.key.clone(), lock }).into());
        }
        reader.value(&self.key, self.version)
    }
}

impl Get {
    /// Asked for the newest value there is, a lock on the primary key need not be waited for: the
    /// transaction is not committed as long as that lock is there, so nobody can know that it will
    /// be. A lock on another key must, because there the transaction may be committed already.
    fn may_overlook(&self, primary: &Bytes) -> bool {
        self.version == TS_MAX && *primary == self.key
    }
}
