//! The sorted files of the engines in memory.
//!
//! RocksDB has a format of its own; these engines need only something that can be written in order,
//! read back, and told from damage:
//!
//! ```text
//! (key length u32, value length u32, key, value)*   u32::MAX   number of keys u64   crc32 of all before
//! ```
//!
//! All numbers are little-endian.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use bytes::{Buf, Bytes};

use crate::{Error, Result, SstInfo, SstWriter};

/// Stands where a key's length would, after the last key.
const END: u32 = u32::MAX;

/// Writes one file.
pub(crate) struct FileWriter {
    path: PathBuf,
    out: BufWriter<File>,
    checksum: crc32fast::Hasher,
    size_bytes: u64,
    keys: u64,
    last: Vec<u8>,
}

impl FileWriter {
    /// Starts a file that must not exist.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let file = File::create_new(path)
            .map_err(|source| Error::io(path, "creating a sorted file", source))?;
        Ok(FileWriter {
            path: path.to_owned(),
            out: BufWriter::new(file),
            checksum: crc32fast::Hasher::new(),
            size_bytes: 0,
            keys: 0,
            last: Vec::new(),
        })
    }

    /// Completes the file, which may be empty here: a checkpoint has a file for every family.
    pub(crate) fn close(mut self) -> Result<SstInfo> {
        self.emit(&END.to_le_bytes())?;
        self.emit(&self.keys.to_le_bytes())?;
        let checksum = self.checksum.clone().finalize();
        self.emit(&checksum.to_le_bytes())?;
        self.out
            .flush()
            .and_then(|()| self.out.get_ref().sync_all())
            .map_err(|source| Error::io(&self.path, "completing a sorted file", source))?;
        Ok(SstInfo { size_bytes: self.size_bytes, keys: self.keys })
    }

    fn emit(&mut self, bytes: &[u8]) -> Result<()> {
        self.checksum.update(bytes);
        self.size_bytes += bytes.len() as u64;
        self.out
            .write_all(bytes)
            .map_err(|source| Error::io(&self.path, "writing a sorted file", source))
    }
}

impl SstWriter for FileWriter {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if self.keys > 0 && key <= self.last.as_slice() {
            return Err(Error::invalid("keys of a sorted file must ascend"));
        }
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).ok().filter(|&length| length < END);
        let (Some(key_length), Some(value_length)) = (length(key), length(value)) else {
            return Err(Error::invalid("a key or value is too long for a sorted file"));
        };
        self.emit(&key_length.to_le_bytes())?;
        self.emit(&value_length.to_le_bytes())?;
        self.emit(key)?;
        self.emit(value)?;
        self.keys += 1;
        self.last.clear();
        self.last.extend_from_slice(key);
        Ok(())
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn finish(self: Box<Self>) -> Result<SstInfo> {
        if self.keys == 0 {
            return Err(Error::invalid("a sorted file needs at least one key"));
        }
        self.close()
    }
}

/// The entries of one file, checked.
pub(crate) fn read(path: &Path) -> Result<Vec<(Bytes, Bytes)>> {
    let content =
        fs::read(path).map_err(|source| Error::io(path, "reading a sorted file", source))?;
    parse(&Bytes::from(content)).map_err(|reason| Error::Corrupt {
        path: path.to_owned(),
        reason: format!("{reason}; fetch the file again from where it came from"),
    })
}

/// The entries of several files, in the order in which they are to be applied.
pub(crate) fn read_all(files: &[PathBuf]) -> Result<Vec<(Bytes, Bytes)>> {
    check_there(files)?;
    Ok(files.iter().map(|path| read(path)).collect::<Result<Vec<_>>>()?.concat())
}

/// Refuses files that are not there.
pub(crate) fn check_there(files: &[PathBuf]) -> Result<()> {
    match files.iter().find(|file| !file.is_file()) {
        None => Ok(()),
        Some(file) => Err(Error::invalid(format!("there is no file {}", file.display()))),
    }
}

/// Removes what is left of files that were taken in. The engine has their content, so one that cannot
/// be removed is only litter.
pub(crate) fn remove_taken(files: &[PathBuf]) {
    for path in files.iter().filter(|path| path.exists()) {
        let _ = fs::remove_file(path);
    }
}

/// Splits the content of a file into entries, or says what is wrong with it.
fn parse(content: &Bytes) -> std::result::Result<Vec<(Bytes, Bytes)>, &'static str> {
    const CUT_SHORT: &str = "the file is cut short";
    let body_length = content.len().checked_sub(4).ok_or(CUT_SHORT)?;
    let mut rest = content.slice(..body_length);
    if content.slice(body_length..).get_u32_le() != crc32fast::hash(&rest) {
        return Err("the checksum does not match");
    }
    let mut entries = Vec::new();
    loop {
        let key_length = rest.try_get_u32_le().map_err(|_| CUT_SHORT)?;
        if key_length == END {
            break;
        }
        let value_length = rest.try_get_u32_le().map_err(|_| CUT_SHORT)?;
        let (key_length, value_length) = (key_length as usize, value_length as usize);
        if rest.len() < key_length || rest.len() - key_length < value_length {
            return Err(CUT_SHORT);
        }
        entries.push((rest.split_to(key_length), rest.split_to(value_length)));
    }
    let keys = rest.try_get_u64_le().map_err(|_| CUT_SHORT)?;
    if keys != entries.len() as u64 || !rest.is_empty() {
        return Err("the number of keys does not match");
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut writer = Box::new(FileWriter::create(&path).unwrap());
        writer.put(b"a", b"1").unwrap();
        writer.put(b"b", b"").unwrap();
        let info = writer.finish().unwrap();
        let whole = fs::read(&path).unwrap();
        assert_eq!((info.size_bytes, info.keys), (whole.len() as u64, 2));
        assert_eq!(parse(&whole.clone().into()).unwrap().len(), 2);
        for cut in 0..whole.len() {
            assert!(parse(&whole[..cut].to_vec().into()).is_err(), "cut at {cut}");
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(parse(&flipped.into()).is_err(), "bit {bit}");
        }
    }
}
