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

use std::fmt::Debug;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Mutex;

use runtime::clock::{Clock, SystemClock};
use sim::bank;
use sim::outcome::Failure;
use sim::store::{Counts, Deeds, LINES, Run, run, run_governed};
use sim::swarm::Seeds;

/// What was asked for.
#[derive(Clone, Copy)]
struct Options {
    seed: Option<u64>,
    bank: Option<u64>,
    only_bank: bool,
    is_governed: bool,
    seeds: Seeds,
    cores: usize,
    lines: usize,
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
        seeds: Seeds { from: 1, count: 200, seconds: None },
        cores: 1,
        lines: LINES,
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
            "--seconds" => options.seeds.seconds = Some(value),
            "--cores" => options.cores = size(value).max(1),
            "--from" => options.seeds.from = value,
            "--count" => options.seeds.count = value,
            "--lines" => options.lines = size(value),
            "--keep-going" => options.keep_going = value > 0,
            _ => return Err(format!("there is no option {name}")),
        }
    }
    Ok(options)
}

fn size(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

impl Options {
    fn stores(&self, seed: u64) -> Result<(Run, Deeds), Box<Failure>> {
        if self.is_governed {
            run_governed(seed, self.lines)
        } else {
            run(seed, self.lines).map(|run| (run, Deeds::default()))
        }
    }

    fn bank(&self, seed: u64) -> Result<bank::Run, Box<Failure>> {
        bank::run(seed, self.lines)
    }
}

/// Runs a seed, or says what was wrong. If it is to be run twice, it must do the same.
fn examine<R: PartialEq + Debug>(
    seed: u64,
    is_twice: bool,
    run: impl Fn(u64) -> Result<R, Box<Failure>>,
) -> Result<R, String> {
    let run = |seed| run(seed).map_err(|failure| failure.to_string());
    let first = run(seed)?;
    if is_twice {
        let second = run(seed)?;
        if first != second {
            return Err(format!("seed {seed} does not do the same twice: {first:?}, {second:?}"));
        }
    }
    Ok(first)
}

/// Says how a seed ended.
fn told(ended: Result<String, String>) -> ExitCode {
    let (text, code) = match ended {
        Ok(text) => (text, ExitCode::SUCCESS),
        Err(problem) => (problem, ExitCode::FAILURE),
    };
    say(&text);
    code
}

fn replay(seed: u64, options: &Options) -> ExitCode {
    let examined = examine(seed, true, |seed| options.stores(seed));
    told(examined.map(|(Run { counts, trace }, deeds)| {
        let text = format!("seed {seed}: nothing wrong, trace {trace:016x}\n{counts}");
        if options.is_governed { format!("{text}\nscheduler: {deeds}") } else { text }
    }))
}

fn replay_bank(seed: u64, options: &Options) -> ExitCode {
    let examined = examine(seed, true, |seed| options.bank(seed));
    told(examined.map(|bank::Run { counts, trace }| {
        format!("bank {seed}: nothing wrong, trace {trace:016x}\n{counts}")
    }))
}

/// What all runs did together.
#[derive(Default)]
struct Sum {
    counts: Counts,
    deeds: Deeds,
    banks: bank::Counts,
    failures: u64,
}

fn simulate(options: &Options) -> ExitCode {
    let start = SystemClock.now();
    let sum = Mutex::new(Sum::default());
    options.seeds.each(options.cores, |seed| {
        let is_twice = seed.is_multiple_of(100);
        let mut problems = Vec::new();
        if !options.only_bank {
            match examine(seed, is_twice, |seed| options.stores(seed)) {
                Ok((run, deeds)) => {
                    let mut sum = sum.lock().expect("no core died");
                    sum.counts += run.counts;
                    sum.deeds += deeds;
                }
                Err(problem) => problems.push(problem),
            }
        }
        if !options.is_governed && (options.only_bank || seed.is_multiple_of(4)) {
            match examine(seed, is_twice, |seed| options.bank(seed)) {
                Ok(run) => sum.lock().expect("no core died").banks += run.counts,
                Err(problem) => problems.push(problem),
            }
        }
        for problem in &problems {
            say(problem);
        }
        sum.lock().expect("no core died").failures += problems.len() as u64;
        if problems.is_empty() || options.keep_going {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    let sum = sum.into_inner().expect("no core died");
    let seconds = SystemClock.now().since(start).as_secs_f64();
    let mut missing = Vec::new();
    if !options.only_bank {
        let minutes = sum.counts.millis / 60_000;
        say(&format!("{}\n{seconds:.1} s for {minutes} simulated minutes", sum.counts));
        // Under the real scheduler no replica is damaged at rest, and all else is told by its deeds.
        if !options.is_governed {
            missing.extend(sum.counts.missing());
        }
    }
    if options.is_governed {
        say(&format!("scheduler: {}", sum.deeds));
        missing.extend(sum.deeds.missing());
    } else {
        say(&format!("banks: {}", sum.banks));
        missing.extend(sum.banks.missing());
    }
    if sum.failures > 0 {
        say(&format!("{} seeds failed", sum.failures));
        return ExitCode::FAILURE;
    }
    if !missing.is_empty() {
        say(&format!("that proves too little: hardly any {}", missing.join(", ")));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// The one place where this program prints.
fn say(text: &str) {
    #![expect(clippy::print_stdout, reason = "it is what the program is for")]
    println!("{text}");
}
