//! The trace: a hash over everything that happened, and, when somebody looks, the story itself.
//!
//! A run only hashes. When it fails it is played again, for the same seed gives the same run, and this
//! time the last events are written down; so a story costs nothing until it is wanted.

use std::collections::VecDeque;

use super::state::mix;

/// What happened so far.
pub(crate) struct Trace {
    hash: u64,
    /// How many events are to be told in the end.
    lines_max: usize,
    lines: VecDeque<String>,
}

impl Trace {
    pub(crate) fn new(lines_max: usize) -> Self {
        Trace { hash: 0, lines_max, lines: VecDeque::new() }
    }

    /// Something happened: `word` stands for it in the hash, `tell` puts it into words.
    pub(crate) fn event(&mut self, word: u64, tell: impl FnOnce() -> String) {
        self.hash = mix(self.hash, word);
        self.note(tell);
    }

    /// Something that is only for whoever reads the story.
    pub(crate) fn note(&mut self, tell: impl FnOnce() -> String) {
        if self.lines_max > 0 {
            if self.lines.len() == self.lines_max {
                self.lines.pop_front();
            }
            self.lines.push_back(tell());
        }
    }

    /// Whether somebody will read the story.
    pub(crate) fn is_read(&self) -> bool {
        self.lines_max > 0
    }

    /// The same for two runs that did the same.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// The last events, if they were written down.
    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}
