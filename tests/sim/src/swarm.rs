//! Many seeds: on all cores, or from a list.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use runtime::clock::{Clock, SystemClock};

/// Which seeds are run.
#[derive(Clone, Copy, Debug)]
pub struct Seeds {
    /// The first.
    pub from: u64,
    /// How many, unless time decides.
    pub count: u64,
    /// As many as fit into so many seconds.
    pub seconds: Option<u64>,
}

impl Seeds {
    /// Calls `work` for each, once, on so many cores, until it breaks. What is under way then comes to its
    /// end. A panic in one of them is the caller's.
    pub fn each(self, cores: usize, work: impl Fn(u64) -> ControlFlow<()> + Sync) {
        let start = SystemClock.now();
        let from = match self.seconds {
            // A run by time takes seeds that nobody has tried.
            Some(_) if self.from == 1 => SystemClock.wall().as_secs() * 1_000_000,
            Some(_) | None => self.from,
        };
        let (next, end) = (AtomicU64::new(from), from.saturating_add(self.count));
        let is_over = AtomicBool::new(false);
        let labour = || {
            while !is_over.load(Ordering::Relaxed) {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                let is_done = match self.seconds.map(Duration::from_secs) {
                    Some(limit) => SystemClock.now().since(start) >= limit,
                    None => seed >= end,
                };
                if is_done {
                    return;
                }
                if work(seed).is_break() {
                    is_over.store(true, Ordering::Relaxed);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..cores {
                scope.spawn(labour);
            }
        });
    }
}

/// Calls `work` for the seeds from 1 to `last`, each once, on all cores. A panic in one of them is the
/// caller's.
pub fn each_seed(last: u64, work: impl Fn(u64) + Sync) {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    Seeds { from: 1, count: last, seconds: None }.each(cores, |seed| {
        work(seed);
        ControlFlow::Continue(())
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
