//! Systems that take turns, as in a bench.

use clap::Parser as _;

use super::report::Table;
use super::{Ground, Result, VALUE_BYTES};
use crate::arguments::{CommandLine, Named, Options};
use crate::bench::bench;
use crate::number::spread;
use crate::results::Results;
use crate::workload::Workload;

/// What takes turns: each has a name and an address.
pub(super) async fn contest(
    ground: &Ground<'_>,
    systems: &[(&str, &str)],
    workload: Workload,
    rate: Option<u64>,
) -> Result<Results> {
    let named = |(name, address): &(&str, &str)| Named {
        name: (*name).to_owned(),
        address: (*address).to_owned(),
    };
    let wish = ground.wish;
    let options = Options {
        systems: systems.iter().map(named).collect(),
        workloads: vec![workload],
        clients: vec![wish.clients],
        rate,
        seconds: wish.seconds,
        warm_up: wish.warm_up,
        rounds: wish.rounds,
        keys: wish.keys,
        value_bytes: VALUE_BYTES,
        ..CommandLine::parse_from(["tinykv-bench"]).options
    };
    Ok(bench(&options, &ground.clock).await?)
}

/// A figure of each system: the middle of its rounds.
pub(super) fn median(
    results: &Results,
    system: &str,
    figure: fn(&crate::results::Run) -> f64,
) -> f64 {
    let rounds = results.runs.iter().filter(|run| run.system == system);
    spread(rounds.map(figure)).median
}

/// How a system stands to another, round by round: the middle of the rounds.
pub(super) fn ratio(results: &Results, system: &str, to: &str) -> f64 {
    let loads = results.loads();
    let load = loads.first().expect("a contest has a load");
    results.ratio(load, system, to).median
}

/// What each system came to.
pub(super) fn table(results: &Results) -> Table {
    let mut table = Table::new(&["", "a second", "min to max", "p50, ms", "p99, ms"]);
    for (system, _) in &results.systems {
        let rounds = || results.runs.iter().filter(|run| run.system == *system);
        let rate = spread(rounds().map(|run| run.per_second));
        let ms = |figure| format!("{:.2}", median(results, system, figure) / 1e3);
        table.row([
            system.clone(),
            format!("{:.0}", rate.median),
            format!("{:.0} to {:.0}", rate.least, rate.most),
            ms(|run| run.measured.latency.p50_us),
            ms(|run| run.measured.latency.p99_us),
        ]);
    }
    table
}
