//! Whole stores in every test run: two hundred seeds on all cores, some of them twice, and all seeds that
//! ever failed.

use std::sync::Mutex;

use sim::store::{Counts, LINES, Run, run};
use sim::swarm::{each_seed, listed};

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
    let counts = Mutex::new(Counts::default());
    each_seed(SEEDS, |seed| {
        let run = run_well(seed);
        if seed.is_multiple_of(100) {
            assert_eq!(run, run_well(seed), "seed {seed} does not do the same twice");
        }
        *counts.lock().unwrap() += run.counts;
    });
    let counts = counts.into_inner().unwrap();
    assert_eq!(counts.missing(), Vec::<&str>::new(), "that proves too little: {counts}");
}

#[test]
fn seeds_that_once_failed_are_replayed() {
    for seed in listed(include_str!("../store-seeds.txt")) {
        run_well(seed);
    }
}
