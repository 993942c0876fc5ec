//! `docs/configuration.md` against what the programs say of themselves.

use std::fs;
use std::path::Path;

/// Compares a program's part of the page with its flags and settings, each a row of the first cells of
/// the table that it should be in; answers what differs. A row's last cell, its meaning, must not be empty.
pub fn complaints(program: &str, rows: &[Vec<String>]) -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let page = fs::read_to_string(page).expect("the page is there");
    compare(&page, program, rows)
}

/// The rows of all settings, of the text with which a program describes its defaults.
pub fn settings(described: &str, prefix: &str) -> Vec<Vec<String>> {
    let (mut section, mut rows) = (String::new(), Vec::new());
    for line in described.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = format!("{name}.");
        } else if let Some((name, rest)) = line.split_once(" = ") {
            let name = format!("{section}{name}");
            let value = rest.rsplit_once("  # ").map_or(rest, |(value, _)| value);
            let variable = name.replace(['.', '-'], "_").to_uppercase();
            rows.push(vec![
                format!("`{name}`"),
                format!("`{value}`"),
                format!("`{prefix}{variable}`"),
            ]);
        }
    }
    rows
}

fn compare(page: &str, program: &str, rows: &[Vec<String>]) -> Vec<String> {
    let heading = format!("## {program}\n");
    let part = page.split_once(&heading).map_or("", |(_, rest)| rest);
    let part = part.split("\n## ").next().unwrap_or_default();
    let found: Vec<Vec<&str>> = part.lines().filter_map(cells).collect();
    let mut complaints = Vec::new();
    for row in rows {
        let is_it = |cells: &&Vec<&str>| cells.iter().zip(row).all(|(cell, said)| cell == said);
        let is_whole = |cells: &Vec<&str>| cells.len() > row.len() && !cells[row.len()].is_empty();
        if !found.iter().find(is_it).is_some_and(is_whole) {
            complaints.push(format!("{program}: there is no row | {} | ...", row.join(" | ")));
        }
    }
    for cells in found {
        if !rows.iter().any(|row| row.first().is_some_and(|name| *name == cells[0])) {
            complaints.push(format!("{program}: the program does not know {}", cells[0]));
        }
    }
    complaints
}

/// The cells of a row that names something.
fn cells(line: &str) -> Option<Vec<&str>> {
    let row = line.strip_prefix("| ")?.strip_suffix('|')?;
    row.starts_with('`').then(|| row.split('|').map(str::trim).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_from_their_description() {
        let described = "addr = \"x\"  # default\n\n[engine.kv]\nfile-size = \"1MiB\"  # default\n";
        let rows = settings(described, "TINYKV_");
        assert_eq!(rows[0], ["`addr`", "`\"x\"`", "`TINYKV_ADDR`"]);
        assert_eq!(
            rows[1],
            ["`engine.kv.file-size`", "`\"1MiB\"`", "`TINYKV_ENGINE_KV_FILE_SIZE`"]
        );
    }

    #[test]
    fn what_is_missing_wrong_or_too_much_is_told() {
        let page = "# A\n\n## one\n\n| name | default | meaning |\n|---|---|---|\n\
                    | `a` | `1` | the first |\n| `b` | `2` |  |\n| `c` | `3` | the third |\n\n\
                    ## two\n\n| `d` | `4` | elsewhere |\n";
        let rows = |rows: &[(&str, &str)]| -> Vec<Vec<String>> {
            rows.iter().map(|(name, value)| vec![(*name).into(), (*value).into()]).collect()
        };
        let two = rows(&[("`d`", "`4`")]);
        assert_eq!(compare(page, "two", &two), Vec::<String>::new());
        let one = rows(&[("`a`", "`9`"), ("`b`", "`2`"), ("`d`", "`4`")]);
        assert_eq!(
            compare(page, "one", &one),
            [
                "one: there is no row | `a` | `9` | ...",
                "one: there is no row | `b` | `2` | ...",
                "one: there is no row | `d` | `4` | ...",
                "one: the program does not know `c`",
            ]
        );
    }
}
