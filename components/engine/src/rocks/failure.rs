//! What RocksDB's errors mean to us.

use std::io;
use std::path::{Path, PathBuf};

use rocksdb::ErrorKind;

use crate::Error;

/// An error of a read.
pub(super) fn on_read(path: &Path, error: &rocksdb::Error) -> Error {
    translate(path, "reading", error)
}

/// An error of a write, a sync, a flush.
pub(super) fn on_write(path: &Path, doing: &'static str, error: &rocksdb::Error) -> Error {
    translate(path, doing, error)
}

/// An error of taking files in. One that is damaged says nothing about the engine.
pub(super) fn on_ingest(path: &Path, file: &Path, error: &rocksdb::Error) -> Error {
    if error.kind() == ErrorKind::Corruption {
        let reason = format!("{error}; fetch the file again from where it came from");
        return Error::Corrupt { path: file.to_owned(), reason };
    }
    translate(path, "taking files in", error)
}

/// An error of opening. A file that is missing is damage here; a lock that is held is another process.
pub(super) fn on_open(path: &Path, error: &rocksdb::Error) -> Error {
    let message = error.to_string();
    if message.contains("lock file") || message.contains("lock hold") {
        return Error::Locked { path: path.to_owned() };
    }
    if error.kind() == ErrorKind::IOError && message.contains("No such file") {
        return corrupt(path, &message);
    }
    if error.kind() == ErrorKind::IOError && message.contains("Permission denied") {
        let reason = format!("{message}; give the user of this process the right to write there");
        return Error::Open { path: path.to_owned(), reason };
    }
    translate(path, "opening the engine", error)
}

fn translate(path: &Path, doing: &'static str, error: &rocksdb::Error) -> Error {
    let message = error.to_string();
    match error.kind() {
        ErrorKind::Corruption => corrupt(path, &message),
        ErrorKind::InvalidArgument | ErrorKind::NotSupported => Error::invalid(message),
        ErrorKind::NotFound
        | ErrorKind::IOError
        | ErrorKind::MergeInProgress
        | ErrorKind::Incomplete
        | ErrorKind::ShutdownInProgress
        | ErrorKind::TimedOut
        | ErrorKind::Aborted
        | ErrorKind::Busy
        | ErrorKind::Expired
        | ErrorKind::TryAgain
        | ErrorKind::CompactionTooLarge
        | ErrorKind::ColumnFamilyDropped
        | ErrorKind::Unknown => Error::io(path, doing, io::Error::other(message)),
    }
}

fn corrupt(path: &Path, message: &str) -> Error {
    let reason = format!(
        "{message}; nothing was deleted: copy the directory away, then let this store start with an \
         empty one and fetch its regions from the others, or restore a backup"
    );
    Error::Corrupt { path: file_named_in(message).unwrap_or_else(|| path.to_owned()), reason }
}

/// RocksDB names the damaged file inside its message, as in "... in /data/kv/000012.sst offset 0".
fn file_named_in(message: &str) -> Option<PathBuf> {
    let is_file = |word: &&str| {
        word.starts_with('/')
            && [".sst", ".log"].iter().any(|ending| word.ends_with(ending))
            && word.len() > ".sst".len()
    };
    let trim = |word: &'_ str| word.trim_end_matches([':', ',', ';', '.']).to_owned();
    message.split_whitespace().map(trim).find(|word| is_file(&word.as_str())).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_damaged_file_is_found_in_the_message() {
        let cases = [
            (
                "Corruption: block checksum mismatch in /d/kv/000012.sst offset 0",
                Some("/d/kv/000012.sst"),
            ),
            ("Corruption: bad record in /d/kv/000003.log: 7 bytes", Some("/d/kv/000003.log")),
            ("Corruption: no file is named", None),
            ("see .sst", None),
        ];
        for (message, file) in cases {
            assert_eq!(file_named_in(message), file.map(PathBuf::from), "{message}");
        }
    }
}
