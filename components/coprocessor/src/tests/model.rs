//! A naive twin: one row after the other, one value after the other, straight from the wire's plan.
//!
//! It shares with the executor only how a string is read as a number. Random plans over random rows must
//! come to the same rows, warnings and errors with both.

use std::cmp::Ordering;

use proto::tipb::{ColumnInfo, Expr, ExprType, ScalarFuncSig as Sig};

use crate::datum::Datum;
use crate::expr::Session;
use crate::expr::number::{to_int, to_real};

/// A value, and how it may be read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    /// The bits, and whether they have no sign.
    Int(i64, bool),
    Real(f64),
    Text(Vec<u8>),
}

/// Why a row fails: the text up to where it quotes an expression.
pub(super) type Failure = String;

/// One row, seen by expressions.
pub(super) struct Row<'a> {
    pub(super) values: &'a [Datum],
    pub(super) columns: &'a [ColumnInfo],
}

fn out_of(kind: &str) -> Failure {
    format!("[types:1690]{kind} value is out of range in ")
}

/// The text of an error up to what it quotes.
pub(super) fn cut(text: &str) -> Failure {
    text.split('\'').next().unwrap_or_default().to_owned()
}

fn exact(bits: i64, is_unsigned: bool) -> i128 {
    if is_unsigned { i128::from(bits.cast_unsigned()) } else { i128::from(bits) }
}

