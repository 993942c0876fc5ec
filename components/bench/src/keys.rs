//! Which keys are asked for, and what must be under them.
//!
//! | distribution | which key is the next one |
//! |---|---|
//! | uniform | each as likely as every other |
//! | zipfian | the key of rank r about r^-0.99 times as likely as the first; the ranks are scattered over the key space, as YCSB does, so that the hot keys are no neighbours |
//! | latest | zipfian, and the rank is the age: what was inserted last is the hottest |
//!
//! A value begins with the number of its key, so that whoever reads it can tell whether it is the right
//! one: a store that answers quickly and wrongly does not win. The rest is noise that no disk can compress.

use bytes::{BufMut, Bytes, BytesMut};
use clap::ValueEnum;
use runtime::Rng;

use crate::number::{float, whole};

/// The skew that YCSB uses.
const THETA: f64 = 0.99;

/// Noise from which values are cut; values may be as long.
const NOISE_BYTES: usize = 1 << 20;

/// Which keys are asked for more often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Distribution {
    /// None of them.
    Uniform,
    /// A few, all over the key space.
    Zipfian,
    /// Those that were inserted last.
    Latest,
}

/// Draws numbers of keys.
pub(crate) struct Chooser {
    distribution: Distribution,
    zipf: Zipf,
}

impl Chooser {
    /// For a key space that begins with so many keys; at least one.
    pub(crate) fn new(distribution: Distribution, keys: u64) -> Self {
        Chooser { distribution, zipf: Zipf::new(keys) }
    }

    /// One of the first `existing` keys.
    pub(crate) fn choose(&self, rng: &mut Rng, existing: u64) -> u64 {
        match self.distribution {
            Distribution::Uniform => rng.below(existing),
            Distribution::Zipfian => scatter(self.zipf.rank(rng)) % existing,
            Distribution::Latest => existing - 1 - self.zipf.rank(rng).min(existing - 1),
        }
    }
}

/// Ranks of which the first is the most likely: the method of Gray and others, "Quickly generating
/// billion-record synthetic databases", 1994, section 3.2. One sum in advance, and no search later.
struct Zipf {
    ranks: f64,
    zeta: f64,
    eta: f64,
}

impl Zipf {
    fn new(ranks: u64) -> Self {
        let zeta = |upto: u64| (1..=upto).map(|rank| float(rank).powf(-THETA)).sum::<f64>();
        let (all, two) = (zeta(ranks), zeta(ranks.min(2)));
        let ranks = float(ranks);
        let eta = (1.0 - (2.0 / ranks).powf(1.0 - THETA)) / (1.0 - two / all);
        Zipf { ranks, zeta: all, eta }
    }

    fn rank(&self, rng: &mut Rng) -> u64 {
        let chance = float(rng.next_u64() >> 11) / float(1 << 53);
        let scaled = chance * self.zeta;
        let rank = if scaled < 1.0 {
            0
        } else if scaled < 1.0 + 0.5_f64.powf(THETA) {
            1
        } else {
            whole(self.ranks * (self.eta * chance - self.eta + 1.0).powf(1.0 / (1.0 - THETA)))
        };
        // The last of them may be reached by rounding.
        rank.min(whole(self.ranks) - 1)
    }
}

