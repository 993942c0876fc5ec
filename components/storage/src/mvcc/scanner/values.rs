//! The cursor that fetches the values of the versions that were decided on.

use std::cmp::Ordering;

use bytes::Bytes;
use engine::Cursor;

use super::{Direction, STEPS_BEFORE_SEEK};
use crate::error::Result;
use crate::mvcc::reader::value_is_missing;

/// The cursor that fetches. It stands nowhere before the first value.
pub(super) struct Values<'a> {
    pub(super) cursor: Box<dyn Cursor + 'a>,
    pub(super) target: Vec<u8>,
}

impl Values<'_> {
    /// The value of an encoded user key that was put by the transaction of `start_ts`.
    pub(super) fn get(
        &mut self,
        user: &[u8],
        start_ts: u64,
        direction: Direction,
    ) -> Result<Bytes> {
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
