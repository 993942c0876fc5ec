//! A snapshot's files as a stream of chunks, and back.
//!
//! ```text
//! files    [   default: 7   ][ lock: 0 ][ write: 3 ]        the order is that of the announcement
//! chunks   [  3  ][  3  ][ 1 ]          [    3     ]        a chunk never reaches into the next file
//! ```
//!
//! The receiver knows all sizes beforehand, so it takes any cut of the stream, and no byte too many.

use std::fs::File;
use std::io::{self, Read, Write};

use bytes::Bytes;
use proto::raft_serverpb::RaftSnapshotData;

use super::error::{Error, Result};
use super::key::{Side, SnapId, SnapKey};
use super::manager::{Hold, SnapManager, Writing};
use super::meta::{FileMeta, Manifest};

/// The size of a chunk that fits well into a message.
pub const CHUNK_BYTES: usize = 1 << 20;

/// A built snapshot on its way out, chunk by chunk.
///
/// After an error, or when all is sent, there are no more chunks. A file that is no longer what was
/// built condemns the snapshot, so that it is built again when it is asked for again.
#[derive(Debug)]
pub struct Outgoing {
    hold: Hold,
    chunk_bytes_max: usize,
    /// The place of the next file to open.
    next: usize,
    open: Option<OpenFile>,
    failed: bool,
}

/// A file that is read.
#[derive(Debug)]
struct OpenFile {
    meta: FileMeta,
    file: File,
    left: u64,
    checksum: crc32fast::Hasher,
}

impl Outgoing {
    /// Begins to send the snapshot `key`, which must be the one that `data` announces, in chunks of at
    /// most `chunk_bytes_max` bytes.
    pub fn open(
        manager: &SnapManager,
        key: SnapKey,
        data: &RaftSnapshotData,
        chunk_bytes_max: usize,
    ) -> Result<Self> {
        let hold = manager.hold_to_send(key, &Manifest::announced(key, data)?)?;
        let chunk_bytes_max = chunk_bytes_max.max(1);
        Ok(Outgoing { hold, chunk_bytes_max, next: 0, open: None, failed: false })
    }

    fn next_chunk(&mut self) -> Result<Option<Bytes>> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => match self.open_next()? {
                Some(open) => open,
                None => return Ok(None),
            },
        };
        let path = self.hold.folder().path(self.hold.name(open.meta.cf));
        let length = usize::try_from(open.left).unwrap_or(usize::MAX).min(self.chunk_bytes_max);
        let mut chunk = vec![0; length];
        open.file.read_exact(&mut chunk).map_err(|source| {
            if source.kind() == io::ErrorKind::UnexpectedEof {
                return Error::damaged(&path, "it became shorter");
            }
            Error::io(&path, "reading a snapshot file", source)
        })?;
        open.checksum.update(&chunk);
        open.left -= length as u64;
        if open.left > 0 {
            self.open = Some(open);
        } else {
            let size = open.meta.size;
            open.meta.check(&path, size, open.checksum.finalize())?;
        }
        Ok(Some(chunk.into()))
    }

    /// Opens the next file that is not empty.
    fn open_next(&mut self) -> Result<Option<OpenFile>> {
        let files = &self.hold.manifest().files()[self.next..];
        let Some(skipped) = files.iter().position(|file| file.size > 0) else { return Ok(None) };
        let meta = files[skipped];
        self.next += skipped + 1;
        let name = self.hold.name(meta.cf);
        let (file, size) = self.hold.folder().open_file(name)?;
        // The checksum is known when the file is read; the size tells most damage before.
        meta.check(&self.hold.folder().path(name), size, meta.checksum)?;
        Ok(Some(OpenFile { meta, file, left: size, checksum: crc32fast::Hasher::new() }))
    }
}

impl Iterator for Outgoing {
    type Item = Result<Bytes>;

    fn next(&mut self) -> Option<Result<Bytes>> {
        if self.failed {
            return None;
        }
        let chunk = self.next_chunk();
        if let Err(error) = &chunk {
            self.failed = true;
            if let Error::Damaged { .. } = error {
                self.hold.condemn();
            }
        }
        chunk.transpose()
    }
}

