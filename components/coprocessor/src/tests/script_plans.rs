//! Golden scripts of plans, told as queries over the table of the golden cases.
//!
//! The columns of a query are its positional arguments, among `id a u f g s c` and those that came late and
//! have a default, `late later zero more less tenth`. What comes out is a line per row, per warning, and
//! whatever else the answer has; with `hex=1` its bytes, too, and with `count=1` only how many rows.
//!
//! | command | what it does |
//! |---|---|
//! | `fixture` | commits the five rows of the golden cases, and their indexes |
//! | `rows 70` | commits rows with the handles 1 to 70 and nothing in them |
//! | `row 6 3 null 1.5` | commits a row with these values for `a`, `u`, ... |
//! | `row 6 3 null null null "'x'" indexed=1` | and its entries in index 1 on `a` and unique index 3 on `s` |
//! | `lock 2 primary=1 ts=7 ttl=3000` | locks a row for the transaction that writes row `primary` |
//! | `select id a where="GTInt(a, 0)"` | scans the table |
//! | `index 1 a id unique=1` | scans an index |
//! | `... out="0,2" limit=2 top="a desc, id" agg="sum(a)" by="a" stream="count(1)"` | what else a plan has |
//! | `... desc=1 rows="1,4" between=2,4 none=1 all=1 at=10 flags=2` | where to read, and how |
//! | `analyze-index 1 buckets=256 depth=2 width=4`, `analyze id a buckets=256 samples=5` | statistics |
//! | `raw 103 HEX` | sends a request of a type with this payload |
//! | `original on` | from now on, answers are those of the original |

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use goldenscript::{Argument, Command, Context, Runner};
use prost::Message as _;
use proto::coprocessor::{KeyRange, Request};
use proto::kvrpcpb::LockInfo;
use proto::tipb::{
    Aggregation, AnalyzeColumnsReq, AnalyzeColumnsResp, AnalyzeIndexReq, AnalyzeIndexResp,
    AnalyzeReq, ByItem, DagRequest, ExecType, Executor, Histogram, IndexScan, Limit,
    SelectResponse, Selection, TableScan, TopN,
};
use storage::Locked;

use super::language::{Parser, datum};
use super::script::unhex;
use super::world::{self, TABLE, World, all_rows, column, one_row, range, shown};
use crate::datum::Datum;
use crate::error::hex;
use crate::{Answer, table};

/// The flags of a SELECT.
const FLAGS: u64 = 0xe2;

#[test]
fn plans_are_answered_as_told() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testscripts/plans");
    let count = tests::scripts::run_all(&folder, || Script { world: World::new() });
    assert!(count > 5, "the scripts are there");
}

struct Script {
    world: World,
}

/// The arguments of a command, by name and without one.
struct Arguments {
    named: Vec<(String, String)>,
    others: Vec<String>,
}

impl Arguments {
    fn of(command: &Command) -> Self {
        let (mut named, mut others) = (Vec::new(), Vec::new());
        for argument in &command.args {
            match argument {
                Argument::KeyValue(name, value) => named.push((name.clone(), value.clone())),
                Argument::Positional(value) => others.push(value.clone()),
                _ => panic!("there is no other kind of argument"),
            }
        }
        Arguments { named, others }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.named.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.get(name).map(|value| value.parse().unwrap_or_else(|_| panic!("what is {value}?")))
    }

    fn numbers(&self, name: &str) -> Option<Vec<i64>> {
        let parse = |value: &str| value.parse().unwrap_or_else(|_| panic!("what is {value}?"));
        self.get(name)
            .map(|list| list.split(',').filter(|word| !word.is_empty()).map(parse).collect())
    }
}

impl Runner for Script {
    type Command = Command;

