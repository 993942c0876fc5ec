//! Whole stores under the real scheduler, in every test run.

use std::sync::Mutex;

use sim::store::{Deeds, LINES, run_governed};
use sim::swarm::each_seed;

/// Enough for every trial to come several times, and few enough not to be waited for.
const SEEDS: u64 = 20;

#[test]
fn the_real_scheduler_mends_twenty_clusters_and_endangers_none() {
    let all = Mutex::new(Deeds::default());
    let run = |seed: u64| match run_governed(seed, LINES) {
        Ok(run) => run,
        Err(failure) => panic!("\n{failure}\n"),
    };
    each_seed(SEEDS, |seed| {
        let first = run(seed);
        if seed == SEEDS {
            assert_eq!(first, run(seed), "seed {seed} does not do the same twice");
        }
        *all.lock().unwrap() += first.1;
    });
    let all = all.into_inner().unwrap();
    assert_eq!(all.missing(), Vec::<&str>::new(), "that proves too little: {all}");
}
