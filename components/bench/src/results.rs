//! What a bench came to: every run, kept as JSON, shown as tables.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::number::{Spread, spread};
use crate::record::Measured;

/// Everything about one bench.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Results {
    /// The machine, the load, and what the caller had to say.
    pub(crate) about: Vec<String>,
    /// The name of each system, and what it is.
    pub(crate) systems: Vec<(String, String)>,
    /// What was not done, and why.
    pub(crate) skipped: Vec<String>,
    /// In the order in which they were made.
    pub(crate) runs: Vec<Run>,
}

/// One run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) load: Load,
    pub(crate) system: String,
    /// From one on.
    pub(crate) round: u32,
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    /// Processor time per operation.
    pub(crate) client_us: Option<f64>,
    pub(crate) servers_us: Option<f64>,
    pub(crate) measured: Measured,
}

/// What is the same for all systems that are compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) workload: String,
    pub(crate) clients: usize,
    /// Of an open loop.
    pub(crate) rate: Option<u64>,
}

impl Load {
    /// For people.
    pub(crate) fn title(&self) -> String {
        let Load { workload, clients, rate } = self;
        let clients =
            if *clients == 1 { "1 client".to_owned() } else { format!("{clients} clients") };
        match rate {
            None => format!("{workload}, {clients}"),
            Some(rate) => format!("{workload}, {rate}/s due, {clients}"),
        }
    }
}

impl Results {
    /// The loads, in order of appearance.
    pub(crate) fn loads(&self) -> Vec<&Load> {
        let mut loads: Vec<&Load> = Vec::new();
        for run in &self.runs {
            if !loads.contains(&&run.load) {
                loads.push(&run.load);
            }
        }
        loads
    }

    /// The systems that were under this load, in order of appearance.
    pub(crate) fn under(&self, load: &Load) -> Vec<&str> {
        let mut systems: Vec<&str> = Vec::new();
        for run in self.runs.iter().filter(|run| run.load == *load) {
            if !systems.contains(&run.system.as_str()) {
                systems.push(&run.system);
            }
        }
        systems
    }

    /// All rounds of one system under one load.
    pub(crate) fn rounds(&self, load: &Load, system: &str) -> Vec<&Run> {
        self.runs.iter().filter(|run| run.load == *load && run.system == system).collect()
    }

    /// How one system stands to another, round by round, in operations per second.
    pub(crate) fn ratio(&self, load: &Load, system: &str, to: &str) -> Spread {
        let others = self.rounds(load, to);
        let ratios = self.rounds(load, system).into_iter().filter_map(|run| {
            let other = others.iter().find(|other| other.round == run.round)?;
            (other.per_second > 0.0).then(|| run.per_second / other.per_second)
        });
        spread(ratios)
    }

    /// As tables.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for line in &self.about {
            let _ = writeln!(text, "{line}");
        }
        for (name, what) in &self.systems {
            let _ = writeln!(text, "- {name}: {what}");
        }
        for what in &self.skipped {
            let _ = writeln!(text, "- skipped: {what}");
        }
        for load in self.loads() {
            let _ = write!(text, "\n{}\n\n{}", load.title(), self.table(load));
        }
        let complaints: Vec<&String> =
            self.runs.iter().flat_map(|run| &run.measured.complaints).collect();
        if !complaints.is_empty() {
            text.push_str("\nWhat went wrong first:\n");
        }
        for what in complaints.iter().take(10) {
            let _ = writeln!(text, "- {what}");
        }
        text
    }

    fn table(&self, load: &Load) -> String {
        let systems = self.under(load);
        let first = systems[0];
        let mut table = format!(
            "| | per second | min to max | of {first} | p50, ms | p99 | p99.9 | p99.99 | max | \
             client, µs/op | servers, µs/op | rows/s | not done |\n\
             |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
        );
        for system in &systems {
            let runs = self.rounds(load, system);
            let of = |figure: &dyn Fn(&Run) -> f64| spread(runs.iter().map(|run| figure(run)));
            let rate = of(&|run| run.per_second);
            let ms = |figure: &dyn Fn(&Run) -> f64| format!("{:.2}", of(figure).median / 1e3);
            let cpu = |figure: &dyn Fn(&Run) -> Option<f64>| {
                let known: Vec<f64> = runs.iter().filter_map(|run| figure(run)).collect();
                if known.is_empty() {
                    String::new()
                } else {
                    format!("{:.1}", spread(known).median)
                }
            };
            let rows = of(&|run| crate::number::float(run.measured.counts.rows) / run.seconds);
            let _ = writeln!(
                table,
                "| {system} | **{:.0}** | {:.0} to {:.0} | {:.2} | {} | {} | {} | {} | {:.2} | {} | {} | {:.0} | {} |",
                rate.median,
                rate.least,
                rate.most,
                self.ratio(load, system, first).median,
                ms(&|run| run.measured.latency.p50_us),
                ms(&|run| run.measured.latency.p99_us),
                ms(&|run| run.measured.latency.p999_us),
                ms(&|run| run.measured.latency.p9999_us),
                of(&|run| run.measured.latency.max_us).most / 1e3,
                cpu(&|run| run.client_us),
                cpu(&|run| run.servers_us),
                rows.median,
                not_done(&runs),
            );
        }
        table
    }

    /// One line for each run.
    pub(crate) fn csv(&self) -> String {
        let mut csv = String::from(
            "workload,clients,rate,system,round,seconds,done,per_second,rows,p50_us,p90_us,p95_us,\
             p99_us,p999_us,p9999_us,max_us,client_us,servers_us,failed,unknown,begun_again,left_over\n",
        );
        let maybe = |figure: Option<f64>| figure.map_or(String::new(), |figure| figure.to_string());
        for run in &self.runs {
            let (counts, latency) = (&run.measured.counts, &run.measured.latency);
            let cells = [
                run.load.workload.clone(),
                run.load.clients.to_string(),
                run.load.rate.map_or(String::new(), |rate| rate.to_string()),
                quoted(&run.system),
                run.round.to_string(),
                run.seconds.to_string(),
                counts.done.to_string(),
                run.per_second.to_string(),
                counts.rows.to_string(),
                latency.p50_us.to_string(),
                latency.p90_us.to_string(),
                latency.p95_us.to_string(),
                latency.p99_us.to_string(),
                latency.p999_us.to_string(),
                latency.p9999_us.to_string(),
                latency.max_us.to_string(),
                maybe(run.client_us),
                maybe(run.servers_us),
                counts.failed.to_string(),
                counts.unknown.to_string(),
                counts.begun_again.to_string(),
                counts.left_over.to_string(),
            ];
            let _ = writeln!(csv, "{}", cells.join(","));
        }
        csv
    }
}