    fn run(&mut self, command: &Command, _: &Context) -> Result<String, Box<dyn Error>> {
        let arguments = Arguments::of(command);
        Ok(match command.name.as_str() {
            "fixture" => {
                self.world.put_fixture();
                String::new()
            }
            "rows" => {
                let count: i64 = arguments.others[0].parse()?;
                self.world.put((1..=count).map(|handle| world::record(handle, &[])).collect());
                String::new()
            }
            "row" => {
                let handle = arguments.others[0].parse()?;
                let row: Vec<Datum> =
                    arguments.others[1..].iter().map(|word| datum(word)).collect();
                let mut pairs = vec![world::record(handle, &row)];
                if arguments.get("indexed").is_some() {
                    pairs.push(world::entry(1, &row[0], handle, false));
                    pairs.push(world::entry(3, &row[4], handle, true));
                }
                self.world.put(pairs);
                String::new()
            }
            "lock" => {
                let key = table::record_key(TABLE, arguments.others[0].parse()?);
                let primary = arguments.number("primary").expect("a primary");
                let primary = table::record_key(TABLE, primary);
                let (ts, ttl) = (arguments.number("ts").expect("ts"), arguments.number("ttl"));
                self.world.lock(key, primary, ts, ttl.unwrap_or(3000));
                String::new()
            }
            "original" => {
                self.world.options.go_compat = true;
                String::new()
            }
            "raw" => {
                let (tp, data) = (arguments.others[0].parse()?, unhex(&arguments.others[1]));
                let index = arguments.number("index");
                let ranges = ranges(&arguments, index);
                let request =
                    Request { tp, data: data.into(), ranges, start_ts: 100, ..Request::default() };
                let answer = self.world.ask(&request);
                format!("{}{}\n", told(&answer, 0), hex(&answer.data, ""))
            }
            "select" => self.query(&arguments, &arguments.others, None),
            "index" => {
                let index = arguments.others[0].parse()?;
                self.query(&arguments, &arguments.others[1..], Some(index))
            }
            "analyze" => self.analyze_columns(&arguments),
            "analyze-index" => self.analyze_index(&arguments),
            other => return Err(format!("there is no command {other}").into()),
        })
    }
}

impl Script {
    fn query(&self, arguments: &Arguments, columns: &[String], index: Option<i64>) -> String {
        let plan = plan(arguments, columns, index);
        let at = arguments.number("at").unwrap_or(100);
        let answer = self.world.select(&plan, ranges(arguments, index), at);
        let groups = ["agg", "stream"].iter().find_map(|name| arguments.get(name));
        let width = match groups {
            Some(functions) => width_of(functions, arguments.get("by"), columns),
            None => plan.output_offsets.len(),
        };
        let mut out = if arguments.get("count").is_some() {
            format!("{} rows\n", world::rows_of(&answer, width).len())
        } else {
            told(&answer, width)
        };
        if let (Some(_), Some(Locked { key, lock })) = (arguments.get("hex"), &answer.locked) {
            let info = LockInfo {
                primary_lock: lock.primary.clone(),
                lock_version: lock.ts,
                key: key.clone(),
                lock_ttl: lock.ttl,
            };
            writeln!(out, "lock {}", hex(&info.encode_to_vec(), "")).unwrap();
        }
        if arguments.get("hex").is_some() {
            writeln!(out, "{}", hex(&answer.data, "")).unwrap();
        }
        if arguments.get("request").is_some() {
            writeln!(out, "request {}", hex(&plan.encode_to_vec(), "")).unwrap();
        }
        out
    }

