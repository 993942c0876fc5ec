//! Values of one class read as another.

use std::borrow::Cow;

use super::number::{to_int, to_real};
use super::values::map;
use super::{Expr, Node, Session, Strings, Values};
use crate::column::{Batch, Cells, Texts};
use crate::error::Result;
use crate::types::Class;

impl Expr {
    /// Floats and strings as integers.
    pub(super) fn convert_to_ints<'a>(
        &'a self,
        class: Class,
        batch: &'a Batch,
        rows: &[usize],
        session: &mut Session,
    ) -> Result<Values<'a, i64>> {
        match class {
            Class::Int => panic!("integers are not converted to integers"),
            Class::Real => {
                let reals = self.reals(batch, rows, session)?;
                let convert = if session.is_original() { bits_of_real } else { round_real };
                map(batch.rows, rows, &reals, |value| Ok(value.map(convert)))
            }
            Class::Bytes => {
                let strings = self.own_strings(batch, rows, session)?;
                ints_of(&strings, batch.rows, rows, session)
            }
        }
    }

    /// Integers and strings as floats.
    pub(super) fn convert_to_reals<'a>(
        &'a self,
        class: Class,
        batch: &'a Batch,
        rows: &[usize],
        session: &mut Session,
    ) -> Result<Values<'a, f64>> {
        match class {
            Class::Int => {
                let ints = self.ints(batch, rows, session)?;
                let convert = match (session.is_original(), self.ty.is_unsigned) {
                    (true, _) => real_of_bits,
                    (false, true) => real_of_unsigned,
                    (false, false) => real_of_int,
                };
                map(batch.rows, rows, &ints, |value| Ok(value.map(convert)))
            }
            Class::Real => panic!("floats are not converted to floats"),
            Class::Bytes => {
                let strings = self.own_strings(batch, rows, session)?;
                reals_of(&strings, batch.rows, rows, session)
            }
        }
    }

    /// Numbers as decimal text.
    pub(super) fn convert_to_strings<'a>(
        &'a self,
        class: Class,
        batch: &'a Batch,
        rows: &[usize],
        session: &mut Session,
    ) -> Result<Strings<'a>> {
        match class {
            Class::Int => {
                let ints = self.ints(batch, rows, session)?;
                let is_unsigned = self.ty.is_unsigned;
                Ok(texts(rows, |row| {
                    let value = ints.get(row)?;
                    let unsigned = value.cast_unsigned();
                    Some(if is_unsigned { unsigned.to_string() } else { value.to_string() })
                }))
            }
            Class::Real => {
                let reals = self.reals(batch, rows, session)?;
                Ok(texts(rows, |row| reals.get(row).map(|value| value.to_string())))
            }
            Class::Bytes => panic!("strings are not converted to strings"),
        }
    }

    /// Strings on the way to becoming numbers: a column is not padded for that.
    fn own_strings<'a>(
        &'a self,
        batch: &'a Batch,
        rows: &[usize],
        session: &mut Session,
    ) -> Result<Strings<'a>> {
        match &self.node {
            Node::Column(offset) => Ok(Strings::Lent(batch.columns[*offset].texts())),
            Node::Text(bytes) | Node::Blob(bytes) => Ok(Strings::Same(Some(Cow::Borrowed(bytes)))),
            Node::Null | Node::Int(_) | Node::Real(_) | Node::Call(..) => {
                self.strings(batch, rows, session)
            }
        }
    }
}

fn texts(rows: &[usize], text: impl Fn(usize) -> Option<String>) -> Strings<'static> {
    let mut out = Texts::default();
    for &row in rows {
        out.push_at(row, text(row).as_deref().map(str::as_bytes));
    }
    Strings::Own(out)
}

/// Strings read as integers, with a warning for each row that asks for one.
pub(super) fn ints_of(
    strings: &Strings<'_>,
    len: usize,
    rows: &[usize],
    session: &mut Session,
) -> Result<Values<'static, i64>> {
    parse(strings, len, rows, |bytes| to_int(bytes, session))
}

/// Strings read as floats, with a warning for each row that asks for one.
pub(crate) fn reals_of(
    strings: &Strings<'_>,
    len: usize,
    rows: &[usize],
    session: &mut Session,
) -> Result<Values<'static, f64>> {
    parse(strings, len, rows, |bytes| to_real(bytes, session))
}

fn parse<T: Copy + Default>(
    strings: &Strings<'_>,
    len: usize,
    rows: &[usize],
    mut parse: impl FnMut(&[u8]) -> Result<T>,
) -> Result<Values<'static, T>> {
    let mut out = Cells::nulls(len);
    for &row in rows {
        out.set(row, strings.get(row).map(&mut parse).transpose()?);
    }
    Ok(Values::Own(out))
}

fn bits_of_real(value: f64) -> i64 {
    value.to_bits().cast_signed()
}

fn real_of_bits(value: i64) -> f64 {
    f64::from_bits(value.cast_unsigned())
}

#[expect(clippy::cast_possible_truncation, reason = "out of range becomes the nearest, NaN zero")]
fn round_real(value: f64) -> i64 {
    value.round() as i64
}

#[expect(clippy::cast_precision_loss, reason = "a float has the precision of a float")]
fn real_of_int(value: i64) -> f64 {
    value as f64
}

#[expect(clippy::cast_precision_loss, reason = "a float has the precision of a float")]
fn real_of_unsigned(value: i64) -> f64 {
    value.cast_unsigned() as f64
}
