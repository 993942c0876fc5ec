//! Many seeds: on all cores, or from a list.

use std::sync::atomic::{AtomicU64, Ordering};

/// Calls `work` for the seeds from 1 to `last`, each once, on all cores. A panic in one of them is the caller's.
pub fn each_seed(last: u64, work: impl Fn(u64) + Sync) {
    let next = AtomicU64::new(1);
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > last {
                        return;
                    }
                    work(seed);
                }
            });
        }
    });
}

/// The seeds in a list: the first word of each line that is not empty and no comment.
///
/// # Panics
///
/// If such a line does not begin with a number, or there is none.
pub fn listed(text: &str) -> Vec<u64> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let first = |line: &str| line.split_whitespace().next()?.parse().ok();
    let seeds: Vec<u64> = lines
        .map(|line| first(line).unwrap_or_else(|| panic!("a line starts with a seed: {line}")))
        .collect();
    assert!(!seeds.is_empty(), "the list names none");
    seeds
}
