//! What a node can be told, and where it is told it.
//!
//! In order, each over the one before: defaults, the file of `--config`, `TINYKV_...` variables,
//! flags. The head of [`runtime::settings`] has an example.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use runtime::flags::with_two_dashes;
use runtime::settings::{Origin, Settings, SettingsError};
use serde::{Deserialize, Serialize};

/// The prefix of environment variables that are settings.
pub const VARIABLES: &str = "TINYKV_";

/// The variable that the Go original reads its level from.
const LOG_LEVEL: &str = "LOG_LEVEL";

/// The settings of a node. Every field is a setting of the same name in kebab case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The address to listen on, and only this one.
    pub addr: String,
    /// The directory for everything that must survive. It is created where it is missing.
    pub path: PathBuf,
    /// Where other stores and clients reach this one, if that is not the address it listens on. Empty is
    /// `addr`.
    pub advertise_addr: String,
    /// The address of the scheduler; several of them with commas.
    pub scheduler: String,
    /// Whether the data is replicated. Without, one engine serves alone: no scheduler, no regions.
    pub raft: bool,
    /// For a node that serves alone: whether a write is on disk before it is answered. Without, a
    /// power cut may take the last writes with it; the end of the process does not.
    pub sync: bool,
    /// What the process tells a person.
    pub log: runtime::log::Config,
    /// How the disk is used.
    pub engine: engine::Config,
    /// How regions are kept.
    pub raftstore: raftstore::Config,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            addr: "127.0.0.1:20160".to_owned(),
            path: PathBuf::from("data"),
            advertise_addr: String::new(),
            scheduler: "127.0.0.1:2379".to_owned(),
            raft: true,
            sync: true,
            log: runtime::log::Config::default(),
            engine: engine::Config::default(),
            raftstore: raftstore::Config::default(),
        }
    }
}

impl Config {
    /// Everything that is wrong, each with the name of the setting.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.addr.parse::<std::net::SocketAddr>().is_err() {
            problems.push(format!(
                "addr must be an address and a port, such as 127.0.0.1:20160, not {:?}",
                self.addr
            ));
        }
        if self.path.as_os_str().is_empty() {
            problems.push("path must name a directory".to_owned());
        }
        if self.raft && self.scheduler.trim().is_empty() {
            problems.push("scheduler must name an address, such as 127.0.0.1:2379".to_owned());
        }
        let regions = self.raftstore.validate();
        problems.extend(regions.into_iter().map(|text| format!("raftstore.{text}")));
        problems.extend(self.engine.validate().into_iter().map(|text| format!("engine.{text}")));
        problems
    }
}

/// A TinyKV node: serves a part of the key space over gRPC.
///
/// Without arguments it serves on 127.0.0.1:20160 with its data in ./data, as a store of the cluster
/// whose scheduler is at 127.0.0.1:2379. Long flags may be written
/// with one dash, as the Go original does: -path=data.
#[derive(Debug, Parser)]
#[command(name = "tinykv-server", version)]
pub struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the effective settings, each with where it came from, and end.
    Config,
}

#[derive(Debug, Args)]
struct Flags {
    /// Read settings from this TOML file.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,

    /// Listen on this address [default: 127.0.0.1:20160].
    #[arg(long, value_name = "HOST:PORT", global = true)]
    addr: Option<String>,

    /// Keep the data in this directory [default: data].
    #[arg(long, value_name = "DIR", global = true)]
    path: Option<String>,

    /// Reach the scheduler at this address, or at one of several [default: 127.0.0.1:2379].
    #[arg(long, value_name = "HOST:PORT,...", global = true)]
    scheduler: Option<String>,

    /// Show what is at least this important: debug, info, warn, error or fatal [default: info].
    /// The variable `LOG_LEVEL` says the same.
    #[arg(long, value_name = "LEVEL", global = true)]
    loglevel: Option<String>,

    /// Serve alone on one engine, without replication.
    #[arg(long, global = true)]
    standalone: bool,

