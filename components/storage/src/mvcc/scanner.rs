//! Ranges of keys as they were at a timestamp, forwards and backwards.
//!
//! Three cursors move side by side. The *write* cursor goes from key to key and decides which version
//! is visible; the *lock* cursor tells which keys are locked, also those that have no committed
//! version yet; the *value* cursor follows to the version that was decided on. A row costs a few
//! steps of each, and no look-up:
//!
//! ```text
//!   at 25:       key a             key b                    key c
//!   write:   20 put(18)     30 put(27) 22 put(21)         -
//!   lock:        -                 -                    put(24)
//!   value:      @18           @27        @21             @24
//!
//!   rows:     a = @18         b = @21                   c is locked
//! ```
//!
//! A cursor that would have to step over many records of one key seeks instead, so a key with a
//! thousand versions costs no more than one with [`STEPS_BEFORE_SEEK`].

use std::cmp::Ordering;

use bytes::Bytes;
use engine::{Cf, Cursor, KeyRange};

use super::key::{decode_user_key, encode_user_key, split_key};
use super::lock::Lock;
use super::reader::value_is_missing;
use super::write::{Write, WriteKind};
use crate::error::{Locked, Result};
use crate::storage::Reader;

/// How many records of a key are stepped over one by one. A seek costs about as much as this many
/// steps: with ten versions of each key, scans took a third longer when it was 8, and the same at 16.
pub const STEPS_BEFORE_SEEK: usize = 12;

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

/// Walks over the keys of a range as they were at a timestamp.
pub struct Scanner<'a> {
    version: u64,
    direction: Direction,
    writes: Writes<'a>,
    locks: Locks<'a>,
    values: Values<'a>,
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
        let mut writes = Writes {
            cursor: reader.cursor(Cf::Write, encoded)?,
            user: Vec::new(),
            is_inside: false,
        };
        let mut locks =
            Locks { cursor: reader.cursor(Cf::Lock, KeyRange::new(start, end))?, user: Vec::new() };
        let values = Values { cursor: reader.cursor(Cf::Default, encoded)?, target: Vec::new() };
        match direction {
            Direction::Forward => {
                writes.cursor.seek_to_first()?;
                locks.cursor.seek_to_first()?;
            }
            Direction::Reverse => {
                writes.cursor.seek_to_last()?;
                locks.cursor.seek_to_last()?;
            }
        }
        locks.note();
        Ok(Scanner { version, direction, writes, locks, values })
    }

    /// The next key with a value, or with a lock in the way.
    pub fn next_row(&mut self) -> Result<Option<Row>> {
        loop {
            self.writes.leave(self.direction)?;
            let Some(has_lock) = self.enter_next_key()? else { return Ok(None) };
            if has_lock {
                let lock = Lock::parse(self.locks.cursor.value())?;
                let key = Bytes::copy_from_slice(self.locks.cursor.key());
                self.locks.advance(self.direction)?;
                if lock.blocks_read_at(self.version) {
                    return Ok(Some(Row::Locked(Locked { key, lock })));
                }
            }
            let visible = match self.direction {
                Direction::Forward => self.writes.visible_forward(self.version)?,
                Direction::Reverse => self.writes.visible_reverse(self.version)?,
            };
            if let Some(start_ts) = visible {
                let value = self.values.get(&self.writes.user, start_ts, self.direction)?;
                let key = decode_user_key(&self.writes.user)?.into();
                return Ok(Some(Row::Value { key, value }));
            }
        }
    }

    /// Chooses the nearer of what the write and the lock cursor stand at, and answers whether it is
    /// locked; nothing when both are through.
    fn enter_next_key(&mut self) -> Result<Option<bool>> {
        let written = self.writes.user_here()?;
        let locked = self.locks.cursor.is_valid().then_some(self.locks.user.as_slice());
        let (is_written, is_locked) = match (written, locked) {
            (None, None) => return Ok(None),
            (Some(_), None) => (true, false),
            (None, Some(_)) => (false, true),
            (Some(written), Some(locked)) => {
                let order = match self.direction {
                    Direction::Forward => written.cmp(locked),
                    Direction::Reverse => locked.cmp(written),
                };
                (order.is_le(), order.is_ge())
            }
        };
        if is_written {
            self.writes.enter()?;
        }
        Ok(Some(is_locked))
    }
}

/// The cursor that decides.
struct Writes<'a> {
    cursor: Box<dyn Cursor + 'a>,
    /// The key that was entered last, encoded, without a timestamp.
    user: Vec<u8>,
    /// Whether the cursor may still stand on records of that key.
    is_inside: bool,
}

