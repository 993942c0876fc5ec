//! How large a region is, and where to cut it.
//!
//! All families count, in the one order that their keys share. First the size is estimated, from what
//! the files of the range take and what was written lately; only when that comes near the limit the
//! keys are counted.
//!
//! A region is cut at a user key, so that all versions of it stay together: a key of a transaction is an
//! encoded user key and a timestamp, of which the latter is left away. A key that does not decode is
//! nobody's version, and is taken as it is.

use bytes::Bytes;
use engine::{Cf, Cursor, Engine, KeyRange};
use proto::metapb::Region;

use crate::error::Result;

/// The sizes that matter, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A region this large is cut.
    pub max: u64,
    /// Its left part gets about this much.
    pub split: u64,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The size; for a region that is too large, only that it is at least this.
    pub size: u64,
    /// Where to cut it, if it is too large.
    pub split_key: Option<Bytes>,
}

/// Finds out whether `region` is too large. `written` is about how much was written into it that may not
/// be in files yet.
pub fn check(kv: &dyn Engine, region: &Region, written: u64, limits: Limits) -> Result<Found> {
    let range = KeyRange::new(&region.start_key, &region.end_key);
    let mut estimate = written;
    for cf in Cf::DATA {
        estimate += kv.approximate_size(cf, range)?;
    }
    // Files may be compressed, so half of the limit is near it.
    if estimate < limits.max / 2 {
        return Ok(Found { size: estimate, split_key: None });
    }
    let snapshot = kv.snapshot()?;
    let mut families = Vec::new();
    for cf in Cf::DATA {
        let mut cursor = snapshot.sweep(cf, range)?;
        cursor.seek_to_first()?;
        families.push(cursor);
    }
    count(&mut families, region, limits)
}

/// Counts keys and values, in order, until the limit is passed.
fn count(families: &mut [Box<dyn Cursor + '_>], region: &Region, limits: Limits) -> Result<Found> {
    let mut found = Found { size: 0, split_key: None };
    loop {
        let standing = families.iter_mut().filter(|cursor| cursor.is_valid());
        let Some(next) = standing.min_by(|a, b| a.key().cmp(b.key())) else { break };
        let (key, value) = next.entry();
        found.size += (key.len() + value.len()) as u64;
        if found.size > limits.split && found.split_key.is_none() {
            let cut = user_key(key);
            // The versions of one key may be larger than the limit: then the next key is the first
            // that can be cut at.
            found.split_key = region.contains_inside(cut).then(|| Bytes::copy_from_slice(cut));
        }
        if found.size >= limits.max && found.split_key.is_some() {
            return Ok(found);
        }
        next.next()?;
    }
    found.split_key = None;
    Ok(found)
}

/// The encoded user key of a key, without a timestamp if it has one; or the key itself.
fn user_key(key: &[u8]) -> &[u8] {
    const TIMESTAMP_BYTES: usize = 8;
    let mut rest = key;
    match codec::bytes::take(&mut rest) {
        Ok(_) if rest.is_empty() || rest.len() == TIMESTAMP_BYTES => &key[..key.len() - rest.len()],
        Ok(_) | Err(_) => key,
    }
}

#[cfg(test)]
mod tests {
    use engine::{Durability, Layout, Memory, WriteBatch};
    use proto::RegionId;

    use super::*;

    fn engine(rows: &[(Cf, Vec<u8>, usize)]) -> Memory {
        let engine = Memory::new(Layout::Kv);
        let mut batch = WriteBatch::new();
        for (cf, key, size) in rows {
            batch.put(*cf, key.clone(), vec![b'v'; *size]);
        }
        engine.write(&batch, Durability::Unsynced).unwrap();
        engine
    }

    fn version(key: &str, ts: u64) -> Vec<u8> {
        let mut encoded = Vec::new();
        codec::bytes::encode(&mut encoded, key.as_bytes());
        encoded.extend((!ts).to_be_bytes());
        encoded
    }

    fn whole() -> Region {
        Region::new(RegionId::new(1), "", "")
    }

    const LIMITS: Limits = Limits { max: 100, split: 50 };

    #[test]
    fn all_versions_of_a_key_stay_together() {
        let rows: Vec<_> = [("k1", 2), ("k1", 1), ("k2", 2), ("k2", 1), ("k3", 3)]
            .map(|(key, ts)| (Cf::Default, version(key, ts), 5))
            .into();
        let found = check(&engine(&rows), &whole(), 0, LIMITS).unwrap();
        assert_eq!(found.split_key.as_deref(), Some(&version("k2", 0)[..9]));
        assert_eq!(found.size, 110);
    }

    #[test]
    fn all_families_count_and_a_raw_key_is_cut_as_it_is() {
        let rows = [
            (Cf::Default, b"a".to_vec(), 39),
            (Cf::Lock, b"b".to_vec(), 19),
            (Cf::Write, b"c".to_vec(), 39),
        ];
        let found = check(&engine(&rows), &whole(), 0, LIMITS).unwrap();
        assert_eq!((found.size, found.split_key), (100, Some("b".into())));
        let found = check(&engine(&rows[..2]), &whole(), 1000, LIMITS).unwrap();
        assert_eq!((found.size, found.split_key), (60, None), "not large enough");
    }

    #[test]
    fn a_region_of_one_large_key_is_not_cut_before_it() {
        let rows: Vec<_> = (1..9).map(|ts| (Cf::Write, version("k", ts), 100)).collect();
        let mut region = whole();
        region.start_key = version("k", 0)[..9].to_vec().into();
        assert_eq!(check(&engine(&rows), &region, 0, LIMITS).unwrap().split_key, None);
    }

    #[test]
    fn far_from_the_limit_nothing_is_counted() {
        let rows = [(Cf::Default, b"a".to_vec(), 9)];
        let found = check(&engine(&rows), &whole(), 7, LIMITS).unwrap();
        assert!(found.size >= 7 && found.split_key.is_none(), "{found:?}");
    }
}
