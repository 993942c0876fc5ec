//! The packages of TinyKV, and ours beside them.

use bytes::Bytes;

use super::{MINUS_ONE, is_written_as, peer};
use crate::eraftpb::{ConfChangeType, Entry, MessageType, Snapshot};
use crate::ids::RegionId;
use crate::metapb::{Peer, Region, RegionEpoch, Store, StoreState};
use crate::raft_cmdpb::{
    AdminCmdType, AdminRequest, CmdType, RaftCmdRequest, RaftRequestHeader, SnapRequest,
    SplitRequest,
};
use crate::raft_serverpb::{
    RaftApplyState, RaftMessage, RaftSnapshotData, RaftTruncatedState, SnapshotCfFile, SnapshotMeta,
};
use crate::tinykvext::{
    BatchRequest, BatchResponse, BatchedRequest, BatchedResponse, Failure, batched_request,
    batched_response,
};
use crate::{coprocessor, eraftpb, errorpb, kvrpcpb, raft_cmdpb, schedulerpb};

#[test]
fn metapb_region_and_store() {
    is_written_as(
        Region::new(RegionId::new(2), "a", "").with_peers([peer(), Peer::default()]),
        &[
            b"\x08\x02",                 // id
            b"\x12\x01a",                // start_key; the end_key is empty, so it is not there
            b"\x22\x04\x08\x01\x10\x01", // region_epoch: conf_ver, version
            b"\x2a\x04\x08\x03\x10\x01", // peers: id, store_id
            b"\x2a\x00",                 // peers: one with nothing in it
        ],
    );
    is_written_as(
        Store { id: 300, address: "h:1".into(), state: StoreState::Tombstone.into() },
        &[
            b"\x08\xac\x02", // id: 300 = 2 * 128 + 44
            b"\x12\x03h:1",  // address
            b"\x18\x02",     // state
        ],
    );
}

#[test]
fn eraftpb_message_with_our_additions_and_without() {
    let mut message = eraftpb::Message {
        msg_type: MessageType::MsgAppend.into(),
        to: 2,
        from: 1,
        term: 5,
        log_term: 4,
        index: 9,
        entries: vec![Entry::normal(5, 10, "x"), Entry::default()],
        commit: 9,
        snapshot: Some(Snapshot::default()),
        reject: true,
        ..Default::default()
    };
    let original: &[&[u8]] = &[
        b"\x08\x03",                          // msg_type
        b"\x10\x02",                          // to
        b"\x18\x01",                          // from
        b"\x20\x05",                          // term
        b"\x28\x04",                          // log_term
        b"\x30\x09",                          // index
        b"\x3a\x07\x10\x05\x18\x0a\x22\x01x", // entries: term, index, data; the type is zero
        b"\x3a\x00",                          // entries: an empty one
        b"\x40\x09",                          // commit
        b"\x4a\x00",                          // snapshot: there, and empty
        b"\x50\x01",                          // reject
    ];
    is_written_as(message.clone(), original);
    message.context = "c".into();
    message.force = true;
    message.reject_hint = 7;
    let additions: &[&[u8]] = &[
        b"\xa2\x06\x01c", // context: 100 * 8 + 2 = 6 * 128 + 34
        b"\xa8\x06\x01",  // force
        b"\xb0\x06\x07",  // reject_hint
    ];
    is_written_as(message, &[original, additions].concat());
}

#[test]
fn eraftpb_states_and_changes() {
    is_written_as(eraftpb::HardState::new(5, 0, 300), &[b"\x08\x05", b"\x18\xac\x02"]);
    is_written_as(
        eraftpb::ConfChange {
            change_type: ConfChangeType::RemoveNode.into(),
            node_id: 4,
            context: Bytes::new(),
        },
        &[b"\x08\x01", b"\x10\x04"],
    );
}

#[test]
fn errorpb_error() {
    is_written_as(
        errorpb::Error {
            message: "busy".into(),
            not_leader: Some(errorpb::NotLeader { region_id: 2, leader: None }),
            stale_command: Some(errorpb::StaleCommand {}),
            store_not_match: Some(errorpb::StoreNotMatch {
                request_store_id: 1,
                actual_store_id: 2,
            }),
            ..Default::default()
        },
        &[
            b"\x0a\x04busy",             // message
            b"\x12\x02\x08\x02",         // not_leader: region_id, and no leader
            b"\x3a\x00", // stale_command: has no fields, and its being there says all
            b"\x42\x04\x08\x01\x10\x02", // store_not_match
        ],
    );
}

