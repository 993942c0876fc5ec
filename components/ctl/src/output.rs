//! What a command comes to, and its two looks: a table for people, JSON for programs.

use std::fmt::Write as _;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::error::CtlError;

/// How output looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Style {
    /// Columns, for people.
    #[default]
    Table,
    /// One JSON document, for programs.
    Json,
}

/// What stands in one place.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Text.
    Text(String),
    /// A key or a value, written in the form that was asked for; it may be empty.
    Key(String),
    /// A number.
    Number(u64),
    /// Whether something is so.
    Flag(bool),
    /// It is not known, or does not apply.
    Nothing,
    /// Several things of one kind.
    Table(Table),
}

/// Several things of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// What is told of each, from left to right.
    pub columns: &'static [&'static str],
    /// What is told, for each of the columns.
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    /// The same with some of the columns only.
    #[must_use]
    pub fn only(mut self, columns: &'static [&'static str]) -> Table {
        let places: Vec<usize> = columns
            .iter()
            .filter_map(|wanted| self.columns.iter().position(|it| it == wanted))
            .collect();
        for row in &mut self.rows {
            *row = places.iter().map(|&place| row[place].clone()).collect();
        }
        Table { columns, ..self }
    }
}

/// What a command comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Names and what they stand for.
    Record(Vec<(&'static str, Cell)>),
    /// Several things of one kind.
    Table(Table),
    /// Text that is printed as it is, whatever the style.
    Text(String),
}

impl Output {
    /// As it is printed, with a line feed at the end.
    pub fn render(&self, style: Style) -> String {
        match (style, self) {
            (_, Output::Text(text)) => format!("{}\n", text.trim_end()),
            (Style::Table, Output::Record(fields)) => record(fields),
            (Style::Table, Output::Table(table)) => grid(table),
            (Style::Json, Output::Record(fields)) => json(&Object(fields.iter())),
            (Style::Json, Output::Table(table)) => json(table),
        }
    }
}

/// An error as it is printed, with a line feed at the end.
pub fn render_error(error: &CtlError, style: Style) -> String {
    match style {
        Style::Table => {
            let hint = error.hint.as_ref().map(|hint| format!("  {hint}\n")).unwrap_or_default();
            format!("tinykv-ctl: {}\n{hint}", error.what)
        }
        Style::Json => {
            let hint = error.hint.clone().map_or(Cell::Nothing, Cell::Text);
            let code = Cell::Number(error.exit.code().into());
            let fields =
                [("error", Cell::Text(error.what.clone())), ("hint", hint), ("status", code)];
            json(&Object(fields.iter()))
        }
    }
}

impl Cell {
    /// A number, or nothing where zero means that.
    pub(crate) fn known(number: u64) -> Cell {
        if number == 0 { Cell::Nothing } else { Cell::Number(number) }
    }

    fn text(&self) -> String {
        match self {
            Cell::Key(text) if text.is_empty() => "\"\"".to_owned(),
            Cell::Text(text) | Cell::Key(text) => text.clone(),
            Cell::Number(number) => number.to_string(),
            Cell::Flag(flag) => if *flag { "yes" } else { "no" }.to_owned(),
            Cell::Nothing => "-".to_owned(),
            Cell::Table(table) => format!("{} in all", table.rows.len()),
        }
    }

    fn is_number(&self) -> bool {
        matches!(self, Cell::Number(_))
    }
}

fn record(fields: &[(&'static str, Cell)]) -> String {
    let is_table = |cell: &Cell| matches!(cell, Cell::Table(_));
    let plain = || fields.iter().filter(|(_, cell)| !is_table(cell));
    let width = plain().map(|(name, _)| name.len()).max().unwrap_or_default();
    let mut out = String::new();
    for (name, cell) in plain() {
        let _ = writeln!(out, "{name:<width$}  {}", cell.text());
    }
    for (name, cell) in fields {
        if let Cell::Table(table) = cell {
            let _ = write!(out, "\n{name}:\n{}", grid(table));
        }
    }
    out
}

/// Columns as wide as what is in them; numbers to the right.
fn grid(table: &Table) -> String {
    let rows: Vec<Vec<String>> =
        table.rows.iter().map(|row| row.iter().map(Cell::text).collect()).collect();
    let widths: Vec<usize> = table
        .columns
        .iter()
        .enumerate()
        .map(|(at, name)| {
            let cells = rows.iter().map(|row| row[at].chars().count());
            cells.chain([name.len()]).max().unwrap_or_default()
        })
        .collect();
    let is_right = |at: usize| {
        table.rows.iter().any(|row| row[at].is_number())
            && table.rows.iter().all(|row| row[at].is_number() || row[at] == Cell::Nothing)
    };
    let mut out = String::new();
    let mut line = |cells: Vec<String>| {
        let padded = cells.into_iter().enumerate().map(|(at, cell)| {
            let width = widths[at];
            if is_right(at) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        let text: Vec<String> = padded.collect();
        let _ = writeln!(out, "{}", text.join("  ").trim_end());
    };
    line(table.columns.iter().map(|&name| name.to_owned()).collect());
    rows.into_iter().for_each(line);
    out
}

fn json(value: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(value).expect("cells are text and numbers");
    format!("{text}\n")
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Cell::Text(text) | Cell::Key(text) => serializer.serialize_str(text),
            Cell::Number(number) => serializer.serialize_u64(*number),
            Cell::Flag(flag) => serializer.serialize_bool(*flag),
            Cell::Nothing => serializer.serialize_none(),
            Cell::Table(table) => table.serialize(serializer),
        }
    }
}

impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rows = self.rows.iter().map(|row| Row(self.columns, row));
        serializer.collect_seq(rows)
    }
}

struct Row<'a>(&'a [&'static str], &'a [Cell]);

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().zip(self.1))
    }
}

