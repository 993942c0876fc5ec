//! Rules about source files: a head, a length, no loose ends, and marks that a test asserts.

use std::collections::BTreeMap;

use crate::{File, assert_none, files, files_where};

/// A longer file probably holds two nouns.
const LINES_MAX: usize = 500;

/// Files that may be longer, and why.
const LONGER: &[(&str, &str)] = &[];

/// Words of unfinished work. A caveat section says what is left out, and why.
const LOOSE_ENDS: [&str; 4] = ["TODO", "FIXME", "XXX", "HACK"];

/// Paths that exist on one machine only.
const PRIVATE_PATHS: [&str; 3] = ["/root/", "/home/", "/Users/"];

fn check_head(file: &File) -> Option<String> {
    let first = file.text.lines().next().unwrap_or_default();
    (!first.starts_with("//! ")).then(|| format!("{}: open with a `//!` head", file.path))
}

fn check_length(file: &File) -> Option<String> {
    let lines = file.text.lines().count();
    let may = LONGER.iter().any(|(path, _)| *path == file.path);
    (lines > LINES_MAX && !may).then(|| {
        format!("{}: {lines} lines; split it, or name it in tests/tidy/sources.rs", file.path)
    })
}

fn check_words(file: &File) -> Vec<String> {
    let mut complaints = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        for word in LOOSE_ENDS.iter().chain(&PRIVATE_PATHS) {
            if line.contains(word) {
                complaints.push(format!("{}:{}: {word}", file.path, number + 1));
            }
        }
    }
    complaints
}

/// A golden script starts with a sentence that says what it shows.
fn check_script(file: &File) -> Option<String> {
    let says = file.text.starts_with("# ");
    (!says).then(|| format!("{}: open with a comment that says what it shows", file.path))
}

/// The text between the quotes after each `opening`.
fn quoted<'a>(text: &'a str, opening: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(opening).skip(1).filter_map(|rest| rest.split('"').next())
}

/// Every mark of product code is asserted by exactly one test, its canonical one.
fn check_marks(files: &[File]) -> Vec<String> {
    let mut marks = BTreeMap::new();
    for file in files.iter().filter(|file| !file.path.contains("/runtime/")) {
        for name in quoted(&file.text, "mark!(\"") {
            marks.entry(name).or_insert(0);
        }
    }
    for file in files {
        for name in quoted(&file.text, "hits(\"") {
            if let Some(count) = marks.get_mut(name) {
                *count += 1;
            }
        }
    }
    let odd = marks.into_iter().filter(|&(_, tests)| tests != 1);
    odd.map(|(name, tests)| format!("mark {name:?} is asserted by {tests} tests")).collect()
}

fn sources() -> Vec<File> {
    // The rules quote what they forbid.
    files(&[".rs"]).into_iter().filter(|file| !file.path.starts_with("tests/tidy/")).collect()
}

#[test]
fn every_source_file_has_a_head() {
    assert_none(sources().iter().filter_map(check_head));
}

#[test]
fn no_source_file_is_too_long() {
    assert_none(sources().iter().filter_map(check_length));
    let exists = |path: &str| sources().iter().any(|file| file.path == path);
    let stale = LONGER.iter().filter(|(path, _)| !exists(path));
    assert_none(stale.map(|(path, _)| format!("{path}: is named as an exception and gone")));
}

#[test]
fn nothing_is_left_unfinished_or_private() {
    let mut all = sources();
    all.extend(files(&[".md", ".toml", ".proto", "Makefile", "/run"]));
    assert_none(all.iter().flat_map(check_words));
}

#[test]
fn every_script_says_what_it_shows() {
    let scripts = files_where(&|path| path.contains("/testscripts/"));
    assert_none(scripts.iter().filter_map(check_script));
}

#[test]
fn every_mark_has_its_test() {
    assert_none(check_marks(&sources()));
}

#[test]
fn the_checks_of_sources_can_fail() {
    let file = |text: &str| File::new("a.rs", text);
    assert!(check_head(&file("//! A head.\n")).is_none());
    assert!(check_head(&file("use std::fs;\n")).is_some());
    assert!(check_length(&file(&"line\n".repeat(LINES_MAX))).is_none());
    assert!(check_length(&file(&"line\n".repeat(LINES_MAX + 1))).is_some());
    assert_eq!(
        check_words(&file("// TODO\n\n// see /root/x\n")),
        ["a.rs:1: TODO", "a.rs:3: /root/"]
    );
    assert!(check_script(&file("# Shows a thing.\n")).is_none());
    assert!(check_script(&file("cluster 3\n")).is_some());
    let unasserted = file("mark!(\"odd\"); mark!(\"even\"); hits(\"even\");");
    assert_eq!(check_marks(&[unasserted]), ["mark \"odd\" is asserted by 0 tests"]);
}
