//! The program: reads its settings, serves, and says why when it cannot.

use std::process::ExitCode;
use std::sync::Arc;

use runtime::clock::SystemClock;
use runtime::log::Log;
use scheduler::config::{self, ConfigError, Wish};
use scheduler::node;
use slog::{error, warn};

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The settings or the flags are wrong; nothing was started.
const MISUSED: u8 = 2;

fn main() -> ExitCode {
    // Settings are text; a variable that is none is not ours.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let (config, unknown) = match config::read(std::env::args_os(), variables) {
        Ok(Wish::Serve(config, unknown)) => (*config, unknown),
        Ok(Wish::Print(text)) => {
            print(&text);
            return ExitCode::SUCCESS;
        }
        // This is also how help and the version are asked for.
        Err(ConfigError::Flags(error)) => error.exit(),
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::from(MISUSED);
        }
    };
    let log = Log::open(&config.log, Arc::new(SystemClock));
    for name in unknown {
        warn!(log.logger(), "this variable names no setting"; "name" => name);
    }
    match node::run(&config, Arc::new(SystemClock), log.logger()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(log.logger(), "the scheduler cannot serve"; "error" => %error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "what was asked for goes to the standard output")]
fn print(text: &str) {
    print!("{text}");
}

#[expect(clippy::print_stderr, reason = "there is no log yet")]
fn complain(text: &str) {
    eprintln!("tinyscheduler-server: {text}");
}
