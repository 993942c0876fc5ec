//! Whole stores in every test run: two hundred seeds on all cores, some of them twice, and all seeds that
//! ever failed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use sim::store::{Counts, LINES, Run, run};

/// Enough to meet every fault many times, and few enough not to be waited for.
const SEEDS: u64 = 200;

fn run_well(seed: u64) -> Run {
    match run(seed, LINES) {
        Ok(run) => run,
        Err(failure) => panic!("\n{failure}\n"),
    }
}

#[test]
fn two_hundred_clusters_keep_every_promise() {
    let (next, counts) = (AtomicU64::new(1), Mutex::new(Counts::default()));
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > SEEDS {
                        return;
                    }
                    let run = run_well(seed);
                    if seed.is_multiple_of(100) {
                        assert_eq!(run, run_well(seed), "seed {seed} does not do the same twice");
                    }
                    *counts.lock().unwrap() += run.counts;
                }
            });
        }
    });
    let counts = counts.into_inner().unwrap();
    assert_eq!(counts.missing(), Vec::<&str>::new(), "that proves too little: {counts}");
}

#[test]
fn seeds_that_once_failed_are_replayed() {
    let lines = include_str!("../store-seeds.txt").lines();
    let seeds = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut count = 0;
    for line in seeds {
        let number = line.split_whitespace().next().unwrap();
        run_well(number.parse().unwrap_or_else(|_| panic!("a line starts with a seed: {line}")));
        count += 1;
    }
    assert!(count > 0, "store-seeds.txt names none");
}
