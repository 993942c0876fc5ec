//! What a data directory must look like before RocksDB sees it.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use rocksdb::{DB, Options};

use super::failure::on_open;
use super::{OpenMode, physical_name};
use crate::{Error, Layout, Result};

/// The file that every RocksDB directory has.
const CURRENT: &str = "CURRENT";

/// Creates the directory if it may, and refuses one that cannot be used. Answers whether it holds an
/// engine already.
pub(super) fn prepare(path: &Path, layout: Layout, mode: OpenMode) -> Result<bool> {
    let refuse = |reason: String| Error::Open { path: path.to_owned(), reason };
    if !path.exists() {
        return match mode {
            OpenMode::MustExist => {
                Err(refuse("the directory does not exist; check the path".to_owned()))
            }
            OpenMode::CreateIfMissing => {
                DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| {
                    refuse(format!(
                        "the directory could not be created ({error}); check the path and the \
                         rights on its parent"
                    ))
                })?;
                Ok(false)
            }
        };
    }
    let about = fs::metadata(path)
        .map_err(|error| refuse(format!("it could not be looked at ({error})")))?;
    if !about.is_dir() {
        return Err(refuse("it is a file; name a directory".to_owned()));
    }
    if about.permissions().mode() & 0o002 != 0 {
        return Err(refuse(
            "everybody on this machine may write to it; run `chmod o-w` on it first".to_owned(),
        ));
    }
    let holds_engine = path.join(CURRENT).exists();
    if holds_engine {
        check_families(path, layout)?;
    } else if mode == OpenMode::MustExist {
        return Err(refuse("it holds no engine; check the path".to_owned()));
    }
    Ok(holds_engine)
}

/// A kv engine must not be opened as a raft engine, nor another program's database as either.
fn check_families(path: &Path, layout: Layout) -> Result<()> {
    let mut found =
        DB::list_cf(&Options::default(), path).map_err(|error| on_open(path, &error))?;
    found.sort_unstable();
    let mut expected: Vec<_> =
        layout.families().iter().map(|&cf| physical_name(layout, cf)).collect();
    expected.sort_unstable();
    if found != expected {
        let reason = format!(
            "it holds the families {found:?} where {expected:?} are expected, so it belongs to \
             another program or to the other engine; check the path"
        );
        return Err(Error::Open { path: path.to_owned(), reason });
    }
    Ok(())
}