    /// Set any setting by its name, as in --set engine.kv.write-buffer=32MiB.
    #[arg(long = "set", value_name = "NAME=VALUE", global = true)]
    settings: Vec<String>,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Wish {
    /// Serve, with these settings. The names are variables that look like settings and are none.
    Serve(Box<Config>, Vec<String>),
    /// Print this text.
    Print(String),
}

/// Why a command line, with the file and the variables behind it, cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The flags are not understood, or they ask for help: the text says which.
    #[error(transparent)]
    Flags(#[from] clap::Error),
    /// A setting is unknown or does not fit.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The settings are understood and make no sense.
    #[error("the settings cannot work:\n  - {}", .0.join("\n  - "))]
    Invalid(Vec<String>),
}

/// Reads all layers.
pub fn read(
    arguments: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Wish, ConfigError> {
    let CommandLine { command, flags } = CommandLine::try_parse_from(with_two_dashes(arguments))?;
    let mut settings = Settings::defaults(&Config::default());
    if let Some(path) = &flags.config {
        settings.merge_file(path)?;
    }
    let variables: Vec<_> = variables.into_iter().collect();
    let level = variables.iter().find(|(name, level)| name == LOG_LEVEL && !level.is_empty());
    if let Some((name, level)) = level {
        settings.set("log.level", level, Origin::Environment(name.clone()))?;
    }
    let unknown = settings.merge_environment(VARIABLES, variables)?;
    flags.merge_into(&mut settings)?;
    let config: Config = settings.read()?;
    let problems = config.validate();
    if !problems.is_empty() {
        return Err(ConfigError::Invalid(problems));
    }
    Ok(match command {
        Some(Command::Config) => Wish::Print(settings.describe()),
        None => Wish::Serve(Box::new(config), unknown),
    })
}

impl Flags {
    fn merge_into(&self, settings: &mut Settings) -> Result<(), ConfigError> {
        let named = [
            ("addr", "-addr", &self.addr),
            ("path", "-path", &self.path),
            ("scheduler", "-scheduler", &self.scheduler),
            ("log.level", "-loglevel", &self.loglevel),
        ];
        for (name, flag, value) in named {
            if let Some(value) = value {
                settings.set(name, value, Origin::Flag(flag.to_owned()))?;
            }
        }
        if self.standalone {
            settings.set("raft", "false", Origin::Flag("--standalone".to_owned()))?;
        }
        for setting in &self.settings {
            let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
            settings.set(name, value, Origin::Flag("--set".to_owned()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Wish, ConfigError> {
        let arguments = std::iter::once("tinykv-server").chain(arguments.iter().copied());
        let variables = variables.iter().map(|&(n, v)| (n.to_owned(), v.to_owned()));
        read(arguments.map(OsString::from), variables)
    }

    fn config(arguments: &[&str], variables: &[(&str, &str)]) -> Config {
        match wish(arguments, variables).unwrap() {
            Wish::Serve(config, unknown) => {
                assert_eq!(unknown, Vec::<String>::new());
                *config
            }
            Wish::Print(text) => panic!("{text}"),
        }
    }

    #[test]
    fn without_arguments_the_defaults_hold() {
        assert_eq!(config(&[], &[]), Config::default());
        assert_eq!(Config::default().validate(), Vec::<String>::new());
    }

    #[test]
    fn flags_of_both_spellings_win_over_variables() {
        let variables = [("TINYKV_ADDR", "127.0.0.1:1"), ("TINYKV_SYNC", "false")];
        for path in [["-path=x", "-loglevel=warn"], ["--path=x", "--loglevel=warn"]] {
            let config = config(&[path[0], path[1], "-addr", "127.0.0.1:2"], &variables);
            assert_eq!(config.addr, "127.0.0.1:2");
            assert_eq!(config.path, PathBuf::from("x"));
            assert_eq!(config.log.level.as_str(), "warn");
            assert!(!config.sync && config.raft);
        }
        let config = config(&["--standalone", "--set", "engine.kv.write-buffers=7"], &[]);
        assert!(!config.raft);
        assert_eq!(config.engine.kv.write_buffers, 7);
    }

    #[test]
    fn the_level_comes_from_its_variable_unless_that_is_empty_or_a_flag_wins() {
        let level = |arguments: &[&str], value: &str| {
            config(arguments, &[("LOG_LEVEL", value)]).log.level.as_str().to_owned()
        };
        assert_eq!(level(&[], "warn"), "warn");
        assert_eq!(level(&[], ""), "info");
        assert_eq!(level(&["-loglevel=error"], "warn"), "error");
        let Wish::Serve(_, unknown) = wish(&[], &[("TINYKV_SYNCC", "false")]).unwrap() else {
            panic!("it should serve");
        };
        assert_eq!(unknown, ["TINYKV_SYNCC"]);
    }

    #[test]
    fn the_effective_settings_are_printed_with_their_origin() {
        let Wish::Print(text) = wish(&["config", "-addr=127.0.0.1:9"], &[]).unwrap() else {
            panic!("it should print");
        };
        assert!(text.contains("addr = \"127.0.0.1:9\"  # from the flag -addr\n"), "{text}");
        assert!(text.contains("path = \"data\"  # default\n"), "{text}");
    }

    #[test]
    fn what_cannot_work_is_refused_with_every_reason() {
        let cases: [(&[&str], &str); 5] = [
            (&["-adr=x"], "--adr"),
            (&["--set", "syn=true"], "did you mean sync?"),
            (&["--set", "sync=perhaps"], "write true or false"),
            (&["-loglevel=loud"], "log.level cannot be \"loud\""),
            (
                &["-addr=nowhere", "--set", "engine.kv.write-buffers=1"],
                "\n  - addr must be an address and a port, such as 127.0.0.1:20160, not \
                 \"nowhere\"\n  - engine.kv.write-buffers must be at least 2",
            ),
        ];
        for (arguments, message) in cases {
            let error = wish(arguments, &[]).unwrap_err().to_string();
            assert!(error.contains(message), "{arguments:?}: {error}");
        }
    }
}
