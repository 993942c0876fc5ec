//! The functions that are served: 48 signatures, as families.
//!
//! There are no casts between them: `a_double > 1` is the comparison of floats with an integer constant
//! for an argument, which then is read as a float. So a signature says what its arguments are computed as,
//! and what comes out.

use std::cmp::Ordering;

use proto::tipb::ScalarFuncSig as Sig;

use crate::types::Class::{self, Bytes, Int, Real};

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    /// Compares two values of a class.
    Compare(Comparison, Class),
    /// The sum of two numbers of a class.
    Plus(Class),
    /// The difference of two numbers of a class.
    Minus(Class),
    /// The product of two numbers of a class.
    Multiply(Class),
    /// The product of two integers without signs.
    MultiplyUnsigned,
    /// The quotient of two floats.
    Divide,
    /// The negative of a number of a class.
    Negate(Class),
    /// Whether both hold.
    And,
    /// Whether one holds.
    Or,
    /// Whether a number of a class is zero.
    Not(Class),
    /// Whether there is no value.
    IsNull(Class),
    /// Whether the first value is among the others, all of a class.
    In(Class),
    /// The first of two values of a class that is there.
    IfNull(Class),
    /// The second or the third value, both of a class, as the first holds or not.
    If(Class),
    /// The number of bytes of a string.
    Length,
    /// The order of two strings as a number.
    Strcmp,
    /// A variable, which is never set here.
    GetVar,
    /// The value that a variable is set to.
    SetVar,
}

/// How to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
    /// `=`
    Equal,
    /// `!=`
    Unequal,
}

impl Comparison {
    /// Whether values in this order compare so.
    #[inline]
    pub(crate) fn holds(self, order: Ordering) -> bool {
        match self {
            Comparison::Less => order == Ordering::Less,
            Comparison::AtMost => order != Ordering::Greater,
            Comparison::Greater => order == Ordering::Greater,
            Comparison::AtLeast => order != Ordering::Less,
            Comparison::Equal => order == Ordering::Equal,
            Comparison::Unequal => order != Ordering::Equal,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Comparison::Less => "lt",
            Comparison::AtMost => "le",
            Comparison::Greater => "gt",
            Comparison::AtLeast => "ge",
            Comparison::Equal => "eq",
            Comparison::Unequal => "ne",
        }
    }
}

impl Function {
    /// The function of a signature.
    pub(crate) fn of(sig: Sig) -> Option<Self> {
        use Comparison::{AtLeast, AtMost, Equal, Greater, Less, Unequal};
        use Function as F;
        Some(match sig {
            Sig::Unspecified => return None,
            Sig::LtInt => F::Compare(Less, Int),
            Sig::LtReal => F::Compare(Less, Real),
            Sig::LtString => F::Compare(Less, Bytes),
            Sig::LeInt => F::Compare(AtMost, Int),
            Sig::LeReal => F::Compare(AtMost, Real),
            Sig::LeString => F::Compare(AtMost, Bytes),
            Sig::GtInt => F::Compare(Greater, Int),
            Sig::GtReal => F::Compare(Greater, Real),
            Sig::GtString => F::Compare(Greater, Bytes),
            Sig::GeInt => F::Compare(AtLeast, Int),
            Sig::GeReal => F::Compare(AtLeast, Real),
            Sig::GeString => F::Compare(AtLeast, Bytes),
            Sig::EqInt => F::Compare(Equal, Int),
            Sig::EqReal => F::Compare(Equal, Real),
            Sig::EqString => F::Compare(Equal, Bytes),
            Sig::NeInt => F::Compare(Unequal, Int),
            Sig::NeReal => F::Compare(Unequal, Real),
            Sig::NeString => F::Compare(Unequal, Bytes),
            Sig::PlusInt => F::Plus(Int),
            Sig::PlusReal => F::Plus(Real),
            Sig::MinusInt => F::Minus(Int),
            Sig::MinusReal => F::Minus(Real),
            Sig::MultiplyInt => F::Multiply(Int),
            Sig::MultiplyReal => F::Multiply(Real),
            Sig::MultiplyIntUnsigned => F::MultiplyUnsigned,
            Sig::DivideReal => F::Divide,
            Sig::UnaryMinusInt => F::Negate(Int),
            Sig::UnaryMinusReal => F::Negate(Real),
            Sig::LogicalAnd => F::And,
            Sig::LogicalOr => F::Or,
            Sig::UnaryNotInt => F::Not(Int),
            Sig::UnaryNotReal => F::Not(Real),
            Sig::IntIsNull => F::IsNull(Int),
            Sig::RealIsNull => F::IsNull(Real),
            Sig::StringIsNull => F::IsNull(Bytes),
            Sig::InInt => F::In(Int),
            Sig::InReal => F::In(Real),
            Sig::InString => F::In(Bytes),
            Sig::IfNullInt => F::IfNull(Int),
            Sig::IfNullReal => F::IfNull(Real),
            Sig::IfNullString => F::IfNull(Bytes),
            Sig::IfInt => F::If(Int),
            Sig::IfReal => F::If(Real),
            Sig::IfString => F::If(Bytes),
            Sig::Length => F::Length,
            Sig::Strcmp => F::Strcmp,
            Sig::GetVar => F::GetVar,
            Sig::SetVar => F::SetVar,
        })
    }

