//! How keys and values are written: one rule for both directions.
//!
//! Bytes are text, as far as they are printable UTF-8; a backslash begins the exceptions:
//!
//! | written | stands for |
//! |---|---|
//! | `\\` | a backslash |
//! | `\n` `\r` `\t` | line feed, carriage return, tab |
//! | `\x0a` | the byte with this hexadecimal number |
//! | anything else | itself |
//!
//! With `--form hex`, all of it is pairs of hexadecimal digits instead. Nothing at all is printed as `""`
//! where a person reads it, because an empty cell would be overlooked; quotes are therefore printed as
//! `\x22`. Whatever is printed can be typed again.
//!
//! Where regions begin and end is shown as the users' key that it stands for. Transactional keys lie in
//! regions in an encoded form; a boundary that is of this form is decoded, any other is a raw key. The
//! stores go by the same rule when they cut.

use std::fmt::Write as _;

use crate::error::CtlError;

/// How bytes are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// As text, with a backslash before what is none.
    #[default]
    Text,
    /// As pairs of hexadecimal digits.
    Hex,
}

impl Form {
    /// The bytes that somebody has written.
    pub fn read(self, written: &str) -> Result<Vec<u8>, CtlError> {
        let refuse = |what: String| CtlError::misused(format!("{written:?} {what}"));
        match self {
            Form::Text => read_text(written).map_err(refuse),
            Form::Hex => read_hex(written)
                .ok_or_else(|| refuse("is not made of pairs of hexadecimal digits".to_owned())),
        }
    }

    /// Bytes, as somebody could have written them.
    pub fn write(self, bytes: &[u8]) -> String {
        match self {
            Form::Text => write_text(bytes),
            Form::Hex => bytes.iter().fold(String::new(), |mut out, byte| {
                let _ = write!(out, "{byte:02x}");
                out
            }),
        }
    }

    /// The place where a region begins or ends.
    pub fn boundary(self, boundary: &[u8]) -> String {
        let mut rest = boundary;
        match codec::bytes::decode(&mut rest) {
            Ok(key) if rest.is_empty() => self.write(&key),
            Ok(_) | Err(_) => self.write(boundary),
        }
    }
}

/// A key as it lies in regions.
pub fn place(key: &[u8], is_raw: bool) -> Vec<u8> {
    if is_raw || key.is_empty() {
        return key.to_vec();
    }
    let mut encoded = Vec::new();
    codec::bytes::encode(&mut encoded, key);
    encoded
}

fn read_text(written: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(written.len());
    let mut rest = written;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let mut letters = escaped.chars();
        let byte = match letters.next() {
            Some('\\') => b'\\',
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('t') => b'\t',
            Some('x') => {
                let digits =
                    escaped.get(1..3).filter(|it| it.bytes().all(|b| b.is_ascii_hexdigit()));
                let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                rest = escaped.get(3..).unwrap_or_default();
                bytes.push(byte.ok_or("has a \\x without two hexadecimal digits after it")?);
                continue;
            }
            Some(other) => return Err(format!("has a \\{other}; a backslash is written \\\\")),
            None => return Err("ends with a backslash; one is written \\\\".to_owned()),
        };
        bytes.push(byte);
        rest = letters.as_str();
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

fn read_hex(written: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = written
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let (pairs, rest) = digits.as_deref()?.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

fn write_text(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '"' => out.push_str("\\x22"),
                // Also what a terminal would obey, or show as nothing.
                _ if letter.is_control() || is_invisible(letter) => {
                    let mut buffer = [0; 4];
                    escape(&mut out, letter.encode_utf8(&mut buffer).as_bytes());
                }
                _ => out.push(letter),
            }
        }
        escape(&mut out, chunk.invalid());
    }
    out
}

/// Letters that change the direction or take no room, so that two keys would look the same.
fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn escape(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(out, "\\x{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_typed_again() {
        let cases: [(&[u8], &str, &str); 8] = [
            (b"", "", ""),
            (b"apple", "apple", "6170706c65"),
            (b"a b", "a b", "612062"),
            (b"a\\b", "a\\\\b", "615c62"),
            (b"\0\n\t\r\"", "\\x00\\n\\t\\r\\x22", "000a090d22"),
            (b"\xff\xfe", "\\xff\\xfe", "fffe"),
            ("naïve".as_bytes(), "naïve", "6e61c3af7665"),
            ("\u{202e}x".as_bytes(), "\\xe2\\x80\\xaex", "e280ae78"),
        ];
        for (bytes, text, hex) in cases {
            assert_eq!(
                (Form::Text.write(bytes), Form::Hex.write(bytes)),
                (text.into(), hex.into())
            );
            assert_eq!(Form::Text.read(text).unwrap(), bytes);
            assert_eq!(Form::Hex.read(hex).unwrap(), bytes);
        }
        for byte in 0..=u8::MAX {
            let bytes = [b'a', byte, b'b'];
            for form in [Form::Text, Form::Hex] {
                assert_eq!(form.read(&form.write(&bytes)).unwrap(), bytes, "{byte}");
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for text in ["\\", "\\q", "\\x", "\\x1", "\\xg0", "\\xé"] {
            assert!(Form::Text.read(text).is_err(), "{text}");
        }
        for text in ["0", "0g", "éé", "0x00"] {
            assert!(Form::Hex.read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_boundary_is_shown_as_the_key_that_it_stands_for() {
        let cases: [(&[u8], bool, &str); 4] =
            [(b"", false, ""), (b"m", false, "m"), (b"m", true, "m"), (b"\xff", true, "\\xff")];
        for (key, is_raw, shown) in cases {
            assert_eq!(Form::Text.boundary(&place(key, is_raw)), shown);
        }
    }
}
