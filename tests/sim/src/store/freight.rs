//! Carrying the files of a snapshot from one store to another, well or badly.

use std::fs;
use std::path::{Path, PathBuf};

use prost::Message as _;
use proto::raft_serverpb::{RaftMessage, RaftSnapshotData};
use raftstore::snapshot::{Error, Incoming, Outgoing, Result, SnapKey, SnapManager};
use runtime::Rng;

/// How many bytes travel at a time: few, so that a small snapshot has several chunks.
const CHUNK_BYTES: usize = 64;

/// What happens to the files of one snapshot on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// Nothing.
    None,
    /// One bit of one chunk is another.
    Flipped(u64),
    /// Only so many chunks arrive.
    CutOff(u64),
    /// Everything arrives, and the sender is told that nothing did.
    Unreported,
}

impl Damage {
    /// What happens, in so many of a hundred cases.
    pub(crate) fn draw(rng: &mut Rng, percent: u64) -> Self {
        let (is_damaged, kind, number) = (rng.chance(percent, 100), rng.below(3), rng.next_u64());
        match (is_damaged, kind) {
            (false, _) => Damage::None,
            (true, 0) => Damage::Flipped(number),
            (true, 1) => Damage::CutOff(number % 8),
            (true, _) => Damage::Unreported,
        }
    }
}

/// The snapshot that a message carries, if it does.
pub(crate) fn of(message: &RaftMessage) -> Option<(SnapKey, RaftSnapshotData)> {
    let snapshot = message.message.as_ref()?.snapshot.as_ref()?;
    let data = RaftSnapshotData::decode(snapshot.data.clone()).ok()?;
    Some((SnapKey::of(snapshot, message.region_id), data))
}

/// Changes one bit of one of the files in `folder` that wait to be sent. Whether there was one.
pub(crate) fn damage_built_file(folder: &Path, which: u64, place: u64) -> bool {
    let mut files = files(folder);
    files.retain(|path| {
        name(path).starts_with("gen_") && path.extension().is_some_and(|ending| ending == "sst")
    });
    files.get(index(which, files.len())).is_some_and(|path| flip_a_bit(path, place))
}

/// The complete data files in `folder` that came from other stores, each with its region.
pub(crate) fn received_files(folder: &Path) -> Vec<(u64, PathBuf)> {
    let of_region = |path: PathBuf| {
        let name = name(&path);
        let numbers = name.strip_suffix(".sst")?.strip_prefix("rev_")?;
        Some((numbers.split('_').next()?.parse().ok()?, path))
    };
    files(folder).into_iter().filter_map(of_region).collect()
}

/// All files in `folder`, in the order of their names.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    files
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Changes one bit of a file. Whether there was one.
pub(crate) fn flip_a_bit(path: &Path, place: u64) -> bool {
    let Ok(mut bytes) = fs::read(path) else { return false };
    let length = bytes.len();
    let Some(byte) = bytes.get_mut(index(place >> 3, length)) else { return false };
    *byte ^= 1 << (place % 8);
    fs::write(path, bytes).is_ok()
}

fn index(number: u64, length: usize) -> usize {
    usize::try_from(number % (length as u64).max(1)).expect("smaller than a length")
}

/// Moves the files. An error means that they did not arrive, which the receiver's checks must notice.
pub(crate) fn carry(
    (from, to): (&SnapManager, &SnapManager),
    key: SnapKey,
    data: &RaftSnapshotData,
    damage: Damage,
) -> Result<()> {
    let Some(mut incoming) = Incoming::open(to, key, data)? else { return Ok(()) };
    let chunks: Vec<_> = Outgoing::open(from, key, data, CHUNK_BYTES)?.collect::<Result<_>>()?;
    for (number, chunk) in (0..).zip(&chunks) {
        match damage {
            Damage::CutOff(count) if count == number => {
                return Err(Error::Invalid("the connection was cut".to_owned()));
            }
            Damage::Flipped(place) if place % chunks.len() as u64 == number => {
                let mut bytes = chunk.to_vec();
                let bit = (place >> 16) % (bytes.len() as u64 * 8);
                bytes[usize::try_from(bit / 8).expect("a chunk is small")] ^= 1 << (bit % 8);
                incoming.push(&bytes)?;
            }
            Damage::None | Damage::Flipped(_) | Damage::CutOff(_) | Damage::Unreported => {
                incoming.push(chunk)?;
            }
        }
    }
    incoming.finish()
}