/// A snapshot that arrives. Dropped before it is finished, it leaves nothing behind.
#[derive(Debug)]
pub struct Incoming {
    writing: Writing,
    manifest: Manifest,
    /// The place of the file that the next byte belongs to.
    place: usize,
    /// That file, once it has begun.
    file: Option<Arriving>,
    failed: bool,
}

/// A file that is written.
#[derive(Debug)]
struct Arriving {
    file: File,
    written: u64,
    checksum: crc32fast::Hasher,
}

impl Incoming {
    /// Begins to receive the snapshot `key` that `data` announces. `None` says that it is here
    /// already, as a check of all its files has shown.
    ///
    /// A snapshot is received once at a time: a second attempt is refused as busy. Another snapshot
    /// of the same name is replaced, unless it is in use.
    pub fn open(
        manager: &SnapManager,
        key: SnapKey,
        data: &RaftSnapshotData,
    ) -> Result<Option<Self>> {
        let manifest = Manifest::announced(key, data)?;
        manager.check_fits(&manifest)?;
        let id = SnapId { key, side: Side::Received };
        match manager.hold_exactly(id, &manifest).and_then(|hold| hold.check()) {
            Ok(()) => return Ok(None),
            // A damaged one goes away with its last user; another one of this name is in the way.
            Err(Error::Damaged { .. } | Error::Missing { .. }) => manager.delete(key, id.side)?,
            Err(error) => return Err(error),
        }
        let writing = manager.write(id, manifest.bytes())?;
        let mut incoming = Incoming { writing, manifest, place: 0, file: None, failed: false };
        incoming.skip_empty();
        Ok(Some(incoming))
    }

    /// Takes the next bytes. After an error there is nothing to do but to drop it.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let outcome = self.take(bytes);
        self.failed |= outcome.is_err();
        outcome
    }

    /// Everything has arrived: from now on the snapshot is there, whatever happens.
    pub fn finish(self) -> Result<()> {
        if let Some(meta) = self.manifest.files().get(self.place) {
            let path = self.writing.folder().path(self.writing.name(meta.cf));
            let written = self.file.as_ref().map_or(0, |file| file.written);
            let why = format!("{written} of {} bytes arrived", meta.size);
            return Err(Error::damaged(&path, why));
        }
        if self.failed {
            return Err(Error::Invalid("more bytes than were announced".to_owned()));
        }
        self.writing.complete(self.manifest)
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<()> {
        if self.failed {
            return Err(Error::Invalid("bytes after an error".to_owned()));
        }
        while !bytes.is_empty() {
            let Some(&meta) = self.manifest.files().get(self.place) else {
                return Err(Error::Invalid("more bytes than were announced".to_owned()));
            };
            let mut file = match self.file.take() {
                Some(file) => file,
                None => Arriving::create(&self.writing, meta)?,
            };
            let room = usize::try_from(meta.size - file.written).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            let path = self.writing.folder().path(self.writing.name(meta.cf));
            file.write(now).map_err(|source| Error::io(&path, "writing a chunk", source))?;
            bytes = later;
            if file.written < meta.size {
                self.file = Some(file);
            } else {
                let Arriving { file, written, checksum } = file;
                meta.check(&path, written, checksum.finalize())?;
                file.sync_all()
                    .map_err(|source| Error::io(&path, "syncing a snapshot file", source))?;
                self.place += 1;
                self.skip_empty();
            }
        }
        Ok(())
    }

    /// Empty families have no file, and no byte that could begin one.
    fn skip_empty(&mut self) {
        let rest = &self.manifest.files()[self.place..];
        self.place += rest.iter().take_while(|file| file.size == 0).count();
    }
}

impl Arriving {
    fn create(writing: &Writing, meta: FileMeta) -> Result<Self> {
        let file = writing.folder().create(writing.name(meta.cf))?;
        Ok(Arriving { file, written: 0, checksum: crc32fast::Hasher::new() })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.checksum.update(bytes);
        self.written += bytes.len() as u64;
        Ok(())
    }
}

/// Moves a snapshot between two stores of one process.
pub fn transfer(
    from: &SnapManager,
    to: &SnapManager,
    key: SnapKey,
    data: &RaftSnapshotData,
) -> Result<()> {
    let Some(mut incoming) = Incoming::open(to, key, data)? else { return Ok(()) };
    for chunk in Outgoing::open(from, key, data, CHUNK_BYTES)? {
        incoming.push(&chunk?)?;
    }
    incoming.finish()
}
