//! Fetching the values of the versions that were decided on.
//!
//! Where keys have a version or two, the values of a scan stand side by side, and a cursor that moves
//! along costs least: a few steps for each. Where keys have many, most of what it stepped over would
//! be old values, and looking the wanted ones up together costs half as much.

use std::cmp::Ordering;

use engine::{Cf, Cursor};

use super::Direction;
use super::pace::STEPS_BEFORE_SEEK;
use crate::error::Result;
use crate::mvcc::reader::value_is_missing;
use crate::storage::Reader;

/// Versions whose values are wanted, in the order of a scan.
#[derive(Default)]
pub(super) struct Wanted {
    versions: Vec<Version>,
    /// Their keys, one behind the other.
    keys: Vec<u8>,
}

struct Version {
    start_ts: u64,
    /// Where its key ends; it starts where the one before ends.
    end: usize,
}

impl Wanted {
    pub(super) fn clear(&mut self) {
        self.versions.clear();
        self.keys.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.versions.len()
    }

    /// Wants what the transaction of `start_ts` put under an encoded user key.
    pub(super) fn push(&mut self, user: &[u8], start_ts: u64) {
        self.keys.extend_from_slice(user);
        self.keys.extend_from_slice(&(!start_ts).to_be_bytes());
        self.versions.push(Version { start_ts, end: self.keys.len() });
    }

    /// The encoded user keys, each with its timestamp behind it.
    pub(super) fn users(&self) -> impl Iterator<Item = &[u8]> {
        self.iter().map(|(key, _)| key)
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        let mut start = 0;
        self.versions.iter().map(move |version| {
            let key = &self.keys[start..version.end];
            start = version.end;
            (key, version.start_ts)
        })
    }
}

/// What fetches. The cursor stands nowhere before the first value.
pub(super) struct Values<'a> {
    pub(super) reader: &'a dyn Reader,
    pub(super) cursor: Box<dyn Cursor + 'a>,
}

impl Values<'_> {
    /// Shows all keys of `wanted` with their values.
    pub(super) fn fetch(
        &mut self,
        wanted: &Wanted,
        far_apart: bool,
        direction: Direction,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<()>,
    ) -> Result<()> {
        if far_apart {
            runtime::mark!("a scan looks values up together");
            let keys: Vec<_> = wanted.iter().map(|(key, _)| key).collect();
            let values = self.reader.get_many(Cf::Default, &keys)?;
            for ((key, start_ts), value) in wanted.iter().zip(values) {
                visit(key, &value.ok_or_else(|| value_is_missing(start_ts))?)?;
            }
            return Ok(());
        }
        for (key, start_ts) in wanted.iter() {
            visit(key, self.get(key, start_ts, direction)?)?;
        }
        Ok(())
    }

    fn get(&mut self, target: &[u8], start_ts: u64, direction: Direction) -> Result<&[u8]> {
        if !self.step_to(target, direction)? {
            self.cursor.seek(target)?;
        }
        if self.cursor.is_valid() && self.cursor.key() == target {
            return Ok(self.cursor.value());
        }
        Err(value_is_missing(start_ts))
    }

    /// Tries to reach the target by a few steps.
    fn step_to(&mut self, target: &[u8], direction: Direction) -> Result<bool> {
        for _ in 0..STEPS_BEFORE_SEEK {
            if !self.cursor.is_valid() {
                return Ok(false);
            }
            match (self.cursor.key().cmp(target), direction) {
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
