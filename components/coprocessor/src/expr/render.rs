//! Expressions as error texts show them.

use std::fmt;

use super::{Expr, Node};
use crate::error::decimal_list;

/// Floats from this exponent on, and below the other one, are written with an exponent.
const EXPONENT_MAX: i32 = 6;
const EXPONENT_MIN: i32 = -4;

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Node::Null => f.write_str("<nil>"),
            Node::Int(value) if self.ty.is_unsigned => write!(f, "{}", value.cast_unsigned()),
            Node::Int(value) => write!(f, "{value}"),
            Node::Real(value) => f.write_str(&real(*value)),
            Node::Text(text) => f.write_str(&String::from_utf8_lossy(text)),
            Node::Blob(bytes) => f.write_str(&decimal_list(bytes)),
            // Whichever it is.
            Node::Column(_) => f.write_str("Column#0"),
            Node::Call(function, arguments) => {
                write!(f, "sig_*expression.{}(", function.name())?;
                for (index, argument) in arguments.iter().enumerate() {
                    let separator = if index == 0 { "" } else { ", " };
                    write!(f, "{separator}{argument}")?;
                }
                f.write_str(")")
            }
        }
    }
}

/// The shortest digits that read back as the number.
fn real(value: f64) -> String {
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return value.to_string() };
    let exponent: i32 = exponent.parse().expect("an exponent is a small integer");
    if (EXPONENT_MIN..EXPONENT_MAX).contains(&exponent) {
        return value.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_have_the_shortest_digits_and_an_exponent_when_they_are_large_or_small() {
        let cases = [
            (0.0, "0"),
            (1.5, "1.5"),
            (100_000.0, "100000"),
            (1_000_000.0, "1e+06"),
            (1_234_567.5, "1.2345675e+06"),
            (0.000_15, "0.00015"),
            (0.000_015, "1.5e-05"),
            (-1e300, "-1e+300"),
            (f64::INFINITY, "inf"),
        ];
        for (value, text) in cases {
            assert_eq!(real(value), text);
        }
    }
}
