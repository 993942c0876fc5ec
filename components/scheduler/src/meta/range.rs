//! Reading: a range of keys, as of a revision, sorted, filtered and cut.

use std::cmp::Ordering;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use proto::etcdserverpb::{RangeRequest, RangeResponse};
use proto::mvccpb::KeyValue;

use super::error::MetaError;
use super::space::Space;

/// Where a walk over an ordered map begins and ends.
pub type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// A range as etcd writes it: without an end it is one key, and an end of one zero byte is infinity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    start: Bytes,
    /// The first key behind it; none for infinity.
    end: Option<Bytes>,
    is_one: bool,
}

impl KeyRange {
    /// The range of a request.
    pub fn new(key: &Bytes, range_end: &Bytes) -> Self {
        let is_one = range_end.is_empty();
        let end = (range_end.as_ref() != [0]).then(|| range_end.clone());
        KeyRange { start: key.clone(), end, is_one }
    }

    /// The one key, if it is one.
    pub fn one(&self) -> Option<&Bytes> {
        self.is_one.then_some(&self.start)
    }

    /// Whether a key lies in it.
    pub fn contains(&self, key: &[u8]) -> bool {
        if self.is_one {
            return key == self.start;
        }
        key >= self.start && self.end.as_ref().is_none_or(|end| key < end)
    }

    /// As bounds of an ordered map; none when nothing can lie in it.
    pub fn bounds(&self) -> Option<Bounds<'_>> {
        let start = Bound::Included(self.start.as_ref());
        if self.is_one {
            return Some((start, start));
        }
        match &self.end {
            None => Some((start, Bound::Unbounded)),
            Some(end) if *end <= self.start => None,
            Some(end) => Some((start, Bound::Excluded(end.as_ref()))),
        }
    }
}

/// Reads.
pub fn range(space: &Space, request: &RangeRequest) -> Result<RangeResponse, MetaError> {
    let revision = readable(space, request)?;
    let range = KeyRange::new(&request.key, &request.range_end);
    let mut found = space.at(&range, revision);
    let count = i64::try_from(found.len()).unwrap_or(i64::MAX);
    let mut response =
        RangeResponse { header: Some(space.header()), count, ..RangeResponse::default() };
    if request.count_only {
        return Ok(response);
    }
    let order = SortOrder::try_from(request.sort_order).map_err(|_| MetaError::InvalidSort)?;
    let target = SortTarget::try_from(request.sort_target).map_err(|_| MetaError::InvalidSort)?;
    let limit = usize::try_from(request.limit).unwrap_or(0);
    // Without an order, keys are cut as they lie, and what is left is then sorted: that is etcd's way.
    if limit > 0 && order == SortOrder::None && !has_bounds(request) {
        response.more = found.len() > limit;
        found.truncate(limit);
    }
    found.retain(|kv| is_within(kv, request));
    sort(&mut found, order, target);
    if limit > 0 && found.len() > limit {
        response.more = true;
        found.truncate(limit);
    }
    let keys_only = request.keys_only;
    response.kvs = found
        .into_iter()
        .map(|kv| {
            let mut kv = kv.as_ref().clone();
            if keys_only {
                kv.value = Bytes::new();
            }
            kv
        })
        .collect();
    Ok(response)
}

/// The revision to read at, if it can be read.
pub fn readable(space: &Space, request: &RangeRequest) -> Result<i64, MetaError> {
    if request.key.is_empty() {
        return Err(MetaError::EmptyKey);
    }
    match request.revision {
        revision if revision <= 0 => Ok(i64::MAX),
        revision if revision > space.revision() => Err(MetaError::FutureRevision),
        revision if revision < space.compacted() => Err(MetaError::Compacted),
        revision => Ok(revision),
    }
}

fn has_bounds(request: &RangeRequest) -> bool {
    let bounds = [
        request.min_mod_revision,
        request.max_mod_revision,
        request.min_create_revision,
        request.max_create_revision,
    ];
    bounds.iter().any(|&bound| bound != 0)
}

fn is_within(kv: &KeyValue, request: &RangeRequest) -> bool {
    let within = |revision: i64, min: i64, max: i64| {
        (min == 0 || revision >= min) && (max == 0 || revision <= max)
    };
    within(kv.mod_revision, request.min_mod_revision, request.max_mod_revision)
        && within(kv.create_revision, request.min_create_revision, request.max_create_revision)
}

fn sort(found: &mut [Arc<KeyValue>], order: SortOrder, target: SortTarget) {
    let by = |left: &KeyValue, right: &KeyValue| -> Ordering {
        match target {
            SortTarget::Key => left.key.cmp(&right.key),
            SortTarget::Version => left.version.cmp(&right.version),
            SortTarget::Create => left.create_revision.cmp(&right.create_revision),
            SortTarget::Mod => left.mod_revision.cmp(&right.mod_revision),
            SortTarget::Value => left.value.cmp(&right.value),
        }
    };
    match order {
        // They lie in order of key already.
        SortOrder::None if target == SortTarget::Key => {}
        SortOrder::None | SortOrder::Ascend => found.sort_by(|left, right| by(left, right)),
        SortOrder::Descend => found.sort_by(|left, right| by(right, left)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A range, a key, and whether it lies in it.
    type Case = (&'static [u8], &'static [u8], &'static [u8], bool);

    #[test]
    fn ranges_are_read_as_etcd_writes_them() {
        let range = |key: &'static [u8], end: &'static [u8]| {
            KeyRange::new(&Bytes::from_static(key), &Bytes::from_static(end))
        };
        let cases: [Case; 8] = [
            (b"a", b"", b"a", true),
            (b"a", b"", b"ab", false),
            (b"a", b"c", b"bz", true),
            (b"a", b"c", b"c", false),
            (b"b", b"\0", b"zzz", true),
            (b"b", b"\0", b"a", false),
            (b"\0", b"\0", b"\0", true),
            (b"c", b"a", b"b", false),
        ];
        for (start, end, key, is_in) in cases {
            let range = range(start, end);
            assert_eq!(range.contains(key), is_in, "{range:?} {key:?}");
            let map = std::collections::BTreeSet::from([Bytes::from_static(key)]);
            let found = range.bounds().is_some_and(|b| map.range::<[u8], _>(b).next().is_some());
            assert_eq!(found, is_in, "{range:?} {key:?}");
        }
    }
}
