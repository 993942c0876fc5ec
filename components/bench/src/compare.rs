//! Two results side by side: what became faster, what slower, and what is only noise.
//!
//! A difference counts when the rounds of one result and those of the other do not overlap: the worst
//! round of the better one is still better than the best round of the other. With fewer than three rounds
//! that proves little, and the table says so.

use std::fmt::Write as _;

use crate::number::{Spread, spread};
use crate::results::{Results, Run};

/// With fewer rounds, nothing is said about a difference.
const ROUNDS_MIN: usize = 3;

/// Compares, load by load and system by system.
pub(crate) fn compare(before: &Results, after: &Results) -> String {
    let mut table = String::from(
        "| | per second, before | after | after / before | p50 | p99 | |\n\
         |---|---:|---:|---:|---:|---:|---|\n",
    );
    let mut missing = String::new();
    for load in before.loads() {
        for system in before.under(load) {
            let (old, new) = (before.rounds(load, system), after.rounds(load, system));
            let title = format!("{system}: {}", load.title());
            if new.is_empty() {
                let _ = writeln!(missing, "- only before: {title}");
                continue;
            }
            let _ = writeln!(table, "| {title} | {} |", cells(&old, &new));
        }
    }
    for load in after.loads() {
        for system in after.under(load) {
            if before.rounds(load, system).is_empty() {
                let _ = writeln!(missing, "- only after: {system}: {}", load.title());
            }
        }
    }
    if missing.is_empty() { table } else { format!("{table}\n{missing}") }
}

fn cells(old: &[&Run], new: &[&Run]) -> String {
    let of = |runs: &[&Run], figure: fn(&Run) -> f64| spread(runs.iter().map(|run| figure(run)));
    let rate = |runs| of(runs, |run| run.per_second);
    let (before, after) = (rate(old), rate(new));
    let ratio = |figure: fn(&Run) -> f64| quotient(of(new, figure).median, of(old, figure).median);
    format!(
        "{:.0} | {:.0} | **{}** | {} | {} | {}",
        before.median,
        after.median,
        quotient(after.median, before.median),
        ratio(|run| run.measured.latency.p50_us),
        ratio(|run| run.measured.latency.p99_us),
        verdict(before, after, old.len().min(new.len())),
    )
}

fn quotient(after: f64, before: f64) -> String {
    if before > 0.0 { format!("{:.2}", after / before) } else { "-".to_owned() }
}

fn verdict(before: Spread, after: Spread, rounds: usize) -> &'static str {
    if rounds < ROUNDS_MIN {
        "too few rounds to tell"
    } else if after.least > before.most {
        "faster"
    } else if after.most < before.least {
        "slower"
    } else {
        "within the noise"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::run;

    fn of(system: &str, rates: &[f64]) -> Results {
        let rounds = rates.iter().zip(1..);
        let runs = rounds.map(|(rate, round)| run(system, round, *rate, 1e7 / rate)).collect();
        Results { runs, ..Results::default() }
    }

    #[test]
    fn only_rounds_that_do_not_overlap_are_a_difference() {
        let before = of("ours", &[1000.0, 1100.0, 1200.0]);
        let cases: [(&[f64], &str); 4] = [
            (&[1300.0, 1400.0, 1250.0], "faster"),
            (&[900.0, 950.0, 999.0], "slower"),
            (&[1150.0, 1400.0, 1500.0], "within the noise"),
            (&[5000.0, 5000.0], "too few rounds to tell"),
        ];
        for (rates, expected) in cases {
            let table = compare(&before, &of("ours", rates));
            let last = table.lines().last().unwrap();
            assert!(last.ends_with(&format!("| {expected} |")), "{table}");
        }
    }

    #[test]
    fn the_table_has_the_ratios_and_what_has_no_counterpart() {
        let mut before = of("ours", &[1000.0, 1000.0, 1000.0]);
        before.runs.push(run("etcd", 1, 500.0, 1.0));
        let mut after = of("ours", &[2000.0, 2000.0, 2000.0]);
        after.runs.push(run("redis", 1, 500.0, 1.0));
        let expected = "\
| | per second, before | after | after / before | p50 | p99 | |
|---|---:|---:|---:|---:|---:|---|
| ours: put, 64 clients | 1000 | 2000 | **2.00** | 0.50 | 0.50 | faster |

- only before: etcd: put, 64 clients
- only after: redis: put, 64 clients
";
        assert_eq!(compare(&before, &after), expected);
    }
}
