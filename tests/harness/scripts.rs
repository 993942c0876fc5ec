//! Golden scripts: the stories of a folder, each told by a runner of its own.

use std::fs;
use std::path::Path;

use goldenscript::Runner;

/// Runs every script in a folder, and returns how many there are. Each must say in its first line what it
/// shows.
pub fn run_all<R: Runner>(folder: &Path, runner: impl Fn() -> R) -> usize {
    let entries = fs::read_dir(folder).expect("the scripts are there");
    let mut paths: Vec<_> = entries.map(|file| file.expect("they can be read").path()).collect();
    paths.sort();
    for path in &paths {
        let text = fs::read_to_string(path).expect("scripts are text");
        assert!(text.starts_with("# "), "{}: says what it shows", path.display());
        if let Err(error) = goldenscript::run(&mut runner(), path) {
            panic!("{}: {error}", path.display());
        }
    }
    paths.len()
}
