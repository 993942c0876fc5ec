//! Single values, and the two ways in which they are written.
//!
//! A datum on the wire is a flag and a payload. *Key* form sorts as the values do and stands in index
//! keys and range bounds; *value* form is short and stands in answers, defaults and statistics:
//!
//! | | key form | value form |
//! |---|---|---|
//! | NULL | `00` | `00` |
//! | a string | `01`, memcomparable | `02`, length, bytes |
//! | a signed integer | `03`, 8 bytes | `08`, varint |
//! | an unsigned integer | `04`, 8 bytes | `09`, varint |
//! | a float or double | `05`, 8 bytes | `05`, 8 bytes |
//!
//! Readers take either form anywhere. Datums stand side by side without separators: each tells where it
//! ends.

use std::cmp::Ordering;

use codec::{bytes, number, varint};

use crate::error::{Error, Result};
use crate::expr::number::quiet_real;

const NULL: u8 = 0x00;
const BYTES: u8 = 0x01;
const COMPACT_BYTES: u8 = 0x02;
const INT: u8 = 0x03;
const UINT: u8 = 0x04;
const REAL: u8 = 0x05;
/// Durations do not exist here, but a key that holds one can be cut.
const DURATION: u8 = 0x07;
const VARINT: u8 = 0x08;
const UVARINT: u8 = 0x09;

/// A value that is kept.
#[derive(Clone, Debug, PartialEq)]
pub enum Datum {
    /// No value.
    Null,
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    Uint(u64),
    /// A float or double.
    Real(f64),
    /// A string.
    Bytes(Vec<u8>),
}

/// A value where it lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DatumRef<'a> {
    /// No value.
    Null,
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    Uint(u64),
    /// A float or double.
    Real(f64),
    /// A string.
    Bytes(&'a [u8]),
}

impl Datum {
    /// The same, lent.
    pub fn lend(&self) -> DatumRef<'_> {
        match self {
            Datum::Null => DatumRef::Null,
            Datum::Int(value) => DatumRef::Int(*value),
            Datum::Uint(value) => DatumRef::Uint(*value),
            Datum::Real(value) => DatumRef::Real(*value),
            Datum::Bytes(value) => DatumRef::Bytes(value),
        }
    }

    /// Takes over a value; a string goes into the room that is there.
    pub fn assign(&mut self, value: DatumRef<'_>) {
        if let (Datum::Bytes(room), DatumRef::Bytes(bytes)) = (&mut *self, value) {
            room.clear();
            room.extend_from_slice(bytes);
            return;
        }
        *self = value.to_datum();
    }

    /// Decodes the datum at the head of `input`, in either form, and moves `input` behind it.
    pub fn decode(input: &mut &[u8]) -> Result<Self> {
        let (flag, mut rest) = take_flag(input)?;
        let datum = match flag {
            NULL => Datum::Null,
            BYTES => Datum::Bytes(bytes::decode(&mut rest)?),
            COMPACT_BYTES => Datum::Bytes(varint::decode_compact(&mut rest)?.to_vec()),
            INT => Datum::Int(number::decode_i64(&mut rest)?),
            UINT => Datum::Uint(number::decode_u64(&mut rest)?),
            REAL => Datum::Real(number::decode_f64(&mut rest)?),
            VARINT => Datum::Int(varint::decode_varint(&mut rest)?),
            UVARINT => Datum::Uint(varint::decode_uvarint(&mut rest)?),
            _ => return Err(Error::Flag(flag)),
        };
        *input = rest;
        Ok(datum)
    }

    /// Cuts the datum off the head of `input` without decoding it.
    pub fn cut<'a>(input: &mut &'a [u8]) -> Result<&'a [u8]> {
        let (flag, mut rest) = take_flag(input)?;
        match flag {
            NULL => {}
            BYTES => drop(bytes::take(&mut rest)?),
            COMPACT_BYTES => drop(varint::decode_compact(&mut rest)?),
            INT | UINT | REAL | DURATION => drop(number::decode_u64(&mut rest)?),
            VARINT | UVARINT => drop(varint::decode_uvarint(&mut rest)?),
            _ => return Err(Error::Flag(flag)),
        }
        let (datum, rest) = input.split_at(input.len() - rest.len());
        *input = rest;
        Ok(datum)
    }
}