    fn analyze_columns(&self, arguments: &Arguments) -> String {
        let request = AnalyzeColumnsReq {
            bucket_size: arguments.number("buckets").unwrap_or(256),
            sample_size: arguments.number("samples").unwrap_or(1000),
            sketch_size: arguments.number("hashes").unwrap_or(10_000),
            columns_info: arguments.others.iter().map(|name| column(name)).collect(),
            cmsketch_depth: arguments.number("depth"),
            cmsketch_width: arguments.number("width"),
        };
        let request =
            AnalyzeReq { tp: 1, flags: 129, col_req: Some(request), ..Default::default() };
        let answer = self.world.analyze(&request, ranges(arguments, None));
        let mut out = told(&answer, 0);
        if answer == (Answer { data: answer.data.clone(), ..Answer::default() }) {
            let response = AnalyzeColumnsResp::decode(answer.data.clone()).unwrap();
            if let Some(histogram) = &response.pk_hist {
                tell_histogram(histogram, &mut out);
            }
            for collector in &response.collectors {
                let samples: Vec<String> =
                    collector.samples.iter().map(|sample| hex(sample, "")).collect();
                let (nulls, count) = (collector.null_count, collector.count);
                let size = collector.total_size();
                writeln!(out, "count {count}, NULLs {nulls}, bytes {size}").unwrap();
                writeln!(out, "samples {}", samples.join(" ")).unwrap();
                let sketch = collector.fm_sketch.clone().unwrap();
                let hashes: Vec<String> =
                    sketch.hashset.iter().map(|hash| format!("{hash:016x}")).collect();
                writeln!(out, "mask {}, hashes {}", sketch.mask, hashes.join(" ")).unwrap();
                for row in collector.cm_sketch.iter().flat_map(|sketch| &sketch.rows) {
                    writeln!(out, "counters {:?}", row.counters).unwrap();
                }
            }
            writeln!(out, "{}", hex(&answer.data, "")).unwrap();
        }
        out
    }

    fn analyze_index(&self, arguments: &Arguments) -> String {
        let index = arguments.others[0].parse().expect("an index");
        let request = AnalyzeIndexReq {
            bucket_size: arguments.number("buckets").unwrap_or(256),
            num_columns: arguments.number("columns").unwrap_or(1),
            cmsketch_depth: arguments.number("depth"),
            cmsketch_width: arguments.number("width"),
        };
        let request = AnalyzeReq { flags: 129, idx_req: Some(request), ..Default::default() };
        let answer = self.world.analyze(&request, ranges(arguments, Some(index)));
        let mut out = told(&answer, 0);
        if !answer.data.is_empty() {
            let response = AnalyzeIndexResp::decode(answer.data.clone()).unwrap();
            tell_histogram(&response.hist.unwrap(), &mut out);
            for row in response.cms.iter().flat_map(|sketch| &sketch.rows) {
                writeln!(out, "counters {:?}", row.counters).unwrap();
            }
            writeln!(out, "{}", hex(&answer.data, "")).unwrap();
        }
        out
    }
}

fn tell_histogram(histogram: &Histogram, out: &mut String) {
    writeln!(out, "{} different values", histogram.ndv).unwrap();
    for bucket in &histogram.buckets {
        let (lower, upper) = (hex(bucket.lower_bound(), ""), hex(bucket.upper_bound(), ""));
        let (count, repeats) = (bucket.count, bucket.repeats);
        writeln!(out, "up to {count}, the last {repeats} times: {lower} to {upper}").unwrap();
    }
}

/// How many values a row of an aggregation has.
fn width_of(functions: &str, by: Option<&str>, columns: &[String]) -> usize {
    let averages = functions.matches("avg(").count();
    let by = by.map_or(0, |by| Parser::list(by, columns).len());
    Parser::list(functions, columns).len() + averages + by
}

