//! Which crate may know which, and what every manifest has in common.

use std::collections::BTreeMap;

use toml::Table;

use crate::{File, assert_none, files};

/// The layers of ARCHITECTURE.md: each crate, and which of our crates it may use. Development
/// dependencies are free. A crate that is not in this list does not belong to the workspace yet.
const LAYERS: &[(&str, &[&str])] = &[
    // L0: words, bytes, and what a process stands on.
    ("proto", &[]),
    ("codec", &[]),
    ("runtime", &[]),
    // L1: one group's consensus; one node's disk.
    ("raft", &["proto", "runtime"]),
    ("engine", &["runtime"]),
    // L2: regions.
    ("raftstore", &["raft", "engine", "codec", "proto", "runtime"]),
    // L3: services over a region, or over the wire.
    ("storage", &["raftstore", "engine", "codec", "proto", "runtime"]),
    ("coprocessor", &["storage", "codec", "proto"]),
    ("client", &["proto", "codec", "runtime"]),
    // L3: what the processes have in common.
    ("program", &["runtime"]),
    // L4: processes.
    ("scheduler", &["engine", "program", "proto", "runtime"]),
    (
        "server",
        &[
            "proto",
            "codec",
            "runtime",
            "raft",
            "engine",
            "raftstore",
            "storage",
            "coprocessor",
            "client",
            "program",
        ],
    ),
];

/// Programs and proof stand above everything and may use everything.
const ON_TOP: &[&str] = &["bench", "ctl", "playground", "raft-bench", "rounds", "sim", "tests"];

/// Libraries that only some crates may know, so that what they stand for stays in one place.
const RESERVED: &[(&str, &[&str])] = &[
    ("rocksdb", &["engine"]),
    (
        "tonic",
        &[
            "proto",
            "client",
            "program",
            "scheduler",
            "server",
            "bench",
            "ctl",
            "playground",
            "tests",
        ],
    ),
    ("axum", &["scheduler", "server"]),
    (
        "prost",
        &["proto", "raft", "raftstore", "coprocessor", "scheduler", "server", "sim", "raft-bench"],
    ),
];

struct Manifest {
    folder: String,
    table: Table,
}

fn manifests() -> Vec<Manifest> {
    let parse = |file: File| Manifest {
        folder: file.path.trim_end_matches("/Cargo.toml").to_owned(),
        table: file.text.parse().expect("cargo read it, so it is TOML"),
    };
    let members = |file: &File| file.path != "Cargo.toml";
    files(&["Cargo.toml"]).into_iter().filter(members).map(parse).collect()
}

impl Manifest {
    fn name(&self) -> &str {
        self.table["package"]["name"].as_str().expect("a package has a name")
    }

    fn dependencies(&self, section: &str) -> Vec<&str> {
        self.table
            .get(section)
            .and_then(|section| section.as_table())
            .map_or(Vec::new(), |table| table.keys().map(String::as_str).collect())
    }
}

fn check_layers(manifests: &[Manifest]) -> Vec<String> {
    let layers: BTreeMap<_, _> = LAYERS.iter().copied().collect();
    let ours = |name: &str| layers.contains_key(name) || ON_TOP.contains(&name);
    let mut complaints = Vec::new();
    for manifest in manifests {
        let name = manifest.name();
        if ON_TOP.contains(&name) {
            continue;
        }
        let Some(allowed) = layers.get(name) else {
            complaints.push(format!("{name}: give the crate a layer in tests/tidy/crates.rs"));
            continue;
        };
        for dependency in manifest.dependencies("dependencies") {
            if ours(dependency) && !allowed.contains(&dependency) {
                complaints.push(format!("{name} may not use {dependency}: it is not below it"));
            }
        }
    }
    complaints
}

fn check_reserved(manifests: &[Manifest]) -> Vec<String> {
    let mut complaints = Vec::new();
    for manifest in manifests {
        for (library, users) in RESERVED {
            let uses = manifest.dependencies("dependencies").contains(library);
            if uses && !users.contains(&manifest.name()) {
                complaints.push(format!("{} may not use {library}", manifest.name()));
            }
        }
    }
    complaints
}

