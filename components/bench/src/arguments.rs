//! What the tool can be told.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::keys::{Distribution, Values};
use crate::trial::Name;
use crate::workload::Workload;

/// Puts load on key-value stores, and says what came back.
///
/// Each --system, --playground and --peer is a system; the first one is what the others are compared with.
/// Workloads are run one after the other, each in rounds in which the systems take turns.
#[derive(Debug, Parser)]
#[command(name = "tinykv-bench", version, args_conflicts_with_subcommands = true)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) options: Options,
}

/// What else it does.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Hold two results against each other.
    Compare {
        /// A file of --json.
        before: PathBuf,
        /// Another one.
        after: PathBuf,
    },
    /// Start clusters, do to them what happens to clusters, and hold what comes of it against a target.
    Trial(Trials),
    /// Be a server with nothing behind it, until killed.
    #[command(hide = true)]
    Bare {
        /// As below.
        #[arg(long)]
        value_bytes: usize,
    },
}

/// A system to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// Debian's etcd, three members.
    Etcd,
    /// Debian's redis, one process.
    Redis,
    /// A server with nothing behind it.
    Bare,
}

/// A system that somebody else has started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) address: String,
}

fn named(text: &str) -> Result<Named, String> {
    let (name, address) = text.split_once('=').ok_or("write it as NAME=ADDRESS")?;
    if name.is_empty() || address.is_empty() {
        return Err("neither the name nor the address may be empty".to_owned());
    }
    Ok(Named { name: name.to_owned(), address: address.to_owned() })
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "that is no number of seconds")?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn some_seconds(text: &str) -> Result<Duration, String> {
    let length = seconds(text)?;
    if length.is_zero() { Err("nothing can be measured in no time".to_owned()) } else { Ok(length) }
}

fn value_bytes(text: &str) -> Result<usize, String> {
    let bytes: usize = text.parse().map_err(|_| "that is no number of bytes")?;
    let most = Values::BYTES_MAX;
    if bytes <= most { Ok(bytes) } else { Err(format!("values have at most {most} bytes")) }
}

/// A bench.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Start a cluster of so many stores, and end it afterwards.
    #[arg(long, value_name = "STORES", value_parser = clap::value_parser!(u16).range(1..=32))]
    pub(crate) playground: Option<u16>,

    /// A cluster that runs, by the address of its scheduler; or etcd://HOST:PORT, or redis://HOST:PORT.
    #[arg(long = "system", value_name = "NAME=ADDRESS", value_parser = named)]
    pub(crate) systems: Vec<Named>,

    /// Start this beside it.
    #[arg(long = "peer", value_name = "NAME", value_delimiter = ',')]
    pub(crate) peers: Vec<Peer>,

    /// Where `make etcd` and `make redis` have put them.
    #[arg(long, value_name = "DIR", default_value = "target/debian")]
    pub(crate) debian: PathBuf,

    /// What the clients do.
    #[arg(
        long = "workload",
        value_name = "NAME",
        value_delimiter = ',',
        default_value = "put,get"
    )]
    pub(crate) workloads: Vec<Workload>,

    /// Do it in transactions. A cluster holds raw or transactional data, not both.
    #[arg(long)]
    pub(crate) transactions: bool,

    /// Put each TinyKV cluster under the load a second time, as `NAME batched`: with the requests of all
    /// clients over one stream to each store. The first time each request is a call of its own.
    #[arg(long)]
    pub(crate) batched: bool,

    /// How many operations may be under way at once; several numbers are several runs.
    #[arg(long, value_name = "NUMBER", value_delimiter = ',', default_value = "64",
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) clients: Vec<u32>,

    /// Begin so many operations per second, whether or not the ones before are done. Latency counts from
    /// when an operation was due. Without this, each client begins the next one when the last is done.
    #[arg(long, value_name = "PER SECOND",
          value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) rate: Option<u64>,

    /// How long each run is measured, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = some_seconds)]
    pub(crate) seconds: Duration,

    /// How long each run warms up before that.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pub(crate) warm_up: Duration,

    /// How often every system has its turn.
    #[arg(long, value_name = "NUMBER", default_value_t = 3,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,

    /// How many keys, or accounts, there are at the beginning.
    #[arg(long, value_name = "NUMBER", default_value_t = 100_000,
          value_parser = clap::value_parser!(u64).range(2..=1_000_000_000))]
    pub(crate) keys: u64,

    /// How long values are.
    #[arg(long, value_name = "BYTES", default_value = "100", value_parser = value_bytes)]
    pub(crate) value_bytes: usize,

    /// How many rows one scan of the workload `scan` reads.
    #[arg(long, value_name = "NUMBER", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) scan_rows: u32,

    /// Which keys are asked for more often; what the workload says where this does not.
    #[arg(long, value_name = "NAME")]
    pub(crate) distribution: Option<Distribution>,

    /// What all chance derives from.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,

    /// A line to keep with the results.
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,

    /// Write everything to this file, for `compare`.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Write a line for every run to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,

    /// Write a page with plots over time to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

