//! Plants bugs in the stores, one after the other, and shows which property finds each, and how soon.
//!
//! Each bug gets a child process of this program, because a bug is chosen by the environment. The table
//! is Markdown, for `docs/simulation.md`. The exit code says whether all bugs were found.

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Mutex;

use sim::mutants::{End, examine};
use sim::store::Violation;
use sim::swarm::Seeds;
use sim::{bank, store};

/// The bugs of `runtime::mutant` that this simulation is to find. The one that is not
/// here, 16, is found by the tests of snapshots.
const BUGS: [(u32, &str); 12] = [
    (9, "the applied index is written in a batch of its own"),
    (10, "the log is deleted before the data that it led to is on disk"),
    (11, "the epoch is not checked when a command is applied"),
    (12, "the epoch is not checked when a read is served"),
    (13, "a split does not check its key"),
    (14, "no tombstone is written for a removed peer"),
    (15, "a snapshot is accepted whose range overlaps another region"),
    (17, "a reply is matched by its index alone"),
    (18, "the lease is kept when leadership is handed over"),
    (25, "a change of a region's state is not synced"),
    (27, "a write may be proposed in another term than it was computed in"),
    (29, "a snapshot that was being built when its region was split is sent after it"),
];

/// The bugs that the bank over whole stores is to find: those of transactions, and
/// the one of the stores that transactions are most exposed to.
const BANK_BUGS: [(u32, &str); 5] = [
    (19, "a rollback leaves no record"),
    (20, "a write conflict is looked for after the start only, not at it"),
    (21, "a read ignores locks"),
    (22, "the status of a transaction is checked without its latch"),
    (27, "a write may be proposed in another term than it was computed in"),
];

/// What is simulated: the registers and lists of whole stores, or the bank over them.
#[derive(Clone, Copy)]
enum Play {
    Stores,
    Bank,
}

impl Play {
    fn name(self) -> &'static str {
        match self {
            Play::Stores => "stores",
            Play::Bank => "bank",
        }
    }

    /// What is wrong with a seed.
    fn run(self, seed: u64) -> Option<Violation> {
        match self {
            Play::Stores => store::run(seed, 0).err().map(|failure| failure.violation),
            Play::Bank => bank::run(seed, 0).err().map(|failure| failure.violation),
        }
    }
}

/// Seeds that must be clean without a bug.
const BASELINE: u64 = 200;

/// After so many seeds a bug has survived.
const SEEDS_MAX: u64 = 20_000;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("--child") => {
            let is_bank = arguments.next().as_deref() == Some(Play::Bank.name());
            let play = if is_bank { Play::Bank } else { Play::Stores };
            child(play, arguments.next().and_then(|count| count.parse().ok()))
        }
        Some(number) => parent(number.parse().ok()),
        None => parent(None),
    }
}

/// Looks for a seed that fails, on two threads. Says which, what was broken and how.
fn child(play: Play, count: Option<u64>) -> ExitCode {
    std::panic::set_hook(Box::new(|_| {}));
    let count = count.unwrap_or(SEEDS_MAX);
    let found = Mutex::new(None);
    Seeds { from: 1, count, seconds: None }.each(2, |seed| {
        let Some(violation) = play.run(seed) else { return ControlFlow::Continue(()) };
        let mut found = found.lock().expect("nobody panics with it");
        // Those that were under way with the first one may have smaller seeds.
        if found.as_ref().is_none_or(|(first, _)| seed < *first) {
            *found = Some((seed, violation));
        }
        ControlFlow::Break(())
    });
    match found.into_inner().expect("nobody panicked with it") {
        None => ExitCode::SUCCESS,
        Some((seed, violation)) => {
            let detail: String = violation.detail.chars().take(160).collect();
            say(&format!("{seed}|{}|{}", violation.property.name, one_line(&detail)));
            ExitCode::FAILURE
        }
    }
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '|'], " ")
}

/// Runs one child without a bug and one for each bug, or only for the bug that was asked for.
fn parent(only: Option<u32>) -> ExitCode {
    say("| in | bug | what it does | killed by | seed | seconds | what was seen |");
    say("|---|---|---|---|---:|---:|---|");
    let (mut killed, mut all) = (0, 0);
    for (play, bugs) in [(Play::Stores, &BUGS[..]), (Play::Bank, &BANK_BUGS)] {
        let name = play.name();
        if only.is_none() {
            let (baseline, seconds) = examine(&[name, &BASELINE.to_string()], None);
            if let Some(End { seed, property, why }) = baseline {
                say(&format!("| {name} | none | | **{property}** in seed {seed}: {why} |"));
                return ExitCode::FAILURE;
            }
            let what = "the code as it is | nothing";
            say(&format!("| {name} | none | {what} | {BASELINE} | {seconds:.1} | |"));
        }
        for (bug, what) in bugs.iter().filter(|(bug, _)| only.is_none_or(|only| only == *bug)) {
            let (end, seconds) = examine(&[name, &SEEDS_MAX.to_string()], Some(*bug));
            all += 1;
            let end = if let Some(End { seed, property, why }) = end {
                killed += 1;
                format!("{property} | {seed} | {seconds:.1} | {why}")
            } else {
                format!("**nothing** | {SEEDS_MAX} | {seconds:.1} |")
            };
            say(&format!("| {name} | {bug} | {what} | {end} |"));
        }
    }
    say(&format!("\n{killed} of {all} planted bugs killed by the simulation of whole stores."));
    if killed == all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The one place where this program prints.
fn say(text: &str) {
    #![expect(clippy::print_stdout, reason = "it is what the program is for")]
    println!("{text}");
}
