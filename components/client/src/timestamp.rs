//! Timestamps: the numbers that order transactions.

use std::fmt;

/// How many bits of a timestamp count within a millisecond.
const LOGICAL_BITS: u32 = 18;

/// The largest count within a millisecond.
const LOGICAL_MAX: u64 = (1 << LOGICAL_BITS) - 1;

/// A moment in the life of the cluster, never handed out twice.
///
/// The upper 46 bits are milliseconds since 1970, the lower 18 count within the millisecond. Greater is
/// later; only a lock's time to live looks inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Later than everything that was ever committed; for readers that want the newest there is.
    pub const MAX: Timestamp = Timestamp(u64::MAX);

    /// The timestamp that is this number.
    pub const fn new(number: u64) -> Self {
        Timestamp(number)
    }

    /// The number that it is.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Its two halves put together. `None` for halves that no timestamp has.
    pub fn compose(physical_ms: i64, logical: i64) -> Option<Self> {
        let physical = u64::try_from(physical_ms).ok()?;
        let logical = u64::try_from(logical).ok().filter(|&logical| logical <= LOGICAL_MAX)?;
        let is_in_range = physical <= u64::MAX >> LOGICAL_BITS;
        is_in_range.then_some(Timestamp((physical << LOGICAL_BITS) | logical))
    }

    /// Milliseconds since 1970.
    pub const fn physical_ms(self) -> u64 {
        self.0 >> LOGICAL_BITS
    }

    /// The count within its millisecond.
    pub const fn logical(self) -> u64 {
        self.0 & LOGICAL_MAX
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_has_two_halves_and_refuses_what_does_not_fit() {
        let cases = [
            (0, 0, Some(0)),
            (1, 0, Some(1 << 18)),
            (1, 5, Some((1 << 18) + 5)),
            ((1 << 46) - 1, (1 << 18) - 1, Some(u64::MAX)),
            (1 << 46, 0, None),
            (-1, 0, None),
            (1, -1, None),
            (1, 1 << 18, None),
        ];
        for (physical, logical, expected) in cases {
            let composed = Timestamp::compose(physical, logical);
            assert_eq!(composed.map(Timestamp::get), expected, "{physical} {logical}");
            if let Some(timestamp) = composed {
                assert_eq!(i64::try_from(timestamp.physical_ms()), Ok(physical));
                assert_eq!(i64::try_from(timestamp.logical()), Ok(logical));
            }
        }
    }
}
