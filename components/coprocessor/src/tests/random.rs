//! Random plans over random rows, answered by the executor and by its naive twin.

use prost::Message as _;
use proto::tipb::{
    Aggregation, ByItem, ColumnInfo, DagRequest, ExecType, Executor, Expr, ExprType, Limit,
    ScalarFuncSig as Sig, SelectResponse, Selection, TableScan, TopN,
};
use runtime::Rng;

use super::language::{column, constant, function};
use super::model::cut;
use super::naive::{Naive, Outcome};
use super::world::{self, TABLE, World, range, rows_of};
use crate::datum::Datum;
use crate::table;

/// The columns of the table, in the order in which rows are made.
const NAMES: [&str; 7] = ["id", "a", "u", "f", "g", "s", "c"];
const TEXTS: [&str; 10] = ["", "a", "b", "10", "-3", "1.5", "2x", " 7 ", "1e2", "zz"];
const PLANS: u64 = 4000;

#[test]
fn any_plan_comes_to_what_it_comes_to_row_by_row() {
    let mut outcomes = [0_usize; 3];
    for seed in 0..PLANS {
        let mut random = Random { rng: Rng::new(seed) };
        let rows = random.rows();
        let plan = random.plan();
        let ranges = random.ranges();
        let is_read = |row: &Vec<Datum>| {
            let Datum::Int(handle) = row[0] else { panic!("a handle is an integer") };
            ranges.iter().any(|(start, end)| (*start..*end).contains(&handle))
        };
        let read: Vec<_> = rows.iter().filter(|row| is_read(row)).cloned().collect();
        let expected = Naive { plan: &plan, columns: columns() }.answer(&read);
        let actual = answer(&plan, &rows, &ranges);
        assert_eq!(actual, expected, "seed {seed}: {plan:?}");
        let kind = if expected.failure.is_some() {
            0
        } else if expected.warnings.is_empty() {
            1
        } else {
            2
        };
        outcomes[kind] += 1;
    }
    assert!(outcomes.iter().all(|count| *count > 200), "all kinds of outcomes occur: {outcomes:?}");
}

fn columns() -> Vec<ColumnInfo> {
    NAMES.iter().map(|name| world::column(name)).collect()
}

/// What the executor answers.
fn answer(plan: &DagRequest, rows: &[Vec<Datum>], ranges: &[(i64, i64)]) -> Outcome {
    let mut world = World::new();
    world.put(rows.iter().map(|row| stored(row)).collect());
    let key = |handle: &i64| table::record_key(TABLE, *handle);
    let ranges = ranges.iter().map(|(start, end)| range(key(start), key(end))).collect();
    let answer = world.select(plan, ranges, 100);
    let response = SelectResponse::decode(answer.data.clone()).unwrap();
    Outcome {
        rows: rows_of(&answer, width(plan)),
        warnings: response.warnings.into_iter().map(|warning| warning.msg).collect(),
        failure: response.error.map(|error| cut(&error.msg)),
    }
}

fn stored(row: &[Datum]) -> (Vec<u8>, Vec<u8>) {
    let Datum::Int(handle) = row[0] else { panic!("a handle is an integer") };
    // Two columns that came late stand before the last one.
    let (last, others) = row[1..].split_last().expect("a row has columns");
    let null = [Datum::Null, Datum::Null];
    world::record(handle, &[others, &null, std::slice::from_ref(last)].concat())
}

fn width(plan: &DagRequest) -> usize {
    match plan.executors.last().and_then(|last| last.aggregation.as_ref()) {
        Some(aggregation) => {
            let is_avg = |expr: &&Expr| expr.tp == i32::from(ExprType::Avg);
            let averages = aggregation.agg_func.iter().filter(is_avg).count();
            aggregation.agg_func.len() + averages + aggregation.group_by.len()
        }
        None => plan.output_offsets.len(),
    }
}