/// A number far from its neighbours', always the same: the finaliser of `SplitMix64`.
fn scatter(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// The key of a number: 16 bytes, in the order of the numbers.
pub(crate) fn key(number: u64) -> Bytes {
    format!("key{number:013}").into()
}

/// The number of a key.
pub(crate) fn number(key: &[u8]) -> Option<u64> {
    std::str::from_utf8(key.strip_prefix(b"key")?).ok()?.parse().ok()
}

/// Makes values, and knows a wrong one.
pub(crate) struct Values {
    bytes: usize,
    noise: Bytes,
}

impl Values {
    /// The longest values there are.
    pub(crate) const BYTES_MAX: usize = NOISE_BYTES / 2;

    pub(crate) fn new(bytes: usize) -> Self {
        assert!(bytes <= Self::BYTES_MAX, "the command line allows no longer values");
        let mut rng = Rng::new(1);
        let noise = (0..NOISE_BYTES / 8).flat_map(|_| rng.next_u64().to_le_bytes()).collect();
        Values { bytes, noise }
    }

    /// One of the values that the key of a number may have.
    pub(crate) fn of(&self, number: u64, rng: &mut Rng) -> Bytes {
        let mut value = BytesMut::with_capacity(self.bytes + 8);
        value.put_u64_le(number);
        let from = rng.below((NOISE_BYTES - self.bytes) as u64);
        let from = usize::try_from(from).expect("it is within the noise");
        value.put_slice(&self.noise[from..from + self.bytes]);
        value.truncate(self.bytes);
        value.freeze()
    }

    /// Whether this may be the value of the key of a number.
    pub(crate) fn fits(&self, number: u64, value: &[u8]) -> bool {
        let head = &number.to_le_bytes()[..self.bytes.min(8)];
        value.len() == self.bytes && value.starts_with(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: u64 = 1000;
    const DRAWS: u64 = 200_000;

    /// How often each key is drawn, the most frequent first, with its number.
    fn drawn(distribution: Distribution) -> Vec<(u64, u64)> {
        let (chooser, mut rng) = (Chooser::new(distribution, KEYS), Rng::new(7));
        let mut counts: Vec<(u64, u64)> = (0..KEYS).map(|key| (0, key)).collect();
        for _ in 0..DRAWS {
            let key = chooser.choose(&mut rng, KEYS);
            counts[usize::try_from(key).unwrap()].0 += 1;
        }
        counts.sort_unstable_by(|left, right| right.cmp(left));
        counts
    }

    #[test]
    fn uniform_draws_every_key_about_as_often() {
        let counts = drawn(Distribution::Uniform);
        let mean = DRAWS / KEYS;
        assert!(counts[0].0 < mean * 3 / 2, "{:?}", counts[0]);
        assert!(counts[999].0 > mean / 2, "{:?}", counts[999]);
    }

    #[test]
    fn zipfian_draws_by_rank_and_scatters_the_ranks() {
        let counts = drawn(Distribution::Zipfian);
        // Of a thousand ranks the first has 1 / zeta(1000, 0.99) = 12.9 %, and the second half of that.
        let share = |rank: usize| float(counts[rank].0) / float(DRAWS);
        assert!((0.12..0.15).contains(&share(0)), "{}", share(0));
        assert!((0.055..0.080).contains(&share(1)), "{}", share(1));
        let half: u64 = counts[..40].iter().map(|(count, _)| count).sum();
        assert!(half > DRAWS / 2, "40 keys have more than half: {half}");
        let far = counts[0].1.abs_diff(counts[1].1);
        assert!(far > 1, "the two hottest keys are no neighbours");
    }

    #[test]
    fn latest_draws_the_newest_key_most() {
        let counts = drawn(Distribution::Latest);
        assert_eq!([counts[0].1, counts[1].1], [999, 998]);
        let (chooser, mut rng) = (Chooser::new(Distribution::Latest, 1), Rng::new(1));
        assert_eq!(chooser.choose(&mut rng, 1), 0, "a key space of one");
        assert!(chooser.choose(&mut rng, 2) < 2);
    }

    #[test]
    fn a_value_tells_whose_it_is() {
        let mut rng = Rng::new(3);
        for bytes in [0, 4, 8, 100] {
            let values = Values::new(bytes);
            let value = values.of(77, &mut rng);
            assert_eq!(value.len(), bytes);
            assert!(values.fits(77, &value));
            assert_eq!(values.fits(78, &value), bytes == 0, "{bytes} bytes");
            assert!(!values.fits(77, &[0; 101]));
        }
    }

    #[test]
    fn keys_are_in_the_order_of_their_numbers() {
        assert_eq!(key(42).len(), 16);
        assert!(key(9) < key(10));
        assert_eq!(number(&key(42)), Some(42));
        assert_eq!(number(b"other"), None);
    }
}
