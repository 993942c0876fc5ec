//! Is `docs/course.md` true? Every test that it names exists, and every test of the course's lessons is
//! named by it, once.

use std::collections::BTreeMap;

use crate::{File, assert_none, files};

/// A row of the document: a test of the course, and what stands for it here.
#[derive(Debug, PartialEq)]
struct Row<'a> {
    theirs: &'a str,
    ours: &'a str,
}

/// Files whose tests all stand for one of the course, which is called the same but for the label: how
/// their paths begin in the document, the label, and how many tests there are.
const PORTED: [(&str, &str, &str, usize); 19] = [
    ("components/storage/src/tests/project1.rs", "storage::tests::project1", "1", 10),
    ("components/raft/src/tests/project2aa.rs", "raft::tests::project2aa", "2AA", 24),
    ("components/raft/src/tests/project2ab/paper.rs", "raft::tests::project2ab::paper", "2AB", 11),
    (
        "components/raft/src/tests/project2ab/replication.rs",
        "raft::tests::project2ab::replication",
        "2AB",
        15,
    ),
    ("components/raft/src/tests/project2ac.rs", "raft::tests::project2ac", "2AC", 2),
    ("components/raft/src/tests/project2c.rs", "raft::tests::project2c", "2C", 7),
    ("components/raft/src/tests/project3a.rs", "raft::tests::project3a", "3A", 16),
    ("components/storage/src/tests/project4a.rs", "storage::tests::project4a", "4A", 15),
    ("components/storage/src/tests/project4b.rs", "storage::tests::project4b", "4B", 24),
    ("components/storage/src/tests/project4c.rs", "storage::tests::project4c", "4C", 22),
    ("components/storage/src/tests/unlabelled.rs", "storage::tests::unlabelled", "", 4),
    ("tests/course/project2b.rs", "course::project2b", "2B", 11),
    ("tests/course/project2c.rs", "course::project2c", "2C", 6),
    ("tests/course/project3b.rs", "course::project3b", "3B", 16),
    ("tests/course/unlabelled.rs", "course::unlabelled", "", 1),
    ("components/raftstore/src/tests/course_storage.rs", "raftstore::tests::course_storage", "", 5),
    ("components/raftstore/src/tests/course_util.rs", "raftstore::tests::course_util", "", 4),
    ("components/raftstore/src/tests/course_workers.rs", "raftstore::tests::course_workers", "", 2),
    (
        "components/raftstore/src/snapshot/tests/course.rs",
        "raftstore::snapshot::tests::course",
        "",
        4,
    ),
];

fn rows(document: &str) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    for line in document.lines() {
        let cells: Vec<&str> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        if let ["", theirs, ours, ""] = cells[..]
            && theirs.contains("Test")
            && ours.contains("::")
            && !ours.contains(' ')
        {
            rows.push(Row { theirs, ours });
        }
    }
    rows
}

/// The tests in a source text.
fn tests(source: &str) -> Vec<&str> {
    let after_attribute = source.split("#[test]\n").skip(1);
    after_attribute
        .filter_map(|text| text.trim_start().strip_prefix("fn ")?.split('(').next())
        .collect()
}

/// The files in which a test may be: that of its module, or, where the module is a part of a file, that
/// of a module around it.
fn places(ours: &str) -> Vec<String> {
    let mut modules: Vec<&str> = ours.split("::").collect();
    modules.pop();
    let folder = match modules.remove(0) {
        "course" => "tests/course".to_owned(),
        "served" => "components/scheduler/tests/served".to_owned(),
        name => format!("components/{name}/src"),
    };
    let mut places = Vec::new();
    while !modules.is_empty() {
        let path = format!("{folder}/{}", modules.join("/"));
        places.extend([format!("{path}.rs"), format!("{path}/mod.rs")]);
        modules.pop();
    }
    places.extend([format!("{folder}/lib.rs"), format!("{folder}/main.rs")]);
    places
}

fn check_exists(row: &Row<'_>, sources: &BTreeMap<&str, &str>) -> Option<String> {
    let name = row.ours.rsplit("::").next().unwrap_or_default();
    let is_there = places(row.ours).iter().any(|place| {
        let text = sources.get(place.as_str()).copied().unwrap_or_default();
        text.contains(&format!("fn {name}("))
    });
    (!is_there).then(|| format!("docs/course.md: there is no test {}", row.ours))
}

/// A name in lower case and without separators.
fn plain(name: &str) -> String {
    name.replace('_', "").to_lowercase()
}

