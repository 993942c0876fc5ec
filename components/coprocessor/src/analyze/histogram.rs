//! How values are distributed: buckets of about as many values each.
//!
//! Nobody knows beforehand how many values there will be. So buckets start with one value each, and
//! whenever there are too many buckets, neighbours are merged and each may hold twice as many:
//!
//! ```text
//! at most 4 buckets    1 2 3 4 | 5: merge      [1 2] [3 4] [5]       [1 2] [3 4] [5 6] [7 8] | 9: merge
//!                                              [1 2 3 4] [5 6 7 8] [9]
//! ```
//!
//! A value is never split over two buckets, however often it occurs. Only equality is looked at; that
//! values come in order is the scan's to promise.

use bytes::Bytes;
use proto::tipb;

use crate::error::Result;
use crate::memory::Memory;

/// What a bucket costs beyond its bounds.
const BUCKET_BYTES: usize = 72;

/// A histogram under construction.
#[derive(Debug)]
pub(crate) struct Histogram {
    /// How many buckets there are at most; without a positive number there is no limit.
    buckets_max: i64,
    /// How many values fit into a bucket.
    bucket_rows: i64,
    buckets: Vec<Bucket>,
    /// How many different values there are.
    distinct: i64,
}

#[derive(Clone, Debug)]
struct Bucket {
    /// How many values are in this bucket and in all before it.
    count: i64,
    /// How often the upper bound occurs.
    repeats: i64,
    lower: Vec<u8>,
    upper: Vec<u8>,
}

impl Histogram {
    pub(super) fn new(buckets_max: i64) -> Self {
        Histogram { buckets_max, bucket_rows: 1, buckets: Vec::new(), distinct: 0 }
    }

    /// Takes in the next value.
    pub(super) fn push(&mut self, value: &[u8], memory: &mut Memory) -> Result<()> {
        if let Some(last) = self.buckets.last_mut()
            && last.upper == value
        {
            last.count += 1;
            last.repeats += 1;
            return Ok(());
        }
        self.distinct += 1;
        if self.buckets.is_empty() {
            return self.open(1, value, memory);
        }
        if !self.has_room() && i64::try_from(self.buckets.len()) == Ok(self.buckets_max) {
            self.merge(memory);
        }
        let has_room = self.has_room();
        let last = self.buckets.last_mut().expect("there is a bucket");
        let count = last.count + 1;
        if !has_room {
            return self.open(count, value, memory);
        }
        memory.give_back(last.upper.len());
        memory.take(value.len())?;
        last.upper.clear();
        last.upper.extend_from_slice(value);
        (last.count, last.repeats) = (count, 1);
        Ok(())
    }

    fn open(&mut self, count: i64, value: &[u8], memory: &mut Memory) -> Result<()> {
        memory.take(BUCKET_BYTES + 2 * value.len())?;
        let (lower, upper) = (value.to_vec(), value.to_vec());
        self.buckets.push(Bucket { count, repeats: 1, lower, upper });
        Ok(())
    }

    /// Whether another value fits into the last bucket.
    fn has_room(&self) -> bool {
        let count = |bucket: Option<&Bucket>| bucket.map_or(0, |bucket| bucket.count);
        let before = self.buckets.len().checked_sub(2).and_then(|index| self.buckets.get(index));
        count(self.buckets.last()) + 1 - count(before) <= self.bucket_rows
    }

    /// Makes one bucket of two, and each twice as large.
    fn merge(&mut self, memory: &mut Memory) {
        let merge = |pair: &mut [Bucket]| match pair {
            [first, second] => {
                memory.give_back(BUCKET_BYTES + first.upper.len() + second.lower.len());
                let lower = std::mem::take(&mut first.lower);
                Bucket { lower, upper: std::mem::take(&mut second.upper), ..*second }
            }
            alone => alone[0].clone(),
        };
        self.buckets = self.buckets.chunks_mut(2).map(merge).collect();
        self.bucket_rows = self.bucket_rows.saturating_mul(2);
    }

    /// As it goes out.
    pub(super) fn into_message(self) -> tipb::Histogram {
        let bucket = |bucket: Bucket| tipb::Bucket {
            count: bucket.count,
            lower_bound: Some(Bytes::from(bucket.lower)),
            upper_bound: Some(Bytes::from(bucket.upper)),
            repeats: bucket.repeats,
        };
        let buckets = self.buckets.into_iter().map(bucket).collect();
        tipb::Histogram { ndv: self.distinct, buckets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Count, repeats, and both bounds of a bucket.
    type Shown = (i64, i64, u8, u8);

    fn built(buckets_max: i64, values: &[u8]) -> (i64, Vec<Shown>) {
        let mut histogram = Histogram::new(buckets_max);
        let mut memory = Memory::new(1 << 20);
        for value in values {
            histogram.push(&[*value], &mut memory).unwrap();
        }
        let of = |bucket: &Bucket| (bucket.count, bucket.repeats, bucket.lower[0], bucket.upper[0]);
        (histogram.distinct, histogram.buckets.iter().map(of).collect())
    }

    #[test]
    fn neighbours_are_merged_when_there_are_too_many() {
        let cases: [(i64, &[u8], i64, &[Shown]); 5] = [
            (2, &[1, 2, 3, 4, 5], 5, &[(4, 1, 1, 4), (5, 1, 5, 5)]),
            (4, &[1, 2, 3, 4, 5, 6, 7, 8, 9], 9, &[(4, 1, 1, 4), (8, 1, 5, 8), (9, 1, 9, 9)]),
            (2, &[1, 1, 2, 3, 3, 3, 4], 4, &[(6, 3, 1, 3), (7, 1, 4, 4)]),
            (0, &[1, 2, 3], 3, &[(1, 1, 1, 1), (2, 1, 2, 2), (3, 1, 3, 3)]),
            (1, &[1, 1, 2, 3], 3, &[(2, 2, 1, 1), (4, 1, 2, 3)]),
        ];
        for (buckets_max, values, distinct, buckets) in cases {
            assert_eq!(built(buckets_max, values), (distinct, buckets.to_vec()), "{values:?}");
        }
    }
}
