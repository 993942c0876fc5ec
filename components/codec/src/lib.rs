//! Order-preserving bytes.
//!
//! # Why keys must compare as they mean
//!
//! The disk knows one order only: byte by byte, shorter first. Everything above wants other orders.
//! A table wants its rows by a signed number, an index wants strings followed by numbers, a
//! versioned key wants its newest version first. If each value is encoded so that the *bytes* compare
//! as the *values* do, then all of these are plain ranges of keys: a scan is a seek and a walk, a
//! region is two keys, and no comparison function has to be given to the disk, to the other side
//! of the wire, or to a tool that looks at a dump.
//!
//! For a key of several parts a second property is needed: no encoding may be a prefix of another
//! one of the same kind, or the next part would be compared with the rest of this one. The
//! order-preserving encodings below have both.
//!
//! | values | encoding | size | sorts | example |
//! |---|---|---|---|---|
//! | byte strings | [`bytes::encode`] | (n/8 + 1) · 9 | as bytes | `"abc"` → `6162630000000000fa` |
//! | byte strings | [`bytes::encode_desc`] | (n/8 + 1) · 9 | backwards | `"abc"` → `9e9d9cffffffffff05` |
//! | unsigned integers | [`number::encode_u64`] | 8 | as numbers | `1` → `0000000000000001` |
//! | unsigned integers | [`number::encode_u64_desc`] | 8 | backwards | `1` → `fffffffffffffffe` |
//! | signed integers | [`number::encode_i64`] | 8 | as numbers | `-1` → `7fffffffffffffff` |
//! | signed integers | [`number::encode_i64_desc`] | 8 | backwards | `-1` → `8000000000000000` |
//! | floating point | [`number::encode_f64`] | 8 | as numbers | `1.5` → `bff8000000000000` |
//! | signed integers | [`varint::encode_comparable`] | 1 to 9 | as numbers | `256` → `f90100` |
//! | unsigned integers | [`varint::encode_uvarint`] | 1 to 10 | no | `300` → `ac02` |
//! | signed integers | [`varint::encode_varint`] | 1 to 10 | no | `-65` → `8101` |
//! | byte strings | [`varint::encode_compact`] | n + 1 to 10 | no | `"abc"` → `06616263` |
//!
//! # How they are used
//!
//! An encoder appends to a `Vec<u8>`, so a key is built by one call per part. A decoder takes the
//! head of a `&mut &[u8]` and moves it behind what it read, so a key is read by one call per part:
//!
//! ```
//! use codec::{bytes, number};
//!
//! // A user key and the timestamp of its version, newest first.
//! let mut key = Vec::new();
//! bytes::encode(&mut key, b"apple");
//! number::encode_u64_desc(&mut key, 42);
//!
//! let mut rest = key.as_slice();
//! assert_eq!(bytes::decode(&mut rest)?, b"apple");
//! assert_eq!(number::decode_u64_desc(&mut rest)?, 42);
//! assert!(rest.is_empty());
//! # Ok::<(), codec::Error>(())
//! ```
//!
//! What the decoders promise: they never read past the end, never panic, allocate nothing but the
//! result, and leave the input where it was when they refuse it. Every proper prefix of an encoding
//! is refused as [`Error::Truncated`]. Whether something may *follow* a value is the caller's to know.
//!
//! The bytes are those of TinyKV and TinySQL, as one stores what the other asks for.
//!
//! What is left out: the flags that tell a string from a number inside a row or an index entry.
//! They belong to SQL and live with the coprocessor.

mod error;

pub mod bytes;
pub mod number;
pub mod varint;

pub use error::{Error, Result};

#[cfg(test)]
mod tests;
