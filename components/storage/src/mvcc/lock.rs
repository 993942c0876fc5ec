//! What a running transaction leaves on a key: a record of the lock family, under the user key.
//!
//! ```text
//! primary key   kind  start timestamp           time to live, ms
//!  61 62 63      01   00 00 00 00 00 00 00 64   00 00 00 00 00 00 0b b8
//! ```

use bytes::Bytes;

use super::write::WriteKind;
use crate::error::{Error, Result};
use runtime::mutant;

/// How many low bits of a timestamp count within a millisecond.
pub const LOGICAL_BITS: u32 = 18;

/// When a timestamp was given out, in milliseconds.
pub fn physical_ms(ts: u64) -> u64 {
    ts >> LOGICAL_BITS
}

/// A lock: this key is being written by a transaction that is not decided yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// The user key that decides the transaction: it is committed when that key is.
    pub primary: Bytes,
    /// When the transaction started, which is also its name.
    pub ts: u64,
    /// How many milliseconds after its start others may roll it back.
    pub ttl: u64,
    /// What it is going to do to the key.
    pub kind: WriteKind,
}

/// How long the part after the primary key is.
const TAIL: usize = 1 + 8 + 8;

impl Lock {
    /// The record.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.primary.len() + TAIL);
        out.extend_from_slice(&self.primary);
        out.push(self.kind.to_byte());
        out.extend_from_slice(&self.ts.to_be_bytes());
        out.extend_from_slice(&self.ttl.to_be_bytes());
        out
    }

    /// What a record says.
    pub fn parse(record: &[u8]) -> Result<Self> {
        let Some((primary, tail)) = record.split_last_chunk::<TAIL>() else {
            let len = record.len();
            let reason = format!("it has {len} bytes, which is less than {TAIL}");
            return Err(Error::corrupt("lock", reason));
        };
        let (numbers, _) = tail[1..].as_chunks::<8>();
        let Some(kind) = WriteKind::from_byte(tail[0]) else {
            return Err(Error::corrupt("lock", format!("there is no kind {}", tail[0])));
        };
        Ok(Lock {
            primary: Bytes::copy_from_slice(primary),
            ts: u64::from_be_bytes(numbers[0]),
            ttl: u64::from_be_bytes(numbers[1]),
            kind,
        })
    }

    /// Whether a reader at `version` must know first what becomes of the transaction.
    ///
    /// A transaction that started later commits later, too, and is not seen either way. And one that
    /// only holds the key will not change it.
    pub fn blocks_read_at(&self, version: u64) -> bool {
        self.ts <= version && self.kind != WriteKind::Lock && !mutant::on(21)
    }

    /// Whether others may roll the transaction back at `now`: at the end of its time to live, not
    /// only after it.
    pub fn is_expired_at(&self, now: u64) -> bool {
        physical_ms(self.ts).saturating_add(self.ttl) <= physical_ms(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(primary: &'static [u8], kind: WriteKind, ts: u64, ttl: u64) -> Lock {
        Lock { primary: Bytes::from_static(primary), ts, ttl, kind }
    }

    #[test]
    fn records_are_the_bytes_of_the_original() {
        let bytes = [16, 3, 0, 0, 0, 0, 0, 0, 0, 100, 0, 0, 0, 0, 0, 1, 134, 160];
        let lock_of_course = lock(&[16], WriteKind::Rollback, 100, 100_000);
        assert_eq!(lock_of_course.to_bytes(), bytes);
        assert_eq!(Lock::parse(&bytes).unwrap(), lock_of_course);
        // The primary key may be empty, and may be anything.
        for primary in [&b""[..], b"\x01", &[1; 40]] {
            let lock = lock(primary, WriteKind::Lock, u64::MAX, 0);
            assert_eq!(Lock::parse(&lock.to_bytes()).unwrap(), lock);
        }
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for bytes in [&b""[..], &[1; 16], &[0; 17], &[5; 17], &[255; 40]] {
            let error = Lock::parse(bytes).unwrap_err();
            assert!(matches!(error, Error::Corrupt { record: "lock", .. }), "{bytes:?}");
        }
    }

    #[test]
    fn a_reader_waits_for_older_locks_that_will_change_the_key() {
        let cases = [
            (WriteKind::Put, 9, false),
            (WriteKind::Put, 10, true),
            (WriteKind::Delete, 11, true),
            (WriteKind::Lock, 11, false),
        ];
        for (kind, version, blocks) in cases {
            assert_eq!(
                lock(b"p", kind, 10, 0).blocks_read_at(version),
                blocks,
                "{kind:?} {version}"
            );
        }
    }

    #[test]
    fn a_lock_expires_at_the_end_of_its_time_to_live() {
        let at = |ms: u64| ms << LOGICAL_BITS;
        let lock = lock(b"p", WriteKind::Put, at(1000) + 7, 50);
        assert!(!lock.is_expired_at(at(1050) - 1));
        assert!(lock.is_expired_at(at(1050)));
        let eternal = Lock { ttl: u64::MAX, ..lock };
        assert!(!eternal.is_expired_at(u64::MAX), "no overflow");
    }
}
