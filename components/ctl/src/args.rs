//! The command line: every command, in words.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use runtime::units::Period;

use crate::form::Form;
use crate::output::Style;

/// Looks at a TinyKV cluster, reads and writes keys, changes regions, collects old versions.
///
/// Keys and values are text; \n \r \t \\ and \x0a stand for what cannot be typed. What is printed follows
/// the same rule.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "tinykv-ctl",
    version,
    after_help = "Exit status: 0 done, 1 not done, 2 misused, 3 nobody knows whether it is done, 4 no such thing."
)]
pub struct CommandLine {
    /// Whom to ask.
    #[command(flatten)]
    pub options: Options,
    /// What is wanted.
    #[command(subcommand)]
    pub command: Command,
}

/// What all commands have in common.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// The scheduler's address; several of them with commas.
    #[arg(
        long,
        global = true,
        env = "TINYKV_SCHEDULER",
        default_value = "127.0.0.1:2379",
        value_name = "ADDR"
    )]
    pub scheduler: String,
    /// How the answer looks.
    #[arg(long, short, global = true, value_enum, default_value_t, value_name = "STYLE")]
    pub output: Style,
    /// How keys and values are written, by you and by the answer.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORM")]
    pub form: Form,
    /// How long to try.
    #[arg(long, global = true, default_value = "20s", value_name = "PERIOD")]
    pub timeout: Period,
}

/// What somebody wants.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Command {
    /// Reads and writes raw keys, in a cluster that is used for them.
    #[command(subcommand)]
    Raw(Data),
    /// Reads and writes keys in transactions, one for each command.
    #[command(subcommand)]
    Txn(Data),
    /// Lists regions in the order of their keys.
    Regions(Regions),
    /// Shows a region: its range, its peers, and how each of them is.
    Region(Region),
    /// Lists the stores.
    Stores {
        /// Those that were removed for ever as well.
        #[arg(long)]
        all: bool,
    },
    /// Lists the schedulers.
    Members,
    /// Shows what the scheduler is doing with regions, or did last.
    Operators {
        /// One region, in place of all.
        region: Option<u64>,
    },
    /// Cuts a region in two at a key.
    Split {
        /// The first key of the right part.
        key: String,
        /// The key is a raw one.
        #[arg(long)]
        raw: bool,
    },
    /// Hands the leadership of a region to its peer on a store, and waits for it.
    TransferLeader(Place),
    /// Gives a region a peer on a store.
    AddPeer(Place),
    /// Takes a region's peer on a store away.
    RemovePeer(Place),
    /// Collects old versions everywhere: raises the safe point, ends old transactions, removes what
    /// nobody can see any more.
    Gc(Gc),
    /// Shows what a store that does not run has on its disk.
    Offline {
        /// The directory that the store was started with.
        dir: PathBuf,
        /// One region, with the state of its log.
        region: Option<u64>,
    },
    /// Prints what a shell needs to complete commands.
    Completion {
        /// Which shell.
        shell: Shell,
    },
}

/// What is done with keys.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Data {
    /// Prints the value of a key.
    Get {
        /// The key.
        key: String,
        /// As of this timestamp; only in transactions.
        #[arg(long, value_name = "TIMESTAMP")]
        at: Option<u64>,
    },
    /// Gives a key a value.
    Put {
        /// The key.
        key: String,
        /// Its value; it may be empty.
        value: String,
    },
    /// Removes a key.
    Delete {
        /// The key.
        key: String,
    },
    /// Lists keys and values.
    Scan {
        /// The first key; the first of all without.
        #[arg(default_value = "")]
        start: String,
        /// The first key that is not wanted; empty is the end of all.
        #[arg(default_value = "")]
        end: String,
        /// The most pairs to list.
        #[arg(long, default_value_t = 100, value_name = "NUMBER")]
        limit: usize,
        /// As of this timestamp; only in transactions.
        #[arg(long, value_name = "TIMESTAMP")]
        at: Option<u64>,
    },
}

