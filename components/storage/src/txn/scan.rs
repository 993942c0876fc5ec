//! Many keys at a timestamp.

use bytes::Bytes;

use super::{Query, View};
use crate::error::Result;
use crate::limits::{AnswerSize, Limits};
use crate::mvcc::{Direction, Row, Scanner, Step, encode_user_key};
use crate::turn::Turn;

/// Reads the keys from `start` on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The first user key, or in reverse the first that is *not* wanted. Empty for the very first,
    /// in reverse for the very last.
    pub start: Bytes,
    /// How many rows. Fewer are found only when the region ends.
    pub limit: u32,
    /// As of when.
    pub version: u64,
    /// Which way.
    pub direction: Direction,
}

impl Query for Scan {
    /// Keys with a value or with a lock in the way, in order; both count towards the limit.
    type Answer = Vec<Row>;

    fn check(&self, limits: &Limits) -> Result<()> {
        limits.check_start(&self.start)
    }

    fn version(&self) -> u64 {
        self.version
    }

    async fn execute(&self, view: &View<'_>) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        if self.limit == 0 {
            return Ok(rows);
        }
        let (start, end) = match self.direction {
            Direction::Forward => {
                view.reader.check(&encode_start(&self.start))?;
                (self.start.as_ref(), &b""[..])
            }
            Direction::Reverse => (&b""[..], self.start.as_ref()),
        };
        let mut size = AnswerSize::new(&view.limits);
        let scanner = Scanner::new(view.reader, start, end, self.version, self.direction)?;
        let mut scanner = scanner.expect_rows(self.limit as usize);
        loop {
            let row = match scanner.step()? {
                Step::Row(row) => row,
                Step::Pause => {
                    Turn::default().await;
                    continue;
                }
                Step::End => break,
            };
            match &row {
                Row::Value { key, value } => size.add(key, value)?,
                Row::Locked(locked) => size.add(&locked.key, &locked.lock.primary)?,
            }
            rows.push(row);
            if rows.len() as u64 == u64::from(self.limit) {
                break;
            }
        }
        Ok(rows)
    }
}

/// Where a scan starts, as regions order it. The empty key is before all others and stays empty.
fn encode_start(start: &[u8]) -> Vec<u8> {
    if start.is_empty() { Vec::new() } else { encode_user_key(start) }
}
