//! What is collected of one column: samples, and sketches of all values.

use bytes::Bytes;
use codec::varint;
use proto::tipb::{self, AnalyzeColumnsReq, SampleCollector};

use super::hash::hash64;
use super::sketch::{CountSketch, DistinctSketch};
use crate::error::{Error, Result};
use crate::memory::Memory;

/// What a sample costs beyond its bytes.
const SAMPLE_BYTES: usize = 32;

/// The flag of a string of compact form.
const COMPACT_BYTES: u8 = 0x02;

/// Collects the values of a column, each in value form.
#[derive(Debug)]
pub(crate) struct Collector {
    samples: Vec<Vec<u8>>,
    samples_max: u64,
    count: u64,
    total_size: i64,
    distinct: DistinctSketch,
    counts: Option<CountSketch>,
    dice: Dice,
    /// For the second encoding of a value.
    room: Vec<u8>,
}

impl Collector {
    pub(super) fn new(
        request: &AnalyzeColumnsReq,
        memory: &mut Memory,
        is_original: bool,
    ) -> Result<Self> {
        let (depth, width) = (request.cmsketch_depth(), request.cmsketch_width());
        let has_counts = depth > 0 && width > 0;
        let counts = has_counts.then(|| CountSketch::new(depth, width, memory, is_original));
        let hashes_max = usize::try_from(request.sketch_size)
            .map_err(|_| Error::invalid("a sketch of a negative size"))?;
        Ok(Collector {
            samples: Vec::new(),
            samples_max: u64::try_from(request.sample_size).unwrap_or_default(),
            count: 0,
            total_size: 0,
            distinct: DistinctSketch::new(hashes_max),
            counts: counts.transpose()?,
            dice: Dice(0),
            room: Vec::new(),
        })
    }

    /// Takes in a value.
    pub(super) fn push(&mut self, value: &[u8], memory: &mut Memory) -> Result<()> {
        self.count += 1;
        // Without the flag.
        self.total_size += i64::try_from(value.len()).unwrap_or(i64::MAX) - 1;
        // Clients hash the encoded value as a string of its own.
        self.room.clear();
        self.room.push(COMPACT_BYTES);
        varint::encode_compact(&mut self.room, value);
        self.distinct.insert(hash64(&self.room), memory)?;
        if let Some(counts) = &mut self.counts {
            counts.insert(value);
        }
        self.sample(value, memory)
    }

    /// Keeps every value with the same chance: the last one by its share, in place of any other.
    fn sample(&mut self, value: &[u8], memory: &mut Memory) -> Result<()> {
        if (self.samples.len() as u64) < self.samples_max {
            memory.take(SAMPLE_BYTES + value.len())?;
            self.samples.push(value.to_vec());
        } else if self.samples_max > 0 && self.dice.below(self.count) < self.samples_max {
            let place = self.dice.below(self.samples_max);
            let place = usize::try_from(place).expect("it is below the number of samples");
            let mut sample = self.samples.remove(place);
            memory.give_back(sample.len());
            memory.take(value.len())?;
            sample.clear();
            sample.extend_from_slice(value);
            self.samples.push(sample);
        }
        Ok(())
    }

    /// As it goes out. NULLs are among the values, so none are counted apart.
    pub(super) fn into_message(self) -> SampleCollector {
        tipb::SampleCollector {
            samples: self.samples.into_iter().map(Bytes::from).collect(),
            null_count: 0,
            count: self.count.cast_signed(),
            fm_sketch: Some(self.distinct.into_message()),
            cm_sketch: self.counts.map(CountSketch::into_message),
            total_size: Some(self.total_size),
        }
    }
}

/// Numbers by chance, the same in every run: `SplitMix64`. An answer then depends on the data only.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    /// A number below `bound`, which is not zero. That some are a little likelier does not matter here.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_column_has_its_share_of_the_samples() {
        let request =
            AnalyzeColumnsReq { sample_size: 1000, sketch_size: 10, ..Default::default() };
        let mut memory = Memory::new(1 << 20);
        let mut collector = Collector::new(&request, &mut memory, false).unwrap();
        for value in 0..100_000_u32 {
            collector.push(&value.to_be_bytes(), &mut memory).unwrap();
        }
        let message = collector.into_message();
        assert_eq!((message.samples.len(), message.count), (1000, 100_000));
        for tenth in 0..10 {
            let is_in = |sample: &&Bytes| {
                let value = u32::from_be_bytes(sample[..].try_into().unwrap());
                value / 10_000 == tenth
            };
            let share = message.samples.iter().filter(is_in).count();
            assert!((60..140).contains(&share), "{share} samples of tenth {tenth}");
        }
    }
}