/// A name may have anything in it.
fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

fn not_done(runs: &[&Run]) -> String {
    let sum = |figure: fn(&Run) -> u64| runs.iter().map(|run| figure(run)).sum::<u64>();
    let parts = [
        (sum(|run| run.measured.counts.failed), "failed"),
        (sum(|run| run.measured.counts.unknown), "unknown"),
        (sum(|run| run.measured.counts.left_over), "not begun"),
        (sum(|run| run.measured.counts.begun_again), "begun again"),
    ];
    let parts = parts.iter().filter(|(count, _)| *count > 0);
    parts.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::latency::Summary;
    use crate::record::{Counts, Slice};

    /// A run that is easy to recognise.
    pub(crate) fn run(system: &str, round: u32, per_second: f64, p99_us: f64) -> Run {
        let done = crate::number::whole(per_second) * 2;
        let latency = Summary {
            count: done,
            p50_us: p99_us / 10.0,
            p99_us,
            max_us: p99_us * 3.0,
            ..Summary::default()
        };
        let slice = Slice { done: done / 2, p50_us: p99_us / 10.0, p99_us };
        Run {
            load: Load { workload: "put".to_owned(), clients: 64, rate: None },
            system: system.to_owned(),
            round,
            seconds: 2.0,
            per_second,
            client_us: Some(10.5),
            servers_us: None,
            measured: Measured {
                counts: Counts { done, ..Counts::default() },
                latency,
                slices: vec![slice; 2],
                ..Measured::default()
            },
        }
    }

    pub(crate) fn results() -> Results {
        let mut results = Results {
            about: vec!["2 cores".to_owned()],
            systems: vec![("ours".to_owned(), "TinyKV".to_owned())],
            skipped: vec!["redis: it is missing".to_owned()],
            runs: vec![
                run("ours", 1, 3000.0, 9000.0),
                run("etcd", 1, 1000.0, 20_000.0),
                run("etcd", 2, 1200.0, 18_000.0),
                run("ours", 2, 3600.0, 8000.0),
            ],
        };
        results.runs[1].measured.counts.unknown = 2;
        results.runs[2].measured.complaints = vec!["unknown: lost".to_owned()];
        results
    }

    #[test]
    fn tables_stand_side_by_side_and_ratios_are_taken_round_by_round() {
        let expected = "\
2 cores
- ours: TinyKV
- skipped: redis: it is missing

put, 64 clients

| | per second | min to max | of ours | p50, ms | p99 | p99.9 | p99.99 | max | client, µs/op | servers, µs/op | rows/s | not done |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
| ours | **3300** | 3000 to 3600 | 1.00 | 0.85 | 8.50 | 0.00 | 0.00 | 27.00 | 10.5 |  | 0 |  |
| etcd | **1100** | 1000 to 1200 | 0.33 | 1.90 | 19.00 | 0.00 | 0.00 | 60.00 | 10.5 |  | 0 | 2 unknown |

What went wrong first:
- unknown: lost
";
        assert_eq!(results().text(), expected);
    }

    #[test]
    fn every_run_is_a_line_of_csv_with_as_many_cells_as_the_head() {
        let mut results = results();
        results.runs.truncate(2);
        results.runs[1].system = "a, \"b\"".to_owned();
        let csv = results.csv();
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines[1], "put,64,,ours,1,2,6000,3000,0,900,0,0,9000,0,0,27000,10.5,,0,0,0,0");
        assert!(lines[2].starts_with("put,64,,\"a, \"\"b\"\"\",1,2,2000,"), "{}", lines[2]);
        assert_eq!(lines[0].split(',').count(), lines[1].split(',').count());
    }

    #[test]
    fn results_survive_json() {
        let json = serde_json::to_string(&results()).unwrap();
        assert_eq!(serde_json::from_str::<Results>(&json).unwrap(), results());
    }

    #[test]
    fn a_load_says_what_it_is() {
        let load = Load { workload: "get".to_owned(), clients: 1, rate: Some(5000) };
        assert_eq!(load.title(), "get, 5000/s due, 1 client");
    }
}