/// Makes plans and rows.
struct Random {
    rng: Rng,
}

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.rng.below(bound as u64)).unwrap()
    }

    fn rows(&mut self) -> Vec<Vec<Datum>> {
        let count = [0, 1, 5, 40, 130][self.below(5)];
        (0..count).map(|handle| self.row(handle)).collect()
    }

    /// Ranges of handles that ascend, some of them points.
    fn ranges(&mut self) -> Vec<(i64, i64)> {
        if self.rng.chance(1, 2) {
            return vec![(i64::MIN, i64::MAX)];
        }
        let mut ranges = Vec::new();
        let mut start = i64::try_from(self.below(5)).unwrap() - 1;
        for _ in 0..=self.below(4) {
            let len = [1, 1, 2, 10, 50][self.below(5)];
            ranges.push((start, start + len));
            start += len + i64::try_from(self.below(3)).unwrap();
        }
        ranges
    }

    fn row(&mut self, handle: i64) -> Vec<Datum> {
        let mut row = vec![Datum::Int(handle)];
        for name in &NAMES[1..] {
            let value = match *name {
                "a" => Datum::Int(i64::from(i32::try_from(self.below(21)).unwrap()) - 10),
                "u" => Datum::Uint(self.unsigned()),
                "f" => Datum::Real(self.real()),
                // What a float holds exactly.
                "g" => Datum::Real(self.real().min(1e10)),
                _ => Datum::Bytes(TEXTS[self.below(TEXTS.len())].as_bytes().to_vec()),
            };
            row.push(if self.rng.chance(1, 6) { Datum::Null } else { value });
        }
        row
    }

    fn unsigned(&mut self) -> u64 {
        [0, 1, 7, 100, 1 << 63, u64::MAX][self.below(6)]
    }

    fn real(&mut self) -> f64 {
        [0.0, 0.5, -0.5, 1.5, -2.25, 10.0, 1e300, 0.25][self.below(8)]
    }

    fn constant(&mut self) -> Expr {
        let value = match self.below(9) {
            0 => Datum::Null,
            1 | 2 => Datum::Int(i64::try_from(self.below(21)).unwrap() - 10),
            3 => Datum::Int([i64::MIN, i64::MAX, -1][self.below(3)]),
            4 => Datum::Uint(self.unsigned()),
            5 | 6 => Datum::Real(self.real()),
            _ => Datum::Bytes(TEXTS[self.below(TEXTS.len())].as_bytes().to_vec()),
        };
        constant(&value, false)
    }

    /// An expression, most of the time of the class that is asked for.
    fn expr(&mut self, class: usize, depth: usize) -> Expr {
        if depth == 0 || self.rng.chance(1, 3) {
            let fitting: &[usize] = match class {
                0 => &[0, 1, 2],
                1 => &[3, 4],
                _ => &[5, 6],
            };
            return match self.below(10) {
                0 => column(self.below(NAMES.len())),
                1..=3 => self.constant(),
                _ => column(fitting[self.below(fitting.len())]),
            };
        }
        let class = if self.rng.chance(1, 10) { self.below(3) } else { class };
        let (sig, kids): (Sig, &[usize]) = match class {
            0 => INTS[self.below(INTS.len())],
            1 => REALS[self.below(REALS.len())],
            _ => STRINGS[self.below(STRINGS.len())],
        };
        let kids = kids.iter().map(|class| self.expr(*class, depth - 1)).collect();
        let is_unsigned = class == 0 && self.rng.chance(1, 5);
        function(sig, kids, is_unsigned)
    }

    fn any(&mut self) -> Expr {
        let class = self.below(3);
        let depth = self.below(3);
        self.expr(class, depth)
    }

    fn plan(&mut self) -> DagRequest {
        let scan = TableScan { table_id: TABLE, columns: columns(), desc: self.rng.chance(1, 3) };
        let mut executors = vec![Executor {
            tp: ExecType::TypeTableScan.into(),
            tbl_scan: Some(scan),
            ..Executor::default()
        }];
        if self.rng.chance(2, 3) {
            let conditions = (0..=self.below(2)).map(|_| self.expr(0, 3)).collect();
            executors.push(Executor {
                tp: ExecType::TypeSelection.into(),
                selection: Some(Selection { conditions, ..Selection::default() }),
                ..Executor::default()
            });
        }
        let limit = [0, 1, 3, 20, 1000][self.below(5)];
        match self.below(4) {
            0 => executors.push(Executor {
                tp: ExecType::TypeLimit.into(),
                limit: Some(Limit { limit }),
                ..Executor::default()
            }),
            1 => {
                let item = |random: &mut Self| ByItem {
                    expr: Some(random.any()),
                    desc: random.rng.chance(1, 2),
                    ..ByItem::default()
                };
                let order_by = (0..=self.below(2)).map(|_| item(self)).collect();
                executors.push(Executor {
                    tp: ExecType::TypeTopN.into(),
                    top_n: Some(TopN { order_by, limit }),
                    ..Executor::default()
                });
            }
            2 => {
                let aggregation = self.aggregation();
                executors.push(Executor {
                    tp: ExecType::TypeAggregation.into(),
                    aggregation: Some(aggregation),
                    ..Executor::default()
                });
            }
            _ => {}
        }
        let flags = [0, 1, 2, 2, 2 | 4][self.below(5)];
        DagRequest { executors, flags, output_offsets: vec![0, 5, 2, 3, 1], ..Default::default() }
    }

    fn aggregation(&mut self) -> Aggregation {
        let kinds = [
            ExprType::Count,
            ExprType::Sum,
            ExprType::Avg,
            ExprType::Min,
            ExprType::Max,
            ExprType::First,
        ];
        let function = |random: &mut Self| {
            let tp = kinds[random.below(kinds.len())].into();
            Expr { tp, children: vec![random.any()], ..Expr::default() }
        };
        let group_by = (0..self.below(3)).map(|_| self.any()).collect();
        let agg_func = (0..=self.below(3)).map(|_| function(self)).collect();
        Aggregation { group_by, agg_func, ..Aggregation::default() }
    }
}

