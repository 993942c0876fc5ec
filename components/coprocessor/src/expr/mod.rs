//! Expressions over the columns of a batch.
//!
//! An [`Expr`] is a tree of constants, columns and functions. It is computed node by node, each for all
//! rows of a batch that matter: a comparison of a column with a constant is one loop over a vector.
//!
//! # What is promised
//!
//! - A row gets what it would get alone. Where SQL does not evaluate an argument, because the one before
//!   it was NULL or decided the outcome, it is evaluated for the other rows only, so that no error or
//!   warning comes from a row that has none.
//! - Any expression can be computed as any [`Class`]. TinySQL inserts no casts, so `a_double > 1` is a
//!   comparison of floats with an integer in it. Values are converted by what they mean: integers to
//!   floats, floats to integers rounded half away from zero, strings to numbers by the rules of
//!   [`number`], numbers to decimal text.
//!
//! The original converts by reinterpreting bits, which makes `a_double > 1` mean `a_double > 5e-324`. A
//! [`Session`] can be told to do the same, for comparing answers.
//!
//! # What is left out
//!
//! Everything that TinySQL does not push down: times, decimals, JSON, and the functions over them.

mod arithmetic;
mod build;
mod compare;
mod control;
mod convert;
pub(crate) mod function;
mod logic;
pub(crate) mod number;
mod render;
pub(crate) mod session;
mod string;
pub(crate) mod values;

use std::borrow::Cow;

use crate::column::Batch;
use crate::error::{Error, Result};
use crate::types::{Class, Kind, Type};

pub(crate) use build::build;
pub(crate) use convert::reals_of;
pub(crate) use function::Function;
pub(crate) use session::Session;
pub(crate) use values::{Evaluated, Strings, Values};

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expr {
    node: Node,
    ty: Type,
}

/// What an expression is.
#[derive(Clone, Debug, PartialEq)]
enum Node {
    Null,
    /// The bits of an integer.
    Int(i64),
    Real(f64),
    Text(Vec<u8>),
    /// A string that is no text; it is shown as numbers.
    Blob(Vec<u8>),
    /// A column, by its place in the scan.
    Column(usize),
    Call(Function, Vec<Expr>),
}

impl Expr {
    /// A column, by its place in the scan.
    pub(crate) fn column(offset: usize, ty: Type) -> Self {
        Expr { node: Node::Column(offset), ty }
    }

    /// The integer that a function over nothing comes to.
    fn int(value: i64) -> Self {
        Expr { node: Node::Int(value), ty: Type::BIGINT }
    }

    /// The type of its values.
    pub(crate) fn ty(&self) -> &Type {
        &self.ty
    }

    /// Which column it is, if it is just one.
    pub(crate) fn as_column(&self) -> Option<usize> {
        match self.node {
            Node::Column(offset) => Some(offset),
            Node::Null
            | Node::Int(_)
            | Node::Real(_)
            | Node::Text(_)
            | Node::Blob(_)
            | Node::Call(..) => None,
        }
    }

    /// Whether it is a constant that is not NULL.
    pub(crate) fn is_constant(&self) -> bool {
        match self.node {
            Node::Int(_) | Node::Real(_) | Node::Text(_) | Node::Blob(_) => true,
            Node::Null | Node::Column(_) | Node::Call(..) => false,
        }
    }

    /// Shows every column that it looks at.
    pub(crate) fn visit_columns(&self, visit: &mut impl FnMut(usize)) {
        match &self.node {
            Node::Column(offset) => visit(*offset),
            Node::Call(_, arguments) => {
                for argument in arguments {
                    argument.visit_columns(visit);
                }
            }
            Node::Null | Node::Int(_) | Node::Real(_) | Node::Text(_) | Node::Blob(_) => {}
        }
    }

