//! Whole stores under the real scheduler, in every test run.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use sim::store::{Deeds, LINES, run_governed};

/// Enough for every trial to come several times, and few enough not to be waited for.
const SEEDS: u64 = 20;

#[test]
fn the_real_scheduler_mends_twenty_clusters_and_endangers_none() {
    let (next, all) = (AtomicU64::new(1), Mutex::new(Deeds::default()));
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let run = |seed: u64| match run_governed(seed, LINES) {
        Ok(run) => run,
        Err(failure) => panic!("\n{failure}\n"),
    };
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > SEEDS {
                        return;
                    }
                    let first = run(seed);
                    if seed == SEEDS {
                        assert_eq!(first, run(seed), "seed {seed} does not do the same twice");
                    }
                    *all.lock().unwrap() += first.1;
                }
            });
        }
    });
    let all = all.into_inner().unwrap();
    assert_eq!(all.missing(), Vec::<&str>::new(), "that proves too little: {all}");
}
