//! The cursor that decides which version of a key is visible.

use std::cmp::Ordering;

use engine::Cursor;

use super::Direction;
use super::pace::Pace;
use crate::error::Result;
use crate::mvcc::key::split_key;
use crate::mvcc::write::{Write, WriteKind};

/// The cursor that decides.
pub(super) struct Writes<'a> {
    cursor: Box<dyn Cursor + 'a>,
    /// The key that was entered last, encoded, without a timestamp.
    user: Vec<u8>,
    /// Whether the cursor may still stand on records of that key.
    is_inside: bool,
    pub(super) pace: Pace,
}

impl<'a> Writes<'a> {
    /// Stands before the first key of a scan.
    pub(super) fn new(mut cursor: Box<dyn Cursor + 'a>, direction: Direction) -> Result<Self> {
        match direction {
            Direction::Forward => cursor.seek_to_first()?,
            Direction::Reverse => cursor.seek_to_last()?,
        };
        Ok(Writes { cursor, user: Vec::new(), is_inside: false, pace: Pace::default() })
    }

    /// The key that was entered last, encoded.
    pub(super) fn user(&self) -> &[u8] {
        &self.user
    }

    /// Moves to the next key of the scan; false when there is none.
    pub(super) fn enter_next_key(&mut self, direction: Direction) -> Result<bool> {
        self.leave(direction)?;
        let is_written = self.cursor.is_valid();
        if is_written {
            self.enter()?;
        }
        Ok(is_written)
    }

    /// When the put started that `version` sees of the entered key.
    pub(super) fn visible(&mut self, version: u64, direction: Direction) -> Result<Option<u64>> {
        match direction {
            Direction::Forward => self.visible_forward(version),
            Direction::Reverse => self.visible_reverse(version),
        }
    }

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
        self.pace.begin_key();
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
        match direction {
            Direction::Forward => self.leave_forward(),
            Direction::Reverse => self.leave_reverse(),
        }
    }

    fn leave_forward(&mut self) -> Result<()> {
        while self.ts_here()?.is_some() {
            if !self.pace.may_step() {
                runtime::mark!("a scan seeks past the rest of a key");
                self.pace.seek();
                self.seek_user(0)?;
                if self.ts_here()?.is_some() {
                    self.cursor.next()?;
                }
                return Ok(());
            }
            self.cursor.next()?;
        }
        Ok(())
    }

    fn leave_reverse(&mut self) -> Result<()> {
        // Looking for the version may have run the cursor beyond the key, or off the other end.
        while let Some(user) = self.user_here()? {
            match user.cmp(&self.user) {
                Ordering::Less => return Ok(()),
                Ordering::Equal if self.pace.may_step() => self.cursor.prev()?,
                Ordering::Equal | Ordering::Greater => break,
            };
        }
        self.pace.seek();
        self.cursor.seek_for_prev(&self.user)?;
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
        while let Some(ts) = self.ts_here()? {
            if ts <= version {
                let write = Write::parse(self.cursor.value())?;
                match write.kind {
                    WriteKind::Put => return Ok(Some(write.start_ts)),
                    WriteKind::Delete => return Ok(None),
                    WriteKind::Rollback | WriteKind::Lock => self.pace.must_step(),
                }
            } else if !self.pace.may_step() {
                runtime::mark!("a scan seeks past versions that are too new");
                self.pace.seek();
                self.seek_user(version)?;
                continue;
            }
            self.cursor.next()?;
        }
        Ok(None)
    }

    /// The same from the oldest record on: the last one at or before `version` counts.
    fn visible_reverse(&mut self, version: u64) -> Result<Option<u64>> {
        let mut visible = None;
        while let Some(ts) = self.ts_here()?
            && ts <= version
        {
            if !self.pace.may_step() {
                runtime::mark!("a reverse scan seeks to the version");
                self.pace.seek();
                self.seek_user(version)?;
                return self.visible_forward(version);
            }
            let write = Write::parse(self.cursor.value())?;
            match write.kind {
                WriteKind::Put => visible = Some(write.start_ts),
                WriteKind::Delete => visible = None,
                WriteKind::Rollback | WriteKind::Lock => {}
            }
            self.cursor.prev()?;
        }
        Ok(visible)
    }
}
