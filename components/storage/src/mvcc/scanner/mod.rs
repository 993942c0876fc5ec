//! Ranges of keys as they were at a timestamp, forwards and backwards.
//!
//! Three cursors move side by side. The *write* cursor goes from key to key and decides which version
//! is visible; the *value* cursor follows to the version that was decided on; the *lock* cursor tells
//! which keys are locked, also those that have no committed version yet. A row costs a few steps of
//! each:
//!
//! ```text
//!   at 25:       key a             key b                    key c
//!   write:   20 put(18)     30 put(27) 22 put(21)         -
//!   value:      @18           @27        @21             @24
//!   lock:        -                 -                    put(24)
//!
//!   rows:     a = @18         b = @21                   c is locked
//! ```
//!
//! A cursor that would have to step over many records of one key seeks instead, and remembers that for
//! the next keys (`pace`); so a key with a thousand versions costs no more than one with ten. The
//! values of such keys stand far apart, and are looked up a few at a time instead (`values`).
//!
//! # Windows
//!
//! Locks come and go with every transaction, and an engine remembers for a while each one that went.
//! A cursor that looks for the next lock walks over all of those, however far away it is: with a
//! hundred thousand recent commits behind it, finding nothing took longer than the scan. So the scan
//! goes by *windows*. First it collects some rows; then it knows the last key it has seen, and looks
//! for locks only up to there. A window ends also where enough was looked at for one turn: there, a
//! scan that finds nothing for long can be left and continued ([`Step::Pause`]).

mod pace;
mod values;
mod window;
mod writes;

use bytes::Bytes;
use engine::{Cf, KeyRange};

use super::key::{decode_user_key, encode_user_key};
use crate::error::{Locked, Result};
use crate::storage::Reader;

use values::{Values, Wanted};
use window::{Next, Place, Rows, Window};
use writes::Writes;

/// How many rows a window has at first, when nobody says how many are wanted; each is twice the last.
const WINDOW_ROWS_MIN: usize = 16;

/// How many rows a window has at most.
const WINDOW_ROWS_MAX: usize = 512;

/// How many bytes of keys and values fill a window before it has its rows.
const WINDOW_BYTES: usize = 1 << 20;

/// How many rows at most have their values fetched together.
const ROWS_TOGETHER_MAX: usize = 32;

/// How many records are looked at in one turn, about.
pub const TURN_RECORDS: u64 = 4096;

/// How many keys are looked at in a row before the count of records is.
const KEYS_BETWEEN_COUNTS: usize = 256;

/// Which way to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the first key on.
    Forward,
    /// From the last key back.
    Reverse,
}

/// What a scan finds at a key. Keys without a visible value are not found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// A value.
    Value {
        /// The user key.
        key: Bytes,
        /// Its value.
        value: Bytes,
    },
    /// A lock that must be resolved before anybody can say what the value is.
    Locked(Locked),
}

impl Row {
    /// The user key.
    pub fn key(&self) -> &Bytes {
        match self {
            Row::Value { key, .. } | Row::Locked(Locked { key, .. }) => key,
        }
    }
}

/// How a scan went on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It found a row.
    Row(Row),
    /// It has not, and has looked at so much that others should have their turn.
    Pause,
    /// There are no more rows.
    End,
}

/// How a scan went on, for those who look at a row and do not keep it.
#[derive(Debug, PartialEq, Eq)]
pub enum Glance<'w> {
    /// It found a row.
    Row {
        /// The user key.
        key: &'w [u8],
        /// Its value.
        value: &'w [u8],
    },
    /// It met a lock.
    Locked(Locked),
    /// As [`Step::Pause`].
    Pause,
    /// As [`Step::End`].
    End,
}

/// What [`Step`] and [`Glance`] are made of.
enum Found {
    /// A row of the window.
    Row(Place),
    Locked(Locked),
    Pause,
    End,
}

/// Walks over the keys of a range as they were at a timestamp.
pub struct Scanner<'a> {
    reader: &'a dyn Reader,
    version: u64,
    direction: Direction,
    writes: Writes<'a>,
    values: Values<'a>,
    wanted: Wanted,
    keys_only: bool,
    /// The part of the range that no window has covered yet, by user keys; an empty end is infinity.
    rest: (Vec<u8>, Vec<u8>),
    /// Whether the last window went up to the end of the range.
    is_through: bool,
    window: Option<Window<'a>>,
    window_rows: usize,
    /// The size of the largest value so far, by which it is guessed how many to fetch together.
    largest_value: Option<usize>,
    /// How much was looked at in this turn.
    turn_records: u64,
}

impl<'a> Scanner<'a> {
    /// A walk over the user keys from `start` up to, and without, `end`, which is infinite if empty.
    pub fn new(
        reader: &'a dyn Reader,
        start: &[u8],
        end: &[u8],
        version: u64,
        direction: Direction,
    ) -> Result<Self> {
        let first = if start.is_empty() { Vec::new() } else { encode_user_key(start) };
        let last = if end.is_empty() { Vec::new() } else { encode_user_key(end) };
        let encoded = KeyRange::new(&first, &last);
        let writes = Writes::new(reader.cursor(Cf::Write, encoded)?, direction)?;
        let values = Values { reader, cursor: reader.cursor(Cf::Default, encoded)? };
        Ok(Scanner {
            reader,
            version,
            direction,
            writes,
            values,
            wanted: Wanted::default(),
            keys_only: false,
            rest: (start.to_vec(), end.to_vec()),
            is_through: false,
            window: None,
            window_rows: WINDOW_ROWS_MIN,
            largest_value: None,
            turn_records: 0,
        })
    }

