//! From the wire's expressions to ours. Everything that could go wrong with the shape of an expression is
//! refused here, so that computing it meets values only.

use codec::number;
use proto::tipb::{self, ExprType, ScalarFuncSig};

use super::{Expr, Function, Node};
use crate::datum::Datum;
use crate::error::{Error, Result, hex};
use crate::row::rounded;
use crate::types::Type;

/// Builds an expression over columns of these types.
pub(crate) fn build(expr: &tipb::Expr, columns: &[Type]) -> Result<Expr> {
    let tp = ExprType::try_from(expr.tp)
        .map_err(|_| Error::invalid(format!("there is no kind of expression {}", expr.tp)))?;
    let value = expr.val.as_deref().unwrap_or_default();
    match tp {
        ExprType::Null => Ok(Expr { node: Node::Null, ty: Type::NULL }),
        ExprType::Int64 => Ok(Expr::int(constant("int", value, number::decode_i64)?)),
        ExprType::Uint64 => {
            let value = constant("uint", value, number::decode_u64)?;
            Ok(Expr { node: Node::Int(value.cast_signed()), ty: Type::UNSIGNED })
        }
        ExprType::Float32 => Ok(real(rounded(constant("float", value, number::decode_f64)?))),
        ExprType::Float64 => Ok(real(constant("float", value, number::decode_f64)?)),
        ExprType::String => Ok(Expr { node: Node::Text(value.to_vec()), ty: Type::STRING }),
        ExprType::Bytes => Ok(Expr { node: Node::Blob(value.to_vec()), ty: Type::STRING }),
        ExprType::ColumnRef => {
            let offset = constant("int", value, number::decode_i64)?;
            let column = usize::try_from(offset).ok().filter(|offset| *offset < columns.len());
            let column =
                column.ok_or_else(|| Error::invalid(format!("there is no column {offset}")))?;
            Ok(Expr::column(column, columns[column]))
        }
        ExprType::ScalarFunc => build_call(expr, columns),
        ExprType::ValueList => Err(Error::invalid("a list of values that is no argument")),
        ExprType::MysqlBit
        | ExprType::MysqlDecimal
        | ExprType::MysqlDuration
        | ExprType::MysqlEnum
        | ExprType::MysqlHex
        | ExprType::MysqlSet
        | ExprType::MysqlTime
        | ExprType::MysqlJson
        | ExprType::Count
        | ExprType::Sum
        | ExprType::Avg
        | ExprType::Min
        | ExprType::Max
        | ExprType::First
        | ExprType::GroupConcat
        | ExprType::AggBitAnd
        | ExprType::AggBitOr
        | ExprType::AggBitXor
        | ExprType::Std
        | ExprType::Stddev
        | ExprType::StddevPop
        | ExprType::StddevSamp
        | ExprType::VarPop
        | ExprType::VarSamp
        | ExprType::Variance
        | ExprType::JsonArrayAgg
        | ExprType::JsonObjectAgg => {
            Err(Error::invalid(format!("{} is not served as an expression", tp.as_str_name())))
        }
    }
}

fn real(value: f64) -> Expr {
    Expr { node: Node::Real(value), ty: Type::DOUBLE }
}

fn constant<T>(
    kind: &'static str,
    bytes: &[u8],
    decode: impl Fn(&mut &[u8]) -> codec::Result<T>,
) -> Result<T> {
    decode(&mut &*bytes).map_err(|_| Error::Constant { kind, bytes: hex(bytes, " ") })
}

fn build_call(expr: &tipb::Expr, columns: &[Type]) -> Result<Expr> {
    let function = match ScalarFuncSig::try_from(expr.sig) {
        Ok(sig) => {
            Function::of(sig).ok_or_else(|| Error::UnknownFunction(sig.as_str_name().to_owned()))?
        }
        Err(_) => return Err(Error::UnknownFunction(expr.sig.to_string())),
    };
    let ty = expr.field_type.as_ref().map(Type::of_field);
    let ty = ty.ok_or_else(|| Error::invalid(format!("{} has no type", function.name())))?;
    let mut arguments = Vec::with_capacity(expr.children.len());
    for child in &expr.children {
        if child.tp != i32::from(ExprType::ValueList) {
            arguments.push(build(child, columns)?);
            continue;
        }
        let values = value_list(child.val.as_deref().unwrap_or_default())?;
        if values.is_empty() {
            // Among nothing is nothing, and what else there is does not matter.
            return Ok(Expr::int(0));
        }
        arguments.extend(values);
    }
    if !function.takes(arguments.len()) {
        let (name, count) = (function.name(), arguments.len());
        return Err(Error::invalid(format!("{name} does not take {count} arguments")));
    }
    Ok(Expr { node: Node::Call(function, arguments), ty })
}

/// Constants, one behind the other.
fn value_list(mut bytes: &[u8]) -> Result<Vec<Expr>> {
    let mut values = Vec::new();
    while !bytes.is_empty() {
        values.push(match Datum::decode(&mut bytes)? {
            Datum::Null => Expr { node: Node::Null, ty: Type::NULL },
            Datum::Int(value) => Expr::int(value),
            Datum::Uint(value) => Expr { node: Node::Int(value.cast_signed()), ty: Type::UNSIGNED },
            Datum::Real(value) => real(value),
            Datum::Bytes(value) => Expr { node: Node::Text(value), ty: Type::STRING },
        });
    }
    Ok(values)
}
