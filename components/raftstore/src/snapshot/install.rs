//! Making a received snapshot part of the data.

use engine::Engine;
use proto::raft_serverpb::RaftSnapshotData;

use super::error::Result;
use super::key::{Phase, SnapKey};
use super::manager::{Hold, SnapManager};

/// Checks every byte of the received snapshot `key`, which must be the one that `data` announces.
pub fn verify(manager: &SnapManager, key: SnapKey, data: &RaftSnapshotData) -> Result<()> {
    verified(manager, key, data).map(drop)
}

/// Checks the received snapshot `key` once more, and makes its keys part of the data of `engine`.
///
/// The range should be empty: the snapshot's keys are added to what is there. The engine takes second
/// links to the files, so that after a failure or a crash at any point all of it can be repeated from
/// the start. The files stay until they are deleted, which is the last step of an install.
pub fn ingest(
    engine: &dyn Engine,
    manager: &SnapManager,
    key: SnapKey,
    data: &RaftSnapshotData,
) -> Result<()> {
    let hold = verified(manager, key, data)?;
    for file in hold.manifest().files().iter().filter(|file| file.size > 0) {
        let name = hold.name(file.cf);
        let link = name.in_phase(Phase::Ingest);
        // An attempt that failed may have left it.
        hold.folder().remove(link)?;
        engine.ingest(file.cf, &[hold.folder().link(name, link)?])?;
    }
    Ok(())
}

fn verified(manager: &SnapManager, key: SnapKey, data: &RaftSnapshotData) -> Result<Hold> {
    let hold = manager.accept(key, data)?;
    hold.check()?;
    Ok(hold)
}
