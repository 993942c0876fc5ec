//! Strings read as numbers.
//!
//! SQL takes the longest beginning of a string that looks like a number and, depending on the mode,
//! ignores, reports or refuses the rest. The rules are the original's, with their corners: they decide
//! which rows a condition keeps.

use std::borrow::Cow;

use super::session::Session;
use crate::error::{Error, Result};

/// How many characters of a string are quoted.
const QUOTED_MAX: usize = 128;

/// The most digits, the sign counted as one, of an integer that is written with an exponent.
const DIGITS_MAX: i64 = 21;

const BIGINT: &str = "BIGINT";

/// The beginning of a string that is a number, and whether there was more.
struct Prefix<'a> {
    text: &'a str,
    is_truncated: bool,
}

/// The string as a float.
pub(crate) fn to_real(bytes: &[u8], session: &mut Session) -> Result<f64> {
    let text = String::from_utf8_lossy(bytes);
    let trimmed = text.trim();
    let prefix = Prefix::of(trimmed);
    let status = prefix.status("FLOAT", trimmed, session);
    let Ok(value) = prefix.text.parse::<f64>() else {
        return Err(Error::Syntax(prefix.text.to_owned()));
    };
    if value.is_infinite() {
        session.truncated(|| truncated("DOUBLE", trimmed))?;
        return Ok(f64::MAX.copysign(value));
    }
    status?;
    Ok(value)
}

/// The string as a float, whatever is wrong with it.
pub(crate) fn quiet_real(bytes: &[u8]) -> f64 {
    to_real(bytes, &mut Session::new(1)).unwrap_or_default()
}

/// The string as an integer, rounded if it has a fraction.
pub(crate) fn to_int(bytes: &[u8], session: &mut Session) -> Result<i64> {
    let text = String::from_utf8_lossy(bytes);
    let trimmed = text.trim();
    let prefix = Prefix::of(trimmed);
    if let Err(refused) = prefix.status("FLOAT", trimmed, session) {
        // That the beginning is out of range weighs more than that there is something behind it.
        parse_int(prefix.text)?;
        return Err(refused);
    }
    parse_int(&integer_text(prefix.text, trimmed, session))
}

fn parse_int(text: &str) -> Result<i64> {
    text.parse().map_err(|_| Error::OutOfRange { kind: BIGINT, what: text.to_owned() })
}

fn truncated(kind: &'static str, text: &str) -> Error {
    Error::Truncated { kind, text: quoted(text) }
}

/// What a warning shows of a string: there may be many warnings.
fn quoted(text: &str) -> String {
    text.chars().take(QUOTED_MAX).collect()
}

impl<'a> Prefix<'a> {
    fn of(text: &'a str) -> Self {
        match number_len(text.as_bytes()) {
            0 => Prefix { text: "0", is_truncated: true },
            len => Prefix { text: &text[..len], is_truncated: len != text.len() },
        }
    }

    fn status(&self, kind: &'static str, text: &str, session: &mut Session) -> Result<()> {
        if self.is_truncated { session.truncated(|| truncated(kind, text)) } else { Ok(()) }
    }
}

/// How many bytes at the beginning look like a number. A sign is also let pass behind the first
/// character, so that `1+2` and `--5` come out whole, and are refused by whoever parses them.
fn number_len(text: &[u8]) -> usize {
    let (mut has_dot, mut has_digit, mut exponent, mut len) = (false, false, 0, 0);
    for (index, byte) in text.iter().enumerate() {
        match byte {
            b'+' | b'-' if index == 0 || index == exponent + 1 => {}
            b'.' if !has_dot && exponent == 0 => {
                has_dot = true;
                if has_digit {
                    len = index + 1;
                }
            }
            b'e' | b'E' if has_digit && exponent == 0 => exponent = index,
            b'0'..=b'9' => {
                has_digit = true;
                len = index + 1;
            }
            _ => break,
        }
    }
    len
}

/// The number as text without a fraction or an exponent; if that cannot be, a text that is no integer.
fn integer_text<'a>(number: &'a str, whole: &str, session: &mut Session) -> Cow<'a, str> {
    let Some((mantissa, exponent)) = number.split_once(['e', 'E']) else {
        return without_fraction(number);
    };
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let Ok(exponent) = exponent.parse::<i64>() else { return Cow::Borrowed(number) };
    let digits = [before, after].concat();
    // The sign counts as a digit, here and below.
    let count = i64::try_from(before.len()).unwrap_or(i64::MAX).wrapping_add(exponent);
    if exponent >= 0 && !(0..=DIGITS_MAX).contains(&count) {
        session.warn(|| Error::OutOfRange { kind: BIGINT, what: quoted(whole) });
        return Cow::Borrowed(mantissa);
    }
    let sign = digits.starts_with(['+', '-']).then(|| &digits[..1]);
    let Ok(count) = usize::try_from(count) else { return Cow::Borrowed("0") };
    Cow::Owned(match (count, sign) {
        (0, Some(_)) => "0".to_owned(),
        (0, None) => round_up_if("0", digits.as_bytes().first()),
        (1, Some(sign)) => match round_up_if("0", digits.as_bytes().get(1)) {
            rounded if rounded == "1" => format!("{sign}1"),
            zero => zero,
        },
        (count, _) if count <= digits.len() => {
            round_up_if(&digits[..count], digits.as_bytes().get(count))
        }
        (count, _) => format!("{digits:0<count$}"),
    })
}

