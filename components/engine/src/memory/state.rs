//! The map, and the versions its keys remember.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;

use crate::{Cf, KeyRange};

/// The content.
///
/// I1: a key's versions descend in sequence, and the newest is at most `sequence`.
/// I2: a key whose only version is a delete is in `litter`, or gone.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) families: [BTreeMap<Bytes, Versions>; Cf::ALL.len()],
    /// The number of the last batch.
    pub(super) sequence: u64,
    /// How many snapshots stand at which sequence.
    pub(super) readers: BTreeMap<u64, usize>,
    /// Keys with versions that can go once the snapshots which need them are dropped.
    pub(super) litter: BTreeSet<(Cf, Bytes)>,
}

impl State {
    pub(super) fn visible(&self, cf: Cf, key: &[u8], sequence: u64) -> Option<Bytes> {
        self.families[cf.slot()].get(key)?.visible(sequence).cloned()
    }

    pub(super) fn keys_in<'a>(
        &'a self,
        cf: Cf,
        range: KeyRange<'_>,
    ) -> impl DoubleEndedIterator<Item = (&'a Bytes, &'a Versions)> {
        let (start, end) = bounds(range);
        self.families[cf.slot()].range::<[u8], _>((start, end))
    }

    /// What readers see of a range now, in order.
    pub(super) fn entries_in<'a>(
        &'a self,
        cf: Cf,
        range: KeyRange<'_>,
    ) -> impl Iterator<Item = (&'a Bytes, &'a Bytes)> {
        self.keys_in(cf, range)
            .filter_map(|(key, versions)| Some((key, versions.visible(self.sequence)?)))
    }

    /// Writes one version of one key.
    pub(super) fn set(&mut self, cf: Cf, key: Bytes, value: Option<Bytes>) {
        let version = Version { sequence: self.sequence, value };
        let family = &mut self.families[cf.slot()];
        let Some(versions) = family.get_mut(&key) else {
            if version.value.is_some() {
                family.insert(key, Versions { newest: version, older: Vec::new() });
            }
            return;
        };
        let replaced = std::mem::replace(&mut versions.newest, version);
        if needed(&self.readers, replaced.sequence, self.sequence) {
            versions.older.insert(0, replaced);
        }
        if !versions.older.is_empty() {
            self.litter.insert((cf, key));
        } else if versions.newest.value.is_none() {
            family.remove(&key);
        }
    }

    pub(super) fn put_all(&mut self, cf: Cf, entries: Vec<(Bytes, Bytes)>) {
        self.sequence += 1;
        for (key, value) in entries {
            self.set(cf, key, Some(value));
        }
    }

    pub(super) fn delete_range(&mut self, cf: Cf, range: KeyRange<'_>) {
        if range.is_empty() {
            return;
        }
        let keys: Vec<Bytes> = self.keys_in(cf, range).map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.set(cf, key, None);
        }
    }

    /// A snapshot at `sequence` is gone.
    pub(super) fn release(&mut self, sequence: u64) {
        let count =
            self.readers.get_mut(&sequence).expect("a snapshot is counted until it is gone");
        *count -= 1;
        if *count == 0 {
            self.readers.remove(&sequence);
            self.sweep();
        }
    }

    /// Forgets the versions that no snapshot can see any more.
    fn sweep(&mut self) {
        let readers = &self.readers;
        for (cf, key) in std::mem::take(&mut self.litter) {
            let family = &mut self.families[cf.slot()];
            let Some(versions) = family.get_mut(&key) else { continue };
            let mut next = versions.newest.sequence;
            versions.older.retain(|version| {
                let keep = needed(readers, version.sequence, next);
                next = version.sequence;
                keep
            });
            if !versions.older.is_empty() {
                self.litter.insert((cf, key));
            } else if versions.newest.value.is_none() {
                family.remove(&key);
            }
        }
    }
}
/// Whether some snapshot sees the version written at `from` and replaced at `until`.
fn needed(readers: &BTreeMap<u64, usize>, from: u64, until: u64) -> bool {
    readers.range(from..until).next().is_some()
}

/// A range as bounds that an ordered map takes: it refuses a reversed range, so that becomes an empty
/// one.
pub(super) fn bounds(range: KeyRange<'_>) -> (Bound<&[u8]>, Bound<&[u8]>) {
    if range.is_empty() {
        // An ordered map refuses a reversed range; this is an empty one.
        return (Bound::Included(b""), Bound::Excluded(b""));
    }
    let end = if range.end.is_empty() { Bound::Unbounded } else { Bound::Excluded(range.end) };
    (Bound::Included(range.start), end)
}
/// The versions of one key. Most keys have one, so that one is kept in place.
#[derive(Debug)]
pub(super) struct Versions {
    newest: Version,
    /// Newest first.
    pub(super) older: Vec<Version>,
}

#[derive(Debug)]
pub(super) struct Version {
    sequence: u64,
    /// `None` where the key was deleted.
    value: Option<Bytes>,
}

impl Versions {
    pub(super) fn visible(&self, sequence: u64) -> Option<&Bytes> {
        std::iter::once(&self.newest)
            .chain(&self.older)
            .find(|version| version.sequence <= sequence)?
            .value
            .as_ref()
    }
}