fn plan(arguments: &Arguments, columns: &[String], index: Option<i64>) -> DagRequest {
    let is_set = |name: &str| arguments.get(name).is_some();
    let infos: Vec<_> = columns.iter().map(|name| column(name)).collect();
    let desc = is_set("desc");
    let mut executors = vec![match index {
        None => Executor {
            tp: ExecType::TypeTableScan.into(),
            tbl_scan: Some(TableScan { table_id: TABLE, columns: infos, desc }),
            ..Executor::default()
        },
        Some(index_id) => {
            let unique = Some(is_set("unique"));
            let scan = IndexScan { table_id: TABLE, index_id, columns: infos, desc, unique };
            Executor {
                tp: ExecType::TypeIndexScan.into(),
                idx_scan: Some(scan),
                ..Executor::default()
            }
        }
    }];
    if let Some(conditions) = arguments.get("where") {
        let conditions = Parser::list(conditions, columns);
        executors.push(Executor {
            tp: ExecType::TypeSelection.into(),
            selection: Some(Selection { conditions, ..Selection::default() }),
            ..Executor::default()
        });
    }
    if let Some(order) = arguments.get("top") {
        let order_by = order.split(';').map(|item| order_item(item, columns)).collect();
        let limit = arguments.number("limit").unwrap_or(u64::MAX);
        executors.push(Executor {
            tp: ExecType::TypeTopN.into(),
            top_n: Some(TopN { order_by, limit }),
            ..Executor::default()
        });
    } else if let Some(limit) = arguments.number("limit") {
        executors.push(Executor {
            tp: ExecType::TypeLimit.into(),
            limit: Some(Limit { limit }),
            ..Executor::default()
        });
    }
    for (name, tp) in [("agg", ExecType::TypeAggregation), ("stream", ExecType::TypeStreamAgg)] {
        if let Some(functions) = arguments.get(name) {
            let aggregation = Aggregation {
                agg_func: Parser::list(functions, columns),
                group_by: arguments.get("by").map_or(vec![], |by| Parser::list(by, columns)),
                ..Aggregation::default()
            };
            executors.push(Executor {
                tp: tp.into(),
                aggregation: Some(aggregation),
                ..Executor::default()
            });
        }
    }
    let all = || (0..i64::try_from(columns.len()).unwrap()).collect();
    let output = arguments.numbers("out").unwrap_or_else(all);
    DagRequest {
        executors,
        flags: arguments.number("flags").unwrap_or(FLAGS),
        output_offsets: output.into_iter().map(|offset| u32::try_from(offset).unwrap()).collect(),
        ..DagRequest::default()
    }
}

fn order_item(item: &str, columns: &[String]) -> ByItem {
    let (expr, desc) = match item.trim().strip_suffix(" desc") {
        Some(expr) => (expr, true),
        None => (item.trim(), false),
    };
    ByItem { expr: Some(Parser::one(expr, columns)), desc, ..ByItem::default() }
}

fn ranges(arguments: &Arguments, index: Option<i64>) -> Vec<KeyRange> {
    if let Some(handles) = arguments.numbers("rows") {
        return handles.into_iter().map(one_row).collect();
    }
    if let Some(bounds) = arguments.numbers("between") {
        let bound = |at: usize| table::record_key(TABLE, bounds[at]);
        return bounds
            .chunks(2)
            .enumerate()
            .map(|(pair, _)| range(bound(2 * pair), bound(2 * pair + 1)))
            .collect();
    }
    if arguments.get("nothing").is_some() {
        return Vec::new();
    }
    let id = if arguments.get("none").is_some() { TABLE + 1 } else { TABLE };
    let Some(index) = index else { return vec![all_rows(id)] };
    if let Some(value) = arguments.get("entry") {
        let start = table::index_key(TABLE, index, &[datum(value).lend()], None);
        let mut end = start.clone();
        *end.last_mut().unwrap() += 1;
        return vec![range(start, end)];
    }
    vec![range(table::index_prefix(id, index), table::index_prefix(id, index + 1))]
}

/// An answer in words.
fn told(answer: &Answer, width: usize) -> String {
    let mut out = String::new();
    if let Some(locked) = &answer.locked {
        let (key, primary) = (hex(&locked.key, ""), hex(&locked.lock.primary, ""));
        let (ts, ttl) = (locked.lock.ts, locked.lock.ttl);
        writeln!(out, "locked {key} by {primary} from {ts} for {ttl}").unwrap();
    }
    if !answer.other_error.is_empty() {
        writeln!(out, "refused: {}", answer.other_error).unwrap();
    }
    if width == 0 {
        return out;
    }
    for row in world::rows_of(answer, width) {
        let row: Vec<String> = row.iter().map(|value| shown(&value.lend())).collect();
        writeln!(out, "{}", row.join(" ")).unwrap();
    }
    let response = SelectResponse::decode(answer.data.clone()).unwrap();
    if let Some(error) = response.error {
        writeln!(out, "error {}: {}", error.code, error.msg).unwrap();
    }
    for warning in response.warnings {
        writeln!(out, "warning {}: {}", warning.code, warning.msg).unwrap();
    }
    out
}
