//! SUM.
//!
//! Integers are added up as signed ones, which is what TinySQL expects. So an unsigned integer that is too
//! large for that is left out, without a word, as in the original.

use super::{Failure, adds_integers};
use crate::datum::DatumRef;
use crate::error::Error;
use crate::expr::Evaluated;
use crate::types::Class;

/// The sum of each group that has a value.
#[derive(Debug)]
pub(crate) enum Sum {
    /// Of integers.
    Ints(Vec<Option<i64>>),
    /// Of floats, in the order of the scan.
    Reals(Vec<Option<f64>>),
}

impl Sum {
    pub(super) fn of_class(class: Option<Class>) -> Self {
        if adds_integers(class) { Sum::Ints(Vec::new()) } else { Sum::Reals(Vec::new()) }
    }

    pub(super) fn add_group(&mut self) {
        match self {
            Sum::Ints(sums) => sums.push(None),
            Sum::Reals(sums) => sums.push(None),
        }
    }

    pub(super) fn update(
        &mut self,
        argument: &Evaluated<'_>,
        rows: impl Iterator<Item = (usize, usize)>,
    ) -> Result<(), Failure> {
        match (self, argument) {
            (Sum::Ints(sums), Evaluated::Int(values)) => {
                for (row, group) in rows {
                    if let Some(value) = values.get(row) {
                        add(&mut sums[group], value).map_err(|error| (row, error))?;
                    }
                }
            }
            (Sum::Ints(sums), Evaluated::Uint(values)) => {
                for (row, group) in rows {
                    if let Some(value) = values.get(row).filter(|value| *value >= 0) {
                        add(&mut sums[group], value).map_err(|error| (row, error))?;
                    }
                }
            }
            (Sum::Reals(sums), Evaluated::Real(values)) => {
                for (row, group) in rows {
                    if let Some(value) = values.get(row) {
                        *sums[group].get_or_insert(0.0) += value;
                    }
                }
            }
            (_, Evaluated::Null) => {}
            (
                Sum::Ints(_) | Sum::Reals(_),
                Evaluated::Int(_) | Evaluated::Uint(_) | Evaluated::Real(_) | Evaluated::Bytes(_),
            ) => panic!("a sum is of the class of what is added"),
        }
        Ok(())
    }

    pub(super) fn get(&self, group: usize) -> DatumRef<'_> {
        match self {
            Sum::Ints(sums) => sums[group].map_or(DatumRef::Null, DatumRef::Int),
            Sum::Reals(sums) => sums[group].map_or(DatumRef::Null, DatumRef::Real),
        }
    }
}

fn add(sum: &mut Option<i64>, value: i64) -> Result<(), Error> {
    let before = sum.unwrap_or_default();
    let after = before.checked_add(value).ok_or_else(|| {
        let what = format!("({before}, {value})");
        Error::OutOfRange { kind: "BIGINT", what }
    })?;
    *sum = Some(after);
    Ok(())
}