    /// The whole value, in the class that its type says.
    pub(crate) fn evaluate<'a>(
        &'a self,
        batch: &'a Batch,
        rows: &[usize],
        session: &mut Session,
    ) -> Result<Evaluated<'a>> {
        if self.node == Node::Null {
            return Ok(Evaluated::Null);
        }
        Ok(match self.ty.class() {
            None => Evaluated::Null,
            Some(Class::Int) if self.has_no_sign() => {
                Evaluated::Uint(self.ints(batch, rows, session)?)
            }
            Some(Class::Int) => Evaluated::Int(self.ints(batch, rows, session)?),
            Some(Class::Real) => Evaluated::Real(self.reals(batch, rows, session)?),
            // Only the arguments of functions are padded.
            Some(Class::Bytes) if let Some(offset) = self.as_column() => {
                Evaluated::Bytes(Strings::Lent(batch.columns[offset].texts()))
            }
            Some(Class::Bytes) => Evaluated::Bytes(self.strings(batch, rows, session)?),
        })
    }

    /// Whether its integers go without a sign. A column of years never does.
    fn has_no_sign(&self) -> bool {
        match self.node {
            Node::Column(_) => self.ty.reads_unsigned(),
            Node::Null
            | Node::Int(_)
            | Node::Real(_)
            | Node::Text(_)
            | Node::Blob(_)
            | Node::Call(..) => self.ty.is_unsigned,
        }
    }

    /// The rows for which it holds: it is there, and not zero. A string holds if it is a number other
    /// than zero, a float if it rounds to one.
    pub(crate) fn select<'r>(
        &self,
        batch: &Batch,
        rows: &'r [usize],
        session: &mut Session,
    ) -> Result<Cow<'r, [usize]>> {
        let truth = match self.evaluate(batch, rows, session)? {
            Evaluated::Null => return Ok(Cow::Owned(Vec::new())),
            Evaluated::Int(values) | Evaluated::Uint(values) => values,
            Evaluated::Real(values) => {
                let holds =
                    |value: Option<f64>| Ok(value.map(|value| i64::from(value.round() != 0.0)));
                values::map(batch.rows, rows, &values, holds)?
            }
            Evaluated::Bytes(strings) => convert::ints_of(&strings, batch.rows, rows, session)?,
        };
        Ok(values::keep(rows, |row| truth.get(row).is_some_and(|value| value != 0)))
    }

    /// Its values as integers; their bits, if they have no sign.
    fn ints<'a>(
        &'a self,
        batch: &'a Batch,
        rows: &[usize],
        session: &mut Session,
    ) -> Result<Values<'a, i64>> {
        match &self.node {
            Node::Null => Ok(Values::Same(None)),
            Node::Int(value) => Ok(Values::Same(Some(*value))),
            Node::Blob(_) if session.is_original() => Ok(Values::Same(Some(0))),
            Node::Column(offset) if self.own_class() == Class::Int => {
                Ok(Values::Lent(batch.columns[*offset].ints()))
            }
            Node::Call(function, arguments) if self.own_class() == Class::Int => {
                call_ints(*function, arguments, batch, rows, session)
            }
            Node::Real(_) | Node::Text(_) | Node::Blob(_) | Node::Column(_) | Node::Call(..) => {
                self.refuse_other("Int", session)?;
                self.convert_to_ints(self.own_class(), batch, rows, session)
            }
        }
    }

    /// Its values as floats.
    fn reals<'a>(
        &'a self,
        batch: &'a Batch,
        rows: &[usize],
        session: &mut Session,
    ) -> Result<Values<'a, f64>> {
        match &self.node {
            Node::Null => Ok(Values::Same(None)),
            Node::Real(value) => Ok(Values::Same(Some(*value))),
            Node::Blob(_) if session.is_original() => Ok(Values::Same(Some(0.0))),
            Node::Column(offset) if self.own_class() == Class::Real => {
                Ok(Values::Lent(batch.columns[*offset].reals()))
            }
            Node::Call(function, arguments) if self.own_class() == Class::Real => {
                call_reals(*function, arguments, batch, rows, session)
            }
            Node::Int(_) | Node::Text(_) | Node::Blob(_) | Node::Column(_) | Node::Call(..) => {
                self.refuse_other("Real", session)?;
                self.convert_to_reals(self.own_class(), batch, rows, session)
            }
        }
    }

    /// Its values as strings.
    fn strings<'a>(
        &'a self,
        batch: &'a Batch,
        rows: &[usize],
        session: &mut Session,
    ) -> Result<Strings<'a>> {
        match &self.node {
            Node::Null => Ok(Strings::Same(None)),
            Node::Text(bytes) | Node::Blob(bytes) => Ok(Strings::Same(Some(Cow::Borrowed(bytes)))),
            Node::Column(offset) if self.own_class() == Class::Bytes => {
                let strings = Strings::Lent(batch.columns[*offset].texts());
                let is_padded = self.ty.kind == Kind::Char && session.pads_chars();
                Ok(if is_padded { string::padded(&strings, self.ty.width, rows) } else { strings })
            }
            Node::Call(function, arguments) if self.own_class() == Class::Bytes => {
                call_strings(*function, arguments, batch, rows, session)
            }
            Node::Int(_) | Node::Real(_) | Node::Column(_) | Node::Call(..) => {
                self.refuse_other("String", session)?;
                self.convert_to_strings(self.own_class(), batch, rows, session)
            }
        }
    }

    /// The class that its values have before anybody converts them. A NULL has any.
    fn own_class(&self) -> Class {
        match &self.node {
            Node::Null | Node::Int(_) => Class::Int,
            Node::Real(_) => Class::Real,
            Node::Text(_) | Node::Blob(_) => Class::Bytes,
            // A column without values is kept as integers that are NULL.
            Node::Column(_) => self.ty.class().unwrap_or(Class::Int),
            Node::Call(function, _) => function.class(),
        }
    }

    /// The original has no conversion of what a function returns.
    fn refuse_other(&self, asked: &'static str, session: &Session) -> Result<()> {
        if session.is_original() && matches!(self.node, Node::Call(..)) {
            return Err(Error::WrongKind(asked));
        }
        Ok(())
    }
}

