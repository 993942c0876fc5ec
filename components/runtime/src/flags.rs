//! Flags as Go writes them: `-path=data` beside `--path=data`.

use std::ffi::OsString;

/// Turns long flags with one dash into long flags with two, which is what parsers here expect. A
/// letter by itself (`-h`) stays what it is, as does everything after `--`, and a value that happens
/// to start with a dash, such as a negative number.
pub fn with_two_dashes(
    arguments: impl IntoIterator<Item = OsString>,
) -> impl Iterator<Item = OsString> {
    let mut flags_are_over = false;
    arguments.into_iter().map(move |argument| {
        let Some(text) = argument.to_str() else { return argument };
        flags_are_over |= text == "--";
        match text.strip_prefix('-') {
            Some(name) if !flags_are_over && is_long(name) => format!("--{name}").into(),
            Some(_) | None => argument,
        }
    })
}

fn is_long(name: &str) -> bool {
    let name = name.split('=').next().unwrap_or_default();
    let mut letters = name.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic()) && letters.next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_dash_becomes_two_before_a_long_name_only() {
        let cases = [
            ("-path=data", "--path=data"),
            ("-loglevel", "--loglevel"),
            ("--addr=:1", "--addr=:1"),
            ("-h", "-h"),
            ("-5", "-5"),
            ("-", "-"),
            ("-=x", "-=x"),
            ("data", "data"),
            ("--", "--"),
            ("-after", "-after"),
        ];
        let given = cases.map(|(given, _)| OsString::from(given));
        let expected = cases.map(|(_, expected)| OsString::from(expected));
        assert!(with_two_dashes(given).eq(expected));
    }
}
