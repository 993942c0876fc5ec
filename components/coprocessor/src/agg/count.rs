//! COUNT.

use crate::datum::DatumRef;
use crate::expr::Evaluated;

/// The rows of each group none of whose arguments is NULL.
#[derive(Debug, Default)]
pub(crate) struct Count {
    counts: Vec<i64>,
}

impl Count {
    pub(super) fn add_group(&mut self) {
        self.counts.push(0);
    }

    pub(super) fn update(
        &mut self,
        arguments: &[Evaluated<'_>],
        rows: impl Iterator<Item = (usize, usize)>,
    ) {
        for (row, group) in rows {
            let is_counted = arguments.iter().all(|argument| !argument.at(row).is_null());
            self.counts[group] += i64::from(is_counted);
        }
    }

    pub(super) fn get(&self, group: usize) -> DatumRef<'_> {
        DatumRef::Int(self.counts[group])
    }
}
