//! Types of columns and results, by their numbers in the protocol, reduced to what makes a difference here.

use proto::tipb;

/// The one bit of a type's flags that matters.
const UNSIGNED: u32 = 0x20;

/// What values are computed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// 64 bits, signed or not.
    Int,
    /// A double.
    Real,
    /// A string of bytes. Collations and character sets are carried and ignored: bytes decide.
    Bytes,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Tinyint to bigint.
    Int,
    /// A year, which is signed whatever its flags say.
    Year,
    /// A float: stored as a double, rounded when it is read.
    Float,
    /// A double.
    Double,
    /// Varchar, text and blob.
    Text,
    /// Char and binary, which one mode of SQL pads with spaces.
    Char,
    /// Bits, which can be stored but, as in the original, always read as NULL.
    Bit,
    /// The type of a NULL, and types that only exist in the grammar but are computed as strings.
    Untyped,
    /// Times, decimals and JSON: no value of them exists, and whatever is declared so is NULL.
    Valueless,
}

/// The type of a column or of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Type {
    /// The number in the protocol.
    pub number: i32,
    /// What it stands for.
    pub kind: Kind,
    /// Whether an integer has no sign.
    pub is_unsigned: bool,
    /// How many characters, or bits, are declared.
    pub width: i32,
}

impl Type {
    /// A signed 64-bit integer.
    pub(crate) const BIGINT: Type =
        Type { number: 8, kind: Kind::Int, is_unsigned: false, width: 20 };
    /// An unsigned 64-bit integer.
    pub(crate) const UNSIGNED: Type = Type { is_unsigned: true, ..Type::BIGINT };
    /// A double.
    pub(crate) const DOUBLE: Type =
        Type { number: 5, kind: Kind::Double, is_unsigned: false, width: 22 };
    /// A string.
    pub(crate) const STRING: Type =
        Type { number: 253, kind: Kind::Text, is_unsigned: false, width: -1 };
    /// Of NULL itself.
    pub(crate) const NULL: Type =
        Type { number: 6, kind: Kind::Untyped, is_unsigned: false, width: 0 };

    /// The type of this number and these flags.
    pub(crate) fn new(number: i32, flags: u32, width: i32) -> Self {
        let kind = match number {
            1 | 2 | 3 | 8 | 9 => Kind::Int,
            13 => Kind::Year,
            4 => Kind::Float,
            5 => Kind::Double,
            15 | 249..=253 => Kind::Text,
            254 => Kind::Char,
            16 => Kind::Bit,
            7 | 10 | 11 | 12 | 14 | 245 | 246 => Kind::Valueless,
            _ => Kind::Untyped,
        };
        Type { number, kind, is_unsigned: flags & UNSIGNED != 0, width }
    }

    /// The type of a column.
    pub(crate) fn of_column(info: &tipb::ColumnInfo) -> Self {
        Type::new(info.tp, info.flag.cast_unsigned(), info.column_len)
    }

    /// The type of an expression.
    pub(crate) fn of_field(field: &tipb::FieldType) -> Self {
        Type::new(field.tp, field.flag, field.flen)
    }

    /// What its values are computed with; nothing if it has none.
    pub(crate) fn class(&self) -> Option<Class> {
        match self.kind {
            Kind::Int | Kind::Year | Kind::Bit => Some(Class::Int),
            Kind::Float | Kind::Double => Some(Class::Real),
            Kind::Text | Kind::Char | Kind::Untyped => Some(Class::Bytes),
            Kind::Valueless => None,
        }
    }

    /// Whether values that are read from a column of this type go out without a sign.
    pub(crate) fn reads_unsigned(&self) -> bool {
        self.is_unsigned && self.kind == Kind::Int
    }
}
