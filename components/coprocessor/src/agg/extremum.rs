//! MIN and MAX.

use std::cmp::Ordering;

use super::Failure;
use crate::datum::{Datum, DatumRef};
use crate::expr::Evaluated;
use crate::memory::Memory;

/// The smallest or largest value of each group; NULL while there is none.
#[derive(Debug)]
pub(crate) struct Extremum {
    /// How a value compares with the one that it takes the place of.
    better: Ordering,
    best: Vec<Datum>,
}

impl Extremum {
    pub(super) fn new(better: Ordering) -> Self {
        Extremum { better, best: Vec::new() }
    }

    pub(super) fn add_group(&mut self) {
        self.best.push(Datum::Null);
    }

    pub(super) fn update(
        &mut self,
        argument: &Evaluated<'_>,
        rows: impl Iterator<Item = (usize, usize)>,
        memory: &mut Memory,
    ) -> Result<(), Failure> {
        for (row, group) in rows {
            let value = argument.at(row);
            if value.is_null() {
                continue;
            }
            let best = &mut self.best[group];
            if *best == Datum::Null || value.compare(&best.lend()) == self.better {
                memory.give_back(best.lend().size_bytes());
                memory.take(value.size_bytes()).map_err(|error| (row, error))?;
                best.assign(value);
            }
        }
        Ok(())
    }

    pub(super) fn get(&self, group: usize) -> DatumRef<'_> {
        self.best[group].lend()
    }
}
