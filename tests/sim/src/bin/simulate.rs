//! Simulates whole stores: one seed, or many, on all cores.
//!
//! ```text
//! simulate --seed 7                     replay one seed
//! simulate --seconds 600 --cores 2      new seeds until the time is over
//! simulate --from 1 --count 200         these seeds
//! simulate --real-scheduler 1           with the real scheduler in place of the scripted one
//! simulate --bank 7                     replay one seed of the bank over whole stores
//! ```
//!
//! Every fourth seed of many is played as a bank, too. `--only-bank 1` plays nothing else.
//! `--lines` changes the length of the story after a failure; `--keep-going 1` looks for more failures after
//! the first. Every hundredth seed runs twice and must do the same. The exit code says whether all went
//! well.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use runtime::clock::{Clock, SystemClock};
use sim::bank;
use sim::store::{Counts, Deeds, LINES, Run, run, run_governed};

/// What was asked for.
#[derive(Clone, Copy)]
struct Options {
    seed: Option<u64>,
    bank: Option<u64>,
    only_bank: bool,
    is_governed: bool,
    seconds: Option<u64>,
    cores: u64,
    from: u64,
    count: u64,
    lines: u64,
    keep_going: bool,
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
    match (options.seed, options.bank) {
        (Some(seed), _) => replay(seed, &options),
        (None, Some(seed)) => replay_bank(seed, &options),
        (None, None) => simulate(&options),
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        seed: None,
        bank: None,
        only_bank: false,
        is_governed: false,
        seconds: None,
        cores: 1,
        from: 1,
        count: 200,
        lines: LINES as u64,
        keep_going: false,
    };
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or(format!("{name} needs a value"))?;
        let value: u64 = value.parse().map_err(|_| format!("{name} needs a number"))?;
        match name.as_str() {
            "--seed" => options.seed = Some(value),
            "--bank" => options.bank = Some(value),
            "--real-scheduler" => options.is_governed = value > 0,
            "--only-bank" => options.only_bank = value > 0,
            "--seconds" => options.seconds = Some(value),
            "--cores" => options.cores = value.max(1),
            "--from" => options.from = value,
            "--count" => options.count = value,
            "--lines" => options.lines = value,
            "--keep-going" => options.keep_going = value > 0,
            _ => return Err(format!("there is no option {name}")),
        }
    }
    Ok(options)
}

/// Runs a seed, or says what was wrong.
fn examine(seed: u64, options: &Options, twice: bool) -> Result<(Run, Deeds), String> {
    let lines = usize::try_from(options.lines).unwrap_or(usize::MAX);
    let run = || {
        let run = if options.is_governed {
            run_governed(seed, lines)
        } else {
            run(seed, lines).map(|run| (run, Deeds::default()))
        };
        run.map_err(|failure| failure.to_string())
    };
    let first = run()?;
    if twice {
        let second = run()?;
        if first != second {
            return Err(format!("seed {seed} does not do the same twice: {first:?}, {second:?}"));
        }
    }
    Ok(first)
}

fn replay(seed: u64, options: &Options) -> ExitCode {
    match examine(seed, options, true) {
        Ok((Run { counts, trace }, deeds)) => {
            say(&format!("seed {seed}: nothing wrong, trace {trace:016x}\n{counts}"));
            if options.is_governed {
                say(&format!("scheduler: {deeds}"));
            }
            ExitCode::SUCCESS
        }
        Err(problem) => {
            say(&problem);
            ExitCode::FAILURE
        }
    }
}

/// Runs a seed as a bank, or says what was wrong.
fn examine_bank(seed: u64, options: &Options, twice: bool) -> Result<bank::Run, String> {
    let lines = usize::try_from(options.lines).unwrap_or(usize::MAX);
    let first = bank::run(seed, lines).map_err(|failure| failure.to_string())?;
    if twice {
        let second = bank::run(seed, lines).map_err(|failure| failure.to_string())?;
        if first != second {
            return Err(format!("bank {seed} does not do the same twice: {first:?}, {second:?}"));
        }
    }
    Ok(first)
}

