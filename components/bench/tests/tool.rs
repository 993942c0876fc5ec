//! The tool as its user meets it: the program, its tables, its files.

use std::path::Path;
use std::process::{Command, Output};

use tests::process::Process;

fn tool(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tinykv-bench"));
    command.args(arguments).output().expect("it can be started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn file(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

/// Against the server with nothing behind it, which needs nothing else to be built.
#[test]
fn a_bench_prints_tables_and_writes_files_that_compare_with_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let [json, csv, html] = ["a.json", "a.csv", "a.html"].map(|name| file(folder.path(), name));
    let nowhere = file(folder.path(), "nowhere");
    let output = tool(&[
        "--peer=bare,etcd",
        "--workload=mixed,timestamps",
        "--clients=1,8",
        "--rate=500",
        "--rounds=3",
        "--seconds=0.2",
        "--warm-up=0.1",
        "--keys=100",
        "--value-bytes=64",
        &format!("--debian={nowhere}"),
        &format!("--json={json}"),
        &format!("--csv={csv}"),
        &format!("--html={html}"),
    ]);
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    let table = text(&output.stdout);
    assert!(table.contains("\nmixed, 500/s due, 8 clients\n"), "{table}");
    assert!(table.contains("- skipped: etcd: "), "{table}");
    assert!(table.contains("- skipped: bare under timestamps: "), "{table}");
    let rows = std::fs::read_to_string(&csv).unwrap();
    assert_eq!(rows.lines().count(), 1 + 2 * 3, "{rows}");
    for row in rows.lines().skip(1) {
        let cells: Vec<&str> = row.split(',').collect();
        assert!(cells[6].parse::<u64>().unwrap() > 0, "something was done: {row}");
        assert_eq!(cells[18..20], ["0", "0"], "and nothing failed: {row}");
    }
    assert_eq!(std::fs::read_to_string(&html).unwrap().matches("<svg").count(), 4);

    let compared = text(&tool(&["compare", &json, &json]).stdout);
    assert_eq!(
        compared.matches("**1.00** | 1.00 | 1.00 | within the noise").count(),
        2,
        "{compared}"
    );
}

#[test]
fn what_cannot_be_done_is_said_and_is_a_failure() {
    let cases: [(&[&str], &str); 5] = [
        (&["--workload=put"], "name a system"),
        (&["--peer=bare", "--workload=bank"], "the workload bank needs --transactions"),
        (&["--peer=bare", "--workload=timestamps"], "none of these systems can do any of this"),
        (&["--system=a=etcd://127.0.0.1:1"], "cannot connect to 127.0.0.1:1"),
        (&["compare", "no such file", "neither"], "no such file: "),
    ];
    for (arguments, expected) in cases {
        let output = tool(arguments);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
    }
}

/// Its log ends when nobody holds it any more, the server that it started included.
#[test]
fn one_that_is_asked_to_end_stops_what_it_started() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tinykv-bench"));
    command.args(["--peer=bare", "--workload=get", "--keys=100", "--seconds=600"]);
    let mut process = Process::start(&mut command);
    process.wait_for("filling bare");
    process.terminate();
    let (status, log) = process.finish();
    assert!(!status.success());
    assert!(log.iter().any(|line| line.contains("interrupted")), "{log:?}");
}