/// A number without an exponent, rounded half away from zero on its first fractional digit.
fn without_fraction(number: &str) -> Cow<'_, str> {
    let Some((before, after)) = number.split_once('.') else { return Cow::Borrowed(number) };
    let (sign, digits) = match before.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", before.strip_prefix('+').unwrap_or(before)),
    };
    let digits = if digits.is_empty() { "0" } else { digits };
    let rounded = round_up_if(digits, after.as_bytes().first());
    let sign = if rounded == "0" { "" } else { sign };
    Cow::Owned(format!("{sign}{rounded}"))
}

/// Adds one to a decimal number, which may have a sign, if the digit behind it asks for it.
fn round_up_if(number: &str, next: Option<&u8>) -> String {
    if next.is_none_or(|digit| *digit < b'5') {
        return number.to_owned();
    }
    let kept = number.trim_end_matches('9');
    let zeros = "0".repeat(number.len() - kept.len());
    match kept.as_bytes().last() {
        Some(digit @ b'0'..=b'8') => {
            format!("{}{}{zeros}", &kept[..kept.len() - 1], char::from(digit + 1))
        }
        Some(_) | None => format!("{kept}1{zeros}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flags, and what comes out: the value, and whether there was a warning.
    fn read<T>(parse: fn(&[u8], &mut Session) -> Result<T>, text: &str) -> (Option<T>, usize) {
        let mut session = Session::new(2);
        let value = parse(text.as_bytes(), &mut session).ok();
        (value, session.into_warnings().len())
    }

    /// A string, and what it is as an integer and as a float, each with how many warnings.
    type Case = (&'static str, Option<i64>, usize, Option<f64>, usize);

    #[test]
    fn strings_are_numbers_as_far_as_they_go() {
        let cases: [Case; 25] = [
            ("", Some(0), 1, Some(0.0), 1),
            (" 12 ", Some(12), 0, Some(12.0), 0),
            ("12abc", Some(12), 1, Some(12.0), 1),
            ("1.5", Some(2), 0, Some(1.5), 0),
            ("-1.5", Some(-2), 0, Some(-1.5), 0),
            ("0.5", Some(1), 0, Some(0.5), 0),
            ("-.5", Some(-1), 0, Some(-0.5), 0),
            ("-0.4", Some(0), 0, Some(-0.4), 0),
            ("99.5", Some(100), 0, Some(99.5), 0),
            ("5.", Some(5), 0, Some(5.0), 0),
            ("1e3", Some(1000), 0, Some(1000.0), 0),
            ("1e", Some(1), 1, Some(1.0), 1),
            ("1e+", Some(1), 1, Some(1.0), 1),
            ("1.25e1", Some(13), 0, Some(12.5), 0),
            ("15e-1", Some(2), 0, Some(1.5), 0),
            ("-6e-1", Some(-1), 0, Some(-0.6), 0),
            ("6e-1", Some(1), 0, Some(0.6), 0),
            ("1e30", Some(1), 1, Some(1e30), 0),
            ("1.5e30", None, 1, Some(1.5e30), 0),
            ("1e400", Some(1), 1, Some(f64::MAX), 1),
            ("1+2", None, 0, None, 0),
            ("--5", None, 0, None, 0),
            ("9223372036854775808", None, 0, Some(9_223_372_036_854_775_808.0), 0),
            ("0x1A", Some(0), 1, Some(0.0), 1),
            ("abc", Some(0), 1, Some(0.0), 1),
        ];
        for (text, int, int_warnings, real, real_warnings) in cases {
            assert_eq!(read(to_int, text), (int, int_warnings), "{text:?} as an integer");
            assert_eq!(read(to_real, text), (real, real_warnings), "{text:?} as a float");
        }
    }

    #[test]
    fn without_leave_a_rest_is_an_error_and_a_number_out_of_range_is_a_worse_one() {
        let refuse = |text: &str| to_int(text.as_bytes(), &mut Session::new(0)).unwrap_err();
        assert_eq!(
            refuse("12abc").to_string(),
            "[types:1292]Truncated incorrect FLOAT value: '12abc'"
        );
        assert_eq!(refuse("1.5x").to_string(), "[types:1690]BIGINT value is out of range in '1.5'");
        let error = to_real(b"1+2", &mut Session::new(1)).unwrap_err();
        assert_eq!(error.to_string(), "strconv.ParseFloat: parsing \"1+2\": invalid syntax");
        assert_eq!(to_int(b"\xff12", &mut Session::new(1)).unwrap(), 0, "no UTF-8");
    }
}
