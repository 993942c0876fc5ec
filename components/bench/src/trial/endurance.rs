//! Ten minutes of puts: whether a cluster is as fast at the end as at the beginning, while buffers are written
//! to files and files are merged, and whether stores need more and more memory. The first minute does not
//! count: it begins with an empty store. Of memory the most counts, before and after the middle of the run: it
//! goes up and down with the buffers.

use crate::number::float;
use crate::record::Slice;

use super::cluster::{Cluster, REPORTS, Settings};
use super::report::{Report, Table, Target, shown};
use super::{Ground, Result};

/// A tenth is a minute, unless it is told otherwise.
const PARTS: u32 = 10;

/// By how much memory may grow.
const GROWTH: f64 = 1.1;

const MIB: f64 = 1_048_576.0;

pub(super) async fn run(ground: &Ground<'_>) -> Result<Report> {
    let settings = Settings { stores: &REPORTS, ..Settings::default() };
    let cluster = Cluster::start(ground, 3, settings).await?;
    let clients = cluster.clients().await?;
    let length = ground.wish.endurance;
    let load = ground.put(clients, ground.wish.keys, length, "puts");
    let look = async {
        let mut memory = Vec::new();
        for _ in 0..PARTS {
            tokio::time::sleep(length / PARTS).await;
            let mib = cluster.memory()?.into_iter().map(|(now, _)| float(now) / MIB);
            memory.push(mib.collect::<Vec<f64>>());
        }
        Ok(memory)
    };
    let (measured, memory): (_, Result<Vec<Vec<f64>>>) = tokio::join!(load, look);
    let (rates, memory) = (per_part(&measured?.slices, PARTS as usize), memory?);
    let mut head = vec!["part".to_owned(), "puts a second".to_owned(), "worst p99, ms".to_owned()];
    head.extend(cluster.stores.iter().map(|store| format!("store {}, MiB", store.id)));
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let mut table = Table::new(&head);
    for (part, (rate, memory)) in (1..).zip(rates.iter().zip(&memory)) {
        let cells = [part.to_string(), shown(rate.per_second), shown(rate.worst_p99_us / 1e3)];
        table.row(cells.into_iter().chain(memory.iter().map(|mib| format!("{mib:.0}"))));
    }
    let all: Vec<f64> = rates.iter().map(|part| part.per_second).collect();
    let of_store = |store| growth(&memory.iter().map(|all| all[store]).collect::<Vec<f64>>());
    let grown = (0..cluster.stores.len()).map(of_store).fold(0.0, f64::max);
    let what = format!("puts in the last {:?} / in the second", length / PARTS);
    Ok(Report::new(table).figure(what, last_of_second(&all), Target::AtLeast(0.9)).figure(
        "memory of a store, second half / first",
        grown,
        Target::AtMost(GROWTH),
    ))
}

/// A part of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Part {
    per_second: f64,
    /// Of its seconds.
    worst_p99_us: f64,
}

/// Seconds, gathered into so many parts of the same length; those that are left over at the end are left out.
fn per_part(seconds: &[Slice], parts: usize) -> Vec<Part> {
    let length = (seconds.len() / parts).max(1);
    let part = |seconds: &[Slice]| Part {
        per_second: float(seconds.iter().map(|slice| slice.done).sum()) / float(length as u64),
        worst_p99_us: seconds.iter().map(|slice| slice.p99_us).fold(0.0, f64::max),
    };
    seconds.chunks_exact(length).take(parts).map(part).collect()
}

/// The last figure beside the second; no number, if there are fewer than two.
fn last_of_second(figures: &[f64]) -> f64 {
    match figures {
        [_, second, .., last] => last / second,
        [_, _] => 1.0,
        [] | [_] => f64::NAN,
    }
}

/// The most in the second half beside the most in the first, of which the first figure is left out.
fn growth(figures: &[f64]) -> f64 {
    let most = |part: &[f64]| part.iter().copied().fold(0.0, f64::max);
    let (first, second) = figures.split_at(figures.len() / 2);
    most(second) / most(first.get(1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_gathered_into_parts() {
        let slices = |done: &[u64]| -> Vec<Slice> {
            let slice = |(number, done): (u64, &u64)| Slice {
                done: *done,
                p50_us: 1.0,
                p99_us: float(number),
            };
            (1..).zip(done).map(slice).collect()
        };
        let rates = |done: &[u64], parts| -> Vec<f64> {
            per_part(&slices(done), parts).iter().map(|part| part.per_second).collect()
        };
        assert_eq!(rates(&[10, 20, 30, 40], 2), [15.0, 35.0]);
        assert_eq!(rates(&[10, 20, 30, 40, 50], 2), [15.0, 35.0], "one is left over");
        assert_eq!(rates(&[10, 20], 10), [10.0, 20.0], "there are fewer than parts");
        assert_eq!(rates(&[], 10), Vec::<f64>::new());
        let worst = per_part(&slices(&[1, 1, 1, 1]), 2);
        assert_eq!(worst[1].worst_p99_us.to_bits(), 4.0_f64.to_bits());
    }

    #[test]
    fn the_last_stands_beside_the_second() {
        let of = |figures: &[f64]| shown(last_of_second(figures));
        assert_eq!(of(&[100.0, 80.0, 90.0, 60.0]), "0.75");
        assert_eq!(of(&[100.0, 80.0]), "1.00");
        assert_eq!(of(&[100.0]), "NaN");
    }

    #[test]
    fn memory_that_goes_up_and_down_does_not_grow() {
        let of = |figures: &[f64]| shown(growth(figures));
        assert_eq!(of(&[9.0, 50.0, 100.0, 60.0, 100.0, 90.0]), "1.00");
        assert_eq!(of(&[900.0, 50.0, 100.0, 60.0, 100.0, 120.0]), "1.20");
        assert_eq!(of(&[]), "NaN");
    }
}
