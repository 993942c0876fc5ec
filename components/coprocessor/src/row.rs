//! Rows as TinySQL stores them, format 2: header integers are little endian.
//!
//! ```text
//! 80 flags n n m m   ids of n values, then of m NULLs   n ends of values   values
//!
//! 80  00  04 00 00 00   02 03 04 06   01 00 02 00 0a 00 0c 00   0a 05 bff8000000000000 6161
//!                       columns       where each ends            10  5  1.5              "aa"
//! ```
//!
//! Ids of each kind ascend. They take a byte each and ends two; in a *large* row, bit 0 of the flags, both
//! take four. A column that is in neither list has its default. Integers are as short as 1, 2, 4 or 8 bytes
//! can be, floats are eight comparable bytes, strings are as they are.

use codec::number;

use crate::column::Vector;
use crate::datum::{Datum, DatumRef};
use crate::error::{Error, Result};
use crate::types::{Kind, Type};

const VERSION: u8 = 0x80;
const LARGE: u8 = 1;
const HEADER_LEN: usize = 6;

/// The largest id and, in bytes, the values that a row which is not large can have. Values one byte
/// longer would fit, but the original cannot write that row.
const SMALL_ID_MAX: i64 = 255;
const SMALL_BYTES_MAX: usize = 65_534;

/// A row, looked into where it lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    is_large: bool,
    ids: &'a [u8],
    ends: &'a [u8],
    values: &'a [u8],
    /// How many columns have a value.
    with_value: usize,
    /// How many columns are listed, those with NULL included.
    listed: usize,
}

/// What a row says of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell<'a> {
    /// These bytes.
    Value(&'a [u8]),
    /// NULL.
    Null,
    /// Nothing: the row is older than the column, or both its value and its default are NULL.
    Missing,
}

impl<'a> Row<'a> {
    /// Reads the header.
    #[inline]
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self> {
        if *bytes.first().ok_or(Error::SHORT)? != VERSION {
            return Err(Error::RowVersion);
        }
        let (header, rest) = bytes.split_at_checked(HEADER_LEN).ok_or(Error::SHORT)?;
        let is_large = header[1] & LARGE != 0;
        let with_value = usize::from(u16::from_le_bytes([header[2], header[3]]));
        let listed = with_value + usize::from(u16::from_le_bytes([header[4], header[5]]));
        let (id_len, end_len) = if is_large { (4, 4) } else { (1, 2) };
        let (ids, rest) = rest.split_at_checked(listed * id_len).ok_or(Error::SHORT)?;
        let (ends, values) = rest.split_at_checked(with_value * end_len).ok_or(Error::SHORT)?;
        Ok(Row { is_large, ids, ends, values, with_value, listed })
    }

    /// Finds a column. `hint` is where it stood in the last row, which is mostly where it stands in this
    /// one, too.
    #[inline]
    pub(crate) fn get(&self, id: i64, hint: &mut usize) -> Result<Cell<'a>> {
        if *hint < self.with_value && self.id(*hint) == id {
            return self.value(*hint);
        }
        if let Some(index) = self.find(0, self.with_value, id) {
            *hint = index;
            return self.value(index);
        }
        let null = self.find(self.with_value, self.listed, id);
        Ok(null.map_or(Cell::Missing, |_| Cell::Null))
    }

    fn find(&self, mut low: usize, mut high: usize, id: i64) -> Option<usize> {
        while low < high {
            let middle = low + (high - low) / 2;
            match self.id(middle).cmp(&id) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    #[inline]
    fn id(&self, index: usize) -> i64 {
        if self.is_large { i64::from(u32_at(self.ids, index)) } else { i64::from(self.ids[index]) }
    }

    #[inline]
    fn end(&self, index: usize) -> usize {
        if self.is_large {
            u32_at(self.ends, index) as usize
        } else {
            usize::from(u16::from_le_bytes([self.ends[index * 2], self.ends[index * 2 + 1]]))
        }
    }

    #[inline]
    fn value(&self, index: usize) -> Result<Cell<'a>> {
        let start = if index == 0 { 0 } else { self.end(index - 1) };
        self.values.get(start..self.end(index)).map(Cell::Value).ok_or(Error::SHORT)
    }
}

fn u32_at(bytes: &[u8], index: usize) -> u32 {
    let four = bytes[index * 4..].first_chunk().expect("the header was measured");
    u32::from_le_bytes(*four)
}

