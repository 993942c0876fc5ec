//! From the wire's plan to ours.
//!
//! A plan is a chain: a scan, then perhaps a selection, then perhaps one of aggregation, top N and limit.
//! TinySQL sends nothing else. Where a plan says more or makes no sense, it is refused here, by name, so
//! that whatever runs it meets no surprise: every column and argument that it names exists.

use proto::tipb::{self, ColumnInfo, DagRequest, ExecType, Executor};

use crate::agg::Function;
use crate::datum::Datum;
use crate::error::{Error, Result};
use crate::expr::{self, Expr};
use crate::row;
use crate::types::{Kind, Type};

/// The id of the column that holds the handle of a table without an integer primary key.
const HANDLE_ID: i64 = -1;

/// How many characters a column is padded to at most; the longest that can be declared.
const CHARS_MAX: i32 = 65_535;

/// How many columns, values to order or group by, functions, and columns to answer there are at most, each:
/// what is computed of a batch for all of them is in memory together.
const PARTS_MAX: usize = 4096;

/// How many bits a column of bits has at most.
const BITS_MAX: i32 = 64;

/// What to do with the rows of some ranges.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Where rows come from.
    pub scan: Scan,
    /// What must hold for a row, in the order of evaluation.
    pub conditions: Vec<Expr>,
    /// What becomes of the rows.
    pub last: Last,
}

/// Where rows come from.
#[derive(Debug)]
pub(crate) struct Scan {
    /// What the keys and values are.
    pub access: Access,
    /// The columns of a row.
    pub columns: Vec<Column>,
    /// From the last row to the first.
    pub is_descending: bool,
}

/// What is scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Rows.
    Table,
    /// Entries of an index.
    Index {
        /// A range that looks like a point holds one entry at most.
        is_unique: bool,
        /// The last column is the handle.
        has_handle: bool,
    },
}

/// A column of a scan.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Column {
    /// By which rows know it.
    pub id: i64,
    /// What it holds.
    pub ty: Type,
    /// It is not in the row but in its key.
    pub is_handle: bool,
    /// What a row holds that does not have it, as bytes of a row.
    pub default: Option<Vec<u8>>,
}

/// What becomes of the rows that are left.
#[derive(Debug)]
pub(crate) enum Last {
    /// They are answered as they come.
    Rows {
        /// Which columns, in this order.
        output: Vec<usize>,
        /// How many rows at most.
        limit: u64,
    },
    /// The first in some order are answered.
    Top {
        /// Which columns, in this order.
        output: Vec<usize>,
        /// By what to order.
        order: Vec<Order>,
        /// How many rows at most.
        limit: u64,
    },
    /// They are grouped, and each group is answered by one row.
    Groups {
        /// What rows of a group have in common.
        by: Vec<Expr>,
        /// What to compute for each.
        functions: Vec<Function>,
        /// Without any row there is a group, too.
        is_never_empty: bool,
    },
}

/// One thing to order by.
#[derive(Debug)]
pub(crate) struct Order {
    /// Its value.
    pub expr: Expr,
    /// The largest comes first.
    pub is_descending: bool,
}

impl Plan {
    /// Builds a plan. In the mode of the original, defaults of floats are as broken as there.
    pub(crate) fn build(request: &DagRequest, is_original: bool) -> Result<Self> {
        let (first, rest) =
            request.executors.split_first().ok_or_else(|| Error::invalid("an empty plan"))?;
        let scan = Scan::build(first, is_original)?;
        let types: Vec<Type> = scan.columns.iter().map(|column| column.ty).collect();
        let (conditions, rest) = match rest.split_first() {
            Some((next, rest)) if kind_of(next)? == ExecType::TypeSelection => {
                let selection = body(next.selection.as_ref(), "selection")?;
                let build = |condition| expr::build(condition, &types);
                (selection.conditions.iter().map(build).collect::<Result<_>>()?, rest)
            }
            Some(_) | None => (Vec::new(), rest),
        };
        let last = match rest {
            [] => Last::Rows { output: output(request, &types)?, limit: u64::MAX },
            [last] => {
                let is_bare = request.executors.len() == 2;
                Last::build(last, request, &types, is_bare)?
            }
            [_, extra, ..] => {
                let extra = kind_of(extra)?.as_str_name();
                return Err(Error::invalid(format!("{extra} has no place in this plan")));
            }
        };
        let plan = Plan { scan, conditions, last };
        plan.check_columns()?;
        Ok(plan)
    }

