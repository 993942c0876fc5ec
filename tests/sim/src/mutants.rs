//! What the two `mutants` programs share: a child process with a planted bug, and how it ends.
//!
//! A bug is chosen by an environment variable that a process reads once, so each gets a child process. One
//! that finds something says `seed|property|what was seen`, and fails.

use std::process::Command;

use runtime::clock::{Clock, SystemClock};

/// How a child ended that found something.
#[derive(Debug)]
pub struct End {
    /// The seed that failed.
    pub seed: String,
    /// The property that it broke.
    pub property: String,
    /// What was seen.
    pub why: String,
}

/// Runs this program again as `--child` with more arguments and a bug, or without one; returns how it
/// ended, if not well, and the seconds.
///
/// # Panics
///
/// If the program cannot start itself.
pub fn examine(arguments: &[&str], bug: Option<u32>) -> (Option<End>, f64) {
    let clock = SystemClock;
    let start = clock.now();
    let program = std::env::current_exe().expect("a program knows its own path");
    let mut command = Command::new(program);
    command.arg("--child").args(arguments).env_remove("TINYKV_MUTANT");
    if let Some(bug) = bug {
        command.env("TINYKV_MUTANT", bug.to_string());
    }
    let output = command.output().expect("a program can start itself");
    let seconds = clock.now().since(start).as_secs_f64();
    if output.status.success() {
        return (None, seconds);
    }
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let mut parts = text.splitn(3, '|').map(str::to_owned);
    let mut next = || parts.next().unwrap_or_else(|| "it crashed".into());
    (Some(End { seed: next(), property: next(), why: next() }), seconds)
}
