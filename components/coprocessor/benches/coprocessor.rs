//! What plans cost beside the bare scan of the same rows: a million rows of five columns in one region,
//! on RocksDB, warm, on one core, from the endpoint down.
//!
//! Prints a table, rows per second, and how the cost of a row changes with their number. `ROWS` in the
//! environment says how many rows there are.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};

use bytes::Bytes;
use codec::number;
use coprocessor::datum::Datum;
use coprocessor::{DAG, Options, answer, row, table};
use engine::{Cf, Config, Durability, Engine, Layout, OpenMode, Recovery, Rocks, WriteBatch};
use prost::Message as _;
use proto::coprocessor::{KeyRange, Request};
use proto::kvrpcpb::Context;
use proto::tipb::{
    Aggregation, ByItem, ColumnInfo, DagRequest, ExecType, Executor, Expr, ExprType, FieldType,
    ScalarFuncSig, Selection, TableScan, TopN,
};
use rounds::Table;
use runtime::Rng;
use storage::mvcc::{Direction, Scanner, Write, WriteKind, encode_key};
use storage::{Kv, Limits, Reader, Standalone};

const ROWS: i64 = 1_000_000;
const TABLE: i64 = 41;
const GROUPS: u64 = 100;
const VERSION: u64 = 100;
/// How many rows are written at a time.
const BATCH_ROWS: i64 = 1000;

fn main() {
    let home = tempfile::tempdir().expect("a place for the data");
    let rows = std::env::var("ROWS").map_or(ROWS, |rows| rows.parse().expect("a number"));
    let bench = Bench::new(home.path(), rows);
    bench.compare();
    bench.grow();
}

#[expect(clippy::print_stdout, reason = "a bench is for somebody who reads its output")]
fn print(text: &str) {
    println!("{text}");
}

/// A region with rows: a handle, a number below a thousand, a group, a string and a float.
struct Bench {
    reader: Arc<dyn Reader>,
    rows: i64,
}

/// A plan by its name, and how it is made.
type Plan = (&'static str, fn() -> Vec<Executor>);

/// The plans.
const PLANS: [Plan; 6] = [
    ("count(*)", count),
    ("selection on an integer, 1 in 1000", || select(1)),
    ("selection on an integer, 1 in 2", || select(500)),
    ("top 100 by an integer", top),
    ("sum, 100 groups", sum),
    ("all rows, two columns", Vec::new),
];

impl Bench {
    fn new(dir: &Path, rows: i64) -> Self {
        let (mode, recovery) = (OpenMode::CreateIfMissing, Recovery::PointInTime);
        let engine = Rocks::open(dir, Layout::Kv, &Config::default(), mode, recovery)
            .expect("a new directory opens");
        let mut rng = Rng::new(1);
        for first in (0..rows).step_by(usize::try_from(BATCH_ROWS).expect("it is small")) {
            let mut batch = WriteBatch::new();
            for handle in first..(first + BATCH_ROWS).min(rows) {
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
            engine.write(&batch, Durability::Unsynced).expect("the disk works");
        }
        engine.flush().expect("the disk works");
        let storage = Standalone::unsynced(Arc::new(engine)).expect("a new engine is in order");
        let kv = Kv::new(Arc::new(storage), Limits::default());
        let reader = wait(kv.reader(&Context::default(), VERSION)).expect("the disk works");
        let bench = Bench { reader, rows };
        let expected = usize::try_from(rows).expect("rows are counted");
        assert_eq!(bench.scan(rows, false), expected);
        bench
    }

    /// Each plan over at most a million rows beside the scan of what it looks at.
    fn compare(&self) {
        let rows = self.rows.min(ROWS);
        let count = u64::try_from(rows).expect("rows are counted");
        let mut keys = Table::new("plan", "scan of keys");
        let mut values = Table::new("plan", "scan with values");
        let mut rates = Vec::new();
        for (name, plan) in PLANS {
            let (table, keys_only) = match name {
                "count(*)" => (&mut keys, true),
                _ => (&mut values, false),
            };
            let request = Self::request(plan(), rows);
            table.compare(name, count, || self.ask(&request), || self.scan(rows, keys_only));
            let rate = 1e9 / self.cost_ns(plan(), rows);
            rates.push(format!("{name}: {rate:.0} rows a second and core\n"));
        }
        print(&format!("{keys}\n{values}\n{}", rates.join("\n")));
    }

    /// What a row costs, the more there are.
    fn grow(&self) {
        print("| rows | count(*), ns a row | selection, ns a row | sum, ns a row |");
        print("|---:|---:|---:|---:|");
        let mut rows = 1000;
        while rows <= self.rows {
            let cost = |plan| self.cost_ns(plan, rows);
            let (count, select, sum) = (cost(count()), cost(select(1)), cost(sum()));
            print(&format!("| {rows} | {count:.0} | {select:.0} | {sum:.0} |"));
            rows *= 10;
        }
    }

    /// What a row costs, in time on a core: a machine that is shared does not change that much.
    #[expect(clippy::cast_precision_loss, reason = "it is printed")]
    fn cost_ns(&self, plan: Vec<Executor>, rows: i64) -> f64 {
        let request = Self::request(plan, rows);
        let times = (ROWS / rows).clamp(1, 100);
        let begin = on_core_ns();
        for _ in 0..times {
            assert!(self.ask(&request) > 0);
        }
        (on_core_ns() - begin) as f64 / (times * rows) as f64
    }

    fn request(rest: Vec<Executor>, rows: i64) -> Request {
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

    fn ask(&self, request: &Request) -> usize {
        let answer = answer(&*self.reader, request, &Options::default(), &|| None);
        let answer = answer.expect("the disk works");
        assert_eq!(answer.other_error, "");
        answer.data.len()
    }

    /// The bare scan: how many rows there are.
    fn scan(&self, rows: i64, keys_only: bool) -> usize {
        let (start, end) = (table::record_key(TABLE, 0), table::record_key(TABLE, rows));
        let scanner = Scanner::new(&*self.reader, &start, &end, VERSION, Direction::Forward);
        let mut scanner = scanner.expect("the disk works").keys_only(keys_only);
        let mut count = 0;
        while scanner.next_row().expect("the disk works").is_some() {
            count += 1;
        }
        count
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

fn count() -> Vec<Executor> {
    aggregation(ExprType::Count, leaf(ExprType::Int64, 1), Vec::new())
}

fn sum() -> Vec<Executor> {
    let group = leaf(ExprType::ColumnRef, 2);
    aggregation(ExprType::Sum, leaf(ExprType::ColumnRef, 1), vec![group])
}

/// The rows whose number is below a limit.
fn select(limit: i64) -> Vec<Executor> {
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

/// How long this thread has been on a core.
fn on_core_ns() -> u64 {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").expect("this is Linux");
    let first = times.split(' ').next().expect("there are three numbers");
    first.parse().expect("the first is in nanoseconds")
}

/// On a single engine nothing is waited for.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut context = TaskContext::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a single engine answers at once"),
    }
}
