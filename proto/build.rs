//! Compiles the .proto files into Rust, with protox in place of protoc.
//!
//! Out come one file per package, and `descriptors.bin`: the same words as data, for gRPC
//! reflection and for the test that holds them against docs/wire.md.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message as _;
use prost_types::FileDescriptorSet;

/// The folders of .proto files; every file in them is compiled.
const FOLDERS: [&str; 4] = ["tinykv", "tipb", "etcd", "tinykvext"];

/// Messages that are large and rarely there: a field of such a type is a pointer, so that an
/// answer without an error, or a pair of a scan, is not mostly room for one.
const BOXED: [&str; 2] = [".errorpb.Error", ".kvrpcpb.KeyError"];

/// A choice whose members are pointers: a batch of requests that say nothing must not take a hundred times
/// the room that it took on the wire.
const THIN: &str = ".tinykvext.BatchedRequest.request";

/// Fields that would be called `peer_ur_ls` and `client_ur_ls` in Rust, and their better names.
const RENAMED: [(&str, &str); 2] = [("peerURLs", "peer_urls"), ("clientURLs", "client_urls")];

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = protox::compile(files()?, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), words.encode_to_vec())?;

    // From here on it is only about Rust.
    rename(&mut words);
    let with_stubs = env::var_os("CARGO_FEATURE_GRPC").is_some();
    let mut compiler = tonic_prost_build::configure()
        .build_client(with_stubs)
        .build_server(with_stubs)
        .build_transport(false) // who connects and listens is the business of others
        .bytes("."); // every `bytes` field is a `bytes::Bytes`
    for field in fields_of(&words, &BOXED).into_iter().chain([THIN.to_owned()]) {
        compiler = compiler.boxed(field);
    }
    compiler.compile_fds(words)?;
    Ok(())
}

/// All .proto files, sorted: the order of a folder differs from machine to machine.
fn files() -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        println!("cargo::rerun-if-changed={folder}");
        for entry in fs::read_dir(Path::new(folder))? {
            files.push(entry?.path());
        }
    }
    files.sort();
    Ok(files)
}

/// The paths of all fields that have one of these types. Repeated ones may be among them; they
/// are behind a pointer already, and the compiler leaves them as they are.
fn fields_of(words: &FileDescriptorSet, types: &[&str]) -> Vec<String> {
    let mut paths = Vec::new();
    for file in &words.file {
        for message in &file.message_type {
            for field in message.field.iter().filter(|field| types.contains(&field.type_name())) {
                paths.push(format!(".{}.{}.{}", file.package(), message.name(), field.name()));
            }
        }
    }
    paths
}

/// Gives the fields of `RENAMED` the names that they shall have in Rust.
fn rename(words: &mut FileDescriptorSet) {
    let messages = words.file.iter_mut().flat_map(|file| &mut file.message_type);
    for field in messages.flat_map(|message| &mut message.field) {
        if let Some((_, better)) = RENAMED.iter().find(|(name, _)| *name == field.name()) {
            field.name = Some((*better).to_owned());
        }
    }
}