/// Functions with the classes of their arguments: 0 integers, 1 floats, 2 strings.
const INTS: &[(Sig, &[usize])] = &[
    (Sig::LtInt, &[0, 0]),
    (Sig::LeInt, &[0, 0]),
    (Sig::GtInt, &[0, 0]),
    (Sig::GtInt, &[0, 0]),
    (Sig::GeReal, &[1, 1]),
    (Sig::LtReal, &[1, 1]),
    (Sig::GeInt, &[0, 0]),
    (Sig::EqInt, &[0, 0]),
    (Sig::NeInt, &[0, 0]),
    (Sig::NeString, &[2, 2]),
    (Sig::GtString, &[2, 2]),
    (Sig::PlusInt, &[0, 0]),
    (Sig::MinusInt, &[0, 0]),
    (Sig::MultiplyInt, &[0, 0]),
    (Sig::MultiplyIntUnsigned, &[0, 0]),
    (Sig::UnaryMinusInt, &[0]),
    (Sig::LogicalAnd, &[0, 0]),
    (Sig::LogicalOr, &[0, 0]),
    (Sig::LogicalOr, &[0, 0]),
    (Sig::UnaryNotInt, &[0]),
    (Sig::UnaryNotReal, &[1]),
    (Sig::IntIsNull, &[0]),
    (Sig::RealIsNull, &[1]),
    (Sig::StringIsNull, &[2]),
    (Sig::InInt, &[0, 0, 0, 0]),
    (Sig::InReal, &[1, 1, 1]),
    (Sig::InString, &[2, 2, 2]),
    (Sig::IfInt, &[0, 0, 0]),
    (Sig::IfNullInt, &[0, 0]),
    (Sig::Length, &[2]),
    (Sig::Strcmp, &[2, 2]),
];
const REALS: &[(Sig, &[usize])] = &[
    (Sig::PlusReal, &[1, 1]),
    (Sig::MinusReal, &[1, 1]),
    (Sig::MultiplyReal, &[1, 1]),
    (Sig::DivideReal, &[1, 1]),
    (Sig::UnaryMinusReal, &[1]),
    (Sig::IfReal, &[0, 1, 1]),
    (Sig::IfNullReal, &[1, 1]),
];
const STRINGS: &[(Sig, &[usize])] = &[(Sig::IfString, &[0, 2, 2]), (Sig::IfNullString, &[2, 2])];
