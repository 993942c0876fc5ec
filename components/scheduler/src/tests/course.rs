//! Is `docs/course.md` true? Every row about this crate names a test that exists.

const DOCUMENT: &str = include_str!("../../../../docs/course.md");

/// Where the tests are, by the beginning of their paths.
const SOURCES: [(&str, &str); 9] = [
    ("scheduler::tests::project3c::", include_str!("project3c.rs")),
    ("scheduler::tests::operators::", include_str!("operators.rs")),
    ("scheduler::tests::regions::", include_str!("regions.rs")),
    ("scheduler::tests::schedulers::", include_str!("schedulers.rs")),
    ("scheduler::tests::space::", include_str!("space.rs")),
    ("scheduler::records::tests::", include_str!("../records.rs")),
    ("served::service::", include_str!("../../tests/served/service.rs")),
    ("served::failover::", include_str!("../../tests/served/failover.rs")),
    ("served::etcd::", include_str!("../../tests/served/etcd.rs")),
];

/// The rows about this crate: the course's name, and the path of our test.
fn rows(document: &str) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    for line in document.lines() {
        let cells: Vec<&str> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let &["", theirs, ours, ""] = &cells[..] else { continue };
        if ours.starts_with("scheduler::") || ours.starts_with("served::") {
            rows.push((theirs.to_owned(), ours.to_owned()));
        }
    }
    rows
}

#[test]
fn every_row_has_its_test_and_lesson_3c_all_its_rows() {
    let rows = rows(DOCUMENT);
    for (theirs, ours) in &rows {
        let source = SOURCES.iter().find(|(path, _)| ours.starts_with(path));
        let (_, source) = source.unwrap_or_else(|| panic!("{theirs}: where is {ours}?"));
        let name = ours.rsplit("::").next().unwrap();
        assert!(source.contains(&format!("fn {name}(")), "{theirs}: there is no {ours}");
    }
    let labelled: Vec<_> = rows.iter().filter(|(theirs, _)| theirs.ends_with("3C")).collect();
    assert_eq!(labelled.len(), 22);
    assert!(labelled.iter().all(|(_, ours)| ours.contains("project3c")), "the target runs them");
}

#[test]
fn the_check_sees_rows() {
    let document = "| `TestA3C` | `scheduler::tests::project3c::a` |\n| b | `raft::b` |\n";
    assert_eq!(rows(document), [("TestA3C".into(), "scheduler::tests::project3c::a".into())]);
}
