//! `+`, `-`, `*`, `/` and the sign.
//!
//! Integers are computed exactly and refused where the result does not fit, with the original's two
//! exceptions: a difference whose second part is the smallest integer never fits, and the product of -1 and
//! the smallest integer does. A NULL ends the evaluation: what is behind it is not looked at.

use super::values::{map, zip};
use super::{Call, Session, Values};
use crate::error::{Error, Result};

const BIGINT: &str = "BIGINT";
const UNSIGNED: &str = "BIGINT UNSIGNED";
const DOUBLE: &str = "DOUBLE";

impl<'a> Call<'a, '_> {
    pub(super) fn plus_ints(&self, session: &mut Session) -> Result<Values<'a, i64>> {
        if self.has_unsigned() {
            return self.unsigned(session, '+', |a, b| a + b);
        }
        self.pairs_of_ints(session, |a, b| a.checked_add(b).ok_or_else(|| self.out(BIGINT, '+')))
    }

    pub(super) fn minus_ints(&self, session: &mut Session) -> Result<Values<'a, i64>> {
        if self.has_unsigned() {
            return self.unsigned(session, '-', |a, b| a - b);
        }
        self.pairs_of_ints(session, |a, b| {
            let difference = a.checked_sub(b).filter(|_| b != i64::MIN);
            difference.ok_or_else(|| self.out(BIGINT, '-'))
        })
    }

    pub(super) fn multiply_ints(&self, session: &mut Session) -> Result<Values<'a, i64>> {
        self.pairs_of_ints(session, |a, b| {
            let product = a.wrapping_mul(b);
            if a != 0 && product.wrapping_div(a) != b {
                return Err(self.out(BIGINT, '*'));
            }
            Ok(product)
        })
    }

    /// Both are taken as they are in memory: a negative number is a huge one.
    pub(super) fn multiply_unsigned(&self, session: &mut Session) -> Result<Values<'a, i64>> {
        self.pairs_of_ints(session, |a, b| {
            let product = a.cast_unsigned().checked_mul(b.cast_unsigned());
            product.map(u64::cast_signed).ok_or_else(|| self.out(UNSIGNED, '*'))
        })
    }

    pub(super) fn negate_ints(&self, session: &mut Session) -> Result<Values<'a, i64>> {
        let values = self.ints(0, self.rows, session)?;
        let is_unsigned = self.is_unsigned(0);
        map(self.len(), self.rows, &values, |value| {
            let Some(value) = value else { return Ok(None) };
            let exact = exact(value, is_unsigned);
            let out = || Error::OutOfRange { kind: BIGINT, what: format!("-{exact}") };
            i64::try_from(-exact).map(Some).map_err(|_| out())
        })
    }

    pub(super) fn plus_reals(&self, session: &mut Session) -> Result<Values<'a, f64>> {
        self.pairs_of_reals(session, |a, b| self.sum(a, b, a + b, '+'))
    }

    pub(super) fn minus_reals(&self, session: &mut Session) -> Result<Values<'a, f64>> {
        self.pairs_of_reals(session, |a, b| self.sum(a, -b, a - b, '-'))
    }

    pub(super) fn multiply_reals(&self, session: &mut Session) -> Result<Values<'a, f64>> {
        self.pairs_of_reals(session, |a, b| self.finite(a * b, '*'))
    }

    /// Dividing by zero makes NULL and a warning for each row, never an error.
    pub(super) fn divide(&self, session: &mut Session) -> Result<Values<'a, f64>> {
        let left = self.reals(0, self.rows, session)?;
        let present = left.present(self.rows);
        let right = self.reals(1, &present, session)?;
        zip(self.len(), &present, (&left, &right), |a, b| {
            if b == 0.0 {
                session.warn(|| Error::DivisionByZero);
                return Ok(None);
            }
            self.finite(a / b, '/').map(Some)
        })
    }

    pub(super) fn negate_reals(&self, session: &mut Session) -> Result<Values<'a, f64>> {
        let values = self.reals(0, self.rows, session)?;
        map(self.len(), self.rows, &values, |value| Ok(value.map(|value| -value)))
    }

    fn has_unsigned(&self) -> bool {
        self.is_unsigned(0) || self.is_unsigned(1)
    }

    /// The true result over at least one integer without a sign, which has none either.
    fn unsigned(
        &self,
        session: &mut Session,
        symbol: char,
        compute: impl Fn(i128, i128) -> i128,
    ) -> Result<Values<'a, i64>> {
        let (left, right) = (self.is_unsigned(0), self.is_unsigned(1));
        self.pairs_of_ints(session, |a, b| {
            let result = u64::try_from(compute(exact(a, left), exact(b, right)));
            result.map(u64::cast_signed).map_err(|_| self.out(UNSIGNED, symbol))
        })
    }

    fn pairs_of_ints(
        &self,
        session: &mut Session,
        compute: impl Fn(i64, i64) -> Result<i64>,
    ) -> Result<Values<'a, i64>> {
        let left = self.ints(0, self.rows, session)?;
        let present = left.present(self.rows);
        let right = self.ints(1, &present, session)?;
        zip(self.len(), &present, (&left, &right), |a, b| compute(a, b).map(Some))
    }

    fn pairs_of_reals(
        &self,
        session: &mut Session,
        compute: impl Fn(f64, f64) -> Result<f64>,
    ) -> Result<Values<'a, f64>> {
        let left = self.reals(0, self.rows, session)?;
        let present = left.present(self.rows);
        let right = self.reals(1, &present, session)?;
        zip(self.len(), &present, (&left, &right), |a, b| compute(a, b).map(Some))
    }

    /// Whether a sum fits is asked before it is rounded, so that what is added to the largest float is
    /// refused however small it is.
    fn sum(&self, a: f64, b: f64, sum: f64, symbol: char) -> Result<f64> {
        let is_out = (a > 0.0 && b > f64::MAX - a) || (a < 0.0 && b < -f64::MAX - a);
        if is_out { Err(self.out(DOUBLE, symbol)) } else { Ok(sum) }
    }

    fn finite(&self, value: f64, symbol: char) -> Result<f64> {
        if value.is_infinite() { Err(self.out(DOUBLE, symbol)) } else { Ok(value) }
    }

    fn out(&self, kind: &'static str, symbol: char) -> Error {
        let what = format!("({} {symbol} {})", self.arguments[0], self.arguments[1]);
        Error::OutOfRange { kind, what }
    }
}

/// The number that bits stand for.
fn exact(bits: i64, is_unsigned: bool) -> i128 {
    if is_unsigned { i128::from(bits.cast_unsigned()) } else { i128::from(bits) }
}
