//! The list of a snapshot's files, with their sizes and checksums: announced ahead of the files,
//! checked against them, and kept beside them.
//!
//! On disk it is the encoded [`SnapshotMeta`] followed by its own CRC-32, little-endian. A snapshot is
//! complete when this file is there, and every file that it lists.

use std::path::Path;

use engine::Cf;
use prost::Message as _;
use proto::metapb::Region;
use proto::raft_serverpb::{RaftSnapshotData, SnapshotCfFile, SnapshotMeta};
use runtime::mutant;

use super::error::{Error, Result};
use super::key::SnapKey;

/// The file of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileMeta {
    /// The family that it holds.
    pub cf: Cf,
    /// Its length in bytes. An empty family has the length zero, and no file.
    pub size: u64,
    /// The CRC-32 of its content.
    pub checksum: u32,
}

impl FileMeta {
    /// A family without a key.
    pub(super) const fn empty(cf: Cf) -> Self {
        FileMeta { cf, size: 0, checksum: 0 }
    }

    /// Compares a file with what was announced. This is the one place that does.
    pub(super) fn check(&self, path: &Path, size: u64, checksum: u32) -> Result<()> {
        if size != self.size {
            let why = format!("it has {size} bytes instead of {}", self.size);
            return Err(Error::damaged(path, why));
        }
        if checksum != self.checksum && !mutant::on(16) {
            let why = format!("its checksum is {checksum:08x} instead of {:08x}", self.checksum);
            return Err(Error::damaged(path, why));
        }
        Ok(())
    }
}

/// The files of a snapshot, in the order in which they are sent.
///
/// F1: no family is listed twice, and only families with clients' data are.
/// F2: the sizes together fit in a `u64`.
/// F3: an empty family has the checksum of nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    files: Vec<FileMeta>,
    bytes: u64,
}

impl Manifest {
    /// Lists these files, if F1 to F3 hold; otherwise says what is wrong.
    pub(super) fn new(files: Vec<FileMeta>) -> Result<Self> {
        let mut bytes = 0_u64;
        for (place, file) in files.iter().enumerate() {
            let listed = |other: &FileMeta| other.cf == file.cf;
            if !Cf::DATA.contains(&file.cf) || files[..place].iter().any(listed) {
                return Err(invalid(format!("the family {} is out of place", file.cf)));
            }
            if file.size == 0 && file.checksum != 0 {
                return Err(invalid(format!("the empty family {} has a checksum", file.cf)));
            }
            bytes = bytes.checked_add(file.size).ok_or_else(|| invalid("sizes that overflow"))?;
        }
        Ok(Manifest { files, bytes })
    }

    /// Reads what another store announced. Nothing of it is believed before this: everything that is
    /// allocated, named or written for a snapshot follows from the answer.
    pub fn announced(key: SnapKey, data: &RaftSnapshotData) -> Result<Self> {
        match &data.region {
            None => return Err(invalid("no region")),
            Some(region) if region.id != key.region => {
                return Err(invalid(format!("region {} instead of {}", region.id, key.region)));
            }
            Some(_) => {}
        }
        if !data.data.is_empty() {
            return Err(invalid("pairs beside files"));
        }
        let manifest = Self::parse(data.meta.as_ref().ok_or_else(|| invalid("no list of files"))?)?;
        if manifest.bytes != data.file_size {
            let bytes = manifest.bytes;
            return Err(invalid(format!("{bytes} bytes in files, {} in all", data.file_size)));
        }
        Ok(manifest)
    }

    /// What Raft carries as the data of this snapshot of `region`.
    pub fn announce(&self, region: &Region) -> RaftSnapshotData {
        RaftSnapshotData {
            region: Some(region.clone()),
            file_size: self.bytes,
            data: Vec::new(),
            meta: Some(self.to_message()),
        }
    }

    /// All files, the empty ones included.
    pub fn files(&self) -> &[FileMeta] {
        &self.files
    }

    /// The bytes of all files together.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The content of the file that is kept beside the others.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut content = self.to_message().encode_to_vec();
        content.extend(crc32fast::hash(&content).to_le_bytes());
        content
    }

    /// Reads such a file back.
    pub(super) fn decode(path: &Path, content: &[u8]) -> Result<Self> {
        let Some((message, &checksum)) = content.split_last_chunk() else {
            return Err(Error::damaged(path, "it is cut short"));
        };
        if crc32fast::hash(message) != u32::from_le_bytes(checksum) {
            return Err(Error::damaged(path, "its checksum does not match"));
        }
        let message = SnapshotMeta::decode(message)
            .map_err(|error| Error::damaged(path, format!("it is no list of files: {error}")))?;
        Self::parse(&message).map_err(|error| Error::damaged(path, error.to_string()))
    }

    /// The same as a message.
    pub(super) fn to_message(&self) -> SnapshotMeta {
        let file = |file: &FileMeta| SnapshotCfFile {
            cf: file.cf.name().to_owned(),
            size: file.size,
            checksum: file.checksum,
        };
        SnapshotMeta { cf_files: self.files.iter().map(file).collect() }
    }

    fn parse(message: &SnapshotMeta) -> Result<Self> {
        // Checked before anything is made of it: the message may be as long as the wire allows.
        if message.cf_files.len() > Cf::DATA.len() {
            return Err(invalid(format!("{} families", message.cf_files.len())));
        }
        let file = |file: &SnapshotCfFile| {
            let cf = Cf::from_name(&file.cf).ok_or_else(|| invalid("an unknown family"))?;
            Ok(FileMeta { cf, size: file.size, checksum: file.checksum })
        };
        Self::new(message.cf_files.iter().map(file).collect::<Result<_>>()?)
    }
}

fn invalid(what: impl Into<String>) -> Error {
    Error::Invalid(what.into())
}
