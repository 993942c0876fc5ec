//! Bytes written by hand, one line for each field, for messages of every package. They are what Go
//! writes, so they are what we must write, and must read as the same message.
//!
//! How to read them: a field begins with `number * 8 + kind`, where kind 0 is a varint and kind 2
//! a length and so many bytes. So `12 01 61` is field 2, one byte long, `a`.

mod etcd;
mod rules;
mod tinykv;
mod tipb;

use std::fmt::Debug;

use bytes::Bytes;
use prost::Message;

use crate::ids::{PeerId, StoreId};
use crate::metapb::Peer;

/// -1 as a varint. The sign of a negative number fills 64 bits, whatever its type: ten bytes.
const MINUS_ONE: &[u8] = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";

/// The message is written as these fields, and read from them.
#[track_caller]
fn is_written_as<M: Message + Default + PartialEq + Debug>(message: M, fields: &[&[u8]]) {
    let bytes = fields.concat();
    assert_eq!(hex(&message.encode_to_vec()), hex(&bytes), "{message:?} is written otherwise");
    is_read_from(message, fields);
}

/// The message is read from these fields, which need not be how we write it.
#[track_caller]
fn is_read_from<M: Message + Default + PartialEq + Debug>(message: M, fields: &[&[u8]]) {
    let bytes = Bytes::from(fields.concat());
    assert_eq!(M::decode(bytes.clone()), Ok(message), "{} is read otherwise", hex(&bytes));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// The peer of most examples: `08 03 10 01`.
fn peer() -> Peer {
    Peer::new(PeerId::new(3), StoreId::new(1))
}
