//! Settings in layers: defaults, file, environment, flags.
//!
//! A program's configuration is a plain struct with defaults. Before it becomes one, the settings are
//! a table in which each layer replaces what it names, and that remembers for every value where it
//! came from, so that a program can print its effective configuration and say why each line is as it
//! is:
//!
//! ```text
//! defaults          addr = "127.0.0.1:20160"    engine.kv.write-buffer = "64MiB"
//! file              .                           engine.kv.write-buffer = "32MiB"
//! environment       .                           .
//! flags             addr = "127.0.0.1:20161"    .
//! ---------------------------------------------------------------------------------
//! effective         addr = "127.0.0.1:20161"    engine.kv.write-buffer = "32MiB"
//!                   # from the flag -addr       # from tinykv.toml
//! ```
//!
//! What a layer names must exist: the defaults are the list of all settings, so a mistyped name is
//! refused with the nearest one there is. For the same reason a setting always has a value; one that
//! may be absent says so with an empty text.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The program itself.
    Default,
    /// A configuration file.
    File(PathBuf),
    /// An environment variable of this name.
    Environment(String),
    /// A flag of this name, as it was written.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => write!(f, "default"),
            Origin::File(path) => write!(f, "from {}", path.display()),
            Origin::Environment(name) => write!(f, "from the environment: {name}"),
            Origin::Flag(name) => write!(f, "from the flag {name}"),
        }
    }
}

/// Why settings cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A file cannot be read.
    #[error("cannot read the configuration {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system or the parser said.
        reason: String,
    },
    /// A layer names a setting that does not exist.
    #[error("there is no setting {name} ({origin}){}", hint(nearest.as_deref()))]
    Unknown {
        /// The name with its path, as in `engine.kv.write-buffer`.
        name: String,
        /// The layer.
        origin: Origin,
        /// The existing name that is most like it.
        nearest: Option<String>,
    },
    /// A value does not fit its setting.
    #[error("{name} cannot be {value} ({origin}): {reason}")]
    Unfit {
        /// The setting.
        name: String,
        /// The value, as it was written.
        value: String,
        /// The layer.
        origin: Origin,
        /// What would fit.
        reason: String,
    },
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

/// The settings of a program, layer upon layer.
#[derive(Clone, Debug)]
pub struct Settings {
    defaults: Table,
    table: Table,
    /// For every setting that is not at its default: where its value came from.
    origins: BTreeMap<String, Origin>,
}

impl Settings {
    /// The first layer: what the program does when nobody says anything.
    pub fn defaults<T: Serialize>(config: &T) -> Settings {
        let table = Table::try_from(config).expect("a configuration is a table of plain values");
        Settings { defaults: table.clone(), table, origins: BTreeMap::new() }
    }

    /// Lays a file over what is there.
    pub fn merge_file(&mut self, path: &Path) -> Result<(), SettingsError> {
        let unreadable =
            |reason: String| SettingsError::Unreadable { path: path.to_owned(), reason };
        let text = fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
        let table: Table = text.parse().map_err(|error| unreadable(format!("{error}")))?;
        let mut leaves = Vec::new();
        collect(&table, "", &mut leaves);
        for (name, value) in leaves {
            self.set_value(&name, value, Origin::File(path.to_owned()))?;
        }
        Ok(())
    }

    /// Lays environment variables over what is there: with the prefix `TINYKV_`, the setting
    /// `engine.kv.write-buffer` is `TINYKV_ENGINE_KV_WRITE_BUFFER`. Answers the variables with the
    /// prefix that name no setting; they may be meant for something else, so they are no error.
    pub fn merge_environment(
        &mut self,
        prefix: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Vec<String>, SettingsError> {
        let names: BTreeMap<String, String> =
            self.names().into_iter().map(|name| (variable(prefix, &name), name)).collect();
        let mut unknown = Vec::new();
        for (variable, text) in variables {
            match names.get(&variable) {
                Some(name) => self.set(name, &text, Origin::Environment(variable))?,
                None if variable.starts_with(prefix) => unknown.push(variable),
                None => {}
            }
        }
        Ok(unknown)
    }

    /// Sets one value from text, as a flag or a variable carries it.
    pub fn set(&mut self, name: &str, text: &str, origin: Origin) -> Result<(), SettingsError> {
        let unfit = |reason: &str| SettingsError::Unfit {
            name: name.to_owned(),
            value: format!("{text:?}"),
            origin: origin.clone(),
            reason: reason.to_owned(),
        };
        let value = match self.get(name) {
            Some(Value::Integer(_)) => {
                Value::Integer(text.parse().map_err(|_| unfit("write a whole number"))?)
            }
            Some(Value::Float(_)) => {
                Value::Float(text.parse().map_err(|_| unfit("write a number"))?)
            }
            Some(Value::Boolean(_)) => {
                Value::Boolean(text.parse().map_err(|_| unfit("write true or false"))?)
            }
            Some(Value::Array(_)) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                Value::Array(parts.map(|part| Value::String(part.to_owned())).collect())
            }
            Some(Value::String(_) | Value::Datetime(_) | Value::Table(_)) | None => {
                Value::String(text.to_owned())
            }
        };
        self.set_value(name, value, origin)
    }

