//! Any bytes for a plan or a row: they are answered, somehow.

use prost::Message as _;
use proto::coprocessor::Request;
use proto::tipb::{
    Aggregation, AnalyzeColumnsReq, AnalyzeReq, ByItem, DagRequest, ExecType, Executor, IndexScan,
    TopN,
};
use runtime::Rng;
use tests::fuzz::{cases, damage};

use super::bad_input::{dag, fixture, selection, step, table_scan};
use super::language::Parser;
use super::world::{TABLE, World, all_rows, column, range};
use crate::datum::Datum;
use crate::{ANALYZE, DAG, row, table};

/// How many damaged plans and rows are tried, if nobody says otherwise.
const CASES: u64 = 20_000;

#[test]
fn any_bytes_for_a_plan_are_answered() {
    let world = fixture();
    let mut rng = Rng::new(1);
    let names = ["id", "a", "u", "f", "g", "s", "late"].map(str::to_owned);
    let conditions = [
        "LogicalAnd(GTInt(a, 0), LTReal(PlusReal(f, 1.5), MultiplyReal(g, 2.0)))",
        "InString(IfNullString(s, 'x'), 'aa', s, SetVar('v', s))",
        "IfInt(IntIsNull(u), Length(s), MinusInt(u, list(1, 2u)))",
    ];
    let mut seeds = Vec::new();
    for condition in conditions {
        let scan = table_scan(&["id", "a", "u", "f", "g", "s", "late"]);
        let condition = selection(Parser::one(condition, &names));
        let order_by = vec![ByItem { expr: Some(Parser::one("s", &names)), ..ByItem::default() }];
        let functions = "count(1), sum(a), avg(f), min(s), max(u), first(g)";
        let groups = Aggregation {
            group_by: Parser::list("a, s", &names),
            agg_func: Parser::list(functions, &names),
            ..Aggregation::default()
        };
        for last in [
            Executor { top_n: Some(TopN { order_by, limit: 3 }), ..step(ExecType::TypeTopN) },
            Executor { aggregation: Some(groups), ..step(ExecType::TypeAggregation) },
        ] {
            let plan = dag(vec![scan.clone(), condition.clone(), last]);
            seeds.push((DAG, plan.encode_to_vec()));
        }
    }
    let columns = AnalyzeColumnsReq {
        bucket_size: 4,
        sample_size: 3,
        sketch_size: 2,
        columns_info: names.iter().map(|name| column(name)).collect(),
        cmsketch_depth: Some(2),
        cmsketch_width: Some(4),
    };
    let columns = AnalyzeReq { tp: 1, col_req: Some(columns), ..AnalyzeReq::default() };
    seeds.push((ANALYZE, columns.encode_to_vec()));
    let mut served = 0;
    for _ in 0..cases(CASES) {
        let (tp, bytes) = rng.pick(&seeds).unwrap();
        let (tp, mut bytes) = (*tp, bytes.clone());
        damage(&mut bytes, &mut rng);
        let ranges = vec![all_rows(TABLE)];
        let request =
            Request { tp, data: bytes.into(), ranges, start_ts: 100, ..Request::default() };
        served += u64::from(world.ask(&request).other_error.is_empty());
    }
    assert!(served > cases(CASES) / 100 && served < cases(CASES), "{served} were served");
}

#[test]
fn any_bytes_for_rows_are_answered() {
    let mut rng = Rng::new(2);
    let good = row::encode(&[
        (2, Datum::Int(7)),
        (3, Datum::Uint(1 << 40)),
        (4, Datum::Real(1.5)),
        (5, Datum::Null),
        (6, Datum::Bytes(b"text".to_vec())),
        (300, Datum::Int(1)),
    ]);
    let entry = table::index_key(TABLE, 1, &[Datum::Bytes(b"ab".to_vec()).lend()], Some(3));
    let mut outcomes = [0_u64; 2];
    for number in 0..cases(CASES) / 10 {
        let mut world = World::new();
        let (mut value, mut key) = (good.clone(), entry[table::RECORD_KEY_LEN..].to_vec());
        damage(&mut value, &mut rng);
        damage(&mut key, &mut rng);
        let key = [&entry[..table::RECORD_KEY_LEN], &key].concat();
        world.put(vec![(table::record_key(TABLE, 1), value), (key, b"12345678".to_vec())]);
        let plan = if number % 2 == 0 {
            dag(vec![table_scan(&["id", "a", "u", "f", "g", "s", "late"])])
        } else {
            let columns = vec![column("s"), column("id")];
            let scan = IndexScan { table_id: TABLE, index_id: 1, columns, ..IndexScan::default() };
            dag(vec![Executor { idx_scan: Some(scan), ..step(ExecType::TypeIndexScan) }])
        };
        let plan = DagRequest { output_offsets: vec![0, 1], ..plan };
        let ranges = if number % 2 == 0 {
            vec![all_rows(TABLE)]
        } else {
            vec![range(table::index_prefix(TABLE, 1), table::index_prefix(TABLE, 2))]
        };
        let answer = world.select(&plan, ranges, 100);
        outcomes[usize::from(answer.other_error.is_empty())] += 1;
    }
    assert!(outcomes.iter().all(|count| *count > cases(CASES) / 100), "{outcomes:?}");
}
