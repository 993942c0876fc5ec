//! Shows that the simulation finds bugs: switches planted ones on, one after the other, and waits for a
//! property to break.
//!
//! A simulation that never fails proves nothing until it has failed for a reason. The bugs are planted
//! in the crate `raft` (`runtime::mutant` lists them) and chosen by an environment variable that a process
//! reads once, so each runs in a child process. First the same seeds run without any bug, and must
//! survive. A bug that survives fails the program.

use std::process::ExitCode;

use sim::mutants::{End, examine};
use sim::raft::{LINES, STEPS, run};

/// The planted bugs, and what each does.
const BUGS: [(u32, &str); 9] = [
    (1, "a leader commits an entry of an older term by counting copies"),
    (2, "a vote is not persisted"),
    (3, "an append is acknowledged before it is on disk"),
    (4, "a restarted node forgets its vote"),
    (5, "a node campaigns with a membership change that it has not applied"),
    (6, "a pre-vote does not compare the logs"),
    (7, "a snapshot older than the commit index is accepted"),
    (8, "an append that repeats what is there truncates what follows"),
    (28, "a restarted node votes at once, while a lease that it granted still runs"),
];

/// A bug that is not found in so many seeds survives.
const SEEDS_MAX: u64 = 100_000;

/// How many of them are run without a bug.
const BASELINE: u64 = 1000;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("--child"), Some(seeds)) => child(seeds.parse().unwrap_or(BASELINE)),
        (None, _) => parent(),
        _ => {
            say("this program takes no arguments");
            ExitCode::from(2)
        }
    }
}

/// Runs seeds until one fails, and says which and why.
fn child(seeds: u64) -> ExitCode {
    std::panic::set_hook(Box::new(|_| {}));
    for seed in 1..=seeds {
        if let Err(failure) = run(seed, STEPS, LINES) {
            let property = failure.violation.property.name;
            let why = failure.violation.detail.lines().next().unwrap_or_default().to_owned();
            say(&format!("{seed}|{property}|{why}"));
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn parent() -> ExitCode {
    say("| bug | what it does | killed by | seeds | seconds | what was seen |");
    say("|---|---|---|---:|---:|---|");
    let (baseline, seconds) = examine(&[&BASELINE.to_string()], None);
    if let Some(end) = baseline {
        say(&format!("| none | | **{}** in seed {}: {} |", end.property, end.seed, end.why));
        return ExitCode::FAILURE;
    }
    say(&format!("| none | the code as it is | nothing | {BASELINE} | {seconds:.1} | |"));
    let mut survivors = 0;
    for (bug, what) in BUGS {
        let (end, seconds) = examine(&[&SEEDS_MAX.to_string()], Some(bug));
        if let Some(End { seed, property, why }) = end {
            say(&format!("| {bug} | {what} | {property} | {seed} | {seconds:.1} | {why} |"));
        } else {
            survivors += 1;
            say(&format!("| {bug} | {what} | **nothing** | {SEEDS_MAX} | {seconds:.1} | |"));
        }
    }
    let killed = BUGS.len() - survivors;
    say(&format!(
        "\n{killed} of {} planted bugs killed by the simulation of the core.",
        BUGS.len()
    ));
    if survivors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The one place where this program prints.
fn say(text: &str) {
    #![expect(clippy::print_stdout, reason = "it is what the program is for")]
    println!("{text}");
}
