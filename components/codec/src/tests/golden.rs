//! Encodings that other programs wrote, as fixed points: none of these may ever change, because
//! disks and TinySQL hold them.

use super::encoded;
use crate::{bytes, number, varint};

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
    digits.map(|digit| char::from_digit(digit.into(), 16).expect("half a byte")).collect()
}

/// Holds each row of a table against an encoder, and the decoder against the same row.
macro_rules! golden {
    (
        $(#[$attribute:meta])*
        $name:ident, $encode:path, $decode:path, $len:expr, [$(($value:expr, $hex:expr),)*]
    ) => {
        $(#[$attribute])*
        #[test]
        fn $name() {
            $(
                let bytes = encoded(|out| $encode(out, $value));
                assert_eq!(hex(&bytes), $hex, "{:?}", $value);
                assert_eq!($len($value), bytes.len(), "{:?}", $value);
                let mut input = bytes.as_slice();
                assert_eq!($decode(&mut input).expect("what was encoded"), $value, "{:?}", $value);
                assert!(input.is_empty(), "{:?}", $value);
            )*
        }
    };
}

golden!(
    signed_integers_ascending,
    number::encode_i64,
    number::decode_i64,
    |_| number::ENCODED_LEN,
    [
        (0, "8000000000000000"),
        (1, "8000000000000001"),
        (-1, "7fffffffffffffff"),
        (255, "80000000000000ff"),
        (-256, "7fffffffffffff00"),
        (i64::MAX, "ffffffffffffffff"),
        (i64::MIN, "0000000000000000"),
    ]
);

golden!(
    signed_integers_descending,
    number::encode_i64_desc,
    number::decode_i64_desc,
    |_| number::ENCODED_LEN,
    [(1, "7ffffffffffffffe"), (-1, "8000000000000000"),]
);

golden!(
    unsigned_integers_ascending,
    number::encode_u64,
    number::decode_u64,
    |_| number::ENCODED_LEN,
    [(0, "0000000000000000"), (1, "0000000000000001"), (u64::MAX, "ffffffffffffffff"),]
);

golden!(
    unsigned_integers_descending,
    number::encode_u64_desc,
    number::decode_u64_desc,
    |_| number::ENCODED_LEN,
    [(1, "fffffffffffffffe"),]
);

golden!(
    #[expect(clippy::float_cmp, reason = "what comes back is the same number, not a near one")]
    floating_point_numbers,
    number::encode_f64,
    number::decode_f64,
    |_| number::ENCODED_LEN,
    [
        (0.0, "8000000000000000"),
        (-0.0, "8000000000000000"),
        (1.5, "bff8000000000000"),
        (-1.5, "4007ffffffffffff"),
        (0.1, "bfb999999999999a"),
        (f64::INFINITY, "fff0000000000000"),
        (f64::NEG_INFINITY, "000fffffffffffff"),
    ]
);

golden!(
    signed_varints,
    varint::encode_varint,
    varint::decode_varint,
    varint::varint_len,
    [
        (0, "00"),
        (1, "02"),
        (-1, "01"),
        (63, "7e"),
        (64, "8001"),
        (-64, "7f"),
        (-65, "8101"),
        (300, "d804"),
        (i64::MAX, "feffffffffffffffff01"),
        (i64::MIN, "ffffffffffffffffff01"),
    ]
);

golden!(
    unsigned_varints,
    varint::encode_uvarint,
    varint::decode_uvarint,
    varint::uvarint_len,
    [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02"), (u64::MAX, "ffffffffffffffffff01"),]
);

golden!(
    comparable_varints,
    varint::encode_comparable,
    varint::decode_comparable,
    varint::comparable_len,
    [
        (0, "08"),
        (1, "09"),
        (239, "f7"),
        (240, "f8f0"),
        (255, "f8ff"),
        (256, "f90100"),
        (65_536, "fa010000"),
        (-1, "07ff"),
        (-255, "0701"),
        (-256, "06ff00"),
        (i64::MAX, "ff7fffffffffffffff"),
        (i64::MIN, "008000000000000000"),
    ]
);

golden!(
    byte_strings_ascending,
    bytes::encode,
    bytes::decode,
    |value: &[u8]| bytes::encoded_len(value.len()),
    [
        (b"", "0000000000000000f7"),
        (b"\0", "0000000000000000f8"),
        (b"abc", "6162630000000000fa"),
        (b"12345678", "3132333435363738ff0000000000000000f7"),
        (b"123456789", "3132333435363738ff3900000000000000f8"),
    ]
);

golden!(
    byte_strings_descending,
    bytes::encode_desc,
    bytes::decode_desc,
    |value: &[u8]| bytes::encoded_len(value.len()),
    [(b"abc", "9e9d9cffffffffff05"),]
);

golden!(
    compact_byte_strings,
    varint::encode_compact,
    varint::decode_compact,
    |value: &[u8]| varint::compact_len(value.len()),
    [(b"", "00"), (b"abc", "06616263"), (&[b'x'; 64], ["8001", &"78".repeat(64)].concat()),]
);

#[test]
fn a_nan_is_written_as_others_write_it() {
    let bytes = encoded(|out| number::encode_f64(out, f64::from_bits(0x7ff8_0000_0000_0001)));
    assert_eq!(hex(&bytes), "8007fffffffffffe");
}