    /// Says how many rows will be asked for, so that no more are collected in vain.
    #[must_use]
    pub fn expect_rows(mut self, rows: usize) -> Self {
        self.window_rows = rows.clamp(1, WINDOW_ROWS_MAX);
        self
    }

    /// Leaves the values empty, for those who do not look at them: finding them is half of the work.
    #[must_use]
    pub fn keys_only(mut self, keys_only: bool) -> Self {
        self.keys_only = keys_only;
        self
    }

    /// The next key with a value, or with a lock in the way, however long it takes.
    pub fn next_row(&mut self) -> Result<Option<Row>> {
        loop {
            match self.step()? {
                Step::Row(row) => return Ok(Some(row)),
                Step::Pause => {}
                Step::End => return Ok(None),
            }
        }
    }

    /// The next row, unless it is so far away that others should have their turn before.
    pub fn step(&mut self) -> Result<Step> {
        Ok(match self.advance()? {
            Found::Row(Place { key, value }) => {
                let bytes = self.window.as_ref().expect("a row is in a window").bytes();
                let (key, value) = (bytes.slice(key), bytes.slice(value));
                Step::Row(Row::Value { key, value })
            }
            Found::Locked(locked) => Step::Row(Row::Locked(locked)),
            Found::Pause => Step::Pause,
            Found::End => Step::End,
        })
    }

    /// As [`step`](Self::step), but the row is lent where it lies.
    pub fn glance(&mut self) -> Result<Glance<'_>> {
        Ok(match self.advance()? {
            Found::Row(Place { key, value }) => {
                let bytes = self.window.as_ref().expect("a row is in a window").bytes();
                Glance::Row { key: &bytes[key], value: &bytes[value] }
            }
            Found::Locked(locked) => Glance::Locked(locked),
            Found::Pause => Glance::Pause,
            Found::End => Glance::End,
        })
    }

    fn advance(&mut self) -> Result<Found> {
        loop {
            if let Some(window) = &mut self.window {
                match window.next(self.version, self.direction)? {
                    Some(Next::Row(place)) => return Ok(Found::Row(place)),
                    Some(Next::Locked(locked)) => return Ok(Found::Locked(locked)),
                    None => {}
                }
            }
            if self.is_through {
                return Ok(Found::End);
            }
            if self.turn_records >= TURN_RECORDS {
                runtime::mark!("a scan pauses");
                self.turn_records = 0;
                return Ok(Found::Pause);
            }
            if self.window.is_some() {
                runtime::mark!("a scan opens another window");
            }
            self.open_window()?;
        }
    }

    /// Collects rows, and looks for locks as far as they reach.
    fn open_window(&mut self) -> Result<()> {
        let rows = self.collect()?;
        let (start, end) = std::mem::take(&mut self.rest);
        let (range, rest) = if self.is_through {
            ((start, end), (Vec::new(), Vec::new()))
        } else {
            let last = decode_user_key(self.writes.user())?;
            match self.direction {
                Direction::Forward => {
                    let after = [&last[..], &[0]].concat();
                    ((start, after.clone()), (after, end))
                }
                Direction::Reverse => ((last.clone(), end), (start, last)),
            }
        };
        self.rest = rest;
        let mut locks = self.reader.cursor(Cf::Lock, KeyRange::new(&range.0, &range.1))?;
        match self.direction {
            Direction::Forward => locks.seek_to_first()?,
            Direction::Reverse => locks.seek_to_last()?,
        };
        self.window = Some(Window::new(rows, locks));
        self.window_rows = (self.window_rows * 2).min(WINDOW_ROWS_MAX);
        Ok(())
    }

    /// Collects visible rows until the window is full, the turn is over, or the range is through.
    fn collect(&mut self) -> Result<Rows> {
        let last_bytes = self.window.as_ref().map_or(0, |window| window.bytes().len());
        let mut rows = Rows::with_capacity(self.window_rows, last_bytes.min(WINDOW_BYTES));
        while rows.len() < self.window_rows
            && rows.size_bytes() < WINDOW_BYTES
            && self.turn_records < TURN_RECORDS
            && !self.is_through
        {
            self.decide(self.rows_together().min(self.window_rows - rows.len()))?;
            let (records, far_apart) = self.writes.pace.take();
            self.turn_records += records;
            if self.keys_only {
                for user in self.wanted.users() {
                    rows.push(user, b"")?;
                }
                continue;
            }
            self.values.fetch(&self.wanted, far_apart, self.direction, |key, value| {
                self.largest_value = self.largest_value.max(Some(value.len()));
                rows.push(key, value)
            })?;
        }
        Ok(rows)
    }

    /// How many rows are likely not to be too large together.
    fn rows_together(&self) -> usize {
        if self.keys_only {
            return ROWS_TOGETHER_MAX;
        }
        let likely = self.largest_value.map_or(1, |bytes| WINDOW_BYTES / bytes.max(1));
        likely.clamp(1, ROWS_TOGETHER_MAX)
    }

    /// Decides which versions are visible, of at most `rows` keys that have one.
    fn decide(&mut self, rows: usize) -> Result<()> {
        self.wanted.clear();
        for _ in 0..KEYS_BETWEEN_COUNTS {
            if self.wanted.len() == rows {
                break;
            }
            if !self.writes.enter_next_key(self.direction)? {
                self.is_through = true;
                break;
            }
            if let Some(start_ts) = self.writes.visible(self.version, self.direction)? {
                self.wanted.push(self.writes.user(), start_ts);
            }
        }
        Ok(())
    }
}
