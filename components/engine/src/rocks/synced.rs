//! How far the log is known to be on disk, written down outside the log.
//!
//! When the end of a write-ahead log is damaged, its reader cannot tell a tail that was never synced,
//! which may go, from one that was, which must not: a raft log that forgets an acknowledged entry
//! breaks the promise it made. So after each sync the sequence number that is durable now goes into a
//! small file beside the log, and opening compares.
//!
//! ```text
//! SYNCED:  sequence number u64   crc32 of it        little-endian
//! ```
//!
//! The file itself is not synced: that would double the cost of every write. It is written only after
//! the log was, so it never claims too much; after a power cut it may claim too little, which weakens
//! the check by what happened since the system last wrote the page back, and nothing else.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::{Error, Result};

const FILE_NAME: &str = "SYNCED";
const RECORD_BYTES: usize = 12;

/// The file, open for writing.
#[derive(Debug)]
pub(super) struct SyncedPosition {
    path: PathBuf,
    file: File,
    /// What it says, so that threads that overtake each other do not set it back.
    position: Mutex<u64>,
}

impl SyncedPosition {
    /// Opens the file of the engine in `dir`, or creates it.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let position = read(dir)?;
        let path = dir.join(FILE_NAME);
        let open = || {
            let mut options = OpenOptions::new();
            let file = options.write(true).create(true).truncate(false).mode(0o600).open(&path)?;
            // Once, so that the file has its size from now on, and is only overwritten in place.
            file.write_all_at(&encode(position), 0)?;
            file.sync_all()?;
            Ok(file)
        };
        let file =
            open().map_err(|source| Error::io(&path, "opening the synced position", source))?;
        Ok(SyncedPosition { path, file, position: Mutex::new(position) })
    }

    /// Notes that everything up to `position` is on disk.
    pub(super) fn record(&self, position: u64) -> Result<()> {
        let mut last = self.position.lock().expect("no thread panics while it records");
        if position <= *last {
            return Ok(());
        }
        self.file
            .write_all_at(&encode(position), 0)
            .map_err(|source| Error::io(&self.path, "writing the synced position", source))?;
        *last = position;
        Ok(())
    }
}

/// The position that the engine in `dir` had synced; 0 where none was written down, as in a new
/// directory or in a checkpoint.
pub(super) fn read(dir: &Path) -> Result<u64> {
    let path = dir.join(FILE_NAME);
    match fs::read(&path) {
        // What a power cut leaves of a file that was just created.
        Ok(content) if content.iter().all(|&byte| byte == 0) => Ok(0),
        Ok(content) => decode(&content).ok_or_else(|| Error::Corrupt {
            path,
            reason: "the record of how far the log was synced is damaged; if the rest of the \
                     directory is known to be whole, remove this file"
                .to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(source) => Err(Error::io(&path, "reading the synced position", source)),
    }
}

fn encode(position: u64) -> [u8; RECORD_BYTES] {
    let number = position.to_le_bytes();
    let mut record = [0; RECORD_BYTES];
    record[..8].copy_from_slice(&number);
    record[8..].copy_from_slice(&crc32fast::hash(&number).to_le_bytes());
    record
}

fn decode(content: &[u8]) -> Option<u64> {
    let (number, checksum) = content.split_first_chunk::<8>()?;
    let matches = checksum == crc32fast::hash(number).to_le_bytes();
    matches.then(|| u64::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_position_only_grows_and_survives() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), 0);
        let synced = SyncedPosition::open(dir.path()).unwrap();
        synced.record(7).unwrap();
        synced.record(5).unwrap();
        assert_eq!(read(dir.path()).unwrap(), 7);
        drop(synced);
        // A power cut right after the file was created leaves it empty.
        let other = tempfile::tempdir().unwrap();
        drop(File::create(other.path().join(FILE_NAME)).unwrap());
        assert_eq!(read(other.path()).unwrap(), 0);
        let again = SyncedPosition::open(dir.path()).unwrap();
        again.record(6).unwrap();
        assert_eq!(read(dir.path()).unwrap(), 7);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let record = encode(1 << 40);
        assert_eq!(decode(&record), Some(1 << 40));
        for bit in 0..RECORD_BYTES * 8 {
            let mut flipped = record;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&flipped), None, "bit {bit}");
        }
        assert_eq!(decode(&record[..11]), None);
    }
}
