//! The outermost function of a program: reads its settings, serves, and says why when it cannot.

use std::fmt::Display;
use std::process::ExitCode;
use std::sync::Arc;

use runtime::clock::SystemClock;
use runtime::log::{LevelSwitch, Log};
use slog::{Logger, error, warn};

use crate::arguments::{self, ArgumentsError, Config, Told, Wish};

/// The settings or the flags are wrong; nothing was started.
const MISUSED: u8 = 2;

/// What a program can say about how it was started.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Its settings as text, each with where it came from.
    pub settings: String,
    /// What it logs, which may be changed while it runs.
    pub level: LevelSwitch,
}

/// Runs a program: `serve` returns when it was asked to stop, or cannot go on.
pub fn entry<C: Config, E: Display>(
    serve: impl FnOnce(&C, &About, &Logger) -> Result<(), E>,
) -> ExitCode {
    // Settings are text; a variable that is none is not ours.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let told = match arguments::read::<C>(std::env::args_os(), variables) {
        Ok(Wish::Serve(told)) => *told,
        Ok(Wish::Print(text)) => {
            print(&text);
            return ExitCode::SUCCESS;
        }
        // This is also how help and the version are asked for.
        Err(ArgumentsError::Flags(error)) => error.exit(),
        Err(error) => {
            complain(C::PROGRAM, &error);
            return ExitCode::from(MISUSED);
        }
    };
    let Told { config, described, unknown } = told;
    let log = Log::open(config.log(), Arc::new(SystemClock));
    for name in unknown {
        warn!(log.logger(), "this variable names no setting"; "name" => name);
    }
    let about = About { settings: described, level: log.level().clone() };
    match serve(&config, &about, log.logger()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(log.logger(), "cannot serve"; "error" => %error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "what was asked for goes to the standard output")]
fn print(text: &str) {
    print!("{text}");
}

#[expect(clippy::print_stderr, reason = "there is no log yet")]
fn complain(program: &str, error: &ArgumentsError) {
    eprintln!("{program}: {error}");
}
