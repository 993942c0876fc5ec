//! Where rows and index entries are kept: the keys that TinySQL writes.
//!
//! ```text
//! a row        't' table  "_r" handle                                -> the row
//! an entry     't' table  "_i" index   datums in key form  handle    -> '0'
//!  of a unique index without NULL among its values, no handle        -> the handle, 8 bytes
//! ```
//!
//! Table, index and handle are comparable integers of eight bytes; the handle behind an entry's values is
//! a datum in key form, always signed.

use codec::number;

use crate::datum::DatumRef;
use crate::error::{Error, Result, hex};

/// How long the key of a row is, and the part of an index key in front of the values.
pub const RECORD_KEY_LEN: usize = 19;

/// Where the handle starts in the key of a row.
const HANDLE_AT: usize = 11;

/// What the value of an entry holds whose key has the handle.
pub const HANDLE_IN_KEY: u8 = b'0';

/// The key of a row.
pub fn record_key(table: i64, handle: i64) -> Vec<u8> {
    prefix(table, *b"_r", handle)
}

/// What all keys of an index start with.
pub fn index_prefix(table: i64, index: i64) -> Vec<u8> {
    prefix(table, *b"_i", index)
}

/// The key of an index entry. A handle stands in it if the index is not unique, or a value is NULL.
pub fn index_key(table: i64, index: i64, values: &[DatumRef<'_>], handle: Option<i64>) -> Vec<u8> {
    let mut key = index_prefix(table, index);
    for value in values {
        value.encode_key(&mut key);
    }
    if let Some(handle) = handle {
        DatumRef::Int(handle).encode_key(&mut key);
    }
    key
}

fn prefix(table: i64, middle: [u8; 2], last: i64) -> Vec<u8> {
    let mut key = Vec::with_capacity(RECORD_KEY_LEN);
    key.push(b't');
    number::encode_i64(&mut key, table);
    key.extend_from_slice(&middle);
    number::encode_i64(&mut key, last);
    key
}

/// The handle of a row's key. Which table it is of is not looked at: the ranges say that.
#[inline]
pub fn handle_of(key: &[u8]) -> Result<i64> {
    if key.len() != RECORD_KEY_LEN || key[0] != b't' || &key[9..HANDLE_AT] != b"_r" {
        return Err(Error::NoRecord(hex(key, "")));
    }
    Ok(number::decode_i64(&mut &key[HANDLE_AT..])?)
}

/// Whether a range holds one key at most, by its bounds alone: the end is the start with a zero byte
/// behind it, or the start plus one as a number as long as itself.
pub fn is_point(start: &[u8], end: &[u8]) -> bool {
    if end.len() == start.len() + 1 {
        return end.starts_with(start) && end.last() == Some(&0);
    }
    if end.len() != start.len() {
        return false;
    }
    let Some(last) = start.iter().rposition(|byte| *byte != 0xff) else { return false };
    end[..last] == start[..last]
        && end[last] == start[last] + 1
        && end[last + 1..].iter().all(|byte| *byte == 0)
}

/// A key before `end`, and after all that are likely to be before it: what shows that a range ends where
/// a region does, given that regions can only be asked whether they hold a key.
pub fn last_before(end: &[u8]) -> Vec<u8> {
    let mut key = end.to_vec();
    if let Some(last) = key.pop()
        && last > 0
    {
        key.push(last - 1);
        key.extend_from_slice(&[0xff; 8]);
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_a_start_and_what_follows_it() {
        let cases: [(&[u8], &[u8], bool); 10] = [
            (b"a", b"a\0", true),
            (b"a", b"b", true),
            (b"a\xff\xff", b"b\0\0", true),
            (b"a\xff", b"b\x01", false),
            (b"a", b"c", false),
            (b"a", b"a\x01", false),
            (b"\xff", b"\xff\0", true),
            (b"\xff\xff", b"\0\0", false),
            (b"", b"\0", true),
            (b"ab", b"b", false),
        ];
        for (start, end, expected) in cases {
            assert_eq!(is_point(start, end), expected, "{start:?} {end:?}");
        }
    }

    #[test]
    fn only_the_key_of_a_row_has_a_handle() {
        assert_eq!(handle_of(&record_key(41, -7)).unwrap(), -7);
        for key in [&b""[..], &index_prefix(1, 2), &record_key(1, 2)[..18]] {
            assert!(matches!(handle_of(key), Err(Error::NoRecord(_))), "{key:?}");
        }
    }

    #[test]
    fn the_last_key_before_an_end_is_before_it() {
        for end in [&b"\0"[..], b"a", b"a\0", b"\xff\xff"] {
            assert!(last_before(end).as_slice() < end, "{end:?}");
        }
    }
}
