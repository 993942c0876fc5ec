//! Byte strings that compare as they mean, even when something follows them.
//!
//! A string cannot simply be written in front of the next part of a key: `a` followed by `z` and
//! `az` followed by nothing would be the same bytes. A length in front does not help, as then `b`
//! sorts before `aa`; nor does a terminator, as strings may hold any byte.
//!
//! So the string is cut into groups of eight, and behind each group stands a *marker*. A group that
//! is followed by another has the marker `ff`. The last group is filled up with zeros, and its
//! marker is `ff` minus the number of zeros, one to eight: a string of eight bytes has a second
//! group of padding only.
//!
//! ```text
//! ""           00 00 00 00 00 00 00 00 f7
//! "abc"        61 62 63 00 00 00 00 00 fa
//! "abc\0"      61 62 63 00 00 00 00 00 fb      the marker tells it from "abc"
//! "12345678"   31 32 33 34 35 36 37 38 ff  00 00 00 00 00 00 00 00 f7
//! ```
//!
//! Two strings differ either within a group, which then decides, or because one ends where the
//! other goes on, and then the smaller marker is that of the one that ends. No encoding is a prefix
//! of another, so whatever follows is compared only among equal strings.
//!
//! The descending form is the complement of every byte, hence sorts the other way round.

use crate::error::{Error, Result};

/// Bytes of the string per group.
const GROUP: usize = 8;
/// Bytes per group when encoded: the group and its marker.
const ENCODED_GROUP: usize = GROUP + 1;
/// The marker of a group that is not the last; the others count down from here.
const MARKER: u8 = 0xff;

/// What each byte is combined with by *exclusive or*, ascending and descending.
const ASCENDING: u8 = 0x00;
const DESCENDING: u8 = 0xff;

/// The size of the encoding of a string of `len` bytes, ascending or descending.
pub const fn encoded_len(len: usize) -> usize {
    (len / GROUP + 1) * ENCODED_GROUP
}

/// Appends `value` so that encodings sort as strings do.
pub fn encode(out: &mut Vec<u8>, value: &[u8]) {
    encode_with::<ASCENDING>(out, value);
}

/// Appends `value` so that encodings sort opposite to the strings.
pub fn encode_desc(out: &mut Vec<u8>, value: &[u8]) {
    encode_with::<DESCENDING>(out, value);
}

/// Decodes what [`encode`] wrote at the head of `input`, and moves `input` behind it.
pub fn decode(input: &mut &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    decode_with::<ASCENDING>(input, &mut out)?;
    Ok(out)
}

/// Decodes what [`encode_desc`] wrote at the head of `input`, and moves `input` behind it.
pub fn decode_desc(input: &mut &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    decode_with::<DESCENDING>(input, &mut out)?;
    Ok(out)
}

/// Like [`decode`], into a buffer that a loop over many keys uses again: appends the string.
pub fn decode_into(input: &mut &[u8], out: &mut Vec<u8>) -> Result<()> {
    decode_with::<ASCENDING>(input, out)
}

/// Cuts an ascending encoding off the head of `input` without decoding it, but fully checked.
pub fn take<'a>(input: &mut &'a [u8]) -> Result<&'a [u8]> {
    let (encoded, _) = take_with::<ASCENDING>(input)?;
    Ok(encoded)
}

fn encode_with<const FLIP: u8>(out: &mut Vec<u8>, value: &[u8]) {
    // All space at once, then group by group with lengths the compiler knows: eight bytes are one
    // move, and there is no check of the capacity in the loop.
    let start = out.len();
    out.resize(start + encoded_len(value.len()), FLIP);
    let (groups, tail) = value.as_chunks::<GROUP>();
    let (slots, _) = out[start..].as_chunks_mut::<ENCODED_GROUP>();
    let (last, slots) = slots.split_last_mut().expect("an encoding has at least one group");

    for (group, [bytes @ .., marker]) in groups.iter().zip(slots) {
        *bytes = flip::<FLIP>(*group);
        *marker = MARKER ^ FLIP;
    }
    for (byte, slot) in tail.iter().zip(last.iter_mut()) {
        *slot = byte ^ FLIP;
    }
    last[GROUP] = (MARKER - padding(tail.len())) ^ FLIP;
}

