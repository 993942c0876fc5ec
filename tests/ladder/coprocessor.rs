//! Rungs about plans: rows and index entries as TinySQL stores them, and answers byte by byte.
//!
//! The table is `t(a int primary key, b int, c varchar unique, d double, key(b))`, number 21, with the rows
//! (1, 2, "x", 1.5), (3, 4, "y", 2.5) and (5, 6, NULL, NULL).

use bytes::Bytes;
use prost::Message as _;
use proto::coprocessor::{KeyRange, Request, Response};
use proto::kvrpcpb::{Mutation, PrewriteRequest};
use proto::tipb::{
    Aggregation, AnalyzeColumnsReq, AnalyzeColumnsResp, AnalyzeIndexReq, AnalyzeIndexResp,
    AnalyzeReq, AnalyzeType, ColumnInfo, DagRequest, ExecType, Executor, Expr, ExprType, FieldType,
    IndexScan, Limit, SelectResponse, TableScan,
};

use crate::one_store;
use crate::tinysql::{TinySql, put};

const TABLE: i64 = 21;
const INDEX_B: i64 = 1;
const INDEX_C: i64 = 2;
const DAG: i64 = 103;
const ANALYZE: i64 = 104;

/// An integer as keys have it.
fn comparable(number: i64) -> [u8; 8] {
    (number.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

fn row_key(handle: i64) -> Vec<u8> {
    [&b"t"[..], &comparable(TABLE), b"_r", &comparable(handle)].concat()
}

/// A key of an index: the values are told as they are encoded.
fn index_key(index: i64, values: &[u8]) -> Vec<u8> {
    [&b"t"[..], &comparable(TABLE), b"_i", &comparable(index), values].concat()
}

fn integer(number: i64) -> Vec<u8> {
    [&[3][..], &comparable(number)].concat()
}

fn text(value: &str) -> Vec<u8> {
    let mut out = vec![1];
    codec::bytes::encode(&mut out, value.as_bytes());
    out
}

fn unhex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// The three rows with their entries in both indexes.
fn rows() -> Vec<Mutation> {
    let handle_in_value = |handle: u64| Bytes::copy_from_slice(&handle.to_be_bytes());
    vec![
        put(row_key(1), unhex("8000 0300 0000 020304 0100 0200 0a00 02 78 bff8000000000000")),
        put(row_key(3), unhex("8000 0300 0000 020304 0100 0200 0a00 04 79 c004000000000000")),
        put(row_key(5), unhex("8000 0100 0000 02 0100 06")),
        put(index_key(INDEX_B, &[integer(2), integer(1)].concat()), "0"),
        put(index_key(INDEX_B, &[integer(4), integer(3)].concat()), "0"),
        put(index_key(INDEX_B, &[integer(6), integer(5)].concat()), "0"),
        put(index_key(INDEX_C, &text("x")), handle_in_value(1)),
        put(index_key(INDEX_C, &text("y")), handle_in_value(3)),
        put(index_key(INDEX_C, &[vec![0], integer(5)].concat()), "0"),
    ]
}

fn column(id: i64) -> ColumnInfo {
    let (tp, flag) = match id {
        1 => (3, 3),
        2 => (3, 0),
        3 => (15, 4),
        _ => (5, 0),
    };
    ColumnInfo { column_id: id, tp, flag, pk_handle: id == 1, ..ColumnInfo::default() }
}

fn table_scan(columns: &[i64], desc: bool) -> Executor {
    let columns = columns.iter().map(|id| column(*id)).collect();
    let scan = TableScan { table_id: TABLE, columns, desc };
    Executor { tp: ExecType::TypeTableScan.into(), tbl_scan: Some(scan), ..Executor::default() }
}

fn index_scan(index_id: i64, columns: &[i64], desc: bool, unique: bool) -> Executor {
    let columns = columns.iter().map(|id| column(*id)).collect();
    let scan = IndexScan { table_id: TABLE, index_id, columns, desc, unique: Some(unique) };
    Executor { tp: ExecType::TypeIndexScan.into(), idx_scan: Some(scan), ..Executor::default() }
}

fn limit(limit: u64) -> Executor {
    let limit = Some(Limit { limit });
    Executor { tp: ExecType::TypeLimit.into(), limit, ..Executor::default() }
}

fn plan(executors: Vec<Executor>, output_offsets: &[u32]) -> Bytes {
    let output_offsets = output_offsets.to_vec();
    let request = DagRequest { executors, output_offsets, flags: 226, ..DagRequest::default() };
    request.encode_to_vec().into()
}

/// The plan of a scan of handles.
pub(crate) fn handles(desc: bool) -> Bytes {
    plan(vec![table_scan(&[1], desc)], &[0])
}

fn range(start: Vec<u8>, end: Vec<u8>) -> KeyRange {
    KeyRange { start: start.into(), end: end.into() }
}

/// All rows, with an end that is longer than the key of a row.
fn all_rows() -> KeyRange {
    range(row_key(i64::MIN), [&row_key(i64::MAX)[..], &[0]].concat())
}

fn whole_index(index: i64) -> KeyRange {
    range(index_key(index, &[0]), index_key(index, &[0xfb]))
}

/// One key, told as everything before the key that differs in the last byte.
fn point(key: Vec<u8>) -> KeyRange {
    let mut end = key.clone();
    let last = end.iter().rposition(|byte| *byte != 0xff).expect("a key of a table");
    end[last] += 1;
    end[last + 1..].fill(0);
    range(key, end)
}

impl TinySql {
    async fn compute(&mut self, data: Bytes, ranges: Vec<KeyRange>, start_ts: u64) -> Response {
        let first = ranges[0].start.clone();
        let request = Request { tp: DAG, data, ranges, start_ts, ..Request::default() };
        self.ask(&first, request).await.0
    }

    async fn bytes_of(&mut self, data: Bytes, ranges: Vec<KeyRange>) -> Bytes {
        let start_ts = self.timestamp().await;
        let answer = self.compute(data, ranges, start_ts).await;
        assert_eq!((answer.other_error.as_str(), answer.locked), ("", None));
        answer.data
    }
}

fn expression(tp: ExprType, children: Vec<Expr>, of: i32) -> Expr {
    let field_type = Some(FieldType { tp: of, ..FieldType::default() });
    Expr { tp: tp.into(), children, field_type, ..Expr::default() }
}

fn column_ref(offset: i64, of: i32) -> Expr {
    let val = Some(Bytes::copy_from_slice(&comparable(offset)));
    Expr { val, ..expression(ExprType::ColumnRef, vec![], of) }
}

/// Statements whose whole answers are known, byte by byte.
#[tokio::test]
async fn plans_are_answered_with_the_bytes_that_were_seen() {
    let (_cluster, mut sql) = one_store().await;
    sql.commit(&rows()).await.unwrap();
    let all = plan(vec![table_scan(&[1, 2, 3, 4], false)], &[0, 1, 2, 3]);
    let expected = "1a281a26 0802 0804 020278 05bff8000000000000 0806 0808 020279 \
                    05c004000000000000 080a 080c 00 00 4800";
    assert_eq!(sql.bytes_of(all, vec![all_rows()]).await, unhex(expected));

    let index = plan(vec![index_scan(INDEX_B, &[2, 1], false, false)], &[0]);
    let expected = unhex("1a081a06 0804 0808 080c 4800");
    assert_eq!(sql.bytes_of(index, vec![whole_index(INDEX_B)]).await, expected);

    let handle = plan(vec![index_scan(INDEX_C, &[3, 1], false, true)], &[1]);
    let ranges = vec![point(index_key(INDEX_C, &text("x")))];
    assert_eq!(sql.bytes_of(handle, ranges).await, unhex("1a041a02 0802 4800"));

    let one = Expr {
        val: Some(Bytes::copy_from_slice(&comparable(1))),
        ..expression(ExprType::Int64, vec![], 8)
    };
    let aggregates = Aggregation {
        agg_func: vec![
            expression(ExprType::Sum, vec![column_ref(0, 3)], 8),
            expression(ExprType::Count, vec![one], 8),
            expression(ExprType::Count, vec![column_ref(1, 5)], 8),
            expression(ExprType::Sum, vec![column_ref(1, 5)], 5),
            expression(ExprType::Min, vec![column_ref(1, 5)], 5),
        ],
        ..Aggregation::default()
    };
    let aggregates = Executor {
        tp: ExecType::TypeAggregation.into(),
        aggregation: Some(aggregates),
        ..Executor::default()
    };
    let sums = plan(vec![table_scan(&[2, 4], false), aggregates], &[0, 1, 2, 3, 4]);
    let expected = "1a1a1a18 0818 0806 0804 05c010000000000000 05bff8000000000000 4800";
    assert_eq!(sql.bytes_of(sums, vec![all_rows()]).await, unhex(expected));

    let nothing = range(row_key(10), row_key(20));
    assert_eq!(sql.bytes_of(handles(false), vec![nothing]).await, unhex("4800"));
}

/// `ORDER BY ... DESC`, `MAX`, and every `ADD INDEX`: from the last range to the first, and backwards.
#[tokio::test]
async fn descending_scans_go_backwards_through_all_ranges_and_stop_at_their_limit() {
    let (_cluster, mut sql) = one_store().await;
    sql.commit(&rows()).await.unwrap();
    let two = || vec![range(row_key(0), row_key(2)), range(row_key(3), row_key(6))];
    let answer = sql.bytes_of(handles(true), two()).await;
    assert_eq!(answer, unhex("1a081a06 080a 0806 0802 4800"));
    let last = plan(vec![table_scan(&[1], true), limit(2)], &[0]);
    assert_eq!(sql.bytes_of(last, two()).await, unhex("1a061a04 080a 0806 4800"));
    let newest = plan(vec![index_scan(INDEX_B, &[2, 1], true, false), limit(1)], &[1]);
    let answer = sql.bytes_of(newest, vec![whole_index(INDEX_B)]).await;
    assert_eq!(answer, unhex("1a041a02 080a 4800"));
}

/// `a = 1 OR a = 3`: both forms of a point mean one key.
#[tokio::test]
async fn both_forms_of_a_point_mean_one_row() {
    let (_cluster, mut sql) = one_store().await;
    sql.commit(&rows()).await.unwrap();
    let successor = range(row_key(1), [&row_key(1)[..], &[0]].concat());
    let answer = sql.bytes_of(handles(false), vec![successor, point(row_key(3))]).await;
    assert_eq!(answer, unhex("1a061a04 0802 0806 4800"));
}

/// A row is being written: who scans it, or asks for it alone, is told by whom, and gets no part.
#[tokio::test]
async fn a_locked_row_is_told_instead_of_data_in_scans_and_points() {
    let (_cluster, mut sql) = one_store().await;
    sql.commit(&rows()).await.unwrap();
    let start_version = sql.timestamp().await;
    let request = PrewriteRequest {
        mutations: vec![put(row_key(3), "new")],
        primary_lock: row_key(3).into(),
        start_version,
        lock_ttl: 3000,
        ..PrewriteRequest::default()
    };
    assert_eq!(sql.ask(&row_key(3), request).await.0.errors, []);
    let now = sql.timestamp().await;
    for ranges in [vec![all_rows()], vec![point(row_key(1)), point(row_key(3))]] {
        for desc in [false, true] {
            let answer = sql.compute(handles(desc), ranges.clone(), now).await;
            let lock = answer.locked.expect("it is locked");
            assert_eq!((&lock.key[..], lock.lock_version), (&row_key(3)[..], start_version));
            let data = SelectResponse::decode(answer.data).unwrap();
            assert!(data.chunks.is_empty(), "a part of the rows: {data:?}");
        }
    }
    let before = sql.compute(handles(false), vec![all_rows()], start_version - 1).await;
    assert_eq!(before.data, unhex("1a081a06 0802 0806 080a 4800"));
}

/// `ANALYZE TABLE`, of an empty table and of one with rows. It reads at the end of time.
#[tokio::test]
async fn statistics_have_every_part_without_which_tinysql_would_panic() {
    let (_cluster, mut sql) = one_store().await;
    for count in [0, 3] {
        if count > 0 {
            sql.commit(&rows()).await.unwrap();
        }
        let idx_req = AnalyzeIndexReq {
            bucket_size: 256,
            num_columns: 1,
            cmsketch_depth: Some(5),
            cmsketch_width: Some(2048),
        };
        let request = AnalyzeReq {
            tp: AnalyzeType::TypeIndex.into(),
            flags: 129,
            idx_req: Some(idx_req),
            ..AnalyzeReq::default()
        };
        let index = sql.analyze(&request, whole_index(INDEX_B)).await;
        let index = AnalyzeIndexResp::decode(index).unwrap();
        let histogram = index.hist.expect("TinySQL panics without");
        assert_eq!(histogram.ndv, count);
        assert_eq!(histogram.buckets.last().map_or(0, |bucket| bucket.count), count);
        let sketch = index.cms.expect("it was asked for");
        assert!(sketch.rows.len() == 5 && sketch.rows.iter().all(|row| row.counters.len() == 2048));

        let col_req = AnalyzeColumnsReq {
            bucket_size: 256,
            sample_size: 1000,
            sketch_size: 10_000,
            columns_info: [1, 2, 3, 4].map(column).to_vec(),
            cmsketch_depth: Some(5),
            cmsketch_width: Some(2048),
        };
        let request = AnalyzeReq {
            tp: AnalyzeType::TypeColumn.into(),
            flags: 129,
            col_req: Some(col_req),
            ..AnalyzeReq::default()
        };
        let columns = sql.analyze(&request, all_rows()).await;
        let columns = AnalyzeColumnsResp::decode(columns).unwrap();
        assert_eq!(columns.pk_hist.expect("TinySQL panics without").ndv, count);
        let counts: Vec<_> =
            columns.collectors.iter().map(|one| one.count + one.null_count).collect();
        assert_eq!(counts, [count; 3]);
        assert!(columns.collectors.iter().all(|collector| collector.fm_sketch.is_some()));
    }
}

impl TinySql {
    async fn analyze(&mut self, request: &AnalyzeReq, range: KeyRange) -> Bytes {
        let (first, data) = (range.start.clone(), request.encode_to_vec().into());
        let ranges = vec![range];
        let request =
            Request { tp: ANALYZE, data, ranges, start_ts: u64::MAX, ..Request::default() };
        let (answer, _) = self.ask(&first, request).await;
        assert_eq!((answer.other_error.as_str(), answer.locked), ("", None));
        answer.data
    }
}
