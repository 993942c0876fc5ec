//! How much is logged, and how that is said and changed.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use slog::{Drain, OwnedKVList, Record};

/// How important a record is; a log shows its level and those above.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub enum Level {
    /// The process ends because of it.
    Fatal,
    /// Needs a person.
    Error,
    /// Odd, and survived.
    Warn,
    /// A change of state that a person would tell another.
    #[default]
    Info,
    /// The path of a message.
    Debug,
    /// Every step.
    Trace,
}

/// A word that names no level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown log level {0:?}; the levels are fatal, error, warn, info, debug and trace")]
pub struct UnknownLevel(String);

impl Level {
    /// The environment variable that sets the level.
    pub const VARIABLE: &str = "LOG_LEVEL";

    /// The level to use: that of the flag, else that of the variable, else `default`. Empty counts
    /// as not given.
    pub fn choose(
        flag: Option<&str>,
        variable: Option<&str>,
        default: Level,
    ) -> Result<Level, UnknownLevel> {
        let given = [flag, variable].into_iter().flatten().find(|word| !word.is_empty());
        given.map_or(Ok(default), str::parse)
    }

    /// The word for it, in logs and in configurations.
    pub const fn as_str(self) -> &'static str {
        match self {
            Level::Fatal => "fatal",
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(word: &str) -> Result<Self, UnknownLevel> {
        match word.to_ascii_lowercase().as_str() {
            "fatal" | "critical" => Ok(Level::Fatal),
            "error" => Ok(Level::Error),
            "warn" | "warning" => Ok(Level::Warn),
            "info" => Ok(Level::Info),
            "debug" => Ok(Level::Debug),
            "trace" => Ok(Level::Trace),
            _ => Err(UnknownLevel(word.to_owned())),
        }
    }
}

impl TryFrom<String> for Level {
    type Error = UnknownLevel;

    fn try_from(word: String) -> Result<Self, UnknownLevel> {
        word.parse()
    }
}

impl From<Level> for String {
    fn from(level: Level) -> String {
        level.as_str().to_owned()
    }
}

impl From<Level> for slog::Level {
    fn from(level: Level) -> slog::Level {
        match level {
            Level::Fatal => slog::Level::Critical,
            Level::Error => slog::Level::Error,
            Level::Warn => slog::Level::Warning,
            Level::Info => slog::Level::Info,
            Level::Debug => slog::Level::Debug,
            Level::Trace => slog::Level::Trace,
        }
    }
}

impl From<slog::Level> for Level {
    fn from(level: slog::Level) -> Level {
        match level {
            slog::Level::Critical => Level::Fatal,
            slog::Level::Error => Level::Error,
            slog::Level::Warning => Level::Warn,
            slog::Level::Info => Level::Info,
            slog::Level::Debug => Level::Debug,
            slog::Level::Trace => Level::Trace,
        }
    }
}

/// Changes the level of a running log; clones change the same one.
#[derive(Clone, Debug)]
pub struct LevelSwitch(Arc<AtomicUsize>);

impl LevelSwitch {
    /// Shows records of this level and above.
    pub fn new(level: Level) -> Self {
        LevelSwitch(Arc::new(AtomicUsize::new(number(level))))
    }

    /// From now on, records of this level and above are shown.
    pub fn set(&self, level: Level) {
        self.0.store(number(level), Ordering::Relaxed);
    }

    /// The level that is shown now.
    pub fn get(&self) -> Level {
        let number = self.0.load(Ordering::Relaxed);
        slog::Level::from_usize(number).map(Level::from).expect("only levels are stored")
    }

    fn shows(&self, level: slog::Level) -> bool {
        level.as_usize() <= self.0.load(Ordering::Relaxed)
    }
}

impl Default for LevelSwitch {
    fn default() -> Self {
        LevelSwitch::new(Level::default())
    }
}

fn number(level: Level) -> usize {
    slog::Level::from(level).as_usize()
}

/// Passes on what the switch shows.
#[derive(Debug)]
pub(super) struct Switched<D> {
    pub(super) switch: LevelSwitch,
    pub(super) drain: D,
}

impl<D: Drain<Ok = ()>> Drain for Switched<D> {
    type Ok = ();
    type Err = D::Err;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), D::Err> {
        if self.switch.shows(record.level()) { self.drain.log(record, values) } else { Ok(()) }
    }

    fn is_enabled(&self, level: slog::Level) -> bool {
        self.switch.shows(level) && self.drain.is_enabled(level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Level; 6] =
        [Level::Fatal, Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace];

    #[test]
    fn every_level_is_understood_as_it_is_printed_and_in_any_case() {
        for level in ALL {
            assert_eq!(level.to_string().parse(), Ok(level));
            assert_eq!(level.to_string().to_uppercase().parse(), Ok(level));
            assert_eq!(Level::from(slog::Level::from(level)), level);
        }
        assert_eq!("Warning".parse(), Ok(Level::Warn));
        assert_eq!(
            "loud".parse::<Level>().expect_err("no level").to_string(),
            "unknown log level \"loud\"; \
             the levels are fatal, error, warn, info, debug and trace"
        );
    }

    #[test]
    fn the_flag_wins_over_the_variable_and_both_over_the_default() {
        let choose = |flag, variable| Level::choose(flag, variable, Level::Info);
        assert_eq!(choose(None, None), Ok(Level::Info));
        assert_eq!(choose(None, Some("debug")), Ok(Level::Debug));
        assert_eq!(choose(Some("warn"), Some("debug")), Ok(Level::Warn));
        assert_eq!(choose(Some(""), Some("")), Ok(Level::Info));
        assert_eq!(choose(Some("warn"), Some("loud")), Ok(Level::Warn), "not looked at");
        assert_eq!(choose(None, Some("loud")), Err(UnknownLevel("loud".to_owned())));
    }

    #[test]
    fn a_switch_shows_its_level_and_what_is_above() {
        let switch = LevelSwitch::new(Level::Info);
        for shown in ALL {
            switch.clone().set(shown);
            assert_eq!(switch.get(), shown);
            for level in ALL {
                assert_eq!(switch.shows(level.into()), level <= shown, "{level} at {shown}");
            }
        }
    }
}
