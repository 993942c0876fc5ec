//! `<`, `<=`, `=`, `!=`, `>=`, `>` and IN.

use std::cmp::Ordering;

use super::function::Comparison;
use super::values::zip;
use super::{Call, Session, Values};
use crate::column::Cells;
use crate::error::Result;
use crate::types::Class;

impl<'a> Call<'a, '_> {
    /// Both arguments are always evaluated; a NULL on either side makes NULL.
    pub(super) fn compare(
        &self,
        comparison: Comparison,
        class: Class,
        session: &mut Session,
    ) -> Result<Values<'a, i64>> {
        let rows = self.rows;
        match class {
            Class::Int => {
                let (left, right) = (self.ints(0, rows, session)?, self.ints(1, rows, session)?);
                let signs = (self.is_unsigned(0), self.is_unsigned(1));
                if signs == (false, false) {
                    let holds = |a: i64, b: i64| Ok(Some(i64::from(comparison.holds(a.cmp(&b)))));
                    return zip(self.len(), rows, (&left, &right), holds);
                }
                let holds = |a, b| {
                    let order = compare_ints((a, b), signs);
                    Ok(Some(i64::from(comparison.holds(order))))
                };
                zip(self.len(), rows, (&left, &right), holds)
            }
            Class::Real => {
                let (left, right) = (self.reals(0, rows, session)?, self.reals(1, rows, session)?);
                let holds = |a, b| {
                    let order = compare_doubles(a, b);
                    Ok(Some(i64::from(comparison.holds(order))))
                };
                zip(self.len(), rows, (&left, &right), holds)
            }
            Class::Bytes => {
                self.compare_strings(|order| i64::from(comparison.holds(order)), session)
            }
        }
    }

    /// Compares two strings bytewise and says what becomes of their order.
    pub(super) fn compare_strings(
        &self,
        outcome: impl Fn(Ordering) -> i64,
        session: &mut Session,
    ) -> Result<Values<'a, i64>> {
        let rows = self.rows;
        let (left, right) = (self.strings(0, rows, session)?, self.strings(1, rows, session)?);
        let mut out = Cells::nulls(self.len());
        for &row in rows {
            if let (Some(left), Some(right)) = (left.get(row), right.get(row)) {
                out.set(row, Some(outcome(left.cmp(right))));
            }
        }
        Ok(Values::Own(out))
    }

    /// A match ends the search. Without one, a NULL among the candidates makes the answer NULL.
    pub(super) fn is_in(&self, class: Class, session: &mut Session) -> Result<Values<'a, i64>> {
        match class {
            Class::Int => {
                let wanted = self.ints(0, self.rows, session)?;
                let present = wanted.present(self.rows).into_owned();
                self.search(present, |candidate, rows| {
                    let values = self.ints(candidate, rows, session)?;
                    let signs = (self.is_unsigned(0), self.is_unsigned(candidate));
                    let test = |row: &usize| {
                        let pair = (wanted.get(*row)?, values.get(*row)?);
                        Some(compare_ints(pair, signs) == Ordering::Equal)
                    };
                    Ok(rows.iter().map(test).collect())
                })
            }
            Class::Real => {
                let wanted = self.reals(0, self.rows, session)?;
                let present = wanted.present(self.rows).into_owned();
                self.search(present, |candidate, rows| {
                    let values = self.reals(candidate, rows, session)?;
                    let test = |row: &usize| Some(wanted.get(*row) == Some(values.get(*row)?));
                    Ok(rows.iter().map(test).collect())
                })
            }
            Class::Bytes => {
                let wanted = self.strings(0, self.rows, session)?;
                let present = wanted.present(self.rows).into_owned();
                self.search(present, |candidate, rows| {
                    let values = self.strings(candidate, rows, session)?;
                    let test = |row: &usize| Some(wanted.get(*row) == Some(values.get(*row)?));
                    Ok(rows.iter().map(test).collect())
                })
            }
        }
    }

    /// Goes through the candidates for the rows that have no match yet. `test` says of each row whether
    /// a candidate matches, or that it is NULL.
    fn search(
        &self,
        mut rows: Vec<usize>,
        mut test: impl FnMut(usize, &[usize]) -> Result<Vec<Option<bool>>>,
    ) -> Result<Values<'a, i64>> {
        let mut out = Cells::nulls(self.len());
        for &row in &rows {
            out.set(row, Some(0));
        }
        for candidate in 1..self.arguments.len() {
            if rows.is_empty() {
                break;
            }
            let outcomes = test(candidate, &rows)?;
            let mut rest = Vec::with_capacity(rows.len());
            for (&row, outcome) in rows.iter().zip(outcomes) {
                match outcome {
                    Some(true) => out.set(row, Some(1)),
                    Some(false) => rest.push(row),
                    None => {
                        out.set(row, None);
                        rest.push(row);
                    }
                }
            }
            rows = rest;
        }
        Ok(Values::Own(out))
    }
}

/// By true value, whichever of the two has no sign.
#[inline]
fn compare_ints((left, right): (i64, i64), unsigned: (bool, bool)) -> Ordering {
    match unsigned {
        (false, false) => left.cmp(&right),
        (true, false) if right < 0 => Ordering::Greater,
        (false, true) if left < 0 => Ordering::Less,
        (true, _) | (_, true) => left.cast_unsigned().cmp(&right.cast_unsigned()),
    }
}

/// Below, equal, or above: so a NaN is above everything, and everything is above a NaN.
#[inline]
fn compare_doubles(left: f64, right: f64) -> Ordering {
    left.partial_cmp(&right).unwrap_or(Ordering::Greater)
}
