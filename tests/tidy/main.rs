//! The repository checks itself: rules that no compiler knows, as tests.
//!
//! Each rule is a function from the tree to a list of complaints, and has a test beside it that shows
//! it complaining: a check that cannot fail proves nothing. Exceptions are listed by name, with the
//! reason, in the file of their rule.

mod course;
mod crates;
mod documents;
mod sources;

use std::fs;
use std::path::{Path, PathBuf};

/// A text file of the repository.
pub(crate) struct File {
    /// Relative to the root, with forward slashes.
    path: String,
    text: String,
}

impl File {
    #[cfg(test)]
    fn new(path: &str, text: &str) -> Self {
        File { path: path.to_owned(), text: text.to_owned() }
    }
}

pub(crate) fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests/ lies in the root").to_owned()
}

/// Every file below the root whose path ends in one of `endings`, in order of path.
pub(crate) fn files(endings: &[&str]) -> Vec<File> {
    files_where(&|path| endings.iter().any(|ending| path.ends_with(ending)))
}

/// Every file below the root whose path is wanted, in order of path. Those must be text.
pub(crate) fn files_where(wanted: &dyn Fn(&str) -> bool) -> Vec<File> {
    let mut found = Vec::new();
    collect(&root(), "", wanted, &mut found);
    found.sort_by(|left, right| left.path.cmp(&right.path));
    found
}

/// Folders that hold nothing of ours: what was built, what ran.
const NOT_OURS: [&str; 6] = [".git", "target", "bin", "data", "proptest-regressions", "corpus"];

fn collect(folder: &Path, prefix: &str, wanted: &dyn Fn(&str) -> bool, found: &mut Vec<File>) {
    for entry in fs::read_dir(folder).expect("the repository can be read") {
        let entry = entry.expect("the repository can be read");
        let name = entry.file_name().into_string().expect("our file names are text");
        let path = format!("{prefix}{name}");
        if entry.file_type().expect("the repository can be read").is_dir() {
            if !NOT_OURS.contains(&name.as_str()) {
                collect(&entry.path(), &format!("{path}/"), wanted, found);
            }
        } else if wanted(&path) {
            let text = fs::read_to_string(entry.path())
                .unwrap_or_else(|error| panic!("{path} is not text: {error}"));
            found.push(File { path, text });
        }
    }
}

/// Fails with every complaint on a line of its own.
pub(crate) fn assert_none(complaints: impl IntoIterator<Item = String>) {
    let complaints: Vec<String> = complaints.into_iter().collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
