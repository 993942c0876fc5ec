//! Estimates in little room: how many different values there are, and how often each occurs.

use std::collections::BTreeSet;

use proto::tipb::{self, CmSketch, CmSketchRow, FmSketch};

use super::hash::hash128;
use crate::error::{Error, Result};
use crate::memory::Memory;

/// What a kept hash costs.
const HASH_BYTES: usize = 24;

/// Flajolet and Martin's estimate of how many different values there are.
///
/// It keeps the hashes that end in some number of zero bits; when there are too many, one zero more is
/// asked for, which half of them do not have. So there are about as many values as hashes are kept, times
/// two for each zero.
#[derive(Debug)]
pub(crate) struct DistinctSketch {
    mask: u64,
    hashes: BTreeSet<u64>,
    hashes_max: usize,
}

impl DistinctSketch {
    /// A sketch that keeps about so many hashes.
    pub(crate) fn new(hashes_max: usize) -> Self {
        DistinctSketch { mask: 0, hashes: BTreeSet::new(), hashes_max }
    }

    /// Takes in the hash of a value. More than the limit may be kept for a while, since a zero is asked
    /// for at most once.
    pub(crate) fn insert(&mut self, hash: u64, memory: &mut Memory) -> Result<()> {
        if hash & self.mask != 0 || !self.hashes.insert(hash) {
            return Ok(());
        }
        memory.take(HASH_BYTES)?;
        if self.hashes.len() > self.hashes_max {
            self.mask = self.mask << 1 | 1;
            let before = self.hashes.len();
            self.hashes.retain(|hash| hash & self.mask == 0);
            memory.give_back(HASH_BYTES * (before - self.hashes.len()));
        }
        Ok(())
    }

    /// As it goes out.
    pub(crate) fn into_message(self) -> FmSketch {
        FmSketch { mask: self.mask, hashset: self.hashes.into_iter().collect() }
    }
}

/// A count-min sketch: how often a value occurs, at most.
///
/// Each row counts values under a hash of its own. Different values may share a counter, so each counter
/// is too large rather than too small, and the smallest of a value's is the best estimate.
#[derive(Debug)]
pub(crate) struct CountSketch {
    rows: Vec<Vec<u32>>,
    /// Counts nothing, as in the original.
    is_broken: bool,
}

impl CountSketch {
    pub(super) fn new(
        depth: i32,
        width: i32,
        memory: &mut Memory,
        is_original: bool,
    ) -> Result<Self> {
        let (Ok(depth), Ok(width)) = (usize::try_from(depth), usize::try_from(width)) else {
            return Err(Error::invalid("a sketch of a negative size"));
        };
        let row_bytes = size_of::<Vec<u32>>() + width.saturating_mul(size_of::<u32>());
        memory.take(depth.saturating_mul(row_bytes))?;
        Ok(CountSketch { rows: vec![vec![0; width]; depth], is_broken: is_original })
    }

    /// Counts a value.
    pub(super) fn insert(&mut self, value: &[u8]) {
        if self.is_broken {
            return;
        }
        let (mut hash, step) = hash128(value);
        for row in &mut self.rows {
            let width = row.len() as u64;
            if let Some(place) = hash.checked_rem(width) {
                let place = usize::try_from(place).expect("it is below the length of a row");
                row[place] = row[place].wrapping_add(1);
            }
            hash = hash.wrapping_add(step);
        }
    }

    /// As it goes out.
    pub(super) fn into_message(self) -> CmSketch {
        let rows = self.rows.into_iter().map(|counters| CmSketchRow { counters }).collect();
        tipb::CmSketch { rows, top_n: Vec::new(), default_value: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::hash::hash64;
    use crate::datum::DatumRef;

    fn sketch(hashes_max: usize, hashes: impl IntoIterator<Item = u64>) -> FmSketch {
        let (mut sketch, mut memory) = (DistinctSketch::new(hashes_max), Memory::new(1 << 20));
        for hash in hashes {
            sketch.insert(hash, &mut memory).unwrap();
        }
        sketch.into_message()
    }

    #[test]
    fn hashes_are_dropped_one_bit_at_a_time() {
        let cases: [(&[u64], u64, &[u64]); 4] = [
            (&[1, 2, 4], 1, &[2, 4]),
            (&[2, 4, 8], 1, &[2, 4, 8]),
            (&[2, 4, 8, 16], 3, &[4, 8, 16]),
            (&[2, 4, 8, 16, 12], 7, &[8, 16]),
        ];
        for (hashes, mask, kept) in cases {
            let expected = FmSketch { mask, hashset: kept.to_vec() };
            assert_eq!(sketch(2, hashes.iter().copied()), expected, "{hashes:?}");
        }
    }

    #[test]
    fn estimates_are_those_of_the_original() {
        let of = |hashes_max: usize, values: &mut dyn Iterator<Item = i64>| {
            let hashes = values.map(|value| {
                let mut encoded = Vec::new();
                DatumRef::Int(value).encode_value(&mut encoded);
                hash64(&encoded)
            });
            let sketch = sketch(hashes_max, hashes);
            (sketch.mask + 1) * sketch.hashset.len() as u64
        };
        let odd = |i: i64| {
            let place = i - 1000;
            i + i64::from(place % 3 == 0) + 2 * i64::from(place % 5 == 0)
        };
        assert_eq!(of(1000, &mut (1000..10_000).map(odd)), 6232);
        assert_eq!(of(1000, &mut (0..100_000)), 100_480);
    }

    #[test]
    fn a_sketch_may_be_empty_and_never_negative_or_huge() {
        let mut memory = Memory::new(1 << 20);
        for (depth, width) in [(0, 5), (5, 0), (0, 0)] {
            let mut sketch = CountSketch::new(depth, width, &mut memory, false).unwrap();
            sketch.insert(b"value");
            assert_eq!(sketch.into_message().rows.len(), usize::try_from(depth).unwrap());
        }
        for (depth, width) in [(-1, 5), (5, -1), (i32::MAX, i32::MAX), (i32::MAX, 0)] {
            assert!(CountSketch::new(depth, width, &mut memory, false).is_err(), "{depth} {width}");
        }
    }
}
