//! A table, and plans over it.

use std::ops::Range;

use bytes::Bytes;
use codec::number;
use coprocessor::datum::Datum;
use coprocessor::{DAG, row, table};
use engine::{Cf, WriteBatch};
use prost::Message as _;
use proto::coprocessor::{KeyRange, Request};
use proto::tipb::{
    Aggregation, ByItem, ColumnInfo, DagRequest, ExecType, Executor, Expr, ExprType, FieldType,
    ScalarFuncSig, Selection, TableScan, TopN,
};
use runtime::Rng;
use storage::mvcc::{Write, WriteKind, encode_key};

pub(crate) const TABLE: i64 = 41;
const GROUPS: u64 = 100;

/// When plans look: after the rows were written.
pub(crate) const VERSION: u64 = 100;

/// A plan by its name, and how it is made.
pub(crate) type Plan = (&'static str, fn() -> Vec<Executor>);

/// The plans.
pub(crate) const PLANS: [Plan; 6] = [
    ("count(*)", count),
    ("selection on an integer, 1 in 1000", || select(1)),
    ("selection on an integer, 1 in 2", || select(500)),
    ("top 100 by an integer", top),
    ("sum, 100 groups", sum),
    ("all rows, two columns", Vec::new),
];

/// Committed rows: a handle, a number below a thousand, a group, a string and a float.
pub(crate) fn rows(handles: Range<i64>, rng: &mut Rng) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for handle in handles {
        let key = table::record_key(TABLE, handle);
        let text = format!("a string of row {handle:08}");
        let value = row::encode(&[
            (2, Datum::Int(rng.below(1000).cast_signed())),
            (3, Datum::Int(rng.below(GROUPS).cast_signed())),
            (4, Datum::Bytes(text.into_bytes())),
            (5, Datum::Real(0.5)),
        ]);
        batch.put(Cf::Default, encode_key(&key, 1), value);
        let write = Write { kind: WriteKind::Put, start_ts: 1 };
        batch.put(Cf::Write, encode_key(&key, 2), write.to_bytes());
    }
    batch
}

/// Asks for all columns of the first rows, and what else is to be done with them.
pub(crate) fn request(rest: Vec<Executor>, rows: i64) -> Request {
    let columns = vec![column(1, 8), column(2, 3), column(3, 3), column(4, 15), column(5, 5)];
    let scan = TableScan { table_id: TABLE, columns, desc: false };
    let scan = Executor { tbl_scan: Some(scan), ..step(ExecType::TypeTableScan) };
    let executors = std::iter::once(scan).chain(rest).collect();
    let plan = DagRequest { executors, output_offsets: vec![0, 1], ..DagRequest::default() };
    let (start, end) = (table::record_key(TABLE, 0), table::record_key(TABLE, rows));
    Request {
        tp: DAG,
        data: plan.encode_to_vec().into(),
        ranges: vec![KeyRange { start: start.into(), end: end.into() }],
        start_ts: VERSION,
        ..Request::default()
    }
}

fn column(column_id: i64, tp: i32) -> ColumnInfo {
    ColumnInfo { column_id, tp, pk_handle: column_id == 1, ..ColumnInfo::default() }
}

fn step(tp: ExecType) -> Executor {
    Executor { tp: tp.into(), ..Executor::default() }
}

fn leaf(tp: ExprType, value: i64) -> Expr {
    let mut val = Vec::new();
    number::encode_i64(&mut val, value);
    Expr { tp: tp.into(), val: Some(Bytes::from(val)), ..Expr::default() }
}

fn aggregation(tp: ExprType, argument: Expr, group_by: Vec<Expr>) -> Vec<Executor> {
    let function = Expr { tp: tp.into(), children: vec![argument], ..Expr::default() };
    let aggregation = Aggregation { group_by, agg_func: vec![function], ..Aggregation::default() };
    vec![Executor { aggregation: Some(aggregation), ..step(ExecType::TypeAggregation) }]
}

/// How many rows there are.
pub(crate) fn count() -> Vec<Executor> {
    aggregation(ExprType::Count, leaf(ExprType::Int64, 1), Vec::new())
}

/// The sum of a column, by another one.
pub(crate) fn sum() -> Vec<Executor> {
    let group = leaf(ExprType::ColumnRef, 2);
    aggregation(ExprType::Sum, leaf(ExprType::ColumnRef, 1), vec![group])
}

/// The rows whose number is below a limit.
pub(crate) fn select(limit: i64) -> Vec<Executor> {
    let condition = Expr {
        tp: ExprType::ScalarFunc.into(),
        sig: ScalarFuncSig::LtInt.into(),
        children: vec![leaf(ExprType::ColumnRef, 1), leaf(ExprType::Int64, limit)],
        field_type: Some(FieldType { tp: 8, ..FieldType::default() }),
        ..Expr::default()
    };
    let selection = Selection { conditions: vec![condition], ..Selection::default() };
    vec![Executor { selection: Some(selection), ..step(ExecType::TypeSelection) }]
}

fn top() -> Vec<Executor> {
    let item = ByItem { expr: Some(leaf(ExprType::ColumnRef, 1)), ..ByItem::default() };
    let top = TopN { order_by: vec![item], limit: 100 };
    vec![Executor { top_n: Some(top), ..step(ExecType::TypeTopN) }]
}
