//! What an expression comes to, for the rows of a batch.
//!
//! A result is computed for the rows that were asked for and means nothing at others. It is one value for
//! all of them if the expression is constant, lent if it is a column, and computed otherwise.

use std::borrow::Cow;

use crate::column::{Cells, Texts};
use crate::datum::DatumRef;
use crate::error::Result;

/// Numbers by row.
#[derive(Debug)]
pub(crate) enum Values<'a, T> {
    /// The same for every row.
    Same(Option<T>),
    /// A column.
    Lent(&'a Cells<T>),
    /// Computed.
    Own(Cells<T>),
}

impl<T: Copy + Default> Values<'_, T> {
    /// The value of a row.
    #[inline]
    pub(crate) fn get(&self, row: usize) -> Option<T> {
        match self {
            Values::Same(value) => *value,
            Values::Lent(cells) => cells.get(row),
            Values::Own(cells) => cells.get(row),
        }
    }

    /// The rows that have a value. Lent if all do.
    pub(crate) fn present<'r>(&self, rows: &'r [usize]) -> Cow<'r, [usize]> {
        keep(rows, |row| self.get(row).is_some())
    }
}

/// Strings by row.
#[derive(Debug)]
pub(crate) enum Strings<'a> {
    /// The same for every row.
    Same(Option<Cow<'a, [u8]>>),
    /// A column.
    Lent(&'a Texts),
    /// Computed.
    Own(Texts),
}

impl Strings<'_> {
    /// The string of a row.
    #[inline]
    pub(crate) fn get(&self, row: usize) -> Option<&[u8]> {
        match self {
            Strings::Same(value) => value.as_deref(),
            Strings::Lent(texts) => texts.get(row),
            Strings::Own(texts) => texts.get(row),
        }
    }

    /// The rows that have a value. Lent if all do.
    pub(crate) fn present<'r>(&self, rows: &'r [usize]) -> Cow<'r, [usize]> {
        keep(rows, |row| self.get(row).is_some())
    }
}

/// The whole value of an expression, of whatever class it is.
#[derive(Debug)]
pub(crate) enum Evaluated<'a> {
    /// NULL, for every row.
    Null,
    /// Signed integers.
    Int(Values<'a, i64>),
    /// The bits of unsigned integers.
    Uint(Values<'a, i64>),
    /// Floats.
    Real(Values<'a, f64>),
    /// Strings.
    Bytes(Strings<'a>),
}

impl Evaluated<'_> {
    /// The value of a row.
    #[inline]
    pub(crate) fn at(&self, row: usize) -> DatumRef<'_> {
        match self {
            Evaluated::Null => DatumRef::Null,
            Evaluated::Int(values) => values.get(row).map_or(DatumRef::Null, DatumRef::Int),
            Evaluated::Uint(values) => values
                .get(row)
                .map_or(DatumRef::Null, |value| DatumRef::Uint(value.cast_unsigned())),
            Evaluated::Real(values) => values.get(row).map_or(DatumRef::Null, DatumRef::Real),
            Evaluated::Bytes(strings) => strings.get(row).map_or(DatumRef::Null, DatumRef::Bytes),
        }
    }
}

/// The rows for which something holds. Lent if it holds for all, which is the common case.
pub(crate) fn keep(rows: &[usize], holds: impl Fn(usize) -> bool) -> Cow<'_, [usize]> {
    match rows.iter().position(|row| !holds(*row)) {
        None => Cow::Borrowed(rows),
        Some(first) => {
            let mut kept = rows[..first].to_vec();
            kept.extend(rows[first + 1..].iter().copied().filter(|row| holds(*row)));
            Cow::Owned(kept)
        }
    }
}

/// Computes a value per row from one argument. Constants are computed once, so `compute` must depend on
/// nothing else and change nothing.
pub(crate) fn map<A: Copy + Default, B: Copy + Default>(
    len: usize,
    rows: &[usize],
    argument: &Values<'_, A>,
    mut compute: impl FnMut(Option<A>) -> Result<Option<B>>,
) -> Result<Values<'static, B>> {
    if let Values::Same(value) = argument {
        // For no rows nothing is computed, as it might fail.
        return Ok(Values::Same(if rows.is_empty() { None } else { compute(*value)? }));
    }
    let mut out = Cells::nulls(len);
    for &row in rows {
        out.set(row, compute(argument.get(row))?);
    }
    Ok(Values::Own(out))
}

/// Computes a value per row from two arguments, both of which are there; otherwise it is NULL.
pub(crate) fn zip<A: Copy + Default, B: Copy + Default, C: Copy + Default>(
    len: usize,
    rows: &[usize],
    (left, right): (&Values<'_, A>, &Values<'_, B>),
    mut compute: impl FnMut(A, B) -> Result<Option<C>>,
) -> Result<Values<'static, C>> {
    let mut out = Cells::nulls(len);
    // The usual shape, a column beside a constant, asks once and not per row what it is.
    match (left, right) {
        (Values::Lent(cells), Values::Same(Some(constant))) => {
            for &row in rows {
                if let Some(value) = cells.get(row) {
                    out.set(row, compute(value, *constant)?);
                }
            }
        }
        (left, right) => {
            for &row in rows {
                if let (Some(left), Some(right)) = (left.get(row), right.get(row)) {
                    out.set(row, compute(left, right)?);
                }
            }
        }
    }
    Ok(Values::Own(out))
}
