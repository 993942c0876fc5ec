//! Requests that make no sense, and rows that are damaged: each is refused by name, and none stops anything.

use bytes::Bytes;
use prost::Message as _;
use proto::coprocessor::{KeyRange, Request};
use proto::tipb::{
    Aggregation, AnalyzeColumnsReq, AnalyzeIndexReq, AnalyzeReq, ByItem, ColumnInfo, DagRequest,
    ExecType, Executor, Expr, ExprType, IndexScan, Limit, Selection, TableScan, TopN,
};

use super::language::{self, Parser};
use super::world::{TABLE, World, all_rows, column, range};
use crate::datum::Datum;
use crate::{ANALYZE, Answer, DAG, row, table};

/// A scan of these columns of the table.
pub(super) fn table_scan(names: &[&str]) -> Executor {
    let columns = names.iter().map(|name| column(name)).collect();
    Executor {
        tp: ExecType::TypeTableScan.into(),
        tbl_scan: Some(TableScan { table_id: TABLE, columns, desc: false }),
        ..Executor::default()
    }
}

pub(super) fn step(tp: ExecType) -> Executor {
    Executor { tp: tp.into(), ..Executor::default() }
}

pub(super) fn selection(condition: Expr) -> Executor {
    let selection = Selection { conditions: vec![condition], ..Selection::default() };
    Executor { selection: Some(selection), ..step(ExecType::TypeSelection) }
}

pub(super) fn dag(executors: Vec<Executor>) -> DagRequest {
    DagRequest { executors, output_offsets: vec![0], ..DagRequest::default() }
}

pub(super) fn fixture() -> World {
    let mut world = World::new();
    world.put_fixture();
    world
}

pub(super) fn refusal(answer: &Answer) -> &str {
    assert!(answer.locked.is_none());
    assert!(!answer.other_error.is_empty(), "it is refused");
    &answer.other_error
}

#[test]
fn plans_without_sense_are_refused_by_name() {
    let id = || table_scan(&["id", "a"]);
    let limit = || Executor { limit: Some(Limit { limit: 1 }), ..step(ExecType::TypeLimit) };
    let no_order = TopN { order_by: vec![ByItem::default()], limit: 1 };
    let cases: Vec<(Vec<Executor>, &str)> = vec![
        (vec![], "an empty plan"),
        (vec![limit()], "a plan starts with TypeLimit"),
        (vec![step(ExecType::TypeTableScan)], "the table scan is missing"),
        (vec![step(ExecType::TypeIndexScan)], "the index scan is missing"),
        (vec![Executor { tp: 99, ..Executor::default() }], "there is no executor 99"),
        (vec![id(), Executor { tp: 99, ..Executor::default() }], "there is no executor 99"),
        (vec![id(), id()], "TypeTableScan has no place in this plan"),
        (vec![id(), limit(), limit()], "TypeLimit has no place in this plan"),
        (vec![id(), step(ExecType::TypeSelection)], "the selection is missing"),
        (vec![id(), step(ExecType::TypeLimit)], "the limit is missing"),
        (vec![id(), step(ExecType::TypeTopN)], "the top N is missing"),
        (vec![id(), step(ExecType::TypeAggregation)], "the aggregation is missing"),
        (vec![id(), step(ExecType::TypeStreamAgg)], "the stream aggregation is missing"),
        (
            vec![id(), Executor { top_n: Some(no_order), ..step(ExecType::TypeTopN) }],
            "the order is missing",
        ),
        (vec![table_scan(&[])], "there is no column 0 to answer"),
    ];
    are_refused(cases);
}

/// Each plan is refused with this text.
fn are_refused(cases: Vec<(Vec<Executor>, &str)>) {
    let world = fixture();
    for (executors, text) in cases {
        let answer = world.select(&dag(executors.clone()), vec![all_rows(TABLE)], 100);
        assert!(refusal(&answer).contains(text), "{:?} for {executors:?}", answer.other_error);
    }
}

