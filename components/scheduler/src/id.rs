//! Ids of stores, regions and peers: one sequence for all of them, and no number twice.
//!
//! As with timestamps, the end of a batch is on disk before a number of it is given. A successor
//! begins at the end it finds; what was left of the batch is lost, and there are enough.

/// How many ids are saved at a time.
pub const BATCH: u64 = 1000;

/// Gives ids, within the batch that was saved for it.
///
/// I1: what is given is greater than everything given before, and below the saved end.
#[derive(Debug, Default)]
pub struct Ids {
    next: u64,
    end: u64,
}

impl Ids {
    /// Continues after `saved`, the end of the last batch on record; zero when there is none. Gives
    /// nothing until a batch is saved.
    pub fn after(saved: u64) -> Self {
        let next = saved.max(1); // zero is nobody
        Ids { next, end: next }
    }

    /// The next id, unless the batch is used up.
    pub fn take(&mut self) -> Option<u64> {
        (self.next < self.end).then(|| {
            self.next += 1;
            self.next - 1
        })
    }

    /// That many ids, or none.
    pub fn take_all(&mut self, count: usize) -> Option<Vec<u64>> {
        let left = usize::try_from(self.end - self.next).unwrap_or(usize::MAX);
        (count <= left).then(|| (0..count).filter_map(|_| self.take()).collect())
    }

    /// The end of the next batch, when fewer than `wanted` are left.
    pub fn next_batch(&self, wanted: u64) -> Option<u64> {
        (self.end - self.next < wanted.max(BATCH / 2)).then(|| self.end + wanted.max(BATCH))
    }

    /// The next batch is saved and may be used.
    pub fn extended(&mut self, end: u64) {
        assert!(end >= self.end, "I1: the end of the ids moves from {} to {end}", self.end);
        self.end = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_begin_at_one_and_are_given_only_from_a_saved_batch() {
        let mut ids = Ids::after(0);
        assert_eq!(ids.take(), None);
        let end = ids.next_batch(1).unwrap();
        assert_eq!(end, 1 + BATCH);
        ids.extended(end);
        assert_eq!((ids.take(), ids.take_all(3)), (Some(1), Some(vec![2, 3, 4])));
        assert_eq!(ids.next_batch(1), None);
        assert_eq!(ids.take_all(2000), None);
        assert_eq!(ids.next_batch(2000), Some(end + 2000));
    }

    #[test]
    fn a_successor_skips_what_its_predecessor_may_have_given() {
        let mut ids = Ids::after(1 + BATCH);
        assert_eq!(ids.take(), None);
        ids.extended(ids.next_batch(1).unwrap());
        assert_eq!(ids.take(), Some(1 + BATCH));
    }
}
