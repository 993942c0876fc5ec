//! Plans at work.
//!
//! ```text
//!   Ranges ----> Source ----> conditions ----> Sink ----> Answer
//!   pairs of     a batch:     which rows       rows,      chunks of
//!   bytes        vectors      are left         top, or    64 rows
//!                                              groups
//! ```
//!
//! A batch goes through all steps before the next one is read. The steps are not layers that call each
//! other for a row: they are loops over the vectors of a batch.
//!
//! # As if row by row
//!
//! What a client sees must not depend on how large batches are. Three things could show it:
//!
//! - *A failure behind the end.* With LIMIT 1, a lock on the second row is not to be seen. So a source
//!   that fails hands out the rows before the failure first, and the failure counts only if more rows are
//!   wanted.
//! - *The first of two errors.* Two expressions may fail at different rows of a batch, and the one that is
//!   evaluated first need not be the one with the earlier row.
//! - *The order of warnings*, for the same reason.
//!
//! For the last two, evaluating a batch has no effects but warnings until all of it is evaluated. If it
//! failed, or warned, its warnings are forgotten and it is done again, one row after the other. That is
//! slow, and bounded: a request ends with its first error, and keeps a limited number of warnings.
//!
//! # What is left out
//!
//! Answers in parts. A request gets one answer or none, and what it may take is limited by
//! [`Memory`] and by the patience of whoever waits.

pub(crate) mod chunks;
mod decode;
mod groups;
mod ranges;
mod sink;
pub(crate) mod source;
mod top;

use std::borrow::Cow;

use crate::column::Batch;
use crate::error::Result;
use crate::expr::{Expr, Session};
use crate::memory::Memory;
use crate::plan::Plan;

use chunks::Chunks;
use sink::{Outcome, Sink};
use source::{Filled, Source};

pub use ranges::Patience;
pub(crate) use ranges::{Ranges, View};

/// How many rows the first batch has, when it is not known how many are wanted; each is twice the last.
const ROWS_MIN: usize = 32;

/// How many rows a batch has at most: its vectors should stay in the processor's cache.
pub(crate) const ROWS_MAX: usize = 1024;

/// Runs a plan over ranges and answers its rows.
pub(crate) fn run(
    plan: &Plan,
    ranges: Ranges<'_>,
    session: &mut Session,
    memory: &mut Memory,
) -> Result<Chunks> {
    let mut source = Source::new(&plan.scan, &plan.used_columns(), ranges);
    let mut sink = Sink::new(plan);
    let mut rows = ROWS_MIN;
    while let Some(wanted) = sink.wanted() {
        // Without conditions it is known how many rows are enough.
        let wanted = if plan.conditions.is_empty() { wanted } else { usize::MAX };
        let filled = source.fill(wanted.min(rows))?;
        rows = (rows * 2).min(ROWS_MAX);
        push(plan, source.batch(), &mut sink, session, memory)?;
        match filled {
            Filled::More => {}
            Filled::End => break,
            Filled::Failed(error) => {
                if sink.wanted().is_some() {
                    return Err(error);
                }
            }
        }
    }
    sink.finish(memory)
}

/// Takes a batch through the steps behind the scan.
fn push(
    plan: &Plan,
    batch: &Batch,
    sink: &mut Sink<'_>,
    session: &mut Session,
    memory: &mut Memory,
) -> Result<()> {
    static NUMBERS: [usize; ROWS_MAX] = numbers();
    let all = &NUMBERS[..batch.rows];
    let quiet = session.warnings().len();
    let selected = select(&plan.conditions, batch, all, session);
    if let Ok(rows) = &selected
        && session.warnings().len() == quiet
        && let Outcome::Done = sink.push(batch, rows, session, memory)?
    {
        return Ok(());
    }
    session.truncate_warnings(quiet);
    for row in all {
        if sink.wanted().is_none() {
            break;
        }
        let one = select(&plan.conditions, batch, std::slice::from_ref(row), session)?;
        if !one.is_empty() {
            sink.push_row(batch, *row, session, memory)?;
        }
    }
    Ok(())
}

const fn numbers() -> [usize; ROWS_MAX] {
    let mut numbers = [0; ROWS_MAX];
    let mut number = 0;
    while number < ROWS_MAX {
        numbers[number] = number;
        number += 1;
    }
    numbers
}

/// The rows for which all conditions hold, each looked at only where those before it hold.
fn select<'r>(
    conditions: &[Expr],
    batch: &Batch,
    rows: &'r [usize],
    session: &mut Session,
) -> Result<Cow<'r, [usize]>> {
    let mut rows = Cow::Borrowed(rows);
    for condition in conditions {
        rows = match rows {
            Cow::Borrowed(rows) => condition.select(batch, rows, session)?,
            Cow::Owned(rows) => Cow::Owned(condition.select(batch, &rows, session)?.into_owned()),
        };
    }
    Ok(rows)
}
