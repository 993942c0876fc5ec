//! Where the rows go that are left: into the answer, among the first, or into groups.

use super::chunks::Chunks;
use super::groups::Groups;
use super::top::Top;
use crate::agg::{Arguments, Function, State};
use crate::column::Batch;
use crate::error::{Error, Result};
use crate::expr::{Evaluated, Expr, Session};
use crate::memory::Memory;
use crate::plan::{Last, Order, Plan};

/// What a state keeps for a group, at most and without the bytes of strings.
const STATE_BYTES: usize = 48;

/// What is made of rows.
pub(super) struct Sink<'p> {
    output: Output<'p>,
    kind: Kind<'p>,
    chunks: Chunks,
}

enum Kind<'p> {
    Rows { left: usize },
    Top { order: &'p [Order], top: Top },
    Groups(Aggregation<'p>),
}

/// Which columns are answered, in this order, and whether integers in them go without a sign.
struct Output<'p> {
    columns: &'p [usize],
    unsigned: Vec<bool>,
}

struct Aggregation<'p> {
    by: &'p [Expr],
    functions: &'p [Function],
    states: Vec<State>,
    groups: Groups,
    is_never_empty: bool,
    /// The key of a row's group, and the groups of a batch's rows; kept for their room.
    key: Vec<u8>,
    numbers: Vec<usize>,
}

/// What became of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is taken in.
    Done,
    /// Nothing has happened but warnings: it must be taken in row by row.
    RowByRow,
}

impl<'p> Sink<'p> {
    pub(super) fn new(plan: &'p Plan) -> Self {
        let none: &[usize] = &[];
        let (columns, kind) = match &plan.last {
            Last::Rows { output, limit } => {
                let left = usize::try_from(*limit).unwrap_or(usize::MAX);
                (&output[..], Kind::Rows { left })
            }
            Last::Top { output, order, limit } => {
                let descending = order.iter().map(|item| item.is_descending).collect();
                (&output[..], Kind::Top { order, top: Top::new(descending, *limit) })
            }
            Last::Groups { by, functions, is_never_empty } => {
                let states = functions.iter().map(State::of).collect();
                let groups = Groups::new(functions.len() * STATE_BYTES);
                let is_never_empty = *is_never_empty;
                let (key, numbers) = (Vec::new(), Vec::new());
                let aggregation =
                    Aggregation { by, functions, states, groups, is_never_empty, key, numbers };
                (none, Kind::Groups(aggregation))
            }
        };
        let is_unsigned = |column: &usize| plan.scan.columns[*column].ty.reads_unsigned();
        let output = Output { columns, unsigned: columns.iter().map(is_unsigned).collect() };
        Sink { output, kind, chunks: Chunks::default() }
    }

    /// How many more rows can make a difference, if any.
    pub(super) fn wanted(&self) -> Option<usize> {
        match &self.kind {
            Kind::Rows { left: 0 } => None,
            Kind::Rows { left } => Some(*left),
            Kind::Top { top, .. } if top.is_none() => None,
            Kind::Top { .. } | Kind::Groups(_) => Some(usize::MAX),
        }
    }

    /// Takes in rows, all or none of them. Where the order of rows would show in errors or warnings,
    /// none.
    pub(super) fn push(
        &mut self,
        batch: &Batch,
        rows: &[usize],
        session: &mut Session,
        memory: &mut Memory,
    ) -> Result<Outcome> {
        self.take_in(batch, rows, session, memory, false)
    }

    /// Takes in a row by itself.
    pub(super) fn push_row(
        &mut self,
        batch: &Batch,
        row: usize,
        session: &mut Session,
        memory: &mut Memory,
    ) -> Result<()> {
        let outcome = self.take_in(batch, &[row], session, memory, true)?;
        assert_eq!(outcome, Outcome::Done, "a single row has no order");
        Ok(())
    }

    fn take_in(
        &mut self,
        batch: &Batch,
        rows: &[usize],
        session: &mut Session,
        memory: &mut Memory,
        is_single: bool,
    ) -> Result<Outcome> {
        let Sink { output, kind, chunks } = self;
        let quiet = session.warnings().len();
        match kind {
            Kind::Rows { left } => {
                for &row in rows.iter().take(*left) {
                    chunks.push(memory, |out, memory| output.write(batch, row, out, memory))?;
                }
                *left -= rows.len().min(*left);
            }
            Kind::Top { order, top } => {
                top.set_by_length(session.is_original());
                let evaluate = |item: &'p Order| item.expr.evaluate(batch, rows, session);
                let keys: Result<Vec<Evaluated<'_>>> = order.iter().map(evaluate).collect();
                let Some(keys) = settle(keys, quiet, session, is_single)? else {
                    return Ok(Outcome::RowByRow);
                };
                for &row in rows {
                    top.push(&keys, row, memory, |out, memory| {
                        output.write(batch, row, out, memory)
                    })?;
                }
            }
            Kind::Groups(aggregation) => {
                let evaluated = aggregation.evaluate(batch, rows, session);
                let Some((by, arguments)) = settle(evaluated, quiet, session, is_single)? else {
                    return Ok(Outcome::RowByRow);
                };
                aggregation.update(&by, &arguments, rows, memory)?;
            }
        }
        Ok(Outcome::Done)
    }

