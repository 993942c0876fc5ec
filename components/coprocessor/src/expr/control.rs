//! IF and IFNULL.
//!
//! The second argument of IF is always evaluated, the third only where it counts; an error of the second
//! is one even where it does not count. So does the original.

use std::borrow::Cow;

use super::values::keep;
use super::{Call, Session, Strings, Values};
use crate::column::{Cells, Texts};
use crate::error::Result;

impl<'a> Call<'a, '_> {
    pub(super) fn if_ints(&self, session: &mut Session) -> Result<Values<'a, i64>> {
        let condition = self.ints(0, self.rows, session)?;
        let then = self.ints(1, self.rows, session)?;
        let rest = self.without(&condition);
        let other = self.ints(2, &rest, session)?;
        Ok(self.merge(&then, &other, &rest))
    }

    pub(super) fn if_reals(&self, session: &mut Session) -> Result<Values<'a, f64>> {
        let condition = self.ints(0, self.rows, session)?;
        let then = self.reals(1, self.rows, session)?;
        let rest = self.without(&condition);
        let other = self.reals(2, &rest, session)?;
        Ok(self.merge(&then, &other, &rest))
    }

    pub(super) fn if_strings(&self, session: &mut Session) -> Result<Strings<'a>> {
        let condition = self.ints(0, self.rows, session)?;
        let then = self.strings(1, self.rows, session)?;
        let rest = self.without(&condition);
        let other = self.strings(2, &rest, session)?;
        Ok(self.merge_strings(&then, &other, &rest))
    }

    pub(super) fn if_null_ints(&self, session: &mut Session) -> Result<Values<'a, i64>> {
        let value = self.ints(0, self.rows, session)?;
        let rest = keep(self.rows, |row| value.get(row).is_none());
        let other = self.ints(1, &rest, session)?;
        Ok(self.merge(&value, &other, &rest))
    }

    pub(super) fn if_null_reals(&self, session: &mut Session) -> Result<Values<'a, f64>> {
        let value = self.reals(0, self.rows, session)?;
        let rest = keep(self.rows, |row| value.get(row).is_none());
        let other = self.reals(1, &rest, session)?;
        Ok(self.merge(&value, &other, &rest))
    }

    pub(super) fn if_null_strings(&self, session: &mut Session) -> Result<Strings<'a>> {
        let value = self.strings(0, self.rows, session)?;
        let rest = keep(self.rows, |row| value.get(row).is_none());
        let other = self.strings(1, &rest, session)?;
        Ok(self.merge_strings(&value, &other, &rest))
    }

    /// The rows for which a condition does not hold.
    fn without(&self, condition: &Values<'_, i64>) -> Cow<'_, [usize]> {
        keep(self.rows, |row| condition.get(row).is_none_or(|value| value == 0))
    }

    /// The first value, and at the rows of `rest` the other one.
    fn merge<T: Copy + Default>(
        &self,
        first: &Values<'_, T>,
        other: &Values<'_, T>,
        rest: &[usize],
    ) -> Values<'a, T> {
        let mut out = Cells::nulls(self.len());
        for &row in self.rows {
            out.set(row, first.get(row));
        }
        for &row in rest {
            out.set(row, other.get(row));
        }
        Values::Own(out)
    }

    fn merge_strings(
        &self,
        first: &Strings<'_>,
        other: &Strings<'_>,
        rest: &[usize],
    ) -> Strings<'a> {
        let mut rest = rest.iter().copied().peekable();
        let mut out = Texts::default();
        for &row in self.rows {
            let is_other = rest.next_if_eq(&row).is_some();
            out.push_at(row, if is_other { other.get(row) } else { first.get(row) });
        }
        Strings::Own(out)
    }
}
