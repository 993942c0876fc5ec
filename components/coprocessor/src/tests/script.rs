//! Golden scripts of encodings.
//!
//! A script under `testscripts/` is a list of commands, each block followed by `---` and by what came
//! out. `UPDATE_GOLDENFILES=1` writes the output anew; the difference is then read like code. Values are
//! written as in `tests/language.rs`.
//!
//! | command | what comes out |
//! |---|---|
//! | `int 7`, `uint 7`, `float 1.5`, `bytes ab`, each also with `-desc` but `float` | the sorting form |
//! | `float-bits 7ff8000000000001` | of a float by its bits |
//! | `varint 7`, `uvarint 7`, `comparable 7`, `compact ab` | the short forms |
//! | `key 1 "'ab'" null`, `value 1 "'ab'"` | datums |
//! | `record 41 1`, `index-prefix 41 1`, `index 41 1 10 handle=4` | keys |
//! | `handle 5` | a handle as the value of an entry |
//! | `handle-in-key` | the value of an entry whose key has the handle |
//! | `is-point START END`, `is-sorted HEX...` | whether a range is a point, and bytes ascend |
//! | `row 2=10 3=null` | a row |
//! | `decode HEX`, `cut HEX` | the datums in some bytes |

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use codec::{bytes, number, varint};
use goldenscript::{Argument, ArgumentConsumer, Command, Context, Runner};

use super::language::datum;
use super::world::shown;
use crate::datum::Datum;
use crate::error::hex;
use crate::{row, table};

#[test]
fn encodings_are_those_of_the_original() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testscripts/encodings");
    goldenscript::run(&mut Script, path).unwrap();
}

struct Script;

impl Runner for Script {
    type Command = Command;

    fn run(&mut self, command: &Command, _: &Context) -> Result<String, Box<dyn Error>> {
        let mut arguments = command.consume_args();
        let out = match command.name.as_str() {
            "decode" => return Ok(decoded(&unhex(&next(&mut arguments)), false)),
            "cut" => return Ok(decoded(&unhex(&next(&mut arguments)), true)),
            "is-point" => {
                let (start, end) = (unhex(&next(&mut arguments)), unhex(&next(&mut arguments)));
                table::is_point(&start, &end).to_string()
            }
            "is-sorted" => {
                let bytes: Vec<_> = positions(&mut arguments).map(|text| unhex(&text)).collect();
                bytes.is_sorted_by(|left, right| left < right).to_string()
            }
            name => hex(&encoded(name, &mut arguments), ""),
        };
        arguments.reject_next()?;
        Ok(format!("{out}\n"))
    }
}

/// The next argument; without one, nothing.
fn next(arguments: &mut ArgumentConsumer<'_>) -> String {
    arguments.next_pos().unwrap_or_default().to_owned()
}

/// The arguments without a name.
fn positions(arguments: &mut ArgumentConsumer<'_>) -> impl Iterator<Item = String> {
    std::iter::from_fn(|| arguments.next_pos().map(str::to_owned))
}

fn encoded(name: &str, arguments: &mut ArgumentConsumer<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    match name {
        "row" => {
            let columns = arguments.filter_map(|argument| match argument {
                Argument::KeyValue(id, value) => Some((id.parse().unwrap(), datum(value))),
                Argument::Positional(_) => None,
                _ => panic!("there is no other kind of argument"),
            });
            return row::encode(&columns.collect::<Vec<_>>());
        }
        "key" | "value" => {
            for argument in positions(arguments) {
                let datum = datum(&argument);
                match name {
                    "key" => datum.lend().encode_key(&mut out),
                    _ => datum.lend().encode_value(&mut out),
                }
            }
            return out;
        }
        "index" => {
            let handle = arguments.take_key("handle").map(|handle| handle.parse().unwrap());
            let (table, index) = (next(arguments), next(arguments));
            let values: Vec<Datum> = positions(arguments).map(|text| datum(&text)).collect();
            let values: Vec<_> = values.iter().map(Datum::lend).collect();
            let (table, index) = (table.parse().unwrap(), index.parse().unwrap());
            return table::index_key(table, index, &values, handle);
        }
        "handle-in-key" => return vec![table::HANDLE_IN_KEY],
        _ => {}
    }
    let first = next(arguments);
    let int = || first.parse::<i64>().expect("a signed integer");
    let uint = || first.parse::<u64>().expect("an unsigned integer");
    match name {
        "int" => number::encode_i64(&mut out, int()),
        "int-desc" => number::encode_i64_desc(&mut out, int()),
        "uint" => number::encode_u64(&mut out, uint()),
        "uint-desc" => number::encode_u64_desc(&mut out, uint()),
        "float" => number::encode_f64(&mut out, first.parse().expect("a float")),
        "float-bits" => {
            let bits = u64::from_str_radix(&first, 16).expect("64 bits");
            number::encode_f64(&mut out, f64::from_bits(bits));
        }
        "bytes" => bytes::encode(&mut out, first.as_bytes()),
        "bytes-desc" => bytes::encode_desc(&mut out, first.as_bytes()),
        "varint" => varint::encode_varint(&mut out, int()),
        "uvarint" => varint::encode_uvarint(&mut out, uint()),
        "comparable" => varint::encode_comparable(&mut out, int()),
        "compact" => varint::encode_compact(&mut out, first.as_bytes()),
        "record" => out = table::record_key(int(), next(arguments).parse().unwrap()),
        "index-prefix" => out = table::index_prefix(int(), next(arguments).parse().unwrap()),
        "handle" => out.extend_from_slice(&int().to_be_bytes()),
        other => panic!("there is no command {other}"),
    }
    out
}

fn decoded(mut bytes: &[u8], only_cut: bool) -> String {
    let mut out = String::new();
    while !bytes.is_empty() {
        let datum = if only_cut {
            Datum::cut(&mut bytes).map(|datum| hex(datum, ""))
        } else {
            Datum::decode(&mut bytes).map(|datum| shown(&datum.lend()))
        };
        match datum {
            Ok(text) => writeln!(out, "{text}").unwrap(),
            Err(error) => return format!("{out}error: {error}\n"),
        }
    }
    out
}

/// The bytes of hexadecimal digits.
pub(super) fn unhex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal digits");
    (0..text.len()).step_by(2).map(byte).collect()
}
