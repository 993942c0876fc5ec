//! Forgetting what nobody can see any more.
//!
//! The *safe point* is a timestamp that comes from outside, chosen so that no transaction which is
//! still alive started at or before it. What a snapshot at the safe point or later does not see can go:
//!
//! ```text
//!   records of a key, safe point 20            why
//!    31  put(30)        stays                  newer than the safe point
//!    19  rollback(19)   goes                   prewrites at 19 are refused from now on
//!    18  put(17)        stays                  the newest value at the safe point
//!    12  lock(11)       goes                   no reader looks at it
//!     9  put(8)         goes, with its value   covered by 18
//! ```
//!
//! Had 18 been a delete, it would go as well, after everything older: a value must not come back
//! because its delete went first.
//!
//! The order in which it is done, by whoever drives it:
//!
//! 1. Raise the safe point. From then on older reads, and prewrites at or below it, are refused, so
//!    nothing new can come to depend on what is old.
//! 2. Resolve every lock whose transaction started at or before it, **in all regions**. The fate of a
//!    transaction stands at its primary key; were that record collected first, its other locks would
//!    be rolled back though it is committed.
//! 3. Collect, region by region. A region with such a lock is refused here, which covers the half of
//!    step 2 that one region can see.
//!
//! Whoever asks for the fate of a transaction after its records were collected finds nothing, and is
//! told that it was rolled back. That may be wrong, and does no harm: the answer is only used for locks
//! of that transaction, and step 2 has left none.
//!
//! Collecting is ordinary writing in pages, so it may stop anywhere and start again.

use std::ops::ControlFlow;

use bytes::Bytes;
use engine::{Cf, Cursor, KeyRange};

use super::resolve_lock::find_locks;
use super::{Command, Outcome, Paged, View};
use crate::error::{Error, KeyError, Locked, Result};
use crate::limits::Limits;
use crate::mvcc::{
    MvccReader, TS_MAX, Write, WriteKind, decode_user_key, encode_key, encode_user_key, split_key,
};

/// How many keys are cleaned in one write.
pub const GC_PAGE_KEYS: usize = 256;

/// How many records and values are deleted in one write; a key with more takes several.
pub const GC_PAGE_DELETES: usize = 1024;

/// How many records are looked at before others get their turn.
pub const GC_LOOK_RECORDS: usize = 4096;

/// Collects what only snapshots before the safe point see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectGarbage {
    safe_point: u64,
    stage: Stage,
    removed: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// Making sure that no old lock is left, from this user key on.
    Locks(Bytes),
    /// Collecting, from this user key on.
    Versions(Bytes),
    Through,
}

impl CollectGarbage {
    /// Collects what only snapshots before `safe_point` see.
    pub fn new(safe_point: u64) -> Self {
        CollectGarbage { safe_point, stage: Stage::Locks(Bytes::new()), removed: 0 }
    }

    /// How many records, and values with them, went.
    pub fn removed(&self) -> u64 {
        self.removed
    }

    /// Goes on with the locks; the page has nothing to write.
    fn find_lock(&self, view: &View<'_>, start: &[u8]) -> Result<Stage> {
        let mut found = find_locks(view, start, 1, |lock| lock.ts <= self.safe_point)?;
        if let Some((key, lock)) = found.locks.pop() {
            return Err(KeyError::Locked(Locked { key, lock }).into());
        }
        Ok(found.next.map_or_else(|| Stage::Versions(Bytes::new()), Stage::Locks))
    }

    /// Goes on with the versions: the keys that have something to collect, and where to look next.
    fn find_keys(&self, view: &View<'_>, start: &Bytes) -> Result<(Vec<Bytes>, Stage)> {
        let first = if start.is_empty() { Vec::new() } else { encode_user_key(start) };
        let mut cursor = view.reader.cursor(Cf::Write, KeyRange::from(&first))?;
        let mut keys = Vec::new();
        let mut is_valid = cursor.seek_to_first()?;
        let mut looked = 0;
        while is_valid {
            let user = split_key(cursor.key())?.0.to_vec();
            if keys.len() == GC_PAGE_KEYS || looked >= GC_LOOK_RECORDS {
                return Ok((keys, Stage::Versions(decode_user_key(&user)?.into())));
            }
            if has_garbage(cursor.as_mut(), &user, self.safe_point, &mut looked)? {
                keys.push(decode_user_key(&user)?.into());
            }
            is_valid = seek_past(cursor.as_mut(), user)?;
        }
        Ok((keys, Stage::Through))
    }
}

impl Paged for CollectGarbage {
    type Page = CollectPage;

    fn check(&self, _limits: &Limits) -> Result<()> {
        Ok(())
    }