    /// Which columns of the scan are looked at.
    pub(crate) fn used_columns(&self) -> Vec<bool> {
        let mut used = vec![false; self.scan.columns.len()];
        let mut visit = |offset: usize| used[offset] = true;
        for condition in &self.conditions {
            condition.visit_columns(&mut visit);
        }
        match &self.last {
            Last::Rows { output, .. } => output.iter().copied().for_each(visit),
            Last::Top { output, order, .. } => {
                for item in order {
                    item.expr.visit_columns(&mut visit);
                }
                output.iter().copied().for_each(visit);
            }
            Last::Groups { by, functions, .. } => {
                for expr in by {
                    expr.visit_columns(&mut visit);
                }
                for function in functions {
                    function.visit_columns(&mut visit);
                }
            }
        }
        used
    }

    /// A scan without columns has nothing to answer, but its rows can be counted. A handle is a number.
    fn check_columns(&self) -> Result<()> {
        let is_number = |column: &Column| column.ty.kind == Kind::Int;
        if !self.scan.columns.iter().filter(|column| column.is_handle).all(is_number) {
            return Err(Error::invalid("a handle that is no integer"));
        }
        let has_columns = !self.scan.columns.is_empty();
        let counts = matches!(self.last, Last::Groups { .. }) && self.scan.access == Access::Table;
        if has_columns || counts { Ok(()) } else { Err(Error::invalid("a scan without columns")) }
    }
}

impl Scan {
    fn build(executor: &Executor, is_original: bool) -> Result<Self> {
        match kind_of(executor)? {
            ExecType::TypeTableScan => {
                let scan = body(executor.tbl_scan.as_ref(), "table scan")?;
                check_count(scan.columns.len(), "columns")?;
                let columns = table_columns(&scan.columns, is_original)?;
                Ok(Scan { access: Access::Table, columns, is_descending: scan.desc })
            }
            ExecType::TypeIndexScan => {
                let scan = body(executor.idx_scan.as_ref(), "index scan")?;
                check_count(scan.columns.len(), "columns")?;
                let is_handle = |info: &ColumnInfo| info.pk_handle || info.column_id == HANDLE_ID;
                let has_handle = scan.columns.last().is_some_and(is_handle);
                let access = Access::Index { is_unique: scan.unique(), has_handle };
                let mut columns: Vec<Column> =
                    scan.columns.iter().map(Column::without_default).collect::<Result<_>>()?;
                if let Some(last) = columns.last_mut() {
                    last.is_handle = has_handle;
                }
                Ok(Scan { access, columns, is_descending: scan.desc })
            }
            kind @ (ExecType::TypeSelection
            | ExecType::TypeAggregation
            | ExecType::TypeTopN
            | ExecType::TypeLimit
            | ExecType::TypeStreamAgg) => {
                Err(Error::invalid(format!("a plan starts with {}", kind.as_str_name())))
            }
        }
    }
}

/// The columns of a table with their defaults. One of them is the handle: the last that says so.
pub(crate) fn table_columns(infos: &[ColumnInfo], is_original: bool) -> Result<Vec<Column>> {
    let handle = infos.iter().rev().find(|info| info.pk_handle).map(|info| info.column_id);
    let column = |info: &ColumnInfo| {
        let default = info.default_val.as_deref().filter(|bytes| !bytes.is_empty());
        let default = match default {
            Some(mut bytes) => row::encode_default(Datum::decode(&mut bytes)?.lend(), is_original),
            None => None,
        };
        let is_handle = handle == Some(info.column_id) || info.column_id == HANDLE_ID;
        Ok(Column { is_handle, default, ..Column::without_default(info)? })
    };
    infos.iter().map(column).collect()
}

