//! tipb, the one package in proto2: a field marked `!` in docs/wire.md is always written, others
//! are written if they are set, and repeated numbers are not packed.

use bytes::Bytes;

use super::{is_read_from, is_written_as};
use crate::tipb::{
    AnalyzeColumnsResp, AnalyzeIndexResp, Bucket, Chunk, ColumnInfo, CompareInMetadata, DagRequest,
    EncodeType, Error, ExecType, Executor, Expr, ExprType, FmSketch, Histogram, InUnionMetadata,
    IndexScan, Limit, SampleCollector, ScalarFuncSig, SelectResponse, TableScan,
};

#[test]
fn marked_fields_are_written_at_zero_and_are_zero_when_missing() {
    is_written_as(SelectResponse::default(), &[b"\x48\x00"]); // encode_type
    is_written_as(Error::default(), &[b"\x08\x00", b"\x12\x00"]); // code, msg: an empty string
    is_written_as(Chunk::default(), &[b"\x1a\x00"]); // rows_data: empty bytes
    is_written_as(
        DagRequest::default(),
        &[
            b"\x18\x00", // time_zone_offset
            b"\x20\x00", // flags
            b"\x40\x00", // encode_type
            b"\x5a\x00", // time_zone_name
        ],
    );
    is_read_from(SelectResponse::default(), &[]);
    is_read_from(Error { code: 1, msg: String::new() }, &[b"\x08\x01"]);
    is_read_from(Chunk::default(), &[]);
    is_read_from(DagRequest::default(), &[b"\x20\x00"]);
    // These two Go's reader would refuse; docs/wire.md says so.
    is_read_from(InUnionMetadata { in_union: false }, &[]);
    is_read_from(CompareInMetadata { has_null: false, consts: None }, &[]);
}

#[test]
fn other_fields_are_written_if_they_are_set_even_at_zero() {
    let null = Expr::default();
    is_written_as(null.clone(), &[b"\x08\x00", b"\x20\x00"]); // tp, sig
    is_written_as(
        Expr { val: Some(Bytes::new()), ..null },
        &[
            b"\x08\x00", // tp
            b"\x12\x00", // val: set and empty, as the constant ''
            b"\x20\x00", // sig
        ],
    );
    is_written_as(
        IndexScan { unique: Some(false), ..Default::default() },
        &[
            b"\x08\x00", // table_id
            b"\x10\x00", // index_id
            b"\x20\x00", // desc
            b"\x28\x00", // unique
        ],
    );
}

#[test]
fn repeated_numbers_are_written_one_by_one_and_read_both_ways() {
    let zeros: &[&[u8]] = &[b"\x18\x00", b"\x20\x00"];
    let rest: &[&[u8]] = &[b"\x40\x00", b"\x5a\x00"];
    let request = DagRequest { output_offsets: vec![0, 300], ..Default::default() };
    is_written_as(request.clone(), &[zeros, &[b"\x28\x00", b"\x28\xac\x02"], rest].concat());
    is_read_from(request, &[zeros, &[b"\x2a\x03\x00\xac\x02"], rest].concat());
    is_written_as(
        SelectResponse { output_counts: vec![-1, 2], ..Default::default() },
        &[
            b"\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", // output_counts
            b"\x28\x02",                                     // output_counts
            b"\x48\x00",                                     // encode_type
        ],
    );
    is_written_as(
        FmSketch { mask: 1, hashset: vec![u64::MAX, 2] },
        &[
            b"\x08\x01",                                     // mask
            b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", // hashset
            b"\x10\x02",                                     // hashset
        ],
    );
}

#[test]
fn a_plan_as_it_is_sent() {
    let handle = ColumnInfo {
        column_id: 1,
        tp: 3,
        elems: vec![String::new()],
        default_val: Some(Bytes::new()),
        pk_handle: true,
        ..Default::default()
    };
    let scan = TableScan { table_id: 45, columns: vec![handle], desc: false };
    let scan =
        Executor { tp: ExecType::TypeTableScan.into(), tbl_scan: Some(scan), ..Default::default() };
    let limit = Executor {
        tp: ExecType::TypeLimit.into(),
        limit: Some(Limit { limit: 0 }),
        ..Default::default()
    };
    is_written_as(
        DagRequest {
            executors: vec![scan, limit],
            time_zone_offset: -1,
            flags: 129,
            output_offsets: vec![0],
            encode_type: EncodeType::TypeChunk.into(),
            ..Default::default()
        },
        &[
            b"\x12\x1d\x08\x00",                             // executors, 29 bytes: tp
            b"\x12\x19\x08\x2d",                             //   tbl_scan, 25 bytes: table_id
            b"\x12\x13",                                     //     columns, 19 bytes:
            b"\x08\x01\x10\x03",                             //       column_id, tp
            b"\x18\x00\x20\x00\x28\x00\x30\x00", //       collation, columnLen, decimal, flag
            b"\x3a\x00",                         //       elems: one, empty
            b"\x42\x00",                         //       default_val: set, empty
            b"\xa8\x01\x01",                     //       pk_handle: 21 * 8 = 1 * 128 + 40
            b"\x18\x00",                         //     desc
            b"\x12\x06\x08\x05\x3a\x02\x08\x00", // executors: tp, limit: limit
            b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", // time_zone_offset
            b"\x20\x81\x01",                     // flags
            b"\x28\x00",                         // output_offsets
            b"\x40\x01",                         // encode_type
            b"\x5a\x00",                         // time_zone_name
        ],
    );
}

#[test]
fn an_expression_with_a_function_nobody_knows_keeps_its_number() {
    let column = Expr { tp: ExprType::ColumnRef.into(), ..Default::default() };
    let function = Expr {
        tp: ExprType::ScalarFunc.into(),
        children: vec![column],
        sig: 9999,
        ..Default::default()
    };
    assert!(ScalarFuncSig::try_from(function.sig).is_err());
    is_written_as(
        function,
        &[
            b"\x08\x90\x4e",                 // tp: 10000 = 78 * 128 + 16
            b"\x1a\x05\x08\xc9\x01\x20\x00", // children: tp 201, sig
            b"\x20\x8f\x4e",                 // sig
        ],
    );
}

#[test]
fn statistics_as_they_are_answered() {
    let bucket = Bucket {
        count: 1,
        lower_bound: Some("a".into()),
        upper_bound: Some(Bytes::new()),
        repeats: 0,
    };
    is_written_as(
        AnalyzeIndexResp { hist: Some(Histogram { ndv: 4, buckets: vec![bucket] }), cms: None },
        &[
            b"\x0a\x0d\x08\x04",                          // hist, 13 bytes: ndv
            b"\x12\x09\x08\x01\x12\x01a\x1a\x00\x20\x00", //   buckets: count, bounds, repeats
        ],
    );
    let collector = SampleCollector {
        samples: vec![Bytes::new(), "x".into()],
        total_size: Some(0),
        ..Default::default()
    };
    is_written_as(
        AnalyzeColumnsResp { collectors: vec![collector], pk_hist: Some(Histogram::default()) },
        &[
            b"\x0a\x0b\x0a\x00\x0a\x01x", // collectors, 11 bytes: samples, the first one empty
            b"\x10\x00\x18\x00\x30\x00",  //   null_count, count, total_size
            b"\x12\x02\x08\x00",          // pk_hist: ndv
        ],
    );
}
