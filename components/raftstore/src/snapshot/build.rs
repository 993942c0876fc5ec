//! Writing a region's data into files.

use engine::{Cf, Engine, KeyRange, Snapshot};
use proto::metapb::Region;
use proto::raft_serverpb::RaftSnapshotData;

use super::error::Result;
use super::key::{Side, SnapId, SnapKey};
use super::manager::{SnapManager, Writing};
use super::meta::{FileMeta, Manifest};

/// How many bytes of keys and values are written before the space for them is asked for.
const UNPAID_BYTES_MAX: usize = 1 << 20;

/// Builds the snapshot `key` of `range`: a file for each family that has keys in it, as `snapshot`
/// shows them. Answers what Raft is to carry.
///
/// `key` must name the state that `snapshot` shows, so it is taken from the apply state in that very
/// `snapshot`. Two builds of a key are then the same, and the second one only checks the files of the
/// first.
pub fn build(
    snapshot: &dyn Snapshot,
    engine: &dyn Engine,
    range: &Region,
    key: SnapKey,
    manager: &SnapManager,
) -> Result<RaftSnapshotData> {
    assert_eq!(key.region, range.id, "a snapshot is built of the region that it is named after");
    let id = SnapId { key, side: Side::Built };
    if let Some(manifest) = built_already(manager, id)? {
        return Ok(manifest.announce(range));
    }
    let writing = manager.write(id, 0)?;
    let keys = KeyRange::new(&range.start_key, &range.end_key);
    let mut files = Vec::new();
    let mut bytes = 0;
    for cf in Cf::DATA {
        let file = Family { cf, keys, bytes, writing: &writing }.write(snapshot, engine)?;
        bytes += file.size;
        files.push(file);
    }
    let manifest = Manifest::new(files)?;
    writing.resize(bytes)?;
    let data = manifest.announce(range);
    writing.complete(manifest)?;
    Ok(data)
}

/// The files of an earlier build, if they are still what they were.
fn built_already(manager: &SnapManager, id: SnapId) -> Result<Option<Manifest>> {
    if !manager.exists(id.key, id.side) {
        return Ok(None);
    }
    let hold = manager.hold(id)?;
    match hold.check() {
        Ok(()) => Ok(Some(hold.manifest().clone())),
        // It is gone with this use, and built again.
        Err(super::Error::Damaged { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A family on its way into a file.
struct Family<'a> {
    cf: Cf,
    keys: KeyRange<'a>,
    /// The bytes of the files before this one.
    bytes: u64,
    writing: &'a Writing,
}

impl Family<'_> {
    fn write(&self, snapshot: &dyn Snapshot, engine: &dyn Engine) -> Result<FileMeta> {
        let mut cursor = snapshot.sweep(self.cf, self.keys)?;
        if !cursor.seek_to_first()? {
            return Ok(FileMeta::empty(self.cf));
        }
        let name = self.writing.name(self.cf);
        let mut writer = engine.sst_writer(self.cf, &self.writing.folder().path(name))?;
        let mut unpaid = 0;
        loop {
            let (key, value) = cursor.entry();
            writer.put(key, value)?;
            unpaid += key.len() + value.len();
            if unpaid >= UNPAID_BYTES_MAX {
                self.writing.resize(self.bytes + writer.size_bytes())?;
                unpaid = 0;
            }
            if !cursor.next()? {
                break;
            }
        }
        writer.finish()?;
        // The format is the engine's own, so the checksum comes from the file.
        let (size, checksum) = self.writing.folder().measure(name)?;
        Ok(FileMeta { cf: self.cf, size, checksum })
    }
}
