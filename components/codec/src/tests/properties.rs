//! The promises of the crate's head, for values and bytes nobody thought of.

use std::cmp::Ordering;
use std::fmt::Debug;

use proptest::prelude::*;

use super::encoded;
use crate::{Error, Result, bytes, number, varint};

/// A value comes back, what follows it stays, the announced size is right, and no proper prefix of
/// the encoding is taken for a whole one.
fn comes_back<T: Debug + PartialEq>(
    value: T,
    len: usize,
    encode: impl Fn(&mut Vec<u8>, &T),
    decode: impl Fn(&mut &[u8]) -> Result<T>,
) {
    let mut bytes = encoded(|out| encode(out, &value));
    assert_eq!(bytes.len(), len, "announced size of {value:?}");
    for end in 0..len {
        let mut prefix = &bytes[..end];
        assert_eq!(decode(&mut prefix), Err(Error::Truncated), "{end} of {bytes:x?}");
        assert_eq!(prefix.len(), end, "a refused input stays");
    }
    bytes.extend_from_slice(b"rest");
    let mut input = bytes.as_slice();
    assert_eq!(decode(&mut input), Ok(value));
    assert_eq!(input, b"rest");
}

/// Encodings compare as the values do, and still do with different things behind them.
fn compares(order: Ordering, left: Vec<u8>, right: Vec<u8>) {
    assert_eq!(left.cmp(&right), order, "{left:x?} and {right:x?}");
    if order.is_ne() {
        let (left, right) = ([left, vec![0xff; 9]].concat(), [right, vec![0x00; 9]].concat());
        assert_eq!(left.cmp(&right), order, "followed: {left:x?} and {right:x?}");
    }
}

/// A decoder either refuses and moves nothing, or takes bytes off the head, no more than there are.
fn survives<T>(bytes: &[u8], decode: impl Fn(&mut &[u8]) -> Result<T>) -> Option<(T, usize)> {
    let mut input = bytes;
    let result = decode(&mut input);
    assert!(bytes.ends_with(input), "what is left is the end of what was given");
    if result.is_err() {
        assert_eq!(input.len(), bytes.len(), "a refused input stays");
    }
    result.ok().map(|value| (value, bytes.len() - input.len()))
}

/// Strings that look like what is hard: near multiples of eight, of the bytes that padding and
/// markers are made of, and often with a common beginning.
fn strings() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(0x00), Just(0x01), Just(0xf7), Just(0xff), any::<u8>()];
    prop::collection::vec(byte, 0..=33)
}

/// Bytes that come close to an encoding: a true one with one byte changed, or anything.
fn almost() -> impl Strategy<Value = Vec<u8>> {
    let bent =
        (strings(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(value, at, by)| {
            let mut bytes = encoded(|out| bytes::encode(out, &value));
            let at = at.index(bytes.len());
            bytes[at] ^= by;
            bytes
        });
    prop_oneof![bent, strings()]
}

/// Numbers of every magnitude: half of all 64-bit words have their top bits set, so mere chance
/// would hardly try a short one.
fn words() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64u32).prop_map(|(word, shift)| word >> shift)
}

fn integers() -> impl Strategy<Value = i64> {
    (any::<i64>(), 0..64u32).prop_map(|(number, shift)| number >> shift)
}

fn floats() -> impl Strategy<Value = f64> {
    any::<f64>().prop_filter("a NaN has no order", |number| !number.is_nan())
}

