//! Reads docs/wire.md. It knows the notation that the document explains under *How to read the
//! tables*, and nothing of the words in it.
//!
//! Only sections whose heading names a package, as in ``### `metapb` (proto3)``, are read. In
//! them, ``- `Name`: ...`` below a line `Enums:` or `Messages:` defines something, and a table
//! row that begins with a path is a call. All else is prose.

use super::Facts;

/// Where the reader is.
#[derive(Default)]
struct Reader {
    facts: Facts,
    /// The package of this section; empty outside of them.
    package: String,
    /// Whether the list at hand is of enums or of messages, once one has begun.
    list: Option<List>,
}

#[derive(Clone, Copy)]
enum List {
    Enums,
    Messages,
}

/// All facts of the document, or the first line that cannot be read and why.
pub(super) fn facts(document: &str) -> Result<Facts, String> {
    let mut reader = Reader::default();
    for (number, line) in document.lines().enumerate() {
        reader.line(line).map_err(|why| format!("line {}: {why}: {line}", number + 1))?;
    }
    Ok(reader.facts)
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if line.starts_with('#') {
            return self.heading(line);
        }
        if self.package.is_empty() {
            return Ok(());
        }
        match line {
            "Enums:" => self.list = Some(List::Enums),
            "Messages:" => self.list = Some(List::Messages),
            _ if line.starts_with("| `/") => self.call(line)?,
            _ if line.starts_with("- `") => self.definition(line)?,
            _ => {}
        }
        Ok(())
    }

    /// Notes one thing. Said twice, it could be said in two ways.
    fn fact(&mut self, name: &str, is: &str) -> Result<(), String> {
        match self.facts.insert(name.to_owned(), is.to_owned()) {
            None => Ok(()),
            Some(_) => Err(format!("{name} is there twice")),
        }
    }

    /// ``### `metapb` (proto3)``; any other heading ends the section of a package.
    fn heading(&mut self, line: &str) -> Result<(), String> {
        self.package.clear();
        self.list = None;
        let Some(rest) = line.strip_prefix("### `") else { return Ok(()) };
        let (package, syntax) = rest.split_once("` (").ok_or("no syntax behind the package")?;
        package.clone_into(&mut self.package);
        self.fact(&format!("package {package}"), syntax.trim_end_matches(')'))
    }

    /// ``| `/schedulerpb.Scheduler/Tso` | TsoRequest | TsoResponse | bidi stream | TinySQL |``
    fn call(&mut self, line: &str) -> Result<(), String> {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, path, request, response, kind, ..] = cells[..] else {
            return Err("a call has four cells".to_owned());
        };
        let is = format!("{kind} {} -> {}", self.type_name(request), self.type_name(response));
        self.fact(&format!("call {}", path.trim_matches('`')), &is)
    }

    /// ``- `Name`: members [reserved: 3]``
    fn definition(&mut self, line: &str) -> Result<(), String> {
        let rest = line.strip_prefix("- `").ok_or("no list item")?;
        let (name, rest) = rest.split_once("`: ").ok_or("no colon behind the name")?;
        let (members, reserved) = match rest.split_once(" [reserved: ") {
            Some((members, list)) => (members, format!("reserved {}", list.trim_end_matches(']'))),
            None => (rest, String::new()),
        };
        let name = format!("{}.{name}", self.package);
        match self.list {
            None => Err("neither Enums nor Messages stands before it".to_owned()),
            Some(List::Enums) => {
                self.fact(&format!("enum {name}"), &reserved)?;
                self.values(&name, members)
            }
            Some(List::Messages) => {
                self.fact(&format!("message {name}"), &reserved)?;
                self.fields(&name, members)
            }
        }
    }

    /// `Put=0; Del=1`
    fn values(&mut self, name: &str, members: &str) -> Result<(), String> {
        for member in members.split("; ") {
            let (value, number) = member.split_once('=').ok_or("a value has no number")?;
            let number: i32 = number.parse().map_err(|_| format!("{number} is no number"))?;
            self.fact(&format!("value {name}.{value}"), &number.to_string())?;
        }
        Ok(())
    }

    /// `id=1 uint64; oneof request { get=7 kvrpcpb.GetRequest | scan=8 kvrpcpb.ScanRequest }`
    fn fields(&mut self, name: &str, members: &str) -> Result<(), String> {
        if members == "no fields" {
            return Ok(());
        }
        let mut last = 0;
        for member in members.split("; ") {
            let (oneof, fields) = match member.strip_prefix("oneof ") {
                None => (String::new(), member),
                Some(rest) => {
                    let (oneof, rest) = rest.split_once(" { ").ok_or("a oneof does not open")?;
                    let fields = rest.strip_suffix(" }").ok_or("a oneof does not close")?;
                    (format!(" in {oneof}"), fields)
                }
            };
            for field in fields.split(" | ") {
                let (field, number, type_name) = self.field(field)?;
                if number <= last {
                    return Err(format!("{field} is not in the order of numbers"));
                }
                last = number;
                let is = format!("{number} {type_name}{oneof}");
                self.fact(&format!("field {name}.{field}"), &is)?;
            }
        }
        Ok(())
    }

    /// `peers=5 repeated Peer`, as name, number, and type with its label in front.
    fn field<'a>(&self, field: &'a str) -> Result<(&'a str, u32, String), String> {
        let (name, rest) = field.split_once('=').ok_or("a field has no number")?;
        let (number, type_name) = rest.split_once(' ').ok_or("a field has no type")?;
        let number = number.parse().map_err(|_| format!("{number} is no number"))?;
        let (label, type_name) = match type_name.strip_prefix("repeated ") {
            Some(type_name) => ("repeated ", type_name),
            None if type_name.ends_with('!') => ("required ", type_name.trim_end_matches('!')),
            None => ("", type_name),
        };
        Ok((name, number, format!("{label}{}", self.type_name(type_name))))
    }

    /// A type with its package. Scalars are lower case and have no dot; packages are lower case;
    /// messages and enums begin with a capital.
    fn type_name(&self, written: &str) -> String {
        if written.starts_with(|first: char| first.is_ascii_uppercase()) {
            format!("{}.{written}", self.package)
        } else {
            written.to_owned()
        }
    }
}

