//! Expressions as tests write them: `GTInt(a, 0)`, with columns by name.
//!
//! Integers are `7` and `7u`, floats have a point, strings are `'aa'`, those that are no text `b'aa'`, and
//! `list(1, 2)` is a list of values. A function is called by the name of its signature; its type is that of
//! what it makes, without a sign if it is called as in `PlusInt/u(a, 1)`.

use bytes::Bytes;
use codec::number;
use proto::tipb::{Expr, ExprType, FieldType, ScalarFuncSig};

use crate::datum::Datum;
use crate::expr::Function;
use crate::types::Class;

/// Parses expressions over these columns.
pub(super) struct Parser<'a> {
    rest: &'a str,
    columns: &'a [String],
}

impl<'a> Parser<'a> {
    /// The expressions of a list.
    pub(super) fn list(text: &'a str, columns: &'a [String]) -> Vec<Expr> {
        let mut parser = Parser { rest: text, columns };
        let list = parser.arguments();
        assert!(parser.rest.is_empty(), "{:?} is left of {text:?}", parser.rest);
        list
    }

    /// One expression.
    pub(super) fn one(text: &'a str, columns: &'a [String]) -> Expr {
        let [one] = <[Expr; 1]>::try_from(Parser::list(text, columns)).expect("one expression");
        one
    }

    fn arguments(&mut self) -> Vec<Expr> {
        let mut arguments = Vec::new();
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.is_empty() || self.rest.starts_with(')') {
                return arguments;
            }
            arguments.push(self.expression());
            self.rest = self.rest.trim_start().trim_start_matches(',');
        }
    }

    fn expression(&mut self) -> Expr {
        let end = self.end_of_word();
        let (word, rest) = self.rest.split_at(end);
        if let Some(inner) = rest.strip_prefix('(') {
            self.rest = inner;
            let children = self.arguments();
            self.rest = self.rest.strip_prefix(')').expect("a closing parenthesis");
            return call(word, children);
        }
        self.rest = rest;
        if let Some(offset) = self.columns.iter().position(|column| column == word) {
            return column(offset);
        }
        constant(&datum(word), word.starts_with('b'))
    }

    /// Where a name or a constant ends.
    fn end_of_word(&self) -> usize {
        let quoted = self.rest.strip_prefix('b').unwrap_or(self.rest);
        if let Some(inner) = quoted.strip_prefix('\'') {
            let len = inner.find('\'').expect("a closing quote") + 2;
            return self.rest.len() - quoted.len() + len;
        }
        self.rest.find(['(', ')', ',']).unwrap_or(self.rest.len())
    }
}

/// A value.
pub(super) fn datum(word: &str) -> Datum {
    let bare = word.strip_prefix('b').unwrap_or(word);
    if let Some(text) = bare.strip_prefix('\'') {
        return Datum::Bytes(text.trim_end_matches('\'').as_bytes().to_vec());
    }
    if word == "null" {
        return Datum::Null;
    }
    if let Some(digits) = word.strip_suffix('u') {
        return Datum::Uint(digits.parse().expect("an unsigned integer"));
    }
    match word.parse() {
        Ok(value) => Datum::Int(value),
        Err(_) => Datum::Real(word.parse().unwrap_or_else(|_| panic!("what is {word:?}?"))),
    }
}

/// A constant.
pub(super) fn constant(value: &Datum, is_blob: bool) -> Expr {
    let mut val = Vec::new();
    let tp = match value {
        Datum::Null => ExprType::Null,
        Datum::Int(value) => {
            number::encode_i64(&mut val, *value);
            ExprType::Int64
        }
        Datum::Uint(value) => {
            number::encode_u64(&mut val, *value);
            ExprType::Uint64
        }
        Datum::Real(value) => {
            number::encode_f64(&mut val, *value);
            ExprType::Float64
        }
        Datum::Bytes(value) => {
            val.extend_from_slice(value);
            if is_blob { ExprType::Bytes } else { ExprType::String }
        }
    };
    Expr { tp: tp.into(), val: Some(Bytes::from(val)), ..Expr::default() }
}

/// A column, by its place.
pub(super) fn column(offset: usize) -> Expr {
    let mut val = Vec::new();
    number::encode_i64(&mut val, i64::try_from(offset).expect("a small number"));
    let tp = ExprType::ColumnRef.into();
    Expr { tp, val: Some(Bytes::from(val)), ..Expr::default() }
}

fn call(name: &str, children: Vec<Expr>) -> Expr {
    let aggregate = match name {
        "count" => Some(ExprType::Count),
        "sum" => Some(ExprType::Sum),
        "avg" => Some(ExprType::Avg),
        "min" => Some(ExprType::Min),
        "max" => Some(ExprType::Max),
        "first" => Some(ExprType::First),
        "list" => return value_list(&children),
        _ => None,
    };
    if let Some(tp) = aggregate {
        return Expr { tp: tp.into(), children, ..Expr::default() };
    }
    let (name, is_unsigned) = match name.strip_suffix("/u") {
        Some(name) => (name, true),
        None => (name, false),
    };
    let sig = ScalarFuncSig::from_str_name(name).unwrap_or_else(|| panic!("what is {name}?"));
    function(sig, children, is_unsigned)
}

/// A function, of the type that it makes.
pub(super) fn function(sig: ScalarFuncSig, children: Vec<Expr>, is_unsigned: bool) -> Expr {
    let tp = match Function::of(sig).map(Function::class) {
        Some(Class::Int) | None => 8,
        Some(Class::Real) => 5,
        Some(Class::Bytes) => 253,
    };
    let field = FieldType { tp, flag: if is_unsigned { 0x20 } else { 0 }, ..FieldType::default() };
    Expr {
        tp: ExprType::ScalarFunc.into(),
        sig: sig.into(),
        children,
        field_type: Some(field),
        ..Expr::default()
    }
}

fn value_list(values: &[Expr]) -> Expr {
    let mut val = Vec::new();
    for value in values {
        let bytes = value.val.clone().unwrap_or_default();
        let flag = match ExprType::try_from(value.tp) {
            Ok(ExprType::Int64) => 3,
            Ok(ExprType::Uint64) => 4,
            Ok(ExprType::Float64) => 5,
            Ok(ExprType::Null) => 0,
            other => panic!("{other:?} is not for lists"),
        };
        val.push(flag);
        val.extend_from_slice(&bytes);
    }
    Expr { tp: ExprType::ValueList.into(), val: Some(Bytes::from(val)), ..Expr::default() }
}
