//! Numbers that take as many bytes as they need, and byte strings behind such a number.
//!
//! - *uvarint*: seven bits per byte, the least significant first; the top bit says that more
//!   follow. One to ten bytes. Longer than needed is accepted, as Go's `encoding/binary` does.
//! - *varint*: the same for signed numbers, of which small magnitudes must become small: 0, -1, 1,
//!   -2, ... are written as 0, 1, 2, 3, ... (zig-zag).
//! - *comparable varint*: the order-preserving one, at one to nine bytes. The first byte is the
//!   value plus 8 for 0 to 239; otherwise it says the sign and how many bytes follow, so that more
//!   bytes sort farther from zero. Only the shortest form is valid, or equal numbers would differ.
//! - *compact bytes*: a varint length, then the bytes as they are. They do not sort; they are for
//!   values, where size matters and order does not.

use crate::error::{Error, Result};

/// Seven bits of the number per byte.
const LOW: u8 = 0x7f;
/// Set in each byte that is followed by another.
const MORE: u8 = 0x80;
/// Seventy bits are the first multiple of seven that holds 64.
const UVARINT_LEN_MAX: usize = 10;

/// The size of the encoding that [`encode_uvarint`] writes: 1 to 10.
pub fn uvarint_len(value: u64) -> usize {
    // Zero takes a byte like one does.
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends `value` in as few bytes as it needs; encodings do not sort.
pub fn encode_uvarint(out: &mut Vec<u8>, value: u64) {
    let mut buffer = [0; UVARINT_LEN_MAX];
    let len = uvarint_len(value);
    let mut rest = value;
    for byte in &mut buffer[..len] {
        *byte = low_byte(rest) | MORE;
        rest >>= 7;
    }
    buffer[len - 1] &= LOW;
    out.extend_from_slice(&buffer[..len]);
}

/// Decodes what [`encode_uvarint`] wrote at the head of `input`, and moves `input` behind it.
pub fn decode_uvarint(input: &mut &[u8]) -> Result<u64> {
    let mut value = 0;
    for (index, byte) in input.iter().take(UVARINT_LEN_MAX).enumerate() {
        if index == UVARINT_LEN_MAX - 1 && *byte > 1 {
            return Err(Error::Overflow);
        }
        value |= u64::from(byte & LOW) << (7 * index);
        if byte & MORE == 0 {
            *input = &input[index + 1..];
            return Ok(value);
        }
    }
    Err(Error::Truncated)
}

/// The size of the encoding that [`encode_varint`] writes: 1 to 10.
pub fn varint_len(value: i64) -> usize {
    uvarint_len(zigzag(value))
}

/// Appends `value` in as few bytes as its magnitude needs; encodings do not sort.
pub fn encode_varint(out: &mut Vec<u8>, value: i64) {
    encode_uvarint(out, zigzag(value));
}

/// Decodes what [`encode_varint`] wrote at the head of `input`, and moves `input` behind it.
pub fn decode_varint(input: &mut &[u8]) -> Result<i64> {
    let bits = decode_uvarint(input)?;
    Ok((bits >> 1).cast_signed() ^ -(bits & 1).cast_signed())
}

/// The size of the encoding that [`encode_compact`] writes for a string of `len` bytes.
pub fn compact_len(len: usize) -> usize {
    varint_len(signed_len(len)) + len
}

/// Appends the length of `value`, then `value` as it is; encodings do not sort.
pub fn encode_compact(out: &mut Vec<u8>, value: &[u8]) {
    out.reserve(compact_len(value.len()));
    encode_varint(out, signed_len(value.len()));
    out.extend_from_slice(value);
}

/// Decodes what [`encode_compact`] wrote at the head of `input`, and moves `input` behind it.
///
/// The string is lent from the input, so a length that lies costs nothing.
pub fn decode_compact<'a>(input: &mut &'a [u8]) -> Result<&'a [u8]> {
    let mut rest = *input;
    let len = decode_varint(&mut rest)?;
    if len < 0 {
        return Err(Error::NegativeLength(len));
    }
    let len = usize::try_from(len).map_err(|_| Error::Truncated)?;
    let (value, rest) = rest.split_at_checked(len).ok_or(Error::Truncated)?;
    *input = rest;
    Ok(value)
}

/// The first bytes `00` to `07` announce eight to one bytes of a negative number.
const SINGLE_MIN: u8 = 0x08;
/// The first bytes `f8` to `ff` announce one to eight bytes of a number above the single ones.
const SINGLE_MAX: u8 = 0xf7;

