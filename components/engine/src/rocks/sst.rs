//! Writing RocksDB's sorted files.

use std::path::{Path, PathBuf};

use rocksdb::{Options, SstFileWriter};
use self_cell::self_cell;

use super::failure::on_write;
use super::options;
use crate::{Error, Result, SstInfo, SstWriter};

type Writer<'a> = SstFileWriter<'a>;

self_cell!(
    /// RocksDB's writer borrows its options.
    struct OwnedWriter {
        owner: Options,
        #[not_covariant]
        dependent: Writer,
    }
);

pub(super) struct RocksSstWriter {
    writer: OwnedWriter,
    path: PathBuf,
    keys: u64,
}

impl RocksSstWriter {
    pub(super) fn create(path: &Path) -> Result<Self> {
        if path.exists() {
            return Err(Error::exists(path));
        }
        let writer = OwnedWriter::try_new(options::sorted_file(), |options| {
            let writer = SstFileWriter::create(options);
            writer.open(path).map(|()| writer)
        })
        .map_err(|error| on_write(path, "creating a sorted file", &error))?;
        Ok(RocksSstWriter { writer, path: path.to_owned(), keys: 0 })
    }
}

impl SstWriter for RocksSstWriter {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.writer
            .with_dependent_mut(|_, writer| writer.put(key, value))
            .map_err(|error| on_write(&self.path, "writing a sorted file", &error))?;
        self.keys += 1;
        Ok(())
    }

    fn size_bytes(&self) -> u64 {
        self.writer.with_dependent(|_, writer| writer.file_size())
    }

    fn finish(mut self: Box<Self>) -> Result<SstInfo> {
        if self.keys == 0 {
            return Err(Error::invalid("a sorted file needs at least one key"));
        }
        self.writer
            .with_dependent_mut(|_, writer| writer.finish())
            .map_err(|error| on_write(&self.path, "completing a sorted file", &error))?;
        Ok(SstInfo { size_bytes: self.size_bytes(), keys: self.keys })
    }
}