impl Row<'_> {
    /// The value of an expression in the class of its type.
    pub(super) fn evaluate(&self, expr: &Expr, session: &mut Session) -> Result<Value, Failure> {
        if expr.tp != i32::from(ExprType::ScalarFunc) {
            return Ok(self.leaf(expr));
        }
        let field = expr.field_type.as_ref().unwrap();
        Ok(match field.tp {
            8 => match self.int(expr, session)? {
                Some(bits) => Value::Int(bits, field.flag & 0x20 != 0),
                None => Value::Null,
            },
            5 => self.real(expr, session)?.map_or(Value::Null, Value::Real),
            _ => self.text(expr, session)?.map_or(Value::Null, Value::Text),
        })
    }

    fn leaf(&self, expr: &Expr) -> Value {
        let bytes = expr.val.as_deref().unwrap_or_default();
        let word = || u64::from_be_bytes(bytes.try_into().unwrap());
        let sign = 1_u64 << 63;
        match ExprType::try_from(expr.tp).unwrap() {
            ExprType::Null => Value::Null,
            ExprType::Int64 => Value::Int((word() ^ sign).cast_signed(), false),
            ExprType::Uint64 => Value::Int(word().cast_signed(), true),
            ExprType::Float64 => {
                let bits = if word() & sign == 0 { !word() } else { word() ^ sign };
                Value::Real(f64::from_bits(bits))
            }
            ExprType::String | ExprType::Bytes => Value::Text(bytes.to_vec()),
            ExprType::ColumnRef => {
                match self.values[usize::try_from(word() ^ sign).unwrap()].clone() {
                    Datum::Null => Value::Null,
                    Datum::Int(value) => Value::Int(value, false),
                    Datum::Uint(value) => Value::Int(value.cast_signed(), true),
                    Datum::Real(value) => Value::Real(value),
                    Datum::Bytes(value) => Value::Text(value),
                }
            }
            other => panic!("{other:?} is not generated"),
        }
    }

    /// What a function makes, or a leaf is.
    fn value(&self, expr: &Expr, session: &mut Session) -> Result<Value, Failure> {
        if expr.tp != i32::from(ExprType::ScalarFunc) {
            return Ok(self.leaf(expr));
        }
        let result = self.call(expr, session)?;
        let is_unsigned = self.is_unsigned(expr);
        Ok(match result {
            Value::Int(bits, _) => Value::Int(bits, is_unsigned),
            other => other,
        })
    }

    fn int(&self, expr: &Expr, session: &mut Session) -> Result<Option<i64>, Failure> {
        Ok(match self.value(expr, session)? {
            Value::Null => None,
            Value::Int(bits, _) => Some(bits),
            #[expect(clippy::cast_possible_truncation, reason = "it saturates")]
            Value::Real(value) => Some(value.round() as i64),
            Value::Text(text) => {
                Some(to_int(&text, session).map_err(|error| cut(&error.to_string()))?)
            }
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "so it is meant")]
    fn real(&self, expr: &Expr, session: &mut Session) -> Result<Option<f64>, Failure> {
        Ok(match self.value(expr, session)? {
            Value::Null => None,
            Value::Int(bits, true) => Some(bits.cast_unsigned() as f64),
            Value::Int(bits, false) => Some(bits as f64),
            Value::Real(value) => Some(value),
            Value::Text(text) => {
                Some(to_real(&text, session).map_err(|error| cut(&error.to_string()))?)
            }
        })
    }

    fn text(&self, expr: &Expr, session: &mut Session) -> Result<Option<Vec<u8>>, Failure> {
        Ok(match self.value(expr, session)? {
            Value::Null => None,
            Value::Int(bits, is_unsigned) => {
                Some(exact(bits, is_unsigned).to_string().into_bytes())
            }
            Value::Real(value) => Some(value.to_string().into_bytes()),
            Value::Text(mut text) => {
                if let Some(width) = self.padded_width(expr, session) {
                    let missing = width.saturating_sub(text.len());
                    text.extend(std::iter::repeat_n(b' ', missing));
                }
                Some(text)
            }
        })
    }

    /// The width of a column of CHAR, where that counts. Its values here are ASCII.
    fn padded_width(&self, expr: &Expr, session: &Session) -> Option<usize> {
        let column = self.column_of(expr)?;
        let is_padded = column.tp == 254 && session.pads_chars();
        is_padded.then(|| usize::try_from(column.column_len).unwrap())
    }

    fn column_of(&self, expr: &Expr) -> Option<&ColumnInfo> {
        if expr.tp != i32::from(ExprType::ColumnRef) {
            return None;
        }
        let last = expr.val.as_deref().and_then(|bytes| bytes.last()).copied();
        Some(&self.columns[usize::from(last.unwrap())])
    }

    fn is_unsigned(&self, expr: &Expr) -> bool {
        match self.column_of(expr) {
            Some(column) => column.flag & 0x20 != 0,
            None if expr.tp == i32::from(ExprType::Uint64) => true,
            None => expr.field_type.as_ref().is_some_and(|field| field.flag & 0x20 != 0),
        }
    }

    fn call(&self, expr: &Expr, session: &mut Session) -> Result<Value, Failure> {
        let sig = Sig::try_from(expr.sig).unwrap();
        let name = sig.as_str_name();
        let kids = &expr.children;
        let flag = |value: Option<bool>| value.map_or(Value::Null, |v| Value::Int(v.into(), false));
        let int = |bits: i64| Value::Int(bits, false);
        if let Some(kind) =
            ["LT", "LE", "GT", "GE", "EQ", "NE"].iter().find(|kind| name.starts_with(**kind))
        {
            let order = self.order(&name[2..], kids, session)?;
            return Ok(flag(order.map(|order| match *kind {
                "LT" => order.is_lt(),
                "LE" => order.is_le(),
                "GT" => order.is_gt(),
                "GE" => order.is_ge(),
                "EQ" => order.is_eq(),
                _ => order.is_ne(),
            })));
        }
        match sig {
            Sig::LogicalAnd | Sig::LogicalOr => {
                let decisive = sig == Sig::LogicalOr;
                let left = self.int(&kids[0], session)?.map(|value| value != 0);
                if left == Some(decisive) {
                    return Ok(flag(left));
                }
                let right = self.int(&kids[1], session)?.map(|value| value != 0);
                let decided = right == Some(decisive) || (left.is_some() && right.is_some());
                Ok(flag(right.filter(|_| decided)))
            }
            Sig::UnaryNotInt => Ok(flag(self.int(&kids[0], session)?.map(|value| value == 0))),
            Sig::UnaryNotReal => Ok(flag(self.real(&kids[0], session)?.map(|value| value == 0.0))),
            Sig::IntIsNull => Ok(flag(Some(self.int(&kids[0], session)?.is_none()))),
            Sig::RealIsNull => Ok(flag(Some(self.real(&kids[0], session)?.is_none()))),
            Sig::StringIsNull => Ok(flag(Some(self.text(&kids[0], session)?.is_none()))),
            Sig::InInt | Sig::InReal | Sig::InString => self.is_in(sig, kids, session).map(flag),
            Sig::IfInt | Sig::IfReal | Sig::IfString => {
                let holds = self.int(&kids[0], session)?.is_some_and(|value| value != 0);
                let then = self.of_class(name, &kids[1], session)?;
                if holds { Ok(then) } else { self.of_class(name, &kids[2], session) }
            }
            Sig::IfNullInt | Sig::IfNullReal | Sig::IfNullString => {
                match self.of_class(name, &kids[0], session)? {
                    Value::Null => self.of_class(name, &kids[1], session),
                    value => Ok(value),
                }
            }
            Sig::Length => {
                let text = self.text(&kids[0], session)?;
                Ok(text.map_or(Value::Null, |text| int(i64::try_from(text.len()).unwrap())))
            }
            Sig::Strcmp => {
                let order = self.order("String", kids, session)?;
                Ok(order.map_or(Value::Null, |order| int(order as i64)))
            }
            _ => self.arithmetic(sig, expr, session),
        }
    }

    fn of_class(&self, name: &str, expr: &Expr, session: &mut Session) -> Result<Value, Failure> {
        Ok(if name.ends_with("Int") {
            self.int(expr, session)?.map_or(Value::Null, |bits| Value::Int(bits, false))
        } else if name.ends_with("Real") {
            self.real(expr, session)?.map_or(Value::Null, Value::Real)
        } else {
            self.text(expr, session)?.map_or(Value::Null, Value::Text)
        })
    }

    fn order(
        &self,
        class: &str,
        kids: &[Expr],
        session: &mut Session,
    ) -> Result<Option<Ordering>, Failure> {
        Ok(match class {
            "Int" => {
                let (left, right) = (self.int(&kids[0], session)?, self.int(&kids[1], session)?);
                let (first, second) = (self.is_unsigned(&kids[0]), self.is_unsigned(&kids[1]));
                left.zip(right).map(|(a, b)| exact(a, first).cmp(&exact(b, second)))
            }
            "Real" => {
                let (left, right) = (self.real(&kids[0], session)?, self.real(&kids[1], session)?);
                left.zip(right).map(|(a, b)| {
                    if a < b {
                        Ordering::Less
                    } else if a == b {
                        Ordering::Equal
                    } else {
                        Ordering::Greater
                    }
                })
            }
            _ => {
                let (left, right) = (self.text(&kids[0], session)?, self.text(&kids[1], session)?);
                left.zip(right).map(|(a, b)| a.cmp(&b))
            }
        })
    }

    fn is_in(
        &self,
        sig: Sig,
        kids: &[Expr],
        session: &mut Session,
    ) -> Result<Option<bool>, Failure> {
        let class = &sig.as_str_name()[2..];
        let wanted = self.of_class(class, &kids[0], session)?;
        if wanted == Value::Null {
            return Ok(None);
        }
        let mut outcome = Some(false);
        for kid in &kids[1..] {
            let candidate = self.of_class(class, kid, session)?;
            let signs = (self.is_unsigned(&kids[0]), self.is_unsigned(kid));
            let is_match = match (&wanted, &candidate) {
                (Value::Int(a, _), Value::Int(b, _)) => exact(*a, signs.0) == exact(*b, signs.1),
                (Value::Real(a), Value::Real(b)) => a == b,
                (a, b) => a == b,
            };
            if is_match {
                return Ok(Some(true));
            }
            if candidate == Value::Null {
                outcome = None;
            }
        }
        Ok(outcome)
    }

    fn arithmetic(&self, sig: Sig, expr: &Expr, session: &mut Session) -> Result<Value, Failure> {
        let kids = &expr.children;
        let name = sig.as_str_name();
        if name.ends_with("Real") {
            let Some(a) = self.real(&kids[0], session)? else { return Ok(Value::Null) };
            if sig == Sig::UnaryMinusReal {
                return Ok(Value::Real(-a));
            }
            let Some(b) = self.real(&kids[1], session)? else { return Ok(Value::Null) };
            let checked = |value: f64, is_out: bool| {
                if is_out { Err(out_of("DOUBLE")) } else { Ok(Value::Real(value)) }
            };
            let max = f64::MAX;
            return match sig {
                Sig::PlusReal => {
                    checked(a + b, (a > 0.0 && b > max - a) || (a < 0.0 && b < -max - a))
                }
                Sig::MinusReal => {
                    checked(a - b, (a > 0.0 && -b > max - a) || (a < 0.0 && -b < -max - a))
                }
                Sig::MultiplyReal => checked(a * b, (a * b).is_infinite()),
                Sig::DivideReal if b == 0.0 => {
                    session.warn(|| crate::Error::DivisionByZero);
                    Ok(Value::Null)
                }
                _ => checked(a / b, (a / b).is_infinite()),
            };
        }
        let Some(a) = self.int(&kids[0], session)? else { return Ok(Value::Null) };
        let first = self.is_unsigned(&kids[0]);
        if sig == Sig::UnaryMinusInt {
            let negative = i64::try_from(-exact(a, first)).map_err(|_| out_of("BIGINT"))?;
            return Ok(Value::Int(negative, false));
        }
        let Some(b) = self.int(&kids[1], session)? else { return Ok(Value::Null) };
        let second = self.is_unsigned(&kids[1]);
        let signed = |value: i128| i64::try_from(value).map_err(|_| out_of("BIGINT"));
        let unsigned = |value: i128| {
            u64::try_from(value).map(u64::cast_signed).map_err(|_| out_of("BIGINT UNSIGNED"))
        };
        let (left, right) = (exact(a, first), exact(b, second));
        let bits = match sig {
            Sig::PlusInt if first || second => unsigned(left + right)?,
            Sig::PlusInt => signed(left + right)?,
            Sig::MinusInt if first || second => unsigned(left - right)?,
            Sig::MinusInt if b == i64::MIN => return Err(out_of("BIGINT")),
            Sig::MinusInt => signed(left - right)?,
            Sig::MultiplyIntUnsigned => {
                let product = a.cast_unsigned().checked_mul(b.cast_unsigned());
                product.ok_or_else(|| out_of("BIGINT UNSIGNED"))?.cast_signed()
            }
            Sig::MultiplyInt if a == -1 && b == i64::MIN => b,
            Sig::MultiplyInt => signed(i128::from(a) * i128::from(b))?,
            other => panic!("{other:?} is not generated"),
        };
        Ok(Value::Int(bits, false))
    }
}

