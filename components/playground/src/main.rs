//! A cluster to play with: a scheduler and some stores, started and stopped by one command, and a prompt.
//!
//! The parts are the real programs, each a process of its own with its data and its log in one
//! directory. The playground starts them in order, tells where they are, does what is typed, notices when
//! one ends that was not told to, and stops them all when it is asked to.

mod banner;
mod cluster;
mod console;
mod member;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use ctl::Session;
use program::Signals;
use runtime::clock::{Clock, SystemClock};
use runtime::flags::with_two_dashes;

use crate::cluster::{Cluster, Ended, PlaygroundError};
use crate::console::{HELP, Lines, Wish};

/// How many replicas the scheduler gives a region, if there are so many stores.
const REPLICAS: usize = 3;

/// How long it may take until they are there.
const REPLICATED_MAX: Duration = Duration::from_secs(10);

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(50);

/// A TinyKV cluster to play with: one scheduler and some stores on this machine, and a prompt.
///
/// Everything listens on loopback only. Without --dir the data is gone when the playground ends. Commands
/// may come from a file or a pipe: then it ends after the last of them.
#[derive(Debug, Parser)]
#[command(name = "tinykv-playground", version)]
pub(crate) struct CommandLine {
    /// How many stores to start.
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=32))]
    stores: u16,

    /// Keep data and logs in this directory, and go on with what is there.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// The scheduler's port; 0 takes any free one.
    #[arg(long, value_name = "PORT", default_value_t = 2379)]
    scheduler_port: u16,

    /// The port of the first store; the others get the ones after it. 0 takes any free ones.
    #[arg(long, value_name = "PORT", default_value_t = 20160)]
    store_port: u16,

    /// Read and write raw keys at the prompt. A cluster holds raw data or that of transactions, not both.
    #[arg(long)]
    raw: bool,
}

fn main() -> ExitCode {
    let line = match CommandLine::try_parse_from(with_two_dashes(std::env::args_os())) {
        Ok(line) => line,
        Err(error) => error.exit(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let played =
        runtime.map_err(PlaygroundError::from).and_then(|runtime| runtime.block_on(play(&line)));
    match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            banner::complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Starts a cluster, does what is typed until it is to end, and stops it.
async fn play(line: &CommandLine) -> Result<(), PlaygroundError> {
    let mut signals = Signals::listen()?;
    let mut cluster = Cluster::new(line)?;
    let session = tokio::select! {
        session = start(&mut cluster, line) => session.map(Some),
        () = signals.next() => Ok(None),
    };
    let played = match session {
        Ok(Some(session)) => talk(&mut cluster, &session, line, &mut signals).await,
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    banner::say("stopping ...");
    cluster.stop().await;
    banner::say("stopped.");
    played
}

async fn start(cluster: &mut Cluster, line: &CommandLine) -> Result<Session, PlaygroundError> {
    cluster.start(line).await?;
    let session = Session::connect(&cluster.options()).await?;
    cluster.name_stores(&session).await?;
    wait_for_replicas(&session, usize::from(line.stores)).await?;
    Ok(session)
}

/// Waits until every region has the replicas that the scheduler gives it, so that a store may be killed right
/// away. A cluster of before, whose stores were removed, may never have them; it is usable all the same.
async fn wait_for_replicas(session: &Session, stores: usize) -> Result<(), PlaygroundError> {
    let clock = SystemClock;
    let start = clock.now();
    let replicas = stores.min(REPLICAS);
    while session.fewest_replicas().await? < replicas && clock.now().since(start) < REPLICATED_MAX {
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// What happens next.
enum Event {
    /// Somebody has typed this, or nobody will any more.
    Line(Option<String>),
    /// A part has ended by itself.
    Ended(Ended),
    /// The process is to end.
    Stop,
}

/// Does what is typed.
async fn talk(
    cluster: &mut Cluster,
    session: &Session,
    line: &CommandLine,
    signals: &mut Signals,
) -> Result<(), PlaygroundError> {
    let mut lines = Lines::open()?;
    banner::welcome(cluster, line, lines.is_terminal());
    let mut failed = 0;
    loop {
        let event = tokio::select! {
            typed = lines.next() => Event::Line(typed),
            ended = cluster.wait() => Event::Ended(ended),
            () = signals.next() => Event::Stop,
        };
        let typed = match event {
            Event::Line(Some(typed)) => typed,
            Event::Line(None) | Event::Stop => break,
            Event::Ended(Ended { name, status, log }) => {
                return Err(PlaygroundError::Ended { name, status, log });
            }
        };
        let wish = match console::parse(&typed, line.raw) {
            Ok(Wish::Quit) => break,
            Ok(wish) => wish,
            Err(what) => {
                banner::complain(&what);
                failed += 1;
                continue;
            }
        };
        let done = tokio::select! {
            done = fulfil(cluster, session, wish) => done,
            () = signals.next() => break,
        };
        if let Err(error) = done {
            banner::complain(&error.to_string());
            failed += 1;
        }
    }
    // Whoever sits there has seen it.
    if failed > 0 && !lines.is_terminal() {
        return Err(PlaygroundError::Commands { failed });
    }
    Ok(())
}

async fn fulfil(
    cluster: &mut Cluster,
    session: &Session,
    wish: Wish,
) -> Result<(), PlaygroundError> {
    let text = match wish {
        Wish::Ctl(command) => console::run(session, &command).await?,
        Wish::Leaders => console::leaders(session).await?,
        Wish::Kill(store) => {
            cluster.kill(store).await?;
            format!("store {store} is dead")
        }
        Wish::Restart(store) => {
            cluster.restart(store).await?;
            format!("store {store} serves again")
        }
        Wish::Help => HELP.to_owned(),
        Wish::Quit | Wish::Nothing => return Ok(()),
    };
    banner::say(text.trim_end());
    Ok(())
}
