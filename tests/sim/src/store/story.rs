//! What the stores themselves tell about what they do, as lines of the story of a run.

use std::sync::{Arc, Mutex};

use slog::{Drain, KV, OwnedKVList, Record};

/// Keeps what is logged until somebody takes it. Clones keep it in the same place.
#[derive(Clone, Default)]
pub(crate) struct Story(Arc<Mutex<Vec<String>>>);

impl Story {
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("no thread panics while it holds a line"))
    }
}

/// Writes keys and values behind the message.
struct Line(String);

impl slog::Serializer for Line {
    fn emit_arguments(&mut self, key: slog::Key, value: &std::fmt::Arguments<'_>) -> slog::Result {
        use std::fmt::Write as _;
        write!(self.0, ", {key} {value}").map_err(Into::into)
    }
}

impl Drain for Story {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), slog::Never> {
        let mut line = Line(record.msg().to_string());
        // Writing to a string does not fail.
        let _ = record.kv().serialize(record, &mut line);
        let _ = values.serialize(record, &mut line);
        self.0.lock().expect("no thread panics while it holds a line").push(line.0);
        Ok(())
    }
}
