//! What a data directory must look like before RocksDB sees it.
//!
//! RocksDB takes a directory without its file `CURRENT` for an empty one, starts afresh, and removes
//! what it does not know. So whether there is an engine is decided here, by everything an engine
//! leaves; and a file of our own, `ENGINE`, written before all others, says which engine it is. With it
//! a start that was cut off in the middle of creating the families is simply continued.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use rocksdb::{DB, Options};

use super::failure::on_open;
use super::{OpenMode, physical_name, synced};
use crate::{Error, Layout, Result};

/// The file that every RocksDB directory has.
const CURRENT: &str = "CURRENT";

/// The file that says which engine this is.
const ENGINE: &str = "ENGINE";

/// Whether an engine was ever created here, whatever state it is in now.
pub(super) fn holds_engine(path: &Path) -> bool {
    path.join(CURRENT).exists() || holds_data(path)
}

/// Whether there is data: RocksDB writes `CURRENT` before any of it.
fn holds_data(path: &Path) -> bool {
    let is_data = |name: &Path| name.extension().is_some_and(|e| e == "sst" || e == "log");
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| is_data(Path::new(&entry.file_name())))
        || synced::read(path).is_ok_and(|position| position > 0)
}

/// Creates the directory if it may, and refuses one that cannot be used. Answers whether it holds an
/// engine already.
pub(super) fn prepare(path: &Path, layout: Layout, mode: OpenMode) -> Result<bool> {
    let refuse = |reason: String| Error::Open { path: path.to_owned(), reason };
    if !path.exists() {
        match mode {
            OpenMode::MustExist => {
                return Err(refuse("the directory does not exist; check the path".to_owned()));
            }
            OpenMode::CreateIfMissing => {
                DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| {
                    refuse(format!(
                        "the directory could not be created ({error}); check the path and the \
                         rights on its parent"
                    ))
                })?;
            }
        }
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
    if !path.join(CURRENT).exists() && holds_data(path) {
        let reason =
            "the file CURRENT is missing, without which nothing can be found; nothing was \
                      deleted: restore the directory as a whole from a copy, or, if the store is \
                      replicated, remove it from the cluster and let it join again as a new one"
                .to_owned();
        return Err(Error::Corrupt { path: path.to_owned(), reason });
    }
    let holds_engine = path.join(CURRENT).exists();
    if !holds_engine && mode == OpenMode::MustExist {
        return Err(refuse("it holds no engine; check the path".to_owned()));
    }
    match fs::read_to_string(path.join(ENGINE)) {
        Ok(name) if name.trim_end() == layout.name() => {}
        Ok(name) => {
            let name = name.trim_end();
            return Err(refuse(format!(
                "it holds the {name} engine, not the {} engine; check the path",
                layout.name()
            )));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if holds_engine {
                check_families(path, layout)?;
            }
            write_name(path, layout)
                .map_err(|source| Error::io(path, "writing the file ENGINE", source))?;
        }
        Err(source) => return Err(Error::io(path, "reading the file ENGINE", source)),
    }
    Ok(holds_engine)
}

/// Says durably which engine this is.
fn write_name(path: &Path, layout: Layout) -> io::Result<()> {
    let mut file = File::create(path.join(ENGINE))?;
    file.write_all(format!("{}\n", layout.name()).as_bytes())?;
    file.sync_all()?;
    File::open(path)?.sync_all()?;
    // The directory may be new as well.
    path.parent().map_or(Ok(()), |parent| File::open(parent).and_then(|folder| folder.sync_all()))
}

/// An engine without a name, such as a checkpoint, or another program's database: its families tell.
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
