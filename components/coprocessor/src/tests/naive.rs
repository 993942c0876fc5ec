//! The naive twin's steps: conditions, order and groups, one row after the other.

use std::cmp::Ordering;

use proto::tipb::{Aggregation, ColumnInfo, DagRequest, Expr, ExprType, TopN};

use super::model::{Failure, Row, Value, cut, holds};
use crate::datum::{Datum, DatumRef, compare_reals};
use crate::expr::Session;
use crate::expr::number::to_real;

/// What an answer says.
#[derive(Debug, PartialEq)]
pub(super) struct Outcome {
    pub(super) rows: Vec<Vec<Datum>>,
    pub(super) warnings: Vec<String>,
    pub(super) failure: Option<Failure>,
}

/// Answers a plan one row after the other.
pub(super) struct Naive<'a> {
    pub(super) plan: &'a DagRequest,
    pub(super) columns: Vec<ColumnInfo>,
}

impl Naive<'_> {
    pub(super) fn answer(&self, rows: &[Vec<Datum>]) -> Outcome {
        let mut session = Session::new(self.plan.flags);
        let outcome = self.run(rows, &mut session);
        let warnings = session.into_warnings().into_iter().map(|warning| warning.msg).collect();
        match outcome {
            Ok(rows) => Outcome { rows, warnings, failure: None },
            Err(failure) => Outcome { rows: Vec::new(), warnings, failure: Some(failure) },
        }
    }

    fn run(&self, rows: &[Vec<Datum>], session: &mut Session) -> Result<Vec<Vec<Datum>>, Failure> {
        let scan = self.plan.executors[0].tbl_scan.as_ref().unwrap();
        let last = self.plan.executors.last().unwrap();
        let limit = last.limit.as_ref().map_or(u64::MAX, |limit| limit.limit);
        if last.top_n.as_ref().is_some_and(|top| top.limit == 0) {
            return Ok(Vec::new());
        }
        let mut kept: Vec<(Vec<Datum>, Vec<Datum>)> = Vec::new();
        let mut groups: Vec<(Vec<Datum>, Vec<Folding>)> = Vec::new();
        let mut order: Vec<&Vec<Datum>> = rows.iter().collect();
        if scan.desc {
            order.reverse();
        }
        for values in order {
            if kept.len() as u64 >= limit {
                break;
            }
            let row = Row { values, columns: &self.columns };
            if !self.passes(&row, session)? {
                continue;
            }
            if let Some(aggregation) = &last.aggregation {
                fold(&row, aggregation, &mut groups, session)?;
                continue;
            }
            let items = last.top_n.iter().flat_map(|top| &top.order_by);
            let key = items.map(|item| {
                let value = row.evaluate(item.expr.as_ref().unwrap(), session)?;
                Ok::<_, Failure>(value.datum())
            });
            kept.push((key.collect::<Result<_, _>>()?, values.clone()));
        }
        if last.aggregation.is_some() {
            return Ok(groups.into_iter().map(answered_group).collect());
        }
        if let Some(top) = &last.top_n {
            kept.sort_by(|left, right| compare_keys(top, &left.0, &right.0));
            kept.truncate(usize::try_from(top.limit).unwrap());
        }
        let output = |row: Vec<Datum>| {
            self.plan.output_offsets.iter().map(|offset| row[*offset as usize].clone()).collect()
        };
        Ok(kept.into_iter().map(|(_, row)| output(row)).collect())
    }

    fn passes(&self, row: &Row<'_>, session: &mut Session) -> Result<bool, Failure> {
        let selection = self.plan.executors.get(1).and_then(|next| next.selection.as_ref());
        for condition in selection.iter().flat_map(|selection| &selection.conditions) {
            let value = row.evaluate(condition, session)?;
            if !holds(&value, session)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn compare_keys(top: &TopN, left: &[Datum], right: &[Datum]) -> Ordering {
    for ((left, right), item) in left.iter().zip(right).zip(&top.order_by) {
        let order = compare(left, right);
        let order = if item.desc { order.reverse() } else { order };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

fn compare(left: &Datum, right: &Datum) -> Ordering {
    match (left, right) {
        (Datum::Real(left), Datum::Real(right)) => compare_reals(*left, *right),
        (left, right) => left.lend().compare(&right.lend()),
    }
}

/// What has been computed for a function.
struct Folding {
    kind: ExprType,
    values: Vec<Datum>,
    sum: Option<Datum>,
}

fn fold(
    row: &Row<'_>,
    aggregation: &Aggregation,
    groups: &mut Vec<(Vec<Datum>, Vec<Folding>)>,
    session: &mut Session,
) -> Result<(), Failure> {
    let mut key = Vec::new();
    for expr in &aggregation.group_by {
        key.push(row.evaluate(expr, session)?.datum());
    }
    let mut values = Vec::new();
    for function in &aggregation.agg_func {
        let value = row.evaluate(&function.children[0], session)?;
        let adds = [i32::from(ExprType::Sum), i32::from(ExprType::Avg)].contains(&function.tp);
        values.push(match value {
            Value::Text(text) if adds => {
                let real = to_real(&text, session).map_err(|error| cut(&error.to_string()))?;
                Datum::Real(real)
            }
            value => value.datum(),
        });
    }
    let same = |known: &[Datum]| {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for (known, datum) in known.iter().zip(&key) {
            known.lend().encode_value(&mut left);
            datum.lend().encode_value(&mut right);
        }
        left == right
    };
    let place = groups.iter().position(|(known, _)| same(known)).unwrap_or_else(|| {
        let folding = |function: &Expr| Folding {
            kind: ExprType::try_from(function.tp).unwrap(),
            values: Vec::new(),
            sum: None,
        };
        groups.push((key.clone(), aggregation.agg_func.iter().map(folding).collect()));
        groups.len() - 1
    });
    for (folding, value) in groups[place].1.iter_mut().zip(values) {
        folding.add(value)?;
    }
    Ok(())
}

impl Folding {
    fn add(&mut self, value: Datum) -> Result<(), Failure> {
        if matches!(self.kind, ExprType::Sum | ExprType::Avg) {
            let before = self.sum.clone();
            self.sum = match (before, &value) {
                (before, Datum::Null) => before,
                (None, Datum::Real(value)) => Some(Datum::Real(0.0 + value)),
                (Some(Datum::Real(sum)), Datum::Real(value)) => Some(Datum::Real(sum + value)),
                (before, Datum::Uint(value)) if i64::try_from(*value).is_err() => before,
                (before, value) => {
                    let of = |datum: &Datum| match datum {
                        Datum::Int(value) => *value,
                        Datum::Uint(value) => value.cast_signed(),
                        other => panic!("{other:?} is no integer"),
                    };
                    let sum = before.as_ref().map_or(0, of).checked_add(of(value));
                    let sum = sum.ok_or("[types:1690]BIGINT value is out of range in ")?;
                    Some(Datum::Int(sum))
                }
            };
        }
        self.values.push(value);
        Ok(())
    }

    fn answered(self) -> Vec<Datum> {
        let there = || self.values.iter().filter(|value| **value != Datum::Null);
        let count = Datum::Int(i64::try_from(there().count()).unwrap());
        let sum = || self.sum.clone().unwrap_or(Datum::Null);
        let best = |better: Ordering| {
            let replace = |best: &'_ Datum, value: &Datum| compare(value, best) == better;
            there().fold(Datum::Null, |best, value| {
                if best == Datum::Null || replace(&best, value) { value.clone() } else { best }
            })
        };
        match self.kind {
            ExprType::Count => vec![count],
            ExprType::Sum => vec![sum()],
            ExprType::Avg => vec![count, sum()],
            ExprType::Min => vec![best(Ordering::Less)],
            ExprType::Max => vec![best(Ordering::Greater)],
            _ => vec![self.values[0].clone()],
        }
    }
}

fn answered_group((key, foldings): (Vec<Datum>, Vec<Folding>)) -> Vec<Datum> {
    let mut row: Vec<Datum> = foldings.into_iter().flat_map(Folding::answered).collect();
    // Both zeros are written alike.
    row.extend(key);
    for value in &mut row {
        if value.lend() == DatumRef::Real(0.0) {
            *value = Datum::Real(0.0);
        }
    }
    row
}