impl Writes<'_> {
    /// The encoded user key under the cursor.
    fn user_here(&self) -> Result<Option<&[u8]>> {
        if !self.cursor.is_valid() {
            return Ok(None);
        }
        Ok(Some(split_key(self.cursor.key())?.0))
    }

    fn enter(&mut self) -> Result<()> {
        let (user, _) = split_key(self.cursor.key())?;
        self.user.clear();
        self.user.extend_from_slice(user);
        self.is_inside = true;
        Ok(())
    }

    /// The timestamp under the cursor, if it still stands on the key that was entered.
    fn ts_here(&self) -> Result<Option<u64>> {
        if !self.cursor.is_valid() {
            return Ok(None);
        }
        let (user, ts) = split_key(self.cursor.key())?;
        Ok((user == self.user).then_some(ts))
    }

    /// Moves past what is left of the key that was entered. Done late, so that a scan that ends with
    /// this key does not look for the next.
    fn leave(&mut self, direction: Direction) -> Result<()> {
        if !self.is_inside {
            return Ok(());
        }
        self.is_inside = false;
        for _ in 0..STEPS_BEFORE_SEEK {
            // Looking for the version may have run the cursor off the other end, in reverse.
            let Some(user) = self.user_here()? else { break };
            match (user.cmp(&self.user), direction) {
                (Ordering::Greater, Direction::Forward) | (Ordering::Less, Direction::Reverse) => {
                    return Ok(());
                }
                (Ordering::Equal, Direction::Forward) => self.cursor.next()?,
                (Ordering::Equal, Direction::Reverse) => self.cursor.prev()?,
                (Ordering::Less, Direction::Forward) | (Ordering::Greater, Direction::Reverse) => {
                    break;
                }
            };
        }
        match direction {
            Direction::Forward if self.ts_here()?.is_some() => {
                runtime::mark!("a scan seeks past the rest of a key");
                self.seek_user(0)?;
                if self.ts_here()?.is_some() {
                    self.cursor.next()?;
                }
            }
            Direction::Forward => {}
            Direction::Reverse => {
                self.cursor.seek_for_prev(&self.user)?;
            }
        }
        Ok(())
    }

    /// To the first record of the entered key at or before `ts`.
    fn seek_user(&mut self, ts: u64) -> Result<bool> {
        let len = self.user.len();
        self.user.extend_from_slice(&(!ts).to_be_bytes());
        let outcome = self.cursor.seek(&self.user);
        self.user.truncate(len);
        Ok(outcome?)
    }

    /// From the newest record of the entered key on: when the put started that `version` sees.
    fn visible_forward(&mut self, version: u64) -> Result<Option<u64>> {
        let mut steps = 0;
        while let Some(ts) = self.ts_here()? {
            if ts > version && steps == STEPS_BEFORE_SEEK {
                runtime::mark!("a scan seeks past versions that are too new");
                self.seek_user(version)?;
                steps = 0;
                continue;
            }
            if ts <= version {
                let write = Write::parse(self.cursor.value())?;
                match write.kind {
                    WriteKind::Put => return Ok(Some(write.start_ts)),
                    WriteKind::Delete => return Ok(None),
                    WriteKind::Rollback | WriteKind::Lock => {}
                }
            }
            steps += 1;
            self.cursor.next()?;
        }
        Ok(None)
    }

    /// The same from the oldest record on: the last one at or before `version` counts.
    fn visible_reverse(&mut self, version: u64) -> Result<Option<u64>> {
        let mut visible = None;
        for _ in 0..STEPS_BEFORE_SEEK {
            let Some(ts) = self.ts_here()? else { return Ok(visible) };
            if ts > version {
                return Ok(visible);
            }
            let write = Write::parse(self.cursor.value())?;
            match write.kind {
                WriteKind::Put => visible = Some(write.start_ts),
                WriteKind::Delete => visible = None,
                WriteKind::Rollback | WriteKind::Lock => {}
            }
            self.cursor.prev()?;
        }
        if self.ts_here()?.is_none_or(|ts| ts > version) {
            return Ok(visible);
        }
        runtime::mark!("a reverse scan seeks to the version");
        self.seek_user(version)?;
        self.visible_forward(version)
    }
}

/// The cursor over locks.
struct Locks<'a> {
    cursor: Box<dyn Cursor + 'a>,
    /// The key under it, encoded so that it compares with the keys of writes.
    user: Vec<u8>,
}

impl Locks<'_> {
    fn note(&mut self) {
        if self.cursor.is_valid() {
            self.user.clear();
            codec::bytes::encode(&mut self.user, self.cursor.key());
        }
    }

    fn advance(&mut self, direction: Direction) -> Result<()> {
        match direction {
            Direction::Forward => self.cursor.next()?,
            Direction::Reverse => self.cursor.prev()?,
        };
        self.note();
        Ok(())
    }
}

/// The cursor that fetches. It stands nowhere before the first value.
struct Values<'a> {
    cursor: Box<dyn Cursor + 'a>,
    target: Vec<u8>,
}

impl Values<'_> {
    /// The value of an encoded user key that was put by the transaction of `start_ts`.
    fn get(&mut self, user: &[u8], start_ts: u64, direction: Direction) -> Result<Bytes> {
        self.target.clear();
        self.target.extend_from_slice(user);
        self.target.extend_from_slice(&(!start_ts).to_be_bytes());
        if !self.step_to_target(direction)? {
            self.cursor.seek(&self.target)?;
        }
        if self.cursor.is_valid() && self.cursor.key() == self.target {
            return Ok(Bytes::copy_from_slice(self.cursor.value()));
        }
        Err(value_is_missing(start_ts))
    }

    /// Tries to reach the target by a few steps.
    fn step_to_target(&mut self, direction: Direction) -> Result<bool> {
        for _ in 0..STEPS_BEFORE_SEEK {
            if !self.cursor.is_valid() {
                return Ok(false);
            }
            match (self.cursor.key().cmp(&self.target), direction) {
                (Ordering::Equal, _) => return Ok(true),
                (Ordering::Less, Direction::Forward) => self.cursor.next()?,
                (Ordering::Greater, Direction::Reverse) => self.cursor.prev()?,
                (Ordering::Less, Direction::Reverse) | (Ordering::Greater, Direction::Forward) => {
                    return Ok(false);
                }
            };
        }
        Ok(false)
    }
}
