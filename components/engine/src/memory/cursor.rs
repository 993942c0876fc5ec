//! A state after one batch, and walking over it.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::Shared;
use super::state::bounds;
use crate::{Cf, Cursor, KeyRange, Layout, Result, Snapshot};

/// The state after one batch.
pub(super) struct MemorySnapshot {
    pub(super) layout: Layout,
    pub(super) shared: Arc<Shared>,
    pub(super) sequence: u64,
}

impl Snapshot for MemorySnapshot {
    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>> {
        self.layout.check(cf);
        Ok(self.shared.read().visible(cf, key, self.sequence))
    }

    fn cursor<'a>(&'a self, cf: Cf, range: KeyRange<'_>) -> Result<Box<dyn Cursor + 'a>> {
        self.layout.check(cf);
        Ok(Box::new(MemoryCursor {
            snapshot: self,
            cf,
            range: Arc::new(OwnedRange { start: range.start.to_vec(), end: range.end.to_vec() }),
            current: None,
        }))
    }
}

impl Drop for MemorySnapshot {
    fn drop(&mut self) {
        self.shared.write().release(self.sequence);
    }
}

/// Looks the next key up at every move: the map may have changed in between.
struct MemoryCursor<'a> {
    snapshot: &'a MemorySnapshot,
    cf: Cf,
    /// Shared only with the move under way, which cannot borrow it and change the cursor.
    range: Arc<OwnedRange>,
    current: Option<(Bytes, Bytes)>,
}

struct OwnedRange {
    start: Vec<u8>,
    end: Vec<u8>,
}

impl OwnedRange {
    fn is_empty(&self) -> bool {
        KeyRange::new(&self.start, &self.end).is_empty()
    }

    fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        bounds(KeyRange::new(&self.start, &self.end))
    }
}

/// Which end of a range a cursor wants.
#[derive(Clone, Copy)]
enum End {
    First,
    Last,
}

impl MemoryCursor<'_> {
    /// Moves to the first or last visible key between the two bounds.
    fn place(&mut self, low: Bound<&[u8]>, high: Bound<&[u8]>, end: End) -> bool {
        if self.range.is_empty() || nothing_between(low, high) {
            self.current = None;
            return false;
        }
        let sequence = self.snapshot.sequence;
        self.current = {
            let state = self.snapshot.shared.read();
            let mut keys = state.families[self.cf.slot()].range::<[u8], _>((low, high)).filter_map(
                |(key, versions)| Some((key.clone(), versions.visible(sequence)?.clone())),
            );
            match end {
                End::First => keys.next(),
                End::Last => keys.next_back(),
            }
        };
        self.current.is_some()
    }

    /// Moves to the first visible key from `low` on, within the cursor's range.
    fn forward_from(&mut self, low: Bound<&[u8]>) -> bool {
        let range = Arc::clone(&self.range);
        let (own_low, high) = range.bounds();
        let low = match low {
            Bound::Included(key) if key >= range.start.as_slice() => low,
            Bound::Excluded(_) => low,
            Bound::Included(_) | Bound::Unbounded => own_low,
        };
        self.place(low, high, End::First)
    }

    /// Moves to the last visible key up to `high`, within the cursor's range.
    fn backward_from(&mut self, high: Bound<&[u8]>) -> bool {
        let range = Arc::clone(&self.range);
        let (low, own_high) = range.bounds();
        let high = match high {
            Bound::Included(key) if range.end.is_empty() || key < range.end.as_slice() => high,
            Bound::Excluded(_) => high,
            Bound::Included(_) | Bound::Unbounded => own_high,
        };
        self.place(low, high, End::Last)
    }
}

/// Whether the bounds leave no room for a key; an ordered map panics on some of those.
fn nothing_between(low: Bound<&[u8]>, high: Bound<&[u8]>) -> bool {
    match (low, high) {
        (Bound::Included(low), Bound::Included(high)) => low > high,
        (Bound::Included(low) | Bound::Excluded(low), Bound::Excluded(high))
        | (Bound::Excluded(low), Bound::Included(high)) => low >= high,
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
    }
}

impl Cursor for MemoryCursor<'_> {
    fn seek_to_first(&mut self) -> Result<bool> {
        Ok(self.forward_from(Bound::Unbounded))
    }

    fn seek_to_last(&mut self) -> Result<bool> {
        Ok(self.backward_from(Bound::Unbounded))
    }

    fn seek(&mut self, key: &[u8]) -> Result<bool> {
        Ok(self.forward_from(Bound::Included(key)))
    }

    fn seek_for_prev(&mut self, key: &[u8]) -> Result<bool> {
        Ok(self.backward_from(Bound::Included(key)))
    }

    fn next(&mut self) -> Result<bool> {
        let Some((key, _)) = self.current.take() else { return Ok(false) };
        Ok(self.forward_from(Bound::Excluded(&key)))
    }

    fn prev(&mut self) -> Result<bool> {
        let Some((key, _)) = self.current.take() else { return Ok(false) };
        Ok(self.backward_from(Bound::Excluded(&key)))
    }

    fn is_valid(&self) -> bool {
        self.current.is_some()
    }

    fn key(&self) -> &[u8] {
        self.entry().0
    }

    fn value(&self) -> &[u8] {
        self.entry().1
    }

    fn entry(&self) -> (&[u8], &[u8]) {
        let (key, value) = self.current.as_ref().expect("the cursor stands on a key");
        (key, value)
    }
}