/// Which regions to list.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct Regions {
    /// The key whose region comes first; the first of all without.
    #[arg(default_value = "")]
    pub start: String,
    /// The key is a raw one.
    #[arg(long)]
    pub raw: bool,
    /// The most regions to list.
    #[arg(long, default_value_t = 1000, value_name = "NUMBER")]
    pub limit: u32,
}

/// Which region to show.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct Region {
    /// Its number, or a key that it has.
    #[arg(value_name = "ID|KEY")]
    pub which: String,
    /// It is a key, whatever it looks like.
    #[arg(long)]
    pub key: bool,
    /// The key is a raw one.
    #[arg(long)]
    pub raw: bool,
}

/// A region's place on a store.
#[derive(Clone, Copy, Debug, PartialEq, Args)]
pub struct Place {
    /// The region's number.
    pub region: u64,
    /// The store's number.
    pub store: u64,
}

/// Up to when old versions are collected.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct Gc {
    /// Keep what was to be seen for this long. No transaction may run longer.
    #[arg(long, default_value = "10m", value_name = "PERIOD")]
    pub keep: Period,
    /// Collect up to this timestamp instead.
    #[arg(long, value_name = "TIMESTAMP", conflicts_with = "keep")]
    pub safe_point: Option<u64>,
}

/// A shell that completes commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// `source <(tinykv-ctl completion bash)`
    Bash,
    /// `source <(tinykv-ctl completion zsh)`
    Zsh,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Command, clap::error::ErrorKind> {
        let words = std::iter::once("tinykv-ctl").chain(line.split_whitespace());
        CommandLine::try_parse_from(words).map(|line| line.command).map_err(|error| error.kind())
    }

    #[test]
    fn every_command_is_understood() {
        CommandLine::command().debug_assert();
        let text = str::to_owned;
        let place = Place { region: 2, store: 3 };
        let gc = |keep: u64, safe_point| {
            Command::Gc(Gc { keep: Period::from(std::time::Duration::from_secs(keep)), safe_point })
        };
        let cases = [
            ("raw get k", Command::Raw(Data::Get { key: text("k"), at: None })),
            ("txn put k v", Command::Txn(Data::Put { key: text("k"), value: text("v") })),
            ("txn delete k", Command::Txn(Data::Delete { key: text("k") })),
            ("txn get k --at 7", Command::Txn(Data::Get { key: text("k"), at: Some(7) })),
            (
                "raw scan a b --limit 3",
                Command::Raw(Data::Scan { start: text("a"), end: text("b"), limit: 3, at: None }),
            ),
            (
                "regions -o json",
                Command::Regions(Regions { start: text(""), raw: false, limit: 1000 }),
            ),
            ("region 2", Command::Region(Region { which: text("2"), key: false, raw: false })),
            ("stores --all", Command::Stores { all: true }),
            ("--scheduler a:1 members", Command::Members),
            ("operators", Command::Operators { region: None }),
            ("split m --raw", Command::Split { key: text("m"), raw: true }),
            ("transfer-leader 2 3", Command::TransferLeader(place)),
            ("add-peer 2 3", Command::AddPeer(place)),
            ("remove-peer 2 3 --timeout 1m", Command::RemovePeer(place)),
            ("gc", gc(600, None)),
            ("gc --keep 1h", gc(3600, None)),
            ("gc --safe-point 9", gc(600, Some(9))),
            ("offline data 2", Command::Offline { dir: "data".into(), region: Some(2) }),
            ("completion zsh", Command::Completion { shell: Shell::Zsh }),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        use clap::error::ErrorKind;
        let cases = [
            ("", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
            ("dance", ErrorKind::InvalidSubcommand),
            ("txn get", ErrorKind::MissingRequiredArgument),
            ("txn put k", ErrorKind::MissingRequiredArgument),
            ("transfer-leader two 3", ErrorKind::ValueValidation),
            ("stores -o xml", ErrorKind::InvalidValue),
            ("gc --keep soon", ErrorKind::ValueValidation),
            ("gc --keep 1h --safe-point 1", ErrorKind::ArgumentConflict),
        ];
        for (line, kind) in cases {
            assert_eq!(parse(line), Err(kind), "{line}");
        }
    }
}
