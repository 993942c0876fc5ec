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

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Mutex;

use runtime::clock::{Clock, SystemClock};
use sim::outcome::Failure;
use sim::raft::{Counts, LINES, Run, STEPS, run};
use sim::swarm::Seeds;

/// What was asked for.
struct Options {
    seed: Option<u64>,
    seeds: Seeds,
    cores: u32,
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
        seeds: Seeds { from: 1, count: 200, seconds: None },
        cores: 1,
        steps: STEPS,
        lines: LINES as u64,
    };
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or(format!("{name} needs a value"))?;
        let value: u64 = value.parse().map_err(|_| format!("{name} needs a number"))?;
        match name.as_str() {
            "--seed" => options.seed = Some(value),
            "--seconds" => options.seeds.seconds = Some(value),
            "--cores" => options.cores = u32::try_from(value).unwrap_or(1).max(1),
            "--from" => options.seeds.from = value,
            "--count" => options.seeds.count = value,
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

fn simulate(options: &Options) -> ExitCode {
    let start = SystemClock.now();
    let (counts, failure) = (Mutex::new(Counts::default()), Mutex::new(None));
    options.seeds.each(options.cores as usize, |seed| match options.run(seed) {
        Ok(run) => {
            *counts.lock().expect("no core died") += run.counts;
            ControlFlow::Continue(())
        }
        Err(found) => {
            failure.lock().expect("no core died").get_or_insert(found);
            ControlFlow::Break(())
        }
    });
    let counts = counts.into_inner().expect("no core died");
    let seconds = SystemClock.now().since(start).as_secs_f64();
    say(&counts.to_string());
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no twelve digits")]
    let rate = counts.steps as f64 * 60e-6 / seconds;
    let each = rate / f64::from(options.cores);
    say(&format!("{seconds:.1} s; {rate:.1} million steps a minute, {each:.1} on each core"));
    if let Some(failure) = failure.into_inner().expect("no core died") {
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

/// The one place where this program prints.
fn say(text: &str) {
    #![expect(clippy::print_stdout, reason = "it is what the program is for")]
    println!("{text}");
}