    /// The settings as the program's own type. What does not fit is reported with its name and where
    /// it came from.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, SettingsError> {
        self.table.clone().try_into().map_err(|error| self.blame::<T>(&error.to_string()))
    }

    /// The effective settings as a configuration file, each with a word on where it came from.
    pub fn describe(&self) -> String {
        let mut out = String::new();
        describe(&self.table, "", &self.origins, &mut out);
        out
    }

    /// The names of all settings, with their paths, in order.
    pub fn names(&self) -> Vec<String> {
        let mut leaves = Vec::new();
        collect(&self.table, "", &mut leaves);
        leaves.into_iter().map(|(name, _)| name).collect()
    }

    fn get(&self, name: &str) -> Option<&Value> {
        let mut parts = name.split('.');
        let first = self.table.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.as_table()?.get(part))
    }

    fn set_value(&mut self, name: &str, value: Value, origin: Origin) -> Result<(), SettingsError> {
        let Some(place) = self.place(name) else {
            let nearest = nearest(name, &self.names());
            return Err(SettingsError::Unknown { name: name.to_owned(), origin, nearest });
        };
        *place = value;
        self.origins.insert(name.to_owned(), origin);
        Ok(())
    }

    fn place(&mut self, name: &str) -> Option<&mut Value> {
        let mut parts = name.split('.');
        let first = self.table.get_mut(parts.next()?)?;
        let place = parts.try_fold(first, |value, part| value.as_table_mut()?.get_mut(part))?;
        (!place.is_table()).then_some(place)
    }

    /// Finds the value that keeps the settings from being read: alone over the defaults, it still does.
    fn blame<T: DeserializeOwned>(&self, reason: &str) -> SettingsError {
        let reason = reason.trim().to_owned();
        for (name, origin) in &self.origins {
            let mut alone = Settings { table: self.defaults.clone(), ..self.clone() };
            let value = self.get(name).expect("a setting with an origin was set").clone();
            *alone.place(name).expect("it has a default") = value.clone();
            if alone.table.try_into::<T>().is_err() {
                let (name, value) = (name.clone(), value.to_string());
                return SettingsError::Unfit { name, value, origin: origin.clone(), reason };
            }
        }
        // Each fits by itself, so no single one is to blame.
        let names: Vec<_> = self.origins.keys().map(String::as_str).collect();
        let (name, value) = (names.join(", "), "this together".to_owned());
        SettingsError::Unfit { name, value, origin: Origin::Default, reason }
    }
}

/// The name of the variable for a setting.
fn variable(prefix: &str, name: &str) -> String {
    format!("{prefix}{}", name.replace(['.', '-'], "_").to_uppercase())
}

/// Every value that is not a table itself, with its path.
fn collect(table: &Table, prefix: &str, leaves: &mut Vec<(String, Value)>) {
    for (key, value) in table {
        let name = format!("{prefix}{key}");
        match value {
            Value::Table(table) => collect(table, &format!("{name}."), leaves),
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_) => leaves.push((name, value.clone())),
        }
    }
}

/// Values first, tables after them: that is the order TOML wants.
fn describe(table: &Table, prefix: &str, origins: &BTreeMap<String, Origin>, out: &mut String) {
    for (key, value) in table.iter().filter(|(_, value)| !value.is_table()) {
        let origin = origins.get(&format!("{prefix}{key}")).unwrap_or(&Origin::Default);
        writeln!(out, "{key} = {value}  # {origin}").expect("a text takes everything");
    }
    for (key, value) in table {
        if let Value::Table(table) = value {
            let name = format!("{prefix}{key}");
            writeln!(out, "\n[{name}]").expect("a text takes everything");
            describe(table, &format!("{name}."), origins, out);
        }
    }
}