fn replay_bank(seed: u64, options: &Options) -> ExitCode {
    match examine_bank(seed, options, true) {
        Ok(bank::Run { counts, trace }) => {
            say(&format!("bank {seed}: nothing wrong, trace {trace:016x}\n{counts}"));
            ExitCode::SUCCESS
        }
        Err(problem) => {
            say(&problem);
            ExitCode::FAILURE
        }
    }
}

/// What all cores work on.
struct Work {
    next: AtomicU64,
    end: u64,
    is_over: AtomicBool,
    counts: Mutex<Counts>,
    deeds: Mutex<Deeds>,
    banks: Mutex<bank::Counts>,
    failures: Mutex<u64>,
}

fn simulate(options: &Options) -> ExitCode {
    let clock = SystemClock;
    let start = clock.now();
    let from = match options.seconds {
        // A run by time takes seeds that nobody has tried.
        Some(_) if options.from == 1 => clock.wall().as_secs() * 1_000_000,
        Some(_) | None => options.from,
    };
    let work = Work {
        next: AtomicU64::new(from),
        end: from.saturating_add(options.count),
        is_over: AtomicBool::new(false),
        counts: Mutex::default(),
        deeds: Mutex::default(),
        banks: Mutex::default(),
        failures: Mutex::default(),
    };
    std::thread::scope(|scope| {
        for _ in 0..options.cores {
            scope.spawn(|| labour(&work, options));
        }
    });
    let counts = work.counts.into_inner().expect("no core died");
    let failures = work.failures.into_inner().expect("no core died");
    let seconds = clock.now().since(start).as_secs_f64();
    let minutes = counts.millis / 60_000;
    say(&format!("{counts}\n{seconds:.1} s for {minutes} simulated minutes"));
    let banks = work.banks.into_inner().expect("no core died");
    let deeds = work.deeds.into_inner().expect("no core died");
    if options.is_governed {
        say(&format!("scheduler: {deeds}"));
    } else {
        say(&format!("banks: {banks}"));
    }
    if failures > 0 {
        say(&format!("{failures} seeds failed"));
        return ExitCode::FAILURE;
    }
    // Under the real scheduler no replica is damaged at rest, and everything else is told by its deeds.
    let missing = if options.is_governed {
        deeds.missing()
    } else {
        [counts.missing(), banks.missing()].concat()
    };
    if !missing.is_empty() {
        say(&format!("that proves too little: hardly any {}", missing.join(", ")));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn labour(work: &Work, options: &Options) {
    let start = SystemClock.now();
    while !work.is_over.load(Ordering::Relaxed) {
        let seed = work.next.fetch_add(1, Ordering::Relaxed);
        let is_done = match options.seconds {
            Some(limit) => SystemClock.now().since(start) >= Duration::from_secs(limit),
            None => seed >= work.end,
        };
        if is_done {
            return;
        }
        if !options.only_bank {
            match examine(seed, options, seed.is_multiple_of(100)) {
                Ok((run, deeds)) => {
                    *work.counts.lock().expect("no core died") += run.counts;
                    *work.deeds.lock().expect("no core died") += deeds;
                }
                Err(problem) => work.fail(&problem, options),
            }
        }
        if !options.is_governed && (options.only_bank || seed.is_multiple_of(4)) {
            match examine_bank(seed, options, seed.is_multiple_of(100)) {
                Ok(run) => *work.banks.lock().expect("no core died") += run.counts,
                Err(problem) => work.fail(&problem, options),
            }
        }
    }
}

impl Work {
    fn fail(&self, problem: &str, options: &Options) {
        self.is_over.store(!options.keep_going, Ordering::Relaxed);
        *self.failures.lock().expect("no core died") += 1;
        say(problem);
    }
}

/// The one place where this program prints.
fn say(text: &str) {
    #![expect(clippy::print_stdout, reason = "it is what the program is for")]
    println!("{text}");
}
