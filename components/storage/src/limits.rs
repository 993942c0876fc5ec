//! How large things may be that arrive from outside, or leave.

use crate::error::{Error, Result};

/// What a row of an answer takes beside its key and its value, about. Without it, an answer of empty
/// rows would be of any size.
pub(crate) const ROW_OVERHEAD_BYTES: usize = 64;

/// The bounds of one server. Each is checked before anything of that size is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest key of a request, before it is encoded.
    pub key_bytes: usize,
    /// The longest value of a request.
    pub value_bytes: usize,
    /// How many keys a request that writes may name. They are decided and written together.
    pub request_keys: usize,
    /// What a prewrite may become: keys, values, and for each key a lock that repeats the primary key.
    /// It is far more than arrives, where the primary key is long and the others are short.
    pub prewrite_bytes: usize,
    /// The keys and values of one answer, and 64 bytes for each of its rows. A scan that would pass it fails; it never stops early,
    /// because a short answer means to its client that there is nothing more.
    pub answer_bytes: usize,
    /// How many commands may wait for the latches of others; more are refused as busy.
    pub waiting_commands: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            key_bytes: 8 << 10,
            value_bytes: 6 << 20,
            request_keys: 65_536,
            prewrite_bytes: 16 << 20,
            answer_bytes: 64 << 20,
            waiting_commands: 10_000,
        }
    }
}

impl Limits {
    /// A key that something is stored under.
    pub(crate) fn check_key(&self, key: &[u8]) -> Result<()> {
        if key.is_empty() {
            return Err(Error::invalid("the key is empty"));
        }
        self.check_start(key)
    }

    /// Where a scan starts: anywhere, also at the empty key, which is before all others.
    pub(crate) fn check_start(&self, key: &[u8]) -> Result<()> {
        if key.len() > self.key_bytes {
            let (len, limit) = (key.len(), self.key_bytes);
            return Err(Error::invalid(format!("the key has {len} bytes, the limit is {limit}")));
        }
        Ok(())
    }

    /// A value that is to be stored.
    pub(crate) fn check_value(&self, value: &[u8]) -> Result<()> {
        if value.len() > self.value_bytes {
            let (len, limit) = (value.len(), self.value_bytes);
            return Err(Error::invalid(format!("the value has {len} bytes, the limit is {limit}")));
        }
        Ok(())
    }
}

impl Limits {
    /// How many keys a request names.
    pub(crate) fn check_count(&self, keys: usize) -> Result<()> {
        if keys > self.request_keys {
            let limit = self.request_keys;
            return Err(Error::invalid(format!("{keys} keys are named, the limit is {limit}")));
        }
        Ok(())
    }

    /// What a prewrite would write, or would answer if it were refused on every key.
    pub(crate) fn check_prewrite(&self, bytes: usize) -> Result<()> {
        if bytes > self.prewrite_bytes {
            let limit = self.prewrite_bytes;
            return Err(Error::invalid(format!(
                "{bytes} bytes would be written, counting the primary key for each key; the limit \
                 is {limit}: prewrite fewer keys at a time, or choose a shorter primary key"
            )));
        }
        Ok(())
    }
}

/// Counts what an answer grows to.
pub(crate) struct AnswerSize {
    bytes: usize,
    limit: usize,
}

impl AnswerSize {
    pub(crate) fn new(limits: &Limits) -> Self {
        AnswerSize { bytes: 0, limit: limits.answer_bytes }
    }

    /// Counts one more pair, unless the answer would pass its limit.
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.bytes += key.len() + value.len() + ROW_OVERHEAD_BYTES;
        if self.bytes > self.limit {
            runtime::mark!("an answer would pass its limit");
            return Err(Error::TooLarge { limit: self.limit });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_accepted_up_to_the_limit_and_refused_after_it() {
        let limits = Limits::default();
        let of = |len: usize| vec![0; len];
        assert!(limits.check_key(&of(1)).is_ok());
        assert!(limits.check_key(&of(8 << 10)).is_ok());
        assert!(limits.check_key(&of((8 << 10) + 1)).is_err());
        assert!(limits.check_key(b"").is_err());
        assert!(limits.check_start(b"").is_ok());
        assert!(limits.check_value(b"").is_ok());
        assert!(limits.check_value(&of(6 << 20)).is_ok());
        assert!(limits.check_value(&of((6 << 20) + 1)).is_err());
    }
}
