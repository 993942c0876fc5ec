//! What a cluster gives its users: load from outside, and what comes back, beside what people would use in
//! its place.
//!
//! ```text
//! tinykv-bench --playground 3 --peer etcd,bare --workload put,get --clients 1,256 --json a.json
//! tinykv-bench --system mine=10.0.0.1:2379 --workload ycsb-a --rate 5000 --html page.html
//! tinykv-bench compare a.json b.json
//! tinykv-bench trial leader-kill memory
//! ```
//!
//! # What one can believe
//!
//! - **Everybody has the same load**: the same keys, values and clients, from the same thread, in the same
//!   run. Only the message differs.
//! - **A stall is counted for all whom it hits**, when operations come at a fixed rate: [`pace`].
//! - **The tail is kept**, to one in ten thousand and the worst: [`latency`].
//! - **Answers are checked**: a value names its key, and a wrong one ends the bench: [`keys`]. The bank is
//!   audited after every run.
//! - **The tool's own share is shown.** On a small machine it competes with what it measures, so processor
//!   time per operation stands beside each figure, the tool's and the servers'.
//! - **A difference is one when the rounds do not overlap**: [`compare`].
//!
//! # How it is put together
//!
//! ```text
//!   arguments ─► bench ─► process     starts systems            results ─► text, CSV, JSON
//!           │      │  ├─► fill        gives them their keys        ├─► compare
//!           │      │  └─► drive ────────────────────────────────►  └─► page, for a browser
//!           │      │        │ clients: pace (when), workload (what), keys (which)
//!           │      └────► system      how each system is spoken to
//!           └─► trial                 clusters to which something happens, beside a target
//! ```
//!
//! # What is left out
//!
//! More than one thread, and so more than about a hundred thousand operations per second: two of these
//! beside each other do more.

mod arguments;
mod bench;
mod compare;
mod drive;
mod fill;
mod keys;
mod latency;
mod number;
mod pace;
mod page;
mod process;
mod record;
mod results;
mod system;
mod trial;
mod workload;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use program::Signals;
use runtime::clock::{Clock, SystemClock};
use tokio::net::TcpListener;

use crate::arguments::{Command, CommandLine, Options};
use crate::keys::Values;
use crate::results::Results;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let line = CommandLine::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(follow(line)),
        Err(error) => Err(error.to_string()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("tinykv-bench: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn follow(line: CommandLine) -> Result<(), String> {
    match line.command {
        None => measure(&line.options).await,
        Some(Command::Trial(wish)) => {
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            unless_interrupted(Box::pin(trial::run(&wish, &clock))).await
        }
        Some(Command::Compare { before, after }) => {
            print(&compare::compare(&read(&before)?, &read(&after)?));
            Ok(())
        }
        Some(Command::Bare { value_bytes }) => {
            let listener = TcpListener::bind("127.0.0.1:0").await;
            let listener = listener.map_err(|error| error.to_string())?;
            let address = listener.local_addr().map_err(|error| error.to_string())?;
            print(&format!("serving {address}\n"));
            system::bare::serve(listener, Values::new(value_bytes)).await
        }
    }
}

async fn measure(options: &Options) -> Result<(), String> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let results = unless_interrupted(bench::bench(options, &clock)).await?;
    print(&results.text());
    let json = serde_json::to_string_pretty(&results).map_err(|error| error.to_string())?;
    let files = [
        (&options.json, json + "\n"),
        (&options.csv, results.csv()),
        (&options.html, page::page(&results)),
    ];
    for (path, text) in files {
        if let Some(path) = path {
            let written = std::fs::write(path, text);
            written.map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    Ok(())
}

/// What is started ends with it.
async fn unless_interrupted<T, E: std::fmt::Display>(
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    let mut signals = Signals::listen().map_err(|error| error.to_string())?;
    tokio::select! {
        done = work => done.map_err(|error| error.to_string()),
        () = signals.next() => Err("interrupted; what was started is stopped".to_owned()),
    }
}

fn read(path: &Path) -> Result<Results, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
    serde_json::from_str(&text).map_err(|error| wrong(&error))
}

/// What was asked for.
#[expect(clippy::print_stdout, reason = "the tables go to the standard output")]
fn print(text: &str) {
    print!("{text}");
}

/// What happens meanwhile, and what went wrong.
#[expect(clippy::print_stderr, reason = "the tool keeps no log")]
fn say(line: &str) {
    eprintln!("{line}");
}
