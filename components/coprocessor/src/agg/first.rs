//! FIRST: any value of the group, and here the first.

use super::Failure;
use crate::datum::{Datum, DatumRef};
use crate::expr::Evaluated;
use crate::memory::Memory;

/// The value in the first row of each group.
#[derive(Debug, Default)]
pub(crate) struct First {
    first: Vec<Option<Datum>>,
}

impl First {
    pub(super) fn add_group(&mut self) {
        self.first.push(None);
    }

    pub(super) fn update(
        &mut self,
        argument: &Evaluated<'_>,
        rows: impl Iterator<Item = (usize, usize)>,
        memory: &mut Memory,
    ) -> Result<(), Failure> {
        for (row, group) in rows {
            if self.first[group].is_none() {
                let value = argument.at(row);
                memory.take(value.size_bytes()).map_err(|error| (row, error))?;
                self.first[group] = Some(value.to_datum());
            }
        }
        Ok(())
    }

    pub(super) fn get(&self, group: usize) -> DatumRef<'_> {
        self.first[group].as_ref().map_or(DatumRef::Null, Datum::lend)
    }
}
