//! Is `docs/course.md` true? Every test of the course that belongs to this crate has its row, and
//! every row its test.

use std::collections::BTreeMap;

const DOCUMENT: &str = include_str!("../../../../docs/course.md");

/// The modules that port the course, how many tests each must have, and their sources.
const MODULES: [(&str, usize, &str); 6] = [
    ("project2aa", 24, include_str!("project2aa.rs")),
    ("project2ab::paper", 11, include_str!("project2ab/paper.rs")),
    ("project2ab::replication", 15, include_str!("project2ab/replication.rs")),
    ("project2ac", 2, include_str!("project2ac.rs")),
    ("project2c", 7, include_str!("project2c.rs")),
    ("project3a", 16, include_str!("project3a.rs")),
];

/// The rows about this crate: from our test's module and name to the name in the course.
fn rows(document: &str) -> BTreeMap<(String, String), String> {
    let mut rows = BTreeMap::new();
    for line in document.lines() {
        let cells: Vec<&str> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let &["", theirs, ours, ""] = &cells[..] else { continue };
        let Some(path) = ours.strip_prefix("raft::tests::") else { continue };
        let (module, name) = path.rsplit_once("::").expect("a module and a name");
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

/// What one of our tests would be called in the course, in lower case and without separators.
fn in_their_words(module: &str, name: &str) -> String {
    let part = module.split("::").next().and_then(|module| module.strip_prefix("project")).unwrap();
    format!("test{}{part}", name.replace('_', ""))
}

#[test]
fn every_row_has_its_test_and_every_test_its_row() {
    let mut rows = rows(DOCUMENT);
    for (module, count, source) in MODULES {
        let tests = tests(source);
        assert_eq!(tests.len(), count, "tests in {module}");
        for name in tests {
            let theirs = rows.remove(&(module.to_owned(), name.to_owned()));
            let theirs = theirs.unwrap_or_else(|| panic!("{module}::{name} has no row"));
            let normal = theirs.replace('_', "").to_lowercase();
            assert_eq!(normal, in_their_words(module, name), "{theirs}: is that the same test?");
        }
    }
    assert!(rows.is_empty(), "rows without a test: {rows:?}");
}

#[test]
fn the_check_sees_what_is_missing() {
    let document = "| `TestA2AA` | `raft::tests::project2aa::a` |\n| other | `kv::b` |\n";
    let rows = rows(document);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[&("project2aa".into(), "a".into())], "TestA2AA");
    assert_eq!(tests("#[test]\nfn a() {}\nfn helper() {}\n#[test]\nfn b() {}"), ["a", "b"]);
}
