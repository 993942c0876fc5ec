//! Whether to step or to seek.
//!
//! A seek costs as much as some steps, and whether a key has that many records is known only
//! afterwards. But keys of a table are alike: where one had many, so will the next. So after a key
//! that was not left by stepping, the next few are sought past at once; then one is stepped over
//! again, to see whether things have changed.

/// How many records of a key are stepped over one by one. Measured on files, a seek costs as much as
/// five to six steps; a little more is allowed before the keys are taken for long.
pub(super) const STEPS_BEFORE_SEEK: usize = 6;

/// How many keys are sought past at once after one that had to be.
const KEYS_SOUGHT: u32 = 31;

/// How many records per key, on average, make their values stand far apart: looking one up costs as
/// much as stepping over this many values.
const FAR_APART: u64 = 4;

/// What a scan has learned about the keys before, and does about the one it is in.
#[derive(Default)]
pub(super) struct Pace {
    /// Whether steps are tried in this key, and how many more.
    is_stepping: bool,
    steps_left: usize,
    /// For how many more keys no step is tried.
    sought: u32,
    /// How many records were passed, a seek counting as the steps it replaces.
    records: u64,
    /// How many keys there were.
    keys: u64,
}

impl Pace {
    /// Another key begins.
    pub(super) fn begin_key(&mut self) {
        self.keys += 1;
        self.is_stepping = self.sought == 0;
        self.steps_left = if self.is_stepping { STEPS_BEFORE_SEEK } else { 0 };
        self.sought = self.sought.saturating_sub(1);
    }

    /// Whether to step over one more record that could be sought past.
    pub(super) fn may_step(&mut self) -> bool {
        if self.steps_left == 0 {
            return false;
        }
        self.steps_left -= 1;
        self.must_step();
        true
    }

    /// A record is stepped over.
    pub(super) fn must_step(&mut self) {
        self.records += 1;
    }

    /// It is sought.
    pub(super) fn seek(&mut self) {
        self.records += STEPS_BEFORE_SEEK as u64;
        if self.is_stepping {
            self.sought = KEYS_SOUGHT;
        }
    }

    /// How much work there was since this was asked last, in records, and whether the keys had many.
    pub(super) fn take(&mut self) -> (u64, bool) {
        let (records, keys) = (std::mem::take(&mut self.records), std::mem::take(&mut self.keys));
        (records + keys, records > keys.saturating_mul(FAR_APART))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks over a key with so many records; answers whether it was left by a seek.
    fn pass(pace: &mut Pace, records: usize) -> bool {
        pace.begin_key();
        for _ in 0..records {
            if !pace.may_step() {
                pace.seek();
                return true;
            }
        }
        false
    }

    #[test]
    fn long_keys_are_sought_past_and_short_ones_stepped_over() {
        let mut pace = Pace::default();
        assert!((0..100).all(|_| !pass(&mut pace, STEPS_BEFORE_SEEK)), "short keys");
        assert_eq!(pace.take(), (100 * 7, true));
        assert!((0..100).all(|_| !pass(&mut pace, 1)));
        assert_eq!(pace.take(), (200, false), "one version each is not far apart");
        assert!((0..100).all(|_| pass(&mut pace, STEPS_BEFORE_SEEK + 1)), "long keys");
        let tried = 100_u64.div_ceil(u64::from(KEYS_SOUGHT) + 1) * STEPS_BEFORE_SEEK as u64;
        assert_eq!(pace.take(), (100 * 7 + tried, true), "few of them are stepped into");
        let sought = (0..100).filter(|_| pass(&mut pace, 1)).count();
        assert!(sought <= KEYS_SOUGHT as usize, "it notices that keys are short again: {sought}");
    }
}
