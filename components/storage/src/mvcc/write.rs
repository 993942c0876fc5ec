//! What was done to a key, and by whom: a record of the write family.
//!
//! ```text
//! kind  start timestamp
//!  01   00 00 00 00 00 00 00 64        a put by the transaction that started at 100
//! ```
//!
//! Its key carries the commit timestamp, or the start timestamp where it says that the transaction
//! was rolled back.

use crate::error::{Error, Result};

/// What a transaction does to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WriteKind {
    /// It gives the key a value.
    Put,
    /// It takes the key's value away.
    Delete,
    /// It was rolled back, and must never come back.
    Rollback,
    /// It only wanted that nobody else writes the key meanwhile; readers look past it. Ours: the
    /// original has no such record.
    Lock,
}

impl WriteKind {
    /// The byte that stands for it in records.
    pub const fn to_byte(self) -> u8 {
        match self {
            WriteKind::Put => 1,
            WriteKind::Delete => 2,
            WriteKind::Rollback => 3,
            WriteKind::Lock => 4,
        }
    }

    /// What a byte stands for.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(WriteKind::Put),
            2 => Some(WriteKind::Delete),
            3 => Some(WriteKind::Rollback),
            4 => Some(WriteKind::Lock),
            _ => None,
        }
    }
}

/// A record of the write family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// What was done.
    pub kind: WriteKind,
    /// When the transaction started that did it; a put's value is found under it.
    pub start_ts: u64,
}

/// How long a record is.
const LEN: usize = 1 + 8;

impl Write {
    /// The record.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(LEN);
        out.push(self.kind.to_byte());
        out.extend_from_slice(&self.start_ts.to_be_bytes());
        out
    }

    /// What a record says.
    pub fn parse(record: &[u8]) -> Result<Self> {
        let Ok([kind, start_ts @ ..]) = <&[u8; LEN]>::try_from(record) else {
            let len = record.len();
            return Err(Error::corrupt("write", format!("it has {len} bytes instead of {LEN}")));
        };
        let Some(kind) = WriteKind::from_byte(*kind) else {
            return Err(Error::corrupt("write", format!("there is no kind {kind}")));
        };
        Ok(Write { kind, start_ts: u64::from_be_bytes(*start_ts) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_the_bytes_of_the_original() {
        let cases = [
            (WriteKind::Put, 100, [1, 0, 0, 0, 0, 0, 0, 0, 100]),
            (WriteKind::Delete, 0x0102_0304_0506_0708, [2, 1, 2, 3, 4, 5, 6, 7, 8]),
            (WriteKind::Rollback, 0, [3, 0, 0, 0, 0, 0, 0, 0, 0]),
            (WriteKind::Lock, u64::MAX, [4, 255, 255, 255, 255, 255, 255, 255, 255]),
        ];
        for (kind, start_ts, bytes) in cases {
            let write = Write { kind, start_ts };
            assert_eq!(write.to_bytes(), bytes);
            assert_eq!(Write::parse(&bytes).unwrap(), write);
        }
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for bytes in [&b""[..], &[1; 8], &[1; 10], &[0; 9], &[5; 9], &[255; 9]] {
            let error = Write::parse(bytes).unwrap_err();
            assert!(matches!(error, Error::Corrupt { record: "write", .. }), "{bytes:?}");
        }
    }
}