fn decode_with<const FLIP: u8>(input: &mut &[u8], out: &mut Vec<u8>) -> Result<()> {
    let (encoded, padding) = take_with::<FLIP>(input)?;
    let (slots, _) = encoded.as_chunks::<ENCODED_GROUP>();
    let start = out.len();
    out.resize(start + slots.len() * GROUP, 0);
    let (groups, _) = out[start..].as_chunks_mut::<GROUP>();
    for (group, [bytes @ .., _marker]) in groups.iter_mut().zip(slots) {
        *group = flip::<FLIP>(*bytes);
    }
    out.truncate(out.len() - usize::from(padding));
    Ok(())
}

/// Cuts one encoding off the head of `input`; also says how many bytes of it are padding.
fn take_with<'a, const FLIP: u8>(input: &mut &'a [u8]) -> Result<(&'a [u8], u8)> {
    let (slots, _) = input.as_chunks::<ENCODED_GROUP>();
    for (index, slot) in slots.iter().enumerate() {
        let marker = slot[GROUP] ^ FLIP;
        if marker == MARKER {
            continue;
        }
        let padding = MARKER - marker;
        let Some(used) = GROUP.checked_sub(usize::from(padding)) else {
            return Err(Error::Marker(slot[GROUP]));
        };
        if slot[used..GROUP].iter().any(|byte| byte ^ FLIP != 0) {
            return Err(Error::Padding);
        }
        let (encoded, rest) = input.split_at((index + 1) * ENCODED_GROUP);
        *input = rest;
        return Ok((encoded, padding));
    }
    Err(Error::Truncated)
}

/// How many zeros fill up a last group of which `used` bytes are taken.
fn padding(used: usize) -> u8 {
    u8::try_from(GROUP - used).expect("a group has eight bytes")
}

fn flip<const FLIP: u8>(group: [u8; GROUP]) -> [u8; GROUP] {
    (u64::from_ne_bytes(group) ^ u64::from_ne_bytes([FLIP; GROUP])).to_ne_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_groups_are_refused_and_the_input_stays() {
        let cases: [(&[u8], Error); 7] = [
            (b"", Error::Truncated),
            (b"abc\0\0\0\0\0", Error::Truncated),
            (b"12345678\xff", Error::Truncated),
            (b"12345678\xff1234567", Error::Truncated),
            (b"abc\0\0\0\0\0\xf6", Error::Marker(0xf6)),
            (b"abc\x01\0\0\0\0\xfa", Error::Padding),
            (b"12345678\xffabc\0\0\0\0\x01\xfa", Error::Padding),
        ];
        for (bytes, error) in cases {
            let mut input = bytes;
            assert_eq!(decode(&mut input), Err(error), "{bytes:?}");
            assert_eq!(take(&mut input), Err(error), "{bytes:?}");
            assert_eq!(input, bytes);
            let complement: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
            assert!(decode_desc(&mut complement.as_slice()).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn what_follows_is_left_and_what_was_there_is_kept() {
        let mut key = b"t".to_vec();
        encode(&mut key, b"abcdefgh");
        encode_desc(&mut key, b"ij");
        key.push(9);

        let mut input = &key[1..];
        assert_eq!(take(&mut &*input), Ok(&key[1..19]));
        let mut out = b"> ".to_vec();
        assert_eq!(decode_into(&mut input, &mut out), Ok(()));
        assert_eq!(out, b"> abcdefgh");
        assert_eq!(decode_desc(&mut input), Ok(b"ij".to_vec()));
        assert_eq!(input, [9]);
    }
}
