//! etcdserverpb and mvccpb.

use bytes::Bytes;

use super::{MINUS_ONE, is_read_from, is_written_as};
use crate::etcdserverpb::compare::{CompareTarget, TargetUnion};
use crate::etcdserverpb::request_op::Request as Op;
use crate::etcdserverpb::watch_request::RequestUnion;
use crate::etcdserverpb::{
    Compare, PutRequest, RequestOp, TxnRequest, WatchCreateRequest, WatchRequest, WatchResponse,
};
use crate::mvccpb;

#[test]
fn etcdserverpb_compare_writes_the_member_of_its_oneof_even_at_zero() {
    let absent = Compare {
        target: CompareTarget::Create.into(),
        key: "k".into(),
        target_union: Some(TargetUnion::CreateRevision(0)),
        ..Default::default()
    };
    let compare: &[&[u8]] = &[b"\x10\x01", b"\x1a\x01k", b"\x28\x00"]; // target, key, revision 0
    is_written_as(absent.clone(), compare);
    is_written_as(
        Compare {
            target: CompareTarget::Value.into(),
            target_union: Some(TargetUnion::Value(Bytes::new())),
            range_end: "l".into(),
            ..Default::default()
        },
        &[
            b"\x10\x03",      // target
            b"\x3a\x00",      // value: the empty one, which is not none
            b"\x82\x04\x01l", // range_end: 64 * 8 + 2 = 4 * 128 + 2
        ],
    );
    // How a lock is taken: if the key is absent, put it.
    let put = PutRequest { key: "k".into(), value: "me".into(), lease: 8, ..Default::default() };
    is_written_as(
        TxnRequest {
            compare: vec![absent],
            success: vec![RequestOp { request: Some(Op::RequestPut(put)) }],
            failure: vec![],
        },
        &[
            b"\x0a\x07\x10\x01\x1a\x01k\x28\x00", // compare, as above
            b"\x12\x0b\x12\x09\x0a\x01k\x12\x02me\x18\x08", // success: put: key, value, lease
        ],
    );
}

#[test]
fn etcdserverpb_watch() {
    let empty = RequestUnion::CreateRequest(WatchCreateRequest::default());
    is_written_as(WatchRequest { request_union: Some(empty) }, &[b"\x0a\x00"]);
    let filtered = WatchCreateRequest { filters: vec![0, 1], ..Default::default() };
    is_written_as(filtered.clone(), &[b"\x2a\x02\x00\x01"]); // packed
    is_read_from(filtered, &[b"\x28\x00", b"\x28\x01"]);
    let response = WatchResponse { watch_id: -1, ..Default::default() };
    is_written_as(response, &[b"\x10", MINUS_ONE]);
}

#[test]
fn mvccpb_event() {
    let kv = mvccpb::KeyValue { key: "k".into(), mod_revision: 9, ..Default::default() };
    is_written_as(
        mvccpb::Event {
            r#type: mvccpb::event::EventType::Delete.into(),
            kv: Some(kv),
            prev_kv: None,
        },
        &[
            b"\x08\x01",                  // type
            b"\x12\x05\x0a\x01k\x18\x09", // kv: key, mod_revision
        ],
    );
}