    fn find(&mut self, view: &View<'_>) -> Result<CollectPage> {
        if self.safe_point > view.safe_point {
            return Err(Error::invalid("the safe point must be raised before it is collected to"));
        }
        let (keys, next) = match &self.stage {
            Stage::Locks(start) => (Vec::new(), self.find_lock(view, start)?),
            Stage::Versions(start) => self.find_keys(view, start)?,
            Stage::Through => (Vec::new(), Stage::Through),
        };
        self.stage = next;
        Ok(CollectPage { keys, safe_point: self.safe_point })
    }

    fn done(&mut self, collected: Collected) {
        self.removed += collected.removed;
        if let Some(unfinished) = collected.unfinished {
            self.stage = Stage::Versions(unfinished);
        }
    }

    fn is_through(&self) -> bool {
        self.stage == Stage::Through
    }
}

/// Whether a key, on whose first record the cursor stands, has something to collect.
fn has_garbage(
    cursor: &mut dyn Cursor,
    user: &[u8],
    safe_point: u64,
    looked: &mut usize,
) -> Result<bool> {
    *looked += 1;
    if split_key(cursor.key())?.1 > safe_point {
        let mut target = user.to_vec();
        target.extend_from_slice(&(!safe_point).to_be_bytes());
        if !cursor.seek(&target)? || split_key(cursor.key())?.0 != user {
            return Ok(false);
        }
    }
    match Write::parse(cursor.value())?.kind {
        // It stays, but nothing below it does.
        WriteKind::Put => Ok(cursor.next()? && split_key(cursor.key())?.0 == user),
        WriteKind::Delete | WriteKind::Rollback | WriteKind::Lock => Ok(true),
    }
}

/// To the first record of the next key.
fn seek_past(cursor: &mut dyn Cursor, mut user: Vec<u8>) -> Result<bool> {
    if !cursor.is_valid() || split_key(cursor.key())?.0 != user {
        return Ok(cursor.is_valid());
    }
    user.extend_from_slice(&TS_MAX.to_be_bytes()); // inverted: the timestamp zero, which is last
    user.push(0);
    Ok(cursor.seek(&user)?)
}

/// Cleans a few keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectPage {
    keys: Vec<Bytes>,
    safe_point: u64,
}

/// What became of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// How many records, and values with them, went.
    pub removed: u64,
    /// The key at which the page was full.
    pub unfinished: Option<Bytes>,
}

impl Command for CollectPage {
    type Answer = Collected;

    fn check(&self, _limits: &Limits) -> Result<()> {
        Ok(()) // the keys are our own
    }

    /// A prewrite that was let through before the safe point was raised may be on its way. It holds
    /// its latches, and what it looks for must not vanish under it.
    fn keys(&self) -> Vec<Bytes> {
        self.keys.clone()
    }

    fn execute(&self, view: &View<'_>) -> Result<Outcome<Collected>> {
        let mut outcome = Outcome::unchanged(Collected::default());
        for key in &self.keys {
            if !self.collect(view, key, &mut outcome)? {
                runtime::mark!("a page of garbage was full");
                outcome.answer.unfinished = Some(key.clone());
                break;
            }
        }
        Ok(outcome)
    }
}

impl CollectPage {
    /// Collects a key, and answers whether there was room for all of it.
    fn collect(
        &self,
        view: &View<'_>,
        key: &Bytes,
        outcome: &mut Outcome<Collected>,
    ) -> Result<bool> {
        // The newest put or delete at the safe point covers all that is older.
        let mut newest: Option<(Write, u64)> = None;
        let full = MvccReader::new(view.reader).walk(key, self.safe_point, |write, ts| {
            let is_data = matches!(write.kind, WriteKind::Put | WriteKind::Delete);
            if is_data && newest.is_none() {
                newest = Some((write, ts));
                return ControlFlow::Continue(());
            }
            if outcome.writes.len() >= GC_PAGE_DELETES {
                return ControlFlow::Break(());
            }
            outcome.remove(key, write, ts);
            ControlFlow::Continue(())
        })?;
        if full.is_some() {
            return Ok(false);
        }
        if let Some((write, ts)) = newest.filter(|(write, _)| write.kind == WriteKind::Delete) {
            outcome.remove(key, write, ts);
        }
        Ok(true)
    }
}

impl Outcome<Collected> {
    fn remove(&mut self, key: &Bytes, write: Write, ts: u64) {
        self.writes.delete(Cf::Write, encode_key(key, ts));
        if write.kind == WriteKind::Put {
            self.writes.delete(Cf::Default, encode_key(key, write.start_ts));
        }
        self.answer.removed += 1;
    }
}
