//! How much a request may ask for: time, memory, parts, ranges, and what lies in the region.

use std::sync::Arc;

use bytes::Bytes;
use engine::{Cf, Cursor};
use prost::Message as _;
use proto::coprocessor::Request;
use proto::kvrpcpb::Context;
use proto::tipb::{Aggregation, ByItem, ExecType, Executor, Limit, TopN};
use storage::mvcc::encode_user_key;
use storage::{Reader, RegionError, Stamp};

use super::bad_input::{dag, fixture, refusal, step, table_scan};
use super::language::Parser;
use super::world::{TABLE, World, all_rows, one_row, range, wait};
use crate::datum::Datum;
use crate::{DAG, Interrupt, Options, answer, row, table};

#[test]
fn who_gives_up_is_not_answered() {
    let world = fixture();
    for (interrupt, text) in [
        (Interrupt::Deadline, "coprocessor: the request took longer than it may"),
        (Interrupt::Cancelled, "coprocessor: the request was cancelled"),
    ] {
        let data = dag(vec![table_scan(&["id"])]).encode_to_vec().into();
        let ranges = vec![all_rows(TABLE)];
        let request = Request { tp: DAG, data, ranges, start_ts: 100, ..Request::default() };
        assert_eq!(world.ask_patiently(&request, Some(interrupt)).other_error, text);
    }
}

#[test]
fn an_answer_that_is_too_large_is_refused() {
    let mut world = fixture();
    world.put((1..=1000).map(|handle| super::world::record(handle, &[])).collect());
    world.options.memory_bytes = 1000;
    let all = || vec![all_rows(TABLE)];
    let text = "coprocessor: the request would take more than 1000 bytes of memory";
    let parse = |text: &str| Parser::one(text, &["id".to_owned()]);
    let top = TopN {
        order_by: vec![ByItem { expr: Some(parse("id")), ..ByItem::default() }],
        limit: u64::MAX,
    };
    let groups = Aggregation {
        group_by: vec![parse("id")],
        agg_func: vec![parse("count(1)")],
        ..Aggregation::default()
    };
    for last in [
        None,
        Some(Executor { top_n: Some(top), ..step(ExecType::TypeTopN) }),
        Some(Executor { aggregation: Some(groups), ..step(ExecType::TypeAggregation) }),
    ] {
        let plan = dag([table_scan(&["id"])].into_iter().chain(last).collect());
        assert_eq!(refusal(&world.select(&plan, all(), 100)), text);
    }
    let limit = Executor { limit: Some(Limit { limit: 3 }), ..step(ExecType::TypeLimit) };
    let answer = world.select(&dag(vec![table_scan(&["id"]), limit]), all(), 100);
    assert_eq!(answer.other_error, "", "a part of it is small enough");
}

#[test]
fn a_plan_of_a_hundred_thousand_parts_is_refused() {
    let world = fixture();
    let many = |text: &str| vec![Parser::one(text, &["id".to_owned()]); 100_000];
    let order_by = many("id")
        .into_iter()
        .map(|expr| ByItem { expr: Some(expr), ..ByItem::default() })
        .collect();
    let groups = Aggregation { group_by: many("id"), ..Aggregation::default() };
    let functions = Aggregation { agg_func: many("count(1)"), ..Aggregation::default() };
    let step_of = |aggregation| Executor {
        aggregation: Some(aggregation),
        ..step(ExecType::TypeAggregation)
    };
    let id = || table_scan(&["id"]);
    let top = TopN { order_by, limit: 1 };
    let mut wide = dag(vec![id()]);
    wide.output_offsets = vec![0; 100_000];
    for plan in [
        dag(vec![table_scan(&["a"; 100_000])]),
        dag(vec![id(), Executor { top_n: Some(top), ..step(ExecType::TypeTopN) }]),
        dag(vec![id(), step_of(groups)]),
        dag(vec![id(), step_of(functions)]),
        wide,
    ] {
        let answer = world.select(&plan, vec![all_rows(TABLE)], 100);
        assert!(refusal(&answer).contains("100000"), "{}", answer.other_error);
    }
    // A long string, again and again.
    let mut world = World::new();
    let text = vec![b'x'; 5 << 20];
    let row = row::encode(&[(6, Datum::Bytes(text))]);
    world.put(vec![(table::record_key(TABLE, 1), row)]);
    let answer = world.select(&dag(vec![table_scan(&["s"])]), vec![all_rows(TABLE)], 100);
    assert_eq!(answer.other_error, "");
    let mut four = dag(vec![table_scan(&["s"; 4])]);
    four.output_offsets = vec![0, 1, 2, 3];
    let answer = world.select(&four, vec![all_rows(TABLE)], 100);
    assert!(refusal(&answer).contains("of memory"), "{}", answer.other_error);
    world.options.memory_bytes = 8 << 20;
    let mut twice = dag(vec![table_scan(&["s"])]);
    twice.output_offsets = vec![0; 4000];
    let answer = world.select(&twice, vec![all_rows(TABLE)], 100);
    assert!(refusal(&answer).contains("of memory"), "{}", answer.other_error);
}