    /// Whether it takes so many arguments.
    pub(crate) fn takes(self, arguments: usize) -> bool {
        match self {
            Function::Compare(..)
            | Function::Plus(_)
            | Function::Minus(_)
            | Function::Multiply(_)
            | Function::MultiplyUnsigned
            | Function::Divide
            | Function::And
            | Function::Or
            | Function::IfNull(_)
            | Function::Strcmp
            | Function::SetVar => arguments == 2,
            Function::Negate(_)
            | Function::Not(_)
            | Function::IsNull(_)
            | Function::Length
            | Function::GetVar => arguments == 1,
            Function::If(_) => arguments == 3,
            Function::In(_) => arguments >= 1,
        }
    }

    /// What comes out.
    pub(crate) fn class(self) -> Class {
        match self {
            Function::Plus(class)
            | Function::Minus(class)
            | Function::Multiply(class)
            | Function::Negate(class)
            | Function::IfNull(class)
            | Function::If(class) => class,
            Function::Divide => Real,
            Function::GetVar | Function::SetVar => Bytes,
            Function::Compare(..)
            | Function::MultiplyUnsigned
            | Function::And
            | Function::Or
            | Function::Not(_)
            | Function::IsNull(_)
            | Function::In(_)
            | Function::Length
            | Function::Strcmp => Int,
        }
    }

    /// The name that the original gives to its implementation, which its error texts show.
    pub(crate) fn name(self) -> String {
        match self {
            Function::Compare(comparison, class) => {
                format!("builtin{}{}sig", comparison.name(), class_name(class))
            }
            Function::Plus(class) => format!("builtinarithmeticplus{}sig", class_name(class)),
            Function::Minus(class) => format!("builtinarithmeticminus{}sig", class_name(class)),
            Function::Multiply(class) => {
                format!("builtinarithmeticmultiply{}sig", class_name(class))
            }
            Function::MultiplyUnsigned => "builtinarithmeticmultiplyintunsignedsig".to_owned(),
            Function::Divide => "builtinarithmeticdividerealsig".to_owned(),
            Function::Negate(class) => format!("builtinunaryminus{}sig", class_name(class)),
            Function::And => "builtinlogicandsig".to_owned(),
            Function::Or => "builtinlogicorsig".to_owned(),
            Function::Not(class) => format!("builtinunarynot{}sig", class_name(class)),
            Function::IsNull(class) => format!("builtin{}isnullsig", class_name(class)),
            Function::In(class) => format!("builtinin{}sig", class_name(class)),
            Function::IfNull(class) => format!("builtinifnull{}sig", class_name(class)),
            Function::If(class) => format!("builtinif{}sig", class_name(class)),
            Function::Length => "builtinlengthsig".to_owned(),
            Function::Strcmp => "builtinstrcmpsig".to_owned(),
            Function::GetVar => "builtingetvarsig".to_owned(),
            Function::SetVar => "builtinsetvarsig".to_owned(),
        }
    }
}

fn class_name(class: Class) -> &'static str {
    match class {
        Int => "int",
        Real => "real",
        Bytes => "string",
    }
}
