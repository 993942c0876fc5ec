//! What plans cost beside the bare scan of the same rows: a million rows of five columns in one region,
//! on RocksDB, warm, on one core, from the endpoint down.
//!
//! Prints a table, rows per second, and how the cost of a row changes with their number. `ROWS` in the
//! environment says how many rows there are.

mod plans;

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};

use coprocessor::{Options, answer, table};
use engine::{Config, Durability, Engine, Layout, OpenMode, Recovery, Rocks};
use proto::coprocessor::Request;
use proto::kvrpcpb::Context;
use proto::tipb::Executor;
use rounds::Table;
use runtime::Rng;
use storage::mvcc::{Direction, Scanner};
use storage::{Kv, Limits, Reader, Standalone};

use plans::{TABLE, VERSION};

const ROWS: i64 = 1_000_000;
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

impl Bench {
    fn new(dir: &Path, rows: i64) -> Self {
        let (mode, recovery) = (OpenMode::CreateIfMissing, Recovery::PointInTime);
        let engine = Rocks::open(dir, Layout::Kv, &Config::default(), mode, recovery)
            .expect("a new directory opens");
        let mut rng = Rng::new(1);
        for first in (0..rows).step_by(usize::try_from(BATCH_ROWS).expect("it is small")) {
            let batch = plans::rows(first..(first + BATCH_ROWS).min(rows), &mut rng);
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
        for (name, plan) in plans::PLANS {
            let (table, keys_only) = match name {
                "count(*)" => (&mut keys, true),
                _ => (&mut values, false),
            };
            let request = plans::request(plan(), rows);
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
            let (count, select, sum) =
                (cost(plans::count()), cost(plans::select(1)), cost(plans::sum()));
            print(&format!("| {rows} | {count:.0} | {select:.0} | {sum:.0} |"));
            rows *= 10;
        }
    }

    /// What a row costs, in time on a core: a machine that is shared does not change that much.
    #[expect(clippy::cast_precision_loss, reason = "it is printed")]
    fn cost_ns(&self, plan: Vec<Executor>, rows: i64) -> f64 {
        let request = plans::request(plan, rows);
        let times = (ROWS / rows).clamp(1, 100);
        let begin = on_core_ns();
        for _ in 0..times {
            assert!(self.ask(&request) > 0);
        }
        (on_core_ns() - begin) as f64 / (times * rows) as f64
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