#[test]
fn kvrpcpb_requests() {
    let context = kvrpcpb::Context {
        region_id: 2,
        region_epoch: Some(RegionEpoch::FIRST),
        peer: Some(peer()),
        term: 6,
    };
    let put = kvrpcpb::Mutation { op: 0, key: "k".into(), value: "v".into() };
    let delete =
        kvrpcpb::Mutation { op: kvrpcpb::Op::Del.into(), key: "d".into(), value: Bytes::new() };
    is_written_as(
        kvrpcpb::PrewriteRequest {
            context: Some(context),
            mutations: vec![put, delete],
            primary_lock: "k".into(),
            start_version: 100,
            lock_ttl: 3000,
        },
        &[
            b"\x0a\x10",                   // context, 16 bytes:
            b"\x08\x02",                   //   region_id
            b"\x12\x04\x08\x01\x10\x01",   //   region_epoch
            b"\x1a\x04\x08\x03\x10\x01",   //   peer
            b"\x28\x06",                   //   term
            b"\x12\x06\x12\x01k\x1a\x01v", // mutations: key, value; op Put is zero
            b"\x12\x05\x08\x01\x12\x01d",  // mutations: op, key
            b"\x1a\x01k",                  // primary_lock
            b"\x20\x64",                   // start_version
            b"\x28\xb8\x17",               // lock_ttl: 3000 = 23 * 128 + 56
        ],
    );
    // Repeated bytes: empty elements are elements.
    is_written_as(
        kvrpcpb::CommitRequest {
            context: None,
            start_version: 1,
            keys: vec![Bytes::new(), "k".into(), Bytes::new()],
            commit_version: 2,
        },
        &[b"\x10\x01", b"\x1a\x00", b"\x1a\x01k", b"\x1a\x00", b"\x20\x02"],
    );
}

#[test]
fn kvrpcpb_answers() {
    // An empty value that was found is an answer without any byte.
    is_written_as(kvrpcpb::GetResponse::default(), &[]);
    is_written_as(kvrpcpb::GetResponse { not_found: true, ..Default::default() }, &[b"\x20\x01"]);
    let locked = kvrpcpb::LockInfo {
        primary_lock: "k".into(),
        lock_version: 7,
        key: "a".into(),
        lock_ttl: 1,
    };
    is_written_as(
        kvrpcpb::KvPair {
            error: Some(kvrpcpb::KeyError { locked: Some(locked), ..Default::default() }.into()),
            key: "a".into(),
            value: Bytes::new(),
        },
        &[
            b"\x0a\x0c", // error, 12 bytes; that it is boxed is ours
            b"\x0a\x0a\x0a\x01k\x10\x07\x1a\x01a\x20\x01", //   locked: primary, version, key, ttl
            b"\x12\x01a", // key
        ],
    );
}

#[test]
fn coprocessor_request_and_a_negative_number() {
    let range = coprocessor::KeyRange { start: "a".into(), end: "b".into() };
    let mut request = coprocessor::Request {
        context: None,
        tp: 103,
        data: "p".into(),
        ranges: vec![range],
        start_ts: u64::MAX,
    };
    let rest: &[&[u8]] = &[
        b"\x1a\x01p",                                // data
        b"\x22\x06\x0a\x01a\x12\x01b",               // ranges: start, end
        b"\x38",                                     // start_ts
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", //   all 64 bits
    ];
    is_written_as(request.clone(), &[&[b"\x10\x67" as &[u8]], rest].concat());
    request.tp = -1;
    is_written_as(request, &[&[b"\x10" as &[u8], MINUS_ONE], rest].concat());
}

#[test]
fn raft_cmdpb_request() {
    let put = raft_cmdpb::PutRequest { cf: "lock".into(), key: "k".into(), value: Bytes::new() };
    let header = RaftRequestHeader {
        region_id: 2,
        peer: Some(peer()),
        region_epoch: Some(RegionEpoch::FIRST),
        term: 6,
    };
    let put =
        raft_cmdpb::Request { cmd_type: CmdType::Put.into(), put: Some(put), ..Default::default() };
    let snap = raft_cmdpb::Request {
        cmd_type: CmdType::Snap.into(),
        snap: Some(SnapRequest {}),
        ..Default::default()
    };
    let split = SplitRequest { split_key: "m".into(), new_region_id: 7, new_peer_ids: vec![8, 9] };
    let admin = AdminRequest {
        cmd_type: AdminCmdType::Split.into(),
        split: Some(split),
        ..Default::default()
    };
    is_written_as(
        RaftCmdRequest {
            header: Some(header),
            requests: vec![put, snap],
            admin_request: Some(admin),
        },
        &[
            b"\x0a\x10",                      // header, 16 bytes:
            b"\x08\x02",                      //   region_id
            b"\x12\x04\x08\x03\x10\x01",      //   peer
            b"\x22\x04\x08\x01\x10\x01",      //   region_epoch
            b"\x28\x06",                      //   term
            b"\x12\x0d\x08\x03",              // requests, 13 bytes: cmd_type
            b"\x22\x09\x0a\x04lock\x12\x01k", //   put: cf, key; its value is empty
            b"\x12\x04\x08\x05\x32\x00",      // requests: cmd_type, an empty snap
            b"\x1a\x0d\x08\x0a",              // admin_request, 13 bytes: cmd_type
            b"\x52\x09\x0a\x01m\x10\x07",     //   split: split_key, new_region_id,
            b"\x1a\x02\x08\x09",              //     new_peer_ids, packed
        ],
    );
}

