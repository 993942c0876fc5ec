//! `tinykv-ctl`: words in, an answer or an error out. What it can do is in the library.

use std::process::ExitCode;

use clap::Parser;
use ctl::output::{Style, render_error};
use ctl::{CommandLine, CtlError, Output, Session};

fn main() -> ExitCode {
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        // This is also how help and the version are asked for. It ends with 2 if it was a mistake.
        Err(error) => error.exit(),
    };
    match answer(&line) {
        Ok(output) => {
            print(&output.render(line.options.output));
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&render_error(&error, line.options.output));
            ExitCode::from(error.exit.code())
        }
    }
}

fn answer(line: &CommandLine) -> ctl::Result<Output> {
    if let Some(answer) = Session::without(&line.command, line.options.form) {
        return answer;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CtlError::system(&error))?;
    // Who reads JSON wants the end, and not the way there.
    let is_watched = line.options.output == Style::Table;
    let mut progress = |text: String| {
        if is_watched {
            complain(&format!("{text}\n"));
        }
    };
    runtime.block_on(async {
        let session = Session::connect(&line.options).await?;
        session.run(&line.command, &mut progress).await
    })
}

/// A reader that has gone away, such as `head`, is not our business.
fn print(text: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes());
}

fn complain(text: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
}