fn take_flag<'a>(input: &mut &'a [u8]) -> Result<(u8, &'a [u8])> {
    let (flag, rest) = input.split_first().ok_or(Error::NoFlag)?;
    Ok((*flag, rest))
}

impl DatumRef<'_> {
    /// Whether there is no value.
    pub fn is_null(&self) -> bool {
        matches!(self, DatumRef::Null)
    }

    /// The memory that it needs beyond its place.
    pub(crate) fn size_bytes(&self) -> usize {
        match self {
            DatumRef::Bytes(bytes) => bytes.len(),
            DatumRef::Null | DatumRef::Int(_) | DatumRef::Uint(_) | DatumRef::Real(_) => 0,
        }
    }

    /// The same, to keep.
    pub fn to_datum(self) -> Datum {
        match self {
            DatumRef::Null => Datum::Null,
            DatumRef::Int(value) => Datum::Int(value),
            DatumRef::Uint(value) => Datum::Uint(value),
            DatumRef::Real(value) => Datum::Real(value),
            DatumRef::Bytes(value) => Datum::Bytes(value.to_vec()),
        }
    }

    /// Appends the form that sorts.
    pub fn encode_key(&self, out: &mut Vec<u8>) {
        match *self {
            DatumRef::Int(value) => {
                out.push(INT);
                number::encode_i64(out, value);
            }
            DatumRef::Uint(value) => {
                out.push(UINT);
                number::encode_u64(out, value);
            }
            DatumRef::Bytes(value) => {
                out.push(BYTES);
                bytes::encode(out, value);
            }
            DatumRef::Null | DatumRef::Real(_) => self.encode_value(out),
        }
    }

    /// Appends the form that is short.
    pub fn encode_value(&self, out: &mut Vec<u8>) {
        match *self {
            DatumRef::Null => out.push(NULL),
            DatumRef::Int(value) => {
                out.push(VARINT);
                varint::encode_varint(out, value);
            }
            DatumRef::Uint(value) => {
                out.push(UVARINT);
                varint::encode_uvarint(out, value);
            }
            DatumRef::Real(value) => {
                out.push(REAL);
                number::encode_f64(out, value);
            }
            DatumRef::Bytes(value) => {
                out.push(COMPACT_BYTES);
                varint::encode_compact(out, value);
            }
        }
    }

    /// The order of SQL: NULL first, integers by their true value whatever their sign, anything beside a
    /// float as a float, strings bytewise.
    pub fn compare(&self, other: &DatumRef<'_>) -> Ordering {
        use DatumRef::{Bytes, Int, Null, Real, Uint};
        match (*self, *other) {
            (Null, Null) => Ordering::Equal,
            (Null, _) => Ordering::Less,
            (_, Null) => Ordering::Greater,
            (Int(left), Int(right)) => left.cmp(&right),
            (Uint(left), Uint(right)) => left.cmp(&right),
            (Int(left), Uint(right)) => i128::from(left).cmp(&i128::from(right)),
            (Uint(left), Int(right)) => i128::from(left).cmp(&i128::from(right)),
            (Bytes(left), Bytes(right)) => left.cmp(right),
            (Real(_) | Bytes(_), _) | (_, Real(_) | Bytes(_)) => {
                compare_reals(self.to_real(), other.to_real())
            }
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "SQL compares as floats, with their precision")]
    fn to_real(self) -> f64 {
        match self {
            DatumRef::Null => 0.0,
            DatumRef::Int(value) => value as f64,
            DatumRef::Uint(value) => value as f64,
            DatumRef::Real(value) => value,
            DatumRef::Bytes(value) => quiet_real(value),
        }
    }
}

/// The order of floats. A NaN, which SQL does not store, is above everything and equal to itself, so that
/// this is an order: sorting by something that is none would be undefined.
pub(crate) fn compare_reals(left: f64, right: f64) -> Ordering {
    left.partial_cmp(&right).unwrap_or_else(|| left.is_nan().cmp(&right.is_nan()))
}
