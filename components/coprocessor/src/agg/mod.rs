//! Aggregate functions: from the rows of a group to a partial result.
//!
//! A region sees only its part of a group, so what goes out is partial and the client merges: averages go
//! out as a count and a sum. There is no DISTINCT; TinySQL plans it as a group.
//!
//! A [`Function`] says what to compute, a [`State`] holds what has been computed for every group so far. A
//! batch is aggregated in two steps, because only the first may be repeated: arguments are evaluated for
//! all rows, then the states take them in, row by row.
//!
//! | function | takes in | partial result |
//! |---|---|---|
//! | COUNT | rows none of whose arguments is NULL | a signed integer |
//! | SUM | values that are not NULL | a signed integer, or a float; NULL without any |
//! | AVG | the same | a count, then a sum |
//! | MAX, MIN | the same; the first of equals stays | the value, NULL without any |
//! | FIRST | the first row's value, also NULL | the value |

mod count;
mod extremum;
mod first;
mod sum;

use std::cmp::Ordering;

use proto::tipb::{self, ExprType};

use crate::column::Batch;
use crate::error::{Error, Result};
use crate::expr::{self, Evaluated, Expr, Session};
use crate::memory::Memory;
use crate::types::{Class, Type};

use count::Count;
use extremum::Extremum;
use first::First;
use sum::Sum;

/// What is to be computed for each group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Function {
    name: Name,
    arguments: Vec<Expr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Count,
    Sum,
    Avg,
    Min,
    Max,
    First,
}

/// The evaluated arguments of a function.
pub(crate) type Arguments<'a> = Vec<Evaluated<'a>>;

/// A row that could not be taken in, and why.
pub(crate) type Failure = (usize, Error);

impl Function {
    /// Builds a function over columns of these types.
    pub(crate) fn build(expr: &tipb::Expr, columns: &[Type]) -> Result<Self> {
        let name = match ExprType::try_from(expr.tp) {
            Ok(ExprType::Count) => Name::Count,
            Ok(ExprType::Sum) => Name::Sum,
            Ok(ExprType::Avg) => Name::Avg,
            Ok(ExprType::Min) => Name::Min,
            Ok(ExprType::Max) => Name::Max,
            Ok(ExprType::First) => Name::First,
            Ok(other) => return Err(Error::UnknownAggregate(other.as_str_name().to_owned())),
            Err(_) => return Err(Error::UnknownAggregate(expr.tp.to_string())),
        };
        let arguments: Vec<Expr> =
            expr.children.iter().map(|child| expr::build(child, columns)).collect::<Result<_>>()?;
        match name {
            Name::Count => {}
            Name::First if arguments.len() != 1 => {
                return Err(Error::WrongArguments);
            }
            Name::Sum | Name::Avg | Name::Min | Name::Max | Name::First => {
                if arguments.is_empty() {
                    return Err(Error::invalid("an aggregate function without an argument"));
                }
            }
        }
        Ok(Function { name, arguments })
    }

    /// Shows every column that it looks at.
    pub(crate) fn visit_columns(&self, visit: &mut impl FnMut(usize)) {
        for argument in &self.arguments {
            argument.visit_columns(visit);
        }
    }

    /// Whether it counts a column, or every row.
    pub(crate) fn is_plain_count(&self) -> bool {
        let is_plain = |argument: &Expr| argument.is_constant() || argument.as_column().is_some();
        self.name == Name::Count && matches!(&self.arguments[..], [argument] if is_plain(argument))
    }

    /// Evaluates the arguments. Strings that are to be added up become numbers.
    pub(crate) fn evaluate<'a>(
        &'a self,
        batch: &'a Batch,
        rows: &[usize],
        session: &mut Session,
    ) -> Result<Arguments<'a>> {
        let evaluate = |argument: &'a Expr| {
            let value = argument.evaluate(batch, rows, session)?;
            match (self.name, value) {
                (Name::Sum | Name::Avg, Evaluated::Bytes(strings)) => {
                    let reals = expr::reals_of(&strings, batch.rows, rows, session)?;
                    Ok(Evaluated::Real(reals))
                }
                (_, value) => Ok(value),
            }
        };
        self.arguments.iter().map(evaluate).collect()
    }
}

/// What has been computed so far, for every group.
#[derive(Debug)]
pub(crate) enum State {
    /// How many.
    Count(Count),
    /// How much.
    Sum(Sum),
    /// How many, and how much.
    Avg(Count, Sum),
    /// The smallest, or the largest.
    Extremum(Extremum),
    /// The first.
    First(First),
}

impl State {
    /// The state of a function that has seen nothing.
    pub(crate) fn of(function: &Function) -> Self {
        let class = || function.arguments[0].ty().class();
        match function.name {
            Name::Count => State::Count(Count::default()),
            Name::Sum => State::Sum(Sum::of_class(class())),
            Name::Avg => State::Avg(Count::default(), Sum::of_class(class())),
            Name::Min => State::Extremum(Extremum::new(Ordering::Less)),
            Name::Max => State::Extremum(Extremum::new(Ordering::Greater)),
            Name::First => State::First(First::default()),
        }
    }

    /// Makes room for a group.
    pub(crate) fn add_group(&mut self) {
        match self {
            State::Count(count) => count.add_group(),
            State::Sum(sum) => sum.add_group(),
            State::Avg(count, sum) => {
                count.add_group();
                sum.add_group();
            }
            State::Extremum(extremum) => extremum.add_group(),
            State::First(first) => first.add_group(),
        }
    }

    /// Takes in rows, each of which belongs to the group beside it.
    pub(crate) fn update(
        &mut self,
        arguments: &[Evaluated<'_>],
        rows: &[usize],
        groups: &[usize],
        memory: &mut Memory,
    ) -> std::result::Result<(), Failure> {
        let pairs = || rows.iter().copied().zip(groups.iter().copied());
        match self {
            State::Count(count) => {
                count.update(arguments, pairs());
                Ok(())
            }
            State::Sum(sum) => sum.update(&arguments[0], pairs()),
            State::Avg(count, sum) => {
                count.update(&arguments[..1], pairs());
                sum.update(&arguments[0], pairs())
            }
            State::Extremum(extremum) => extremum.update(&arguments[0], pairs(), memory),
            State::First(first) => first.update(&arguments[0], pairs(), memory),
        }
    }

    /// Appends what goes out for a group.
    pub(crate) fn write(&self, group: usize, out: &mut Vec<u8>) {
        match self {
            State::Count(count) => count.get(group).encode_value(out),
            State::Sum(sum) => sum.get(group).encode_value(out),
            State::Avg(count, sum) => {
                count.get(group).encode_value(out);
                sum.get(group).encode_value(out);
            }
            State::Extremum(extremum) => extremum.get(group).encode_value(out),
            State::First(first) => first.get(group).encode_value(out),
        }
    }
}

/// How a sum is kept for values of a class.
fn adds_integers(class: Option<Class>) -> bool {
    class == Some(Class::Int)
}