/// Computes a function that makes integers.
fn call_ints<'a>(
    function: Function,
    arguments: &'a [Expr],
    batch: &'a Batch,
    rows: &[usize],
    session: &mut Session,
) -> Result<Values<'a, i64>> {
    let call = Call { arguments, batch, rows };
    match function {
        Function::Compare(comparison, class) => call.compare(comparison, class, session),
        Function::In(class) => call.is_in(class, session),
        Function::Plus(_) => call.plus_ints(session),
        Function::Minus(_) => call.minus_ints(session),
        Function::Multiply(_) => call.multiply_ints(session),
        Function::MultiplyUnsigned => call.multiply_unsigned(session),
        Function::Negate(_) => call.negate_ints(session),
        Function::And => call.and(session),
        Function::Or => call.or(session),
        Function::Not(class) => call.not(class, session),
        Function::IsNull(class) => call.is_null(class, session),
        Function::IfNull(_) => call.if_null_ints(session),
        Function::If(_) => call.if_ints(session),
        Function::Length => call.length(session),
        Function::Strcmp => call.strcmp(session),
        Function::Divide | Function::GetVar | Function::SetVar => {
            panic!("{function:?} makes no integers")
        }
    }
}

/// Computes a function that makes floats.
fn call_reals<'a>(
    function: Function,
    arguments: &'a [Expr],
    batch: &'a Batch,
    rows: &[usize],
    session: &mut Session,
) -> Result<Values<'a, f64>> {
    let call = Call { arguments, batch, rows };
    match function {
        Function::Plus(_) => call.plus_reals(session),
        Function::Minus(_) => call.minus_reals(session),
        Function::Multiply(_) => call.multiply_reals(session),
        Function::Divide => call.divide(session),
        Function::Negate(_) => call.negate_reals(session),
        Function::IfNull(_) => call.if_null_reals(session),
        Function::If(_) => call.if_reals(session),
        Function::Compare(..)
        | Function::MultiplyUnsigned
        | Function::And
        | Function::Or
        | Function::Not(_)
        | Function::IsNull(_)
        | Function::In(_)
        | Function::Length
        | Function::Strcmp
        | Function::GetVar
        | Function::SetVar => panic!("{function:?} makes no floats"),
    }
}

/// Computes a function that makes strings.
fn call_strings<'a>(
    function: Function,
    arguments: &'a [Expr],
    batch: &'a Batch,
    rows: &[usize],
    session: &mut Session,
) -> Result<Strings<'a>> {
    let call = Call { arguments, batch, rows };
    match function {
        Function::IfNull(_) => call.if_null_strings(session),
        Function::If(_) => call.if_strings(session),
        Function::GetVar => Ok(Strings::Same(None)),
        Function::SetVar => call.set_variable(session),
        Function::Compare(..)
        | Function::Plus(_)
        | Function::Minus(_)
        | Function::Multiply(_)
        | Function::MultiplyUnsigned
        | Function::Divide
        | Function::And
        | Function::Or
        | Function::Negate(_)
        | Function::Not(_)
        | Function::IsNull(_)
        | Function::In(_)
        | Function::Length
        | Function::Strcmp => panic!("{function:?} makes no strings"),
    }
}

/// The arguments of a function, and where to compute it.
#[derive(Clone, Copy)]
struct Call<'a, 'r> {
    arguments: &'a [Expr],
    batch: &'a Batch,
    rows: &'r [usize],
}

impl<'a> Call<'a, '_> {
    /// How long vectors are.
    fn len(&self) -> usize {
        self.batch.rows
    }

    fn ints(
        &self,
        argument: usize,
        rows: &[usize],
        session: &mut Session,
    ) -> Result<Values<'a, i64>> {
        self.arguments[argument].ints(self.batch, rows, session)
    }

    fn reals(
        &self,
        argument: usize,
        rows: &[usize],
        session: &mut Session,
    ) -> Result<Values<'a, f64>> {
        self.arguments[argument].reals(self.batch, rows, session)
    }

    fn strings(
        &self,
        argument: usize,
        rows: &[usize],
        session: &mut Session,
    ) -> Result<Strings<'a>> {
        self.arguments[argument].strings(self.batch, rows, session)
    }

    /// Whether an argument's integers go without a sign.
    fn is_unsigned(&self, argument: usize) -> bool {
        self.arguments[argument].ty.is_unsigned
    }
}
