//! Simulates the consensus core: one seed, or as many as fit into some time, on all cores.
//!
//! ```text
//! simulate-raft --seed 7                     replay one seed
//! simulate-raft --seconds 120 --cores 2      new seeds until the time is over
//! simulate-raft --from 1 --count 200         these seeds
//! ```
//!
//! `--steps` changes the length of the safety phase, `--lines` that of the story after a failure. The
//! exit code says whether all went well.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use runtime::clock::{Clock, Instant, SystemClock};
use sim::raft::{Counts, Failure, LINES, Run, STEPS, run};

/// What was asked for.
struct Options {
    seed: Option<u64>,
    seconds: Option<u64>,
    cores: u64,
    from: u64,
    count: u64,
    steps: u64,
    lines: u64,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            say(&problem);
            return ExitCode::from(2);
        }
    };
    // A failure is told once, by the replay, and not by each panic on the way to it.
    std::panic::set_hook(Box::new(|_| {}));
    match options.seed {
        Some(seed) => replay(seed, &options),
        None => simulate(&options),
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        seed: None,
        seconds: None,
        cores: 1,
        from: 1,
        count: 200,
        steps: STEPS,
        lines: LINES as u64,
    };
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or(format!("{name} needs a value"))?;
        let value: u64 = value.parse().map_err(|_| format!("{name} needs a number"))?;
        match name.as_str() {
            "--seed" => options.seed = Some(value),
            "--seconds" => options.seconds = Some(value),
            "--cores" => options.cores = value.max(1),
            "--from" => options.from = value,
            "--count" => options.count = value,
            "--steps" => options.steps = value,
            "--lines" => options.lines = value,
            _ => return Err(format!("there is no option {name}")),
        }
    }
    Ok(options)
}

impl Options {
    fn run(&self, seed: u64) -> Result<Run, Box<Failure>> {
        run(seed, self.steps, usize::try_from(self.lines).unwrap_or(usize::MAX))
    }
}

fn replay(seed: u64, options: &Options) -> ExitCode {
    match options.run(seed) {
        Ok(run) => {
            say(&format!("seed {seed}: nothing wrong, trace {:016x}\n{}", run.trace, run.counts));
            ExitCode::SUCCESS
        }
        Err(failure) => {
            say(&failure.to_string());
            ExitCode::FAILURE
        }
    }
}

/// What all cores work on.
struct Work {
    next: AtomicU64,
    is_over: AtomicBool,
    counts: Mutex<Counts>,
    failure: Mutex<Option<Box<Failure>>>,
}

fn simulate(options: &Options) -> ExitCode {
    let clock = SystemClock;
    let start = clock.now();
    let work = Work {
        next: AtomicU64::new(first_seed(options, clock)),
        is_over: AtomicBool::new(false),
        counts: Mutex::default(),
        failure: Mutex::default(),
    };
    let end = work.next.load(Ordering::Relaxed).saturating_add(options.count);
    std::thread::scope(|scope| {
        for _ in 0..options.cores {
            scope.spawn(|| labour(&work, options, end, start));
        }
    });
    let counts = work.counts.into_inner().expect("no core died");
    let seconds = clock.now().since(start).as_secs_f64();
    say(&counts.to_string());
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no twelve digits")]
    let rate = counts.steps as f64 * 60e-6 / seconds;
    #[expect(clippy::cast_precision_loss, reason = "there are not that many cores")]
    let each = rate / options.cores as f64;
    say(&format!("{seconds:.1} s; {rate:.1} million steps a minute, {each:.1} on each core"));
    if let Some(failure) = work.failure.into_inner().expect("no core died") {
        say(&failure.to_string());
        return ExitCode::FAILURE;
    }
    let missing = counts.missing();
    if !missing.is_empty() {
        say(&format!("that proves too little: hardly any {}", missing.join(", ")));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// A run by time takes seeds that nobody has tried; a run by number begins where it is told to.
fn first_seed(options: &Options, clock: SystemClock) -> u64 {
    match options.seconds {
        Some(_) if options.from == 1 => clock.wall().as_secs() * 1_000_000,
        Some(_) | None => options.from,
    }
}

fn labour(work: &Work, options: &Options, end: u64, start: Instant) {
    let limit = options.seconds.map(Duration::from_secs);
    while !work.is_over.load(Ordering::Relaxed) {
        let seed = work.next.fetch_add(1, Ordering::Relaxed);
        let is_done = match limit {
            Some(limit) => SystemClock.now().since(start) >= limit,
            None => seed >= end,
        };
        if is_done {
            return;
        }
        match options.run(seed) {
            Ok(run) => *work.counts.lock().expect("no core died") += run.counts,
            Err(failure) => {
                work.is_over.store(true, Ordering::Relaxed);
                work.failure.lock().expect("no core died").get_or_insert(failure);
            }
        }
    }
}

/// The one place where this program prints.
fn say(text: &str) {
    #![expect(clippy::print_stdout, reason = "it is what the program is for")]
    println!("{text}");
}