/// Fields in the order in which they are told.
struct Object<I>(I);

impl<'a, I: Iterator<Item = &'a (&'static str, Cell)> + Clone> Serialize for Object<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, cell) in self.0.clone() {
            map.serialize_entry(name, cell)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Output {
        let peers = Table {
            columns: &["peer", "role"],
            rows: vec![
                vec![Cell::Number(3), Cell::Text("leader".to_owned())],
                vec![Cell::Number(12), Cell::Nothing],
            ],
        };
        Output::Record(vec![
            ("region", Cell::Number(2)),
            ("start", Cell::Key(String::new())),
            ("is up", Cell::Flag(true)),
            ("peers", Cell::Table(peers)),
        ])
    }

    #[test]
    fn people_get_columns() {
        let expected =
            "region  2\nstart   \"\"\nis up   yes\n\npeers:\npeer  role\n   3  leader\n  12  -\n";
        assert_eq!(sample().render(Style::Table), expected);
    }

    #[test]
    fn programs_get_json() {
        let expected = r#"{
  "region": 2,
  "start": "",
  "is up": true,
  "peers": [
    {
      "peer": 3,
      "role": "leader"
    },
    {
      "peer": 12,
      "role": null
    }
  ]
}
"#;
        assert_eq!(sample().render(Style::Json), expected);
        let text = Output::Text("as it is".to_owned());
        assert_eq!(text.render(Style::Json), text.render(Style::Table));
    }

    #[test]
    fn errors_say_what_to_do() {
        let error = CtlError::absent("no region 7").hint("see `regions`");
        assert_eq!(
            render_error(&error, Style::Table),
            "tinykv-ctl: no region 7\n  see `regions`\n"
        );
        assert_eq!(
            render_error(&error, Style::Json),
            "{\n  \"error\": \"no region 7\",\n  \"hint\": \"see `regions`\",\n  \"status\": 4\n}\n"
        );
    }
}