    /// What is answered.
    pub(super) fn finish(mut self, memory: &mut Memory) -> Result<Chunks> {
        match self.kind {
            Kind::Rows { .. } => {}
            Kind::Top { top, .. } => {
                for row in top.into_rows() {
                    self.chunks.push(memory, |out, _| {
                        out.extend_from_slice(&row);
                        Ok(())
                    })?;
                }
            }
            Kind::Groups(aggregation) => aggregation.answer(&mut self.chunks, memory)?,
        }
        Ok(self.chunks)
    }
}

/// What was evaluated for several rows counts only if no row failed and none warned.
fn settle<T>(
    evaluated: Result<T>,
    quiet: usize,
    session: &Session,
    is_single: bool,
) -> Result<Option<T>> {
    if is_single {
        return evaluated.map(Some);
    }
    Ok(evaluated.ok().filter(|_| session.warnings().len() == quiet))
}

impl Output<'_> {
    fn write(&self, batch: &Batch, row: usize, out: &mut Vec<u8>, memory: &Memory) -> Result<()> {
        let start = out.len();
        for (&column, &is_unsigned) in self.columns.iter().zip(&self.unsigned) {
            batch.columns[column].at(row, is_unsigned).encode_value(out);
            memory.check(out.len() - start)?;
        }
        Ok(())
    }
}

impl<'p> Aggregation<'p> {
    /// By what rows are grouped, and the arguments of each function.
    fn evaluate<'b>(
        &self,
        batch: &'b Batch,
        rows: &[usize],
        session: &mut Session,
    ) -> Result<(Vec<Evaluated<'b>>, Vec<Arguments<'b>>)>
    where
        'p: 'b,
    {
        let by = self.by.iter().map(|expr| expr.evaluate(batch, rows, session));
        let by = by.collect::<Result<_>>()?;
        let arguments =
            self.functions.iter().map(|function| function.evaluate(batch, rows, session));
        Ok((by, arguments.collect::<Result<_>>()?))
    }

    fn update(
        &mut self,
        by: &[Evaluated<'_>],
        arguments: &[Arguments<'_>],
        rows: &[usize],
        memory: &mut Memory,
    ) -> Result<()> {
        self.number_groups(by, rows, memory)?;
        let mut first_failure: Option<(usize, Error)> = None;
        for (state, arguments) in self.states.iter_mut().zip(arguments) {
            if let Err((row, error)) = state.update(arguments, rows, &self.numbers, memory)
                && first_failure.as_ref().is_none_or(|(first, _)| row < *first)
            {
                first_failure = Some((row, error));
            }
        }
        first_failure.map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Finds the group of each row.
    fn number_groups(
        &mut self,
        by: &[Evaluated<'_>],
        rows: &[usize],
        memory: &mut Memory,
    ) -> Result<()> {
        let mut known = self.groups.len();
        self.numbers.clear();
        if by.is_empty() && known == 1 {
            self.numbers.resize(rows.len(), 0);
            return Ok(());
        }
        for &row in rows {
            self.key.clear();
            for value in by {
                value.at(row).encode_value(&mut self.key);
                memory.check(self.key.len())?;
            }
            let group = self.groups.number_of(&self.key, memory)?;
            if self.groups.len() > known {
                known += 1;
                self.states.iter_mut().for_each(State::add_group);
            }
            self.numbers.push(group);
        }
        Ok(())
    }

    fn answer(mut self, chunks: &mut Chunks, memory: &mut Memory) -> Result<()> {
        if self.is_never_empty && self.groups.len() == 0 {
            self.groups.number_of(&[], memory)?;
            self.states.iter_mut().for_each(State::add_group);
        }
        for group in 0..self.groups.len() {
            chunks.push(memory, |out, _| {
                for state in &self.states {
                    state.write(group, out);
                }
                out.extend_from_slice(self.groups.key(group));
                Ok(())
            })?;
        }
        Ok(())
    }
}
