//! One seeded generator for everything that must look random and yet be repeatable.
//!
//! A run of the simulator, a randomised election timeout and a shuffled test order all derive from
//! one seed, so a failure is replayed by giving the seed again. Two properties make that hold:
//!
//! - *Stable values.* The generator is PCG XSL RR 128/64, its state is computed here and not by a
//!   library's seeding routine, and the first values are written down in a test. An upgrade that
//!   changes them fails there, and not in a replay that no longer replays.
//! - *Independent forks.* A component does not share its parent's sequence but forks its own by a
//!   label. A fork depends on the seed and the label only, never on how much was drawn before, so a
//!   new component, or one that draws more than it used to, leaves all others as they were.
//!
//! ```
//! let seed = runtime::Rng::new(1);
//! let mut network = seed.fork("network");
//! let mut disk = seed.fork("disk");
//! assert_ne!(network.next_u64(), disk.next_u64());
//! ```
//!
//! Not for secrets: whoever knows the seed knows every value.

use std::fmt;
use std::ops::Range;

use rand_core::Rng as _;
use rand_pcg::Pcg64;

/// A seeded generator; same seed and same calls, same values, on every machine and release.
///
/// A clone goes on with the same sequence as the original. Where two parts need different values,
/// [`fork`](Rng::fork) one for each.
#[derive(Clone)]
pub struct Rng {
    /// What forks are derived from; drawing values does not change it.
    seed: u64,
    generator: Pcg64,
}

impl Rng {
    /// Starts the sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds must not give neighbouring states, so the seed is spread over 256 bits.
        let word = |n: u64| u128::from(mix(seed.wrapping_add(n.wrapping_mul(GOLDEN_RATIO))));
        let state = word(1) << 64 | word(2);
        let stream = word(3) << 64 | word(4);
        Rng { seed, generator: Pcg64::new(state, stream) }
    }

    /// A generator of its own for the component called `label`.
    ///
    /// The same label gives the same fork each time, whatever was drawn in between. Components that
    /// exist several times put their number into the label, or fork twice.
    #[must_use]
    pub fn fork(&self, label: &str) -> Rng {
        Rng::new(mix(self.seed ^ mix(fnv1a(label.as_bytes()))))
    }

    /// The seed that [`Rng::new`] was, or could have been, called with: print it beside a failure.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Any value, each as likely as every other.
    pub fn next_u64(&mut self) -> u64 {
        self.generator.next_u64()
    }

    /// A value below `bound`, each as likely as every other; `bound` must not be zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "below(0): there is no value below zero");
        // Lemire's method: the high half of value x bound is almost uniform. It is made exactly so
        // by refusing the few values whose low half falls into the part that does not divide evenly;
        // that part is smaller than the bound, so most calls need no division to see it.
        loop {
            let (high, low) = halves(u128::from(self.next_u64()) * u128::from(bound));
            if low >= bound || low >= bound.wrapping_neg() % bound {
                return high;
            }
        }
    }

    /// A value of `range`, each as likely as every other; the range must not be empty.
    pub fn range(&mut self, range: Range<u64>) -> u64 {
        assert!(range.start < range.end, "range({range:?}): the range is empty");
        range.start + self.below(range.end - range.start)
    }

    /// True in `numerator` of `denominator` cases: `chance(1, 20)` is five percent.
    ///
    /// A numerator of zero is never, one as large as the denominator is always. Both draw as any
    /// other chance does, so turning a fault off does not shift the values that follow.
    pub fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) < numerator
    }

    /// One of `items`, or nothing when there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() { None } else { Some(&items[self.index(items.len())]) }
    }

    /// Puts `items` into a random order, every order as likely as every other.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.index(last + 1));
        }
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64))
            .expect("an index is below a length, which is a usize")
    }
}

impl fmt::Debug for Rng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rng(seed {})", self.seed)
    }
}

/// 2^64 divided by the golden ratio: an odd step that visits every word before it repeats one.
const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;

/// A permutation of the words in which every input bit changes about half of the output bits (the
/// finishing step of `SplitMix64`).
fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// The FNV-1a hash, which unlike the standard library's hasher is the same in every release.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The high and the low half of a product.
#[expect(clippy::cast_possible_truncation, reason = "taking the low half is the purpose")]
fn halves(product: u128) -> (u64, u64) {
    ((product >> 64) as u64, product as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first<const N: usize>(mut rng: Rng) -> [u64; N] {
        std::array::from_fn(|_| rng.next_u64())
    }

    #[test]
    fn the_values_of_seed_one_never_change() {
        assert_eq!(
            first(Rng::new(1)),
            [
                6_027_986_710_923_973_334,
                7_169_523_067_235_436_098,
                2_838_895_511_073_298_496,
                8_655_587_775_277_179_312
            ]
        );
        assert_eq!(
            first(Rng::new(1).fork("network")),
            [17_680_968_006_813_478_071, 11_703_435_883_068_200_545]
        );
    }

    #[test]
    fn the_generator_is_the_published_one() {
        // The first values that the authors of PCG publish for pcg64, state 42, stream 54.
        let mut generator = Pcg64::new(42, 54);
        assert_eq!(generator.next_u64(), 0x86b1_da1d_7206_2b68);
        assert_eq!(generator.next_u64(), 0x1304_aa46_c985_3d39);
    }

    #[test]
    fn a_fork_depends_on_seed_and_label_only() {
        let mut parent = Rng::new(7);
        let before: [u64; 3] = first(parent.fork("disk"));
        parent.next_u64();
        assert_eq!(before, first(parent.fork("disk")));
        assert_ne!(before, first(parent.fork("disl")));
        assert_ne!(before, first(Rng::new(8).fork("disk")));
        assert_ne!(before, first(Rng::new(7)));
    }

    #[test]
    fn below_is_even_and_in_bounds() {
        let mut rng = Rng::new(3);
        for bound in [1, 2, 3, 7, 10] {
            let mut counts = [0u32; 10];
            for _ in 0..10_000 {
                counts[usize::try_from(rng.below(bound)).expect("small")] += 1;
            }
            let fair = 10_000 / u32::try_from(bound).expect("small");
            for (value, count) in (0..).zip(counts) {
                let expected = if value < bound { fair } else { 0 };
                assert!(count.abs_diff(expected) <= fair / 5, "{value} of {bound}: {count}");
            }
        }
        // Nearly half of all words are refused here, so the loop of refusals is taken too.
        let bound = (1 << 63) + 1;
        assert!((0..100).all(|_| rng.below(bound) < bound));
        assert!((0..100).all(|_| (5..8).contains(&rng.range(5..8))));
    }

    #[test]
    fn chance_pick_and_shuffle_do_what_they_say() {
        let mut rng = Rng::new(5);
        assert!((0..100).all(|_| !rng.chance(0, 10) && rng.chance(10, 10)));
        let hits = (0..10_000).filter(|_| rng.chance(1, 4)).count();
        assert!((2_300..2_700).contains(&hits), "{hits}");

        assert_eq!(rng.pick::<u8>(&[]), None);
        let picked: Vec<u8> = (0..50).filter_map(|_| rng.pick(&[1, 2, 3]).copied()).collect();
        assert!([1, 2, 3].iter().all(|item| picked.contains(item)));

        let mut items: Vec<u32> = (0..100).collect();
        rng.shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
