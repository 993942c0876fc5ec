//! A bank in every test run: forty seeds on all cores, some of them twice.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use sim::bank::{Counts, Run, run};
use sim::store::LINES;

/// Enough to meet everything that can happen to a transaction, and few enough not to be waited for.
const SEEDS: u64 = 40;

fn run_well(seed: u64) -> Run {
    match run(seed, LINES) {
        Ok(run) => run,
        Err(failure) => panic!("\n{failure}\n"),
    }
}

#[test]
fn forty_banks_lose_no_money_and_no_promise() {
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
                    if seed.is_multiple_of(20) {
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
