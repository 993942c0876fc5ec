//! Rules about documents: one title each, links that lead somewhere, commands that exist.

use std::path::Path;

use crate::{File, assert_none, files, root};

/// The lines of a document that are not inside a fenced block, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

fn check_title(file: &File) -> Option<String> {
    let titles = prose(&file.text).filter(|(_, line)| line.starts_with("# ")).count();
    (titles != 1).then(|| format!("{}: {titles} titles instead of one", file.path))
}

/// The targets of `[text](target)` links, outside code.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        // What stands between backticks is code.
        let outside: String = line.split('`').step_by(2).collect::<Vec<_>>().join("code");
        for rest in outside.split("](").skip(1) {
            if let Some((target, _)) = rest.split_once(')') {
                found.push((number + 1, target.to_owned()));
            }
        }
    }
    found
}

/// A heading's anchor, as hosts of repositories make it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().trim().to_lowercase().replace(' ', "-")
}

fn check_links(file: &File, read: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let folder = Path::new(&file.path).parent().unwrap_or(Path::new(""));
    let mut complaints = Vec::new();
    for (number, target) in links(&file.text) {
        if target.starts_with("https://") || target.starts_with("mailto:") {
            continue;
        }
        let (path, fragment) = target.split_once('#').unwrap_or((&target, ""));
        let path = if path.is_empty() { file.path.clone() } else { join(folder, path) };
        let Some(text) = read(&path) else {
            complaints.push(format!("{}:{number}: {target} leads nowhere", file.path));
            continue;
        };
        let headings = prose(&text).filter(|(_, line)| line.starts_with('#'));
        let mut anchors = headings.map(|(_, line)| anchor(line.trim_start_matches('#').trim()));
        if !fragment.is_empty() && !anchors.any(|anchor| anchor == fragment) {
            complaints.push(format!("{}:{number}: {target} names no heading", file.path));
        }
    }
    complaints
}

/// Joins and resolves `..` without asking the disk.
fn join(folder: &Path, target: &str) -> String {
    let mut parts: Vec<&str> = folder.to_str().unwrap_or_default().split('/').collect();
    parts.retain(|part| !part.is_empty());
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// Every `make x` that a document shows is a target of the Makefile.
fn check_commands(file: &File, makefile: &str) -> Vec<String> {
    let is_target = |name: &str| {
        let rules = makefile.lines().filter_map(|line| line.split_once(':'));
        rules.into_iter().any(|(names, _)| names.split(' ').any(|other| other == name))
    };
    let mut complaints = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        for code in line.split('`').skip(1).step_by(2) {
            let Some(words) = code.strip_prefix("make ") else { continue };
            let name = words.split([' ', '=']).next().unwrap_or_default();
            if !is_target(name) && !words.contains('<') {
                let line = number + 1;
                complaints.push(format!("{}:{line}: the Makefile has no {name}", file.path));
            }
        }
    }
    complaints
}

fn read(path: &str) -> Option<String> {
    let full = root().join(path);
    if full.is_dir() { Some(String::new()) } else { std::fs::read_to_string(full).ok() }
}

#[test]
fn every_document_has_one_title() {
    assert_none(files(&[".md"]).iter().filter_map(check_title));
}

#[test]
fn every_link_leads_somewhere() {
    assert_none(files(&[".md"]).iter().flat_map(|file| check_links(file, &read)));
}

#[test]
fn every_command_exists() {
    let makefile = read("Makefile").expect("there is one");
    assert_none(files(&[".md"]).iter().flat_map(|f| check_commands(f, &makefile)));
}

/// Every document is in the list of docs/README.md, which says who it is for.
#[test]
fn every_document_is_listed() {
    let index = read("docs/README.md").expect("there is one");
    let listed = |file: &File| {
        let name = file.path.trim_start_matches("docs/");
        name == "README.md" || index.contains(&format!("({name})"))
    };
    let docs = files(&[".md"]).into_iter().filter(|file| file.path.starts_with("docs/"));
    let missing = docs.filter(|file| !listed(file));
    assert_none(missing.map(|file| format!("docs/README.md does not list {}", file.path)));
}

#[test]
fn the_checks_of_documents_can_fail() {
    let file = |text: &str| File::new("docs/a.md", text);
    assert!(check_title(&file("# One\n## Two\n```\n# code\n```\n")).is_none());
    assert!(check_title(&file("# One\n# Two\n")).is_some());
    let there = |path: &str| (path == "docs/b.md").then(|| "# The head: `x`\n".to_owned());
    let links = "# A\n[b](b.md) [b](../docs/b.md#the-head-x) `[c](c.md)` [w](https://x.y)\n";
    assert_eq!(check_links(&file(links), &there), Vec::<String>::new());
    let broken = "# A\n[c](c.md) [b](b.md#foot)\n";
    let complaints = check_links(&file(broken), &there);
    assert_eq!(
        complaints,
        ["docs/a.md:2: c.md leads nowhere", "docs/a.md:2: b.md#foot names no heading"]
    );
    let commands = file("run `make test`, then `make nonsense SEED=1`, then `make project<N>`");
    let complaints = check_commands(&commands, "test: ## all\nlint:\n");
    assert_eq!(complaints, ["docs/a.md:1: the Makefile has no nonsense"]);
}
