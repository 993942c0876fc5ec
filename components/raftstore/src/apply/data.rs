//! Commands on keys.

use proto::raft_cmdpb::{self, RaftRequestHeader};

use super::{Applier, Executed, KEY_TOO_LONG, Turn, decode_requests, has_sane_keys, refused};
use crate::error::RegionError;
use crate::message::Request;

impl Applier {
    /// Executes all requests of a command, or none.
    pub(super) fn execute_requests(
        &mut self,
        header: &RaftRequestHeader,
        records: &[raft_cmdpb::Request],
        turn: &mut Turn,
    ) -> Executed {
        if let Err(error) = self.check_range_epoch(header) {
            runtime::mark!("a command that met another epoch than it was proposed in");
            return Executed::Refused(error);
        }
        let Some(requests) = decode_requests(records) else {
            return refused("a request that this store does not know");
        };
        if !has_sane_keys(&requests) {
            return refused(KEY_TOO_LONG);
        }
        let outside =
            requests.iter().filter_map(Request::key).find(|key| !self.region().contains(key));
        if let Some(key) = outside {
            return Executed::Refused(RegionError::key_not_in_region(key, self.region()));
        }
        let before = turn.batch.size_bytes();
        let mut reads = false;
        for request in &requests {
            match request {
                Request::Put { cf, key, value } => turn.batch.put(*cf, key.clone(), value.clone()),
                Request::Delete { cf, key } => turn.batch.delete(*cf, key.clone()),
                Request::Get { .. } | Request::Snap => reads = true,
            }
        }
        self.bytes_written += (turn.batch.size_bytes() - before) as u64;
        if reads { Executed::Reads(requests) } else { Executed::Written }
    }
}