#[test]
fn raft_serverpb_message_and_states() {
    is_written_as(
        RaftMessage {
            region_id: 2,
            from_peer: Some(peer()),
            to_peer: Some(peer()),
            message: None,
            region_epoch: Some(RegionEpoch::FIRST),
            is_tombstone: true,
            start_key: Bytes::new(),
            end_key: "z".into(),
        },
        &[
            b"\x08\x02",                 // region_id
            b"\x12\x04\x08\x03\x10\x01", // from_peer
            b"\x1a\x04\x08\x03\x10\x01", // to_peer
            b"\x2a\x04\x08\x01\x10\x01", // region_epoch
            b"\x30\x01",                 // is_tombstone
            b"\x42\x01z",                // end_key
        ],
    );
    let truncated_state = Some(RaftTruncatedState { index: 5, term: 5 });
    is_written_as(
        RaftApplyState { applied_index: 5, truncated_state },
        &[b"\x08\x05", b"\x12\x04\x08\x05\x10\x05"],
    );
    let file = SnapshotCfFile { cf: "write".into(), size: 300, checksum: u32::MAX };
    is_written_as(
        RaftSnapshotData {
            file_size: 300,
            meta: Some(SnapshotMeta { cf_files: vec![file] }),
            ..Default::default()
        },
        &[
            b"\x10\xac\x02",             // file_size
            b"\x2a\x12\x0a\x10",         // meta, 18 bytes: cf_files, 16 bytes:
            b"\x0a\x05write",            //   cf
            b"\x10\xac\x02",             //   size
            b"\x18\xff\xff\xff\xff\x0f", //   checksum: 32 bits, so five bytes
        ],
    );
}

#[test]
fn schedulerpb_answers() {
    let header = schedulerpb::ResponseHeader { cluster_id: 1, error: None };
    let timestamp = schedulerpb::Timestamp { physical: 1 << 40, logical: 5 };
    is_written_as(
        schedulerpb::TsoResponse { header: Some(header), count: 2, timestamp: Some(timestamp) },
        &[
            b"\x0a\x02\x08\x01",                     // header: cluster_id
            b"\x10\x02",                             // count
            b"\x1a\x09\x08\x80\x80\x80\x80\x80\x20", // timestamp: physical, 32 * 2^35,
            b"\x10\x05",                             //   logical
        ],
    );
    is_written_as(
        schedulerpb::Member { leader_priority: -1, ..Default::default() },
        &[b"\x28", MINUS_ONE], // an int32, and ten bytes all the same
    );
    is_written_as(
        schedulerpb::RegionHeartbeatRequest { approximate_size: 96, ..Default::default() },
        &[b"\x50\x60"],
    );
}

#[test]
fn tinykvext_batches() {
    let put = kvrpcpb::RawPutRequest { key: "k".into(), value: "v".into(), ..Default::default() };
    let put = batched_request::Request::RawPut(put.into());
    let get = batched_request::Request::Get(Box::default());
    is_written_as(
        BatchRequest {
            requests: vec![
                BatchedRequest { id: 1, timeout_ms: 0, request: Some(put) },
                BatchedRequest { id: 2, timeout_ms: 9, request: Some(get) },
            ],
        },
        &[
            b"\x0a\x0a\x08\x01\x22\x06\x12\x01k\x1a\x01v", // requests: id, raw_put: key, value
            b"\x0a\x06\x08\x02\x10\x09\x3a\x00",           // requests: id, timeout_ms, an empty get
        ],
    );
    // Answers come in any order.
    let found = kvrpcpb::GetResponse { not_found: true, ..Default::default() };
    let found = batched_response::Response::Get(found);
    let failed = Failure { code: 14, message: "x".into() };
    let failed = batched_response::Response::Failure(failed);
    is_written_as(
        BatchResponse {
            responses: vec![
                BatchedResponse { id: 2, response: Some(found) },
                BatchedResponse { id: 1, response: Some(failed) },
            ],
            is_closing: true,
        },
        &[
            b"\x0a\x06\x08\x02\x3a\x02\x20\x01", // responses: id, get: not_found
            b"\x0a\x09\x08\x01\x12\x05\x08\x0e\x12\x01x", // responses: id, failure: code, message
            b"\x10\x01",                         // is_closing
        ],
    );
}
