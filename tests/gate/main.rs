//! What the hot paths ask of the allocator and of the network, held against what they asked for when
//! somebody last looked: a cost that creeps in shows here, on any machine, however busy it is.
//!
//! The paths are driven in one thread, without faults, in the same way each time. A figure that has
//! moved by more than a tenth fails the test, in either direction: one that became better is to be kept.
//! `GATE=accept` in the environment writes down what is.

mod allocations;
#[path = "../raft-bench/src/load.rs"]
mod load;
#[path = "../raft-bench/src/ours.rs"]
mod ours;
#[path = "../../components/coprocessor/benches/coprocessor/plans.rs"]
mod plans;
mod store;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use coprocessor::Options;
use proto::kvrpcpb::Context;
use runtime::Rng;
use storage::{Changes, Standalone, Storage};

use load::{ENTRY_BYTES, Group, Wire};

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

/// What was measured: a name, and how often for each operation.
type Figures = BTreeMap<String, f64>;

/// By how much a figure may differ from what is written down.
const TOLERANCE: f64 = 0.1;

#[test]
fn hot_paths_cost_what_they_did() {
    let mut now = Figures::new();
    raft(&mut now);
    store::puts(&mut now);
    plans(&mut now);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("gate/figures.txt");
    if std::env::var("GATE").is_ok_and(|wish| wish == "accept") {
        std::fs::write(&path, render(&now)).expect("the figures can be written");
    }
    let before = parse(&std::fs::read_to_string(&path).expect("there are figures"));
    let moved = moved(&before, &now);
    assert!(
        moved.is_empty(),
        "these have moved; if that is meant, run this test again with GATE=accept:\n{}",
        moved.join("\n")
    );
}

/// From a proposal to its being applied on all three nodes, with messages as bytes and moved.
fn raft(figures: &mut Figures) {
    const ENTRIES: usize = 1 << 12;
    for (wire, how) in [(Wire::Moved, "moved"), (Wire::Encoded, "as bytes")] {
        for batch in [1, 32] {
            let mut group = ours::Trio::new(wire);
            group.run(ENTRIES, batch);
            let (traffic, count) = (group.traffic(), allocations::count());
            let bytes = group.run(ENTRIES, batch);
            let count = allocations::count() - count;
            assert_eq!(bytes, (3 * ENTRIES * ENTRY_BYTES) as u64, "all three applied all of it");
            let name = format!("raft, batches of {batch}, messages {how}");
            let messages = group.traffic().messages - traffic.messages;
            let readys = group.traffic().readys - traffic.readys;
            for (what, count) in
                [("allocations", count), ("messages", messages), ("readys", readys)]
            {
                figures.insert(format!("{name}: {what}"), each(count, ENTRIES));
            }
        }
    }
}

/// Plans over a table in memory, by a thousand rows.
fn plans(figures: &mut Figures) {
    const THOUSANDS: usize = 10;
    const ROWS: i64 = 10_000;
    let storage = Standalone::in_memory();
    let context = Context::default();
    let batch = plans::rows(0..ROWS, &mut Rng::new(1));
    store::now(storage.write(&context, Changes::blind(batch))).expect("memory does not fail");
    let reader = store::now(storage.snapshot(&context)).expect("memory does not fail");
    for (name, plan) in plans::PLANS {
        let request = plans::request(plan(), ROWS);
        let ask = || coprocessor::answer(&*reader, &request, &Options::default(), &|| None);
        let warm = ask().expect("memory does not fail");
        assert_eq!(warm.other_error, "");
        let count = allocations::count();
        assert_eq!(ask().expect("memory does not fail").data, warm.data);
        let count = allocations::count() - count;
        figures.insert(format!("plan, {name}: allocations"), each(count, THOUSANDS));
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn each(count: u64, operations: usize) -> f64 {
    count as f64 / operations as f64
}

fn render(figures: &Figures) -> String {
    let mut text = String::new();
    for (name, figure) in figures {
        let _ = writeln!(text, "{name} = {figure:.4}");
    }
    text
}

fn parse(text: &str) -> Figures {
    let line = |line: &str| {
        let (name, figure) = line.rsplit_once(" = ").expect("a name and a figure");
        (name.to_owned(), figure.parse().expect("a figure"))
    };
    text.lines().map(line).collect()
}

/// What is not as it was.
fn moved(before: &Figures, now: &Figures) -> Vec<String> {
    let mut moved = Vec::new();
    for name in before.keys().chain(now.keys().filter(|name| !before.contains_key(*name))) {
        match (before.get(name), now.get(name)) {
            // A hundredth is what rounding and a growing vector make of a figure near nothing.
            (Some(before), Some(now)) if (now - before).abs() <= (before * TOLERANCE).max(0.01) => {
            }
            (before, now) => moved.push(format!("  {name}: {before:?} is {now:?} now")),
        }
    }
    moved
}

#[test]
fn a_figure_may_move_by_a_tenth() {
    let figures = |figure| Figures::from([("work".to_owned(), figure)]);
    for (before, now, is_moved) in
        [(10.0, 10.9, false), (10.0, 11.1, true), (10.0, 8.9, true), (0.0, 0.0005, false)]
    {
        assert_eq!(moved(&figures(before), &figures(now)).len(), usize::from(is_moved), "{now}");
    }
    assert_eq!(moved(&figures(1.0), &Figures::new()).len(), 1, "what is not measured any more");
    assert_eq!(moved(&Figures::new(), &figures(1.0)).len(), 1, "what is new");
    assert_eq!(parse(&render(&figures(1.5))), figures(1.5));
}