impl Column {
    fn without_default(info: &ColumnInfo) -> Result<Self> {
        let ty = Type::of_column(info);
        if ty.kind == Kind::Bit && !(1..=BITS_MAX).contains(&ty.width) {
            return Err(Error::invalid(format!("a column of {} bits", ty.width)));
        }
        if ty.kind == Kind::Char && ty.width > CHARS_MAX {
            return Err(Error::invalid(format!("a column of {} characters", ty.width)));
        }
        Ok(Column { id: info.column_id, ty, is_handle: false, default: None })
    }
}

impl Last {
    fn build(
        executor: &Executor,
        request: &DagRequest,
        types: &[Type],
        is_bare: bool,
    ) -> Result<Self> {
        let kind = kind_of(executor)?;
        match kind {
            ExecType::TypeLimit => {
                let limit = body(executor.limit.as_ref(), "limit")?.limit;
                Ok(Last::Rows { output: output(request, types)?, limit })
            }
            ExecType::TypeTopN => {
                let top = body(executor.top_n.as_ref(), "top N")?;
                check_count(top.order_by.len(), "values to order by")?;
                let item = |item: &tipb::ByItem| {
                    let expr = expr::build(body(item.expr.as_ref(), "order")?, types)?;
                    Ok(Order { expr, is_descending: item.desc })
                };
                let order = top.order_by.iter().map(item).collect::<Result<_>>()?;
                Ok(Last::Top { output: output(request, types)?, order, limit: top.limit })
            }
            ExecType::TypeAggregation => {
                let aggregation = body(executor.aggregation.as_ref(), "aggregation")?;
                Last::groups(aggregation, types, |_| false)
            }
            ExecType::TypeStreamAgg => {
                // The original reads the field of the other kind of aggregation.
                let either = executor.aggregation.as_ref().or(executor.stream_agg.as_ref());
                let aggregation = body(either, "stream aggregation")?;
                let is_count = |functions: &[Function]| matches!(functions, [function] if function.is_plain_count());
                let has_no_groups = aggregation.group_by.is_empty();
                Last::groups(aggregation, types, |functions| {
                    is_bare && has_no_groups && is_count(functions)
                })
            }
            ExecType::TypeTableScan | ExecType::TypeIndexScan | ExecType::TypeSelection => {
                Err(Error::invalid(format!("{} has no place in this plan", kind.as_str_name())))
            }
        }
    }

    fn groups(
        aggregation: &tipb::Aggregation,
        types: &[Type],
        is_never_empty: impl FnOnce(&[Function]) -> bool,
    ) -> Result<Self> {
        check_count(aggregation.group_by.len(), "values to group by")?;
        check_count(aggregation.agg_func.len(), "functions")?;
        let by = aggregation.group_by.iter().map(|expr| expr::build(expr, types));
        let functions = aggregation.agg_func.iter().map(|expr| Function::build(expr, types));
        let (by, functions) = (by.collect::<Result<_>>()?, functions.collect::<Result<Vec<_>>>()?);
        let is_never_empty = is_never_empty(&functions);
        Ok(Last::Groups { by, functions, is_never_empty })
    }
}

fn kind_of(executor: &Executor) -> Result<ExecType> {
    ExecType::try_from(executor.tp)
        .map_err(|_| Error::invalid(format!("there is no executor {}", executor.tp)))
}

/// The part of a message that must be there.
fn body<'a, T>(body: Option<&'a T>, what: &str) -> Result<&'a T> {
    body.ok_or_else(|| Error::invalid(format!("the {what} is missing")))
}

fn check_count(count: usize, what: &str) -> Result<()> {
    if count > PARTS_MAX {
        return Err(Error::invalid(format!("{count} {what}, which is more than {PARTS_MAX}")));
    }
    Ok(())
}

fn output(request: &DagRequest, types: &[Type]) -> Result<Vec<usize>> {
    check_count(request.output_offsets.len(), "columns to answer")?;
    let offset = |offset: &u32| {
        let column = *offset as usize;
        if column < types.len() {
            Ok(column)
        } else {
            Err(Error::invalid(format!("there is no column {offset} to answer")))
        }
    };
    request.output_offsets.iter().map(offset).collect()
}
