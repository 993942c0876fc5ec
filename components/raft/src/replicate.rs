//! What a leader sends to one follower: entries, or a snapshot when they are gone.

use proto::eraftpb::Entry;
use runtime::mark;

use crate::core::Core;
use crate::error::{Result, StorageError};
use crate::message::{Body, Position};
use crate::progress::Progress;
use crate::storage::Storage;

/// Sends one follower all that it wants and may get now.
pub(crate) fn replicate(core: &mut Core<impl Storage>, progress: &mut Progress) -> Result<()> {
    let last_index = core.log.last_index();
    let commit = core.log.committed;
    while progress.wants_append(last_index, commit, &core.config) {
        match read_append(core, progress) {
            Ok((base, entries)) => {
                progress.sent_append(&entries, commit);
                core.send(progress.id, Body::Append { base, entries, commit });
            }
            Err(StorageError::Compacted) => return send_snapshot(core, progress),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The next append for a follower: where it connects, and what it carries.
fn read_append(
    core: &Core<impl Storage>,
    progress: &Progress,
) -> Result<(Position, Vec<Entry>), StorageError> {
    if progress.needs_snapshot {
        return Err(StorageError::Compacted);
    }
    let index = progress.next_index - 1;
    let base = Position { term: core.log.term(index)?, index };
    let entries = if progress.may_send_entries(&core.config) {
        core.log.entries(progress.next_index, core.config.message_bytes_max)?
    } else {
        Vec::new()
    };
    Ok((base, entries))
}

fn send_snapshot(core: &mut Core<impl Storage>, progress: &mut Progress) -> Result<()> {
    let at_least = core.log.first_index().saturating_sub(1).max(1);
    match core.log.snapshot() {
        Ok(snapshot) if Position::of_snapshot(&snapshot).index >= at_least => {
            progress.sent_snapshot(Position::of_snapshot(&snapshot).index);
            core.send(progress.id, Body::Snapshot { snapshot: Box::new(snapshot) });
        }
        // It is being built, or is too old to be followed by what is left of the log.
        Ok(_) | Err(StorageError::SnapshotPending) => {
            mark!("snapshot not ready");
            progress.wait();
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