#[test]
fn a_small_table_is_read() {
    let document = "## Words\n- `Not`: one\n### `p` (proto2)\nEnums:\n\
                    - `A.E`: X=0; Y=-1 [reserved: 2-3, z]\n\
                    Messages:\n- `A`: a=1 A.E!; oneof o { b=2 q.B | c=3 bytes }\n- `B`: no fields\n\
                    | `/p.S/M` | A | q.B | unary | who |\n## Prose\n- `Not`: two";
    let facts = facts(document).expect("well-formed");
    let lines: Vec<String> = facts.iter().map(|(name, is)| format!("{name} = {is}")).collect();
    assert_eq!(
        lines,
        [
            "call /p.S/M = unary p.A -> q.B",
            "enum p.A.E = reserved 2-3, z",
            "field p.A.a = 1 required p.A.E",
            "field p.A.b = 2 q.B in o",
            "field p.A.c = 3 bytes in o",
            "message p.A = ",
            "message p.B = ",
            "package p = proto2",
            "value p.A.E.X = 0",
            "value p.A.E.Y = -1",
        ]
    );
}

#[test]
fn a_wrong_table_is_refused_with_its_line() {
    for (lines, expected) in [
        ("### `p`", "line 1: no syntax behind the package"),
        ("### `p` (proto3)\n- `A`: a=1 bool", "line 2: neither Enums nor Messages"),
        ("### `p` (proto3)\nMessages:\n- `A` a=1 bool", "line 3: no colon"),
        ("### `p` (proto3)\nMessages:\n- `A`: a bool", "line 3: a field has no number"),
        ("### `p` (proto3)\nMessages:\n- `A`: a=x bool", "line 3: x is no number"),
        ("### `p` (proto3)\nMessages:\n- `A`: a=1", "line 3: a field has no type"),
        ("### `p` (proto3)\nMessages:\n- `A`: a=2 bool; b=1 bool", "line 3: b is not in the order"),
        ("### `p` (proto3)\nMessages:\n- `A`: a=1 bool; b=1 bool", "line 3: b is not in the order"),
        (
            "### `p` (proto3)\nMessages:\n- `A`: a=1 bool; a=2 bool",
            "line 3: field p.A.a is there twice",
        ),
        ("### `p` (proto3)\nMessages:\n- `A`: oneof o a=1 bool }", "line 3: a oneof does not open"),
        (
            "### `p` (proto3)\nMessages:\n- `A`: oneof o { a=1 bool",
            "line 3: a oneof does not close",
        ),
        (
            "### `p` (proto3)\nMessages:\n- `A`: no fields\n- `A`: no fields",
            "line 4: message p.A is",
        ),
        ("### `p` (proto3)\nEnums:\n- `A`: X", "line 3: a value has no number"),
        ("### `p` (proto3)\nEnums:\n- `A`: X=y", "line 3: y is no number"),
        ("### `p` (proto3)\n| `/p.S/M` | A |", "line 2: a call has four cells"),
    ] {
        let why = facts(lines).expect_err("malformed");
        assert!(why.starts_with(expected), "{lines:?} was called: {why}");
    }
}
