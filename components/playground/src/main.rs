//! A cluster to play with: a scheduler and some stores, started and stopped by one command.
//!
//! The parts are the real programs, each a process of its own with its data and its log in one
//! directory. The playground only starts them in order, tells where they are, notices when one ends, and
//! stops them all when it is asked to.

mod banner;
mod cluster;
mod member;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use runtime::flags::with_two_dashes;
use tokio::signal::unix::{SignalKind, signal};

use crate::cluster::{Cluster, Ended, PlaygroundError};

/// A TinyKV cluster to play with: one scheduler and some stores on this machine.
///
/// Everything listens on loopback only. Without --dir the data is gone when the playground ends.
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

/// Starts a cluster, waits until it is to end, and stops it.
async fn play(line: &CommandLine) -> Result<(), PlaygroundError> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut cluster = Cluster::new(line)?;
    let started = tokio::select! {
        started = cluster.start(line) => started,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    if started.is_ok() && cluster.is_complete(line) {
        banner::welcome(&cluster);
        let ended = tokio::select! {
            _ = interrupt.recv() => None,
            _ = terminate.recv() => None,
            ended = cluster.wait() => Some(ended),
        };
        if let Some(Ended { name, status, log }) = ended {
            cluster.stop().await;
            return Err(PlaygroundError::Ended { name, status, log });
        }
    }
    banner::say("stopping ...");
    cluster.stop().await;
    banner::say("stopped.");
    started
}