#[test]
fn columns_and_expressions_without_sense_are_refused_by_name() {
    let id = || table_scan(&["id", "a"]);
    let parse = |text: &str| Parser::one(text, &["id".to_owned(), "a".to_owned()]);
    let aggregate = |function: Expr| {
        let aggregation = Aggregation { agg_func: vec![function], ..Aggregation::default() };
        Executor { aggregation: Some(aggregation), ..step(ExecType::TypeAggregation) }
    };
    let index = |columns: Vec<ColumnInfo>| Executor {
        idx_scan: Some(IndexScan { table_id: TABLE, index_id: 1, columns, ..IndexScan::default() }),
        ..step(ExecType::TypeIndexScan)
    };
    let untyped = Expr { field_type: None, ..parse("IntIsNull(id)") };
    let bits = ColumnInfo { column_id: 9, tp: 16, column_len: 65, ..ColumnInfo::default() };
    let scan_of = |info: ColumnInfo| Executor {
        tbl_scan: Some(TableScan { table_id: TABLE, columns: vec![info], desc: false }),
        ..step(ExecType::TypeTableScan)
    };
    let text_handle = ColumnInfo { tp: 253, ..column("id") };
    let broken_default = ColumnInfo { default_val: Some("\x0a".into()), ..column("a") };
    let cases: Vec<(Vec<Executor>, &str)> = vec![
        (vec![index(vec![]), aggregate(parse("count(1)"))], "a scan without columns"),
        (vec![scan_of(bits)], "a column of 65 bits"),
        (vec![scan_of(text_handle)], "a handle that is no integer"),
        (vec![scan_of(broken_default)], "invalid encoded key flag 10"),
        (vec![id(), selection(language::column(2))], "there is no column 2"),
        (vec![id(), selection(untyped)], "builtinintisnullsig has no type"),
        (vec![id(), selection(parse("IfInt(id, id)"))], "builtinifintsig does not take 2"),
        (vec![id(), selection(parse("list(1)"))], "a list of values that is no argument"),
        (
            vec![id(), selection(Expr { tp: 102, ..Expr::default() })],
            "MysqlDecimal is not served as an expression",
        ),
        (
            vec![id(), selection(Expr { tp: 7, ..Expr::default() })],
            "there is no kind of expression 7",
        ),
        (
            vec![id(), selection(Expr { sig: 102, ..parse("IntIsNull(id)") })],
            "[expression:1305]FUNCTION 102 does not exist",
        ),
        (
            vec![id(), selection(Expr { val: Some("\x01\x02".into()), ..parse("1") })],
            "invalid int 01 02",
        ),
        (vec![id(), aggregate(parse("sum()"))], "an aggregate function without an argument"),
        (vec![id(), aggregate(parse("first(id, id)"))], "Wrong number of args for AggFuncFirstRow"),
        (
            vec![id(), aggregate(Expr { tp: ExprType::AggBitXor.into(), ..Expr::default() })],
            "Unknown aggregate function type Agg_BitXor",
        ),
        (
            vec![id(), aggregate(parse("IntIsNull(id)"))],
            "Unknown aggregate function type ScalarFunc",
        ),
    ];
    are_refused(cases);
}

#[test]
fn requests_without_sense_are_refused() {
    let world = fixture();
    let plan = dag(vec![table_scan(&["id"])]);
    let payload = Bytes::from(plan.encode_to_vec());
    let request = |tp: i64, data: &Bytes, ranges: &[KeyRange]| Request {
        tp,
        data: data.clone(),
        ranges: ranges.to_vec(),
        start_ts: 100,
        ..Request::default()
    };
    let all = [all_rows(TABLE)];
    let refused = |request: Request, text: &str| {
        let answer = world.ask(&request);
        assert!(refusal(&answer).contains(text), "{:?} is not {text:?}", answer.other_error);
    };
    refused(request(DAG, &payload, &[]), "request range is null");
    refused(request(102, &payload, &all), "unsupported request type 102");
    refused(request(DAG, &Bytes::from_static(b"\xff\xff"), &all), "no plan");
    refused(request(ANALYZE, &Bytes::from_static(b"\xff\xff"), &all), "no request for statistics");
    let reversed = range(b"b".to_vec(), b"a".to_vec());
    let invalid = "invalid range, start should be smaller than end: [98] [97]";
    refused(request(DAG, &payload, std::slice::from_ref(&reversed)), invalid);
    let endless = range(b"b".to_vec(), Vec::new());
    let invalid = "invalid range, start should be smaller than end: [98] []";
    refused(request(DAG, &payload, &[endless]), invalid);
    let statistics = |analyze: AnalyzeReq| request(ANALYZE, &analyze.encode_to_vec().into(), &all);
    refused(statistics(AnalyzeReq::default()), "no index to analyze");
    refused(statistics(AnalyzeReq { tp: 1, ..AnalyzeReq::default() }), "no columns to analyze");
    let no_columns = Some(AnalyzeColumnsReq::default());
    refused(
        statistics(AnalyzeReq { tp: 1, col_req: no_columns, ..Default::default() }),
        "no columns",
    );
    let negative = AnalyzeIndexReq {
        cmsketch_depth: Some(-1),
        cmsketch_width: Some(5),
        ..AnalyzeIndexReq::default()
    };
    refused(
        statistics(AnalyzeReq { idx_req: Some(negative), ..Default::default() }),
        "negative size",
    );
    let huge = AnalyzeIndexReq {
        cmsketch_depth: Some(i32::MAX),
        cmsketch_width: Some(i32::MAX),
        ..AnalyzeIndexReq::default()
    };
    refused(statistics(AnalyzeReq { idx_req: Some(huge), ..Default::default() }), "of memory");
    assert_eq!(
        world.ask(&request(ANALYZE, &payload, &[])),
        Answer::default(),
        "nothing of nothing"
    );
}

