//! Logs: what the process tells a person.
//!
//! There is no global logger. A program opens one [`Log`] and passes its `slog` logger down the
//! constructors; each owner adds its identity once, by `logger.new(o!("region" => id))`, and says
//! nothing of it again. Words and levels are in `docs/logging.md`.
//!
//! A record passes five stations. The first four are on the thread that logs and cost little; the
//! last writes, and has a thread of its own, so that a slow terminal stalls nobody:
//!
//! ```text
//!  level ──▶ redaction ──▶ repeats ──▶ queue ══▶ text or JSON
//!  (switch)  (of keys)     (limited)   (bounded, overflow is dropped and counted)
//! ```
//!
//! The time of a line is read when it is written, which is a moment after it was logged.
//!
//! Tests open a [`Capture`] instead and read back what was logged.

mod capture;
mod level;
mod queue;
mod redact;
mod repeats;

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use slog::{Drain, FnValue, Logger, Never, PushFnValue, Record};
use slog_async::AsyncGuard;
use slog_term::{Decorator, FullFormat, PlainDecorator, RecordDecorator, TermDecorator};

use crate::clock::Clock;

pub use capture::{Capture, Entry};
pub use level::{Level, LevelSwitch, UnknownLevel};
pub use redact::{Key, Keys, key};
pub use repeats::RepeatLimit;

use level::Switched;
use queue::Queue;
use redact::Redacting;
use repeats::Repeats;

/// How a process logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Config {
    /// The least important level that is shown.
    pub level: Level,
    /// What a line looks like.
    pub format: Format,
    /// Whether the keys of users are shown; values never are.
    pub keys: Keys,
    /// Records that may wait to be written; beyond that they are dropped, and a line tells how
    /// many.
    pub queue: usize,
    /// How often the same message is written.
    pub repeats: RepeatLimit,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            level: Level::default(),
            format: Format::default(),
            keys: Keys::default(),
            queue: 8192,
            repeats: RepeatLimit::default(),
        }
    }
}

/// What a line looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// For people: time, level, message, values; in colour on a terminal.
    #[default]
    Text,
    /// For programs: one JSON object per line.
    Json,
}

/// An open log. Dropping it writes what still waits; later records are lost.
pub struct Log {
    logger: Logger,
    level: LevelSwitch,
    repeats: Arc<Repeats<Queue>>,
    /// Declared last, hence dropped last.
    _guard: AsyncGuard,
}

impl Log {
    /// Opens a log on the standard error stream.
    pub fn open(config: &Config, clock: Arc<dyn Clock>) -> Log {
        match config.format {
            Format::Text => {
                let decorator = TermDecorator::new().stderr().build();
                Self::behind(config, text(decorator, Arc::clone(&clock)), clock)
            }
            Format::Json => Self::behind(config, json(io::stderr(), Arc::clone(&clock)), clock),
        }
    }

    /// Opens a log on any stream, such as a file; nothing is coloured.
    pub fn open_on(
        config: &Config,
        clock: Arc<dyn Clock>,
        stream: impl Write + Send + 'static,
    ) -> Log {
        match config.format {
            Format::Text => {
                let decorator = PlainDecorator::new(stream);
                Self::behind(config, text(decorator, Arc::clone(&clock)), clock)
            }
            Format::Json => Self::behind(config, json(stream, Arc::clone(&clock)), clock),
        }
    }

    /// What to pass down the constructors.
    pub fn logger(&self) -> &Logger {
        &self.logger
    }

    /// Changes the level while the process runs.
    pub fn level(&self) -> &LevelSwitch {
        &self.level
    }

    /// Puts the stations in front of the one that writes.
    fn behind(
        config: &Config,
        writer: impl Drain<Ok = (), Err = Never> + Send + 'static,
        clock: Arc<dyn Clock>,
    ) -> Log {
        let (queue, guard) = Queue::open(config.queue, writer);
        let repeats = Arc::new(Repeats::new(config.repeats, clock, queue));
        let redacting = Redacting { keys: config.keys, drain: Arc::clone(&repeats) };
        let level = LevelSwitch::new(config.level);
        let switched = Switched { switch: level.clone(), drain: redacting };
        let logger = Logger::root(switched, slog::o!());
        Log { logger, level, repeats, _guard: guard }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let Ok(()) = self.repeats.report();
        self.repeats.inner().report();
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log({})", self.level.get())
    }
}

/// Writes lines for people. A stream that fails, such as a closed terminal, is ignored: a store
/// does not stop because nobody reads its log.
fn text<D: Decorator + Send + 'static>(
    decorator: D,
    clock: Arc<dyn Clock>,
) -> impl Drain<Ok = (), Err = Never> + Send {
    FullFormat::new(decorator)
        .use_custom_timestamp(move |out: &mut dyn Write| write!(out, "{}", timestamp(&*clock)))
        .use_custom_header_print(|now, out, record, _| header(now, out, record))
        .use_original_order()
        .build()
        .ignore_res()
}

/// Writes the part of a line that stands before its values.
fn header(
    now: &dyn slog_term::ThreadSafeTimestampFn<Output = io::Result<()>>,
    mut out: &mut dyn RecordDecorator,
    record: &Record<'_>,
) -> io::Result<bool> {
    out.start_timestamp()?;
    now(&mut out)?;
    out.start_whitespace()?;
    write!(out, " ")?;
    out.start_level()?;
    write!(out, "{:<5}", Level::from(record.level()))?;
    out.start_whitespace()?;
    write!(out, " ")?;
    out.start_msg()?;
    write!(out, "{}", record.msg())?;
    Ok(true)
}

/// Writes lines for programs.
fn json(
    stream: impl Write + Send + 'static,
    clock: Arc<dyn Clock>,
) -> impl Drain<Ok = (), Err = Never> + Send {
    slog_json::Json::new(stream)
        .add_key_value(slog::o!(
            // The library writes the last of them first.
            "message" => PushFnValue(|record: &Record<'_>, value| value.emit(record.msg())),
            "level" => FnValue(|record: &Record<'_>| Level::from(record.level()).as_str()),
            "time" => FnValue(move |_: &Record<'_>| timestamp(&*clock)),
        ))
        .set_flush(true)
        .build()
        .ignore_res()
}

/// The wall time in UTC, to the millisecond.
fn timestamp(clock: &dyn Clock) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + clock.wall()).to_string()
}