/// Whether a condition holds.
pub(super) fn holds(value: &Value, session: &mut Session) -> Result<bool, Failure> {
    Ok(match value {
        Value::Null => false,
        Value::Int(bits, _) => *bits != 0,
        Value::Real(value) => value.round() != 0.0,
        Value::Text(text) => to_int(text, session).map_err(|error| cut(&error.to_string()))? != 0,
    })
}

impl Value {
    /// As it is answered.
    pub(super) fn datum(&self) -> Datum {
        match self {
            Value::Null => Datum::Null,
            Value::Int(bits, true) => Datum::Uint(bits.cast_unsigned()),
            Value::Int(bits, false) => Datum::Int(*bits),
            Value::Real(value) => Datum::Real(*value),
            Value::Text(text) => Datum::Bytes(text.clone()),
        }
    }
}

#[test]
fn the_twin_can_tell_right_from_wrong() {
    let row = Row { values: &[Datum::Int(3)], columns: &[super::world::column("a")] };
    let columns = ["a".to_owned()];
    let of = |text: &str| {
        let expr = super::language::Parser::one(text, &columns);
        row.evaluate(&expr, &mut Session::new(1))
    };
    assert_eq!(of("PlusInt(a, 4)"), Ok(Value::Int(7, false)));
    assert_eq!(of("GTReal(a, 3.5)"), Ok(Value::Int(0, false)));
    assert_eq!(of("InInt(a, 1, null)"), Ok(Value::Null));
    assert_eq!(of("MultiplyInt(a, 9223372036854775807)"), Err(out_of("BIGINT")));
}
