//! Many values of one type side by side.
//!
//! A batch is a vector for each column that the plan looks at, and a step of a plan works on one vector
//! after the other: what to do is decided once a batch and not once a row. Which rows of a batch are still
//! in the game is a list of their numbers, ascending, that selections make shorter; the vectors are not
//! touched.
//!
//! ```text
//!   rows      id     a      s
//!    0         1    10     "aa"
//!    1         2    -3     "b"         a > 0:   rows [0, 3]
//!    2         3   NULL    NULL
//!    3         4    10     ""
//! ```

use crate::datum::DatumRef;
use crate::types::Class;

/// Numbers, each of them or NULL.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Cells<T> {
    values: Vec<T>,
    nulls: Vec<bool>,
}

impl<T: Copy + Default> Cells<T> {
    /// As many NULLs.
    pub(crate) fn nulls(len: usize) -> Self {
        Cells { values: vec![T::default(); len], nulls: vec![true; len] }
    }

    /// Appends a value.
    #[inline]
    pub(crate) fn push(&mut self, value: T) {
        self.values.push(value);
        self.nulls.push(false);
    }

    /// Appends a NULL.
    #[inline]
    pub(crate) fn push_null(&mut self) {
        self.values.push(T::default());
        self.nulls.push(true);
    }

    /// Puts a value or NULL into a row that there is.
    #[inline]
    pub(crate) fn set(&mut self, row: usize, value: Option<T>) {
        self.values[row] = value.unwrap_or_default();
        self.nulls[row] = value.is_none();
    }

    /// The value of a row, if it is not NULL.
    #[inline]
    pub(crate) fn get(&self, row: usize) -> Option<T> {
        if self.nulls[row] { None } else { Some(self.values[row]) }
    }

    fn clear(&mut self) {
        self.values.clear();
        self.nulls.clear();
    }
}

/// Strings, each of them or NULL, in one piece of memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Texts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    nulls: Vec<bool>,
}

impl Texts {
    /// Appends a string or NULL.
    #[inline]
    pub(crate) fn push(&mut self, value: Option<&[u8]>) {
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.ends.push(self.bytes.len());
        self.nulls.push(value.is_none());
    }

    /// Appends a string that `write` appends to the bytes, or refuses to.
    #[inline]
    pub(crate) fn push_with<E>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        write(&mut self.bytes)?;
        self.ends.push(self.bytes.len());
        self.nulls.push(false);
        Ok(())
    }

    /// Appends a string or NULL to be row `row`, with NULLs before it where rows are missing.
    pub(crate) fn push_at(&mut self, row: usize, value: Option<&[u8]>) {
        self.ends.resize(row, self.bytes.len());
        self.nulls.resize(row, true);
        self.push(value);
    }

    /// The string of a row, if it is not NULL.
    #[inline]
    pub(crate) fn get(&self, row: usize) -> Option<&[u8]> {
        if self.nulls[row] {
            return None;
        }
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        Some(&self.bytes[start..self.ends[row]])
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.nulls.clear();
    }
}

/// One column of a batch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Vector {
    /// Integers; whether they have a sign is the type's to know.
    Int(Cells<i64>),
    /// Floats and doubles.
    Real(Cells<f64>),
    /// Strings.
    Bytes(Texts),
}

impl Vector {
    /// An empty column for values of a class; one without values holds NULLs only.
    pub(crate) fn of_class(class: Option<Class>) -> Self {
        match class {
            Some(Class::Int) | None => Vector::Int(Cells::default()),
            Some(Class::Real) => Vector::Real(Cells::default()),
            Some(Class::Bytes) => Vector::Bytes(Texts::default()),
        }
    }

    /// Appends a NULL.
    pub(crate) fn push_null(&mut self) {
        match self {
            Vector::Int(cells) => cells.push_null(),
            Vector::Real(cells) => cells.push_null(),
            Vector::Bytes(texts) => texts.push(None),
        }
    }

    /// Forgets the rows and keeps the room.
    pub(crate) fn clear(&mut self) {
        match self {
            Vector::Int(cells) => cells.clear(),
            Vector::Real(cells) => cells.clear(),
            Vector::Bytes(texts) => texts.clear(),
        }
    }

    /// Leaves the first rows only.
    pub(crate) fn truncate(&mut self, len: usize) {
        match self {
            Vector::Int(cells) => {
                cells.values.truncate(len);
                cells.nulls.truncate(len);
            }
            Vector::Real(cells) => {
                cells.values.truncate(len);
                cells.nulls.truncate(len);
            }
            Vector::Bytes(texts) => {
                texts.ends.truncate(len);
                texts.nulls.truncate(len);
                texts.bytes.truncate(texts.ends.last().copied().unwrap_or_default());
            }
        }
    }

    /// The integers of a column of integers.
    pub(crate) fn ints(&self) -> &Cells<i64> {
        match self {
            Vector::Int(cells) => cells,
            Vector::Real(_) | Vector::Bytes(_) => panic!("the vector is of its type's class"),
        }
    }

    /// The floats of a column of floats.
    pub(crate) fn reals(&self) -> &Cells<f64> {
        match self {
            Vector::Real(cells) => cells,
            Vector::Int(_) | Vector::Bytes(_) => panic!("the vector is of its type's class"),
        }
    }

    /// The strings of a column of strings.
    pub(crate) fn texts(&self) -> &Texts {
        match self {
            Vector::Bytes(texts) => texts,
            Vector::Int(_) | Vector::Real(_) => panic!("the vector is of its type's class"),
        }
    }

    /// The value of a row.
    #[inline]
    pub(crate) fn at(&self, row: usize, is_unsigned: bool) -> DatumRef<'_> {
        match self {
            Vector::Int(cells) => cells.get(row).map_or(DatumRef::Null, |value| {
                if is_unsigned {
                    DatumRef::Uint(value.cast_unsigned())
                } else {
                    DatumRef::Int(value)
                }
            }),
            Vector::Real(cells) => cells.get(row).map_or(DatumRef::Null, DatumRef::Real),
            Vector::Bytes(texts) => texts.get(row).map_or(DatumRef::Null, DatumRef::Bytes),
        }
    }
}

/// Some rows, column by column. Columns that no step looks at stay empty.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// A vector for each column of the scan.
    pub columns: Vec<Vector>,
    /// How many rows there are.
    pub rows: usize,
}
