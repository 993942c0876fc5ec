//! The pairs of a request's ranges, as they were at its timestamp.
//!
//! A range that holds one key at most is looked up, which needs no cursor that stands in front of what
//! comes after it; others are scanned. Either way a lock in the way is reported, and only one that is:
//! not behind the last row that is wanted, and not outside of the ranges.
//!
//! # The newest there is
//!
//! ANALYZE reads at the largest timestamp there is, older than which every lock is. If all of them were in
//! its way it could not run beside any writer. So at that timestamp a lock counts only on the primary key
//! of its transaction, where it can still be resolved into something that this read must see; what other
//! keys are locked for is not committed before that.

use bytes::Bytes;
use proto::coprocessor::KeyRange;
use storage::mvcc::{Direction, Glance, MvccReader, Scanner, TS_MAX};
use storage::{KeyError, Locked, Reader};

use crate::error::{Error, Interrupt, Result, decimal_list};
use crate::table::{RECORD_KEY_LEN, is_point};

/// How many pairs, or ranges, there may be between two looks at the clock.
const PAIRS_PER_LOOK: usize = 256;

/// What is read, from when, and for how long.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    /// The state.
    pub reader: &'a dyn Reader,
    /// The timestamp.
    pub version: u64,
    /// Whether somebody still waits for the answer.
    pub patience: &'a dyn Patience,
}

/// Says when to give up.
pub trait Patience {
    /// Why to give up, if it is time to.
    fn is_over(&self) -> Option<Interrupt>;
}

impl<F: Fn() -> Option<Interrupt>> Patience for F {
    fn is_over(&self) -> Option<Interrupt> {
        self()
    }
}

/// Which ranges may be looked up instead of scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Points {
    /// Those of a row.
    Records,
    /// Those that look like a point.
    Any,
    /// None.
    None,
}

/// Walks over the pairs of some ranges.
pub(crate) struct Ranges<'a> {
    view: View<'a>,
    /// Those that are left, the next one last.
    rest: Vec<&'a KeyRange>,
    direction: Direction,
    points: Points,
    keys_only: bool,
    lookup: MvccReader<'a>,
    scanner: Option<Scanner<'a>>,
    since_look: usize,
}

impl<'a> Ranges<'a> {
    /// Checks the ranges and stands before the first pair.
    pub(crate) fn new(view: View<'a>, ranges: &'a [KeyRange]) -> Result<Self> {
        for range in ranges {
            if range.start >= range.end {
                let (start, end) = (decimal_list(&range.start), decimal_list(&range.end));
                return Err(Error::Range { start, end });
            }
        }
        Ok(Ranges {
            view,
            rest: ranges.iter().rev().collect(),
            direction: Direction::Forward,
            points: Points::None,
            keys_only: false,
            lookup: MvccReader::new(view.reader),
            scanner: None,
            since_look: 0,
        })
    }

    /// From the last range to the first, and each from its end.
    #[must_use]
    pub(crate) fn reverse(mut self) -> Self {
        self.direction = Direction::Reverse;
        self.rest.reverse();
        self
    }

    /// Looks up such ranges.
    #[must_use]
    pub(crate) fn with_points(mut self, points: Points) -> Self {
        self.points = points;
        self
    }

    /// Promises that nobody looks at values.
    #[must_use]
    pub(crate) fn keys_only(mut self, keys_only: bool) -> Self {
        self.keys_only = keys_only;
        self
    }

    /// Shows the next key and its value where they lie; at the end there is nothing to see.
    pub(crate) fn next<T>(&mut self, look_at: impl FnOnce(&[u8], &[u8]) -> T) -> Result<Option<T>> {
        loop {
            self.look()?;
            if let Some(scanner) = &mut self.scanner {
                match scanner.glance()? {
                    Glance::Row { key, value } => return Ok(Some(look_at(key, value))),
                    Glance::Locked(locked) => {
                        let key = locked.key.clone();
                        self.refuse(locked)?;
                        if let Some(value) = self.lookup.value(&key, self.view.version)? {
                            return Ok(Some(look_at(&key, &value)));
                        }
                    }
                    // Nothing was found for so long that it is time to look.
                    Glance::Pause => self.since_look = 0,
                    Glance::End => self.scanner = None,
                }
                continue;
            }
            let Some(range) = self.rest.pop() else { return Ok(None) };
            if self.is_looked_up(range) {
                if let Some(value) = self.look_up(&range.start)? {
                    return Ok(Some(look_at(&range.start, &value)));
                }
                continue;
            }
            let View { reader, version, .. } = self.view;
            let scanner = Scanner::new(reader, &range.start, &range.end, version, self.direction)?;
            self.scanner = Some(scanner.keys_only(self.keys_only));
        }
    }

    fn is_looked_up(&self, range: &KeyRange) -> bool {
        let may_be = match self.points {
            Points::Records => range.start.len() == RECORD_KEY_LEN,
            Points::Any => true,
            Points::None => false,
        };
        may_be && is_point(&range.start, &range.end)
    }

    fn look_up(&mut self, key: &Bytes) -> Result<Option<Bytes>> {
        if let Some(lock) = self.lookup.lock(key)?
            && lock.blocks_read_at(self.view.version)
        {
            self.refuse(Locked { key: key.clone(), lock })?;
        }
        Ok(self.lookup.value(key, self.view.version)?)
    }

    /// Stops at a lock, unless it may be looked past.
    fn refuse(&self, locked: Locked) -> Result<()> {
        if self.view.version == TS_MAX && locked.lock.primary != locked.key {
            return Ok(());
        }
        Err(Error::Storage(KeyError::Locked(locked).into()))
    }

    /// Now and then, asks whether to go on.
    fn look(&mut self) -> Result<()> {
        if self.since_look == 0
            && let Some(interrupt) = self.view.patience.is_over()
        {
            return Err(interrupt.into());
        }
        self.since_look = (self.since_look + 1) % PAIRS_PER_LOOK;
        Ok(())
    }
}