/// A part of a storage.
struct Part {
    whole: Arc<dyn Reader>,
    start: Vec<u8>,
    end: Vec<u8>,
}

impl Reader for Part {
    fn stamp(&self) -> Stamp {
        self.whole.stamp()
    }

    fn check(&self, key: &[u8]) -> storage::Result<()> {
        if self.start.as_slice() <= key && key < self.end.as_slice() {
            return Ok(());
        }
        let key = Bytes::copy_from_slice(key);
        let (start, end) = (self.start.clone().into(), self.end.clone().into());
        Err(RegionError::KeyNotInRegion { key, region: 1, start, end }.into())
    }

    fn get(&self, cf: Cf, key: &[u8]) -> storage::Result<Option<Bytes>> {
        self.whole.get(cf, key)
    }

    fn cursor<'a>(
        &'a self,
        cf: Cf,
        range: engine::KeyRange<'_>,
    ) -> storage::Result<Box<dyn Cursor + 'a>> {
        self.whole.cursor(cf, range)
    }
}

#[test]
fn ranges_outside_of_the_region_are_the_regions_to_refuse() {
    let world = fixture();
    let whole = wait(world.kv.reader(&Context::default(), 100)).unwrap();
    let bound = |handle: i64| encode_user_key(&table::record_key(TABLE, handle));
    let part = Part { whole, start: bound(2), end: bound(5) };
    let ask = |start: i64, end: i64| {
        let range = range(table::record_key(TABLE, start), table::record_key(TABLE, end));
        let data = dag(vec![table_scan(&["id"])]).encode_to_vec().into();
        let ranges = vec![range];
        let request = Request { tp: DAG, data, ranges, start_ts: 100, ..Request::default() };
        answer(&part, &request, &Options::default(), &|| None)
    };
    for (start, end) in [(2, 5), (2, 3), (4, 5), (3, 4)] {
        assert_eq!(ask(start, end).unwrap().other_error, "", "{start} to {end}");
    }
    for (start, end) in [(1, 3), (4, 6), (1, 6), (5, 7), (-9, 2)] {
        let refused = ask(start, end).unwrap_err();
        assert!(matches!(refused, storage::Error::Region(_)), "{start} to {end}: {refused}");
    }
}

#[test]
fn a_million_ranges_are_served() {
    let world = fixture();
    let ranges = (0..1_000_000).map(|handle| one_row(handle % 7)).collect();
    let counted =
        Aggregation { agg_func: vec![Parser::one("count(1)", &[])], ..Aggregation::default() };
    let aggregation = Executor { aggregation: Some(counted), ..step(ExecType::TypeAggregation) };
    let plan = dag(vec![table_scan(&["id"]), aggregation]);
    let answer = world.select(&plan, ranges, 100);
    // Rows 1 to 5 are there, rows 0 and 6 are not.
    let expected = 1_000_000 / 7 * 5 + 1_000_000 % 7 - 1;
    assert_eq!(super::world::rows_of(&answer, 1), [[Datum::Int(expected)]]);
}