/// Appends a value of a row to the vector of its column.
#[inline]
pub(crate) fn push_value(vector: &mut Vector, column: &Type, bytes: &[u8]) -> Result<()> {
    match (column.kind, vector) {
        (Kind::Int | Kind::Year, Vector::Int(cells)) => {
            cells.push(int_of(bytes, column.is_unsigned)?);
        }
        (Kind::Float, Vector::Real(cells)) => cells.push(rounded(real_of(bytes)?)),
        (Kind::Double, Vector::Real(cells)) => cells.push(real_of(bytes)?),
        (Kind::Text | Kind::Char, Vector::Bytes(texts)) => texts.push(Some(bytes)),
        (Kind::Bit, vector) => vector.push_null(),
        (Kind::Untyped | Kind::Valueless, _) => return Err(Error::UnknownType(column.number)),
        (
            Kind::Int | Kind::Year | Kind::Float | Kind::Double | Kind::Text | Kind::Char,
            Vector::Int(_) | Vector::Real(_) | Vector::Bytes(_),
        ) => panic!("a column's vector is of the class of its type"),
    }
    Ok(())
}

/// A double as a float holds it.
#[expect(clippy::cast_possible_truncation, reason = "a float is meant to be rounded")]
pub(crate) fn rounded(value: f64) -> f64 {
    f64::from(value as f32)
}

fn real_of(mut bytes: &[u8]) -> Result<f64> {
    Ok(number::decode_f64(&mut bytes)?)
}

#[inline]
fn int_of(bytes: &[u8], is_unsigned: bool) -> Result<i64> {
    if let Some(eight) = bytes.first_chunk() {
        return Ok(i64::from_le_bytes(*eight));
    }
    Ok(match (bytes, is_unsigned) {
        (&[a], true) => i64::from(a),
        (&[a], false) => i64::from(a.cast_signed()),
        (&[a, b], true) => i64::from(u16::from_le_bytes([a, b])),
        (&[a, b], false) => i64::from(i16::from_le_bytes([a, b])),
        (&[a, b, c, d], true) => i64::from(u32::from_le_bytes([a, b, c, d])),
        (&[a, b, c, d], false) => i64::from(i32::from_le_bytes([a, b, c, d])),
        _ => return Err(Error::invalid(format!("an integer of {} bytes in a row", bytes.len()))),
    })
}

/// Appends a value as rows hold it.
pub(crate) fn encode_value(out: &mut Vec<u8>, value: &Datum) {
    match value {
        Datum::Null => {}
        Datum::Int(value) => encode_int(out, *value),
        Datum::Uint(value) => encode_uint(out, *value),
        Datum::Real(value) => number::encode_f64(out, *value),
        Datum::Bytes(value) => out.extend_from_slice(value),
    }
}

/// The shortest of 1, 2, 4 and 8 bytes that a sign extends to the number.
fn encode_int(out: &mut Vec<u8>, value: i64) {
    let len = if i8::try_from(value).is_ok() {
        1
    } else if i16::try_from(value).is_ok() {
        2
    } else if i32::try_from(value).is_ok() {
        4
    } else {
        8
    };
    out.extend_from_slice(&value.to_le_bytes()[..len]);
}

/// The shortest of 1, 2, 4 and 8 bytes that zeros extend to the number.
pub(crate) fn encode_uint(out: &mut Vec<u8>, value: u64) {
    let len = match value {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 4,
        0x1_0000_0000.. => 8,
    };
    out.extend_from_slice(&value.to_le_bytes()[..len]);
}

/// Writes a row. Ids are positive, below 2^32, and all different; their order does not matter.
pub fn encode(columns: &[(i64, Datum)]) -> Vec<u8> {
    let mut order: Vec<&(i64, Datum)> = columns.iter().collect();
    order.sort_by_key(|(id, value)| (value.lend().is_null(), *id));
    let (mut values, mut ends) = (Vec::new(), Vec::new());
    for (_, value) in order.iter().filter(|(_, value)| !value.lend().is_null()) {
        encode_value(&mut values, value);
        ends.push(u32::try_from(values.len()).expect("a row is smaller than 4 GiB"));
    }
    let is_large = values.len() > SMALL_BYTES_MAX || order.iter().any(|(id, _)| *id > SMALL_ID_MAX);
    let mut out = vec![VERSION, u8::from(is_large)];
    for count in [ends.len(), order.len() - ends.len()] {
        let count = u16::try_from(count).expect("a table has fewer than 65536 columns");
        out.extend_from_slice(&count.to_le_bytes());
    }
    let mut header = |number: u32, small: usize| {
        out.extend_from_slice(&number.to_le_bytes()[..if is_large { 4 } else { small }]);
    };
    for (id, _) in &order {
        header(u32::try_from(*id).expect("ids are positive and below 2^32"), 1);
    }
    for end in ends {
        header(end, 2);
    }
    out.extend_from_slice(&values);
    out
}

/// The bytes that a default has in place of a missing value.
pub(crate) fn encode_default(value: DatumRef<'_>, is_original: bool) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match value {
        DatumRef::Null => return None,
        // The original writes a float's bits like an unsigned integer, and then reads them as a float.
        DatumRef::Real(value) if is_original => encode_uint(&mut out, value.to_bits()),
        DatumRef::Int(_) | DatumRef::Uint(_) | DatumRef::Real(_) | DatumRef::Bytes(_) => {
            encode_value(&mut out, &value.to_datum());
        }
    }
    Some(out)
}
