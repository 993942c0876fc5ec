//! Seeds in every test run: the first few hundred, some of them twice, and all that ever failed.

use sim::raft::{Counts, LINES, STEPS, run};
use sim::swarm::listed;

/// Enough to meet every fault many times, and few enough not to be waited for.
const SEEDS: u64 = 200;

fn run_well(seed: u64) -> sim::raft::Run {
    match run(seed, STEPS, LINES) {
        Ok(run) => run,
        Err(failure) => panic!("\n{failure}\n"),
    }
}

#[test]
fn two_hundred_worlds_keep_every_promise() {
    let mut counts = Counts::default();
    for seed in 1..=SEEDS {
        counts += run_well(seed).counts;
    }
    assert_eq!(counts.missing(), Vec::<&str>::new(), "that proves too little: {counts}");
}

#[test]
fn the_same_seed_does_the_same() {
    for seed in 1..=20 {
        assert_eq!(run_well(seed), run_well(seed), "seed {seed}");
    }
    assert_ne!(run_well(1).trace, run_well(2).trace);
}

#[test]
fn seeds_that_once_failed_are_replayed() {
    for seed in listed(include_str!("../seeds.txt")) {
        run_well(seed);
    }
}