/// The size of the encoding that [`encode_comparable`] writes: 1 to 9.
pub fn comparable_len(value: i64) -> usize {
    if single(value).is_some() { 1 } else { 1 + significant_bytes(value) }
}

/// Appends `value` in as few bytes as it needs, so that encodings sort as numbers do.
pub fn encode_comparable(out: &mut Vec<u8>, value: i64) {
    if let Some(byte) = single(value) {
        out.push(byte);
        return;
    }
    let count = significant_bytes(value);
    let tag = u8::try_from(count).expect("at most eight bytes are significant");
    out.push(if value < 0 { SINGLE_MIN - tag } else { SINGLE_MAX + tag });
    out.extend_from_slice(&value.to_be_bytes()[8 - count..]);
}

/// Decodes what [`encode_comparable`] wrote at the head of `input`, and moves `input` behind it.
pub fn decode_comparable(input: &mut &[u8]) -> Result<i64> {
    let (first, rest) = input.split_first().ok_or(Error::Truncated)?;
    // What the bytes that are not written would hold: the sign, as far as it goes.
    let (count, fill) = match *first {
        ..SINGLE_MIN => (SINGLE_MIN - first, 0xff),
        SINGLE_MIN..=SINGLE_MAX => {
            *input = rest;
            return Ok(i64::from(first - SINGLE_MIN));
        }
        _ => (first - SINGLE_MAX, 0x00),
    };
    let count = usize::from(count);
    let (written, rest) = rest.split_at_checked(count).ok_or(Error::Truncated)?;
    let mut bytes = [fill; 8];
    bytes[8 - count..].copy_from_slice(written);
    let value = i64::from_be_bytes(bytes);
    if (value < 0) != (fill == 0xff) {
        return Err(Error::Overflow);
    }
    if comparable_len(value) != 1 + count {
        return Err(Error::NotShortest);
    }
    *input = rest;
    Ok(value)
}

/// The encoding of a number that needs one byte only.
fn single(value: i64) -> Option<u8> {
    u8::try_from(value).ok()?.checked_add(SINGLE_MIN).filter(|byte| *byte <= SINGLE_MAX)
}

/// How many bytes the magnitude of `value` fills.
fn significant_bytes(value: i64) -> usize {
    (64 - value.unsigned_abs().leading_zeros() as usize).div_ceil(8)
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn signed_len(len: usize) -> i64 {
    i64::try_from(len).expect("no slice is longer than isize::MAX")
}

#[expect(clippy::cast_possible_truncation, reason = "the low byte is what is wanted")]
fn low_byte(value: u64) -> u8 {
    value as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_varints_are_refused_and_the_input_stays() {
        let cases: [(&[u8], Error); 5] = [
            (b"", Error::Truncated),
            (b"\x80", Error::Truncated),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff", Error::Truncated),
            (b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", Error::Overflow),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", Error::Overflow),
        ];
        for (bytes, error) in cases {
            let mut input = bytes;
            assert_eq!(decode_uvarint(&mut input), Err(error), "{bytes:x?}");
            assert_eq!(decode_varint(&mut input), Err(error), "{bytes:x?}");
            assert_eq!(decode_compact(&mut input), Err(error), "{bytes:x?}");
            assert_eq!(input, bytes);
        }
        assert_eq!(decode_uvarint(&mut [0x80, 0x00].as_slice()), Ok(0), "longer than needed");
    }

    #[test]
    fn a_compact_string_cannot_claim_more_than_there_is() {
        let cases: [(&[u8], Error); 3] = [
            (b"\x06ab", Error::Truncated),
            (b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01ab", Error::Truncated),
            (b"\x01ab", Error::NegativeLength(-1)),
        ];
        for (bytes, error) in cases {
            let mut input = bytes;
            assert_eq!(decode_compact(&mut input), Err(error), "{bytes:x?}");
            assert_eq!(input, bytes);
        }
    }

    #[test]
    fn a_comparable_varint_has_one_form_only() {
        let cases: [(&[u8], Error); 7] = [
            (b"", Error::Truncated),
            (b"\xf9\x01", Error::Truncated),
            (b"\xf8\xef", Error::NotShortest),
            (b"\xf9\x00\xff", Error::NotShortest),
            (b"\x06\xff\x01", Error::NotShortest),
            (b"\xff\x80\0\0\0\0\0\0\0", Error::Overflow),
            (b"\x00\x7f\0\0\0\0\0\0\0", Error::Overflow),
        ];
        for (bytes, error) in cases {
            let mut input = bytes;
            assert_eq!(decode_comparable(&mut input), Err(error), "{bytes:x?}");
            assert_eq!(input, bytes);
        }
    }
}
