//! A log that is read back: by tests, and by the simulator, which prints the last records of a
//! failed run.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slog::{Drain, KV, Logger, Never, OwnedKVList, Record, Serializer};

use super::level::{Level, LevelSwitch, Switched};
use super::redact::{Keys, Redacting};
use crate::clock::{Clock, Instant};

/// Keeps the last records of a log; clones read the same ones.
#[derive(Clone)]
pub struct Capture {
    clock: Arc<dyn Clock>,
    limit: usize,
    entries: Arc<Mutex<VecDeque<Entry>>>,
}

/// One captured record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it was written, by the clock that the capture was given.
    pub at: Instant,
    /// How important it is.
    pub level: Level,
    /// The sentence.
    pub message: String,
    /// The values beside it, those of the logger's context included; the record's own win.
    pub values: BTreeMap<String, String>,
}

impl Capture {
    /// A log that shows `level` and above, with keys, and keeps the last `limit` records; beyond
    /// that the oldest are forgotten.
    pub fn open(level: Level, limit: usize, clock: Arc<dyn Clock>) -> (Logger, Capture) {
        let capture = Capture::new(limit, clock);
        let drain = Redacting { keys: Keys::Shown, drain: Kept(capture.clone()) };
        let switched = Switched { switch: LevelSwitch::new(level), drain };
        (Logger::root(switched, slog::o!()), capture)
    }

    pub(super) fn new(limit: usize, clock: Arc<dyn Clock>) -> Capture {
        Capture { clock, limit, entries: Arc::default() }
    }

    /// What is kept, oldest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().iter().cloned().collect()
    }

    /// What was kept, oldest first; keeps nothing of it.
    pub fn take(&self) -> Vec<Entry> {
        self.lock().drain(..).collect()
    }

    /// How many of the kept records say `message`.
    pub fn count(&self, message: &str) -> usize {
        self.lock().iter().filter(|entry| entry.message == message).count()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Capture({} of {})", self.lock().len(), self.limit)
    }
}

impl fmt::Display for Entry {
    /// As a line of a text log, without the time.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<5} {}", self.level, self.message)?;
        self.values.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

/// The drain behind a capture.
pub(super) struct Kept(pub(super) Capture);

impl Drain for Kept {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, context: &OwnedKVList) -> Result<(), Never> {
        let mut values = Values::default();
        // These cannot fail: nothing is written anywhere.
        let _ = context.serialize(record, &mut values);
        let _ = record.kv().serialize(record, &mut Own(&mut values));
        let Capture { clock, limit, .. } = &self.0;
        let entry = Entry {
            at: clock.now(),
            level: record.level().into(),
            message: record.msg().to_string(),
            values: values.0,
        };
        let mut entries = self.0.lock();
        while entries.len() >= (*limit).max(1) {
            entries.pop_front();
        }
        entries.push_back(entry);
        Ok(())
    }
}

/// Collects a logger's context, of which the innermost value of a name comes first and stays.
#[derive(Default)]
struct Values(BTreeMap<String, String>);

impl Serializer for Values {
    fn emit_arguments(&mut self, name: slog::Key, value: &fmt::Arguments<'_>) -> slog::Result {
        self.0.entry(name.to_string()).or_insert_with(|| value.to_string());
        Ok(())
    }
}

/// Collects a record's own values over those of the context.
struct Own<'a>(&'a mut Values);

impl Serializer for Own<'_> {
    fn emit_arguments(&mut self, name: slog::Key, value: &fmt::Arguments<'_>) -> slog::Result {
        self.0.0.insert(name.to_string(), value.to_string());
        Ok(())
    }
}
