//! The tool on a cluster of our own: every operation, briefly. What counts here is that answers are right.

use std::process::Command;

fn bench(arguments: &[&str]) -> String {
    // The tool starts the programs that lie beside it.
    tests::process::program("tinykv-playground");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tinykv-bench"));
    command.args(["--playground=1", "--clients=8", "--rounds=1", "--seconds=0.3", "--warm-up=0"]);
    let output = command.args(["--keys=200"]).args(arguments).output().expect("it can be started");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).expect("tables are text")
}

/// The cheapest trial, as small as can be: what counts here is that stores say how often they have synced.
#[test]
fn a_trial_starts_a_cluster_and_holds_a_figure_against_its_target() {
    for program in ["tinyscheduler-server", "tinykv-server"] {
        tests::process::program(program);
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_tinykv-bench"));
    command.args(["trial", "syncs", "--clients=8", "--seconds=1", "--warm-up=0", "--keys=200"]);
    let output = command.output().expect("it can be started");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let text = String::from_utf8(output.stdout).expect("tables are text");
    let leaders = text.lines().filter(|line| line.contains(", leads |")).count();
    assert_eq!(leaders, 1, "{text}");
    let row = text.lines().find(|line| line.starts_with("| syncs of the leader's log"));
    let cells: Vec<&str> = row.expect("a figure").split('|').map(str::trim).collect();
    let figure: f64 = cells[2].parse().expect("a figure");
    // Eight at a time share a sync now and then, and none is answered without one.
    assert!((0.06..2.0).contains(&figure), "{text}");
    assert_eq!(cells[3..5], ["at most 0.05", "missed"], "{text}");
}

/// Of each table, how many were done in a second, and what was not done, asked in either way.
fn figures(text: &str) -> Vec<(u64, String)> {
    let rows = text.lines().filter_map(|line| {
        let row = line.strip_prefix("| tinykv")?;
        row.strip_prefix(" batched").unwrap_or(row).strip_prefix(" | **")
    });
    let figure = |row: &str| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let done = cells[0].trim_end_matches('*').parse().expect("a figure");
        (done, cells[cells.len() - 2].to_owned())
    };
    rows.map(figure).collect()
}

#[test]
fn raw_loads_are_done_and_answered_rightly() {
    let all = "put,get,mixed,scan,rmw,ycsb-a,ycsb-b,ycsb-c,ycsb-d,ycsb-e,ycsb-f,timestamps";
    let text = bench(&["--batched", "--workload", all]);
    let figures = figures(&text);
    assert_eq!(figures.len(), 2 * 12, "{text}");
    for (done, not_done) in figures {
        assert!(done > 0 && not_done.is_empty(), "{text}");
    }
}

#[test]
fn transactions_are_done_and_the_bank_keeps_its_money() {
    let all = "put,get,scan,rmw,pairs,bank,ycsb-f";
    let text = bench(&["--batched", "--transactions", "--workload", all]);
    let figures = figures(&text);
    assert_eq!(figures.len(), 2 * 7, "{text}");
    for (done, not_done) in figures {
        // Those that lost a race begin again.
        assert!(done > 0 && !not_done.contains("failed"), "{text}");
    }
}
