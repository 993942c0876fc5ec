//! Bytes that are no message are an error, whatever is wrong with them, and never a panic. They
//! come from the network, from a client in another language, from a disk that lost something.

use std::fmt::Debug;
use std::iter;

use bytes::Bytes;
use prost::Message;

use crate::eraftpb::{self, Entry, Snapshot};
use crate::etcdserverpb::request_op::Request as Op;
use crate::etcdserverpb::{RequestOp, TxnRequest};
use crate::metapb::{Region, Store};
use crate::tinykvext::{BatchRequest, BatchedRequest};
use crate::tipb::{Expr, RpnExpr};

/// How deep messages may nest in each other.
const DEPTH_MAX: usize = 100;

#[test]
fn bytes_that_are_no_region_are_an_error() {
    let too_deep = [0x3b; 2 * DEPTH_MAX]; // groups in groups, of an unknown field
    let cases: [(&str, &[u8]); 14] = [
        ("a varint that is cut off", b"\x08\xff"),
        ("a varint of eleven bytes", b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        ("a varint of 70 bits", b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
        ("a field without a value", b"\x08"),
        ("a number where there should be bytes", b"\x10\x01"),
        ("bytes where there should be a number", b"\x0a\x01a"),
        ("a length past the end", b"\x12\x05abcd"),
        ("a length past the end of memory", b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
        ("a message that ends within a field", b"\x22\x01\x08"),
        ("a field of a message that ends behind it", b"\x22\x02\x08\xff\x01"),
        ("the field number zero", b"\x00\x01"),
        ("a kind of field that does not exist", b"\x3f"),
        ("the end of a group that never began", b"\x3c"),
        ("an unknown field, nested too deep", &too_deep),
    ];
    for (what, bytes) in cases {
        assert!(Region::decode(bytes).is_err(), "{what} was read");
    }
}

/// A known difference from Go, which does not look; docs/wire.md says why.
#[test]
fn a_string_that_is_not_utf_8_is_an_error() {
    assert!(Store::decode(b"\x12\x02h\xff".as_slice()).is_err());
    assert!(Region::decode(b"\x12\x02h\xff".as_slice()).is_ok(), "a key may be any bytes");
}

#[test]
fn nesting_is_limited() {
    let nested = |levels| {
        iter::repeat_n((), levels - 1)
            .fold(Expr::default(), |inner, ()| Expr { children: vec![inner], ..Default::default() })
    };
    let bytes = nested(DEPTH_MAX).encode_to_vec();
    assert_eq!(Expr::decode(bytes.as_slice()), Ok(nested(DEPTH_MAX)));
    for levels in [2, 10, 100].map(|times| times * DEPTH_MAX) {
        let bytes = nested(levels).encode_to_vec();
        assert!(Expr::decode(bytes.as_slice()).is_err(), "{levels} levels were read");
    }
    let txn = (0..DEPTH_MAX).fold(TxnRequest::default(), |inner, _| TxnRequest {
        success: vec![RequestOp { request: Some(Op::RequestTxn(inner)) }],
        ..Default::default()
    });
    assert!(TxnRequest::decode(txn.encode_to_vec().as_slice()).is_err());
}

/// Every way to cut a message off, and every way to change one byte of it: what can still be read
/// is a message, which is written and read as itself.
#[test]
fn damaged_messages_are_read_as_messages_or_not_at_all() {
    let message = eraftpb::Message {
        entries: vec![Entry::normal(5, 300, "data"), Entry::empty(6, 301)],
        snapshot: Some(Snapshot::new(5, 9, eraftpb::ConfState::new([1, 2, 3]), "snapshot")),
        context: "c".into(),
        reject_hint: u64::MAX,
        ..Default::default()
    };
    let exprs = vec![Expr { val: Some("constant".into()), ..Default::default() }; 2];
    let (read, refused) = [damage(&message), damage(&RpnExpr { exprs })]
        .into_iter()
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert!(read > 1_000 && refused > 1_000, "{read} were read and {refused} refused");
}

/// How many damaged forms of a message were read, and how many refused.
fn damage<M: Message + Default + PartialEq + Debug>(message: &M) -> (usize, usize) {
    let whole = message.encode_to_vec();
    let cut = (0..whole.len()).map(|length| whole[..length].to_vec());
    let changed = (0..whole.len()).flat_map(|place| {
        let whole = &whole;
        (0..=u8::MAX).map(move |byte| {
            let mut bytes = whole.clone();
            bytes[place] = byte;
            bytes
        })
    });
    let (mut read, mut refused) = (0, 0);
    for bytes in cut.chain(changed) {
        match M::decode(Bytes::from(bytes)) {
            Ok(damaged) => {
                let again = M::decode(damaged.encode_to_vec().as_slice());
                assert_eq!(again, Ok(damaged), "is read as another message");
                read += 1;
            }
            Err(_) => refused += 1,
        }
    }
    (read, refused)
}

/// On the wire it is two bytes; a batch has room for millions of them.
#[test]
fn a_request_of_a_batch_that_says_nothing_is_small() {
    let said = b"\x0a\x00\x0a\x00".as_slice();
    assert_eq!(BatchRequest::decode(said).map(|batch| batch.requests.len()), Ok(2));
    assert!(size_of::<BatchedRequest>() <= 32, "{} bytes", size_of::<BatchedRequest>());
}