/// Rows, entries and keys that are damaged, or of other types than the plan says.
#[test]
fn damaged_rows_are_refused() {
    let record = |handle: i64| table::record_key(TABLE, handle);
    let good = row::encode(&[(2, Datum::Int(7)), (6, Datum::Bytes(b"text".to_vec()))]);
    let float = row::encode(&[(4, Datum::Int(7))]);
    let mut gap = good.clone();
    gap[8] = 0xff;
    let cases: [(Vec<u8>, &[&str], &str); 8] = [
        (Vec::new(), &["a"], "insufficient bytes"),
        (vec![0x80], &["a"], "insufficient bytes"),
        (vec![8, 2], &["a"], "invalid codec version"),
        (good[..good.len() - 1].to_vec(), &["s"], "insufficient bytes"),
        (gap, &["a"], "insufficient bytes"),
        (float, &["f"], "insufficient bytes"),
        (row::encode(&[(2, Datum::Bytes(b"abc".to_vec()))]), &["a"], "an integer of 3 bytes"),
        (row::encode(&[(2, Datum::Bytes(Vec::new()))]), &["a"], "an integer of 0 bytes"),
    ];
    for (value, columns, text) in cases {
        let mut world = World::new();
        world.put(vec![(record(1), value.clone())]);
        let answer = world.select(&dag(vec![table_scan(columns)]), vec![all_rows(TABLE)], 100);
        assert!(refusal(&answer).contains(text), "{:?} for {value:x?}", answer.other_error);
    }
    let unknown = ColumnInfo { tp: 246, ..column("a") };
    let scan = TableScan { table_id: TABLE, columns: vec![unknown], desc: false };
    let plan = dag(vec![Executor { tbl_scan: Some(scan), ..step(ExecType::TypeTableScan) }]);
    let mut world = World::new();
    world.put(vec![(record(1), good)]);
    let answer = world.select(&plan, vec![all_rows(TABLE)], 100);
    assert_eq!(refusal(&answer), "unknown type 246");
    let answer = world.select(
        &dag(vec![table_scan(&["id"])]),
        vec![range(b"a".to_vec(), b"z".to_vec())],
        100,
    );
    assert_eq!(answer.other_error, "");
    world.put(vec![(b"tail".to_vec(), Vec::new())]);
    let anything = vec![range(b"a".to_vec(), b"z".to_vec())];
    let answer = world.select(&dag(vec![table_scan(&["id"])]), anything, 100);
    assert_eq!(refusal(&answer), "[18:8221]invalid key - \"7461696c\"");
}

#[test]
fn damaged_entries_are_refused() {
    let prefix = table::index_prefix(TABLE, 1);
    let entry = |rest: &[u8]| [&prefix[..], rest].concat();
    let handle = [3, 0x80, 0, 0, 0, 0, 0, 0, 1];
    let cases: [(Vec<u8>, &[u8], &str); 7] = [
        (entry(b""), b"0", "invalid encoded key"),
        (entry(&handle[..5]), b"0", "insufficient bytes"),
        (entry(&[0x0a]), b"0", "invalid encoded key flag 10"),
        (entry(&handle), b"0", "insufficient bytes"),
        (entry(&[&[5][..], &handle[1..]].concat()), b"12345678", "not of its column's type"),
        (entry(&[&handle[..], &[0]].concat()), b"0", "whose handle is no integer"),
        (prefix[..18].to_vec(), b"0", "insufficient bytes"),
    ];
    for (key, value, text) in cases {
        let mut world = World::new();
        world.put(vec![(key.clone(), value.to_vec())]);
        let columns = vec![column("a"), column("id")];
        let scan = IndexScan { table_id: TABLE, index_id: 1, columns, ..IndexScan::default() };
        let plan = dag(vec![Executor { idx_scan: Some(scan), ..step(ExecType::TypeIndexScan) }]);
        let plan = DagRequest { output_offsets: vec![0, 1], ..plan };
        let answer = world.select(&plan, vec![range(b"t".to_vec(), b"u".to_vec())], 100);
        assert!(refusal(&answer).contains(text), "{:?} for {key:x?}", answer.other_error);
    }
}