proptest! {
    #[test]
    fn byte_strings_come_back(value in strings()) {
        let len = bytes::encoded_len(value.len());
        comes_back(value.clone(), len, |out, v| bytes::encode(out, v), bytes::decode);
        comes_back(value.clone(), len, |out, v| bytes::encode_desc(out, v), bytes::decode_desc);
        let len = varint::compact_len(value.len());
        comes_back(value, len, |out, v| varint::encode_compact(out, v), |input| {
            varint::decode_compact(input).map(<[u8]>::to_vec)
        });
    }

    #[test]
    fn unsigned_integers_come_back(value in words()) {
        comes_back(value, 8, |out, v| number::encode_u64(out, *v), number::decode_u64);
        comes_back(value, 8, |out, v| number::encode_u64_desc(out, *v), number::decode_u64_desc);
        let len = varint::uvarint_len(value);
        comes_back(value, len, |out, v| varint::encode_uvarint(out, *v), varint::decode_uvarint);
    }

    #[test]
    fn signed_integers_come_back(value in integers()) {
        comes_back(value, 8, |out, v| number::encode_i64(out, *v), number::decode_i64);
        comes_back(value, 8, |out, v| number::encode_i64_desc(out, *v), number::decode_i64_desc);
        let len = varint::varint_len(value);
        comes_back(value, len, |out, v| varint::encode_varint(out, *v), varint::decode_varint);
        let len = varint::comparable_len(value);
        comes_back(value, len, |out, v| varint::encode_comparable(out, *v), |input| {
            varint::decode_comparable(input)
        });
    }

    #[test]
    fn floats_come_back(value in floats()) {
        comes_back(value, 8, |out, v| number::encode_f64(out, *v), number::decode_f64);
    }

    #[test]
    fn byte_strings_compare_as_they_mean(left in strings(), right in strings(), cut in 0..34usize) {
        // Both as they are, and with a beginning in common.
        let shared = [&left[..cut.min(left.len())], right.as_slice()].concat();
        for other in [&right, &shared] {
            let order = left.cmp(other);
            let of = |value: &[u8]| encoded(|out| bytes::encode(out, value));
            compares(order, of(&left), of(other));
            let of = |value: &[u8]| encoded(|out| bytes::encode_desc(out, value));
            compares(order.reverse(), of(&left), of(other));
        }
    }

    #[test]
    fn unsigned_integers_compare_as_they_mean(left in words(), right in words()) {
        let of = |value| encoded(|out| number::encode_u64(out, value));
        compares(left.cmp(&right), of(left), of(right));
        let of = |value| encoded(|out| number::encode_u64_desc(out, value));
        compares(right.cmp(&left), of(left), of(right));
    }

    #[test]
    fn signed_integers_compare_as_they_mean(left in integers(), right in integers()) {
        let of = |value| encoded(|out| number::encode_i64(out, value));
        compares(left.cmp(&right), of(left), of(right));
        let of = |value| encoded(|out| number::encode_i64_desc(out, value));
        compares(right.cmp(&left), of(left), of(right));
        let of = |value| encoded(|out| varint::encode_comparable(out, value));
        compares(left.cmp(&right), of(left), of(right));
    }

    #[test]
    fn floats_compare_as_they_mean(left in floats(), right in floats()) {
        let of = |value| encoded(|out| number::encode_f64(out, value));
        let order = left.partial_cmp(&right).expect("no NaN among them");
        compares(order, of(left), of(right));
    }

    #[test]
    fn no_bytes_make_a_decoder_panic_or_read_too_far(bytes in almost()) {
        survives(&bytes, number::decode_u64);
        survives(&bytes, number::decode_u64_desc);
        survives(&bytes, number::decode_i64);
        survives(&bytes, number::decode_i64_desc);
        survives(&bytes, number::decode_f64);
        survives(&bytes, varint::decode_uvarint);
        survives(&bytes, varint::decode_varint);
        survives(&bytes, |input| varint::decode_compact(input).map(<[u8]>::to_vec));
    }

    #[test]
    fn order_preserving_encodings_have_one_form_only(bytes in almost()) {
        if let Some((value, len)) = survives(&bytes, bytes::decode) {
            prop_assert_eq!(encoded(|out| bytes::encode(out, &value)), &bytes[..len]);
        }
        if let Some((value, len)) = survives(&bytes, bytes::decode_desc) {
            prop_assert_eq!(encoded(|out| bytes::encode_desc(out, &value)), &bytes[..len]);
        }
        if let Some((value, len)) = survives(&bytes, varint::decode_comparable) {
            prop_assert_eq!(encoded(|out| varint::encode_comparable(out, value)), &bytes[..len]);
        }
    }

    #[test]
    fn cutting_agrees_with_decoding(bytes in almost()) {
        let cut = survives(&bytes, |input| bytes::take(input).map(<[u8]>::len));
        let decoded = survives(&bytes, bytes::decode);
        prop_assert_eq!(cut.map(|(len, _)| len), decoded.map(|(_, len)| len));
    }
}
