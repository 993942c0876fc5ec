//! AND, OR, NOT and IS NULL, over true, false and NULL.

use super::values::map;
use super::{Call, Session, Values};
use crate::column::Cells;
use crate::error::Result;
use crate::types::Class;

impl<'a> Call<'a, '_> {
    /// False decides, so what is behind it is not evaluated.
    pub(super) fn and(&self, session: &mut Session) -> Result<Values<'a, i64>> {
        self.connect(session, false)
    }

    /// True decides.
    pub(super) fn or(&self, session: &mut Session) -> Result<Values<'a, i64>> {
        self.connect(session, true)
    }

    /// Both share a table: one value decides, NULL is next, and the other value needs both.
    fn connect(&self, session: &mut Session, decisive: bool) -> Result<Values<'a, i64>> {
        let holds = |value: Option<i64>| value.map(|value| value != 0);
        let left = self.ints(0, self.rows, session)?;
        let undecided =
            super::values::keep(self.rows, |row| holds(left.get(row)) != Some(decisive));
        let right = self.ints(1, &undecided, session)?;
        let mut out = Cells::nulls(self.len());
        for &row in self.rows {
            out.set(row, Some(i64::from(decisive)));
        }
        for &row in undecided.iter() {
            let outcome = match (holds(left.get(row)), holds(right.get(row))) {
                (_, Some(value)) if value == decisive => Some(decisive),
                (None, _) | (_, None) => None,
                (Some(_), Some(_)) => Some(!decisive),
            };
            out.set(row, outcome.map(i64::from));
        }
        Ok(Values::Own(out))
    }

    pub(super) fn not(&self, class: Class, session: &mut Session) -> Result<Values<'a, i64>> {
        if class == Class::Real {
            let values = self.reals(0, self.rows, session)?;
            let is_zero = |value: Option<f64>| Ok(value.map(|value| i64::from(value == 0.0)));
            return map(self.len(), self.rows, &values, is_zero);
        }
        let values = self.ints(0, self.rows, session)?;
        map(self.len(), self.rows, &values, |value| Ok(value.map(|value| i64::from(value == 0))))
    }

    /// Never NULL itself.
    pub(super) fn is_null(&self, class: Class, session: &mut Session) -> Result<Values<'a, i64>> {
        match class {
            Class::Int => {
                let values = self.ints(0, self.rows, session)?;
                map(self.len(), self.rows, &values, |value| Ok(Some(i64::from(value.is_none()))))
            }
            Class::Real => {
                let values = self.reals(0, self.rows, session)?;
                map(self.len(), self.rows, &values, |value| Ok(Some(i64::from(value.is_none()))))
            }
            Class::Bytes => {
                let strings = self.strings(0, self.rows, session)?;
                let mut out = Cells::nulls(self.len());
                for &row in self.rows {
                    out.set(row, Some(i64::from(strings.get(row).is_none())));
                }
                Ok(Values::Own(out))
            }
        }
    }
}
