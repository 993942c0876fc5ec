//! What holds for every message of proto3, shown on one each.

use super::{MINUS_ONE, is_read_from, is_written_as, peer};
use crate::eraftpb::ConfState;
use crate::raft_serverpb::{RaftApplyState, RaftTruncatedState};
use crate::schedulerpb;

#[test]
fn repeated_numbers_are_written_packed_and_read_both_ways() {
    let members = ConfState::new([1, 300, 0]);
    is_written_as(members.clone(), &[b"\x0a\x04\x01\xac\x02\x00"]);
    is_read_from(members.clone(), &[b"\x08\x01", b"\x08\xac\x02", b"\x08\x00"]);
    is_read_from(members, &[b"\x08\x01", b"\x0a\x03\xac\x02\x00"]);
    is_written_as(ConfState::new([]), &[]);
}

#[test]
fn an_enum_number_that_nobody_knows_survives() {
    let error = schedulerpb::Error { r#type: 77, message: String::new() };
    is_written_as(error.clone(), &[b"\x08\x4d"]);
    assert_eq!(error.r#type(), schedulerpb::ErrorType::Ok, "the getter takes the first value");
    assert!(schedulerpb::ErrorType::try_from(error.r#type).is_err(), "the conversion tells");
    let negative = schedulerpb::Error { r#type: -1, message: String::new() };
    is_written_as(negative, &[b"\x08", MINUS_ONE]);
}

/// A known difference from Go, which would write them back; docs/wire.md says why.
#[test]
fn unknown_fields_are_skipped_and_dropped() {
    let bytes: &[&[u8]] = &[
        b"\x08\x03",                             // id
        b"\x38\x01",                             // 7: a varint
        b"\x3a\x02zz",                           // 7: bytes
        b"\x3d\x01\x02\x03\x04",                 // 7: four bytes
        b"\x39\x01\x02\x03\x04\x05\x06\x07\x08", // 7: eight bytes
        b"\x3b\x08\x01\x3c",                     // 7: a group
        b"\x10\x01",                             // store_id
    ];
    is_read_from(peer(), bytes);
    is_written_as(peer(), &[b"\x08\x03", b"\x10\x01"]);
}

/// The last one of a singular field counts; messages are merged.
#[test]
fn fields_may_come_in_any_order_and_twice() {
    is_read_from(peer(), &[b"\x10\x07", b"\x08\x03", b"\x10\x01"]);
    is_read_from(
        RaftApplyState {
            applied_index: 5,
            truncated_state: Some(RaftTruncatedState { index: 5, term: 4 }),
        },
        &[b"\x12\x02\x08\x05", b"\x08\x05", b"\x12\x02\x10\x04"],
    );
}
