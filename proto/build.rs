//! Compiles the .proto files into Rust, with protox in place of protoc.
//!
//! Out come one file per package, and `descriptors.bin`: the same words as data, for gRPC
//! reflection and for the test that holds them against docs/wire.md.

use std::error::Error;
use std::{env, fs, path::Path};

use prost::Message as _;

/// The folders of .proto files; every file in them is compiled.
const FOLDERS: [&str; 1] = ["tinykv"];

fn main() -> Result<(), Box<dyn Error>> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        println!("cargo::rerun-if-changed={folder}");
        for entry in fs::read_dir(folder)? {
            files.push(entry?.path());
        }
    }
    files.sort(); // the order of a directory differs from machine to machine

    let words = protox::compile(&files, ["."])?;
    let out = env::var("OUT_DIR")?;
    fs::write(Path::new(&out).join("descriptors.bin"), words.encode_to_vec())?;

    let with_stubs = env::var_os("CARGO_FEATURE_GRPC").is_some();
    tonic_prost_build::configure()
        .build_client(with_stubs)
        .build_server(with_stubs)
        .bytes(".") // every `bytes` field is a `bytes::Bytes`
        .compile_fds(words)?;
    Ok(())
}