/// Trials.
#[derive(Clone, Debug, Args)]
pub(crate) struct Trials {
    /// Which of them.
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<Name>,

    /// Where `make etcd` has put it.
    #[arg(long, value_name = "DIR", default_value = "target/debian")]
    pub(crate) debian: PathBuf,

    /// How many operations may be under way at once.
    #[arg(long, value_name = "NUMBER", default_value_t = 256,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) clients: u32,

    /// How long each rate is measured, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = some_seconds)]
    pub(crate) seconds: Duration,

    /// How long a load warms up before that.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pub(crate) warm_up: Duration,

    /// How often what is compared takes turns, and how many snapshots travel.
    #[arg(long, value_name = "NUMBER", default_value_t = 3,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,

    /// How many keys loads write and read.
    #[arg(long, value_name = "NUMBER", default_value_t = 100_000,
          value_parser = clap::value_parser!(u64).range(8..=1_000_000_000))]
    pub(crate) keys: u64,

    /// memory: how many keys are put.
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000_000,
          value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) puts: u64,

    /// snapshot: how large the region is.
    #[arg(long, value_name = "MIB", default_value_t = 96,
          value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) region_mib: u64,

    /// leader-kill: how many leaders.
    #[arg(long, value_name = "NUMBER", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) kills: u32,

    /// endurance: how long the load goes on, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = some_seconds)]
    pub(crate) endurance: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        parse_all(line).map(|line| line.options)
    }

    fn parse_all(line: &str) -> Result<CommandLine, String> {
        let words = std::iter::once("tinykv-bench").chain(line.split_whitespace());
        CommandLine::try_parse_from(words).map_err(|error| error.to_string())
    }

    #[test]
    fn trials_have_names_and_settings_of_their_own() {
        let line = parse_all("trial leader-kill memory --kills 2 --seconds 0.5").unwrap();
        let Some(Command::Trial(wish)) = line.command else { panic!("it is a trial") };
        assert_eq!(wish.names, [Name::LeaderKill, Name::Memory]);
        assert_eq!((wish.kills, wish.seconds), (2, Duration::from_millis(500)));
        assert_eq!(wish.endurance, Duration::from_mins(10));
    }

    #[test]
    fn lists_may_have_commas_and_systems_have_names() {
        let options = parse("--system a=127.0.0.1:1 --system b=etcd://h:2,i:3 --workload put,ycsb-a --clients 1,256 --seconds 0.5").unwrap();
        assert_eq!(options.systems[1].address, "etcd://h:2,i:3");
        assert_eq!(options.workloads, [Workload::Put, Workload::YcsbA]);
        assert_eq!(options.clients, [1, 256]);
        assert_eq!(options.seconds, Duration::from_millis(500));
        assert_eq!(parse("").unwrap().workloads, [Workload::Put, Workload::Get]);
        assert!(parse("--batched").unwrap().batched && !options.batched);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let cases = [
            ("--system 127.0.0.1:1", "write it as NAME=ADDRESS"),
            ("--system =x", "may be empty"),
            ("--seconds 0", "in no time"),
            ("--seconds=-1", "negative"),
            ("--value-bytes 999999999", "at most 524288 bytes"),
            ("--clients 0", "not in 1..=10000"),
            ("--keys 1", "not in 2..=1000000000"),
            ("--workload sing", "possible values"),
            ("trial", "<NAME>..."),
            ("trial sing", "possible values"),
        ];
        for (line, expected) in cases {
            let error = parse(line).expect_err(line);
            assert!(error.contains(expected), "{line}: {error}");
        }
    }
}
