//! Forgetting the beginning of the log.
//!
//! *Propose:* the leader, when its log is long. *Apply:* the record of what is cut moves on, on every
//! replica alike. *Afterwards:* Raft stops using the entries, and they are deleted once the kv engine
//! is synced: until then a crash may take the data back to where they are needed.

use proto::raft_cmdpb::CompactLogRequest;
use proto::raft_serverpb::RaftTruncatedState;

use super::{Applier, Executed, refused};
use crate::message::{AdminDone, Effect};

impl Applier {
    pub(super) fn compact_log(&mut self, request: Option<&CompactLogRequest>) -> Executed {
        let Some(request) = request else { return refused("a compaction without its content") };
        let (index, term) = (request.compact_index, request.compact_term);
        let truncated = self.state.truncated_state.unwrap_or_default();
        if index > truncated.index && index <= self.state.applied_index {
            self.state.truncated_state = Some(RaftTruncatedState { index, term });
            self.effects.push(Effect::LogTruncated { index, term });
        }
        // One that comes late has nothing left to do.
        Executed::Admin(AdminDone::CompactLog)
    }
}