/// The name that takes the fewest changes to become `name`, if they are few.
fn nearest(name: &str, names: &[String]) -> Option<String> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let cost = |other: &String| distance(name, other).min(distance(&last(name), &last(other)) + 1);
    let best = names.iter().min_by_key(|other| cost(other))?;
    (cost(best) <= 1 + name.len() / 3).then(|| best.clone())
}

/// How many letters must be added, removed or replaced to turn one text into the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use serde::Deserialize;

    use super::*;
    use crate::units::Bytes;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Config {
        addr: String,
        peers: Vec<String>,
        raft: bool,
        engine: Engine,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Engine {
        write_buffer: Bytes,
        jobs: u32,
    }

    fn settings() -> Settings {
        Settings::defaults(&Config {
            addr: "127.0.0.1:20160".to_owned(),
            peers: Vec::new(),
            raft: true,
            engine: Engine { write_buffer: Bytes::mib(64), jobs: 2 },
        })
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn flag(name: &str) -> Origin {
        Origin::Flag(name.to_owned())
    }

    #[test]
    fn later_layers_win_and_are_named() {
        let mut settings = settings();
        let file = file("addr = 'a:1'\nraft = false\n[engine]\njobs = 3\n");
        settings.merge_file(file.path()).unwrap();
        let variables = [("TINYKV_ENGINE_WRITE_BUFFER", "32MiB"), ("TINYKV_X", ""), ("PATH", "/")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(settings.merge_environment("TINYKV_", variables).unwrap(), ["TINYKV_X"]);
        settings.set("addr", "b:2", flag("-addr")).unwrap();
        settings.set("peers", "c:3, d:4", flag("--peers")).unwrap();

        let config: Config = settings.read().unwrap();
        let engine = Engine { write_buffer: Bytes::mib(32), jobs: 3 };
        let peers = vec!["c:3".to_owned(), "d:4".to_owned()];
        assert_eq!(config, Config { addr: "b:2".to_owned(), peers, raft: false, engine });

        let path = file.path().display();
        let expected = format!(
            "addr = \"b:2\"  # from the flag -addr\n\
             peers = [\"c:3\", \"d:4\"]  # from the flag --peers\n\
             raft = false  # from {path}\n\
             \n[engine]\n\
             jobs = 3  # from {path}\n\
             write-buffer = \"32MiB\"  # from the environment: TINYKV_ENGINE_WRITE_BUFFER\n"
        );
        assert_eq!(settings.describe(), expected);
        let mut again = super::tests::settings();
        again.merge_file(self::file(&expected).path()).unwrap();
        assert_eq!(again.read::<Config>().unwrap(), config, "what is printed can be read");
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_origin() {
        let cases: [(&str, &str, &str); 6] = [
            ("adr", "x", "there is no setting adr (from the flag -f); did you mean addr?"),
            ("write-bufer", "1", "did you mean engine.write-buffer?"),
            ("engine", "x", "there is no setting engine"),
            (
                "completely-different",
                "x",
                "there is no setting completely-different (from the flag -f)",
            ),
            ("raft", "maybe", "raft cannot be \"maybe\" (from the flag -f): write true or false"),
            ("engine.jobs", "two", "engine.jobs cannot be \"two\""),
        ];
        for (name, text, message) in cases {
            let error = settings().set(name, text, flag("-f")).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        let mut settings = settings();
        settings.set("engine.jobs", "4", flag("-j")).unwrap();
        settings.set("engine.write-buffer", "much", flag("-w")).unwrap();
        let error = settings.read::<Config>().unwrap_err().to_string();
        assert!(error.contains("engine.write-buffer cannot be \"much\""), "{error}");
        assert!(error.contains("such as 96MiB"), "{error}");
        settings.set("engine.write-buffer", "1MiB", flag("-w")).unwrap();
        settings.set("engine.jobs", "-1", flag("-j")).unwrap();
        let error = settings.read::<Config>().unwrap_err().to_string();
        assert!(error.contains("engine.jobs cannot be -1 (from the flag -j)"), "{error}");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let error = settings().merge_file(Path::new("missing.toml")).unwrap_err().to_string();
        assert!(error.starts_with("cannot read the configuration missing.toml: "), "{error}");
        let file = file("addr = \n");
        let error = settings().merge_file(file.path()).unwrap_err().to_string();
        assert!(error.contains(file.path().to_str().unwrap()), "{error}");
    }
}
