//! From a pair to a row of a batch: only the columns that somebody looks at are decoded.

use codec::{bytes, number, varint};

use crate::column::{Batch, Vector};
use crate::datum::Datum;
use crate::error::{Error, Result};
use crate::plan::{Access, Column, Scan};
use crate::row::{Cell, Row, push_value, rounded};
use crate::table::{RECORD_KEY_LEN, handle_of};
use crate::types::Kind;

/// How many bytes the columns of a row may have: more than can be stored, but each column once.
const ROW_BYTES_MAX: usize = 16 << 20;

/// Decodes the pairs of a scan.
pub(crate) enum Decoder<'a> {
    /// Rows.
    Table(TableDecoder<'a>),
    /// Entries of an index.
    Index(IndexDecoder<'a>),
}

/// Decodes rows.
pub(crate) struct TableDecoder<'a> {
    /// The columns of the row itself, with their places and where they stood last.
    stored: Vec<(usize, &'a Column, usize)>,
    /// The places of the handle.
    handles: Vec<usize>,
}

/// Decodes entries of an index.
pub(crate) struct IndexDecoder<'a> {
    /// The indexed columns, and whether they are used.
    indexed: Vec<(&'a Column, bool)>,
    /// The place of the handle, if it is used.
    handle: Option<usize>,
    /// How many columns must be looked at to decode those that are used.
    depth: usize,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(scan: &'a Scan, used: &[bool]) -> Self {
        match scan.access {
            Access::Table => Decoder::Table(TableDecoder::new(&scan.columns, used)),
            Access::Index { has_handle, .. } => {
                let keys = scan.columns.len() - usize::from(has_handle);
                let handle = (has_handle && used[keys]).then_some(keys);
                let indexed: Vec<_> =
                    scan.columns[..keys].iter().zip(used.iter().copied()).collect();
                // Behind the last column that is used there may be the handle, which needs all of them.
                let last_used = indexed.iter().rposition(|(_, is_used)| *is_used);
                let depth = if handle.is_some() { keys } else { last_used.map_or(0, |at| at + 1) };
                Decoder::Index(IndexDecoder { indexed, handle, depth })
            }
        }
    }

    /// Whether anything stands in the values that is used.
    pub(super) fn needs_values(&self) -> bool {
        match self {
            Decoder::Table(table) => !table.stored.is_empty(),
            // The handle of a unique index may be there.
            Decoder::Index(index) => index.handle.is_some(),
        }
    }

    /// Appends a row and answers about how many bytes it takes. After a failure the vectors may be of
    /// different lengths.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8], batch: &mut Batch) -> Result<usize> {
        let size = match self {
            Decoder::Table(table) => table.push(key, value, batch)?,
            Decoder::Index(index) => {
                index.push(key, value, batch)?;
                key.len()
            }
        };
        batch.rows += 1;
        Ok(size)
    }
}

impl<'a> TableDecoder<'a> {
    /// A decoder of the columns that are used.
    pub(crate) fn new(columns: &'a [Column], used: &[bool]) -> Self {
        let places = || columns.iter().enumerate().filter(|(place, _)| used[*place]);
        let stored = places().filter(|(_, column)| !column.is_handle);
        let handles = places().filter(|(_, column)| column.is_handle);
        TableDecoder {
            stored: stored.map(|(place, column)| (place, column, 0)).collect(),
            handles: handles.map(|(place, _)| place).collect(),
        }
    }

    fn push(&mut self, key: &[u8], value: &[u8], batch: &mut Batch) -> Result<usize> {
        let handle = handle_of(key)?;
        for &place in &self.handles {
            push_int(&mut batch.columns[place], handle)?;
        }
        let mut size = key.len();
        if self.stored.is_empty() {
            return Ok(size);
        }
        let row = Row::parse(value)?;
        for (place, column, hint) in &mut self.stored {
            let vector = &mut batch.columns[*place];
            let bytes = match (row.get(column.id, hint)?, &column.default) {
                (Cell::Value(bytes), _) => bytes,
                (Cell::Missing, Some(default)) => default,
                (Cell::Null | Cell::Missing, _) => {
                    vector.push_null();
                    continue;
                }
            };
            // A plan may name a long column again and again.
            size += bytes.len();
            if size > ROW_BYTES_MAX {
                return Err(Error::TooLarge { limit: ROW_BYTES_MAX });
            }
            push_value(vector, &column.ty, bytes)?;
        }
        Ok(size)
    }
}

impl IndexDecoder<'_> {
    fn push(&mut self, key: &[u8], value: &[u8], batch: &mut Batch) -> Result<()> {
        let mut rest = key.get(RECORD_KEY_LEN..).ok_or(Error::SHORT)?;
        for (place, (column, is_used)) in self.indexed[..self.depth].iter().enumerate() {
            if *is_used {
                push_datum(&mut batch.columns[place], column, &mut rest)?;
            } else {
                Datum::cut(&mut rest)?;
            }
        }
        let Some(place) = self.handle else { return Ok(()) };
        let handle = if rest.is_empty() {
            number::decode_u64(&mut &*value)?.cast_signed()
        } else {
            match Datum::decode(&mut rest)? {
                Datum::Int(handle) => handle,
                Datum::Uint(handle) => handle.cast_signed(),
                Datum::Null | Datum::Real(_) | Datum::Bytes(_) => {
                    return Err(Error::invalid("an index entry whose handle is no integer"));
                }
            }
        };
        push_int(&mut batch.columns[place], handle)
    }
}

fn push_int(vector: &mut Vector, value: i64) -> Result<()> {
    match vector {
        Vector::Int(cells) => cells.push(value),
        Vector::Real(_) | Vector::Bytes(_) => return Err(wrong_kind()),
    }
    Ok(())
}

fn wrong_kind() -> Error {
    Error::invalid("an index entry whose value is not of its column's type")
}

/// Appends the datum at the head of `input`, in either form, without making it a value of its own.
fn push_datum(vector: &mut Vector, column: &Column, input: &mut &[u8]) -> Result<()> {
    let mut datum = Datum::cut(input)?;
    let (flag, payload) = datum.split_first().expect("what was cut has a flag");
    datum = payload;
    match (*flag, vector) {
        (0x00, vector) => vector.push_null(),
        // Bits are not indexed, and read as NULL wherever they come from.
        (_, vector) if column.ty.kind == Kind::Bit => vector.push_null(),
        (_, _) if matches!(column.ty.kind, Kind::Untyped | Kind::Valueless) => {
            return Err(Error::UnknownType(column.ty.number));
        }
        (0x03, Vector::Int(cells)) => cells.push(number::decode_i64(&mut datum)?),
        (0x04, Vector::Int(cells)) => cells.push(number::decode_u64(&mut datum)?.cast_signed()),
        (0x08, Vector::Int(cells)) => cells.push(varint::decode_varint(&mut datum)?),
        (0x09, Vector::Int(cells)) => {
            cells.push(varint::decode_uvarint(&mut datum)?.cast_signed());
        }
        (0x05, Vector::Real(cells)) => {
            let value = number::decode_f64(&mut datum)?;
            cells.push(if column.ty.kind == Kind::Float { rounded(value) } else { value });
        }
        (0x01, Vector::Bytes(texts)) => {
            texts.push_with(|bytes| bytes::decode_into(&mut datum, bytes))?;
        }
        (0x02, Vector::Bytes(texts)) => texts.push(Some(varint::decode_compact(&mut datum)?)),
        (_, Vector::Int(_) | Vector::Real(_) | Vector::Bytes(_)) => return Err(wrong_kind()),
    }
    Ok(())
}
