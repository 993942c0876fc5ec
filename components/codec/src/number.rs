//! Numbers of fixed width that compare as they mean: eight bytes each.
//!
//! Unsigned integers are written with the most significant byte first. A signed integer has its
//! sign bit flipped, which puts the negative ones, in their order, before the others. The
//! descending forms are the complement of every byte; the newest version of a key comes first
//! because its timestamp is written so.
//!
//! A floating point number already sorts by its bits within one sign. So positive ones get their
//! sign bit set, and negative ones, whose magnitudes sort the wrong way, are complemented. Both
//! zeros encode alike and decode as `0.0`. The one value without an order breaks the rule: a NaN is
//! complemented whatever its sign, so some of them read back as a number. SQL stores none.

use crate::error::{Error, Result};

/// The size of every encoding of this module.
pub const ENCODED_LEN: usize = 8;

const SIGN: u64 = 1 << 63;

/// Appends `value` so that encodings sort as numbers do.
pub fn encode_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Decodes what [`encode_u64`] wrote at the head of `input`, and moves `input` behind it.
pub fn decode_u64(input: &mut &[u8]) -> Result<u64> {
    take_array(input).map(u64::from_be_bytes)
}

/// Appends `value` so that the largest sorts first.
pub fn encode_u64_desc(out: &mut Vec<u8>, value: u64) {
    encode_u64(out, !value);
}

/// Decodes what [`encode_u64_desc`] wrote at the head of `input`, and moves `input` behind it.
pub fn decode_u64_desc(input: &mut &[u8]) -> Result<u64> {
    decode_u64(input).map(|bits| !bits)
}

/// Appends `value` so that encodings sort as numbers do.
pub fn encode_i64(out: &mut Vec<u8>, value: i64) {
    encode_u64(out, value.cast_unsigned() ^ SIGN);
}

/// Decodes what [`encode_i64`] wrote at the head of `input`, and moves `input` behind it.
pub fn decode_i64(input: &mut &[u8]) -> Result<i64> {
    decode_u64(input).map(|bits| (bits ^ SIGN).cast_signed())
}

/// Appends `value` so that the largest sorts first.
pub fn encode_i64_desc(out: &mut Vec<u8>, value: i64) {
    encode_i64(out, !value);
}

/// Decodes what [`encode_i64_desc`] wrote at the head of `input`, and moves `input` behind it.
pub fn decode_i64_desc(input: &mut &[u8]) -> Result<i64> {
    decode_i64(input).map(|value| !value)
}

/// Appends `value` so that encodings sort as numbers do.
pub fn encode_f64(out: &mut Vec<u8>, value: f64) {
    let bits = value.to_bits();
    // A comparison and not a look at the sign bit: it holds for -0.0, and for no NaN.
    encode_u64(out, if value >= 0.0 { bits | SIGN } else { !bits });
}

/// Decodes what [`encode_f64`] wrote at the head of `input`, and moves `input` behind it.
pub fn decode_f64(input: &mut &[u8]) -> Result<f64> {
    let bits = decode_u64(input)?;
    Ok(f64::from_bits(if bits & SIGN == 0 { !bits } else { bits ^ SIGN }))
}

/// Cuts `N` bytes off the head of `input`.
fn take_array<const N: usize>(input: &mut &[u8]) -> Result<[u8; N]> {
    let (array, rest) = input.split_first_chunk().ok_or(Error::Truncated)?;
    *input = rest;
    Ok(*array)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seven_bytes_are_no_number_and_stay() {
        let bytes = [0xff; 7];
        let mut input = bytes.as_slice();
        assert_eq!(decode_u64(&mut input), Err(Error::Truncated));
        assert_eq!(decode_u64_desc(&mut input), Err(Error::Truncated));
        assert_eq!(decode_i64(&mut input), Err(Error::Truncated));
        assert_eq!(decode_i64_desc(&mut input), Err(Error::Truncated));
        assert_eq!(decode_f64(&mut input), Err(Error::Truncated));
        assert_eq!(input, bytes);
    }

    #[test]
    fn floats_sort_from_minus_infinity_to_infinity() {
        let ascending = [
            f64::NEG_INFINITY,
            f64::MIN,
            -1.5,
            -f64::MIN_POSITIVE,
            0.0,
            5e-324,
            0.1,
            f64::INFINITY,
        ];
        let encoded = ascending.map(|value| {
            let mut out = Vec::new();
            encode_f64(&mut out, value);
            out
        });
        assert!(encoded.is_sorted_by(|left, right| left < right), "{encoded:x?}");
    }

    #[test]
    fn a_nan_does_not_panic_but_may_read_back_as_a_number() {
        let read_back = |value: f64| {
            let mut out = Vec::new();
            encode_f64(&mut out, value);
            decode_f64(&mut out.as_slice()).expect("eight bytes")
        };
        assert!(read_back(f64::from_bits(0xfff8_0000_0000_0001)).is_nan());
        assert!(read_back(f64::from_bits(0x7ff8_0000_0000_0001)).is_finite());
    }
}
