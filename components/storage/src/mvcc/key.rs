//! Keys with a timestamp: by user key, and of one user key the newest version first.
//!
//! ```text
//! "abc" at 7      61 62 63 00 00 00 00 00 fa   ff ff ff ff ff ff ff f8
//!                 user key, memcomparable      7, bitwise inverted, big-endian
//! ```
//!
//! The first part is never a prefix of another user key's, so the versions of a key stand together
//! and nothing stands between them. It is also the form in which regions order keys.

use codec::{bytes, number};

use crate::error::{Error, Result};

/// The newest timestamp there can be.
pub const TS_MAX: u64 = u64::MAX;

/// The first part of the key: the user key in the form that compares as it means.
pub fn encode_user_key(user_key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes::encoded_len(user_key.len()));
    bytes::encode(&mut out, user_key);
    out
}

/// The key of one version.
pub fn encode_key(user_key: &[u8], ts: u64) -> Vec<u8> {
    let mut out = Vec::new();
    encode_key_into(&mut out, user_key, ts);
    out
}

/// The key of one version, in a buffer that is used again.
pub(crate) fn encode_key_into(out: &mut Vec<u8>, user_key: &[u8], ts: u64) {
    out.clear();
    out.reserve(bytes::encoded_len(user_key.len()) + number::ENCODED_LEN);
    bytes::encode(out, user_key);
    number::encode_u64_desc(out, ts);
}

/// The user key of a key with or without a timestamp.
pub fn decode_user_key(key: &[u8]) -> Result<Vec<u8>> {
    let mut rest = key;
    let encoded = bytes::take(&mut rest).map_err(|error| malformed(&error))?;
    // Decoded after it was measured, so that the buffer fits exactly and can be handed on as it is.
    let mut user_key = Vec::with_capacity(encoded.len() / 9 * 8);
    bytes::decode_into(&mut &*encoded, &mut user_key).map_err(|error| malformed(&error))?;
    Ok(user_key)
}

/// The same, appended to a buffer that many keys share.
pub(crate) fn decode_user_key_into(key: &[u8], out: &mut Vec<u8>) -> Result<()> {
    bytes::decode_into(&mut &*key, out).map_err(|error| malformed(&error))
}

/// Cuts the timestamp off: the encoded user key, which is not looked into, and the timestamp.
pub fn split_key(key: &[u8]) -> Result<(&[u8], u64)> {
    match key.split_last_chunk() {
        Some((user, ts)) if !user.is_empty() => Ok((user, !u64::from_be_bytes(*ts))),
        Some(_) | None => Err(malformed(&"shorter than a timestamp")),
    }
}

fn malformed(reason: &dyn std::fmt::Display) -> Error {
    Error::corrupt("versioned key", reason.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_a_key_stand_together_newest_first() {
        let ascending = [
            encode_user_key(b"a"),
            encode_key(b"a", TS_MAX),
            encode_key(b"a", 8),
            encode_key(b"a", 7),
            encode_key(b"a", 0),
            encode_user_key(b"a\0"),
            encode_key(b"a\0", 9),
            encode_key(b"aaaaaaaa", 9),
            encode_key(b"b", 9),
        ];
        assert!(ascending.is_sorted_by(|left, right| left < right), "{ascending:x?}");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for bytes in [&b""[..], b"\0\0\0\0\0\0\0\0"] {
            assert!(split_key(bytes).is_err(), "{bytes:?}");
        }
        for bytes in [&b""[..], b"abc", b"abc\0\0\0\0\0\xf0", b"abc\x01\0\0\0\0\xfa12345678"] {
            assert!(decode_user_key(bytes).is_err(), "{bytes:?}");
        }
        let key = encode_key(b"user", 5);
        assert_eq!(split_key(&key).unwrap(), (encode_user_key(b"user").as_slice(), 5));
        assert_eq!(decode_user_key(&key).unwrap(), b"user");
    }
}
