//! Is `docs/course.md` true? Every test of the course that belongs to this crate has its row, and
//! every row its test.

use std::collections::BTreeMap;

const DOCUMENT: &str = include_str!("../../../../docs/course.md");

/// The modules that port the course, what the course puts behind the names of their tests, how many
/// tests each must have, and their sources.
const MODULES: [(&str, &str, usize, &str); 5] = [
    ("project1", "1", 10, include_str!("project1.rs")),
    ("project4a", "4a", 15, include_str!("project4a.rs")),
    ("project4b", "4b", 24, include_str!("project4b.rs")),
    ("project4c", "4c", 22, include_str!("project4c.rs")),
    ("unlabelled", "", 4, include_str!("unlabelled.rs")),
];

/// The rows about this crate: from our test's module and name to the name in the course.
fn rows(document: &str) -> BTreeMap<(String, String), String> {
    let mut rows = BTreeMap::new();
    for line in document.lines() {
        let cells: Vec<&str> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let &["", theirs, ours, ""] = &cells[..] else { continue };
        let Some(path) = ours.strip_prefix("storage::tests::") else { continue };
        let (module, name) = path.split_once("::").expect("a module and a name");
        let previous = rows.insert((module.to_owned(), name.to_owned()), theirs.to_owned());
        assert_eq!(previous, None, "{ours} stands for two tests");
    }
    rows
}

/// The tests in a source text.
fn tests(source: &str) -> Vec<&str> {
    let after_attribute = source.split("#[test]\nfn ").skip(1);
    after_attribute.map(|text| text.split('(').next().unwrap()).collect()
}

#[test]
fn every_row_has_its_test_and_every_test_its_row() {
    let mut rows = rows(DOCUMENT);
    for (module, label, count, source) in MODULES {
        let tests = tests(source);
        assert_eq!(tests.len(), count, "tests in {module}");
        for name in tests {
            let theirs = rows.remove(&(module.to_owned(), name.to_owned()));
            let theirs = theirs.unwrap_or_else(|| panic!("{module}::{name} has no row"));
            let ours = format!("test{}{label}", name.replace('_', ""));
            assert_eq!(theirs.to_lowercase(), ours, "{theirs}: is that the same test?");
        }
    }
    assert!(rows.is_empty(), "rows without a test: {rows:?}");
}

#[test]
fn the_check_sees_what_is_missing() {
    let document = "| `TestA4B` | `storage::tests::project4b::a` |\n| other | `raft::b` |\n";
    let rows = rows(document);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[&("project4b".into(), "a".into())], "TestA4B");
    assert_eq!(tests("#[test]\nfn a() {}\nfn helper() {}\n#[test]\nfn b() {}"), ["a", "b"]);
}
