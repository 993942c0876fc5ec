//! What a program is told, and where: defaults, a file, variables, flags.
//!
//! A program declares its settings, which are a plain struct with defaults, and the flags that name some
//! of them for people. Everything else is the same for all: `--config`, `--set`, `--loglevel`, the
//! subcommand `config`, and the order of the layers, each over the one before:
//!
//! ```text
//! defaults < the file of --config < LOG_LEVEL < TINY..._ variables < flags
//! ```

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use runtime::flags::with_two_dashes;
use runtime::log;
use runtime::settings::{Origin, Settings, SettingsError};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The variable that the Go original's programs read their level from.
pub const LOG_LEVEL: &str = "LOG_LEVEL";

/// What a program can be told. Every field is a setting of the same name in kebab case.
pub trait Config: Default + Serialize + DeserializeOwned {
    /// The name of the program.
    const PROGRAM: &'static str;
    /// What the program is, for `--help`; the first paragraph alone for `-h`.
    const ABOUT: &'static str;
    /// The prefix of environment variables that are settings.
    const VARIABLES: &'static str;
    /// The program's own flags.
    type Flags: Flags;

    /// Everything that is wrong, each with the name of the setting.
    fn validate(&self) -> Vec<String>;

    /// What the program tells a person.
    fn log(&self) -> &log::Config;
}

/// A program's own flags.
pub trait Flags: Args {
    /// What those flags say that were given.
    fn given(&self) -> Vec<Given>;
}

/// What a flag says about a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The name of the setting.
    pub setting: &'static str,
    /// The flag, as people write it.
    pub flag: &'static str,
    /// The value.
    pub value: String,
}

impl Given {
    /// If the flag was given, what it says.
    pub fn from(setting: &'static str, flag: &'static str, value: Option<&String>) -> Option<Self> {
        value.map(|value| Given { setting, flag, value: value.clone() })
    }
}

#[derive(Debug, Parser)]
#[command(version)]
struct CommandLine<F: Args> {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    own: F,

    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the effective settings, each with where it came from, and end.
    Config,
}

#[derive(Debug, Args)]
struct Common {
    /// Read settings from this TOML file.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,

    /// Show what is at least this important: debug, info, warn, error or fatal [default: info].
    /// The variable `LOG_LEVEL` says the same.
    #[arg(short = 'L', long = "loglevel", value_name = "LEVEL", global = true)]
    loglevel: Option<String>,

    /// Set any setting by its name, as in --set engine.kv.write-buffer=32MiB.
    #[arg(long = "set", value_name = "NAME=VALUE", global = true)]
    settings: Vec<String>,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Wish<C> {
    /// Serve, with these settings.
    Serve(Box<Told<C>>),
    /// Print this text.
    Print(String),
}

/// What a program was told.
#[derive(Debug)]
pub struct Told<C> {
    /// The settings.
    pub config: C,
    /// The settings as text, each with where it came from.
    pub described: String,
    /// Variables that look like settings and are none.
    pub unknown: Vec<String>,
}

/// Why a command line, with the file and the variables behind it, cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum ArgumentsError {
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

/// The command line that a program understands.
pub fn command<C: Config>() -> clap::Command {
    let short = C::ABOUT.split("\n\n").next().unwrap_or_default();
    CommandLine::<C::Flags>::command().name(C::PROGRAM).about(short).long_about(C::ABOUT)
}

/// Reads all layers.
pub fn read<C: Config>(
    arguments: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Wish<C>, ArgumentsError> {
    let matches = command::<C>().try_get_matches_from(with_two_dashes(arguments))?;
    let CommandLine { command, own, common } = CommandLine::<C::Flags>::from_arg_matches(&matches)?;
    let mut settings = Settings::defaults(&C::default());
    if let Some(path) = &common.config {
        settings.merge_file(path)?;
    }
    let variables: Vec<_> = variables.into_iter().collect();
    let level = variables.iter().find(|(name, level)| name == LOG_LEVEL && !level.is_empty());
    if let Some((name, level)) = level {
        settings.set("log.level", level, Origin::Environment(name.clone()))?;
    }
    let unknown = settings.merge_environment(C::VARIABLES, variables)?;
    merge_flags(&mut settings, own.given(), &common)?;
    let config: C = settings.read()?;
    let problems = config.validate();
    if !problems.is_empty() {
        return Err(ArgumentsError::Invalid(problems));
    }
    let described = settings.describe();
    Ok(match command {
        Some(Command::Config) => Wish::Print(described),
        None => Wish::Serve(Box::new(Told { config, described, unknown })),
    })
}

fn merge_flags(
    settings: &mut Settings,
    own: Vec<Given>,
    common: &Common,
) -> Result<(), SettingsError> {
    let level = Given::from("log.level", "-loglevel", common.loglevel.as_ref());
    for Given { setting, flag, value } in own.into_iter().chain(level) {
        settings.set(setting, &value, Origin::Flag(flag.to_owned()))?;
    }
    for setting in &common.settings {
        let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
        settings.set(name, value, Origin::Flag("--set".to_owned()))?;
    }
    Ok(())
}