fn check_common(manifest: &Manifest) -> Vec<String> {
    let mut complaints = Vec::new();
    let name = manifest.name();
    let folder = manifest.folder.rsplit('/').next().unwrap_or_default();
    if folder != name && !name.ends_with(&format!("-{folder}")) {
        complaints
            .push(format!("{}: a package is named as its folder, not {name}", manifest.folder));
    }
    let inherited = |section: &str, key: &str| {
        let value = manifest.table.get(section).and_then(|table| table.get(key));
        value.and_then(|value| value.get("workspace")).and_then(toml::Value::as_bool) == Some(true)
    };
    for key in ["version", "edition", "rust-version", "license", "publish"] {
        if !inherited("package", key) {
            complaints.push(format!("{name}: take {key} from the workspace"));
        }
    }
    let lints = manifest.table.get("lints").and_then(|lints| lints.get("workspace"));
    if lints.and_then(toml::Value::as_bool) != Some(true) {
        complaints.push(format!("{name}: take the lints from the workspace"));
    }
    complaints
}

/// Clippy reads only the nearest `clippy.toml`, so the common part stands in each.
fn check_clippy(files: &[File]) -> Vec<String> {
    let shared = |file: &File| {
        let (_, rest) = file.text.split_once("# --- shared by every clippy.toml ---")?;
        rest.split_once("# --- end of the shared part ---").map(|(shared, _)| shared.to_owned())
    };
    let Some(expected) = files.iter().find(|file| file.path == "clippy.toml").and_then(shared)
    else {
        return vec!["clippy.toml: the marks of the shared part are missing".to_owned()];
    };
    let differs = |file: &&File| shared(file).as_ref() != Some(&expected);
    let complain = |file: &File| format!("{}: the shared part differs from clippy.toml", file.path);
    files.iter().filter(differs).map(complain).collect()
}

#[test]
fn no_crate_looks_upwards() {
    assert_none(check_layers(&manifests()));
}

#[test]
fn reserved_libraries_stay_where_they_belong() {
    assert_none(check_reserved(&manifests()));
}

#[test]
fn manifests_take_what_is_common_from_the_workspace() {
    assert_none(manifests().iter().flat_map(check_common));
}

#[test]
fn the_shared_part_of_every_clippy_file_is_the_same() {
    assert_none(check_clippy(&files(&["clippy.toml"])));
}

#[test]
fn no_toolchain_is_pinned() {
    // A pinned name that a machine lacks would have to be downloaded; rust-version says what is needed.
    assert_none(files(&["rust-toolchain", "rust-toolchain.toml"]).into_iter().map(|f| f.path));
}

#[test]
fn the_checks_of_manifests_can_fail() {
    let manifest = |folder: &str, text: &str| Manifest {
        folder: folder.to_owned(),
        table: text.parse().expect("written here"),
    };
    let raft = manifest(
        "components/raft",
        "[package]\nname = 'raft'\n[dependencies]\nstorage = {}\nrocksdb = '1'",
    );
    assert_eq!(check_layers(&[raft]), ["raft may not use storage: it is not below it"]);
    let raft =
        manifest("components/raft", "[package]\nname = 'raft'\n[dependencies]\nrocksdb = '1'");
    assert_eq!(check_reserved(&[raft]), ["raft may not use rocksdb"]);
    let util = manifest("components/util", "[package]\nname = 'common'");
    assert_eq!(check_layers(std::slice::from_ref(&util)).len(), 1);
    assert_eq!(check_common(&util).len(), 7);
    let clippy = |path: &str, ban: &str| {
        let text = format!(
            "# --- shared by every clippy.toml ---\n{ban}\n# --- end of the shared part ---"
        );
        File::new(path, &text)
    };
    assert_eq!(
        check_clippy(&[clippy("clippy.toml", "a"), clippy("raft/clippy.toml", "a")]).len(),
        0
    );
    assert_eq!(
        check_clippy(&[clippy("clippy.toml", "a"), clippy("raft/clippy.toml", "b")]).len(),
        1
    );
    assert_eq!(check_clippy(&[]).len(), 1);
}