fn check_ported(rows: &[Row<'_>], module: &str, label: &str, tests: &[&str]) -> Vec<String> {
    let mut complaints = Vec::new();
    for name in tests {
        let ours = format!("{module}::{name}");
        let named: Vec<_> = rows.iter().filter(|row| row.ours == ours).collect();
        let [row] = named[..] else {
            complaints.push(format!("docs/course.md: {} rows name {ours}", named.len()));
            continue;
        };
        let theirs = plain(row.theirs.strip_suffix(label).unwrap_or_default());
        if theirs.is_empty() || !format!("test{}", plain(name)).starts_with(&theirs) {
            complaints.push(format!("docs/course.md: is {} really {ours}?", row.theirs));
        }
    }
    complaints
}

fn document() -> File {
    let mut found = files(&["docs/course.md"]);
    found.pop().expect("the document is there")
}

#[test]
fn every_row_has_its_test() {
    let (document, sources) = (document(), files(&[".rs"]));
    let texts = sources.iter().map(|file| (file.path.as_str(), file.text.as_str())).collect();
    assert_none(rows(&document.text).iter().filter_map(|row| check_exists(row, &texts)));
}

#[test]
fn every_ported_test_has_its_row() {
    let (document, sources) = (document(), files(&[".rs"]));
    let rows = rows(&document.text);
    for (path, module, label, count) in PORTED {
        let file = sources.iter().find(|file| file.path == path).expect("the file is there");
        let tests = tests(&file.text);
        assert_eq!(tests.len(), count, "tests in {path}");
        assert_none(check_ported(&rows, module, label, &tests));
    }
}

/// The tests of this lesson lie in modules of one file, which `make project3c` runs.
#[test]
fn lesson_3c_has_all_its_rows() {
    let document = document();
    let rows = rows(&document.text);
    let of_lesson: Vec<_> = rows.iter().filter(|row| row.theirs.ends_with("3C")).collect();
    assert_eq!(of_lesson.len(), 22);
    assert!(of_lesson.iter().all(|row| row.ours.contains("project3c")), "{of_lesson:?}");
}

/// The course's tests that rows name in their first cell. Some are called the same, so each counts.
fn named(rows: &str) -> usize {
    let cells = rows.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let words = cells.flat_map(|cell| cell.split(|letter: char| !letter.is_alphanumeric()));
    words.filter(|word| word.starts_with("Test")).count()
}

#[test]
fn all_other_tests_of_the_scheduler_have_a_test_or_a_reason() {
    let document = document();
    let (_, rest) = document.text.split_once("Without a label, 102 tests.").expect("the table");
    assert_eq!(named(rest), 102);
    let is_answered = |line: &&str| line.contains("| none: ") || line.contains("::");
    let rows = rest.lines().filter(|line| line.contains("Test"));
    assert_none(rows.filter(|line| !is_answered(line)).map(str::to_owned));
}

#[test]
fn the_checks_of_the_course_can_fail() {
    let document = "| `TestA2B` | `course::project2b::a` |\n| no row | `x::y` |\n| a | b | c |\n\
                    | `TestB` | none: it is in `x::y` |\n";
    let found = rows(document);
    assert_eq!(found, [Row { theirs: "TestA2B", ours: "course::project2b::a" }]);
    assert_eq!(
        named("| a/b_test.go: TestA, TestB (x) | `y::test_c` |\nTestD\n| TestA | none: no |"),
        3
    );
    let with = |text| BTreeMap::from([("tests/course/project2b.rs", text)]);
    assert_eq!(check_exists(&found[0], &with("#[test]\nfn a() {}")), None);
    assert!(check_exists(&found[0], &with("#[test]\nfn b() {}")).is_some());
    assert_eq!(tests("#[test]\nfn a() {}\nfn helper() {}\n#[test]\nfn b() {}"), ["a", "b"]);
    assert!(check_ported(&found, "course::project2b", "2B", &["a"]).is_empty());
    assert_eq!(check_ported(&found, "course::project2b", "2B", &["a", "b"]).len(), 1);
    assert_eq!(check_ported(&found, "course::project2b", "3B", &["a"]).len(), 1);
    let twice =
        rows("| `TestA2B` | `course::project2b::a` |\n| `TestB2B` | `course::project2b::a` |");
    assert_eq!(check_ported(&twice, "course::project2b", "2B", &["a"]).len(), 1);
}
